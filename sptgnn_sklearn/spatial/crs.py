"""What a pair of coordinates means: the frame, its checks, and the spaces distances are taken in.

The first column is always the longitude or easting and the second the latitude or northing,
whatever axis order the authority of the coordinate reference system prescribes.

Distances in a geographic frame are great-circle kilometres on a sphere of the mean earth radius,
within 0.6 % of the ellipsoid. Distances in any other frame are Euclidean, in the unit of its axes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from pyproj.exceptions import CRSError, ProjError

__all__ = ["SpatialReference", "resolve_crs", "transform_coordinates"]

WGS84 = "EPSG:4326"
_LONGITUDE = frozenset({"lon", "long", "lng"})
_LATITUDE = frozenset({"lat"})
_DEGREE_UNITS = frozenset({"wgs", "4326", "deg", "degree", "degrees", "dd"})
_NOT_DEGREES = frozenset(
    {"utm", "m", "km", "metre", "metres", "meter", "meters", "ft", "feet", "rad", "radians"}
)


@dataclass(frozen=True)
class SpatialReference:
    """What a pair of coordinates means.

    All fields can be written as JSON.

    Parameters
    ----------
    crs : str or None
        Authority string such as ``"EPSG:4326"`` where there is one, else WKT. None is a plane of
        which nothing is known.
    geographic : bool
        Whether coordinates are longitude and latitude and distances great-circle kilometres.
    unit : str
        Unit of distances: ``"km"`` in a geographic frame, else the name of the axis unit of the CRS
        (``"metre"``, ``"US survey foot"``), or ``"unit"`` if it is not known.

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> Frame(crs="EPSG:28992", geographic=False, unit="metre")
    Frame(crs='EPSG:28992', geographic=False, unit='metre')
    """

    crs: str | None
    geographic: bool
    unit: str


def resolve_crs(crs: Any, names: Sequence[Hashable]) -> SpatialReference:
    """Find out what the coordinates mean, from a CRS or else from the names of their columns.

    Parameters
    ----------
    crs : int, str, pyproj.CRS, any input of ``pyproj.CRS.from_user_input``, or None
        None reads the names: a longitude and a latitude ("lon", "Longitude", "lng", "lon_wgs84",
        "gps_lat", "decimalLatitude", "x_wgs84", ...) mean EPSG:4326, anything else an unknown
        plane. Of a 3D or compound CRS the horizontal part is taken.
    names : sequence of two column labels

    Returns
    -------
    Frame

    Raises
    ------
    ValueError
        If `crs` is unknown to pyproj, or has no horizontal coordinates (geocentric, vertical).

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> resolve_crs(None, ["lon", "lat"])
    Frame(crs='EPSG:4326', geographic=True, unit='km')
    >>> resolve_crs(28992, ["x", "y"])
    Frame(crs='EPSG:28992', geographic=False, unit='metre')
    >>> resolve_crs(None, ["x", "y"])
    Frame(crs=None, geographic=False, unit='unit')
    """
    if crs is None:
        if {axis_direction(name) for name in names} == {"longitude", "latitude"}:
            return SpatialReference(WGS84, geographic=True, unit="km")
        return SpatialReference(None, geographic=False, unit="unit")
    horizontal = _horizontal_crs(crs)
    # Less confidence would give a CRS of an unknown datum the code of one that merely resembles it.
    authority = horizontal.to_authority(min_confidence=100)
    text = ":".join(authority) if authority else horizontal.to_wkt()
    if horizontal.is_geographic:
        return SpatialReference(text, geographic=True, unit="km")
    axes = horizontal.axis_info
    return SpatialReference(
        text, geographic=False, unit=(axes[0].unit_name if axes else "") or "unit"
    )


def transform_coordinates(xy: np.ndarray, crs: Any, reference: SpatialReference) -> np.ndarray:
    """Transform coordinates of another system to a frame.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
        First (longitude, easting) and second (latitude, northing) coordinate in `crs`.
    crs : anything pyproj knows
    frame : Frame
        Of known system.

    Returns
    -------
    ndarray of shape (n_samples, 2)

    Raises
    ------
    ValueError
        If there is no way from one system to the other, as there is none between planets.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs, transform_coordinates
    >>> transform_coordinates(np.array([[155000.0, 463000.0]]), 28992, resolve_crs(4326, [])).round(
    ...     3
    ... )
    array([[ 5.387, 52.155]])
    """
    here, there = _horizontal_crs(crs), pyproj.CRS.from_user_input(reference.crs)
    try:
        turn = pyproj.Transformer.from_crs(here, there, always_xy=True)
    except ProjError as error:
        raise ValueError(
            f"coordinates in {here.name!r} cannot be brought into {there.name!r}: PROJ knows no "
            "way. Check both coordinate reference systems."
        ) from error
    return np.column_stack(turn.transform(xy[:, 0], xy[:, 1]))


def _horizontal_crs(crs: Any) -> pyproj.CRS:
    try:
        found = pyproj.CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(
            f"crs={crs!r} is not a coordinate reference system that pyproj knows. Give an EPSG "
            'code (crs=4326 or crs="EPSG:28992"), a PROJ or WKT string or a pyproj.CRS; crs=None '
            "goes by the names of the coordinate columns."
        ) from error
    if not (found.is_geographic or found.is_projected or found.is_engineering):
        raise ValueError(
            f"crs={crs!r} is a {found.type_name}, in which a pair of coordinates is no place. "
            "Convert the coordinates to longitude and latitude (crs=4326) or to a projected system."
        )
    return found.to_2d() if len(found.axis_info) > 2 else found


def axis_direction(name: Hashable) -> str | None:
    """Return "longitude" or "latitude" if a column name says so."""
    # Break camelCase before lowering, so that "decimalLatitude" and "lonDD" fall apart.
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()
    words = set(re.findall(r"[a-z]+|\d+", spaced))
    if words & _NOT_DEGREES:
        return None
    in_degrees = bool(words & _DEGREE_UNITS)
    if words & _LONGITUDE or "longitud" in spaced or ("x" in words and in_degrees):
        return "longitude"
    if words & _LATITUDE or "latitud" in spaced or ("y" in words and in_degrees):
        return "latitude"
    return None
