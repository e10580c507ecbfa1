"""Benchmark of further samples."""

import numpy as np
import pytest

from benchmarks.sample_proposals import LABELS, METHODS, make_area, score_survey, summarize


def test_areas_have_clustered_samples():
    X, y, cells, truth = make_area(0)
    assert len(X) == len(y) == 120 and len(cells) == len(truth) == 576
    assert (X["x"] < 100 / 3).mean() == pytest.approx(0.83, abs=0.05)
    assert np.corrcoef(truth, cells["b"])[0, 1] > 0.1


def test_methods_are_scored_and_summarized():
    result = score_survey(0)
    assert set(result) == set(METHODS) == set(LABELS)
    assert all(score["cells"] > 0 for score in result.values())
    rows = summarize([result, result]).rows
    assert rows[-1][2] == rows[-3][3] == "1" and len(rows) == len(METHODS)
