"""Moran's I: agreement with esda and with its definition, and use as a scorer."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from esda import Moran
from libpysal.graph import Graph
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.fixes import parse_version

from sptgnn_sklearn.metrics import (
    expected_morans_i,
    make_residual_morans_i_scorer,
    moran,
    morans_i,
    neg_abs_residual_morans_i_scorer,
    residual_morans_i,
)


def smooth_sample(n=150, seed=0):
    """Return coordinates in degrees, and a smooth function of them plus noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"lon": rng.uniform(5, 9, n), "lat": rng.uniform(48, 52, n)})
    return X, np.sin(2 * X["lon"]) + np.cos(X["lat"]) + rng.normal(scale=0.3, size=n)


def dense_morans_i(values, distance, n_neighbors):
    """Return Moran's I by its definition; ties at the last neighbor share its weight."""
    n = len(values)
    weights = np.zeros((n, n))
    for i in range(n):
        others = np.delete(distance[i], i)
        last = np.sort(others)[n_neighbors - 1]
        nearer = np.flatnonzero(distance[i] < last - 1e-9)
        tied = np.flatnonzero(np.abs(distance[i] - last) <= 1e-9)
        nearer, tied = nearer[nearer != i], tied[tied != i]
        weights[i, nearer] = 1 / n_neighbors
        weights[i, tied] = (n_neighbors - len(nearer)) / n_neighbors / len(tied)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    z = values - values.mean()
    return z @ weights @ z / (z @ z)


def haversine(xy):
    """Return great-circle distances in km between all pairs of (longitude, latitude)."""
    lon, lat = np.radians(xy).T
    h = np.sin((lat[:, None] - lat) / 2) ** 2
    h = h + np.cos(lat)[:, None] * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(h))


@pytest.mark.parametrize("n_neighbors", [1, 4, 8])
def test_morans_i_equals_esda(n_neighbors):
    """On planar and geographic coordinates it equals esda with the neighbors of libpysal."""
    X, values = smooth_sample()
    xy = X.to_numpy()
    flat = Graph.build_knn(xy, k=n_neighbors).transform("r")
    assert morans_i(values, xy, n_neighbors=n_neighbors) == pytest.approx(
        Moran(values, flat, permutations=0).I, abs=1e-10
    )
    globe = Graph.build_knn(xy, k=n_neighbors, metric="haversine").transform("r")
    assert morans_i(values, X, n_neighbors=n_neighbors) == pytest.approx(
        Moran(values, globe, permutations=0).I, abs=1e-10
    )
    assert morans_i(values, xy, crs=4326) == morans_i(values, X)
    assert morans_i(values, X) != pytest.approx(morans_i(values, xy), abs=1e-4)


def test_neighbors_across_date_line():
    """Neighbors are nearest along great circles, also on both sides of 180 degrees."""
    rng = np.random.default_rng(0)
    xy = np.column_stack([rng.uniform(178, 182, 80), rng.uniform(-60, -50, 80)])
    xy[:, 0] = np.where(xy[:, 0] > 180, xy[:, 0] - 360, xy[:, 0])
    values = xy[:, 1] + rng.normal(size=80)
    expected = dense_morans_i(values, haversine(xy), 6)
    assert morans_i(values, xy, crs="EPSG:4326", n_neighbors=6) == pytest.approx(expected)


