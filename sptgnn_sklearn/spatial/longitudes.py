"""One pair of coordinates per location on the sphere: longitude 350 is -10, and poles have one."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .crs import SpatialReference
from .distances import radians_per_unit

__all__ = ["longitude_start", "wrap_longitudes"]

# In angular units, below a millimeter: 350.1 - 360 differs from -9.9 by rounding.
_TOLERANCE = 1e-9


def longitude_start(xy: np.ndarray, reference: SpatialReference) -> float:
    """Return the lowest longitude of a table: 0 if its longitudes are 0 to 360, else -180.

    Parameters
    ----------
    xy : ndarray of shape (n, 2)
    reference : SpatialReference

    Returns
    -------
    start : float
        In the angular unit of the CRS. Of any table between -180 and 180 it is -180.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> from sptgnn_sklearn.spatial.longitudes import longitude_start
    >>> reference = resolve_crs(4326, [])
    >>> longitude_start(np.array([[177.0, -17.0], [182.0, -18.0]]), reference)
    0.0
    >>> longitude_start(np.array([[350.0, 50.0], [-9.0, 51.0]]), reference)
    -180.0
    """
    half = _half_circle(reference)
    if not reference.geographic or not len(xy):
        return -half
    return 0.0 if xy[:, 0].min() >= 0 and xy[:, 0].max() > half else -half


def wrap_longitudes(
    xy: np.ndarray, reference: SpatialReference, start: float | None = None
) -> np.ndarray:
    """Return coordinates in which equal locations on the sphere have equal coordinates.

    Parameters
    ----------
    xy : ndarray of shape (n, 2)
    reference : SpatialReference
        Projected coordinates are returned unchanged.
    start : float, default=None
        Lowest longitude, from `longitude_start` of the training rows. None uses that of `xy`.

    Returns
    -------
    ndarray of shape (n, 2)
        Longitudes outside of the circle from `start` are moved by a full circle, and become exactly
        equal to those of other rows at the same location. On the date line only 180 is used, at the
        poles only longitude 0. All other coordinates are unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> from sptgnn_sklearn.spatial.longitudes import wrap_longitudes
    >>> xy = np.array([[-9.9, 50.0], [350.1, 50.0], [-180.0, 10.0], [77.0, 90.0]])
    >>> wrap_longitudes(xy, resolve_crs(4326, [])).tolist()
    [[-9.9, 50.0], [-9.9, 50.0], [180.0, 10.0], [0.0, 90.0]]
    """
    if not reference.geographic or not len(xy):
        return xy
    half = _half_circle(reference)
    start = longitude_start(xy, reference) if start is None else start
    longitude, latitude = xy.T
    # The ends of the circle are one meridian: 180 of -180 and 180, and 0 of 0 and 360.
    start_is_end = start < 0
    below = longitude <= start if start_is_end else longitude < start
    above = longitude > start + 2 * half if start_is_end else longitude >= start + 2 * half
    pole = np.abs(latitude) >= half / 2 - _TOLERANCE
    moved = (below | above) & ~pole
    if not (moved | (pole & (longitude != 0))).any():
        return xy
    wrapped = xy.copy()
    wrapped[below, 0] += 2 * half
    wrapped[above, 0] -= 2 * half
    wrapped[moved, 0] = np.round(wrapped[moved, 0], 12)
    wrapped[pole, 0] = 0.0
    if moved.any() and not moved.all():
        kept = xy[~moved & ~pole]
        if len(kept):
            distance, nearest = cKDTree(kept).query(wrapped[moved], distance_upper_bound=_TOLERANCE)
            same = np.isfinite(distance)
            rows = np.flatnonzero(moved)[same]
            wrapped[rows, 0] = kept[nearest[same], 0]
            wrapped[rows, 1] = kept[nearest[same], 1]
    return wrapped


def _half_circle(reference: SpatialReference) -> float:
    if not reference.geographic:
        return 180.0
    return float(np.round(np.pi / radians_per_unit(reference.crs), 9))
