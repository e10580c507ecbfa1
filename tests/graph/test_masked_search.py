"""Several labellings in one search, and which search is chosen."""

import numpy as np
import pytest

from sptgnn_sklearn.graph.box_tree import NO_NEIGHBOR, BoxTree
from sptgnn_sklearn.graph.masked_search import choose_eps, first_k_kept, nearest_in_other_groups

RNG = np.random.default_rng(0)
N = 400
POINTS = RNG.normal(size=(N, 3))
LABELLINGS = [
    (np.arange(N), 6),
    (np.arange(N) // 2, 20),
    (np.arange(N) % 5, 6),
    ((POINTS[:, 0] > 0).astype(int), 12),  # whole halves of the space
    (np.where(POINTS[:, 1] > 0, 0, np.arange(N)), 3),
    (np.zeros(N, dtype=int), 4),
]


def test_labellings_together_and_alone_are_the_same():
    """Sharing a search changes no list: all hold what sorting all distances finds."""
    every = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=-1)
    together = list(nearest_in_other_groups(BoxTree(POINTS), LABELLINGS, workers=2))
    assert len(together) == len(LABELLINGS)
    for (labels, k), lists in zip(LABELLINGS, together, strict=True):
        assert lists.dtype == np.int32
        allowed = np.where(labels[:, None] != labels[None], every, np.inf)
        order = np.argsort(allowed, axis=1)[:, :k]
        expected = np.where(np.isinf(np.take_along_axis(allowed, order, 1)), NO_NEIGHBOR, order)
        np.testing.assert_array_equal(lists, expected)
        (alone,) = nearest_in_other_groups(BoxTree(POINTS), [(labels, k)])
        np.testing.assert_array_equal(alone, lists)


def test_the_space_is_searched_once(monkeypatch):
    """Folds that do not follow the space cost no search of their own."""
    asked = []

    class Counting(BoxTree):
        def query_other_groups(self, rows, *args, **kwargs):
            asked.append(N if rows is None else len(rows))
            return super().query_other_groups(rows, *args, **kwargs)

    labellings = [(np.arange(N), 10)] + [(RNG.permutation(N) % 5, 10) for _ in range(4)]
    list(nearest_in_other_groups(Counting(POINTS), labellings))
    assert sum(asked) < 1.1 * N


def test_slack_reaches_the_tree():
    """An approximate search is one: some lists are not those of the exact one."""
    tree = BoxTree(np.random.default_rng(1).normal(size=(5000, 8)))
    labels = np.arange(5000)
    (exact,) = nearest_in_other_groups(tree, [(labels, 10)])
    (loose,) = nearest_in_other_groups(tree, [(labels, 10)], eps=1.0)
    assert 0 < (exact != loose).any(axis=1).mean() < 1


def test_no_points_and_no_labellings():
    """Nothing asked of nothing is no error."""
    assert list(nearest_in_other_groups(BoxTree(np.empty((0, 2))), [])) == []
    (lists,) = nearest_in_other_groups(BoxTree(np.empty((0, 2))), [(np.empty(0, dtype=int), 3)])
    assert lists.shape == (0, 3)


def test_a_search_is_chosen_by_size_and_dimensions():
    """Exact where that is quick or asked for; the switch is announced."""
    assert choose_eps(500_000, 8) == 0
    assert choose_eps(10_000_000, 4) == 0
    assert choose_eps(10_000_000, 8, "exact") == 0
    assert choose_eps(100, 8, "approximate") > 0
    assert choose_eps(100, 3, "approximate") == 0
    with pytest.warns(UserWarning, match=r"spectral neighbours among 500,001 rows.*\"exact\""):
        assert choose_eps(500_001, 8, name="The spectral neighbours") > 0
    with pytest.raises(ValueError, match=r"neighbor_search must be one of .*'exact'.*found 'fast'"):
        choose_eps(10, 2, "fast")


def test_first_kept_are_in_their_order():
    """Lists shrink to their first entries kept, and are padded."""
    lists = RNG.integers(0, 99, (50, 2, 8))
    kept = RNG.uniform(size=lists.shape) < 0.5
    found = first_k_kept(lists, kept, 5)
    assert found.dtype == np.int32
    for row in np.ndindex(50, 2):
        expected = [*lists[row][kept[row]], *[NO_NEIGHBOR] * 5][:5]
        assert found[row].tolist() == expected
