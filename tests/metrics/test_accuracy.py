"""Scores: known answers, agreement with esda and with plain formulas, and use as scorers."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from esda import Moran
from libpysal.graph import Graph
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sptgnn_sklearn.metrics import (
    bias,
    concordance_correlation,
    crps_gaussian,
    expected_calibration_error,
    expected_morans_i,
    interval_coverage,
    interval_score,
    make_residual_morans_i_scorer,
    model_efficiency,
    morans_i,
    neg_abs_residual_morans_i_scorer,
    residual_morans_i,
    rpiq,
)
from sptgnn_sklearn.metrics import moran as autocorrelation


def survey(n=150, seed=0):
    """Places in degrees with a value that is smooth in space, plus noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"lon": rng.uniform(5, 9, n), "lat": rng.uniform(48, 52, n)})
    return X, np.sin(2 * X["lon"]) + np.cos(X["lat"]) + rng.normal(scale=0.3, size=n)


def dense_morans_i(values, distance, n_neighbors):
    """Moran's I by its definition on a full matrix; ties at the last neighbour share its weight."""
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
    """Great-circle km between all pairs of (longitude, latitude)."""
    lon, lat = np.radians(xy).T
    h = np.sin((lat[:, None] - lat) / 2) ** 2
    h = h + np.cos(lat)[:, None] * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(h))


# --------------------------------------------------------------------------------- Moran's I


@pytest.mark.parametrize("n_neighbors", [1, 4, 8])
def test_morans_i_is_that_of_esda(n_neighbors):
    """In the plane and on the globe it agrees with esda on libpysal's own neighbours."""
    X, values = survey()
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


def test_neighbours_cross_the_date_line():
    """Neighbours are nearest along great circles, on both sides of 180 degrees."""
    rng = np.random.default_rng(0)
    xy = np.column_stack([rng.uniform(178, 182, 80), rng.uniform(-60, -50, 80)])
    xy[:, 0] = np.where(xy[:, 0] > 180, xy[:, 0] - 360, xy[:, 0])
    values = xy[:, 1] + rng.normal(size=80)
    expected = dense_morans_i(values, haversine(xy), 6)
    assert morans_i(values, xy, crs="EPSG:4326", n_neighbors=6) == pytest.approx(expected)


