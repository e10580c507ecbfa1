"""Distances to training rows and counts of training rows in covariate space.

Points are rows of standardized and weighted covariates. Folds are a list of (train, test) row
positions, or None for leave-one-out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.utils import gen_batches

from ..model_selection.splits import Split

__all__ = [
    "THRESHOLDS",
    "count_within",
    "held_out_counts",
    "held_out_distances",
    "mean_pairwise_distance",
]

# The mean over all pairs of so many rows takes some seconds.
_MAX_PAIRED_ROWS = 20_000
_MAX_DISTANCES = 4_000_000  # entries of a distance matrix in memory
# With fewer queries, all distances are faster than a tree.
_MIN_TREE_QUERIES = 32
# Rows at exactly the radius are counted, whatever the rounding of their distance.
_RADIUS_TOLERANCE = 1e-12


def mean_pairwise_distance(points: np.ndarray, max_rows: int = _MAX_PAIRED_ROWS) -> float:
    """Return the mean distance over all pairs of rows.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        At least two rows.
    max_rows : int, default=20000
        If there are more rows, this number of evenly spaced ones of the sorted rows is used, so
        that the result does not depend on the order of rows.

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
    if len(points) > max_rows:
        rank = np.lexsort(points.T[::-1])
        points = points[rank[np.linspace(0, len(points) - 1, max_rows).round().astype(np.int64)]]
    n = len(points)
    total = 0.0
    for rows in gen_batches(n, max(1, _MAX_DISTANCES // n)):
        # Pairs of rows of the batch are twice in the block, all others once.
        block = cdist(points[rows], points[rows.start :])
        width = len(block)
        total += block[:, :width].sum() / 2 + block[:, width:].sum()
    return float(total / (n * (n - 1) / 2))


def held_out_distances(points: np.ndarray, splits: Sequence[Split] | None) -> np.ndarray:
    """Return the distance from each row to the nearest training row of its fold.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    splits : list of (train, test) or None

    Returns
    -------
    ndarray of shape (n,)
        NaN for rows in no test set.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability.dissimilarity import held_out_distances
    >>> points = np.array([[0.0], [1.0], [3.0], [7.0]])
    >>> held_out_distances(points, None).tolist()
    [1.0, 1.0, 2.0, 4.0]
    >>> halves = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3]))]
    >>> held_out_distances(points, halves).tolist()
    [3.0, 2.0, 2.0, 6.0]
    """
    if splits is None:
        return cKDTree(points).query(points, k=[2])[0][:, 0]
    distances = np.full(len(points), np.nan)
    for train, test in splits:
        if len(test) < _MIN_TREE_QUERIES:
            distances[test] = cdist(points[test], points[train]).min(axis=1)
        else:
            distances[test] = cKDTree(points[train]).query(points[test])[0]
    return distances


def held_out_counts(
    points: np.ndarray, splits: Sequence[Split] | None, radius: float
) -> np.ndarray:
    """Return the number of training rows of each row's fold within a radius.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    splits : list of (train, test) or None
    radius : float

    Returns
    -------
    ndarray of shape (n,)
        NaN for rows in no test set.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability.dissimilarity import held_out_counts
    >>> held_out_counts(np.array([[0.0], [1.0], [3.0]]), None, radius=2.0).tolist()
    [1.0, 2.0, 1.0]
    """
    if splits is None:
        return count_within(cKDTree(points), points, radius) - 1.0
    counts = np.full(len(points), np.nan)
    for train, test in splits:
        if len(test) < _MIN_TREE_QUERIES:
            near = cdist(points[test], points[train]) <= radius * (1 + _RADIUS_TOLERANCE)
            counts[test] = near.sum(axis=1)
        else:
            counts[test] = count_within(cKDTree(points[train]), points[test], radius)
    return counts


def count_within(
    tree: cKDTree,
    queries: np.ndarray,
    radius: float,
    workers: int = 1,
    max_count: int | None = None,
) -> np.ndarray:
    """Return the number of points of a tree within a radius of each query, inclusive.

    Parameters
    ----------
    tree : cKDTree
    queries : ndarray of shape (m, d)
    radius : float
    workers : int, default=1
        Number of threads.
    max_count : int, default=None
        Largest count, which is faster if there are many points. None counts all.

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
    limit = radius * (1 + _RADIUS_TOLERANCE)
    if max_count is not None:
        max_count = min(max_count, tree.n)
        step = max(1, _MAX_DISTANCES // max_count)
        bound = np.nextafter(limit, np.inf)  # distance_upper_bound is exclusive
        ranks = range(1, max_count + 1)
        distances = (
            tree.query(np.asarray(batch), k=ranks, distance_upper_bound=bound, workers=workers)[0]
            for batch in np.split(queries, range(step, len(queries), step))
        )
        return np.concatenate([(distance <= limit).sum(axis=1) for distance in distances])
    counts = tree.query_ball_point(queries, limit, workers=workers, return_length=True)
    return np.asarray(counts, dtype=np.int64)


def _upper_fence(index: np.ndarray) -> float:
    lower, upper = np.quantile(index, [0.25, 0.75])
    return float(upper + 1.5 * (upper - lower))


def _whisker(index: np.ndarray) -> float:
    return float(index[index <= _upper_fence(index)].max())


# Rules for the threshold, from the dissimilarity index of the training rows.
THRESHOLDS: Mapping[str, Callable[[np.ndarray], float]] = {
    "fence": lambda index: min(_upper_fence(index), float(index.max())),
    "whisker": _whisker,
    "max": lambda index: float(index.max()),
}
