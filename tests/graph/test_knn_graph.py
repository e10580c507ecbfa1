"""Neighbour lists against a full matrix of distances."""

import pickle

import numpy as np
import pytest

from sptgnn_sklearn.graph import knn_graph as graph
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
CROWDED = SPREAD[RNG.integers(0, 12, N)]  # a dozen places
GRID = RNG.integers(0, 5, (N, 3)).astype(float)  # many equal distances

LABELS = {
    "rows": np.arange(N),
    "pairs": np.arange(N) // 2,
    "folds": np.arange(N) % 5,
    "blocks": np.argsort(np.argsort(SPREAD[:, 0])) // 30,
    "places": np.unique(CROWDED, axis=0, return_inverse=True)[1].reshape(-1),
    "one large": np.where(np.arange(N) < 100, 0, np.arange(N)),
    "many sizes": np.repeat(np.arange(9), [1, 2, 3, 5, 8, 13, 21, 34, 63]),
    "all but one": (np.arange(N) == 7).astype(int),
    "negative": -np.arange(N) // 3 * 1000,
    "one": np.zeros(N, dtype=int),
}


def extend_graph(training, queries, k, **settings):
    """Neighbours of queries by a searcher that is made for them."""
    return KNNGraph(training, **settings).query(queries, k)


def expected_distances(points, source_index, allowed, k):
    """The k smallest distances from each point to the senders allowed to it, by sorting all."""
    distances = np.linalg.norm(points[:, None] - source_index[None], axis=-1)
    distances = np.sort(np.where(allowed, distances, np.inf), axis=1)
    padding = np.full((len(points), k), np.inf)
    return np.hstack([distances, padding])[:, :k]


def listed_distances(points, source_index, lists):
    """Distances to the listed senders, infinite where nobody is listed."""
    distances = np.linalg.norm(points[:, None] - source_index[lists], axis=-1)
    return np.where(lists == NO_NEIGHBOR, np.inf, distances)


@pytest.mark.parametrize("k", [1, 7, 60, 200])
@pytest.mark.parametrize("space", [SPREAD, CROWDED, GRID], ids=["spread", "crowded", "grid"])
@pytest.mark.parametrize("labels", LABELS)
def test_lists_are_the_nearest_rows_of_other_labels(labels, space, k):
    """Every list holds what sorting all distances finds, each sender once, none of the own label.

    Of senders at equal distance any will do, so that distances are compared.
    """
    labels = LABELS[labels]
    lists = build_graph({"spatial": space}, k, labels)[:, 0]
    assert lists.shape == (N, k)
    allowed = labels[:, None] != labels[None, :]
    np.testing.assert_allclose(
        listed_distances(space, space, lists), expected_distances(space, space, allowed, k)
    )
    for row, source_index in enumerate(lists):
        source_index = source_index[source_index != NO_NEIGHBOR]
        assert allowed[row, source_index].all()
        assert len(set(source_index)) == len(source_index)


def test_relations_have_lists_of_their_own():
    """The second axis runs over the spaces in their order."""
    spaces = {"spatial": SPREAD, "spectral": GRID}
    both = build_graph(spaces, 5, LABELS["pairs"])
    assert both.shape == (N, 2, 5)
    assert both.dtype == np.int32
    for position, (name, space) in enumerate(spaces.items()):
        alone = build_graph({name: space}, 5, LABELS["pairs"])
        np.testing.assert_array_equal(both[:, [position]], alone)


def test_graph_without_relations_has_no_lists():
    """No relation is no error: the network then runs without a graph."""
    assert build_graph({}, 5, LABELS["rows"]).shape == (N, 0, 5)
    assert extend_graph({}, {}, 5).shape == (0, 0, 5)


def test_threads_change_nothing():
    """The search may run in parallel."""
    one = build_graph({"spatial": SPREAD}, 5, LABELS["pairs"], workers=1)
    np.testing.assert_array_equal(
        build_graph({"spatial": SPREAD}, 5, LABELS["pairs"], workers=2), one
    )


@pytest.mark.parametrize("k", [1, 7, 200])
@pytest.mark.parametrize("space", [SPREAD, CROWDED, GRID], ids=["spread", "crowded", "grid"])
def test_queries_get_the_nearest_training_rows(space, k):
    """Lists of queries hold what sorting all distances finds, with training rows at their place."""
    queries = np.vstack([space[:20], np.random.default_rng(1).normal(size=(30, space.shape[1]))])
    lists = extend_graph({"spatial": space}, {"spatial": queries}, k)[:, 0]
    assert lists.dtype == np.int32
    everyone = np.ones((50, N), dtype=bool)
    np.testing.assert_allclose(
        listed_distances(queries, space, lists), expected_distances(queries, space, everyone, k)
    )
    if k == 1:
        np.testing.assert_array_equal(space[lists[:20, 0]], queries[:20])


