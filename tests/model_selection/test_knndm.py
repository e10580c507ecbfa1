"""kNNDM folds: a slow reference, published numbers, all kinds of areas, and errors."""

import itertools

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from fold_helpers import fold_labels
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp
from shapely.geometry import Point, box
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score

from sptgnn_sklearn.model_selection import KNNDMKFold


def clustered(seed=0, n_clusters=12, rows=10, extent=100.0):
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, extent, (n_clusters, 2))
    xy = np.repeat(centers, rows, axis=0) + rng.normal(size=(n_clusters * rows, 2))
    return xy[rng.permutation(len(xy))]


def area(extent=100.0, n=25):
    axis = np.linspace(0, extent, n)
    return np.column_stack([part.ravel() for part in np.meshgrid(axis, axis)])


def area_between(a, b):
    """Return the area between two empirical distribution functions, step by step."""
    at = np.sort(np.r_[a, b])
    total = 0.0
    for low, high in itertools.pairwise(at):
        total += abs((a <= low).mean() - (b <= low).mean()) * (high - low)
    return total


def reference_knndm(points, prediction, k, max_share=0.5):
    """Return the smallest Wasserstein distance of the published algorithm, written as loops."""
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    to_sample = cdist(prediction, points).min(axis=1)
    assert ks_2samp(distances.min(axis=1), to_sample, alternative="greater").pvalue < 0.05
    n = len(points)
    tree = linkage(points, "ward")
    axis = np.linalg.svd(points - points.mean(axis=0))[2][0]
    results = []
    numbers = np.exp(np.linspace(np.log(k), np.log(n - 2), 100)).round().astype(int)
    for number in sorted(set(numbers)):
        clusters = fcluster(tree, number, criterion="maxclust")
        names = sorted(set(clusters))
        for sign in (1, -1):  # the direction of a principal axis is arbitrary
            position = {
                c: sign * (points[clusters == c] - points.mean(0)).mean(0) @ axis for c in names
            }
            names.sort(key=position.get)
            large = [c for c in names if (clusters == c).sum() >= n / k]
            free = list(range(len(large), k)) or list(range(k))
            fold = {c: i for i, c in enumerate(large)}
            small = [c for c in names if c not in fold]
            fold |= {c: free[i % len(free)] for i, c in enumerate(small)}
            folds = np.array([fold[c] for c in clusters])
            shares = [(folds == f).mean() for f in range(k)]
            if max(shares) > max_share or min(shares) == 0:
                continue
            to_train = [distances[i, folds != folds[i]].min() for i in range(n)]
            results.append((area_between(np.array(to_train), to_sample), sign))
    return {sign: min(value for value, s in results if s == sign) for sign in (1, -1)}


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_reference(seed):
    """The Wasserstein distance is that of an independent slow implementation."""
    X = clustered(seed)
    splitter = KNNDMKFold(prediction_points=area())
    fold_labels(splitter, X)
    expected = reference_knndm(X, area(), 5).values()
    assert min(abs(splitter.wasserstein_distance_ - value) for value in expected) < 1e-9


def regular(spacing, first):
    """Return a regular grid over a square of 10 by 10, as sampled by R's sf with seed 1."""
    axes = [np.arange(start, 10, spacing) for start in first]
    return np.column_stack([axis.ravel() for axis in np.meshgrid(*axes)])


@pytest.mark.parametrize(
    ("crs", "cells", "distance"),
    [
        (None, regular(20**-0.5 * 10, (0.41901865392120996, 1.4851710188681118)), 1.091896),
        (None, regular(1000**-0.5 * 10, (0.125264503286296, 0.242733570182684)), 1.2004),
        (4326, regular(20**-0.5 * 10, (0.41901865392120996, 1.4851710188681118)), 121.0952),
    ],
    ids=["points", "area", "degrees"],
)
def test_equals_cast(crs, cells, distance):
    """Six points in two folds of at most 80 % equal the numbers in the tests of R's CAST.

    See its tests/testthat/test-knndm.R; the meters of its third case are kilometers here.
    """
    X = np.array([[1, 1], [1, 2], [2, 2], [2, 3], [1, 4], [5, 4]], dtype=float)
    splitter = KNNDMKFold(2, prediction_points=cells, max_share=0.8, crs=crs)
    fold_labels(splitter, X)
    decimals = len(str(distance).split(".")[1])
    assert round(splitter.wasserstein_distance_, decimals) == distance
    assert splitter.n_clusters_ == 3


def test_pairs_of_samples_are_the_folds():
    """Seven pairs of samples on a line, with prediction points between them, give seven folds.

    Prediction points are 2 from the samples, and the samples of a pair are 1 apart. As folds, the
    pairs are 9 and 10 from each other; split pairs would leave test rows 1 from training rows.
    """
    x = np.sort(np.r_[np.arange(0, 70, 10), np.arange(1, 71, 10)]).astype(float)
    X = np.column_stack([x, np.zeros_like(x)])
    points = np.column_stack([np.arange(3.0, 60, 10), np.zeros(6)])
    splitter = KNNDMKFold(7, prediction_points=np.repeat(points, 5, axis=0))
    folds = fold_labels(splitter, X)
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    # The outermost two rows are 10 from the next pair, the others 9.
    to_train = splitter.distances_["test_to_train"]
    np.testing.assert_array_equal(np.unique(to_train), [9.0, 10.0])
    np.testing.assert_array_equal(splitter.distances_["prediction_to_sample"], 2.0)
    np.testing.assert_array_equal(splitter.distances_["sample_to_sample"], 1.0)
    assert splitter.wasserstein_distance_ == pytest.approx((12 * 7 + 2 * 8) / 14)


