"""Suggested block size: the range of the residual variogram, and errors."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import suggest_block_size
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.spatial.distances import to_local_plane

skgstat = pytest.importorskip("skgstat")
# The smooth fields of these tests are correlated across the whole area.
pytestmark = pytest.mark.filterwarnings("ignore:The range .* is the upper bound of the fit")


def field(n=200, side=100.0, radius=15.0, seed=0):
    """Return locations in a rectangle and spatially correlated residuals."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, side, (n, 2)) * [1.0, 0.6]
    centers = rng.uniform(0, side, (60, 2)) * [1.0, 0.6]
    heights = rng.normal(size=60)
    distance = np.linalg.norm(xy[:, None] - centers[None], axis=2)
    return xy, np.exp(-((distance / radius) ** 2)) @ heights + 0.1 * rng.normal(size=n)


def fitted_range(plane, residuals, n_lags=20, model="spherical"):
    """Return the range of scikit-gstat, with equal classes up to a third of the diagonal."""
    width, height = plane.max(axis=0) - plane.min(axis=0)
    return skgstat.Variogram(
        plane,
        residuals,
        model=model,
        n_lags=n_lags,
        bin_func="even",
        maxlag=np.hypot(width, height) / 3,
        use_nugget=True,
        fit_sigma="linear",
    ).parameters[0]


def table(xy, names=("x", "y"), **columns):
    return pd.DataFrame({names[0]: xy[:, 0], names[1]: xy[:, 1], **columns})


@pytest.mark.parametrize("settings", [{}, {"n_lags": 12}, {"model": "exponential"}])
def test_size_is_the_range_of_the_variogram(settings):
    """The size equals the range of scikit-gstat with the documented classes."""
    xy, residuals = field()
    expected = fitted_range(xy, residuals, **settings)
    assert suggest_block_size(table(xy), residuals, **settings) == pytest.approx(expected, rel=1e-6)


def test_coordinates_and_crs_are_used():
    """Coordinates are found by name, and sizes of geographic coordinates are in km."""
    xy, residuals = field()
    named = table(xy, ("east", "north"), x=np.arange(200.0), y=0.5)
    expected = fitted_range(xy, residuals)
    result = suggest_block_size(named, residuals, coordinates=("east", "north"))
    assert result == pytest.approx(expected, rel=1e-6)
    degrees = xy / 100 + [5.0, 50.0]
    plane = to_local_plane(degrees, resolve_crs(4326, []))
    expected = fitted_range(plane, residuals)
    for X, settings in ((table(degrees), {"crs": 4326}), (table(degrees, ("lon", "lat")), {})):
        assert suggest_block_size(X, residuals, **settings) == pytest.approx(expected, rel=1e-4)


def test_samples_of_one_location_are_averaged():
    """A second row per location with the same mean residual changes nothing."""
    xy, residuals = field(80)
    twice = np.concatenate([residuals + 1, residuals - 1])
    result = suggest_block_size(table(np.concatenate([xy, xy])), twice)
    assert result == pytest.approx(suggest_block_size(table(xy), residuals), rel=1e-6)


def test_large_tables_are_sampled(monkeypatch):
    """max_rows distinct rows are drawn by the seed; smaller tables are used whole."""
    xy, residuals = field(120)
    original, planes = skgstat.Variogram, []

    def recording(plane, values, **settings):
        planes.append(plane)
        return original(plane, values, **settings)

    monkeypatch.setattr(skgstat, "Variogram", recording)
    sizes = [
        suggest_block_size(table(xy), residuals, **settings)
        for settings in (
            {"max_rows": 60},
            {"max_rows": 60, "random_state": 0},
            {"max_rows": 60, "random_state": 1},
            {"max_rows": 120},
            {},
        )
    ]
    assert [len(np.unique(plane, axis=0)) for plane in planes] == [60, 60, 60, 120, 120]
    np.testing.assert_array_equal(planes[0], planes[1])
    assert not np.array_equal(planes[0], planes[2])
    np.testing.assert_array_equal(planes[3], planes[4])  # in their order, not drawn
    assert sizes[0] == sizes[1] and sizes[3] == sizes[4]