def test_queries_do_not_see_one_another():
    """The list of a query is the same alone and among others, also where distances are equal."""
    queries = np.random.default_rng(1).integers(0, 5, (40, 3)).astype(float)
    together = extend_graph({"grid": GRID}, {"grid": queries}, 6)
    for row in range(40):
        alone = extend_graph({"grid": GRID}, {"grid": queries[[row]]}, 6)
        np.testing.assert_array_equal(alone[0], together[row])


def test_allowed_senders_are_the_first_that_are_not_hidden():
    """Lists shrink to the first senders in sight and keep their order."""
    candidates = build_graph({"a": SPREAD, "b": GRID}, 12, LABELS["places"])
    candidates[:5, :, 8:] = NO_NEIGHBOR
    hidden = np.random.default_rng(2).uniform(size=N) < 0.6
    hidden[-1] = False  # where NOBODY would read
    slots = allowed_slots(candidates, hidden, 4)
    assert slots.shape == (N, 2, 4)
    assert slots.dtype == np.int8
    source_index = np.take_along_axis(candidates, slots.clip(0).astype(int), axis=2)
    found = np.where(slots == NO_NEIGHBOR, NO_NEIGHBOR, source_index)
    for row in range(N):
        for relation in range(2):
            expected = [s for s in candidates[row, relation] if s != NO_NEIGHBOR and not hidden[s]]
            expected = (expected + 4 * [NO_NEIGHBOR])[:4]
            assert found[row, relation].tolist() == expected


def test_hetero_data_has_an_edge_for_each_sender():
    """Edges run from sender to receiver, with the features of their place in the lists."""
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
        for receiver in range(3):
            for slot in range(2):
                sender = neighbors[receiver, position, slot]
                if sender != NO_NEIGHBOR:
                    values = [edge[receiver, position, slot] for edge in edges.values()]
                    expected.append([sender, receiver, *values])
        edge = data["sample", name, "sample"]
        assert edge.edge_attr_names == ["distance", "gap"]
        found = np.column_stack([edge.edge_index.numpy().T, edge.edge_attr.numpy()])
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert data.validate()


@pytest.mark.parametrize("k", [1, 7, 200])
def test_rows_without_a_place_have_no_neighbours(k):
    """NaN is no place in a space: the others are joined as if those rows were not there."""
    space = SPREAD.copy()
    lost = np.arange(0, N, 7)
    space[lost, 0] = np.nan
    there = np.setdiff1d(np.arange(N), lost)
    labels = LABELS["folds"]
    lists = build_graph({"spatial": SPREAD, "spectral": space}, k, labels)
    assert (lists[lost, 1] == NO_NEIGHBOR).all()
    alone = build_graph({"spectral": SPREAD[there]}, k, labels[there])[:, 0]
    np.testing.assert_array_equal(lists[there, 1], np.where(alone < 0, NO_NEIGHBOR, there[alone]))
    np.testing.assert_array_equal(lists[:, 0], build_graph({"a": SPREAD}, k, labels)[:, 0])
    asked = extend_graph({"spectral": space}, {"spectral": space[:20]}, k)[:, 0]
    assert (asked[lost[lost < 20]] == NO_NEIGHBOR).all()
    assert not np.isin(asked, lost).any()


def test_a_space_without_any_row_joins_nobody():
    """Where no training row has an image, no list has an entry."""
    nowhere = np.full((N, 2), np.nan)
    assert (build_graph({"spectral": nowhere}, 3, np.arange(N)) == NO_NEIGHBOR).all()
    assert (extend_graph({"spectral": nowhere}, {"spectral": SPREAD}, 3) == NO_NEIGHBOR).all()


HARD = {"spatial": SPREAD, "spectral": np.where(np.arange(N)[:, None] % 9, GRID, np.nan)}


def test_graphs_of_one_searcher_are_those_of_separate_calls():
    """Several labellings at once, and queries in batches, change nothing."""
    knn_graph = KNNGraph(HARD, workers=2)
    wanted = [(7, LABELS["places"]), (5, LABELS["folds"]), (12, LABELS["blocks"])]
    for (k, labels), lists in zip(wanted, knn_graph.knn_many(wanted), strict=True):
        np.testing.assert_array_equal(lists, build_graph(HARD, k, labels))
        np.testing.assert_array_equal(lists, knn_graph.knn(k, labels))
    queries = {name: space[::-1] for name, space in HARD.items()}
    whole = extend_graph(HARD, queries, 6)
    for start in range(0, N, 40):
        part = {name: space[start : start + 40] for name, space in queries.items()}
        np.testing.assert_array_equal(knn_graph.query(part, 6), whole[start : start + 40])


