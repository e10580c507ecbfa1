"""kNNDM folds: a plain twin by loops, a worked example, areas of any kind, and clear refusals."""

import itertools
import warnings

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
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
    places = np.repeat(centers, rows, axis=0) + rng.normal(size=(n_clusters * rows, 2))
    return places[rng.permutation(len(places))]


def area(extent=100.0, n=25):
    axis = np.linspace(0, extent, n)
    return np.column_stack([part.ravel() for part in np.meshgrid(axis, axis)])


def fold_of(splitter, X, groups=None):
    folds = np.full(len(X), -1)
    for fold, (train, test) in enumerate(splitter.split(X, groups=groups)):
        assert (folds[test] == -1).all()
        assert not set(train) & set(test)
        folds[test] = fold
    assert (folds >= 0).all()
    return folds


def area_between(a, b):
    """Area between two empirical distribution functions, cell by cell."""
    at = np.sort(np.r_[a, b])
    total = 0.0
    for low, high in itertools.pairwise(at):
        total += abs((a <= low).mean() - (b <= low).mean()) * (high - low)
    return total


def plain_knndm(points, prediction, k, max_share=0.5):
    """The published steps in loops over a matrix of distances: the least Wasserstein distance."""
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    to_sample = cdist(prediction, points).min(axis=1)
    assert ks_2samp(distances.min(axis=1), to_sample, alternative="greater").pvalue < 0.05
    n = len(points)
    tree = linkage(points, "ward")
    axis = np.linalg.svd(points - points.mean(axis=0))[2][0]
    found = []
    numbers = np.exp(np.linspace(np.log(k), np.log(n - 2), 100)).round().astype(int)
    for number in sorted(set(numbers)):
        clusters = fcluster(tree, number, criterion="maxclust")
        names = sorted(set(clusters))
        for sign in (1, -1):  # the direction of a principal axis is arbitrary
            place = {
                c: sign * (points[clusters == c] - points.mean(0)).mean(0) @ axis for c in names
            }
            names.sort(key=place.get)
            large = [c for c in names if (clusters == c).sum() >= n / k]
            free = list(range(len(large), k)) or list(range(k))
            fold = {c: i for i, c in enumerate(large)}
            small = [c for c in names if c not in fold]
            fold |= {c: free[i % len(free)] for i, c in enumerate(small)}
            folds = np.array([fold[c] for c in clusters])
            shares = [(folds == f).mean() for f in range(k)]
            if max(shares) > max_share or min(shares) == 0:
                continue
            reached = [distances[i, folds != folds[i]].min() for i in range(n)]
            found.append((area_between(np.array(reached), to_sample), sign))
    return {sign: min(value for value, s in found if s == sign) for sign in (1, -1)}


@pytest.mark.parametrize("seed", range(4))
def test_the_published_steps(seed):
    """The distance reached is that of a plain implementation which shares no code."""
    X = clustered(seed)
    splitter = KNNDMKFold(prediction_points=area())
    fold_of(splitter, X)
    reached = plain_knndm(X, area(), 5).values()
    assert min(abs(splitter.wasserstein_distance_ - value) for value in reached) < 1e-9


def regular(spacing, first):
    """Places of a regular grid over a square of 10 by 10, as R's sf draws them from seed 1."""
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
def test_the_published_toy_numbers(crs, cells, distance):
    """Six points, two folds of at most 80 %: the distances and clusters in the tests of R's CAST.

    Its tests/testthat/test-knndm.R; the metres of its third case are kilometres here.
    """
    X = np.array([[1, 1], [1, 2], [2, 2], [2, 3], [1, 4], [5, 4]], dtype=float)
    splitter = KNNDMKFold(2, prediction_points=cells, max_share=0.8, crs=crs)
    fold_of(splitter, X)
    decimals = len(str(distance).split(".")[1])
    assert round(splitter.wasserstein_distance_, decimals) == distance
    assert splitter.n_clusters_ == 3


