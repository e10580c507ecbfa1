"""Benchmark of estimates in simulated worlds."""

import numpy as np
import pytest

from benchmarks.space_time_worlds import (
    KINDS,
    WorldKind,
    coverage_limits,
    false_changes,
    kind_of,
    make_world,
    read_records,
    score_world,
    summarize,
    summarize_kinds,
)


def test_kinds_are_balanced():
    """Two of three worlds have no change."""
    found = [kind_of(seed) for seed in range(24)]
    assert {found.count(kind) for kind in KINDS if not kind.fades} == {4}
    assert {found.count(kind) for kind in KINDS if kind.fades} == {2}


def test_worlds_have_their_properties():
    """Change only with a fading field, places visited twice, shifts of campaigns."""
    still = make_world(WorldKind(fades=False, revisits=True, shifts=False), 0)
    np.testing.assert_allclose(still.truth[0], still.truth[1], atol=1e-2)
    assert still.X.groupby(["x", "y"]).size().eq(2).all() and len(still.X) == 300
    years = still.X.groupby(["x", "y"])["year"].agg(np.ptp)
    np.testing.assert_allclose(years, 8)
    fading = make_world(WorldKind(fades=True, revisits=False, shifts=True), 0)
    assert np.std(fading.truth[1] - fading.truth[0]) > 0.5
    assert fading.X["campaign"].nunique() == 8
    assert fading.cells["zone"].value_counts().tolist() == [36] * 4


def test_world_is_scored_and_summarized(tmp_path):
    """Each estimate is in the table, and records are read again."""
    record = score_world(1)
    assert record["kind"] == "no change, one visit, shifts"
    assert record["campaign_share"] > 0 and record["r2"] > 0.3
    rows = summarize([record, record]).rows
    assert [row[0] for row in rows][:5] == ["mean", "total", "change", "stock", "stock change"]
    assert len(rows) == 9 and all(row[1] == "2" for row in rows)
    assert summarize_kinds([record]).rows[0][0] == record["kind"]
    assert false_changes([record])[1] == 1
    assert read_records(tmp_path / "none") == []


def test_limits_of_coverage():
    """Exact binomial limits of 99 %, three points wider."""
    low, high = coverage_limits(500)
    assert low == pytest.approx(0.834) and high == pytest.approx(0.962)