def test_rows_at_one_place_share_the_weight():
    """Repeated places agree with the definition, also where they have more rows than neighbours."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (60, 2))
    xy = np.vstack([xy, xy[:20], xy[:20], np.repeat(xy[:1], 12, axis=0)])
    values = np.sin(xy[:, 0] / 20) + rng.normal(scale=0.2, size=len(xy))
    distance = np.sqrt(((xy[:, None] - xy) ** 2).sum(axis=2))
    for n_neighbors in (1, 3, 8):
        expected = dense_morans_i(values, distance, n_neighbors)
        assert morans_i(values, xy, n_neighbors=n_neighbors) == pytest.approx(expected, abs=1e-12)


def test_ties_do_not_depend_on_row_order_or_rounding():
    """On a grid with repeated places, shuffled rows and shifted coordinates give the same value."""
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


def test_checkerboard_by_hand():
    """64 inner fields repel by 1, 32 at the edges by 1/2 and 4 corners by 0: I is -0.8."""
    east, north = np.meshgrid(np.arange(10.0), np.arange(10.0))
    xy = np.column_stack([east.ravel(), north.ravel()])
    assert morans_i(xy.sum(axis=1) % 2, xy, n_neighbors=4) == pytest.approx(-0.8)


@pytest.mark.parametrize("n", [2, 3, 4, 9])
def test_few_rows_are_all_neighbours(n):
    """Where all rows are neighbours of all, I is its expectation, and no warning is given."""
    rng = np.random.default_rng(n)
    assert morans_i(rng.normal(size=n), rng.normal(size=(n, 2))) == pytest.approx(-1 / (n - 1))


def test_expectation_of_independent_values():
    """The mean over permutations of the values is -1 / (n - 1)."""
    X, values = survey(40)
    rng = np.random.default_rng(0)
    found = [morans_i(rng.permutation(values), X) for _ in range(200)]
    assert np.mean(found) == pytest.approx(expected_morans_i(40), abs=3 * np.std(found) / 200**0.5)
    assert expected_morans_i(5) == -0.25
    with pytest.raises(ValueError, match="at least 2; found 1"):
        expected_morans_i(1)


@pytest.mark.parametrize("values", [np.full(9, 0.1), np.tile([0.1, 0.3 - 0.2, 0.1], 3)])
def test_constant_values_have_no_morans_i(values):
    """Values without variation, or with that of rounding only, give nan and say so."""
    with pytest.warns(UndefinedMetricWarning, match="9 row"):
        assert np.isnan(morans_i(values, survey(9)[0]))


def test_residuals_are_what_is_left():
    """A perfect trend leaves noise, no model leaves the trend, and the sign has no part."""
    X, y = survey()
    trend = np.sin(2 * X["lon"]) + np.cos(X["lat"])
    assert residual_morans_i(y, np.zeros(150), X) == pytest.approx(morans_i(y, X))
    assert residual_morans_i(y, trend, X) == pytest.approx(residual_morans_i(trend, y, X))
    assert abs(residual_morans_i(y, trend, X)) < 0.08 < 0.5 < morans_i(y, X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.r_[np.nan, np.ones(8)]}, "values holds NaN .* in 1 of 9 rows .*position 0"),
        ({"values": np.ones((9, 2))}, "values must be a vector"),
        ({"values": np.arange(8)}, "coordinates have 9 rows, values 8"),
        ({"n_neighbors": 0}, "n_neighbors must be a positive integer; found 0"),
        ({"n_neighbors": 1.5}, "n_neighbors must be a positive integer; found 1.5"),
        ({"crs": "EPSG:99"}, "crs='EPSG:99'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    """The error names the argument, what was found and where."""
    given = {"values": np.arange(9.0), "coordinates": survey(9)[0], **arguments}
    with pytest.raises(ValueError, match=message):
        morans_i(given.pop("values"), given.pop("coordinates"), **given)


def test_places_with_too_many_rows_are_refused(monkeypatch):
    """Pairs that would not fit in memory are counted before they are made."""
    monkeypatch.setattr(autocorrelation, "_MOST_PAIRS", 1000)
    with pytest.raises(ValueError, match=r"Up to 40 rows share one place.*1600 pairs.*Average"):
        morans_i(np.arange(40.0), np.ones((40, 2)))


# ----------------------------------------------------------------------------------- scorers


class Located(RegressorMixin, BaseEstimator):
    """Predicts zero; has the roles of a spatial estimator."""

    def __init__(self, coordinates=None, crs=None):
        self.coordinates = coordinates
        self.crs = crs

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.zeros(len(X))


def table():
    """Rows whose coordinates, E and N in degrees, are the last columns, behind a decoy pair."""
    X, y = survey()
    rng = np.random.default_rng(1)
    decoy = pd.DataFrame(rng.uniform(0, 1000, (len(X), 2)), columns=["x", "y"])
    return pd.concat([decoy, X.set_axis(["E", "N"], axis=1)], axis=1), y.to_numpy()


def expected_score(X, y, crs=4326):
    return -abs(morans_i(y, X[["E", "N"]].to_numpy(), crs=crs))


def test_scorer_reads_usual_names():
    """By default the score is minus the absolute value of I at the usual columns of X."""
    X, y = survey()
    model = Ridge().fit(X, y)
    expected = -abs(residual_morans_i(y, model.predict(X), X))
    assert neg_abs_residual_morans_i_scorer(model, X, y) == pytest.approx(expected)
    assert expected < -0.1
    repelling = np.where(np.arange(150) % 2, 1.0, -1.0)
    assert neg_abs_residual_morans_i_scorer(DummyRegressor().fit(X, y), X, repelling) <= 0


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
def test_scorer_takes_the_roles_of_the_estimator(wrap):
    """Coordinates and crs set on a spatial estimator are used, wherever it is wrapped."""
    X, y = table()
    model = wrap(Located(("E", "N"), crs=4326)).fit(X, y)
    if isinstance(model, TransformedTargetRegressor):
        y = y - model.predict(X)
        expected = expected_score(X, y)
        y = y + model.predict(X)
    else:
        expected = expected_score(X, y)
    assert neg_abs_residual_morans_i_scorer(model, X, y) == pytest.approx(expected)
    assert expected != pytest.approx(expected_score(X, y, crs=None), abs=1e-4)


def test_own_columns_of_the_scorer_win():
    """What the scorer was made with beats what the estimator says."""
    X, y = table()
    model = Located(("x", "y")).fit(X, y)
    scorer = make_residual_morans_i_scorer(("E", "N"), crs=4326)
    assert scorer(model, X, y) == pytest.approx(expected_score(X, y))
    by_crs = make_residual_morans_i_scorer(crs=4326)
    assert by_crs(Located(("E", "N"), crs=3857), X, y) == pytest.approx(expected_score(X, y))
    five = make_residual_morans_i_scorer(("E", "N"), n_neighbors=5)
    expected = -abs(morans_i(y, X[["E", "N"]].to_numpy(), n_neighbors=5))
    assert five(model, X, y) == pytest.approx(expected)


def test_positions_behind_a_transformer_are_not_trusted():
    """Positions are those of the transformed table: names of X help, a bare array is refused."""
    X, y = survey()
    wide = pd.concat([pd.DataFrame({"clay": np.ones(len(X))}), X], axis=1)
    swap = ColumnTransformer([("places", "passthrough", [1, 2])], remainder=StandardScaler())
    model = make_pipeline(swap, Located((0, 1), crs=4326)).fit(wide, y)
    expected = -abs(morans_i(y, X))
    assert neg_abs_residual_morans_i_scorer(model, wide, y) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"coordinates=\(0, 1\) of the last step.*make_residual"):
        neg_abs_residual_morans_i_scorer(model.fit(wide.to_numpy(), y), wide.to_numpy(), y)
    direct = Located((1, 2), crs=4326)
    found = neg_abs_residual_morans_i_scorer(direct, wide.to_numpy(), y)
    assert found == pytest.approx(expected)


def test_scorer_in_cross_validation_and_search():
    """Alone and in a dict, with weights and with routing, it ranks and reports like any scorer."""
    X, y = survey()
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
    weighted = GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring=scoring, refit="moran", cv=folds)
    with pytest.warns(UserWarning, match=r"make_residual_morans_i_scorer\(\) does not support"):
        weighted.fit(X, y, sample_weight=np.ones(len(X)))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(LinearRegression(), X, y, cv=folds, scoring=scoring)
    np.testing.assert_allclose(routed["test_moran"], result["test_moran"])


def test_scorer_copies_and_pickles():
    """A scorer with settings survives pickle and deepcopy as its equal."""
    scorer = make_residual_morans_i_scorer(("E", "N"), crs="EPSG:4326", n_neighbors=5)
    for twin in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert twin == scorer
    assert scorer != neg_abs_residual_morans_i_scorer


def test_scorer_is_always_finite():
    """Single rows and perfect predictions score 0, the best, and warn that I is undefined."""
    X, y = survey(12)
    y = 2 * X["lon"]
    with pytest.warns(UndefinedMetricWarning):
        scores = cross_validate(
            Located(), X, y, cv=LeaveOneOut(), scoring=neg_abs_residual_morans_i_scorer
        )
    np.testing.assert_array_equal(scores["test_score"], 0.0)
    with pytest.warns(UndefinedMetricWarning):
        assert neg_abs_residual_morans_i_scorer(Located(), X, np.zeros(12)) == 0.0


# ------------------------------------------------------------------------------- accuracy


def test_lins_ccc_by_hand():
    """Shift, scale and noise lower it by the published formula; perfect agreement is 1."""
    y = np.array([1.0, 2.0, 3.0, 4.0])
    assert concordance_correlation(y, y) == 1.0
    assert concordance_correlation(y, y + 1) == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1))
    assert concordance_correlation(y, 2 * y) == pytest.approx(2 * 2.5 / (1.25 + 5.0 + 2.5**2))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50))
    correlation, (sa, sb) = np.corrcoef(a, b)[0, 1], (a.std(), b.std())
    expected = 2 * correlation * sa * sb / (sa**2 + sb**2 + (a.mean() - b.mean()) ** 2)
    assert concordance_correlation(a, b) == pytest.approx(expected)
    assert concordance_correlation([1.0, 1.0], [2.0, 2.0]) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="CCC"):
        assert np.isnan(concordance_correlation([1.0, 1.0], [1.0, 1.0]))


def test_rpiq_by_hand():
    """Interquartile distance of the measured values over RMSE."""
    y = np.arange(9.0)
    assert rpiq(y, y + np.tile([2.0, -2.0, 2.0], 3)) == pytest.approx(2.0)
    assert rpiq(y, y) == np.inf
    with pytest.warns(UndefinedMetricWarning, match="RPIQ"):
        assert np.isnan(rpiq([1.0, 1.0], [1.0, 1.0]))


def test_model_efficiency_is_r2_and_bias_has_a_sign():
    """Model efficiency is R2 whatever the bias; overestimation is positive bias."""
    rng = np.random.default_rng(0)
    y, prediction = rng.normal(size=(2, 30))
    assert model_efficiency(y, prediction) == r2_score(y, prediction)
    assert bias(y, y + 0.5) == pytest.approx(0.5)
    assert bias(y, y - 0.5) == pytest.approx(-0.5)


# ---------------------------------------------------------------------------- uncertainty


def test_crps_is_the_integral_of_its_definition():
    """The closed form equals the integral of (F(x) - [x >= y])^2."""
    rng = np.random.default_rng(0)
    y, mean, std = rng.normal(size=6), rng.normal(size=6), rng.uniform(0.3, 2, 6)
    total = 0.0
    for row in range(6):
        cdf = norm(mean[row], std[row]).cdf
        total += quad(lambda x, cdf=cdf: cdf(x) ** 2, -30, y[row])[0]
        total += quad(lambda x, cdf=cdf: (1 - cdf(x)) ** 2, y[row], 30)[0]
    assert crps_gaussian(y, mean, std) == pytest.approx(total / 6, abs=1e-6)


def test_crps_is_that_of_draws():
    """E|X - y| - E|X - X'| / 2 over draws from the normal distribution, within 0.01."""
    rng = np.random.default_rng(0)
    x, other = rng.normal(1.0, 2.0, size=(2, 200_000))
    expected = np.abs(x - 2.5).mean() - np.abs(x - other).mean() / 2
    assert crps_gaussian([2.5], [1.0], [2.0]) == pytest.approx(expected, abs=0.01)


