"""Tests of uncertainty through Pipelines, searches and TransformedTargetRegressors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler

from sptgnn_sklearn import SpTGNNRegressor, predict_interval, predict_uncertainty
from sptgnn_sklearn.meta_estimators import predict_mean_std, wrapped_estimator
from sptgnn_sklearn.metrics import interval_coverage

SMALL = {
    "time": "date",
    "base_estimator": None,
    "n_estimators": 2,
    "max_epochs": 3,
    "random_state": 0,
}


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
        lambda model: GridSearchCV(model, {"n_neighbors": [10]}, cv=KFold(2)),
        lambda model: make_pipeline(
            "passthrough", GridSearchCV(model, {"n_neighbors": [10]}, cv=2)
        ),
        lambda model: GridSearchCV(make_pipeline("passthrough", model), {}, cv=2),
    ],
    ids=["itself", "pipeline", "alone", "search", "search in pipeline", "pipeline in search"],
)
def test_meta_estimators_return_results_of_the_estimator(survey, fitted, wrap):
    """Meta-estimators around the same model do not change results."""
    outer = wrapped(survey, wrap)
    expected = fitted.predict_uncertainty(survey.data)
    pd.testing.assert_frame_equal(predict_uncertainty(outer, survey.data), expected)
    found = predict_interval(outer, survey.data, coverage=0.8)
    np.testing.assert_allclose(found, fitted.predict_interval(survey.data, coverage=0.8))
    both = predict_uncertainty(outer, survey.data, coverage=0.8)
    np.testing.assert_allclose(both[["lower", "upper"]], found)
    pd.testing.assert_frame_equal(both[expected.columns], expected)


def test_linear_target_transform_is_inverted(survey, fitted):
    """Standardizing y outside the estimator changes units only."""
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=StandardScaler()))
    expected = fitted.predict_uncertainty(survey.data)
    found = predict_uncertainty(outer, survey.data)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(found["std"] ** 2, found.aleatoric**2 + found.epistemic**2)
    limits = predict_interval(outer, survey.data)
    np.testing.assert_allclose(limits, fitted.predict_interval(survey.data), rtol=1e-4)


def test_decreasing_target_transform_swaps_limits(survey):
    """The lower limit stays below the upper one."""
    minus = FunctionTransformer(np.negative, np.negative)
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=minus))
    limits = predict_interval(outer, survey.data)
    assert (limits[:, 0] < limits[:, 1]).all()
    assert interval_coverage(survey.target, *limits.T) > 0.8
    found = predict_uncertainty(outer, survey.data, coverage=0.9)
    assert (found["std"] > 0).all()
    np.testing.assert_allclose(found[["lower", "upper"]], limits)


def test_nonlinear_target_transform_raises_for_moments(survey):
    """Limits are transformed by any monotone function, standard deviations by linear ones."""
    curve = QuantileTransformer(n_quantiles=50, output_distribution="normal")
    outer = wrapped(survey, lambda m: TransformedTargetRegressor(m, transformer=curve))
    with pytest.raises(ValueError, match=r"QuantileTransformer.* is not linear"):
        predict_uncertainty(outer, survey.data)
    assert np.isfinite(predict_interval(outer, survey.data)).all()


def test_regressors_without_uncertainty_are_named(survey):
    """The innermost regressor is named."""
    X, y = survey.data[["lon", "lat"]], survey.target
    with pytest.raises(TypeError, match="Ridge has no predict_uncertainty"):
        predict_uncertainty(make_pipeline(StandardScaler(), Ridge()).fit(X, y), X)
    search = GridSearchCV(clone(Ridge()), {"alpha": [1.0]}, refit=False).fit(X, y)
    with pytest.raises(TypeError, match="refit=False"):
        predict_interval(search, X)


class Doubled(RegressorMixin, BaseEstimator):
    """A meta-estimator of another library that changes the predictions of its regressor."""

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y):
        self.regressor_ = clone(self.regressor).fit(X, y / 2)
        return self

    def predict(self, X):
        return 2 * self.regressor_.predict(X)


def test_unknown_meta_estimators_are_refused():
    """Their regressor may predict on another scale, as here on half of it."""
    X = np.arange(9.0)[:, None]
    outer = Doubled(BayesianRidge()).fit(X, X[:, 0])
    assert wrapped_estimator(outer) is None
    with pytest.raises(TypeError, match=r"Doubled has no predict\(X, return_std=True\)"):
        predict_mean_std(outer, X)
