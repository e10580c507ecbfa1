"""Neighbor lists against a full matrix of distances."""

import pickle

import numpy as np
import pytest

from sptgnn_sklearn.graph import knn_graph as graph
from sptgnn_sklearn.graph import masked_search
from sptgnn_sklearn.graph.box_tree import NO_NEIGHBOR
from sptgnn_sklearn.graph.knn_graph import (
    KNNGraph,
    allowed_slots,
    build_graph,
    to_hetero_data,
)

RNG = np.random.default_rng(0)
N = 150
SPREAD = RNG.normal(size=(N, 2))
CROWDED = SPREAD[RNG.integers(0, 12, N)]  # a dozen locations
GRID = RNG.integers(0, 5, (N, 3)).astype(float)  # many equal distances

GROUPS = {
    "rows": np.arange(N),
    "pairs": np.arange(N) // 2,
    "folds": np.arange(N) % 5,
    "blocks": np.argsort(np.argsort(SPREAD[:, 0])) // 30,
    "locations": np.unique(CROWDED, axis=0, return_inverse=True)[1].reshape(-1),
    "one large": np.where(np.arange(N) < 100, 0, np.arange(N)),
    "groups of many sizes": np.repeat(np.arange(9), [1, 2, 3, 5, 8, 13, 21, 34, 63]),
    "all but one": (np.arange(N) == 7).astype(int),
    "negative": -np.arange(N) // 3 * 1000,
    "one": np.zeros(N, dtype=int),
}


def query_graph(training, queries, k):
    """Return the neighbors of queries among training rows."""
    return KNNGraph(training).query(queries, k)


def expected_distances(points, source, allowed, k):
    """Return the k smallest distances to allowed source points, by sorting all."""
    distances = np.linalg.norm(points[:, None] - source[None], axis=-1)
    distances = np.sort(np.where(allowed, distances, np.inf), axis=1)
    padding = np.full((len(points), k), np.inf)
    return np.hstack([distances, padding])[:, :k]


def listed_distances(points, source, lists):
    """Return the distances to the listed source points, infinite in padding."""
    distances = np.linalg.norm(points[:, None] - source[lists], axis=-1)
    return np.where(lists == NO_NEIGHBOR, np.inf, distances)


@pytest.mark.parametrize("k", [1, 7, 60, 200])
@pytest.mark.parametrize("space", [SPREAD, CROWDED, GRID], ids=["spread", "crowded", "grid"])
@pytest.mark.parametrize("groups", GROUPS)
def test_lists_are_the_nearest_rows_of_other_groups(groups, space, k):
    """Lists equal the result of sorting all distances, without duplicates or own-group rows.

    Distances are compared, because the order of rows at equal distance is arbitrary.
    """
    groups = GROUPS[groups]
    lists = build_graph({"spatial": space}, k, groups)[:, 0]
    assert lists.shape == (N, k)
    allowed = groups[:, None] != groups[None, :]
    np.testing.assert_allclose(
        listed_distances(space, space, lists), expected_distances(space, space, allowed, k)
    )
    for row, neighbors in enumerate(lists):
        neighbors = neighbors[neighbors != NO_NEIGHBOR]
        assert allowed[row, neighbors].all()
        assert len(set(neighbors)) == len(neighbors)


def test_each_relation_has_its_own_lists():
    """The second axis follows the order of the spaces."""
    spaces = {"spatial": SPREAD, "spectral": GRID}
    both = build_graph(spaces, 5, GROUPS["pairs"])
    assert both.shape == (N, 2, 5)
    assert both.dtype == np.int32
    for position, (name, space) in enumerate(spaces.items()):
        alone = build_graph({name: space}, 5, GROUPS["pairs"])
        np.testing.assert_array_equal(both[:, [position]], alone)


def test_graph_without_relations_has_no_lists():
    """An empty mapping of spaces is valid: the network then runs without a graph."""
    assert build_graph({}, 5, GROUPS["rows"]).shape == (N, 0, 5)
    assert query_graph({}, {}, 5).shape == (0, 0, 5)


def test_lists_do_not_depend_on_threads():
    """One and two threads find the same lists."""
    one = build_graph({"spatial": SPREAD}, 5, GROUPS["pairs"], workers=1)
    np.testing.assert_array_equal(
        build_graph({"spatial": SPREAD}, 5, GROUPS["pairs"], workers=2), one
    )


@pytest.mark.parametrize("k", [1, 7, 200])
@pytest.mark.parametrize("space", [SPREAD, CROWDED, GRID], ids=["spread", "crowded", "grid"])
def test_query_lists_are_the_nearest_training_rows(space, k):
    """Lists equal the result of sorting all distances; a training row finds its own location."""
    queries = np.vstack([space[:20], np.random.default_rng(1).normal(size=(30, space.shape[1]))])
    lists = query_graph({"spatial": space}, {"spatial": queries}, k)[:, 0]
    assert lists.dtype == np.int32
    all_allowed = np.ones((50, N), dtype=bool)
    np.testing.assert_allclose(
        listed_distances(queries, space, lists), expected_distances(queries, space, all_allowed, k)
    )
    if k == 1:
        np.testing.assert_array_equal(space[lists[:20, 0]], queries[:20])