def test_scores_are_those_of_uncertainty_toolbox():
    """Calibration error on the same levels, and CRPS, to 1e-12."""
    toolbox = pytest.importorskip("uncertainty_toolbox")
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=300), rng.uniform(0.5, 2, 300)
    y = mean + 1.4 * std * rng.normal(size=300)
    # It counts the levels 0 and 1 too, at which no interval can err.
    known = toolbox.mean_absolute_calibration_error(mean, std, y, num_bins=101)
    assert expected_calibration_error(y, mean, std) == pytest.approx(known * 101 / 99, abs=1e-12)
    known = toolbox.crps_gaussian(mean, std, y)
    assert crps_gaussian(y, mean, std) == pytest.approx(known, abs=1e-12)


def test_crps_of_certain_predictions_is_the_absolute_error():
    """A standard deviation of 0 gives |y - mean|, the limit of small ones, without a warning."""
    y, mean = np.array([1.0, 2.0, 5.0]), np.array([1.0, 0.0, 8.0])
    assert crps_gaussian(y, mean, np.zeros(3)) == pytest.approx(5 / 3)
    assert crps_gaussian(y, mean, np.full(3, 1e-9)) == pytest.approx(5 / 3)


def test_coverage_counts_limits_as_inside():
    """Limits belong to intervals; infinite ones hold everything."""
    y = np.arange(5.0)
    assert interval_coverage(y, np.full(5, 1.0), np.full(5, 3.0)) == 0.6
    assert interval_coverage(y, np.full(5, -np.inf), np.full(5, 3.5)) == 0.8


