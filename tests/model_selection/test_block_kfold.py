"""Spatial block folds: completeness, blocks, buffers, and use in scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from fold_helpers import fold_labels, geographic_samples
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.model_selection import SpatialBlockKFold, spatial_blocks
from sptgnn_sklearn.spatial.blocks import hexagon_labels

KMEANS = SpatialBlockKFold()
GRID = SpatialBlockKFold(method="grid", spacing=60.0)
METHODS = pytest.mark.parametrize("splitter", [KMEANS, GRID], ids=["kmeans", "grid"])


def haversine(a, b):
    """Return great-circle km between all pairs, independently of the package."""
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T[:, :, None], np.radians(b).T[:, None, :]
    h = np.sin((lat_b - lat_a) / 2) ** 2
    h = h + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(h))


@METHODS
def test_folds_are_complete_and_disjoint(splitter):
    """Each row is in the test set of one fold, and in the training set of the others."""
    X = geographic_samples()
    splits = list(splitter.split(X))
    assert len(splits) == splitter.get_n_splits() == splitter.get_n_splits(X) == 5
    tested = np.concatenate([test for _, test in splits])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(X)))
    for train, test in splits:
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(X)))
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()
        # Balanced: 240 rows in 5 folds of blocks of some ten rows each.
        assert 30 <= len(test) <= 66


@METHODS
def test_rows_of_one_location_share_a_fold(splitter):
    """Repeated samples of a location are not split into training and test rows."""
    X = geographic_samples()
    folds = fold_labels(splitter, X)
    assert pd.Series(folds).groupby([X["lon"].to_numpy(), X["lat"].to_numpy()]).nunique().max() == 1


@METHODS
def test_neighbors_share_a_fold(splitter):
    """The nearest other location of most rows is in the same fold."""
    X = geographic_samples()
    folds = fold_labels(splitter, X)
    distance = haversine(X[["lon", "lat"]].to_numpy(), X[["lon", "lat"]].to_numpy())
    nearest = np.where(distance > 0, distance, np.inf).argmin(axis=1)
    assert (folds == folds[nearest]).mean() > 0.6


@METHODS
def test_folds_do_not_depend_on_row_order(splitter):
    """Rows keep their folds if X is shuffled."""
    X = geographic_samples()
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(
        fold_labels(splitter, X.iloc[order]), fold_labels(splitter, X)[order]
    )


def test_folds_depend_on_random_state():
    """Folds are reproducible by default; other seeds and shuffling change them."""
    X = geographic_samples()
    folds = fold_labels(SpatialBlockKFold(), X)
    np.testing.assert_array_equal(fold_labels(SpatialBlockKFold(), X), folds)
    assert (fold_labels(SpatialBlockKFold(random_state=1), X) != folds).any()
    settings = dict(method="grid", spacing=60.0, balance=False)
    in_order = fold_labels(SpatialBlockKFold(**settings), X)
    shuffled = fold_labels(SpatialBlockKFold(**settings, shuffle=True), X)
    assert (in_order != shuffled).any()
    again = fold_labels(SpatialBlockKFold(**settings, shuffle=True), X)
    np.testing.assert_array_equal(again, shuffled)
    assert (
        fold_labels(SpatialBlockKFold(**settings, shuffle=True, random_state=1), X) != shuffled
    ).any()


def test_balance_of_rows_or_of_blocks():
    """Folds have similar numbers of rows, or with balance=False equal numbers of blocks."""
    X = pd.concat([geographic_samples(), *[geographic_samples().query("lon < 6")] * 5])
    blocks = spatial_blocks(X)
    rows = {}
    for balance in (True, False):
        folds = fold_labels(SpatialBlockKFold(balance=balance), X)
        rows[balance] = np.ptp(np.bincount(folds))
        assert (pd.Series(blocks).groupby(folds).nunique() == 5).all() != balance
    assert rows[True] < rows[False] / 2


@METHODS
@pytest.mark.parametrize("lon", [(5.0, 10.0), (178.0, 183.0)], ids=["europe", "date line"])
def test_buffer_in_kilometers(splitter, lon):
    """Only training rows nearer than the buffer to a test row are dropped."""
    X = geographic_samples(lon=lon)
    X.loc[X["lon"] > 180, "lon"] -= 360
    xy = X[["lon", "lat"]].to_numpy()
    buffered = clone_splitter(splitter, buffer=25.0)
    dropped = 0
    for (train, test), (all_train, same_test) in zip(
        buffered.split(X), splitter.split(X), strict=True
    ):
        np.testing.assert_array_equal(test, same_test)
        near = haversine(xy[all_train], xy[test]).min(axis=1) < 25.0
        np.testing.assert_array_equal(train, all_train[~near])
        dropped += near.sum()
    assert dropped > 20


def test_buffer_in_units_of_the_crs():
    """With a projected CRS the buffer is Euclidean, in the unit of the axes."""
    X = pd.DataFrame(np.random.default_rng(0).uniform(0, 5000, (200, 2)) + 2e5, columns=["x", "y"])
    for train, test in SpatialBlockKFold(crs=28992, buffer=300.0).split(X):
        assert cdist(X.iloc[train], X.iloc[test]).min() >= 300.0
        kept = np.setdiff1d(np.arange(200), test)
        near = cdist(X.iloc[kept], X.iloc[test]).min(axis=1) < 300.0
        np.testing.assert_array_equal(train, kept[~near])
        assert near.any()


def test_row_exactly_at_the_buffer_stays():
    """Rows at exactly the buffer distance are kept."""
    X = np.column_stack([np.arange(6.0) * 10, np.zeros(6)])
    splitter = SpatialBlockKFold(2, method="grid", spacing=30.0, buffer=20.0)
    (train, test), _ = splitter.split(X)
    np.testing.assert_array_equal(test, [0, 1, 2])
    np.testing.assert_array_equal(train, [4, 5])


@METHODS
def test_groups_stay_whole(splitter):
    """Rows of one group are in one fold, and so are groups that share a location."""
    X = geographic_samples()
    groups = np.random.default_rng(5).integers(0, 60, len(X)).astype(object)
    folds = fold_labels(splitter, X.iloc[::4], groups[::4])
    assert pd.Series(folds).groupby(groups[::4]).nunique().max() == 1
    assert (fold_labels(splitter, X.iloc[::4]) != folds).any()
    pairs = np.array([f"{row // 2}" for row in range(len(X))])
    folds = fold_labels(splitter, X, pairs)
    assert pd.Series(folds).groupby(pairs).nunique().max() == 1
    assert pd.Series(folds).groupby([X["lon"].to_numpy(), X["lat"].to_numpy()]).nunique().max() == 1


@pytest.mark.parametrize("method", ["grid", "hexagon"])
def test_blocks_of_one_location_warn(method):
    """A warning is issued for tiny cells, but not for k-means or few locations."""
    X = geographic_samples()
    tiny_blocks = SpatialBlockKFold(method=method, spacing=0.5)
    with pytest.warns(
        UserWarning,
        match=rf"method='{method}', spacing=0.5 gives 180 blocks .*360.1 by 440.9 km",
    ):
        assert sum(len(test) for _, test in tiny_blocks.split(X)) == len(X)
    for splitter, rows in (
        (SpatialBlockKFold(method=method, spacing=30.0), 240),
        (SpatialBlockKFold(n_blocks=180), 240),
        (tiny_blocks, 36),
    ):
        list(splitter.split(X.iloc[:rows]))


def test_grid_spacing_is_in_kilometers():
    """Grid blocks of geographic coordinates are not wider than the spacing."""
    X = geographic_samples()
    blocks = spatial_blocks(X, method="grid", spacing=100.0)
    distance = haversine(X[["lon", "lat"]].to_numpy(), X[["lon", "lat"]].to_numpy())
    for block in np.unique(blocks):
        rows = blocks == block
        # The diagonal of a cell, with a tolerance for the distortion of the plane at 200 km.
        assert distance[np.ix_(rows, rows)].max() < 142.0
    assert 14 <= blocks.max() + 1 <= 30


def test_coordinates_by_name_and_by_position():
    """Names, positions and common names give the same folds, for tables and arrays."""
    X = geographic_samples()
    renamed = X.rename(columns={"lon": "E", "lat": "N"})
    expected = fold_labels(SpatialBlockKFold(), X)
    by_name = SpatialBlockKFold(coordinates=("E", "N"), crs=4326)
    by_position = SpatialBlockKFold(coordinates=(2, 1), crs=4326)
    np.testing.assert_array_equal(fold_labels(by_name, renamed), expected)
    np.testing.assert_array_equal(fold_labels(by_position, X), expected)
    np.testing.assert_array_equal(fold_labels(by_position, X.to_numpy()), expected)


def test_spatial_blocks_are_groups_for_scikit_learn():
    """GroupKFold keeps the blocks whole, and the labels equal those of the splitter."""
    X = geographic_samples()
    blocks = spatial_blocks(X)
    assert blocks.max() + 1 == 25
    for train, test in GroupKFold(n_splits=5).split(X, groups=blocks):
        assert not set(blocks[train]) & set(blocks[test])
    folds = fold_labels(SpatialBlockKFold(n_blocks=25), X)
    assert pd.Series(folds).groupby(spatial_blocks(X, n_blocks=25)).nunique().max() == 1
    np.testing.assert_array_equal(spatial_blocks(X, random_state=3, n_blocks=7).max(), 6)
    groups = np.arange(len(X)) // 40
    whole = spatial_blocks(X, groups=groups, n_blocks=3)
    assert pd.Series(whole).groupby(groups).nunique().max() == 1


def test_few_locations_make_few_blocks():
    """Blocks hold several locations by default, but there are at least as many blocks as folds."""
    X = geographic_samples(40).drop_duplicates(["lon", "lat"])
    assert len(X) == 30
    assert spatial_blocks(X).max() + 1 == 7
    assert spatial_blocks(X.iloc[:10]).max() + 1 == 5
    assert set(fold_labels(SpatialBlockKFold(n_splits=10), X.iloc[:10])) == set(range(10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_splits": 1}, "n_splits must be an integer of at least 2; found 1"),
        ({"n_splits": 2.0}, "n_splits must be an integer"),
        ({"n_splits": True}, "n_splits must be an integer"),
        ({"n_splits": 500}, "n_splits=500 folds .* 240 rows of X are at 180"),
        ({"method": "hexagons"}, r"method must be one of .*'hexagon'.*; found 'hexagons'"),
        ({"method": "grid"}, "either spacing or shape"),
        ({"method": "grid", "spacing": -10.0}, "spacing must be .* found -10"),
        (
            {"method": "grid", "spacing": 5000.0},
            "n_splits=5 .*method='grid', spacing=5000.0 gives 1 blocks of 180 locations.*"
            "360.1 by 440.9 km",
        ),
        ({"method": "grid", "shape": (1, 3)}, r"shape=\(1, 3\) gives 3 blocks of 180 locations"),
        ({"method": "grid", "spacing": 50.0, "n_blocks": 9}, "n_blocks=9 is not used"),
        ({"spacing": 50.0}, "spacing=50.0 is not used by method='kmeans'"),
        ({"shape": (2, 2)}, "shape=.* is not used by method='kmeans'"),
        ({"n_blocks": 4}, "method='kmeans', n_blocks=4 gives 4 blocks"),
        ({"n_blocks": 0}, "n_blocks must be an integer of at least 1; found 0"),
        ({"buffer": -1.0}, "buffer must be .*found -1"),
        ({"buffer": np.inf}, "buffer must be"),
        ({"buffer": None}, "buffer must be"),
        ({"buffer": 2000.0}, "buffer=2000.0 km leaves no training rows in fold 0"),
        ({"coordinates": ("E", "N")}, "'E'"),
        ({"coordinates": ("lat", "lon")}, "swapped"),
        ({"crs": "EPSG:99"}, "crs='EPSG:99'"),
    ],
)
def test_invalid_parameters_raise(settings, message):
    """The error names the parameter and what was found."""
    with pytest.raises(ValueError, match=message):
        list(SpatialBlockKFold(**settings).split(geographic_samples()))


def test_parameters_are_not_checked_before_split():
    """The constructor accepts invalid values, and the representation shows them."""
    splitter = SpatialBlockKFold(n_splits=-1, method="none", buffer=3.0)
    assert "n_splits=-1" in repr(splitter)
    assert "buffer=3.0" in repr(splitter)


def clone_splitter(splitter, **changes):
    return SpatialBlockKFold(**{**vars(splitter), **changes})


def target(X):
    return np.sin(3 * X["lon"]) + X["clay"] + np.random.default_rng(0).normal(0, 0.1, len(X))


@METHODS
def test_cross_validation_uses_the_folds(splitter):
    """cross_validate and cross_val_predict fit to the training rows of each fold."""
    X = geographic_samples()
    y = target(X)
    model = KNeighborsRegressor(3)
    result = cross_validate(model, X, y, cv=splitter, return_indices=True)
    for number, (train, test) in enumerate(splitter.split(X)):
        np.testing.assert_array_equal(result["indices"]["train"][number], train)
        expected = model.fit(X.iloc[train], y.iloc[train]).score(X.iloc[test], y.iloc[test])
        assert result["test_score"][number] == pytest.approx(expected)
    assert cross_val_predict(model, X, y, cv=splitter).shape == (len(X),)


def test_block_scores_are_lower_than_random_ones():
    """A nearest-neighbor model scores lower if the neighbors are held out as well."""
    X = geographic_samples()
    y = np.sin(3 * X["lon"]) + np.cos(3 * X["lat"])
    model = KNeighborsRegressor(3)
    xy = X[["lon", "lat"]]
    random = cross_val_score(model, xy, y, cv=5).mean()
    assert cross_val_score(model, xy, y, cv=SpatialBlockKFold()).mean() < random - 0.2


def test_nested_search():
    """The splitter works in the inner and the outer loop, with a pipeline."""
    X = geographic_samples()
    y = target(X)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), Ridge()),
        {"ridge__alpha": [0.1, 1e4]},
        cv=SpatialBlockKFold(n_splits=3, buffer=5.0),
    )
    scores = cross_val_score(clone(search), X, y, cv=SpatialBlockKFold(n_splits=4, buffer=10.0))
    assert scores.shape == (4,)
    assert np.isfinite(scores).all()
    assert search.fit(X, y).n_splits_ == 3


def test_groups_reach_the_splitter_from_cross_validate():
    """Groups passed to cross_validate stay whole, with and without metadata routing."""
    X = geographic_samples()
    y = target(X)
    groups = np.arange(len(X)) // 8
    expected = fold_labels(KMEANS, X, groups)
    plain = cross_validate(Ridge(), X, y, cv=KMEANS, groups=groups, return_indices=True)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(
            Ridge(), X, y, cv=KMEANS, params={"groups": groups}, return_indices=True
        )
    for result in (plain, routed):
        for fold, test in enumerate(result["indices"]["test"]):
            np.testing.assert_array_equal(test, np.flatnonzero(expected == fold))


def test_hexagons_have_the_requested_spacing():
    """Rows of a block are not farther apart than two opposite corners of a hexagon."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 100, (3000, 2))
    folds = SpatialBlockKFold(method="hexagon", spacing=20.0)
    assert sum(len(test) for _, test in folds.split(X)) == 3000
    labels = hexagon_labels(X, 20.0)
    corner_to_corner = 20.0 * 2 / np.sqrt(3)
    for label in np.unique(labels):
        assert cdist(X[labels == label], X[labels == label]).max() <= corner_to_corner
    inner = np.bincount(labels).max() / 3000 * 100**2
    assert inner == pytest.approx(20.0**2 * np.sqrt(3) / 2, rel=0.35)
    with pytest.raises(ValueError, match="spacing"):
        list(SpatialBlockKFold(method="hexagon").split(X))
    with pytest.raises(ValueError, match="one positive number"):
        list(SpatialBlockKFold(method="hexagon", spacing=(1.0, 2.0)).split(X))
