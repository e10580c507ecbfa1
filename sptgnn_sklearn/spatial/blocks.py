"""Partitions for spatial cross-validation: rows to locations, locations to blocks, blocks to folds.

Labels are integers from 0 without gaps. They depend on coordinates but not on the order of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.exceptions import ConvergenceWarning

from ..utils.validation import as_random_state, require_count, require_positive_pair

__all__ = ["assign_folds", "cluster_labels", "grid_labels", "hexagon_labels", "location_ids"]

# With more locations, mini-batch k-means is ten times faster and its blocks are as compact.
_MAX_KMEANS_LOCATIONS = 20_000


def location_ids(xy: np.ndarray, site: Any = None) -> np.ndarray:
    """Label rows by location: rows with equal coordinates or of one site have the same label.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, d)
        Coordinates, compared exactly.
    site : array-like of shape (n_samples,), default=None
        Site ids. Rows of one site are one location, even if their coordinates differ, and so are
        sites that share coordinates. Rows without a site are labeled by their coordinates.

    Returns
    -------
    labels : ndarray of shape (n_samples,) of int
        Numbered in lexicographic order of the coordinates; with `site`, in sorted order of the
        sites, followed by locations without a site.

    Raises
    ------
    ValueError
        If the site ids cannot be sorted, as when numbers and dates are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.blocks import location_ids
    >>> xy = np.array([[2.0, 0.0], [1.0, 0.0], [2.0, 0.0], [1.0, 5.0]])
    >>> location_ids(xy)
    array([2, 0, 2, 1])
    >>> location_ids(xy, site=["a", "b", "a", "b"])
    array([0, 1, 0, 1])
    """
    _, points = np.unique(np.asarray(xy, dtype=np.float64), axis=0, return_inverse=True)
    points = points.reshape(-1)
    if site is None:
        return points
    try:
        sites, names = pd.factorize(np.asarray(site, dtype=object), sort=True)
    except TypeError as error:
        raise ValueError(
            "site ids cannot be sorted: they mix types. Make them all strings or all numbers."
        ) from error
    known = sites >= 0
    # Sites and points are nodes and rows are edges; locations are the connected components.
    n_nodes = len(names) + points.max() + 1
    edges = (np.ones(known.sum()), (sites[known], len(names) + points[known]))
    _, component = connected_components(coo_array(edges, shape=(n_nodes, n_nodes)), directed=False)
    return _by_first_appearance(component)[len(names) + points]


def cluster_labels(space: np.ndarray, n_clusters: int, rng: Any = 0) -> np.ndarray:
    """Label points by compact blocks of similar extent, from k-means of the distinct points.

    Parameters
    ----------
    space : ndarray of shape (n_points, d)
        Points from `distances.to_metric_coordinates`.
    n_clusters : int
        Number of blocks. If there are not more distinct points, each is a block.
    rng : int, RandomState, Generator or None, default=0
        Seed of k-means.

    Returns
    -------
    labels : ndarray of shape (n_points,) of int

    Raises
    ------
    ValueError
        If `n_clusters` is not an integer of at least 1.

    Notes
    -----
    Blocks by k-means of the coordinates follow Brenning (2012), IGARSS, 5372-5375.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.blocks import cluster_labels
    >>> labels = cluster_labels(np.array([[0.0, 0], [0, 1], [9, 9], [9, 8], [0, 1]]), 2)
    >>> len(set(labels[[0, 1, 4]])), len(set(labels[[2, 3]])), len(set(labels))
    (1, 1, 2)
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    require_count("n_clusters", n_clusters)
    # Distinct points are sorted, so blocks depend neither on the order of rows nor on duplicates.
    points, index = np.unique(np.asarray(space, dtype=np.float64), axis=0, return_inverse=True)
    index = index.reshape(-1)
    if len(points) <= n_clusters:
        return index
    method = KMeans if len(points) <= _MAX_KMEANS_LOCATIONS else MiniBatchKMeans
    kmeans = method(n_clusters, n_init=1, random_state=as_random_state(rng))
    with warnings.catch_warnings():
        # Points that differ by rounding only can give fewer clusters than `n_clusters`.
        warnings.simplefilter("ignore", ConvergenceWarning)
        blocks = kmeans.fit_predict(points - points.mean(axis=0))
    return _by_first_appearance(blocks)[index]


