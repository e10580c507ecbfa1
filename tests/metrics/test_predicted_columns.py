"""Intervals of estimators with different methods, alone and wrapped."""

import numpy as np
import pytest
from mapie.regression import (
    ConformalizedQuantileRegressor,
    CrossConformalRegressor,
    SplitConformalRegressor,
)
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, QuantileRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sptgnn_sklearn import predict_interval
from sptgnn_sklearn.metrics.predicted_columns import predict_columns, unwrap_estimator

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(120, 2))
Y = 3 + 2 * X[:, 0] + RNG.normal(scale=0.2, size=120)


class Both(RegressorMixin, BaseEstimator):
    """Regressor whose intervals and quantiles differ."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0]

    def predict_interval(self, X, coverage):
        return self.predict(X)[:, None] + [-coverage, coverage]

    def predict_quantiles(self, X, quantiles):
        return self.predict(X)[:, None] + np.asarray(quantiles)


class IntervalOnly(Both):
    """Regressor without quantiles."""

    predict_quantiles = property()


def test_order_of_methods():
    """Quantiles come first, unless conformal intervals are preferred or the only ones."""
    columns = predict_columns(Both().fit(X, Y), X, 0.8)
    np.testing.assert_allclose(columns[:, 2:] - X[:, :1], np.tile([0.1, 0.9], (120, 1)))
    assert np.isnan(columns[:, 1]).all()
    for model, conformal in ((Both(), True), (IntervalOnly(), False)):
        columns = predict_columns(model.fit(X, Y), X, 0.8, conformal=conformal)
        np.testing.assert_allclose(columns[:, 2:] - X[:, :1], np.tile([-0.8, 0.8], (120, 1)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: make_pipeline(FunctionTransformer(), model),
        lambda model: GridSearchCV(make_pipeline("passthrough", model), {}, cv=2),
        lambda model: TransformedTargetRegressor(model, transformer=StandardScaler()),
    ],
    ids=["itself", "pipeline", "search", "linear transform"],
)
def test_normal_intervals_of_wrapped_models(wrap):
    """Meta-estimators that change nothing give the mean, std and interval of the model."""
    mean, std = BayesianRidge().fit(X, Y).predict(X, return_std=True)
    half_width = norm.ppf(0.95) * std
    expected = np.column_stack([mean, std, mean - half_width, mean + half_width])
    found = predict_columns(wrap(BayesianRidge()).fit(X, Y), X, 0.9)
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_nonlinear_transform_has_an_interval_without_std():
    """Limits are transformed back one by one."""
    model = TransformedTargetRegressor(BayesianRidge(), func=np.log, inverse_func=np.exp)
    found = predict_columns(model.fit(X, Y), X, 0.9)
    mean, std = BayesianRidge().fit(X, np.log(Y)).predict(X, return_std=True)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, 2], np.exp(mean - norm.ppf(0.95) * std))
    np.testing.assert_allclose(found[:, 3], np.exp(mean + norm.ppf(0.95) * std))


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        DummyRegressor(),
        TransformedTargetRegressor(DummyRegressor(), transformer=StandardScaler()),
        TransformedTargetRegressor(LinearRegression(), transformer=StandardScaler()),
    ],
    ids=["no std", "zero std", "transformed zero std", "transformed without std"],
)
def test_models_without_uncertainty(model):
    """Only the mean is known."""
    found = predict_columns(model.fit(X, Y), X, 0.9)
    np.testing.assert_allclose(found[:, 0], model.predict(X))
    assert np.isnan(found[:, 1:]).all()


def make_mapie(kind, levels):
    half = slice(0, 60), slice(60, 120)
    if kind == "cross":
        return CrossConformalRegressor(LinearRegression(), confidence_level=levels, cv=3)
    if kind == "quantile":
        model = ConformalizedQuantileRegressor(
            QuantileRegressor(alpha=0), confidence_level=levels
        ).fit(X[half[0]], Y[half[0]])
        return model.conformalize(X[half[1]], Y[half[1]])
    model = SplitConformalRegressor(
        LinearRegression().fit(X[half[0]], Y[half[0]]), confidence_level=levels, prefit=True
    )
    return model.conformalize(X[half[1]], Y[half[1]])


def test_mapie_with_several_levels():
    """The interval of the requested level is chosen."""
    model = make_mapie("split", [0.5, 0.8, 0.9])
    points, expected = model.predict_interval(X)
    for number, level in enumerate((0.5, 0.8, 0.9)):
        found = predict_columns(model, X, level)
        np.testing.assert_array_equal(found[:, 2:], expected[:, :, number])
        np.testing.assert_array_equal(found[:, 0], points)
        np.testing.assert_array_equal(predict_interval(model, X, level), found[:, 2:])


@pytest.mark.filterwarnings("ignore")  # MAPIE warns of few rows and of crossing quantiles
def test_mapie_with_one_level():
    """Cross-conformal and quantile intervals have one level."""
    cross = make_mapie("cross", 0.8).fit_conformalize(X, Y)
    quantile = make_mapie("quantile", 0.8)
    for model in (cross, quantile):
        expected = model.predict_interval(X)[1][:, :, 0]
        np.testing.assert_array_equal(predict_columns(model, X, 0.8)[:, 2:], expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "levels"), [("split", [0.5, 0.8]), ("quantile", 0.8)])
def test_other_levels_of_mapie_raise(kind, levels):
    """An interval of another level is not used as one of the requested coverage."""
    with pytest.raises(ValueError, match=r"coverage=0\.9 .*confidence_level is (0\.5, )?0\.8:"):
        predict_columns(make_mapie(kind, levels), X, 0.9)


def test_steps_transform_once():
    """X is transformed by the steps before the innermost search or model."""
    calls = []

    def double(values):
        calls.append(len(values))
        return 2 * values

    model = make_pipeline(FunctionTransformer(double), Both()).fit(X, Y)
    calls.clear()
    np.testing.assert_array_equal(predict_columns(model, X, 0.9)[:, 0], 2 * X[:, 0])
    assert calls == [120]
    inner, values = unwrap_estimator(model, X)
    assert isinstance(inner, Both) and np.array_equal(values, 2 * X)