def test_interval_score_by_hand_and_at_its_best():
    """Width plus 2/alpha times the miss on either side; true quantiles score best."""
    lower, upper = np.array([0.0, 0.0, 0.0]), np.array([2.0, 2.0, 2.0])
    found = interval_score([1.0, 2.5, -1.0], lower, upper, coverage=0.9)
    assert found == pytest.approx((2 + (2 + 20 * 0.5) + (2 + 20 * 1.0)) / 3)
    y = np.random.default_rng(0).normal(size=20_000)
    scores = {
        half: interval_score(y, np.full(20_000, -half), np.full(20_000, half), coverage=0.9)
        for half in (1.3, norm.ppf(0.95), 2.1)
    }
    assert min(scores, key=scores.get) == norm.ppf(0.95)


@pytest.mark.parametrize("levels", [1, 9, 99])
def test_calibration_error_by_its_definition(levels):
    """The fast form equals a loop over the central intervals."""
    rng = np.random.default_rng(0)
    y, mean, std = rng.normal(size=80), rng.normal(scale=0.5, size=80), rng.uniform(0.5, 1.5, 80)
    gaps = []
    for i in range(1, levels + 1):
        p = i / (levels + 1)
        half = std * norm.ppf((1 + p) / 2)
        gaps.append(abs(p - interval_coverage(y, mean - half, mean + half)))
    found = expected_calibration_error(y, mean, std, levels=levels)
    assert found == pytest.approx(np.mean(gaps), abs=1e-12)


