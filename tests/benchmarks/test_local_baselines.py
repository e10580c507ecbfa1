"""Forests with conformal prediction that depends on the row."""

import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks.local_baselines import (
    ConditionalConformalForest,
    IntervalBaseline,
    choose_bandwidth,
    conditional_half_width,
    geo_half_width,
    symmetric_intervals,
)


@pytest.fixture(scope="module")
def errors():
    """Coordinates and errors, three times as large in the east as in the west."""
    rng = np.random.default_rng(0)
    places = rng.uniform(size=(1000, 2))
    return places, rng.normal(size=1000) * np.where(places[:, 0] > 0.5, 3.0, 1.0)


WEST_AND_EAST = np.array([[0.2, 0.5], [0.8, 0.5]])


def test_infinite_intervals_are_replaced():
    """An infinite half width becomes the largest error, a negative one 0."""
    limits, infinite = symmetric_intervals(np.zeros(3), np.array([1.0, np.inf, -1.0]), 5.0)
    np.testing.assert_array_equal(limits, [[-1, 1], [-5, 5], [0, 0]])
    np.testing.assert_array_equal(infinite, [False, True, False])


def test_geoconformal_follows_the_errors_around_a_row(errors):
    """A narrow kernel finds both quantiles, a wide one is split conformal prediction."""
    pytest.importorskip("geoconformal")
    places, error = errors
    zero = np.zeros(len(error))
    west, east = geo_half_width(zero, error, places, WEST_AND_EAST, 0.1, 0.9)
    assert west == pytest.approx(1.645, abs=0.4)
    assert east == pytest.approx(3 * 1.645, abs=1.2)
    wide = geo_half_width(zero, error, places, WEST_AND_EAST, 1e6, 0.9)
    np.testing.assert_allclose(wide, np.sort(np.abs(error))[900])  # 901st of 1,000
    far = geo_half_width(zero, error, places, np.array([[50.0, 50.0]]), 0.1, 0.9)
    assert np.isinf(far[0])


def test_bandwidth_of_local_and_of_equal_errors(errors):
    """The narrow kernel is chosen where errors differ between regions, the wide one elsewhere."""
    pytest.importorskip("geoconformal")
    places, error = errors
    zero, candidates = np.zeros(len(error)), np.array([0.1, 100.0])
    assert choose_bandwidth(zero, error, places, candidates, 0.9) == 0.1
    equal = np.random.default_rng(1).normal(size=len(error))
    few = slice(0, 60)
    assert choose_bandwidth(zero[few], equal[few], places[few], candidates, 0.9) == 100.0


def test_conditional_method_covers_each_group(errors):
    """With indicators of regions each has the quantile of its own errors."""
    pytest.importorskip("cvxpy")
    places, error = errors
    functions = np.column_stack([np.ones(len(error)), places[:, 0] > 0.5]).astype(float)
    west, east = conditional_half_width(error, functions, np.array([[1.0, 0.0], [1.0, 1.0]]), 0.9)
    in_east = places[:, 0] > 0.5
    assert west == pytest.approx(np.quantile(np.abs(error[~in_east]), 0.9), rel=0.05)
    assert east == pytest.approx(np.quantile(np.abs(error[in_east]), 0.9), rel=0.05)
    constant = conditional_half_width(error, np.ones((1000, 1)), np.ones((1, 1)), 0.9)
    assert constant[0] == pytest.approx(np.sort(np.abs(error))[900], abs=0.02)


def test_message_without_cvxpy(monkeypatch, errors):
    """The message names the package that MAPIE imports."""
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    monkeypatch.setattr("benchmarks.local_baselines.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="cvxpy-base"):
        conditional_half_width(errors[1], np.ones((1000, 1)), np.ones((1, 1)), 0.9)


@pytest.mark.parametrize("name", IntervalBaseline.factories)
def test_intervals_around_a_forest(name):
    """Intervals of new rows have about their nominal coverage, on rows with missing values."""
    package = {"geoconformal_forest": "geoconformal", "conditional_forest": "cvxpy"}[name]
    pytest.importorskip(package)
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(1400, 3)), columns=["x", "y", "clay"])
    y = 5 * X["clay"].to_numpy() + rng.normal(size=1400) * np.where(X["x"] > 0.5, 1.5, 0.5)
    X["soil"] = np.where(rng.uniform(size=1400) > 0.5, "peat", "sand")
    X.loc[::50, "clay"] = np.nan
    model = IntervalBaseline(name).fit(X[:1000], y[:1000])
    limits, infinite = model.predict_interval(X[1000:], 0.9)
    low, high = limits.T
    inside = (low <= y[1000:]) & (y[1000:] <= high)
    assert inside.mean() == pytest.approx(0.9, abs=0.06)
    assert not infinite.any()
    east = X["x"][1000:].to_numpy() > 0.5
    assert (high - low)[east].mean() > 1.3 * (high - low)[~east].mean()


def test_functions_of_the_conditional_method():
    """There is one function for each 40 calibration rows, in order."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(size=(1000, 3)), rng.uniform(size=1000) > 0.5])
    y = X[:, 2] + 0.1 * rng.normal(size=1000)

    class Forest:
        def fit(self, X, y):
            self.estimators_ = [self, self]

        def predict(self, X):
            return np.asarray(X)[:, 2]

    model = ConditionalConformalForest(Forest()).fit(X, y)  # 200 rows for calibration
    functions = model._functions(X)
    assert functions.shape == (1000, 5)  # 1, spread, distance, two of three regions
    np.testing.assert_array_equal(functions[:, 0], 1.0)
    assert set(np.unique(functions[:, 3:])) == {0.0, 1.0}
    small = ConditionalConformalForest(Forest()).fit(X[:150], y[:150])
    np.testing.assert_array_equal(small._functions(X), np.ones((1000, 1)))
