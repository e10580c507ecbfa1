"""Tests of MAPIE's wrappers around the estimator, alone and at the end of a Pipeline."""

import numpy as np
import pytest
from mapie import conformity_scores
from mapie.regression import (
    CrossConformalRegressor,
    JackknifeAfterBootstrapRegressor,
    SplitConformalRegressor,
)
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_models import make_regressor

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import spatial_blocks

MODEL = make_regressor(
    base_estimator=None, n_estimators=2, hidden_size=8, n_experts=2, max_epochs=5, random_state=0
)
MODELS = {"bare": MODEL, "pipeline": make_pipeline(FunctionTransformer(), MODEL)}
SCORES = {"absolute": conformity_scores.AbsoluteConformityScore}
if hasattr(conformity_scores, "StdConformityScore"):  # not in the oldest version
    SCORES["standardized"] = conformity_scores.StdConformityScore


@pytest.fixture(scope="module")
def rows():
    """Features, target and blocks of a small survey; the first half is the training set."""
    survey = make_soil_survey(n_samples=160, random_state=0)
    table = survey.data[["lon", "lat", "elevation", "cov_0", "cov_1", "cov_2"]].fillna(0)
    return table.to_numpy(), survey.target.to_numpy(), spatial_blocks(table, n_blocks=12)


def covered(interval, y):
    return np.mean((interval[:, 0, 0] <= y) & (y <= interval[:, 1, 0]))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("model", MODELS)
def test_split_conformal_intervals(rows, model, score):
    """With a prefit model; its standard deviation varies the width."""
    X, y, _ = rows
    mapie = SplitConformalRegressor(
        clone(MODELS[model]).fit(X[:80], y[:80]),
        confidence_level=0.8,
        conformity_score=SCORES[score](),
        prefit=True,
    ).conformalize(X[80:], y[80:])
    _, interval = mapie.predict_interval(X[80:])
    assert 0.75 <= covered(interval, y[80:]) <= 0.95
    width = np.ptp(interval[:, :, 0], axis=1)
    assert (np.ptp(width) < 1e-3) == (score == "absolute")


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("model", MODELS)
def test_cross_conformal_intervals_over_spatial_blocks(rows, model, score):
    """Each block is held out once."""
    X, y, blocks = rows
    mapie = CrossConformalRegressor(
        clone(MODELS[model]),
        confidence_level=0.8,
        conformity_score=SCORES[score](),
        cv=GroupKFold(3),
    ).fit_conformalize(X, y, groups=blocks)
    _, interval = mapie.predict_interval(X)
    assert covered(interval, y) >= 0.7


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("model", MODELS)
def test_jackknife_after_bootstrap_intervals(rows, model, score):
    """Bootstrap copies of a row are merged, not neighbors of each other."""
    X, y, _ = rows
    mapie = JackknifeAfterBootstrapRegressor(
        clone(MODELS[model]),
        confidence_level=0.8,
        conformity_score=SCORES[score](),
        resampling=15,
        random_state=0,
    ).fit_conformalize(X, y)
    _, interval = mapie.predict_interval(X)
    assert covered(interval, y) >= 0.7
