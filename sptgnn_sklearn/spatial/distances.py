"""Great-circle and planar distances, and local planes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .crs import WGS84, SpatialReference

__all__ = [
    "EARTH_RADIUS_KM",
    "chord_to_distance",
    "distance_to_chord",
    "from_local_plane",
    "from_metric_coordinates",
    "plane_origin",
    "to_local_plane",
    "to_metric_coordinates",
]

# Mean radius R1 of the GRS 80 ellipsoid (Moritz 2000, J. Geodesy 74, 128-133).
EARTH_RADIUS_KM = 6371.0088


def to_metric_coordinates(xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return points in which nearest neighbors by Euclidean distance are nearest on the ground.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
    reference : SpatialReference

    Returns
    -------
    points : ndarray of shape (n_samples, 3) or (n_samples, 2)
        Points on a sphere, in km, for a geographic CRS; the coordinates themselves otherwise.
        Distances between points are chords, see `chord_to_distance`.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import to_metric_coordinates
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> to_metric_coordinates(np.array([[0.0, 90.0]]), reference).round(4)
    array([[   0.    ,    0.    , 6371.0088]])
    """
    xy = np.asarray(xy, dtype=np.float64)
    return EARTH_RADIUS_KM * _directions(xy, reference) if reference.geographic else xy


def from_metric_coordinates(points: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return coordinates from points of `to_metric_coordinates`.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 3) or (n_samples, 2)
        Points off the sphere are projected to it along its radius.
    reference : SpatialReference

    Returns
    -------
    xy : ndarray of shape (n_samples, 2)
        Longitudes are in -180 to 180 degrees.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import to_metric_coordinates, from_metric_coordinates
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> points = to_metric_coordinates(np.array([[5.7, 50.9]]), reference)
    >>> from_metric_coordinates(points, reference).round(9)
    array([[ 5.7, 50.9]])
    """
    if not reference.geographic:
        return np.array(points, dtype=np.float64)
    east, north, up = points.T
    longitude, latitude = np.arctan2(north, east), np.arctan2(up, np.hypot(east, north))
    return np.column_stack([longitude, latitude]) / radians_per_unit(reference.crs)


def chord_to_distance(chord: Any, reference: SpatialReference) -> np.ndarray:
    """Convert distances in `to_metric_coordinates` to distances on the ground.

    Parameters
    ----------
    chord : array-like or float
        Euclidean distances between points of `to_metric_coordinates`.
    reference : SpatialReference

    Returns
    -------
    distance : ndarray or float of the same shape
        Great-circle km, ``2 R arcsin(chord / 2 R)``, for a geographic CRS; `chord` otherwise.

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.distances import EARTH_RADIUS_KM, chord_to_distance
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> halfway = chord_to_distance(2 * EARTH_RADIUS_KM, reference)  # around the earth
    >>> round(float(halfway), 1)
    20015.1
    """
    chord = np.asarray(chord, dtype=np.float64)
    if not reference.geographic:
        return chord
    # By rounding, the chord of antipodes can exceed the diameter.
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / (2 * EARTH_RADIUS_KM), 1.0))


def distance_to_chord(distance: Any, reference: SpatialReference) -> np.ndarray:
    """Convert distances on the ground to distances in `to_metric_coordinates`.

    Parameters
    ----------
    distance : array-like or float
        Non-negative, in km for a geographic CRS, else in the unit of the CRS.
    reference : SpatialReference

    Returns
    -------
    chord : ndarray or float of the same shape
        The inverse of `chord_to_distance`. Distances of more than half the circumference of the
        earth give infinite chords, so that a search radius includes all points.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import chord_to_distance, distance_to_chord
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> chord_to_distance(distance_to_chord(np.array([0.0, 250.0]), reference), reference)
    array([  0., 250.])
    """
    distance = np.asarray(distance, dtype=np.float64)
    if not reference.geographic:
        return distance
    angle = distance / EARTH_RADIUS_KM
    chord = 2 * EARTH_RADIUS_KM * np.sin(np.minimum(angle, np.pi) / 2)
    return np.where(angle > np.pi, np.inf, chord)


def plane_origin(xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return the center of some locations, for use as the origin of `to_local_plane`.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
        Training coordinates.
    reference : SpatialReference

    Returns
    -------
    origin : ndarray of shape (2,)
        Coordinates. For a geographic CRS the normalized mean direction, which is valid across the
        date line and at the poles; otherwise the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import plane_origin
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> abs(plane_origin(np.array([[179.0, 0.0], [-179.0, 0.0]]), reference)).round(6)
    array([180.,   0.])
    """
    xy = np.asarray(xy, dtype=np.float64)
    if not reference.geographic:
        return xy.mean(axis=0)
    middle = _directions(xy, reference).mean(axis=0)
    if np.linalg.norm(middle) < 1e-9:
        # Locations balanced around the globe have no mean direction; any origin is valid.
        return np.zeros(2)
    return from_metric_coordinates(middle[None], reference)[0]


