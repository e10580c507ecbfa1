"""Heterogeneous k-nearest-neighbor graph of the training rows, with one edge type per relation.

A relation is a space in which the neighbors of a row are searched (see
`FeatureEncoder.relation_spaces`): spatial proximity, spectral similarity or elevation. Edges run
from training rows to any row. Neighbor lists have a fixed length, so the whole graph is one integer
array of shape (n_rows, n_relations, n_neighbors), in which -1 pads short lists.
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
    """Nearest-neighbor search among the training rows in each relation.

    Search trees are built on first use and left out of pickles.

    Parameters
    ----------
    spaces : mapping of relation name to ndarray of shape (n, d)
        Coordinates of the training rows in each relation. A row with NaN has no neighbors in that
        relation and is the neighbor of no row.
    workers : int, default=1
        Number of threads of the search.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.knn_graph import KNNGraph
    >>> knn_graph = KNNGraph({"spatial": np.array([[0.0], [1.0], [3.0], [7.0]])})
    >>> knn_graph.knn(2, np.arange(4))[:, 0].tolist()
    [[1, 2], [0, 2], [1, 0], [2, 1]]
    >>> knn_graph.query({"spatial": np.array([[6.0]])}, 2).tolist()
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

    def knn(self, n_neighbors: int, groups: np.ndarray) -> np.ndarray:
        """Return the neighbors of every training row among the rows of other groups.

        Parameters
        ----------
        n_neighbors : int
            Length of each list.
        groups : ndarray of shape (n,) of int
            Rows of the same group are never neighbors of each other.

        Returns
        -------
        neighbors : ndarray of shape (n, n_relations, n_neighbors) of int32
            Nearest first; `NO_NEIGHBOR` where there are fewer.
        """
        return self.knn_many([(n_neighbors, groups)])[0]

    def knn_many(self, requests: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray]:
        """Return the graphs of several groupings in one search.

        Parameters
        ----------
        requests : sequence of (n_neighbors, groups)
            As in `knn`.

        Returns
        -------
        list of ndarray of shape (n, n_relations, n_neighbors) of int32
        """
        graphs = [_empty_lists(len(groups), len(self.spaces), k) for k, groups in requests]
        for position, name in enumerate(self.spaces):
            located = _located_rows(self.spaces[name])
            lists_by_grouping = nearest_in_other_groups(
                self._tree(name),
                [(groups[located], k) for k, groups in requests],
                eps=self._eps[name],
                workers=self.workers,
            )
            for graph, lists in zip(graphs, lists_by_grouping, strict=True):
                _scatter_lists(graph[:, position], lists, located, located)
        return graphs

    def query(self, queries: Mapping[str, np.ndarray], n_neighbors: int) -> np.ndarray:
        """Return the neighbors of query rows among the training rows.

        Parameters
        ----------
        queries : mapping of relation name to ndarray of shape (m, d)
            Coordinates of the query rows in each relation; a row with NaN gets no neighbors.
        n_neighbors : int
            Length of each list.

        Returns
        -------
        neighbors : ndarray of shape (m, n_relations, n_neighbors) of int32
            Indices of training rows, nearest first; `NO_NEIGHBOR` where there are fewer. The list
            of a row does not depend on the other query rows.
        """
        n_queries = len(next(iter(queries.values()))) if queries else 0
        graph = _empty_lists(n_queries, len(self.spaces), n_neighbors)
        for position, (name, space) in enumerate(self.spaces.items()):
            located = _located_rows(queries[name])
            lists = self._tree(name).query(
                queries[name][located], n_neighbors, eps=self._eps[name], workers=self.workers
            )
            _scatter_lists(graph[:, position], lists, _located_rows(space), located)
        return graph

    def rank(self, name: str) -> np.ndarray:
        """Return ranks (n,) of the training rows in which nearby rows follow each other.

        Rows without coordinates in the relation have rank 0.
        """
        located = _located_rows(self.spaces[name])
        rank = np.zeros(len(self.spaces[name]), dtype=np.int32)
        rank[located] = self._tree(name).rank
        return rank

    def _tree(self, name: str) -> BoxTree:
        if name not in self._trees:
            space = self.spaces[name]
            self._trees[name] = BoxTree(space[_located_rows(space)])
        return self._trees[name]


