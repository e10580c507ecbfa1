"""Tests of the figures of a report: limits, missing predictions and names with dollar signs."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge

from sptgnn_sklearn.cli.report_figures import draw_observed, draw_reliability, draw_residuals
from sptgnn_sklearn.model_selection import compare_models


@pytest.fixture(scope="module")
def result():
    """A comparison of a regression with and without standard deviations."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.random((40, 2)) * 1000, columns=["x", "y"])
    y = X["x"] / 100 + rng.normal(size=40)
    return compare_models({"line": BayesianRidge()}, X, y, ["random"], progress=False)


def test_numbers_of_the_descriptions(result):
    """Alternative texts have the scores of the comparison."""
    scores = result.table.iloc[0]
    (observed,) = draw_observed(result, "line", ["random"], "g/$k$", False)
    assert f"R2 {scores['R2']:.2f}, RMSE {scores['RMSE']:.3g} g/$k$." in observed.alt
    (residuals,) = draw_residuals(result, "line", ["random"], "%")
    assert f"Moran's I {scores['moran_i']:.2f}" in residuals.caption
    (reliability,) = draw_reliability(result, "line", ["random"])
    rows = result.select("random", "line")
    inside = np.abs(rows["observed"] - rows["mean"]) <= 0.6745 * rows["std"]
    assert f"contain {100 * inside.mean():.0f} % under random folds" in reliability.alt
    assert all(figure.png.startswith(b"\x89PNG") for figure in (observed, residuals, reliability))


@pytest.mark.parametrize("column", ["mean", "std"])
def test_missing_predictions_are_not_drawn(result, column):
    """Failed fits have no figure, models without standard deviations no reliability."""
    changed = result.predictions.assign(**{column: np.nan})
    failed = type(result)(**{**vars(result), "predictions": changed})
    assert draw_reliability(failed, "line", ["random"]) == []
    n_expected = 0 if column == "mean" else 1
    assert len(draw_residuals(failed, "line", ["random"], "")) == n_expected
    assert len(draw_observed(failed, "line", ["random"], "", False)) == n_expected
