"""Nearest neighbors in other groups, for several groupings of the same points in one search."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from .box_tree import NO_NEIGHBOR, BoxTree

__all__ = ["choose_eps", "first_k_kept", "nearest_in_other_groups"]

# In so few dimensions an exact search takes microseconds at any size.
_FEW_DIMENSIONS = 4
_EXACT_POINTS = 500_000
_EPS = 0.25
# Lists filtered at a time, so that no mask of all lists is held in memory.
_FILTER_ROWS = 50_000


def choose_eps(n_points: int, n_dimensions: int, relation: str) -> float:
    """Return the relative error allowed in the neighbor search of one relation.

    The search is exact in four dimensions or fewer and for up to 500,000 points, and approximate
    otherwise.

    Parameters
    ----------
    n_points, n_dimensions : int
        Size of the space.
    relation : str
        Name of the relation, for the warning.

    Returns
    -------
    eps : float
        As in `BoxTree.query`; 0 is exact.

    Warns
    -----
    UserWarning
        If the search is approximate.

    Examples
    --------
    >>> from sptgnn_sklearn.graph.masked_search import choose_eps
    >>> choose_eps(300_000, 8, "spectral")
    0.0
    """
    if n_dimensions <= _FEW_DIMENSIONS or n_points <= _EXACT_POINTS:
        return 0.0
    warnings.warn(
        f"The {relation} neighbors are searched approximately among {n_points:,} rows "
        f"(eps={_EPS}); the search is exact for up to {_EXACT_POINTS:,} rows.",
        stacklevel=2,
    )
    return _EPS


def nearest_in_other_groups(
    tree: BoxTree,
    groupings: Sequence[tuple[np.ndarray, int]],
    *,
    eps: float = 0.0,
    workers: int = 1,
) -> Iterator[np.ndarray]:
    """Yield the nearest points of other groups, for several groupings of the same points.

    The points are searched once, with as many neighbors as most points need under every grouping,
    and neighbors of the own group are removed. Only points left with too few are searched again.

    Parameters
    ----------
    tree : BoxTree
    groupings : sequence of (groups, k)
        Groups, ndarray of shape (n,) of int, and the number of neighbors.
    eps : float, default=0
        As in `BoxTree.query`.
    workers : int, default=1
        Number of threads.

    Yields
    ------
    ndarray of shape (n, k) of int32
        Nearest first; `NO_NEIGHBOR` where other groups have fewer points.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.box_tree import BoxTree
    >>> from sptgnn_sklearn.graph.masked_search import nearest_in_other_groups
    >>> line = BoxTree(np.array([[0.0], [1.0], [3.0], [7.0]]))
    >>> [lists.tolist() for lists in nearest_in_other_groups(line, [(np.array([0, 0, 1, 1]), 1)])]
    [[[2], [2], [1], [1]]]
    """
    if not groupings:
        return
    n_points = len(tree.points)
    encoded = [(*_encode_groups(groups), k) for groups, k in groupings]
    n_candidates = max(k + _typical_excess(group, size, k) for group, size, k in encoded)
    candidates = tree.query_other_groups(
        None, min(n_candidates, n_points), eps=eps, workers=workers
    )
    for group, size, k in encoded:
        lists = np.full((n_points, k), NO_NEIGHBOR, dtype=np.int32)
        incomplete = []
        for start in range(0, n_points, _FILTER_ROWS):
            part = slice(start, start + _FILTER_ROWS)
            kept = group[candidates[part]] != group[part, None]
            lists[part] = first_k_kept(candidates[part], kept, k)
            available = np.minimum(k, n_points - size[group[part]])
            incomplete.append(start + np.flatnonzero(kept.sum(axis=1) < available))
        rows = np.concatenate(incomplete) if incomplete else np.empty(0, dtype=np.int64)
        lists[rows] = tree.query_other_groups(rows, k, group, eps=eps, workers=workers)
        yield lists


def first_k_kept(lists: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    """Return the first k kept entries of each list, padded with `NO_NEIGHBOR`.

    Parameters
    ----------
    lists : ndarray of shape (..., c)
    kept : ndarray of the same shape, of bool
    k : int

    Returns
    -------
    ndarray of shape (..., k) of int32

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.masked_search import first_k_kept
    >>> first_k_kept(np.array([[7, 8, 9]]), np.array([[False, True, True]]), 3).tolist()
    [[8, 9, -1]]
    """
    flat, kept = lists.reshape(-1, lists.shape[-1]), kept.reshape(-1, lists.shape[-1])
    chosen = np.full((len(flat), k), NO_NEIGHBOR, dtype=np.int32)
    rank = np.cumsum(kept, axis=1, dtype=np.int32) - 1
    row, entry = np.nonzero(kept & (rank < k))
    chosen[row, rank[row, entry]] = flat[row, entry]
    return chosen.reshape(*lists.shape[:-1], k)


def _encode_groups(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return groups as consecutive integers from 0, and the number of points of each group."""
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    return group.reshape(-1).astype(np.int32), size.astype(np.int32)


def _typical_excess(group: np.ndarray, size: np.ndarray, k: int) -> int:
    """Return a number of own-group neighbors that nine points in ten do not exceed; at most k.

    A point has at most as many as its group has points, itself included. Large groups are capped at
    k: where they do not follow the space, the nearest points rarely hold more of them, and where
    they do, k are not enough anyway.
    """
    return min(k, int(np.quantile(size[group], 0.9, method="higher"))) if len(group) else 0