def to_local_plane(
    xy: np.ndarray, reference: SpatialReference, origin: np.ndarray | Sequence[float] | None = None
) -> np.ndarray:
    """Project coordinates to a plane with a given origin.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
    reference : SpatialReference
    origin : array-like of shape (2,), default=None
        Coordinates of the origin; that of the training rows for queries. None uses
        ``plane_origin(xy, reference)``.

    Returns
    -------
    plane : ndarray of shape (n_samples, 2)
        Offsets east and north of the origin. For a geographic CRS in km, by the azimuthal
        equidistant projection of the sphere (Snyder 1987, USGS Professional Paper 1395, section
        25), which preserves distance and direction from the origin; else ``xy - origin``.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import to_local_plane
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> xy = np.array([[179.0, 0.0], [-179.0, 0.0]])
    >>> to_local_plane(xy, reference, origin=[180.0, 0.0]).round(2) + 0.0
    array([[-111.2,    0. ],
           [ 111.2,    0. ]])
    """
    xy = np.asarray(xy, dtype=np.float64)
    origin = plane_origin(xy, reference) if origin is None else np.asarray(origin, dtype=np.float64)
    if not reference.geographic:
        return xy - origin
    east, north, up = _local_axes(origin, reference)
    points = _directions(xy, reference)
    eastward, northward = points @ east, points @ north
    # Snyder's k' = c / sin(c), with c from both its sine and cosine: accurate at a distance of one
    # meter as well as for antipodes.
    sine = np.hypot(eastward, northward)
    angle = np.arctan2(sine, points @ up)
    scale = EARTH_RADIUS_KM * np.divide(angle, sine, out=np.ones_like(sine), where=sine > 0)
    return np.column_stack([scale * eastward, scale * northward])


def from_local_plane(
    plane: np.ndarray, reference: SpatialReference, origin: np.ndarray | Sequence[float]
) -> np.ndarray:
    """Return coordinates from offsets of `to_local_plane` with the same origin.

    Parameters
    ----------
    plane : ndarray of shape (n_samples, 2)
        Offsets east and north of the origin.
    reference : SpatialReference
    origin : array-like of shape (2,)

    Returns
    -------
    xy : ndarray of shape (n_samples, 2)
        By the inverse of the projection (Snyder 1987, section 25); longitudes are in -180 to 180
        degrees.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import from_local_plane, to_local_plane
    >>> reference = SpatialReference("EPSG:4326", geographic=True, unit="km")
    >>> plane = to_local_plane(np.array([[5.7, 50.9]]), reference, origin=[10.0, 50.0])
    >>> from_local_plane(plane, reference, origin=[10.0, 50.0]).round(9)
    array([[ 5.7, 50.9]])
    """
    plane, origin = np.asarray(plane, dtype=np.float64), np.asarray(origin, dtype=np.float64)
    if not reference.geographic:
        return plane + origin
    east, north, up = _local_axes(origin, reference)
    distance = np.hypot(*plane.T)
    angle = distance / EARTH_RADIUS_KM
    # Snyder's 1 / k', which is 1 / R at the origin.
    scale = np.sinc(angle / np.pi)[:, None] / EARTH_RADIUS_KM
    directions = np.cos(angle)[:, None] * up + scale * (plane @ np.stack([east, north]))
    return from_metric_coordinates(EARTH_RADIUS_KM * directions, reference)


def _local_axes(
    origin: np.ndarray, reference: SpatialReference
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the unit vectors (3,) east, north and up at a location on the sphere."""
    longitude, latitude = origin * radians_per_unit(reference.crs)
    sin_lon, cos_lon = np.sin(longitude), np.cos(longitude)
    sin_lat, cos_lat = np.sin(latitude), np.cos(latitude)
    east = np.array([-sin_lon, cos_lon, 0.0])
    north = np.array([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat])
    up = np.array([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
    return east, north, up


def _directions(xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return unit vectors (n, 3) of longitudes and latitudes in the angular unit of the CRS."""
    longitude, latitude = (xy * radians_per_unit(reference.crs)).T
    cos_latitude = np.cos(latitude)
    return np.column_stack(
        [cos_latitude * np.cos(longitude), cos_latitude * np.sin(longitude), np.sin(latitude)]
    )


@lru_cache(maxsize=32)
def radians_per_unit(crs: str | None) -> float:
    """Return the angular unit of a geographic CRS, usually degrees or grads, in radians."""
    if crs is None or crs == WGS84:
        return np.pi / 180
    import pyproj

    return float(pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor)