def test_queries_are_independent():
    """The list of a query is the same alone and in a batch, even with equal distances."""
    queries = np.random.default_rng(1).integers(0, 5, (40, 3)).astype(float)
    together = query_graph({"grid": GRID}, {"grid": queries}, 6)
    for row in range(40):
        alone = query_graph({"grid": GRID}, {"grid": queries[[row]]}, 6)
        np.testing.assert_array_equal(alone[0], together[row])


def test_allowed_slots_are_the_first_that_are_not_hidden():
    """Lists shrink to their first visible rows and keep their order."""
    candidates = build_graph({"a": SPREAD, "b": GRID}, 12, GROUPS["locations"])
    candidates[:5, :, 8:] = NO_NEIGHBOR
    hidden = np.random.default_rng(2).uniform(size=N) < 0.6
    hidden[-1] = False  # the row that NO_NEIGHBOR indexes
    slots = allowed_slots(candidates, hidden, 4)
    assert slots.shape == (N, 2, 4)
    assert slots.dtype == np.int8
    chosen = np.take_along_axis(candidates, slots.clip(0).astype(int), axis=2)
    result = np.where(slots == NO_NEIGHBOR, NO_NEIGHBOR, chosen)
    for row in range(N):
        for relation in range(2):
            expected = [s for s in candidates[row, relation] if s != NO_NEIGHBOR and not hidden[s]]
            expected = (expected + 4 * [NO_NEIGHBOR])[:4]
            assert result[row, relation].tolist() == expected


def test_hetero_data_has_an_edge_for_each_neighbor():
    """Edges run from source to target, with the features of their position in the lists."""
    neighbors = np.array(
        [[[1, 2], [2, NO_NEIGHBOR]], [[0, NO_NEIGHBOR], [0, 2]], [[NO_NEIGHBOR] * 2, [1, 0]]]
    )
    edges = {"distance": RNG.uniform(size=(3, 2, 2)), "gap": RNG.uniform(size=(3, 2, 2))}
    features, targets = RNG.normal(size=(3, 4)), RNG.normal(size=3)
    relations = ("spatial", "spectral")
    data = to_hetero_data(neighbors, relations, edges, features, targets)
    np.testing.assert_array_equal(data["sample"].x, features)
    np.testing.assert_array_equal(data["sample"].y, targets)
    assert data.node_types == ["sample"]
    assert data.edge_types == [("sample", name, "sample") for name in relations]
    for position, name in enumerate(relations):
        expected = []
        for target in range(3):
            for slot in range(2):
                source = neighbors[target, position, slot]
                if source != NO_NEIGHBOR:
                    values = [edge[target, position, slot] for edge in edges.values()]
                    expected.append([source, target, *values])
        edge = data["sample", name, "sample"]
        assert edge.edge_attr_names == ["distance", "gap"]
        result = np.column_stack([edge.edge_index.numpy().T, edge.edge_attr.numpy()])
        np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert data.validate()


@pytest.mark.parametrize("k", [1, 7, 200])
def test_rows_with_nan_have_no_neighbors(k):
    """Rows with NaN in a space are left out; the lists of the others do not change."""
    space = SPREAD.copy()
    missing = np.arange(0, N, 7)
    space[missing, 0] = np.nan
    located = np.setdiff1d(np.arange(N), missing)
    groups = GROUPS["folds"]
    lists = build_graph({"spatial": SPREAD, "spectral": space}, k, groups)
    assert (lists[missing, 1] == NO_NEIGHBOR).all()
    alone = build_graph({"spectral": SPREAD[located]}, k, groups[located])[:, 0]
    expected = np.where(alone < 0, NO_NEIGHBOR, located[alone])
    np.testing.assert_array_equal(lists[located, 1], expected)
    np.testing.assert_array_equal(lists[:, 0], build_graph({"a": SPREAD}, k, groups)[:, 0])
    queried = query_graph({"spectral": space}, {"spectral": space[:20]}, k)[:, 0]
    assert (queried[missing[missing < 20]] == NO_NEIGHBOR).all()
    assert not np.isin(queried, missing).any()


def test_space_of_missing_rows_only_has_no_edges():
    """Without any image in training, all lists of the spectral relation are empty."""
    missing = np.full((N, 2), np.nan)
    assert (build_graph({"spectral": missing}, 3, np.arange(N)) == NO_NEIGHBOR).all()
    assert (query_graph({"spectral": missing}, {"spectral": SPREAD}, 3) == NO_NEIGHBOR).all()


SPACES = {"spatial": SPREAD, "spectral": np.where(np.arange(N)[:, None] % 9, GRID, np.nan)}