def test_rows_at_same_location_share_weight():
    """Repeated locations follow the definition, also with more rows than neighbors."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (60, 2))
    xy = np.vstack([xy, xy[:20], xy[:20], np.repeat(xy[:1], 12, axis=0)])
    values = np.sin(xy[:, 0] / 20) + rng.normal(scale=0.2, size=len(xy))
    distance = np.sqrt(((xy[:, None] - xy) ** 2).sum(axis=2))
    for n_neighbors in (1, 3, 8):
        expected = dense_morans_i(values, distance, n_neighbors)
        assert morans_i(values, xy, n_neighbors=n_neighbors) == pytest.approx(expected, abs=1e-12)


def test_ties_do_not_depend_on_row_order_or_rounding():
    """On a grid with repeated locations, row order and origin of coordinates do not matter."""
    east, north = np.meshgrid(np.arange(8) * 0.1, np.arange(8) * 0.1)
    xy = np.column_stack([east.ravel(), north.ravel()])[np.r_[:64, 3, 3, 40, 41]]
    rng = np.random.default_rng(0)
    values = rng.normal(size=len(xy))
    expected = morans_i(values, xy, n_neighbors=5)
    for _ in range(3):
        order = rng.permutation(len(xy))
        shifted = xy[order] + [181_072.3, 5_333_611.7]
        assert morans_i(values[order], shifted, n_neighbors=5) == pytest.approx(expected, abs=1e-9)
    east, north = xy.T
    on_globe = [
        morans_i(values, np.column_stack([east + lon, north + 50]), crs=4326)
        for lon in (0, 37.3, -101.9, 179.7)
    ]
    assert np.ptp(on_globe) < 1e-9


def test_checkerboard_known_answer():
    """64 inner cells contribute -1, 32 at edges -1/2 and 4 at corners 0, so I is -0.8."""
    east, north = np.meshgrid(np.arange(10.0), np.arange(10.0))
    xy = np.column_stack([east.ravel(), north.ravel()])
    assert morans_i(xy.sum(axis=1) % 2, xy, n_neighbors=4) == pytest.approx(-0.8)


@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_few_rows_are_all_neighbors(n):
    """Where all rows are neighbors, I equals its expectation, without a warning."""
    rng = np.random.default_rng(n)
    assert morans_i(rng.normal(size=n), rng.normal(size=(n, 2))) == pytest.approx(-1 / (n - 1))


def test_expectation_of_independent_values():
    """The mean over permutations of the values is -1 / (n - 1)."""
    X, values = smooth_sample(40)
    rng = np.random.default_rng(0)
    results = [morans_i(rng.permutation(values), X) for _ in range(200)]
    assert np.mean(results) == pytest.approx(
        expected_morans_i(40), abs=3 * np.std(results) / 200**0.5
    )
    assert expected_morans_i(5) == -0.25
    with pytest.raises(ValueError, match="at least 2; found 1"):
        expected_morans_i(1)


@pytest.mark.parametrize("values", [np.full(9, 0.1), np.tile([0.1, 0.3 - 0.2, 0.1], 3)])
def test_constant_values_give_nan(values):
    """Values that are constant, or vary by rounding only, give nan with a warning."""
    with pytest.warns(UndefinedMetricWarning, match="9 row"):
        assert np.isnan(morans_i(values, smooth_sample(9)[0]))


def test_residual_morans_i():
    """Subtracting the trend removes autocorrelation; the sign of residuals does not matter."""
    X, y = smooth_sample()
    trend = np.sin(2 * X["lon"]) + np.cos(X["lat"])
    assert residual_morans_i(y, np.zeros(150), X) == pytest.approx(morans_i(y, X))
    assert residual_morans_i(y, trend, X) == pytest.approx(residual_morans_i(trend, y, X))
    assert abs(residual_morans_i(y, trend, X)) < 0.08 < 0.5 < morans_i(y, X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.r_[np.nan, np.ones(8)]}, "values holds NaN .* in 1 of 9 rows .*position 0"),
        ({"values": np.ones((9, 2))}, "values must be a vector"),
        ({"values": np.arange(8)}, "coordinates have 9 rows, but values 8"),
        ({"n_neighbors": 0}, "n_neighbors must be a positive integer; found 0"),
        ({"n_neighbors": 1.5}, "n_neighbors must be a positive integer; found 1.5"),
        ({"crs": "EPSG:99"}, "crs='EPSG:99'"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    """The error names the parameter, the value found and its position."""
    arguments = {"values": np.arange(9.0), "coordinates": smooth_sample(9)[0], **arguments}
    with pytest.raises(ValueError, match=message):
        morans_i(arguments.pop("values"), arguments.pop("coordinates"), **arguments)


def test_too_many_rows_at_one_location_raise(monkeypatch):
    """The number of pairs is checked before they are allocated."""
    monkeypatch.setattr(moran, "_MOST_PAIRS", 1000)
    with pytest.raises(ValueError, match=r"40 rows of coordinates .*1600 pairs"):
        morans_i(np.arange(40.0), np.ones((40, 2)))


class ZeroRegressor(RegressorMixin, BaseEstimator):
    """Predicts zero and has the role parameters of a spatial estimator."""

    def __init__(self, coordinates=None, crs=None):
        self.coordinates = coordinates
        self.crs = crs

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.zeros(len(X))


def table_with_decoy():
    """Return rows with coordinates E and N, in degrees, after two columns with misleading names."""
    X, y = smooth_sample()
    rng = np.random.default_rng(1)
    decoy = pd.DataFrame(rng.uniform(0, 1000, (len(X), 2)), columns=["x", "y"])
    return pd.concat([decoy, X.set_axis(["E", "N"], axis=1)], axis=1), y.to_numpy()


def expected_score(X, y, crs=4326):
    return -abs(morans_i(y, X[["E", "N"]].to_numpy(), crs=crs))


def test_scorer_finds_usual_column_names():
    """By default the score is -|I| at the columns of X with usual names."""
    X, y = smooth_sample()
    model = Ridge().fit(X, y)
    expected = -abs(residual_morans_i(y, model.predict(X), X))
    assert neg_abs_residual_morans_i_scorer(model, X, y) == pytest.approx(expected)
    assert expected < -0.1
    alternating = np.where(np.arange(150) % 2, 1.0, -1.0)
    assert neg_abs_residual_morans_i_scorer(DummyRegressor().fit(X, y), X, alternating) <= 0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: make_pipeline(model),
        lambda model: make_pipeline(FunctionTransformer(), model),
        lambda model: TransformedTargetRegressor(model),
        lambda model: GridSearchCV(model, {}, cv=3),
        lambda model: GridSearchCV(make_pipeline(FunctionTransformer(), model), {}, cv=3),
    ],
)
def test_scorer_uses_roles_of_wrapped_estimator(wrap):
    """The parameters coordinates and crs of a spatial estimator are found inside wrappers."""
    X, y = table_with_decoy()
    model = wrap(ZeroRegressor(("E", "N"), crs=4326)).fit(X, y)
    if isinstance(model, TransformedTargetRegressor):
        y = y - model.predict(X)
        expected = expected_score(X, y)
        y = y + model.predict(X)
    else:
        expected = expected_score(X, y)
    assert neg_abs_residual_morans_i_scorer(model, X, y) == pytest.approx(expected)
    assert expected != pytest.approx(expected_score(X, y, crs=None), abs=1e-4)


def test_scorer_parameters_override_estimator():
    """Coordinates and crs of the scorer take precedence over those of the estimator."""
    X, y = table_with_decoy()
    model = ZeroRegressor(("x", "y")).fit(X, y)
    scorer = make_residual_morans_i_scorer(("E", "N"), crs=4326)
    assert scorer(model, X, y) == pytest.approx(expected_score(X, y))
    by_crs = make_residual_morans_i_scorer(crs=4326)
    assert by_crs(ZeroRegressor(("E", "N"), crs=3857), X, y) == pytest.approx(expected_score(X, y))
    five = make_residual_morans_i_scorer(("E", "N"), n_neighbors=5)
    expected = -abs(morans_i(y, X[["E", "N"]].to_numpy(), n_neighbors=5))
    assert five(model, X, y) == pytest.approx(expected)


def test_positions_after_transformer_are_ignored():
    """Positions refer to the transformed table: names of X are used, an array raises."""
    X, y = smooth_sample()
    wide = pd.concat([pd.DataFrame({"clay": np.ones(len(X))}), X], axis=1)
    swap = ColumnTransformer([("coordinates", "passthrough", [1, 2])], remainder=StandardScaler())
    model = make_pipeline(swap, ZeroRegressor((0, 1), crs=4326)).fit(wide, y)
    expected = -abs(morans_i(y, X))
    assert neg_abs_residual_morans_i_scorer(model, wide, y) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"coordinates=\(0, 1\) of the last step"):
        neg_abs_residual_morans_i_scorer(model.fit(wide.to_numpy(), y), wide.to_numpy(), y)
    direct = ZeroRegressor((1, 2), crs=4326)
    result = neg_abs_residual_morans_i_scorer(direct, wide.to_numpy(), y)
    assert result == pytest.approx(expected)


def test_scorer_in_cross_validation_and_search():
    """It works alone, in a dict and with metadata routing, and searches warn about weights."""
    X, y = smooth_sample()
    scoring = {"r2": "r2", "moran": neg_abs_residual_morans_i_scorer}
    folds = KFold(3, shuffle=True, random_state=0)
    result = cross_validate(LinearRegression(), X, y, cv=folds, scoring=scoring)
    for (train, test), score in zip(folds.split(X), result["test_moran"], strict=True):
        residual = y[test] - LinearRegression().fit(X.iloc[train], y[train]).predict(X.iloc[test])
        assert score == pytest.approx(-abs(morans_i(residual, X.iloc[test])))
    search = GridSearchCV(
        Ridge(), {"alpha": [1e-3, 1e6]}, scoring=scoring, refit="moran", cv=folds
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_moran"]).all()
    assert search.score(X, y) == neg_abs_residual_morans_i_scorer(search, X, y)
    if parse_version(sklearn.__version__) >= parse_version("1.7"):  # before, only with routing
        weighted = GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring=scoring, refit="moran", cv=folds)
        with pytest.warns(UserWarning, match=r"make_residual_morans_i_scorer\(\) does not support"):
            weighted.fit(X, y, sample_weight=np.ones(len(X)))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(LinearRegression(), X, y, cv=folds, scoring=scoring, params={})
    np.testing.assert_allclose(routed["test_moran"], result["test_moran"])


def test_scorer_copies_and_pickles():
    """Pickled and copied scorers are equal to the original."""
    scorer = make_residual_morans_i_scorer(("E", "N"), crs="EPSG:4326", n_neighbors=5)
    for restored in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert restored == scorer
    assert scorer != neg_abs_residual_morans_i_scorer


def test_scorer_is_always_finite():
    """Single rows and perfect predictions score 0 and warn that I is undefined."""
    X, y = smooth_sample(12)
    y = 2 * X["lon"]
    with pytest.warns(UndefinedMetricWarning):
        scores = cross_validate(
            ZeroRegressor(), X, y, cv=LeaveOneOut(), scoring=neg_abs_residual_morans_i_scorer
        )
    np.testing.assert_array_equal(scores["test_score"], 0.0)
    with pytest.warns(UndefinedMetricWarning):
        assert neg_abs_residual_morans_i_scorer(ZeroRegressor(), X, np.zeros(12)) == 0.0