def test_a_searcher_makes_each_tree_once(monkeypatch):
    """Training graph and all batches of queries are answered by the same trees."""
    made = []

    class Counting(graph.BoxTree):
        def __init__(self, points):
            made.append(len(points))
            super().__init__(points)

    monkeypatch.setattr(graph, "BoxTree", Counting)
    knn_graph = KNNGraph(HARD)
    knn_graph.knn(5, LABELS["rows"])
    for _ in range(3):
        knn_graph.query(HARD, 5)
    assert made == [N, (np.arange(N) % 9 > 0).sum()]


def test_a_searcher_is_pickled_without_its_trees():
    """A copy is no larger than the spaces, and gives the same answers."""
    spaces = {"spatial": np.random.default_rng(3).normal(size=(2000, 8))}
    knn_graph = KNNGraph(spaces, search="approximate")
    before = knn_graph.query(spaces, 6)
    stored = pickle.dumps(knn_graph)
    assert len(stored) < 1.1 * len(pickle.dumps(spaces))
    np.testing.assert_array_equal(pickle.loads(stored).query(spaces, 6), before)


def test_the_search_is_passed_on():
    """Approximate lists differ from exact ones, in the training graph and for queries."""
    spaces = {"spectral": np.random.default_rng(3).normal(size=(20_000, 8))}
    queries = {"spectral": spaces["spectral"][:5000] + 0.1}
    labels = np.arange(20_000)
    exact, loose = (build_graph(spaces, 9, labels, search=s) for s in ("exact", "approximate"))
    assert 0 < (exact != loose).any(axis=(1, 2)).mean() < 0.1
    exact, loose = (extend_graph(spaces, queries, 9, search=s) for s in ("exact", "approximate"))
    assert 0 < (exact != loose).any(axis=(1, 2)).mean() < 0.1
    with pytest.raises(ValueError, match="neighbor_search must be one of"):
        KNNGraph(spaces, search="quick")


def test_ranks_put_near_rows_beside_each_other():
    """Each row that has a place has a rank of its own; rows without one are the first."""
    space = SPREAD.copy()
    space[[3, 50]] = np.nan
    rank = KNNGraph({"spectral": GRID, "spatial": space}).rank("spatial")
    assert rank.shape == (N,)
    assert rank.dtype == np.int32
    assert rank[[3, 50]].tolist() == [0, 0]
    placed = np.delete(np.arange(N), [3, 50])
    assert sorted(rank[placed]) == list(range(N - 2))
    steps = np.linalg.norm(np.diff(space[placed[np.argsort(rank[placed])]], axis=0), axis=1)
    apart = np.linalg.norm(np.diff(space[placed], axis=0), axis=1)
    assert steps.mean() < 0.7 * apart.mean()


def test_slots_take_the_smallest_integers():
    """One byte where places and "nobody" go into one, two where they do not."""
    hidden = np.zeros(N, dtype=bool)
    hidden[1] = True
    for length, kind in ((128, np.int8), (129, np.int16)):
        lists = np.tile(np.arange(length), (2, 1, 1))
        slots = allowed_slots(lists, hidden, 4)
        assert slots.dtype == kind
        assert slots[:, 0].tolist() == [[0, 2, 3, 4]] * 2
    few = allowed_slots(np.array([[[1, NO_NEIGHBOR, 5]]]), hidden, 3)
    assert few.tolist() == [[[2, NO_NEIGHBOR, NO_NEIGHBOR]]]


def test_searches_are_as_they_are_asked_for(monkeypatch):
    """How inexact, in how many threads, and by which name a warning tells of it."""
    asked, trees = [], []
    real, nearest = graph.choose_eps, graph.BoxTree.nearest

    def choose(*args):
        asked.append(args)
        return real(*args)

    def noting(self, points, k, **settings):
        trees.append(settings)
        return nearest(self, points, k, **settings)

    monkeypatch.setattr(graph, "choose_slack", choose)
    monkeypatch.setattr(graph.BoxTree, "nearest", noting)
    space = RNG.normal(size=(N, 6))
    found = extend_graph(
        {"spectral": space}, {"spectral": space}, 3, search="approximate", workers=2
    )
    assert found.shape == (N, 1, 3)
    assert asked == [(N, 6, "approximate", "The spectral neighbours")]
    assert trees == [{"slack": real(N, 6, "approximate"), "workers": 2}]
    assert KNNGraph({"a": SPREAD}).workers == 1
    assert KNNGraph({"a": SPREAD}).search == "auto"
