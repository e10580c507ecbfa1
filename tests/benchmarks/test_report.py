"""Tables of benchmark records."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_helpers import TASK, make_entry

from benchmarks.experiments import RECORDS_DIR, ExperimentRecord
from benchmarks.report import (
    Results,
    ablation_differences,
    difference_table,
    documentation_tables,
    fit_time_table,
    leaderboard,
    leave_one_table_out,
    measurement_error_table,
    summary,
)

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "measured"


@pytest.fixture
def records(tmp_path):
    """Two seeds of one table; SpTGNN is 0.1 better on random folds and second on block folds."""
    for seed in (0, 1):
        record = ExperimentRecord(tmp_path, TASK, seed)
        for folds, errors in (("random", [10, 10, 10]), ("block", [20, 20, 20])):
            record.add(make_entry(folds, "sptgnn", errors))
            record.add(make_entry(folds, "xgboost_tuned", [13 + seed, 14, 12 - seed]))
            record.add(make_entry(folds, "mean_of_four_tree_models", [15, 15, 15]))
    return tmp_path


def test_differences_have_intervals_over_folds(records):
    """Differences are averaged over seeds within each fold; Student's t over the folds."""
    found = Results(records).difference("soil", "random", "sptgnn", "xgboost_tuned")
    gains = 3 * np.array([3.5, 4.0, 1.5]) / 100
    half_width = 4.302653 * gains.std(ddof=1) / np.sqrt(3)
    expected = gains.mean(), gains.mean() + half_width
    assert (found.mean, found.high) == pytest.approx(expected, abs=1e-6)
    assert Results(records).difference("soil", "random", "sptgnn", "gpboost") is None


def test_leaderboard_ranks_single_models(records):
    """Averages of several models have no rank."""
    board = leaderboard(Results(records))
    assert "| SpTGNN | 0.700 | 1.00 | 0.700 |" in board
    assert "| SpTGNN | 0.400 | 2.00 | 0.400 |" in board
    assert "| mean of four tree models | 0.550 | – | 0.550 |" in board


def test_difference_and_fit_time_tables(records):
    """Both have a column for each table."""
    results = Results(records)
    assert "+0.090 [" in difference_table(results, "random").to_markdown()
    assert "| SpTGNN | 1.0 |" in fit_time_table(results).to_markdown()
    assert Results(records, tables={"other"}).tables == []


def test_summary_lists_gains_ranks_and_losses(records):
    """Gains over the main baselines, the mean rank, and tables with a better baseline."""
    lines = summary(Results(records))
    assert "random folds: +0.090 relative to XGBoost, tuned, better on 1 of 1 tables" in lines
    assert "mean rank among single models 1.50 over 2 pairs of table and folds" in lines
    assert [line for line in lines if line.startswith("worse: soil, block folds: -0.210")]


def test_ablation_differences_are_relative_to_the_default(tmp_path):
    """A variant with larger errors has a negative difference."""
    record = ExperimentRecord(tmp_path, TASK, 0)
    record.add(make_entry("random", "default", [10, 10, 10]))
    record.add(make_entry("random", "no graph", [12, 12, 12]))
    variants = ["default", "no graph"]
    text = ablation_differences(Results(tmp_path), "random", variants).to_markdown()
    assert "| default, R2 | – | 0.700 |" in text
    assert "| no graph | -0.060 | -0.060 [-0.060, -0.060] |" in text


def test_leave_one_table_out_means(tmp_path):
    """Mean difference over all tables, and its lowest and highest value without one of them."""
    for name, error in (("a", 8), ("b", 13), ("c", 10)):
        record = ExperimentRecord(tmp_path, replace(TASK, table=name), 0)
        for kind in ("random", "block"):
            record.add(make_entry(kind, "default", [10, 10, 10]))
            record.add(make_entry(kind, "no graph", [error] * 3))
    variants = ["default", "no graph", "two attention layers"]
    text = leave_one_table_out(Results(tmp_path), variants).to_markdown()
    assert "| no graph | -0.0100 | -0.0450 | +0.0300 |" in text
    assert "two attention layers" not in text


def test_documentation_has_the_tables_of_the_records():
    """Tables in docs/measured equal those written from the records."""
    studies = (Results(RECORDS_DIR / name) for name in ("skill", "ablation", "uncertainty"))
    for name, text in documentation_tables(*studies).items():
        assert (MEASURED / name).read_text(encoding="utf-8") == text, name


def test_documentation_has_the_table_of_measurement_errors():
    """The table in docs/measured equals that written from the record."""
    table = measurement_error_table(RECORDS_DIR / "measurement-error.json")
    written = (MEASURED / "measurement-error.rst").read_text(encoding="utf-8")
    assert table.to_rst("90 % intervals with and without known measurement errors") == written
    assert [row[0] for row in table.rows][:1] == ["300 rows, with noise_std"]
