"""The worst group's coverage and its limit."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from benchmarks.tables import TableData
from benchmarks.worst_group import (
    fold_distances,
    group_coverages,
    interval_entry,
    labels_of_tested,
    n_quantile_groups,
    place_groupings,
    quantile_labels,
    worst_coverage_limit,
)


def test_limit_of_one_group_is_a_binomial_quantile():
    """For one group the limit is the 5 % point of a binomial share."""
    expected = binom.ppf(0.05, 400, 0.9) / 400
    found = worst_coverage_limit({"all": np.repeat("rows", 400)})
    assert found == pytest.approx(expected, abs=0.003)


def test_limit_of_independent_groups():
    """Of five groups of the same size the worst is above the limit if all of them are."""
    groups = np.repeat(list("abcde"), 300)
    expected = binom.ppf(1 - 0.95**0.2, 300, 0.9) / 300
    assert worst_coverage_limit({"x": groups}) == pytest.approx(expected, abs=0.004)


def test_equal_groupings_have_the_limit_of_one():
    """Groups that overlap are counted in the same rows, and small groups are left out."""
    groups = np.repeat(list("ab"), 300)
    alone = worst_coverage_limit({"x": groups})
    assert worst_coverage_limit({"x": groups, "again": groups}) == alone
    many_small = np.repeat(np.arange(6).astype(str), 100)
    assert worst_coverage_limit({"x": groups, "small": many_small}) == alone
    crossed = np.tile(list("cd"), 300)
    assert worst_coverage_limit({"x": groups, "y": crossed}) < alone


def test_entry_of_known_coverages():
    """The worst group is the one with the lowest coverage, compared with its limit."""
    y = np.zeros(1000)
    outside = (np.arange(1000) < 500) & (np.arange(1000) % 5 == 0)  # a fifth of the first half
    limits = np.column_stack([np.where(outside, 1.0, -1.0), np.full(1000, 2.0)])
    halves = {
        "half": np.repeat(["first", "second"], 500),
        "few": np.repeat(list("uvwxyz"), 200)[:1000],
    }
    entry = interval_entry(y, limits, halves, margin=0.02)
    assert entry["coverage"] == pytest.approx(0.9)
    assert entry["worst"] == {"by": "half", "group": "first", "n": 500, "coverage": 0.8}
    assert entry["limit"] == pytest.approx(worst_coverage_limit(halves) - 0.02)
    assert entry["passes"] is False
    # Width 3, or 1 and a penalty of 20 times the distance 1 below the interval.
    assert entry["interval_score"] == pytest.approx(0.9 * 3 + 0.1 * (1 + 20))
    assert interval_entry(y, limits, halves, margin=0.2)["passes"] is True
    assert len(entry["groups"]) == 7


def test_no_group_has_200_rows():
    """Small tables have no worst group."""
    limits = np.tile([-1.0, 1.0], (150, 1))
    entry = interval_entry(np.zeros(150), limits, {"all": np.repeat("rows", 150)}, 0.02)
    assert (entry["worst"], entry["limit"], entry["passes"], entry["groups"]) == (None,) * 3 + ([],)
    assert group_coverages(np.zeros(150), limits, {"all": np.repeat("rows", 150)}) == []


def test_quantile_groups():
    """Equal values share a group; groups have 200 rows or more."""
    values = np.array([3.0, 1.0, 2.0, 2.0, 2.0, 9.0])
    labels = quantile_labels(values, 3)
    assert list(labels) == ["3 of 3", *["1 of 3"] * 4, "3 of 3"]
    assert [n_quantile_groups(n) for n in (100, 711, 999, 2000, 20_000)] == [1, 3, 4, 5, 5]


@pytest.fixture(scope="module")
def strip():
    """Rows on a line at 0 to 999 m, the second half of which is for training only."""
    x = np.arange(1000.0)
    X = pd.DataFrame({"x": x, "y": 0.0, "soil": np.where(x % 4 == 0, "peat", "sand")})
    folds = np.where(x < 500, (x >= 250).astype(int), -1)
    return TableData(X, x, x, {"random": folds}, np.column_stack([x, 0 * x]), None)


def test_distances_to_the_rows_of_other_folds(strip):
    """A row's distance is that to the nearest row outside of its fold."""
    folds = strip.folds["random"]
    distance = fold_distances(strip, folds)
    assert list(labels_of_tested(folds)) == [0, 1]
    np.testing.assert_allclose(distance[:250], 250 - np.arange(250))
    np.testing.assert_allclose(
        distance[250:500], np.minimum(np.arange(250), np.arange(250)[::-1]) + 1
    )
    assert np.isnan(distance[500:]).all()


def test_regions_and_categories(strip):
    """Regions are compact, text columns are categories, and coordinates are neither."""
    tested = np.ones(1000, dtype=bool)
    groupings = place_groupings(strip, tested)
    assert set(groupings) == {"region", "soil"}
    regions = groupings["region"]
    assert sorted(set(regions)) == ["1", "2"]
    assert (regions[:400] == "1").all()
    assert (regions[600:] == "2").all()
    assert list(groupings["soil"][:3]) == ["peat", "sand", "sand"]
