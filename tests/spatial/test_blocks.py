"""Labels of locations and blocks, and their assignment to folds."""

import datetime

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

from sptgnn_sklearn.spatial import blocks
from sptgnn_sklearn.spatial.blocks import assign_folds, cluster_labels, grid_labels, location_ids


def random_points(n=200, seed=0):
    return np.random.default_rng(seed).uniform(0, 100, size=(n, 2))


def test_location_ids_follow_lexicographic_order():
    """Equal coordinates share a label, numbered by the first and then the second coordinate."""
    xy = np.array([[3.0, 1.0], [1.0, 2.0], [3.0, 1.0], [1.0, -2.0], [3.0, 0.0]])
    np.testing.assert_array_equal(location_ids(xy), [3, 1, 3, 0, 2])
    np.testing.assert_array_equal(location_ids(np.array([[-0.0, 0.0], [0.0, -0.0]])), [0, 0])


def test_rows_of_one_site_share_a_location():
    """Rows of one site are one location even if their coordinates differ; sites set the order."""
    xy = np.array([[9.0, 0.0], [1.0, 0.0], [8.0, 0.0], [2.0, 0.0]])
    np.testing.assert_array_equal(location_ids(xy, ["a", "b", "a", "c"]), [0, 1, 0, 2])
    np.testing.assert_array_equal(location_ids(xy, [30, 20, 30, 10]), [2, 1, 2, 0])


def test_sites_with_equal_coordinates_are_joined():
    """Sites that share coordinates are one location, also via other sites."""
    xy = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 5.0], [5.0, 5.0], [7.0, 7.0]])
    np.testing.assert_array_equal(location_ids(xy, ["a", "b", "b", "c", "d"]), [0, 0, 0, 0, 1])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_rows_without_site_use_coordinates(missing):
    """Rows with a missing site id are not joined to each other."""
    xy = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [3.0, 0.0]])
    result = location_ids(xy, pd.Series(["a", missing, missing, "a"], dtype=object))
    np.testing.assert_array_equal(result, [0, 1, 0, 0])


def test_site_ids_of_mixed_types_raise():
    """Site ids that cannot be sorted raise an error."""
    with pytest.raises(ValueError, match="site ids cannot be sorted"):
        location_ids(random_points(3), [1, datetime.date(2020, 1, 1), 2])