def test_shared_and_separate_searches_agree():
    """Several groupings at once, and queries in batches, give the same lists."""
    knn_graph = KNNGraph(SPACES, workers=2)
    requests = [(7, GROUPS["locations"]), (5, GROUPS["folds"]), (12, GROUPS["blocks"])]
    for (k, groups), lists in zip(requests, knn_graph.knn_many(requests), strict=True):
        np.testing.assert_array_equal(lists, build_graph(SPACES, k, groups))
        np.testing.assert_array_equal(lists, knn_graph.knn(k, groups))
    queries = {name: space[::-1] for name, space in SPACES.items()}
    whole = query_graph(SPACES, queries, 6)
    for start in range(0, N, 40):
        part = {name: space[start : start + 40] for name, space in queries.items()}
        np.testing.assert_array_equal(knn_graph.query(part, 6), whole[start : start + 40])


def test_each_tree_is_built_once(monkeypatch):
    """The training graph and all batches of queries use the same trees."""
    sizes = []

    class CountingTree(graph.BoxTree):
        def __init__(self, points):
            sizes.append(len(points))
            super().__init__(points)

    monkeypatch.setattr(graph, "BoxTree", CountingTree)
    knn_graph = KNNGraph(SPACES)
    knn_graph.knn(5, GROUPS["rows"])
    for _ in range(3):
        knn_graph.query(SPACES, 5)
    assert sizes == [N, (np.arange(N) % 9 > 0).sum()]


def test_pickles_hold_no_trees():
    """A pickle is no larger than the spaces, and the copy finds the same lists."""
    spaces = {"spatial": np.random.default_rng(3).normal(size=(2000, 8))}
    knn_graph = KNNGraph(spaces)
    before = knn_graph.query(spaces, 6)
    stored = pickle.dumps(knn_graph)
    assert len(stored) < 1.1 * len(pickle.dumps(spaces))
    np.testing.assert_array_equal(pickle.loads(stored).query(spaces, 6), before)


def test_large_spaces_are_searched_approximately(monkeypatch):
    """Approximate lists differ slightly from exact ones, in the training graph and for queries."""
    spaces = {"spectral": np.random.default_rng(3).normal(size=(20_000, 8))}
    queries = {"spectral": spaces["spectral"][:5000] + 0.1}
    groups = np.arange(20_000)
    exact = build_graph(spaces, 9, groups), query_graph(spaces, queries, 9)
    monkeypatch.setattr(masked_search, "_EXACT_POINTS", 10_000)
    with pytest.warns(UserWarning, match="20,000 rows"):
        approximate = build_graph(spaces, 9, groups), query_graph(spaces, queries, 9)
    for one, other in zip(exact, approximate, strict=True):
        assert 0 < (one != other).any(axis=(1, 2)).mean() < 0.1


def test_ranks_follow_proximity():
    """Located rows have distinct ranks, in which near rows follow each other; others have 0."""
    space = SPREAD.copy()
    space[[3, 50]] = np.nan
    rank = KNNGraph({"spectral": GRID, "spatial": space}).rank("spatial")
    assert rank.shape == (N,)
    assert rank.dtype == np.int32
    assert rank[[3, 50]].tolist() == [0, 0]
    located = np.delete(np.arange(N), [3, 50])
    assert sorted(rank[located]) == list(range(N - 2))
    steps = np.linalg.norm(np.diff(space[located[np.argsort(rank[located])]], axis=0), axis=1)
    unordered = np.linalg.norm(np.diff(space[located], axis=0), axis=1)
    assert steps.mean() < 0.7 * unordered.mean()


def test_slots_use_the_smallest_integer_type():
    """One byte for up to 128 candidates and the padding value, two bytes for more."""
    hidden = np.zeros(N, dtype=bool)
    hidden[1] = True
    for length, dtype in ((128, np.int8), (129, np.int16)):
        lists = np.tile(np.arange(length), (2, 1, 1))
        slots = allowed_slots(lists, hidden, 4)
        assert slots.dtype == dtype
        assert slots[:, 0].tolist() == [[0, 2, 3, 4]] * 2
    few = allowed_slots(np.array([[[1, NO_NEIGHBOR, 5]]]), hidden, 3)
    assert few.tolist() == [[[2, NO_NEIGHBOR, NO_NEIGHBOR]]]


def test_eps_and_workers_reach_the_trees(monkeypatch):
    """Each relation is searched with the error allowed for it, in the given number of threads."""
    settings, query = [], graph.BoxTree.query

    def recording_query(self, points, k, **keywords):
        settings.append(keywords)
        return query(self, points, k, **keywords)

    monkeypatch.setattr(
        graph, "choose_eps", lambda n, d, name: {(N, 6, "spectral"): 0.5}[n, d, name]
    )
    monkeypatch.setattr(graph.BoxTree, "query", recording_query)
    space = RNG.normal(size=(N, 6))
    result = KNNGraph({"spectral": space}, workers=2).query({"spectral": space}, 3)
    assert result.shape == (N, 1, 3)
    assert settings == [{"eps": 0.5, "workers": 2}]
    assert KNNGraph({"spectral": space}).workers == 1
