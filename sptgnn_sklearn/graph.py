"""The heterogeneous graph: k nearest training rows of every row, one list per relation.

A relation is a space in which near means related (see `features.Features.spaces`): spatial
proximity, spectral similarity, elevation similarity. Only training rows send messages; a query row
receives. Lists have a fixed length, so the whole graph is one integer array of shape
(n_rows, n_relations, n_neighbors) in which -1 means "nobody".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["NOBODY", "allowed_slots", "build_graph", "extend_graph", "to_hetero_data"]

NOBODY = -1


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
        Nearest first; `NOBODY` where there are fewer.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph import build_graph
    >>> line = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> build_graph({"spatial": line}, 2, labels=np.arange(4))[:, 0].tolist()
    [[1, 2], [0, 2], [1, 0], [2, 1]]
    """
    lists = []
    for space in spaces.values():
        placed = _placed(space)
        local = _nearest_outside(space[placed], n_neighbors, labels[placed], workers)
        lists.append(_spread(local, placed, placed, len(space)))
    return _stack(lists, len(labels), n_neighbors)


def extend_graph(
    training: Mapping[str, np.ndarray],
    queries: Mapping[str, np.ndarray],
    n_neighbors: int,
    *,
    workers: int = 1,
) -> np.ndarray:
    """Neighbours of every query row among the training rows.

    Parameters
    ----------
    training, queries : mapping of relation name to ndarray of shape (n, d), (m, d)
        Training and query rows in the space of each relation; NaN is no place.
    n_neighbors : int
        Length of each list.
    workers : int, default=1
        Threads of the search.

    Returns
    -------
    neighbours : ndarray of shape (m, n_relations, n_neighbors) of int32
        Positions of training rows, nearest first; `NOBODY` where there are fewer. A row's list does
        not depend on other queries.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph import extend_graph
    >>> line = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> extend_graph({"spatial": line}, {"spatial": np.array([[6.0]])}, 2).tolist()
    [[[3, 2]]]
    """
    lists = []
    for name, space in training.items():
        senders, receivers = _placed(space), _placed(queries[name])
        points = queries[name][receivers]
        local = _nearest(cKDTree(space[senders]), points, n_neighbors, workers)
        lists.append(_spread(local, senders, receivers, len(queries[name])))
    n_queries = len(next(iter(queries.values()))) if queries else 0
    return _stack(lists, n_queries, n_neighbors)


def to_hetero_data(
    neighbours: np.ndarray,
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
    >>> from sptgnn_sklearn.graph import NOBODY, to_hetero_data
    >>> neighbours = np.array([[[1]], [[NOBODY]]])
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
        senders = neighbours[:, position]
        receiver, slot = np.nonzero(senders != NOBODY)
        edge = data["sample", relation, "sample"]
        index = np.stack([senders[receiver, slot].astype(np.int64), receiver])
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
        Nearest first; `NOBODY` where too few candidates are left.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph import allowed_slots
    >>> allowed_slots(np.array([[[2, 0, 1]]]), np.array([True, False, False]), 2).tolist()
    [[[0, 2]]]
    """
    # One or two bytes: training keeps such lists for every member and distance.
    kind = np.min_scalar_type(-candidates.shape[-1])
    lists = np.arange(candidates.shape[-1], dtype=kind)
    kept = (candidates != NOBODY) & ~hidden[candidates]
    return _first_kept(np.broadcast_to(lists, candidates.shape), kept, n_neighbors).astype(kind)


def _first_kept(lists: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    """Return the first k entries of each list that are kept, padded where there are fewer."""
    # The sort is stable, so those kept come first and stay in their order.
    order = np.argsort(~kept, axis=-1, kind="stable")[..., :k]
    chosen = np.take_along_axis(lists, order, axis=-1)
    return np.where(np.take_along_axis(kept, order, axis=-1), chosen, NOBODY).astype(np.int32)


def _placed(space: np.ndarray) -> np.ndarray:
    """Return the rows that have a place in a space."""
    return np.flatnonzero(~np.isnan(space).any(axis=1))


def _spread(
    local: np.ndarray, senders: np.ndarray, receivers: np.ndarray, n_rows: int
) -> np.ndarray:
    """Turn lists among some rows into lists of all rows."""
    lists = np.full((n_rows, local.shape[1]), NOBODY, dtype=np.int32)
    if len(senders):
        lists[receivers] = np.where(local == NOBODY, NOBODY, senders[local])
    return lists


def _nearest(tree: cKDTree, points: np.ndarray, k: int, workers: int) -> np.ndarray:
    """Return the k nearest points of a tree, padded where the tree has fewer."""
    found = min(k, tree.n)
    lists = np.full((len(points), k), NOBODY, dtype=np.int32)
    if found == 0:
        return lists
    lists[:, :found] = tree.query(points, k=np.arange(1, found + 1), workers=workers)[1]
    return lists


def _nearest_outside(space: np.ndarray, k: int, labels: np.ndarray, workers: int) -> np.ndarray:
    """Return the k nearest rows of other labels.

    A row needs at most as many spare neighbours as its label has rows, so few are asked for and
    those of the own label dropped. For a label of many rows a tree of all the others is cheaper.
    """
    lists = np.full((len(space), k), NOBODY, dtype=np.int32)
    _, label, size = np.unique(labels, return_inverse=True, return_counts=True)
    label = label.reshape(-1)
    large = size.astype(float) ** 2 > len(space)
    for one in np.flatnonzero(large & (size < len(space))):
        inside = label == one
        others = np.flatnonzero(~inside)
        local = _nearest(cKDTree(space[others]), space[inside], k, workers)
        lists[inside] = np.where(local == NOBODY, NOBODY, others[local])
    if large.all():
        return lists
    tree = cKDTree(space)
    # Labels of similar size ask for equally many neighbours.
    spare = 2 ** np.ceil(np.log2(size)).astype(int)
    for asked in np.unique(spare[~large]):
        rows = np.flatnonzero((spare == asked)[label] & ~large[label])
        found = _nearest(tree, space[rows], k + asked, workers)
        other = (found != NOBODY) & (label[found] != label[rows][:, None])
        lists[rows] = _first_kept(found, other, k)
    return lists


def _stack(lists: list[np.ndarray], n_rows: int, n_neighbors: int) -> np.ndarray:
    if not lists:
        return np.empty((n_rows, 0, n_neighbors), dtype=np.int32)
    return np.stack(lists, axis=1)
