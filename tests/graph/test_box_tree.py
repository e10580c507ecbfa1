"""Box tree against a full matrix of distances."""

import numpy as np
import pytest

from sptgnn_sklearn.graph.box_tree import NO_NEIGHBOR, BoxTree

RNG = np.random.default_rng(0)


def distances(queries, points, lists):
    """Return the distances to the listed points, infinite in padding."""
    if len(points) == 0:
        return np.full(lists.shape, np.inf)
    result = np.linalg.norm(queries[:, None] - points[lists], axis=-1)
    return np.where(lists == NO_NEIGHBOR, np.inf, result)


def smallest(queries, points, k, allowed=True):
    """Return the k smallest distances to the allowed points, by sorting all."""
    every = np.linalg.norm(queries[:, None] - points[None], axis=-1)
    every = np.sort(np.where(allowed, every, np.inf), axis=1)
    return np.hstack([every, np.full((len(queries), k), np.inf)])[:, :k]


SPACES = {
    "plane": RNG.normal(size=(700, 2)),
    "eight": RNG.normal(size=(700, 8)),
    "line": RNG.normal(size=(700, 1)),
    "many": RNG.normal(size=(300, 30)),
    "grid": RNG.integers(0, 4, (700, 3)).astype(float),
    "heavy tails": RNG.standard_t(1, size=(700, 3)),
    "one location": np.full((200, 3), 4.0),
    "far from zero": RNG.normal(size=(700, 2)) + 1e7,
    "cluster and outlier": np.vstack([1e-4 * RNG.normal(size=(400, 2)), [[1e4, 1e4]]]),
    "full leaf": RNG.normal(size=(64, 3)),
    "full leaf and one point": RNG.normal(size=(65, 3)),
    "one point": np.ones((1, 3)),
    "empty": np.empty((0, 3)),
}


@pytest.mark.parametrize("k", [1, 7, 80])
@pytest.mark.parametrize("space", SPACES)
def test_lists_are_the_nearest_points(space, k):
    """The distances equal the smallest of all distances, and each point is listed once."""
    points = SPACES[space]
    tree = BoxTree(points)
    spread = points.std() if len(points) else 1.0
    queries = np.vstack([points[:40], spread * RNG.normal(size=(40, points.shape[1]))])
    lists = tree.query(queries, k)
    assert lists.shape == (len(queries), k)
    assert lists.dtype == np.int32
    np.testing.assert_allclose(
        distances(queries, points, lists), smallest(queries, points, k), rtol=1e-9, atol=1e-15
    )
    for row in lists:
        assert len(set(row[row != NO_NEIGHBOR])) == (row != NO_NEIGHBOR).sum()


def test_order_is_exact_in_double_precision():
    """Points at equal distance in single precision are ordered by the exact distance."""
    # Steps of 1e-6 at a distance of 1000 are a hundredth of the single precision resolution.
    order = np.random.default_rng(1).permutation(500)
    points = np.column_stack([1000 + 1e-6 * order, np.zeros(500)])
    points = np.vstack([points, [[-3000.0, 0.0]]])
    (result,) = BoxTree(points).query(np.zeros((1, 2)), 100)
    np.testing.assert_array_equal(result, np.argsort(order)[:100])


def test_queries_far_outside_the_points():
    """Queries may be much farther away than the points are from each other."""
    points, queries = RNG.normal(size=(500, 3)), 1e6 * RNG.normal(size=(30, 3))
    lists = BoxTree(points).query(queries, 5)
    np.testing.assert_allclose(
        distances(queries, points, lists), smallest(queries, points, 5), rtol=1e-15
    )


GROUPS = {
    "own": np.arange(700),
    "folds": np.arange(700) % 5,
    "blocks": (SPACES["eight"][:, 0] > 0).astype(int) + 2 * (SPACES["eight"][:, 1] > 1),
    "one large": np.where(np.arange(700) < 690, 0, np.arange(700)),
    "one": np.zeros(700, dtype=int),
}


@pytest.mark.parametrize("space", ["plane", "eight", "grid"])
@pytest.mark.parametrize("groups", GROUPS)
def test_points_of_the_same_group_are_skipped(groups, space):
    """The nearest points of other groups are found, for all points and for some of them."""
    points, groups = SPACES[space], GROUPS[groups]
    tree = BoxTree(points)
    lists = tree.query_other_groups(None, 9, groups)
    expected = smallest(points, points, 9, groups[:, None] != groups[None])
    np.testing.assert_allclose(distances(points, points, lists), expected)
    assert not ((groups[lists] == groups[:, None]) & (lists != NO_NEIGHBOR)).any()
    rows = np.random.default_rng(2).permutation(700)[:50]
    np.testing.assert_array_equal(tree.query_other_groups(rows, 9, groups), lists[rows])


def test_without_groups_a_point_is_its_own_nearest_neighbor():
    """No point is skipped."""
    lists = BoxTree(SPACES["eight"]).query_other_groups(None, 3)
    np.testing.assert_array_equal(lists[:, 0], np.arange(700))


def test_list_depends_on_its_own_query_only():
    """Order, batch and threads of the queries do not change a list, even with equal distances."""
    points = SPACES["grid"]
    queries = np.random.default_rng(3).integers(0, 4, (9000, 3)).astype(float)
    tree = BoxTree(points)
    for eps in (0.0, 0.5):
        together = tree.query(queries, 6, eps=eps)
        np.testing.assert_array_equal(tree.query(queries, 6, eps=eps, workers=2), together)
        np.testing.assert_array_equal(tree.query(queries[::-1], 6, eps=eps)[::-1], together)
        for row in range(20):
            alone = tree.query(queries[[row]], 6, eps=eps)
            np.testing.assert_array_equal(alone[0], together[row])


def test_approximate_search_misses_few_neighbors():
    """With eps=0.25 in eight dimensions recall exceeds 0.995, at up to 1.25 times the distance."""
    points = np.random.default_rng(4).normal(size=(20_000, 8))
    tree = BoxTree(points)
    rows = np.arange(0, 20_000, 20)
    groups = np.arange(20_000) % 3
    exact = tree.query_other_groups(rows, 10, groups)
    loose = tree.query_other_groups(rows, 10, groups, eps=0.25)
    recall = np.mean([len(np.intersect1d(*pair)) / 10 for pair in zip(exact, loose, strict=True)])
    assert 0.995 < recall < 1  # a recall of 1 would mean that eps has no effect
    near, far = distances(points[rows], points, exact), distances(points[rows], points, loose)
    assert (far <= 1.25 * near).all()
    assert not (groups[loose] == groups[rows, None]).any()


@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (4, 50_000), (2,), (1, 4, 2)], ids=str)
def test_queries_have_the_columns_of_the_points(shape):
    """The compiled search does not check bounds, and numpy would broadcast a single column."""
    tree = BoxTree(np.random.RandomState(0).normal(size=(200, 2)))
    with pytest.raises(ValueError, match="2 columns"):
        tree.query(np.zeros(shape), 3)


@pytest.mark.parametrize("n_groups", [0, 199, 201])
def test_groups_have_one_entry_per_point(n_groups):
    tree = BoxTree(np.random.RandomState(0).normal(size=(200, 2)))
    with pytest.raises(ValueError, match="200 points"):
        tree.query_other_groups(None, 3, np.zeros(n_groups, dtype=int))
