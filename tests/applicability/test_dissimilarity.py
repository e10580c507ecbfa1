"""Distances and counts: known answers, and fast functions against slow ones."""

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


@pytest.mark.parametrize("max_distances", [10, 3_000, 10**7])
def test_mean_distance_in_blocks(max_distances, monkeypatch):
    """Each pair is counted once, whatever the size of the blocks."""
    monkeypatch.setattr(dissimilarity, "_MAX_DISTANCES", max_distances)
    assert mean_pairwise_distance(points()) == pytest.approx(pdist(points()).mean())


def test_mean_distance_of_a_sample():
    """A tenth of the rows gives the mean within 5 %, whatever the order of rows."""
    rows = points(2000)
    result = mean_pairwise_distance(rows, max_rows=200)
    assert result == pytest.approx(pdist(rows).mean(), rel=0.05)
    assert result != pytest.approx(pdist(rows).mean(), rel=1e-9)
    shuffled = rows[np.random.default_rng(1).permutation(2000)]
    assert mean_pairwise_distance(shuffled, max_rows=200) == pytest.approx(result)


@pytest.mark.parametrize("n_folds", [2, 40])
def test_held_out_distances_and_counts(n_folds):
    """Large folds (a tree) and small folds (all distances) equal the full distance matrix."""
    rows, fold = points(), np.arange(200) % n_folds
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]
    distance = np.where(fold[:, None] == fold, np.inf, cdist(rows, rows))
    np.testing.assert_allclose(held_out_distances(rows, splits), distance.min(axis=1))
    np.testing.assert_array_equal(held_out_counts(rows, splits, 0.7), (distance <= 0.7).sum(axis=1))


def test_duplicate_rows():
    """The nearest row of a duplicate is its copy at distance 0, which is counted."""
    rows = np.array([[0.0], [0.0], [0.0], [5.0]])
    assert held_out_distances(rows, None).tolist() == [0, 0, 0, 5]
    assert held_out_counts(rows, None, 1.0).tolist() == [2, 2, 2, 0]


def test_radius_is_inclusive():
    """A row at exactly the radius is counted, whatever the rounding; so are capped counts."""
    tree = cKDTree(points())
    for query in points(50, seed=1):
        distance, _ = tree.query(query)
        assert count_within(tree, query[None], distance).tolist() == [1]
        assert count_within(tree, query[None], distance, max_count=5).tolist() == [1]


@pytest.mark.parametrize(
    ("index", "fence", "whisker", "largest"),
    [
        ([1, 2, 3, 4, 10], 7, 4, 10),  # quartiles 2 and 4: the fence is at 7
        ([1, 2, 3, 4, 6], 6, 6, 6),  # the fence is beyond the largest
        ([0, 0, 0, 0, 3], 0, 0, 3),
    ],
)
def test_threshold_rules(index, fence, whisker, largest):
    """The rules differ if there are outliers."""
    index = np.array(index, dtype=float)
    thresholds = {name: rule(index) for name, rule in THRESHOLDS.items()}
    assert thresholds == {"fence": fence, "whisker": whisker, "max": largest}