def test_a_worked_example():
    """Two pairs on a line, a map of the places between: the pairs are the folds.

    Prediction places 2 from the samples; samples 1 apart. As folds the pairs are 9 and 10 from each
    other; split pairs would leave test rows 1 from training rows. Seven such pairs, so that the
    test for clustering has enough rows to see it.
    """
    x = np.sort(np.r_[np.arange(0, 70, 10), np.arange(1, 71, 10)]).astype(float)
    X = np.column_stack([x, np.zeros_like(x)])
    places = np.column_stack([np.arange(3.0, 60, 10), np.zeros(6)])
    splitter = KNNDMKFold(7, prediction_points=np.repeat(places, 5, axis=0))
    folds = fold_of(splitter, X)
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    # Both rows of a pair are 9 from the next pair, the outermost two rows 10: 2 were asked for.
    reached = splitter.distances_["test_to_train"]
    np.testing.assert_array_equal(np.unique(reached), [9.0, 10.0])
    np.testing.assert_array_equal(splitter.distances_["prediction_to_sample"], 2.0)
    np.testing.assert_array_equal(splitter.distances_["sample_to_sample"], 1.0)
    assert splitter.wasserstein_distance_ == pytest.approx((12 * 7 + 2 * 8) / 14)


def test_random_folds_where_samples_are_spread():
    """A regular survey of the same area needs no clusters; the random folds follow the seed."""
    X = np.random.default_rng(0).permutation(area(n=12))
    first = fold_of(KNNDMKFold(prediction_points=area()), X)
    again = fold_of(KNNDMKFold(prediction_points=area()), X)
    other = fold_of(KNNDMKFold(prediction_points=area(), random_state=1), X)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert np.ptp(np.bincount(first)) <= 1


@pytest.mark.parametrize("clustering", ["hierarchical", "kmeans"])
def test_folds_match_better_than_random_ones(clustering):
    """Of a clustered survey random folds are much too near."""
    X = clustered(1)
    splitter = KNNDMKFold(prediction_points=area(), clustering=clustering)
    fold_of(splitter, X)
    wanted = splitter.distances_["prediction_to_sample"]
    random = np.empty(len(X))
    for train, test in KFold(5, shuffle=True, random_state=0).split(X):
        random[test] = cdist(X[test], X[train]).min(axis=1)
    assert splitter.wasserstein_distance_ < 0.5 * area_between(random, wanted)
    assert splitter.n_clusters_ < len(X)


def test_repeated_places_and_groups_stay_together():
    """Rows of one place or one group are in one fold, whatever the order of rows."""
    X = np.repeat(clustered(2, rows=5), 2, axis=0)
    folds = fold_of(KNNDMKFold(prediction_points=area()), X)
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    groups = np.arange(len(X)) // 4
    folds = fold_of(KNNDMKFold(prediction_points=area()), X, groups)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1