def build_graph(
    spaces: Mapping[str, np.ndarray], n_neighbors: int, groups: np.ndarray, *, workers: int = 1
) -> np.ndarray:
    """Return the neighbors of every training row among the rows of other groups.

    Parameters
    ----------
    spaces : mapping of relation name to ndarray of shape (n, d)
        As in `KNNGraph`.
    n_neighbors : int
        Length of each list.
    groups : ndarray of shape (n,) of int
        Rows of the same group are never neighbors of each other: location ids exclude the other
        rows at a location, fold ids exclude the rows of a fold.
    workers : int, default=1
        Number of threads of the search.

    Returns
    -------
    neighbors : ndarray of shape (n, n_relations, n_neighbors) of int32
        Nearest first; `NO_NEIGHBOR` where there are fewer.

    See Also
    --------
    KNNGraph.knn_many : Several groupings in one search.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.knn_graph import build_graph
    >>> line = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> build_graph({"spatial": line}, 2, groups=np.arange(4))[:, 0].tolist()
    [[1, 2], [0, 2], [1, 0], [2, 1]]
    """
    return KNNGraph(spaces, workers).knn(n_neighbors, groups)


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
    neighbors : ndarray of shape (n, n_relations, k)
        Lists of `build_graph`.
    relations : tuple of str
        Names along the second axis.
    edges : mapping of edge feature name to ndarray of shape (n, n_relations, k)
        Edge features in physical units.
    features : ndarray of shape (n, f)
        Node features.
    targets : ndarray of shape (n,)
        Targets.

    Returns
    -------
    HeteroData
        One node type "sample" and one edge type ("sample", relation, "sample") per relation;
        `edge_index` runs from source to target and `edge_attr` has one column per edge feature.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.box_tree import NO_NEIGHBOR
    >>> from sptgnn_sklearn.graph.knn_graph import to_hetero_data
    >>> neighbors = np.array([[[1]], [[NO_NEIGHBOR]]])
    >>> km = np.array([[[5.0]], [[0.0]]])
    >>> data = to_hetero_data(neighbors, ("spatial",), {"distance": km}, np.eye(2), np.zeros(2))
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
        lists = neighbors[:, position]
        target, slot = np.nonzero(lists != NO_NEIGHBOR)
        edge = data["sample", relation, "sample"]
        index = np.stack([lists[target, slot].astype(np.int64), target])
        edge.edge_index = torch.as_tensor(index)
        attributes = [values[:, position][target, slot] for values in edges.values()]
        edge.edge_attr = torch.as_tensor(np.column_stack(attributes).astype(np.float32))
        edge.edge_attr_names = list(edges)
    return data


def allowed_slots(candidates: np.ndarray, hidden: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the positions of the first candidates of each list that are not hidden.

    Parameters
    ----------
    candidates : ndarray of shape (n, n_relations, c)
        Neighbor lists, nearest first.
    hidden : ndarray of shape (n_rows,) of bool
        Rows excluded as neighbors.
    n_neighbors : int
        Number of neighbors to keep, at most c.

    Returns
    -------
    slots : ndarray of shape (n, n_relations, n_neighbors) of the smallest sufficient integer type
        Nearest first; `NO_NEIGHBOR` where too few candidates are left.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.knn_graph import allowed_slots
    >>> allowed_slots(np.array([[[2, 0, 1]]]), np.array([True, False, False]), 2).tolist()
    [[[0, 2]]]
    """
    # One or two bytes, because training keeps these lists for every member and graph variant.
    dtype = np.min_scalar_type(-candidates.shape[-1])
    slots = np.arange(candidates.shape[-1], dtype=dtype)
    kept = (candidates != NO_NEIGHBOR) & ~hidden[candidates]
    return first_k_kept(np.broadcast_to(slots, candidates.shape), kept, n_neighbors).astype(dtype)


def _located_rows(space: np.ndarray) -> np.ndarray:
    """Return the indices of the rows that have coordinates in a space."""
    return np.flatnonzero(~np.isnan(space).any(axis=1)).astype(np.int32)


def _empty_lists(n_rows: int, n_relations: int, n_neighbors: int) -> np.ndarray:
    return np.full((n_rows, n_relations, n_neighbors), NO_NEIGHBOR, dtype=np.int32)


def _scatter_lists(
    graph: np.ndarray, lists: np.ndarray, source_rows: np.ndarray, target_rows: np.ndarray
) -> None:
    """Write lists that index `source_rows` into the rows `target_rows` of a graph of all rows."""
    if len(source_rows):
        graph[target_rows] = np.where(lists == NO_NEIGHBOR, NO_NEIGHBOR, source_rows[lists])
