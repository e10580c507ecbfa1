"""How far rows are from training rows in a space of covariates: plain distances and counts.

Points are rows of covariates that were standardised and weighted elsewhere. A division into folds
is a list of pairs (training rows, test rows); None is leave-one-out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

__all__ = [
    "THRESHOLDS",
    "count_within",
    "held_out_counts",
    "held_out_distances",
    "mean_pairwise_distance",
]

FoldSplits = Sequence[tuple[np.ndarray, np.ndarray]]
# Up to so many rows all pairs are measured, which takes some seconds.
_ALL_PAIRS = 20_000
_MAX_DISTANCE_CELLS = 4_000_000  # of a matrix of distances held at once
# For fewer queries than this all distances are faster than a tree.
_FEW = 32
# The radius that a row lies at exactly must include it, however its distance was rounded.
_DISTANCE_ROUNDING = 1e-12


def mean_pairwise_distance(points: np.ndarray, most: int = _ALL_PAIRS) -> float:
    """Return the mean distance between two different rows, over all pairs.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        At least two rows.
    most : int, default=20000
        Of more rows than this, so many are taken: evenly spaced ones among the sorted rows, so that
        the result does not depend on their order.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability.dissimilarity import mean_pairwise_distance
    >>> mean_pairwise_distance(np.array([[0.0], [1.0], [3.0]]))
    2.0
    """
    if len(points) > most:
        rank = np.lexsort(points.T[::-1])
        points = points[rank[np.linspace(0, len(points) - 1, most).round().astype(np.int64)]]
    n = len(points)
    step = max(1, _MAX_DISTANCE_CELLS // n)
    total = 0.0
    for start in range(0, n, step):
        # Each pair once: the block on the diagonal holds its pairs twice.
        block = cdist(points[start : start + step], points[start:])
        width = len(block)
        total += block[:, :width].sum() / 2 + block[:, width:].sum()
    return float(total / (n * (n - 1) / 2))


def held_out_distances(points: np.ndarray, splits: FoldSplits | None) -> np.ndarray:
    """Return each row's distance to the nearest training row of the fold that holds it out.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    splits : list of (train, test) or None

    Returns
    -------
    ndarray of shape (n,)
        NaN for rows that no fold holds out.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability.dissimilarity import (
    ...     held_out_distances,
    ... )
    >>> points = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> held_out_distances(points, None).tolist()
    [1.0, 1.0, 2.0, 4.0]
    >>> halves = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3]))]
    >>> held_out_distances(points, halves).tolist()
    [3.0, 2.0, 2.0, 6.0]
    """
    if splits is None:
        return cKDTree(points).query(points, k=[2])[0][:, 0]
    found = np.full(len(points), np.nan)
    for train, test in splits:
        if len(test) < _FEW:
            found[test] = cdist(points[test], points[train]).min(axis=1)
        else:
            found[test] = cKDTree(points[train]).query(points[test])[0]
    return found


def held_out_counts(points: np.ndarray, splits: FoldSplits | None, radius: float) -> np.ndarray:
    """Return how many training rows of the fold that holds a row out are within a radius of it.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    splits : list of (train, test) or None
    radius : float

    Returns
    -------
    ndarray of shape (n,)
        NaN for rows that no fold holds out.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability.dissimilarity import held_out_counts
    >>> held_out_counts(np.array([[0.0], [1.0], [3.0]]), None, radius=2.0).tolist()
    [1.0, 2.0, 1.0]
    """
    if splits is None:
        return count_within(cKDTree(points), points, radius) - 1.0
    found = np.full(len(points), np.nan)
    for train, test in splits:
        if len(test) < _FEW:
            near = cdist(points[test], points[train]) <= radius * (1 + _DISTANCE_ROUNDING)
            found[test] = near.sum(axis=1)
        else:
            found[test] = count_within(cKDTree(points[train]), points[test], radius)
    return found


def count_within(
    tree: cKDTree,
    queries: np.ndarray,
    radius: float,
    workers: int = 1,
    most: int | None = None,
) -> np.ndarray:
    """Return how many points of a tree are within a radius of each query, its edge included.

    Parameters
    ----------
    tree : cKDTree
    queries : ndarray of shape (m, d)
    radius : float
    workers : int, default=1
        Threads.
    most : int, default=None
        Count no further than this, which is faster where there are many. None counts all.

    Returns
    -------
    ndarray of shape (m,) of int

    Examples
    --------
    >>> from scipy.spatial import cKDTree
    >>> from sptgnn_sklearn.applicability.dissimilarity import count_within
    >>> count_within(cKDTree([[0.0], [1.0]]), [[0.5], [2.0]], radius=1.0).tolist()
    [2, 1]
    """
    reach = radius * (1 + _DISTANCE_ROUNDING)
    if most is not None:
        most = min(most, tree.n)
        step = max(1, _MAX_DISTANCE_CELLS // most)
        bound = np.nextafter(reach, np.inf)  # the search leaves out what is at its bound
        pieces = np.split(queries, range(step, len(queries), step))
        nearest = (
            tree.query(piece, k=range(1, most + 1), distance_upper_bound=bound, workers=workers)[0]
            for piece in map(np.asarray, pieces)
        )
        return np.concatenate([(distance <= reach).sum(axis=1) for distance in nearest])
    found = tree.query_ball_point(queries, reach, workers=workers, return_length=True)
    return np.asarray(found, dtype=np.int64)


def _fence(index: np.ndarray) -> float:
    lower, upper = np.quantile(index, [0.25, 0.75])
    return float(upper + 1.5 * (upper - lower))


def _whisker(index: np.ndarray) -> float:
    return float(index[index <= _fence(index)].max())


# From the training rows' index of dissimilarity to the largest one that is still applicable.
THRESHOLDS: Mapping[str, Callable[[np.ndarray], float]] = {
    "fence": lambda index: min(_fence(index), float(index.max())),
    "whisker": _whisker,
    "max": lambda index: float(index.max()),
}