def grid_labels(
    plane_xy: np.ndarray,
    spacing: float | Sequence[float] | None = None,
    shape: Sequence[int] | None = None,
) -> np.ndarray:
    """Label points by the cells of a regular grid over their bounding box.

    Parameters
    ----------
    plane_xy : ndarray of shape (n_points, 2)
        Offsets east and north from `distances.to_local_plane`, in km or units of the CRS.
    spacing : float or (float, float), default=None
        Size of the cells, or their sizes south to north and west to east. Cells start at the
        southwestern corner.
    shape : (int, int), default=None
        Number of rows (south to north) and columns (west to east). Both pairs have the order of
        verde's BlockKFold. Set either `spacing` or `shape`.

    Returns
    -------
    labels : ndarray of shape (n_points,) of int
        Cells that contain points, numbered by row from the southwest.

    Raises
    ------
    ValueError
        If not exactly one of `spacing` and `shape` is set, or it is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.blocks import grid_labels
    >>> xy = np.array([[0.0, 0.0], [9.0, 1.0], [1.0, 9.0], [10.0, 10.0]])
    >>> grid_labels(xy, spacing=5)
    array([0, 1, 2, 3])
    >>> grid_labels(xy, shape=(1, 2))
    array([0, 1, 0, 1])
    """
    if (spacing is None) == (shape is None):
        raise ValueError(
            f"A grid needs either spacing or shape; found spacing={spacing!r} and shape={shape!r}."
        )
    plane_xy = np.asarray(plane_xy, dtype=np.float64)
    northing_easting = (plane_xy - plane_xy.min(axis=0))[:, ::-1]
    if spacing is not None:
        size = np.broadcast_to(require_positive_pair("spacing", spacing), 2)
        cells = np.floor(northing_easting / size)
    else:
        counts = require_positive_pair("shape", shape, whole=True)
        extent = northing_easting.max(axis=0)
        # Points along a line have no extent across it: all are in the first cell.
        cells = np.floor(northing_easting / np.where(extent > 0, extent, 1.0) * counts)
        # The northern and eastern edges of the bounding box belong to the last cells.
        cells = np.minimum(cells, counts - 1)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def hexagon_labels(
    plane_xy: np.ndarray, spacing: float | Sequence[float] | None = None
) -> np.ndarray:
    """Label points by the cells of a grid of regular hexagons.

    Parameters
    ----------
    plane_xy : ndarray of shape (n_points, 2)
        Offsets east and north from `distances.to_local_plane`, in km or units of the CRS.
    spacing : float
        Distance between the centers of adjacent cells, equal to that of opposite sides.

    Returns
    -------
    labels : ndarray of shape (n_points,) of int
        Cells that contain points, numbered by rows of centers from the southwest.

    Raises
    ------
    ValueError
        If `spacing` is missing or not a positive number.

    Notes
    -----
    The centers are two rectangular lattices, each in the middle of the other's cells; a point
    belongs to the nearest center of both.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.blocks import hexagon_labels
    >>> hexagon_labels(np.array([[0.0, 0.0], [0.4, 0.1], [1.0, 0.0], [0.5, 0.9]]), spacing=1)
    array([0, 0, 1, 2])
    """
    size = require_positive_pair("spacing", np.nan if spacing is None else spacing)
    if size.ndim:
        raise ValueError(f"spacing of hexagons must be one positive number; found {spacing!r}.")
    plane_xy = np.asarray(plane_xy, dtype=np.float64)
    points = (plane_xy - plane_xy.min(axis=0)) / size
    cell = np.array([1.0, np.sqrt(3.0)])
    # In units of half a lattice cell, so that the centers of both lattices are integers.
    even = 2 * np.round(points / cell)
    odd = 2 * np.floor(points / cell) + 1
    from_even, from_odd = (
        np.square(points - center * cell / 2).sum(axis=1) for center in (even, odd)
    )
    centers = np.where((from_even <= from_odd)[:, None], even, odd)
    return np.unique(centers[:, ::-1], axis=0, return_inverse=True)[1].reshape(-1)


def assign_folds(
    labels: np.ndarray, n_folds: int, rng: Any = None, balance: bool = True
) -> np.ndarray:
    """Assign entire blocks to folds.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Block of each row.
    n_folds : int
    rng : int, RandomState, Generator or None, default=None
        Shuffles the blocks first. None keeps them in the order of their labels.
    balance : bool, default=True
        Whether folds get similar numbers of rows: blocks are assigned from the largest to the
        smallest, each to the fold with the fewest rows so far; shuffling affects only the order of
        blocks of equal size. False assigns them in turn, for similar numbers of blocks.

    Returns
    -------
    folds : ndarray of shape (n_samples,) of int
        Fold of each row, 0 to ``n_folds - 1``; none is empty.

    Raises
    ------
    ValueError
        If `n_folds` is not an integer of at least 1, or there are fewer blocks than folds.

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.blocks import assign_folds
    >>> assign_folds([0, 0, 0, 1, 1, 2], n_folds=2)
    array([0, 0, 0, 1, 1, 1])
    """
    require_count("n_folds", n_folds)
    blocks, index, rows = np.unique(labels, return_inverse=True, return_counts=True)
    if len(blocks) < n_folds:
        raise ValueError(
            f"{n_folds} folds need at least as many blocks; found {len(blocks)}. "
            "Use fewer folds or more blocks."
        )
    order = np.arange(len(blocks)) if rng is None else as_random_state(rng).permutation(len(blocks))
    fold = np.empty(len(blocks), dtype=np.int64)
    if balance:
        n_rows = np.zeros(n_folds, dtype=np.int64)
        for block in order[np.argsort(-rows[order], kind="stable")]:
            fold[block] = n_rows.argmin()
            n_rows[fold[block]] += rows[block]
    else:
        fold[order] = np.arange(len(blocks)) % n_folds
    return fold[index.reshape(-1)]


def _by_first_appearance(labels: np.ndarray) -> np.ndarray:
    """Return labels renumbered in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
