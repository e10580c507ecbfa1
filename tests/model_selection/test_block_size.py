"""The suggested size of blocks: the range of the residual variogram, and clear refusals."""

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


def field(n=200, side=100.0, reach=15.0, seed=0):
    """Places in an oblong, and residuals that neighbours share."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, side, (n, 2)) * [1.0, 0.6]
    centers = rng.uniform(0, side, (60, 2)) * [1.0, 0.6]
    heights = rng.normal(size=60)
    apart = np.linalg.norm(xy[:, None] - centers[None], axis=2)
    return xy, np.exp(-((apart / reach) ** 2)) @ heights + 0.1 * rng.normal(size=n)


def fitted_range(plane, residuals, n_lags=20, model="spherical"):
    """The range by scikit-gstat alone: equal classes of distance up to a third of the diagonal."""
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
    """That of scikit-gstat with the classes that are documented."""
    xy, residuals = field()
    expected = fitted_range(xy, residuals, **settings)
    assert suggest_block_size(table(xy), residuals, **settings) == pytest.approx(expected, rel=1e-6)


def test_columns_and_system_are_read():
    """Coordinates by name beside others, and degrees as kilometres on the ground."""
    xy, residuals = field()
    named = table(xy, ("east", "north"), x=np.arange(200.0), y=0.5)
    expected = fitted_range(xy, residuals)
    found = suggest_block_size(named, residuals, coordinates=("east", "north"))
    assert found == pytest.approx(expected, rel=1e-6)
    degrees = xy / 100 + [5.0, 50.0]
    plane = to_local_plane(degrees, resolve_crs(4326, []))
    expected = fitted_range(plane, residuals)
    for X, settings in ((table(degrees), {"crs": 4326}), (table(degrees, ("lon", "lat")), {})):
        assert suggest_block_size(X, residuals, **settings) == pytest.approx(expected, rel=1e-4)


def test_samples_of_one_place_count_once():
    """Their mean is taken; one more row per place changes nothing."""
    xy, residuals = field(80)
    twice = np.concatenate([residuals + 1, residuals - 1])
    found = suggest_block_size(table(np.concatenate([xy, xy])), twice)
    assert found == pytest.approx(suggest_block_size(table(xy), residuals), rel=1e-6)


def test_large_tables_are_sampled(monkeypatch):
    """So many rows as asked for, each at most once, by the seed; small ones are taken whole."""
    xy, residuals = field(120)
    plain, seen = skgstat.Variogram, []

    def noting(plane, values, **settings):
        seen.append(plane)
        return plain(plane, values, **settings)

    monkeypatch.setattr(skgstat, "Variogram", noting)
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
    assert [len(np.unique(plane, axis=0)) for plane in seen] == [60, 60, 60, 120, 120]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[3], seen[4])  # in their order, not drawn
    assert sizes[0] == sizes[1] and sizes[3] == sizes[4]


def test_classes_without_pairs_are_made_wider(monkeypatch):
    """As few fewer as needed, down to the fewest, so that few places in clusters can be fitted."""
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [25.0, 0.0], [0.0, 100.0]])
    xy = np.concatenate([center + rng.uniform(0, 4, (15, 2)) for center in centers])
    far = np.linalg.norm(np.ptp(xy, axis=0)) / 3

    def whole(n):
        return np.histogram(pdist(xy), n, (0, far))[0].all()

    wanted = next(n for n in range(20, 0, -1) if whole(n))
    counts = []
    plain = skgstat.Variogram

    def noting(plane, values, **settings):
        counts.append(settings["n_lags"])
        return plain(plane, values, **settings)

    monkeypatch.setattr(skgstat, "Variogram", noting)
    residuals = np.sin(xy[:, 0]) + xy[:, 1] / 50
    for n_lags in (20, 14):
        try:
            suggest_block_size(table(xy), residuals, n_lags=n_lags)
        except ValueError as error:
            assert "variogram fits these residuals" in str(error)
    assert counts == [max(wanted, 4)] * 2


def test_size_follows_the_range():
    """Errors with a longer range ask for larger blocks; the estimate is near the truth."""
    found = []
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
        found.append(np.median(sizes) / range_km)
    assert all(0.5 < ratio < 2 for ratio in found)


def test_impossible_sizes(monkeypatch):
    """Too few places, residuals that are constant, missing or too few, and no fit."""
    xy, residuals = field(60)
    X = table(xy)
    with pytest.raises(ValueError, match=r"residuals that differ; found 60 locations and a spread"):
        suggest_block_size(X, np.zeros(60))
    assert suggest_block_size(X, residuals / 1e3) > 0  # small ones differ too
    assert suggest_block_size(X.iloc[:30], residuals[:30].tolist()) > 0
    with pytest.raises(ValueError, match="needs 30 locations"):
        suggest_block_size(X.iloc[:29], residuals[:29])
    with pytest.raises(ValueError, match="residuals hold NaN or inf in 1 rows"):
        suggest_block_size(X, np.r_[np.nan, np.ones(59)])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        suggest_block_size(X, residuals[:59])
    with pytest.raises(ValueError, match=r"No 'nonsense' variogram fits these residuals: \S"):
        suggest_block_size(X, residuals, model="nonsense")
    monkeypatch.setitem(sys.modules, "skgstat", None)
    with pytest.raises(ImportError, match=r"^suggest_block_size needs .* \"sptgnn-sklearn\[demo\]"):
        suggest_block_size(X, residuals)
