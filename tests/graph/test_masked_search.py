"""Several groupings in one search, and the choice between exact and approximate search."""

import numpy as np
import pytest

from sptgnn_sklearn.graph.box_tree import NO_NEIGHBOR, BoxTree
from sptgnn_sklearn.graph.masked_search import choose_eps, first_k_kept, nearest_in_other_groups

RNG = np.random.default_rng(0)
N = 400
POINTS = RNG.normal(size=(N, 3))
GROUPINGS = [
    (np.arange(N), 6),
    (np.arange(N) // 2, 20),
    (np.arange(N) % 5, 6),
    ((POINTS[:, 0] > 0).astype(int), 12),  # halves of the space
    (np.where(POINTS[:, 1] > 0, 0, np.arange(N)), 3),
    (np.zeros(N, dtype=int), 4),
]


def test_groupings_searched_together_and_alone_agree():
    """Sharing a search changes no list: all equal the result of sorting all distances."""
    distances = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=-1)
    together = list(nearest_in_other_groups(BoxTree(POINTS), GROUPINGS, workers=2))
    assert len(together) == len(GROUPINGS)
    for (groups, k), lists in zip(GROUPINGS, together, strict=True):
        assert lists.dtype == np.int32
        allowed = np.where(groups[:, None] != groups[None], distances, np.inf)
        order = np.argsort(allowed, axis=1)[:, :k]
        expected = np.where(np.isinf(np.take_along_axis(allowed, order, 1)), NO_NEIGHBOR, order)
        np.testing.assert_array_equal(lists, expected)
        (alone,) = nearest_in_other_groups(BoxTree(POINTS), [(groups, k)])
        np.testing.assert_array_equal(alone, lists)


def test_points_are_searched_once():
    """Folds that do not follow the space need no search of their own."""
    n_searched = []

    class CountingTree(BoxTree):
        def query_other_groups(self, rows, *args, **kwargs):
            n_searched.append(N if rows is None else len(rows))
            return super().query_other_groups(rows, *args, **kwargs)

    groupings = [(np.arange(N), 10)] + [(RNG.permutation(N) % 5, 10) for _ in range(4)]
    list(nearest_in_other_groups(CountingTree(POINTS), groupings))
    assert sum(n_searched) < 1.1 * N


def test_eps_reaches_the_tree():
    """An approximate search differs from the exact one in some lists."""
    tree = BoxTree(np.random.default_rng(1).normal(size=(5000, 8)))
    groups = np.arange(5000)
    (exact,) = nearest_in_other_groups(tree, [(groups, 10)])
    (approximate,) = nearest_in_other_groups(tree, [(groups, 10)], eps=1.0)
    assert 0 < (exact != approximate).any(axis=1).mean() < 1


def test_empty_inputs():
    """Neither an empty list of groupings nor an empty space is an error."""
    assert list(nearest_in_other_groups(BoxTree(np.empty((0, 2))), [])) == []
    (lists,) = nearest_in_other_groups(BoxTree(np.empty((0, 2))), [(np.empty(0, dtype=int), 3)])
    assert lists.shape == (0, 3)


def test_search_is_approximate_for_many_points_in_many_dimensions():
    """Exact up to 500,000 points or four dimensions; an approximate search is announced."""
    assert choose_eps(500_000, 8, "spectral") == 0
    assert choose_eps(10_000_000, 4, "spectral") == 0
    with pytest.warns(UserWarning, match=r"spectral.*500,001 rows.*eps=0\.25"):
        assert choose_eps(500_001, 8, "spectral") == 0.25


def test_first_kept_entries_keep_their_order():
    """Lists shrink to their first kept entries and are padded."""
    lists = RNG.integers(0, 99, (50, 2, 8))
    kept = RNG.uniform(size=lists.shape) < 0.5
    result = first_k_kept(lists, kept, 5)
    assert result.dtype == np.int32
    for row in np.ndindex(50, 2):
        expected = [*lists[row][kept[row]], *[NO_NEIGHBOR] * 5][:5]
        assert result[row].tolist() == expected
