"""Uncertainty through wrappers: the same numbers as the estimator's own, or a clear refusal."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from sptgnn_sklearn import SpTGNNRegressor, predict_interval, predict_uncertainty
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import interval_coverage

SMALL = {"time": "date", "base": None, "n_members": 2, "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def survey():
    return make_soil_survey(n_samples=120, random_state=0)


@pytest.fixture(scope="module")
def fitted(survey):
    return SpTGNNRegressor(**SMALL).fit(survey.data, survey.target)


def wrapped(survey, wrap):
    return wrap(SpTGNNRegressor(**SMALL)).fit(survey.data, survey.target)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: make_pipeline(FunctionTransformer(), model),
        lambda model: make_pipeline(model),
        lambda model: GridSearchCV(model, {"n_heads": [4]}, cv=KFold(2)),
        lambda model: make_pipeline("passthrough", GridSearchCV(model, {"n_heads": [4]}, cv=2)),
        lambda model: GridSearchCV(make_pipeline("passthrough", model), {}, cv=2),
    ],
    ids=["itself", "pipeline", "alone", "search", "search in pipeline", "pipeline in search"],
)
def test_wrappers_give_what_the_estimator_gives(survey, fitted, wrap):
    """Around the same model on the same table nothing changes."""
    outer = wrapped(survey, wrap)
    expected = fitted.predict_uncertainty(survey.data)
    pd.testing.assert_frame_equal(predict_uncertainty(outer, survey.data), expected)
    found = predict_interval(outer, survey.data, coverage=0.8)
    np.testing.assert_allclose(found, fitted.predict_interval(survey.data, coverage=0.8))
    both = predict_uncertainty(outer, survey.data, coverage=0.8)
    np.testing.assert_allclose(both[["lower", "upper"]], found)
    pd.testing.assert_frame_equal(both[expected.columns], expected)


def test_a_linear_transform_of_the_target_is_taken_back(survey, fitted):
    """Standardising y outside of the estimator changes units only."""
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=StandardScaler()))
    expected = fitted.predict_uncertainty(survey.data)
    found = predict_uncertainty(outer, survey.data)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(found["std"] ** 2, found.aleatoric**2 + found.epistemic**2)
    limits = predict_interval(outer, survey.data)
    np.testing.assert_allclose(limits, fitted.predict_interval(survey.data), rtol=1e-4)


def test_a_falling_transform_turns_limits_around(survey):
    """The lower limit stays the lower one."""
    minus = FunctionTransformer(np.negative, np.negative)
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=minus))
    limits = predict_interval(outer, survey.data)
    assert (limits[:, 0] < limits[:, 1]).all()
    assert interval_coverage(survey.target, *limits.T) > 0.8
    found = predict_uncertainty(outer, survey.data, coverage=0.9)
    assert (found["std"] > 0).all()
    np.testing.assert_allclose(found[["lower", "upper"]], limits)


def test_a_curved_transform_is_refused_for_moments_only(survey):
    """Limits go through any monotone transform, standard deviations through linear ones."""
    curve = QuantileTransformer(n_quantiles=50, output_distribution="normal")
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=curve))
    with pytest.raises(ValueError, match=r"QuantileTransformer.* is not linear"):
        predict_uncertainty(outer, survey.data)
    assert np.isfinite(predict_interval(outer, survey.data)).all()


def test_what_states_no_uncertainty_is_named(survey):
    """Also when it is found deep inside."""
    X, y = survey.data[["lon", "lat"]], survey.target
    with pytest.raises(TypeError, match="Ridge has no predict_uncertainty"):
        predict_uncertainty(make_pipeline(StandardScaler(), Ridge()).fit(X, y), X)
    search = GridSearchCV(clone(Ridge()), {"alpha": [1.0]}, refit=False).fit(X, y)
    with pytest.raises(TypeError, match="refit=False"):
        predict_interval(search, X)
