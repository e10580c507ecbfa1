"""The heterogeneous graph: k nearest training rows of every row, one list per relation.

A relation is a space in which near means related (see `features.FeatureEncoder.spaces`): spatial
proximity, spectral similarity, elevation similarity. Only training rows send messages; a query row
receives. Lists have a fixed length, so the whole graph is one integer array of shape
(n_rows, n_relations, n_neighbors) in which -1 means "nobody".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .box_tree import NO_NEIGHBOR, BoxTree
from .masked_search import choose_eps, first_k_kept, nearest_in_other_groups

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["NO_NEIGHBOR", "KNNGraph", "allowed_slots", "build_graph", "to_hetero_data"]


class KNNGraph:
    """The search for neighbours among training rows, prepared once for each relation.

    Trees are made when they are first needed and left out of pickles, which hold the spaces only: a
    copy makes the same ones again.

    Parameters
    ----------
    spaces : mapping of relation name to ndarray of shape (n, d)
        Training rows in the space of each relation. A row with NaN has no place in it: it is
        nobody's neighbour and has none.
    workers : int, default=1
        Threads of the search.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.knn_graph import KNNGraph
    >>> knn_graph = KNNGraph({"spatial": np.array([[0.0], [1.0], [3.0], [7.0]])})
    >>> knn_graph.join(2, np.arange(4))[:, 0].tolist()
    [[1, 2], [0, 2], [1, 0], [2, 1]]
    >>> knn_graph.extend({"spatial": np.array([[6.0]])}, 2).tolist()
    [[[3, 2]]]
    """

    def __init__(self, spaces: Mapping[str, np.ndarray], workers: int = 1) -> None:
        self.spaces = dict(spaces)
        self.workers = workers
        self._eps = {
            name: choose_eps(len(space), space.shape[1], name)
            for name, space in self.spaces.items()
        }
        self._trees: dict[str, BoxTree] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trees": {}}

    def knn(self, n_neighbors: int, labels: np.ndarray) -> np.ndarray:
        """Return the neighbours of every training row among those with another label.

        Parameters
        ----------
        n_neighbors : int
            Length of each list.
        labels : ndarray of shape (n,) of int
            Rows of one label never are each other's neighbours.

        Returns
        -------
        neighbours : ndarray of shape (n, n_relations, n_neighbors) of int32
            Nearest first; `NO_NEIGHBOR` where there are fewer.
        """
        return self.knn_many([(n_neighbors, labels)])[0]

    def knn_many(self, wanted: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray]:
        """Return the graphs of several labellings, for little more than the cost of one.

        Parameters
        ----------
        wanted : sequence of (n_neighbors, labels)
            As of `join`.

        Returns
        -------
        list of ndarray of shape (n, n_relations, n_neighbors) of int32
        """
        graphs = [_empty(len(labels), len(self.spaces), k) for k, labels in wanted]
        for position, name in enumerate(self.spaces):
            placed = _placed(self.spaces[name])
            partitions = [(labels[placed], k) for k, labels in wanted]
            found = nearest_in_other_groups(
                self._tree(name), partitions, eps=self._eps[name], workers=self.workers
            )
            for graph, local in zip(graphs, found, strict=True):
                _spread(graph[:, position], local, placed, placed)
        return graphs

    def query(self, queries: Mapping[str, np.ndarray], n_neighbors: int) -> np.ndarray:
        """Return the neighbours of every query row among the training rows.

        Parameters
        ----------
        queries : mapping of relation name to ndarray of shape (m, d)
            Query rows in the space of each relation; NaN is no place.
        n_neighbors : int
            Length of each list.

        Returns
        -------
        neighbours : ndarray of shape (m, n_relations, n_neighbors) of int32
            Positions of training rows, nearest first; `NO_NEIGHBOR` where there are fewer. A row's list
            does not depend on other queries.
        """
        n_queries = len(next(iter(queries.values()))) if queries else 0
        graph = _empty(n_queries, len(self.spaces), n_neighbors)
        for position, (name, space) in enumerate(self.spaces.items()):
            target_nodes = _placed(queries[name])
            points = queries[name][target_nodes]
            local = self._tree(name).nearest(
                points, n_neighbors, eps=self._eps[name], workers=self.workers
            )
            _spread(graph[:, position], local, _placed(space), target_nodes)
        return graph

    def rank(self, name: str) -> np.ndarray:
        """Return places (n,) of training rows in an order in which near ones follow one another.

        Rows without a place in the space of the relation are the first.
        """
        placed = _placed(self.spaces[name])
        rank = np.zeros(len(self.spaces[name]), dtype=np.int32)
        rank[placed] = self._tree(name).rank
        return rank

    def _tree(self, name: str) -> BoxTree:
        if name not in self._trees:
            space = self.spaces[name]
            self._trees[name] = BoxTree(space[_placed(space)])
        return self._trees[name]


def build_graph(
    spaces: Mapping[str, np.ndarray],
    n_neighbors: int,
    labels: np.ndarray,
    *,
    workers: int = 1,
) -> np.ndarray:
    """Neighbours of every training row among the training rows with another label.

    Parameters
    ----------
    spaces : mapping of relation name to ndarray of shape (n, d)
        The space of each relation. A row with NaN has no place in it: it is nobody's neighbour and
        has none.
    n_neighbors : int
        Length of each list.
    labels : ndarray of shape (n,) of int
        Rows of one label never are each other's neighbours: with the labels of places a row does
        not see its own place, with the labels of folds it does not see its own fold.
    workers : int, default=1
        Threads of the search.

    Returns
    -------
    neighbours : ndarray of shape (n, n_relations, n_neighbors) of int32
        Nearest first; `NO_NEIGHBOR` where there are fewer.

    See Also
    --------
    Searcher.join_all : Several labellings at once.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.knn_graph import build_graph
    >>> line = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> build_graph({"spatial": line}, 2, labels=np.arange(4))[:, 0].tolist()
    [[1, 2], [0, 2], [1, 0], [2, 1]]
    """
    return KNNGraph(spaces, workers).knn(n_neighbors, labels)


def to_hetero_data(
    neighbors: np.ndarray,
    relations: tuple[str, ...],
    edges: Mapping[str, np.ndarray],
    features: np.ndarray,
    targets: np.ndarray,
) -> HeteroData:
    """Return the training graph as a `torch_geometric.data.HeteroData`.

    Parameters
    ----------
    neighbours : ndarray of shape (n, n_relations, k)
        Lists of `build_graph`.
    relations : tuple of str
        Names along the second axis.
    edges : mapping of edge feature name to ndarray of shape (n, n_relations, k)
        What each edge carries, in physical units.
    features : ndarray of shape (n, f)
        Node features.
    targets : ndarray of shape (n,)
        Targets.

    Returns
    -------
    HeteroData
        One node type "sample" and one edge type ("sample", relation, "sample") per relation;
        `edge_index` runs from sender to receiver and `edge_attr` has one column per edge feature.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.box_tree import NO_NEIGHBOR
    >>> from sptgnn_sklearn.graph.knn_graph import to_hetero_data
    >>> neighbours = np.array([[[1]], [[NO_NEIGHBOR]]])
    >>> km = np.array([[[5.0]], [[0.0]]])
    >>> data = to_hetero_data(neighbours, ("spatial",), {"distance": km}, np.eye(2), np.zeros(2))
    >>> data["sample", "spatial", "sample"].edge_index.tolist()
    [[1], [0]]
    """
    # Imported here, so that graphs can be built without torch.
    import torch
    from torch_geometric.data import HeteroData

    data = HeteroData()
    data["sample"].x = torch.as_tensor(features)
    data["sample"].y = torch.as_tensor(targets)
    for position, relation in enumerate(relations):
        source_index = neighbors[:, position]
        receiver, slot = np.nonzero(source_index != NO_NEIGHBOR)
        edge = data["sample", relation, "sample"]
        index = np.stack([source_index[receiver, slot].astype(np.int64), receiver])
        edge.edge_index = torch.as_tensor(index)
        attributes = [values[:, position][receiver, slot] for values in edges.values()]
        edge.edge_attr = torch.as_tensor(np.column_stack(attributes).astype(np.float32))
        edge.edge_attr_names = list(edges)
    return data


def allowed_slots(candidates: np.ndarray, hidden: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Say where in each list its first candidates stand that are not hidden.

    Parameters
    ----------
    candidates : ndarray of shape (n, n_relations, c)
        Lists, nearest first.
    hidden : ndarray of shape (n_rows,) of bool
        Rows that may not send.
    n_neighbors : int
        How many are wanted, at most c.

    Returns
    -------
    slots : ndarray of shape (n, n_relations, n_neighbors) of the smallest integers
        Nearest first; `NO_NEIGHBOR` where too few candidates are left.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.knn_graph import allowed_slots
    >>> allowed_slots(np.array([[[2, 0, 1]]]), np.array([True, False, False]), 2).tolist()
    [[[0, 2]]]
    """
    # One or two bytes: training keeps such lists for every member and distance.
    kind = np.min_scalar_type(-candidates.shape[-1])
    lists = np.arange(candidates.shape[-1], dtype=kind)
    kept = (candidates != NO_NEIGHBOR) & ~hidden[candidates]
    return first_k_kept(np.broadcast_to(lists, candidates.shape), kept, n_neighbors).astype(kind)


def _placed(space: np.ndarray) -> np.ndarray:
    """Return the rows that have a place in a space."""
    return np.flatnonzero(~np.isnan(space).any(axis=1)).astype(np.int32)


def _empty(n_rows: int, n_relations: int, n_neighbors: int) -> np.ndarray:
    return np.full((n_rows, n_relations, n_neighbors), NO_NEIGHBOR, dtype=np.int32)


def _spread(
    lists: np.ndarray, local: np.ndarray, source_index: np.ndarray, target_nodes: np.ndarray
) -> None:
    """Write lists among some rows into lists of all rows."""
    if len(source_index):
        lists[target_nodes] = np.where(local == NO_NEIGHBOR, NO_NEIGHBOR, source_index[local])