def test_distances_are_kilometres_for_degrees():
    """One degree of latitude is 111.2 km."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"lat": 50 + rng.uniform(0, 0.01, 60), "lon": 5 + rng.uniform(0, 0.01, 60)})
    X.loc[30:, "lat"] += 1
    splitter = KNNDMKFold(2, prediction_points=pd.DataFrame({"lon": [5.0] * 9, "lat": [52.0] * 9}))
    fold_of(splitter, X)
    np.testing.assert_allclose(splitter.distances_["test_to_train"], 111.2, atol=1.2)
    np.testing.assert_allclose(splitter.distances_["prediction_to_sample"], 111.2, atol=1.2)


def test_polygon_points_frames_and_raster_say_the_same(tmp_path):
    """An area may come as points, polygon, geopandas in another system, or raster."""
    X = 500_000 + 1000 * clustered(3)
    polygon = box(500_000, 500_000, 600_000, 600_000)
    reference = geopandas.GeoSeries([polygon], crs="EPSG:32631")
    path = tmp_path / "area.tif"
    values = np.ones((1, 50, 50), dtype="uint8")
    values[0, :, 25:] = 0  # nodata: half of the area
    transform = Affine(2000, 0, 500_000, 0, -2000, 600_000)
    profile = {"driver": "GTiff", "count": 1, "height": 50, "width": 50, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32631", transform=transform, nodata=0
    ) as file:
        file.write(values)
    found = {}
    for name, places in {
        "points": 500_000 + 1000 * area(),
        "polygon": polygon,
        "geopandas": reference,
        "degrees": reference.to_crs(4326),
        "points of geopandas": geopandas.GeoSeries(
            [Point(*place) for place in 500_000 + 1000 * area()], crs="EPSG:32631"
        ),
    }.items():
        splitter = KNNDMKFold(prediction_points=places, crs="EPSG:32631")
        fold_of(splitter, X)
        found[name] = splitter.distances_["prediction_to_sample"].mean()
    np.testing.assert_allclose(list(found.values()), found["points"], rtol=0.05)
    splitter = KNNDMKFold(prediction_points=path, crs="EPSG:32631")
    fold_of(splitter, X)
    west = 500_000 + 1000 * area()
    west = west[west[:, 0] < 550_000]
    half = KNNDMKFold(prediction_points=west, crs="EPSG:32631")
    fold_of(half, X)
    expected = half.distances_["prediction_to_sample"].mean()
    assert splitter.distances_["prediction_to_sample"].mean() == pytest.approx(expected, rel=0.05)


def test_at_home_in_scikit_learn():
    """It is a splitter as any other, and states its number of folds."""
    X = clustered(0)
    splitter = KNNDMKFold(4, prediction_points=area())
    assert splitter.get_n_splits() == 4
    assert len(cross_val_score(LinearRegression(), X, X[:, 0], cv=splitter)) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_splits": 1}, "n_splits must be an integer of at least 2"),
        ({"n_splits": 500}, "n_splits=500 folds need at least as many locations"),
        ({"clustering": "ward"}, "clustering must be .* found 'ward'"),
        ({"max_share": 0.1}, "max_share must lie between"),
        ({"max_share": 0.2001}, "raise max_share"),
        ({"n_points": 0}, "n_points must be"),
        ({"prediction_points": area() + 1e6}, "same coordinate reference system"),
        ({"prediction_points": np.empty((0, 2))}, "prediction_points|empty|0 sample|0 rows"),
        ({"prediction_points": [[np.nan, 1.0]]}, "NaN"),
        ({"prediction_points": "nowhere.tif"}, "nowhere.tif.*cannot be read"),
        ({"prediction_points": Point(1, 1).buffer(0)}, "without area"),
        ({"prediction_points": geopandas.GeoSeries([box(0, 0, 1, 1)], crs=4326)}, "set crs"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    """The error names the parameter and what to do."""
    splitter = KNNDMKFold(**{"prediction_points": area(), **settings})
    with pytest.raises(ValueError, match=message):
        list(splitter.split(clustered()))


def test_damaged_rasters_are_named(tmp_path):
    """Also where the header can be read and the pixels cannot."""
    path = tmp_path / "area.tif"
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "float32"}
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open(path, "w", nodata=-1, compress="deflate", **options, **place) as file:
        file.write(np.random.default_rng(0).normal(size=(1, 64, 64)).astype("float32"))
    path.write_bytes(path.read_bytes()[:4000])
    splitter = KNNDMKFold(prediction_points=path, crs="EPSG:32631")
    X = pd.DataFrame({"x": 5e5 + 10.0 * np.arange(30), "y": 5e6 - 10.0 * np.arange(30)})
    with pytest.raises(ValueError, match=r"prediction_points='.*area.tif' cannot be read: "):
        next(splitter.split(X))


def test_rasters_without_a_place_are_refused(tmp_path):
    """Numbers of rows and columns are no coordinates."""
    path = tmp_path / "area.tif"
    options = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "float32"}
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "w", **options) as file:
        file.write(np.ones((1, 8, 8), dtype="float32"))
    X = pd.DataFrame({"x": 10.0 * np.arange(30), "y": 10.0 * np.arange(30)})
    with pytest.raises(ValueError, match=r"area.tif' has no place on the ground"):
        next(KNNDMKFold(prediction_points=path).split(X))
