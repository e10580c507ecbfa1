"""Which rows of a relation are neighbours: several labellings in one search, exact or nearly so."""

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
# Rows whose lists are filtered at a time, so that no mask of all lists stands in memory.
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
        As in `BoxTree.nearest`; 0 is exact.

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
    partitions: Sequence[tuple[np.ndarray, int]],
    *,
    eps: float = 0.0,
    workers: int = 1,
) -> Iterator[np.ndarray]:
    """Yield the nearest points with another label, for several labellings of the same points.

    The points are searched once, for as many neighbours as most points need under every labelling,
    and neighbours of the own label dropped. Points that are then short of some are searched again.

    Parameters
    ----------
    tree : BoxTree
    partitions : sequence of (labels, k)
        Labels, ndarray of shape (n,) of int, and how many neighbours are wanted.
    slack : float, default=0
        See `BoxTree.nearest`.
    workers : int, default=1
        Threads.

    Yields
    ------
    ndarray of shape (n, k) of int32
        Nearest first; `NO_NEIGHBOR` where there are fewer points with another label.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.box_tree import BoxTree
    >>> from sptgnn_sklearn.graph.masked_search import nearest_in_other_groups
    >>> line = BoxTree(np.array([[0.0], [1.0], [3.0], [7.0]]))
    >>> [lists.tolist() for lists in nearest_in_other_groups(line, [(np.array([0, 0, 1, 1]), 1)])]
    [[[2], [2], [1], [1]]]
    """
    if not partitions:
        return
    n_points = len(tree.points)
    numbered = [(*_number(labels), k) for labels, k in partitions]
    most = max(k + _usual_spare(label, size, k) for label, size, k in numbered)
    wide = tree.query_other_groups(None, min(most, n_points), eps=eps, workers=workers)
    for label, size, k in numbered:
        lists = np.full((n_points, k), NO_NEIGHBOR, dtype=np.int32)
        short = []
        for start in range(0, n_points, _FILTER_ROWS):
            part = slice(start, start + _FILTER_ROWS)
            other = label[wide[part]] != label[part, None]
            lists[part] = first_k_kept(wide[part], other, k)
            wanted = np.minimum(k, n_points - size[label[part]])
            short.append(start + np.flatnonzero(other.sum(axis=1) < wanted))
        rows = np.concatenate(short) if short else np.empty(0, dtype=np.int64)
        lists[rows] = tree.query_other_groups(rows, k, label, eps=eps, workers=workers)
        yield lists


def first_k_kept(lists: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    """Return the first k entries of each list that are kept, padded where there are fewer.

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


def _number(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as numbers from 0 without gaps, and how many rows each has."""
    _, label, size = np.unique(labels, return_inverse=True, return_counts=True)
    return label.reshape(-1).astype(np.int32), size.astype(np.int32)


def _usual_spare(label: np.ndarray, size: np.ndarray, k: int) -> int:
    """Return how many of the nearest points have the own label, at nine in ten points; at most k.

    There are no more than the label has points, the point itself among them. Of a label of many
    points there are few where labels do not follow the space, and where they do k are not enough.
    """
    return min(k, int(np.quantile(size[label], 0.9, method="higher"))) if len(label) else 0
