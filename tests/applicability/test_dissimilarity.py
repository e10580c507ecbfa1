"""Distances and counts: known answers, and fast forms held against slow ones."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist

from sptgnn_sklearn.applicability import dissimilarity
from sptgnn_sklearn.applicability.dissimilarity import (
    THRESHOLDS,
    count_within,
    held_out_counts,
    held_out_distances,
    mean_pairwise_distance,
)


def points(n=200, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.mark.parametrize("cells", [10, 3_000, 10**7])
def test_mean_distance_in_blocks(cells, monkeypatch):
    """However small the blocks, every pair counts once."""
    monkeypatch.setattr(dissimilarity, "_CELLS", cells)
    assert mean_pairwise_distance(points()) == pytest.approx(pdist(points()).mean())


def test_mean_distance_of_many_rows_is_near_and_knows_no_order():
    """A tenth of the rows gives the mean within some percent, in any order of rows."""
    rows = points(2000)
    found = mean_pairwise_distance(rows, most=200)
    assert found == pytest.approx(pdist(rows).mean(), rel=0.05)
    assert found != pytest.approx(pdist(rows).mean(), rel=1e-9)
    shuffled = rows[np.random.default_rng(1).permutation(2000)]
    assert mean_pairwise_distance(shuffled, most=200) == pytest.approx(found)


@pytest.mark.parametrize("n_folds", [2, 40])
def test_few_and_many_held_out_rows(n_folds):
    """Folds of 100 rows and of 5 go different ways to the same distances and counts."""
    rows, fold = points(), np.arange(200) % n_folds
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]
    far = np.where(fold[:, None] == fold, np.inf, cdist(rows, rows))
    np.testing.assert_allclose(held_out_distances(rows, splits), far.min(axis=1))
    np.testing.assert_array_equal(held_out_counts(rows, splits, 0.7), (far <= 0.7).sum(axis=1))


def test_copies_of_a_row_are_rows():
    """A row with a copy is at distance 0 of it, and counts it."""
    rows = np.array([[0.0], [0.0], [0.0], [5.0]])
    assert held_out_distances(rows, None).tolist() == [0, 0, 0, 5]
    assert held_out_counts(rows, None, 1.0).tolist() == [2, 2, 2, 0]


def test_edge_of_a_radius_counts_however_it_is_rounded():
    """A row at exactly the distance that the tree itself measured is within it."""
    tree = cKDTree(points())
    for query in points(50, seed=1):
        distance, _ = tree.query(query)
        assert count_within(tree, query[None], distance).tolist() == [1]


@pytest.mark.parametrize(
    ("index", "fence", "whisker", "largest"),
    [
        ([1, 2, 3, 4, 10], 7, 4, 10),  # quartiles 2 and 4: the fence is at 7
        ([1, 2, 3, 4, 6], 6, 6, 6),  # the fence is beyond the largest
        ([0, 0, 0, 0, 3], 0, 0, 3),
    ],
)
def test_thresholds_by_hand(index, fence, whisker, largest):
    """The rules differ where there are outliers."""
    index = np.array(index, dtype=float)
    found = {name: rule(index) for name, rule in THRESHOLDS.items()}
    assert found == {"fence": fence, "whisker": whisker, "max": largest}
