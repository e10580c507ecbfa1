"""Ranks and regret against the best single baseline."""

import numpy as np
import pytest

from benchmarks.regret import compare, regret_cells, regret_summary, regret_table


def test_best_baseline_is_chosen_on_other_seeds():
    """With three seeds, an baseline that is best on one seed by chance is not chosen for it."""
    own = {0: 0.5, 1: 0.5, 2: 0.5}
    steady, lucky = {0: 0.52, 1: 0.52, 2: 0.52}, {0: 0.7, 1: 0.45, 2: 0.45}
    cell = compare(own, {"steady": steady, "lucky": lucky})
    assert cell.best == "lucky"
    # Seed 0 is scored by "steady"; on seeds 1 and 2 the lucky seed makes "lucky" the choice.
    assert cell.held_out
    assert cell.regret == pytest.approx((0.02 - 0.05 - 0.05) / 3)
    assert cell.rank == 3


def test_few_seeds_use_the_same_scores():
    """With fewer than three seeds the regret is the plain distance to the best baseline."""
    cell = compare({0: 0.5}, {"a": {0: 0.6}, "b": {0: 0.4}, "c": {0: 0.3}, "d": {0: 0.2}})
    assert (cell.best, cell.rank, cell.n_models, cell.held_out) == ("a", 2, 5, False)
    assert cell.regret == pytest.approx(0.1)
    assert cell.best_three == pytest.approx((0.6 + 0.4 + 0.3) / 3)
    assert np.isnan(compare({0: 0.5}, {"a": {0: 0.6}}).best_three)


def test_baselines_with_missing_seeds():
    """A baseline that lacks a seed is not left out: the regret is the distance to the best mean."""
    own = dict.fromkeys(range(3), 0.5)
    cell = compare(own, {"full": dict.fromkeys(range(3), 0.4), "part": {0: 0.9}})
    assert (cell.best, cell.held_out) == ("part", False)
    assert cell.regret == pytest.approx(0.4)


def test_table_and_summary():
    """Averages of models are no baselines, and cells without baselines have no row."""
    scores = {"ours": 0.5, "a": 0.6, "b": 0.4, "c": 0.3, "average": 0.9}
    entries = {("soil", "random", name): {0: {"R2": value}} for name, value in scores.items()}
    entries["soil", "block", "ours"] = {0: {"R2": 0.1}}
    cells = regret_cells(entries, "ours", ["average"])
    assert list(cells) == [("soil", "random")]
    text = regret_table(cells, {"a": "Model A"}, "ours").to_markdown()
    assert "| soil, random | 0.500 | Model A | 0.433 | 2 of 4 | +0.100 | no |" in text
    (line,) = regret_summary(cells)
    assert "mean rank 2.00" in line
    assert "+0.100" in line
    assert "mean of the best three baselines 0.433" in line