def test_classes_without_pairs_are_widened(monkeypatch):
    """n_lags is decreased until each class has pairs, but not below 4."""
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [25.0, 0.0], [0.0, 100.0]])
    xy = np.concatenate([center + rng.uniform(0, 4, (15, 2)) for center in centers])
    max_lag = np.linalg.norm(np.ptp(xy, axis=0)) / 3

    def all_filled(n):
        return np.histogram(pdist(xy), n, (0, max_lag))[0].all()

    expected = next(n for n in range(20, 0, -1) if all_filled(n))
    counts = []
    original = skgstat.Variogram

    def recording(plane, values, **settings):
        counts.append(settings["n_lags"])
        return original(plane, values, **settings)

    monkeypatch.setattr(skgstat, "Variogram", recording)
    residuals = np.sin(xy[:, 0]) + xy[:, 1] / 50
    for n_lags in (20, 14):
        try:
            suggest_block_size(table(xy), residuals, n_lags=n_lags)
        except ValueError as error:
            assert "variogram cannot be fitted" in str(error)
    assert counts == [max(expected, 4)] * 2


def test_size_is_near_the_true_range():
    """Simulated residuals with known ranges give similar sizes."""
    results = []
    for range_km in (40.0, 120.0):
        sizes = []
        for seed in range(3):
            survey = make_soil_survey(
                500,
                covariate_sd=0,
                elevation_sd=0,
                season_sd=0,
                trend_sd=0,
                range_km=range_km,
                random_state=seed,
            )
            sizes.append(suggest_block_size(survey.data, survey.target - survey.target.mean()))
        results.append(np.median(sizes) / range_km)
    assert all(0.5 < ratio < 2 for ratio in results)


def test_invalid_input_raises(monkeypatch):
    """Too few locations, constant, missing or too few residuals, and unknown models."""
    xy, residuals = field(60)
    X = table(xy)
    with pytest.raises(ValueError, match=r"found 60 locations and residuals with a range of 0\."):
        suggest_block_size(X, np.zeros(60))
    assert suggest_block_size(X, residuals / 1e3) > 0  # small residuals are valid
    assert suggest_block_size(X.iloc[:30], residuals[:30].tolist()) > 0
    with pytest.raises(ValueError, match=r"at least 30 locations .* found 29"):
        suggest_block_size(X.iloc[:29], residuals[:29])
    with pytest.raises(ValueError, match="residuals hold NaN or inf in 1 rows"):
        suggest_block_size(X, np.r_[np.nan, np.ones(59)])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        suggest_block_size(X, residuals[:59])
    with pytest.raises(ValueError, match=r"'nonsense' variogram cannot be fitted: \S"):
        suggest_block_size(X, residuals, model="nonsense")
    monkeypatch.setitem(sys.modules, "skgstat", None)
    with pytest.raises(ImportError, match=r"^suggest_block_size needs scikit-gstat.*\[demo\]"):
        suggest_block_size(X, residuals)


@pytest.mark.parametrize("n", [100, 250, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pure_noise_warns(n, seed):
    """The range of uncorrelated residuals is no block size."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1e5, (n, 2))
    with pytest.warns(UserWarning, match="not a reliable block size.*hardly correlated.*KNNDM"):
        suggest_block_size(table(xy), rng.normal(size=n))


@pytest.mark.parametrize("power", [1, 2])
def test_range_at_the_bound_warns(power):
    """A trend has no range within the area."""
    xy, _ = field()
    residuals = (xy[:, 0] / 100) ** power + 0.01 * np.random.default_rng(0).normal(size=200)
    with pytest.warns(UserWarning, match="upper bound of the fit.*trend"):
        suggest_block_size(table(xy), residuals)


@pytest.mark.parametrize("range_km", [40.0, 120.0])
def test_structured_residuals_do_not_warn(range_km):
    """Simulated fields with ranges within the area are fitted without a warning."""
    survey = make_soil_survey(
        500, covariate_sd=0, elevation_sd=0, season_sd=0, trend_sd=0, range_km=range_km,
        random_state=0,
    )  # fmt: skip
    assert suggest_block_size(survey.data, survey.target - survey.target.mean()) > 10
