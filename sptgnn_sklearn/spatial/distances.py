"""Great-circle and planar distances."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj

from .crs import WGS84, SpatialReference

__all__ = [
    "EARTH_RADIUS_KM",
    "chord_to_distance",
    "distance_to_chord",
    "from_metric_coordinates",
    "plane_origin",
    "to_local_plane",
    "to_metric_coordinates",
]

# Mean radius R1 of the GRS 80 ellipsoid (Moritz 2000, J. Geodesy 74, 128-133).
EARTH_RADIUS_KM = 6371.0088


def to_metric_coordinates(xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return points among which Euclidean distance finds the nearest neighbours.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
    frame : Frame

    Returns
    -------
    points : ndarray of shape (n_samples, 3) or (n_samples, 2)
        Points on a sphere, in km, for a geographic frame; the coordinates themselves otherwise.
        Distances between points are chords: see `chord_to_distance`.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import to_metric_coordinates
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> to_metric_coordinates(np.array([[0.0, 90.0]]), frame).round(4)
    array([[   0.    ,    0.    , 6371.0088]])
    """
    xy = np.asarray(xy, dtype=np.float64)
    return EARTH_RADIUS_KM * _directions(xy, reference) if reference.geographic else xy


def from_metric_coordinates(points: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Turn points of `to_metric_coordinates` back into coordinates.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 3) or (n_samples, 2)
        Of a geographic frame those off the sphere count as the places below or above them.
    frame : Frame

    Returns
    -------
    xy : ndarray of shape (n_samples, 2)
        Longitudes from -180 to 180 degrees, whatever they were before.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import to_metric_coordinates, from_metric_coordinates
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> from_metric_coordinates(to_metric_coordinates(np.array([[5.7, 50.9]]), frame), frame).round(
    ...     9
    ... )
    array([[ 5.7, 50.9]])
    """
    if not reference.geographic:
        return np.array(points, dtype=np.float64)
    east, north, up = points.T
    longitude, latitude = np.arctan2(north, east), np.arctan2(up, np.hypot(east, north))
    return np.column_stack([longitude, latitude]) / radians_per_unit(reference.crs)


def chord_to_distance(chord: Any, reference: SpatialReference) -> np.ndarray:
    """Turn distances in `to_metric_coordinates` into distances on the ground.

    Parameters
    ----------
    chord : array-like or float
        Euclidean distances between points of `to_metric_coordinates`.
    frame : Frame

    Returns
    -------
    distance : ndarray or float of the same shape
        Great-circle km, ``2 R arcsin(chord / 2 R)``, for a geographic frame; `chord` otherwise.

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.distances import EARTH_RADIUS_KM, chord_to_distance
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> round(float(chord_to_distance(2 * EARTH_RADIUS_KM, frame)), 1)  # half way round
    20015.1
    """
    chord = np.asarray(chord, dtype=np.float64)
    if not reference.geographic:
        return chord
    # Rounding can put the chord of antipodes a little beyond the diameter.
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / (2 * EARTH_RADIUS_KM), 1.0))


def distance_to_chord(distance: Any, reference: SpatialReference) -> np.ndarray:
    """Turn distances on the ground into distances in `to_metric_coordinates`.

    Parameters
    ----------
    distance : array-like or float
        km for a geographic frame, else the unit of the frame; not negative.
    frame : Frame

    Returns
    -------
    chord : ndarray or float of the same shape
        The inverse of `chord_to_distance`. No two places are farther apart than half way round the
        earth: the chord of anything beyond that is infinite, so that a search radius holds all.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import chord_to_distance, distance_to_chord
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> chord_to_distance(distance_to_chord(np.array([0.0, 250.0]), frame), frame)
    array([  0., 250.])
    """
    distance = np.asarray(distance, dtype=np.float64)
    if not reference.geographic:
        return distance
    angle = distance / EARTH_RADIUS_KM
    chord = 2 * EARTH_RADIUS_KM * np.sin(np.minimum(angle, np.pi) / 2)
    return np.where(angle > np.pi, np.inf, chord)


def plane_origin(xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return the middle of some places, for use as the origin of `to_local_plane`.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
        Training coordinates.
    frame : Frame

    Returns
    -------
    origin : ndarray of shape (2,)
        Coordinates in the frame. For a geographic frame the normalised mean direction, which knows
        no date line and no poles; for others the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import plane_origin
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> abs(plane_origin(np.array([[179.0, 0.0], [-179.0, 0.0]]), frame)).round(6)
    array([180.,   0.])
    """
    xy = np.asarray(xy, dtype=np.float64)
    if not reference.geographic:
        return xy.mean(axis=0)
    middle = _directions(xy, reference).mean(axis=0)
    if np.linalg.norm(middle) < 1e-9:
        # Places balanced all round the globe have no middle; any origin is as good as another.
        return np.zeros(2)
    return from_metric_coordinates(middle[None], reference)[0]


def to_local_plane(
    xy: np.ndarray, reference: SpatialReference, origin: np.ndarray | Sequence[float] | None = None
) -> np.ndarray:
    """Project coordinates to a plane around an origin.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
    frame : Frame
    origin : array-like of shape (2,), default=None
        Coordinates of the origin in the frame. Queries are projected with the origin of the
        training rows. None uses ``plane_origin(xy, frame)``.

    Returns
    -------
    plane : ndarray of shape (n_samples, 2)
        East and north of the origin: km for a geographic frame, by the azimuthal equidistant
        projection of the sphere (Snyder 1987, USGS Professional Paper 1395, section 25), which
        keeps distance and direction from the origin; else the unit of the frame, centred.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> from sptgnn_sklearn.spatial.distances import to_local_plane
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> xy = np.array([[179.0, 0.0], [-179.0, 0.0]])
    >>> to_local_plane(xy, frame, origin=[180.0, 0.0]).round(2) + 0.0
    array([[-111.2,    0. ],
           [ 111.2,    0. ]])
    """
    xy = np.asarray(xy, dtype=np.float64)
    origin = plane_origin(xy, reference) if origin is None else np.asarray(origin, dtype=np.float64)
    if not reference.geographic:
        return xy - origin
    longitude, latitude = origin * radians_per_unit(reference.crs)
    sin_lon, cos_lon = np.sin(longitude), np.cos(longitude)
    sin_lat, cos_lat = np.sin(latitude), np.cos(latitude)
    east = np.array([-sin_lon, cos_lon, 0.0])
    north = np.array([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat])
    up = np.array([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
    points = _directions(xy, reference)
    eastward, northward = points @ east, points @ north
    # Snyder's k' = c / sin(c), with c taken from both its sine and its cosine: accurate for places
    # a metre away and for places on the far side alike.
    sine = np.hypot(eastward, northward)
    angle = np.arctan2(sine, points @ up)
    scale = EARTH_RADIUS_KM * np.divide(angle, sine, out=np.ones_like(sine), where=sine > 0)
    return np.column_stack([scale * eastward, scale * northward])


def _directions(xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Return unit vectors (n, 3) of longitudes and latitudes in the unit of the frame."""
    longitude, latitude = (xy * radians_per_unit(reference.crs)).T
    cos_latitude = np.cos(latitude)
    return np.column_stack(
        [cos_latitude * np.cos(longitude), cos_latitude * np.sin(longitude), np.sin(latitude)]
    )


@lru_cache(maxsize=32)
def radians_per_unit(crs: str | None) -> float:
    """Return the angular unit of a geographic CRS: mostly degrees, sometimes grads."""
    if crs is None or crs == WGS84:
        return np.pi / 180
    return float(pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor)
