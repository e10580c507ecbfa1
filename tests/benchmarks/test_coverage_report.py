"""Tables of coverage in groups."""

import json
from pathlib import Path

import pytest

from benchmarks.coverage_report import (
    GLOBAL,
    LOCAL,
    CoverageResults,
    coverage_tables,
    score_table,
    summary_table,
    worst_table,
)
from benchmarks.experiments import RECORDS_DIR

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "measured"


def entry(model, worst, score, folds="random"):
    """Return an entry with a limit of 0.85."""
    return {
        "folds": folds,
        "model": model,
        "rows": 1000,
        "coverage": 0.9,
        "infinite": 0.25,
        "interval_score": score,
        "worst": {"coverage": worst},
        "limit": 0.85,
        "passes": worst >= 0.85,
    }


@pytest.fixture
def results(tmp_path):
    """One table with both calibrations on random folds, two seeds, and one on block folds."""
    for seed, (local, one) in enumerate([(0.87, 0.83), (0.84, 0.82)]):
        entries = [entry(LOCAL, local, 1.8), entry(GLOBAL, one, 2.0 - 0.2 * seed)]
        entries += [entry(LOCAL, 0.8, 1.0, "block")] if seed == 0 else []
        entries += [entry("quantile_forest", 0.9, 2.0)] if seed == 1 else []
        record = {"table": "usgs_soc", "seed": seed, "results": entries}
        (tmp_path / f"usgs_soc-seed{seed}.json").write_text(json.dumps(record))
    small = {"table": "meuse", "seed": 0, "results": [entry(LOCAL, 0.9, 1), entry(GLOBAL, 0.9, 1)]}
    (tmp_path / "meuse-seed0.json").write_text(json.dumps(small))
    return CoverageResults(tmp_path)


def test_cases_have_both_calibrations(results):
    """A kind of folds without the global rule, and tables that are pooled, are left out."""
    assert results.cases == [("usgs_soc", "random")]


def test_worst_groups_below_their_limit_are_bold(results):
    """Each seed has its coverage and limit."""
    rows = worst_table(results, results.cases).rows
    assert rows[0] == ['SpTGNN, calibration="local"', "0.870 (0.850), **0.840** (0.850)"]
    assert rows[1][1] == "**0.830** (0.850), **0.820** (0.850)"
    assert rows[3] == ["geoconformal, random forest", "–"]


def test_relative_scores_use_common_seeds(results):
    """The ratio is that of each seed."""
    rows = score_table(results, results.cases).rows
    assert [row[1] for row in rows[:3]] == ["0.950", "1.000", "1.111"]


def test_summary(results):
    """Cases that pass are counted by seed; models without records are left out."""
    rows = summary_table(results, results.cases).rows
    assert [row[0] for row in rows] == [
        'SpTGNN, calibration="local"',
        'SpTGNN, calibration="quantile"',
        "quantile forest",
    ]
    assert rows[0][1:] == ["1 of 2", "0.840", "0.900", "0.950", "25.0 %"]


def test_no_records(tmp_path):
    """Without records there are no tables."""
    assert coverage_tables(tmp_path) == ""


def test_documentation_has_the_tables_of_the_records():
    """docs/measured/group-coverage.rst equals the tables of the records."""
    text = (MEASURED / "group-coverage.rst").read_text(encoding="utf-8")
    assert text == coverage_tables(RECORDS_DIR / "group-coverage")