def test_calibration_error_of_known_cases():
    """Right intervals are near 0; certain ones, all right or all wrong, are half the levels off."""
    y = norm.ppf((np.arange(5000) + 0.5) / 5000)
    zeros, ones = np.zeros(5000), np.ones(5000)
    assert expected_calibration_error(y, zeros, ones) < 0.001
    assert expected_calibration_error(y, zeros, 3 * ones) > 0.2
    assert expected_calibration_error(y, y, zeros) == pytest.approx(0.5)
    assert expected_calibration_error(y, y + 1, zeros) == pytest.approx(0.5)
    half_right = y + np.arange(5000) % 2
    assert expected_calibration_error(y, half_right, zeros) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: concordance_correlation([1.0, 2.0], [1.0]),
            r"one length; found {'y_true': 2, 'y_pred': 1}",
        ),
        (lambda: bias([], []), "y_true must be a vector of at least one value"),
        (lambda: rpiq([1.0, np.inf], [1.0, 2.0]), "y_true holds NaN or infinite .*position 1"),
        (lambda: crps_gaussian([1.0], [1.0], [-1.0]), "std holds negative values in 1 of 1"),
        (lambda: expected_calibration_error([1.0], [1.0], [-1.0]), "std holds negative"),
        (lambda: expected_calibration_error([1.0], [1.0], [1.0], 0), "levels must be at least 1"),
        (lambda: interval_coverage([1.0], [2.0], [0.0]), "lower is above upper in 1 of 1 rows"),
        (lambda: interval_coverage([1.0], [np.nan], [0.0]), "lower holds NaN"),
        (lambda: interval_score([1.0], [0.0], [2.0], 90), "coverage must lie between 0 and 1"),
    ],
)
def test_wrong_input_is_refused(call, message):
    """The error names the argument, the number of rows and the first of them."""
    with pytest.raises(ValueError, match=message):
        call()


def test_columns_and_lists_are_vectors():
    """Columns of shape (n, 1), lists and Series are all taken, and do not broadcast."""
    y = pd.Series([1.0, 2.0, 4.0], index=[7, 8, 9])
    column = np.array([[2.0], [2.0], [2.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bias(y, column) == pytest.approx(-1 / 3)
        assert concordance_correlation(list(y), column) == concordance_correlation(y, column[:, 0])
