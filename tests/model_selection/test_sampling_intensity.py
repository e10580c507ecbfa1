"""Weights by the inverse of the sampling intensity, held against known intensities."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gaussian_kde

from sptgnn_sklearn.model_selection import inverse_intensity_weights
from sptgnn_sklearn.model_selection.sampling_intensity import choose_bandwidth
from sptgnn_sklearn.spatial.crs import resolve_crs

PLANE = resolve_crs(None, ["x", "y"])


def grid(n, low=0.0, high=10.0):
    middle = low + (np.arange(n) + 0.5) * (high - low) / n
    return np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)


def test_uniform_samples_have_weights_near_one():
    """Also at the edges and corners of the area, where half of the kernel is outside."""
    xy = np.random.default_rng(0).uniform(0, 10, (800, 2))
    for area in (None, grid(40)):
        weights = inverse_intensity_weights(xy, area=area)
        assert weights.mean() == pytest.approx(1)
        assert weights.std() < 0.15
        edge = (np.abs(xy - 5) > 4.5).any(axis=1)
        assert weights[edge].mean() == pytest.approx(weights[~edge].mean(), abs=0.1)


def test_regular_samples_have_equal_weights():
    """A grid of samples over the same grid of prediction points has no cluster."""
    np.testing.assert_allclose(inverse_intensity_weights(grid(20), area=grid(20)), 1, rtol=1e-12)


def test_twice_the_density_has_half_of_the_weight():
    """Away from the border between the halves."""
    dense = grid(20) * [0.5, 1.0]  # 400 in the western half
    sparse = grid(20)[::2] * [0.5, 1.0] + [5.0, 0.0]
    weights = inverse_intensity_weights(np.vstack([dense, sparse]), area=grid(50), bandwidth=0.6)
    west, east = weights[:400][dense[:, 0] < 3], weights[400:][sparse[:, 0] > 7]
    assert east.mean() / west.mean() == pytest.approx(2, rel=0.03)


def test_weighted_mean_of_a_clustered_sample_is_that_of_the_area():
    """The mean of a trend, of which clusters see one end only."""
    rng = np.random.default_rng(0)
    xy = np.vstack([rng.uniform(0, 10, (150, 2)), rng.normal([8, 8], 0.7, (150, 2))])
    xy = xy[(xy < 10).all(axis=1)]
    weights = inverse_intensity_weights(xy, area=grid(40))
    assert xy[:, 0].mean() > 6.2
    assert np.average(xy[:, 0], weights=weights) == pytest.approx(5, abs=0.4)


def test_intensity_is_scipys_kernel_density_without_edges():
    """Where the area surrounds all kernels, weights are inverse to gaussian_kde."""
    xy = np.random.default_rng(0).normal(size=(60, 2))
    # gaussian_kde has the covariance of the sample as shape of its kernel: make it a circle.
    xy = 50 + 3 * np.linalg.solve(np.linalg.cholesky(np.cov(xy.T)), xy.T).T
    density = gaussian_kde(xy.T, bw_method=2.0 / 3.0)(xy.T)
    weights = inverse_intensity_weights(xy, area=grid(100, 20, 80), bandwidth=2.0)
    expected = np.minimum((1 / density) / (1 / density).mean(), 10)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_rows_of_one_location_share_its_weight():
    """Ten rows at a location of a regular grid have a tenth of the weight each."""
    xy = np.vstack([grid(10), np.repeat(grid(10)[:1], 9, axis=0)])
    weights = inverse_intensity_weights(xy, area=grid(40), bandwidth=0.1)
    np.testing.assert_allclose(weights[[0, *range(100, 109)]], weights[50] / 10, rtol=1e-6)


def test_extreme_weights_are_limited():
    """A lone sample of a large area counts no more than ten average ones."""
    xy = np.vstack([np.random.default_rng(0).normal(0, 0.01, (500, 2)), [[10.0, 10.0]]])
    weights = inverse_intensity_weights(xy, area=grid(30, -1, 11), bandwidth=0.5)
    assert weights[-1] == 10 and weights[:-1].max() < 1


def test_samples_outside_of_the_area_have_no_weight():
    """Their kernels have no share in the area."""
    xy = np.vstack([grid(10), grid(10) + np.array([100.0, 0.0])])
    weights = inverse_intensity_weights(xy, area=grid(20), bandwidth=1.0)
    assert weights[100:].max() == 0 and weights[:100].min() > 1


def test_great_circle_distances_are_used():
    """Degrees of longitude are shorter in the north, and the date line is no border."""
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(40)), np.sin(np.radians(70)), 1500)))
    lon = rng.uniform(-30, 30, 1500)
    X = pd.DataFrame({"lon": lon, "lat": lat})
    moved = X.assign(lon=(lon + 180 + 180) % 360 - 180)
    weights = inverse_intensity_weights(X, bandwidth=300.0)
    np.testing.assert_allclose(
        inverse_intensity_weights(moved, bandwidth=300.0), weights, rtol=0.02
    )
    inner = (np.abs(lon) < 20) & (lat > 45) & (lat < 65)
    # Of a sample that is even on the sphere, north and south weigh the same.
    north = inner & (lat > 57)
    assert weights[north].mean() == pytest.approx(weights[inner & ~north].mean(), rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_bandwidth_has_the_size_of_clusters(seed):
    """Narrower for clusters than for uniform samples of the same extent."""
    rng = np.random.default_rng(seed)
    area, share = grid(30, 0, 100), np.full(900, 1 / 900)
    uniform = rng.uniform(0, 100, (200, 2))
    clusters = rng.uniform(10, 90, (8, 2))[rng.integers(8, size=200)] + rng.normal(size=(200, 2))
    assert choose_bandwidth(clusters, area, share, PLANE) < 8
    assert choose_bandwidth(uniform, area, share, PLANE) > 15


def test_all_kinds_of_areas_are_read():
    """An array of cells, a DataFrame and a polygon of the same area agree."""
    shapely = pytest.importorskip("shapely")
    X = pd.DataFrame(np.random.default_rng(0).uniform(0, 10, (80, 2)), columns=["x", "y"])
    expected = inverse_intensity_weights(X, area=grid(50))
    frame = pd.DataFrame(grid(50), columns=["x", "y"])
    np.testing.assert_allclose(inverse_intensity_weights(X, area=frame), expected)
    polygon = inverse_intensity_weights(X, area=shapely.box(0, 0, 10, 10))
    np.testing.assert_allclose(polygon, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "arguments", "message"),
    [
        (grid(5), {"bandwidth": 0}, "^bandwidth must be positive; found 0"),
        (grid(5), {"bandwidth": "wide"}, "^bandwidth must be a finite distance"),
        (grid(5), {"area": grid(5, 500, 600), "bandwidth": 1}, "^area is far from all samples"),
        (grid(5), {"area": np.empty((0, 2))}, "^area must hold at least one point"),
        (np.arange(12.0).reshape(6, 2), {}, r"^area: the 6 location\(s\) .* on a line"),
        (np.ones((6, 2)), {"area": grid(5)}, r"^bandwidth cannot be chosen for 1 location\(s\)"),
    ],
)
def test_invalid_arguments_are_named(X, arguments, message):
    """Messages name the parameter and what was found."""
    with pytest.raises(ValueError, match=message):
        inverse_intensity_weights(X, **arguments)
