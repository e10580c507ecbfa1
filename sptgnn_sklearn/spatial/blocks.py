"""Partitions of places: rows into locations, locations into blocks, blocks into folds.

Used by the splitters of `model_selection` and by what a regressor holds out while it is fitted.
Labels are integers from 0 without gaps. They depend on where the rows are, never on their order.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from ..utils.validation import as_random_state, require_count, require_positive_pair

__all__ = ["assign_folds", "cluster_labels", "grid_labels", "hexagon_labels", "location_ids"]

# Beyond this many places k-means is ten times faster in mini-batches, for blocks as compact.
_MOST_PLACES_FOR_KMEANS = 20_000


def location_ids(xy: np.ndarray, site: Any = None) -> np.ndarray:
    """Label rows by location: rows at one place, or of one site, get one label.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, d)
        Coordinates. Only exactly equal ones are one place.
    site : array-like of shape (n_samples,), default=None
        Ids of sites. Rows of one site are one location, even where their coordinates differ, and
        so are sites that share a place: nothing that is known to be together is separated. A row
        whose site is missing goes by its coordinates alone.

    Returns
    -------
    labels : ndarray of shape (n_samples,) of int
        Numbered in lexicographic order of the coordinates; with `site`, in sorted order of the
        sites, followed by the places that have none.

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
    _, places = np.unique(np.asarray(xy, dtype=np.float64), axis=0, return_inverse=True)
    places = places.reshape(-1)
    if site is None:
        return places
    try:
        sites, found = pd.factorize(np.asarray(site, dtype=object), sort=True)
    except TypeError as error:
        raise ValueError(
            "site ids cannot be sorted: they mix types. Make them all strings or all numbers."
        ) from error
    known = sites >= 0
    # Sites and places are nodes, each row an edge between its two: locations are the components.
    n_nodes = len(found) + places.max() + 1
    edges = (np.ones(known.sum()), (sites[known], len(found) + places[known]))
    _, component = connected_components(coo_array(edges, shape=(n_nodes, n_nodes)), directed=False)
    return _by_first_appearance(component)[len(found) + places]


def cluster_labels(space: np.ndarray, n_clusters: int, rng: Any = 0) -> np.ndarray:
    """Label points by compact blocks of similar extent: k-means of their distinct positions.

    Parameters
    ----------
    space : ndarray of shape (n_points, d)
        Points of `geography.to_metric_coordinates`, in which Euclidean distance is meaningful.
    n_clusters : int
        Number of blocks. Where there are no more places than that, each is a block of its own.
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
    require_count("n_clusters", n_clusters)
    # Distinct points come sorted, so that neither row order nor repetition moves the blocks.
    points, place = np.unique(np.asarray(space, dtype=np.float64), axis=0, return_inverse=True)
    place = place.reshape(-1)
    if len(points) <= n_clusters:
        return place
    method = KMeans if len(points) <= _MOST_PLACES_FOR_KMEANS else MiniBatchKMeans
    kmeans = method(n_clusters, n_init=1, random_state=as_random_state(rng))
    with warnings.catch_warnings():
        # Points that differ by rounding only can leave fewer clusters than asked for: no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        blocks = kmeans.fit_predict(points - points.mean(axis=0))
    return _by_first_appearance(blocks)[place]


def grid_labels(
    plane_xy: np.ndarray,
    spacing: float | Sequence[float] | None = None,
    shape: Sequence[int] | None = None,
) -> np.ndarray:
    """Label points by the cells of a regular grid over their bounding box.

    Parameters
    ----------
    plane_xy : ndarray of shape (n_points, 2)
        East and north, as of `geography.to_local_plane`: km, or units of the CRS.
    spacing : float or (float, float), default=None
        Size of the cells, or sizes from south to north and from west to east. Cells start at the
        south-western corner.
    shape : (int, int), default=None
        Number of rows (south to north) and columns (west to east). The order of both pairs is that
        of verde's BlockKFold. Give either `spacing` or `shape`.

    Returns
    -------
    labels : ndarray of shape (n_points,) of int
        Cells that hold points, numbered by row from the south-west.

    Raises
    ------
    ValueError
        If not exactly one of `spacing` and `shape` is given, or it is not positive.

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
            f"A grid takes either spacing or shape; found spacing={spacing!r} and shape={shape!r}."
        )
    plane_xy = np.asarray(plane_xy, dtype=np.float64)
    northing_easting = (plane_xy - plane_xy.min(axis=0))[:, ::-1]
    if spacing is not None:
        size = np.broadcast_to(require_positive_pair("spacing", spacing), 2)
        cells = np.floor(northing_easting / size)
    else:
        counts = require_positive_pair("shape", shape, whole=True)
        extent = northing_easting.max(axis=0)
        # A table of places along one line has no extent across it: all lie in the first cell.
        cells = np.floor(northing_easting / np.where(extent > 0, extent, 1.0) * counts)
        # The northern and eastern edges of the box belong to the last cells.
        cells = np.minimum(cells, counts - 1)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def hexagon_labels(
    plane_xy: np.ndarray, spacing: float | Sequence[float] | None = None
) -> np.ndarray:
    """Label points by the cells of a grid of regular hexagons.

    Parameters
    ----------
    plane_xy : ndarray of shape (n_points, 2)
        East and north, as of `geography.to_local_plane`: km, or units of the CRS.
    spacing : float
        Distance between the centres of neighbouring cells, which is that of opposite sides.

    Returns
    -------
    labels : ndarray of shape (n_points,) of int
        Cells that hold points, by rows of centres from the south-west.

    Raises
    ------
    ValueError
        If `spacing` is missing or not a positive number.

    Notes
    -----
    The centres are two rectangular lattices, one in the middle of the other's cells; a point
    belongs to the nearest centre of both.

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
    # In halves of a lattice cell, so that the centres of both lattices are whole numbers.
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
    """Deal whole blocks out to folds.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Block of each row.
    n_folds : int
    rng : int, RandomState, Generator or None, default=None
        Shuffles the blocks before they are dealt out. None keeps them in the order of their labels.
    balance : bool, default=True
        Whether folds get similar numbers of rows: blocks are dealt from the largest to the
        smallest, each to the fold that has the fewest rows so far, and shuffling decides between
        blocks of equal size only. False deals them in turn: folds get similar numbers of blocks.

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
    blocks, place, rows = np.unique(labels, return_inverse=True, return_counts=True)
    if len(blocks) < n_folds:
        raise ValueError(
            f"{n_folds} folds need at least as many blocks; found {len(blocks)}. "
            "Ask for fewer folds or more blocks."
        )
    order = np.arange(len(blocks)) if rng is None else as_random_state(rng).permutation(len(blocks))
    fold = np.empty(len(blocks), dtype=np.int64)
    if balance:
        filled = np.zeros(n_folds, dtype=np.int64)
        for block in order[np.argsort(-rows[order], kind="stable")]:
            fold[block] = filled.argmin()
            filled[fold[block]] += rows[block]
    else:
        fold[order] = np.arange(len(blocks)) % n_folds
    return fold[place.reshape(-1)]


def _by_first_appearance(labels: np.ndarray) -> np.ndarray:
    """Renumber labels in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