@pytest.mark.parametrize(
    "label",
    [
        location_ids,
        lambda xy: location_ids(xy, np.round(xy[:, 0] / 7)),
        lambda xy: cluster_labels(xy, 9, 4),
        lambda xy: cluster_labels(xy, 1000, 4),
        lambda xy: grid_labels(xy, spacing=30),
        lambda xy: grid_labels(xy, shape=(3, 4)),
    ],
)
def test_labels_do_not_depend_on_row_order(label):
    """Shuffled rows keep their labels, which are integers from 0 without gaps."""
    xy = random_points()[np.random.default_rng(1).integers(0, 200, 300)]
    order = np.random.default_rng(2).permutation(300)
    labels = label(xy)
    np.testing.assert_array_equal(label(xy[order]), labels[order])
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_clusters_recover_separated_groups():
    """Well separated groups of points become one cluster each."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 600)
    centers = np.column_stack([np.arange(6) * 1e3, np.arange(6) % 2 * 1e3, np.zeros(6)])
    points = centers[truth] + rng.normal(size=(600, 3)) + 5e6
    labels = cluster_labels(points, 6)
    assert adjusted_rand_score(truth, labels) == 1.0
    # Labels are numbered from the west, as the groups are.
    np.testing.assert_array_equal(labels, truth)


def test_mini_batch_clusters_are_compact(monkeypatch):
    """Above the limit of full k-means, nearest neighbors mostly share a block."""
    monkeypatch.setattr(blocks, "_MAX_KMEANS_LOCATIONS", 100)
    xy = random_points(2000)
    labels = cluster_labels(xy, 20, 0)
    assert len(np.unique(labels)) == 20
    nearest = cKDTree(xy).query(xy, k=2)[1][:, 1]
    assert (labels == labels[nearest]).mean() > 0.9


def test_repeated_rows_do_not_change_clusters():
    """A hundred samples at one location count as one."""
    xy = random_points(50)
    labels = cluster_labels(xy, 5, 0)
    repeated = np.vstack([xy, np.repeat(xy[:1], 100, axis=0)])
    np.testing.assert_array_equal(cluster_labels(repeated, 5, 0)[:50], labels)


def test_clusters_are_reproducible():
    """Equal seeds of any type give equal clusters, other seeds give others."""
    xy = random_points()
    labels = cluster_labels(xy, 12, 3)
    np.testing.assert_array_equal(cluster_labels(xy, 12, 3), labels)
    np.testing.assert_array_equal(cluster_labels(xy, 12, np.random.RandomState(3)), labels)
    assert (cluster_labels(xy, 12, 4) != labels).any()
    first, second = (cluster_labels(xy, 12, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_few_points_are_single_clusters():
    """More clusters than points, or points that differ by rounding only, are valid."""
    xy = np.repeat(random_points(3), 4, axis=0)
    np.testing.assert_array_equal(cluster_labels(xy, 5), location_ids(xy))
    near = np.array([[0.0, 0.0], [1e-300, 0.0], [2e-300, 0.0], [5.0, 0.0]])
    labels = cluster_labels(near, 3)
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert labels[3] not in labels[:3]


@pytest.mark.parametrize("n_clusters", [0, -1, 2.5, True, None])
def test_invalid_number_of_clusters_raises(n_clusters):
    """The error contains the parameter and the value."""
    with pytest.raises(ValueError, match=f"n_clusters must be an integer.*{n_clusters}"):
        cluster_labels(random_points(), n_clusters)


def test_grid_cells_have_the_spacing():
    """Points of one cell are within its size, given as (south-north, west-east)."""
    xy = random_points() - [3e3, -2e5]
    labels = grid_labels(xy, spacing=(20.0, 35.0))
    for label in np.unique(labels):
        width, height = np.ptp(xy[labels == label], axis=0)
        assert width < 35.0
        assert height < 20.0
    assert labels.max() + 1 == 5 * 3
    np.testing.assert_array_equal(grid_labels(xy, 20.0), grid_labels(xy, (20.0, 20.0)))


def test_grid_shape_counts_rows_and_columns():
    """A shape splits the bounding box evenly, numbered from the south."""
    east, north = np.meshgrid(np.linspace(0, 8, 9), np.linspace(0, 3, 4))
    labels = grid_labels(np.column_stack([east.ravel(), north.ravel()]), shape=(2, 4))
    row = [0, 0, 1, 1, 2, 2, 3, 3, 3]
    expected = [row, row, np.add(row, 4), np.add(row, 4)]
    np.testing.assert_array_equal(labels.reshape(4, 9), expected)


def test_grid_of_a_transect():
    """Points along a line are split along it."""
    xy = np.column_stack([np.arange(10.0), np.zeros(10)])
    np.testing.assert_array_equal(grid_labels(xy, shape=(3, 2)), np.repeat([0, 1], 5))
    np.testing.assert_array_equal(grid_labels(xy, spacing=5), np.repeat([0, 1], 5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either spacing or shape"),
        ({"spacing": 1.0, "shape": (1, 2)}, "either spacing or shape"),
        ({"spacing": -5}, "spacing must be one positive number or two; found -5"),
        ({"spacing": 0}, "spacing must be"),
        ({"spacing": np.nan}, "spacing must be"),
        ({"spacing": "10 km"}, "spacing must be .* found '10 km'"),
        ({"spacing": (1, 2, 3)}, "spacing must be"),
        ({"shape": 3}, "shape must be two positive integers; found 3"),
        ({"shape": (2, 0)}, "shape must be"),
        ({"shape": (2, 1.5)}, "shape must be"),
    ],
)
def test_invalid_grid_parameters_raise(settings, message):
    """The error contains the parameter and the value."""
    with pytest.raises(ValueError, match=message):
        grid_labels(random_points(), **settings)


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("rng", [None, 0])
def test_folds_consist_of_entire_blocks(balance, rng):
    """Every row has a fold, every fold has rows, and no block is split."""
    labels = np.random.default_rng(0).integers(0, 23, 500)
    folds = assign_folds(labels, 5, rng, balance)
    np.testing.assert_array_equal(np.unique(folds), np.arange(5))
    assert pd.Series(folds).groupby(labels).nunique().max() == 1


def test_folds_balance_rows_or_blocks():
    """Folds have equal numbers of rows if blocks allow it, or of blocks without balance."""
    labels = np.repeat(np.arange(8), [10, 10, 30, 20, 10, 30, 10, 40])
    np.testing.assert_array_equal(np.bincount(assign_folds(labels, 4)), [40, 40, 40, 40])
    in_turn = assign_folds(labels, 4, balance=False)
    assert [len(np.unique(labels[in_turn == fold])) for fold in range(4)] == [2, 2, 2, 2]
    np.testing.assert_array_equal(np.bincount(in_turn), [20, 40, 40, 60])


def test_folds_are_reproducible():
    """Equal seeds give equal folds, other seeds give others."""
    labels = np.repeat(np.arange(30), 4)
    for balance in (True, False):
        folds = assign_folds(labels, 5, 1, balance)
        np.testing.assert_array_equal(assign_folds(labels, 5, 1, balance), folds)
        assert (assign_folds(labels, 5, 2, balance) != folds).any()


def test_folds_do_not_depend_on_row_order():
    """Shuffled rows keep their folds."""
    labels = np.random.default_rng(0).integers(0, 23, 500)
    order = np.random.default_rng(1).permutation(500)
    for rng in (None, 7):
        np.testing.assert_array_equal(
            assign_folds(labels[order], 5, rng), assign_folds(labels, 5, rng)[order]
        )


def test_fewer_blocks_than_folds_raise():
    """The error contains both numbers."""
    with pytest.raises(ValueError, match="5 folds need at least as many blocks; found 3"):
        assign_folds([0, 1, 2, 2, 2, 2], 5)