def test_regular_samples_give_random_folds():
    """Samples that are not clustered get random folds, which depend on the seed."""
    X = np.random.default_rng(0).permutation(area(n=12))
    first = fold_labels(KNNDMKFold(prediction_points=area()), X)
    again = fold_labels(KNNDMKFold(prediction_points=area()), X)
    other = fold_labels(KNNDMKFold(prediction_points=area(), random_state=1), X)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert np.ptp(np.bincount(first)) <= 1


@pytest.mark.parametrize("clustering", ["hierarchical", "kmeans"])
def test_folds_match_better_than_random_ones(clustering):
    """With clustered samples, random test rows are too near to the training rows."""
    X = clustered(1)
    splitter = KNNDMKFold(prediction_points=area(), clustering=clustering)
    fold_labels(splitter, X)
    to_sample = splitter.distances_["prediction_to_sample"]
    random = np.empty(len(X))
    for train, test in KFold(5, shuffle=True, random_state=0).split(X):
        random[test] = cdist(X[test], X[train]).min(axis=1)
    assert splitter.wasserstein_distance_ < 0.5 * area_between(random, to_sample)
    assert splitter.n_clusters_ < len(X)


def test_repeated_locations_and_groups_stay_together():
    """Rows of one location or one group are in one fold."""
    X = np.repeat(clustered(2, rows=5), 2, axis=0)
    folds = fold_labels(KNNDMKFold(prediction_points=area()), X)
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    groups = np.arange(len(X)) // 4
    folds = fold_labels(KNNDMKFold(prediction_points=area()), X, groups)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1


def test_distances_of_degrees_are_in_kilometers():
    """One degree of latitude is 111.2 km."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"lat": 50 + rng.uniform(0, 0.01, 60), "lon": 5 + rng.uniform(0, 0.01, 60)})
    X.loc[30:, "lat"] += 1
    splitter = KNNDMKFold(2, prediction_points=pd.DataFrame({"lon": [5.0] * 9, "lat": [52.0] * 9}))
    fold_labels(splitter, X)
    np.testing.assert_allclose(splitter.distances_["test_to_train"], 111.2, atol=1.2)
    np.testing.assert_allclose(splitter.distances_["prediction_to_sample"], 111.2, atol=1.2)


def test_all_kinds_of_areas_are_equivalent(tmp_path):
    """Points, a polygon, geopandas in another CRS and a raster give similar distances."""
    X = 500_000 + 1000 * clustered(3)
    polygon = box(500_000, 500_000, 600_000, 600_000)
    series = geopandas.GeoSeries([polygon], crs="EPSG:32631")
    path = tmp_path / "area.tif"
    values = np.ones((1, 50, 50), dtype="uint8")
    values[0, :, 25:] = 0  # no data in half of the area
    transform = Affine(2000, 0, 500_000, 0, -2000, 600_000)
    profile = {"driver": "GTiff", "count": 1, "height": 50, "width": 50, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32631", transform=transform, nodata=0
    ) as file:
        file.write(values)
    results = {}
    for name, points in {
        "points": 500_000 + 1000 * area(),
        "polygon": polygon,
        "geopandas": series,
        "degrees": series.to_crs(4326),
        "points of geopandas": geopandas.GeoSeries(
            [Point(*point) for point in 500_000 + 1000 * area()], crs="EPSG:32631"
        ),
    }.items():
        splitter = KNNDMKFold(prediction_points=points, crs="EPSG:32631")
        fold_labels(splitter, X)
        results[name] = splitter.distances_["prediction_to_sample"].mean()
    np.testing.assert_allclose(list(results.values()), results["points"], rtol=0.05)
    splitter = KNNDMKFold(prediction_points=path, crs="EPSG:32631")
    fold_labels(splitter, X)
    west = 500_000 + 1000 * area()
    west = west[west[:, 0] < 550_000]
    half = KNNDMKFold(prediction_points=west, crs="EPSG:32631")
    fold_labels(half, X)
    expected = half.distances_["prediction_to_sample"].mean()
    assert splitter.distances_["prediction_to_sample"].mean() == pytest.approx(expected, rel=0.05)


def test_works_in_scikit_learn():
    """The splitter works in cross_val_score and returns its number of folds."""
    X = clustered(0)
    splitter = KNNDMKFold(4, prediction_points=area())
    assert splitter.get_n_splits() == 4
    assert len(cross_val_score(LinearRegression(), X, X[:, 0], cv=splitter)) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_splits": 1}, "n_splits must be an integer of at least 2"),
        ({"n_splits": 500}, "n_splits=500 folds need"),
        ({"clustering": "ward"}, "clustering must be .* found 'ward'"),
        ({"max_share": 0.1}, "max_share must be .* found 0.1"),
        ({"max_share": 0.2001}, "max_share=0.2001"),
        ({"n_points": 0}, "n_points must be"),
        ({"prediction_points": area() + 1e6}, "prediction_points .* coordinate reference system"),
        ({"prediction_points": np.empty((0, 2))}, "prediction_points|empty|0 sample|0 rows"),
        ({"prediction_points": [[np.nan, 1.0]]}, "NaN"),
        ({"prediction_points": "nowhere.tif"}, "nowhere.tif.*cannot be read"),
        ({"prediction_points": Point(1, 1).buffer(0)}, "without area"),
        ({"prediction_points": geopandas.GeoSeries([box(0, 0, 1, 1)], crs=4326)}, "set crs"),
    ],
)
def test_invalid_parameters_raise(settings, message):
    """The error names the parameter and what was found."""
    splitter = KNNDMKFold(**{"prediction_points": area(), **settings})
    with pytest.raises(ValueError, match=message):
        list(splitter.split(clustered()))
