"""Coordinate reference system (CRS) of a pair of coordinates.

The first coordinate is always longitude or easting and the second latitude or northing, whatever
axis order the authority of the CRS prescribes.

Distances in a geographic CRS are great-circle kilometers on a sphere of the mean earth radius,
within 0.6 % of the ellipsoid. Distances in any other CRS are Euclidean, in the unit of its axes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyproj

__all__ = ["SpatialReference", "resolve_crs", "same_crs", "transform_coordinates"]

WGS84 = "EPSG:4326"
_LONGITUDE = frozenset({"lon", "long", "lng"})
_LATITUDE = frozenset({"lat"})
_DEGREE_UNITS = frozenset({"wgs", "4326", "deg", "degree", "degrees", "dd"})
_NOT_DEGREES = frozenset(
    {"utm", "m", "km", "metre", "metres", "meter", "meters", "ft", "feet", "rad", "radians"}
)


@dataclass(frozen=True)
class SpatialReference:
    """CRS of a pair of coordinates and unit of distances; all fields can be written as JSON.

    Parameters
    ----------
    crs : str or None
        Authority string such as ``"EPSG:4326"`` if there is one, else WKT. None is a plane with an
        unknown CRS.
    geographic : bool
        Whether coordinates are longitude and latitude and distances great-circle kilometers.
    unit : str
        Unit of distances: ``"km"`` in a geographic CRS, else the name of the axis unit of the CRS
        (``"metre"``, ``"US survey foot"``), or ``"unit"`` if unknown.

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.crs import SpatialReference
    >>> SpatialReference(crs="EPSG:28992", geographic=False, unit="metre")
    SpatialReference(crs='EPSG:28992', geographic=False, unit='metre')
    """

    crs: str | None
    geographic: bool
    unit: str


def resolve_crs(crs: Any, names: Sequence[Hashable]) -> SpatialReference:
    """Return the spatial reference of a CRS, or infer it from the names of coordinate columns.

    Parameters
    ----------
    crs : int, str, pyproj.CRS, any input of ``pyproj.CRS.from_user_input``, or None
        None infers EPSG:4326 from names of longitude and latitude ("lon", "Longitude", "lng",
        "lon_wgs84", "gps_lat", "decimalLatitude", "x_wgs84", ...), and an unknown plane from any
        others. A 3D or compound CRS is reduced to its horizontal part.
    names : sequence of two column labels

    Returns
    -------
    SpatialReference

    Raises
    ------
    ValueError
        If pyproj cannot parse `crs`, or it has no horizontal coordinates (geocentric, vertical).

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> resolve_crs(None, ["lon", "lat"])
    SpatialReference(crs='EPSG:4326', geographic=True, unit='km')
    >>> resolve_crs(28992, ["x", "y"])
    SpatialReference(crs='EPSG:28992', geographic=False, unit='metre')
    >>> resolve_crs(None, ["x", "y"])
    SpatialReference(crs=None, geographic=False, unit='unit')
    """
    if crs is None:
        if {axis_direction(name) for name in names} == {"longitude", "latitude"}:
            return SpatialReference(WGS84, geographic=True, unit="km")
        return SpatialReference(None, geographic=False, unit="unit")
    horizontal = _horizontal_crs(crs)
    # With less confidence a CRS of unknown datum would get the code of a similar one.
    authority = horizontal.to_authority(min_confidence=100)
    text = ":".join(authority) if authority else horizontal.to_wkt()
    if horizontal.is_geographic:
        return SpatialReference(text, geographic=True, unit="km")
    axes = horizontal.axis_info
    return SpatialReference(
        text, geographic=False, unit=(axes[0].unit_name if axes else "") or "unit"
    )


def transform_coordinates(xy: np.ndarray, crs: Any, reference: SpatialReference) -> np.ndarray:
    """Transform coordinates from a CRS to a spatial reference.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
        First (longitude, easting) and second (latitude, northing) coordinate in `crs`.
    crs : input of ``pyproj.CRS.from_user_input``
    reference : SpatialReference
        Its `crs` must not be None.

    Returns
    -------
    ndarray of shape (n_samples, 2)

    Raises
    ------
    ValueError
        If PROJ has no transformation between the two, for example between planets.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs, transform_coordinates
    >>> reference = resolve_crs(4326, [])
    >>> transform_coordinates(np.array([[155000.0, 463000.0]]), 28992, reference).round(3)
    array([[ 5.387, 52.155]])
    """
    import pyproj
    from pyproj.exceptions import ProjError

    source, target = _horizontal_crs(crs), pyproj.CRS.from_user_input(reference.crs)
    try:
        transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise ValueError(
            f"PROJ has no transformation of coordinates from {source.name!r} to {target.name!r}: "
            "check both coordinate reference systems."
        ) from error
    return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))


def _horizontal_crs(crs: Any) -> pyproj.CRS:
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        resolved = pyproj.CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(
            f"crs={crs!r} is not a valid coordinate reference system. Set an EPSG code (crs=4326 "
            'or crs="EPSG:28992"), a PROJ or WKT string or a pyproj.CRS; crs=None infers it from '
            "the names of the coordinate columns."
        ) from error
    if not (resolved.is_geographic or resolved.is_projected or resolved.is_engineering):
        raise ValueError(
            f"crs={crs!r} is a {resolved.type_name}, which has no pair of horizontal coordinates. "
            "Convert the coordinates to longitude and latitude (crs=4326) or to a projected CRS."
        )
    return resolved.to_2d() if len(resolved.axis_info) > 2 else resolved


def axis_direction(name: Hashable) -> str | None:
    """Return "longitude" or "latitude" if a column has such a name, else None."""
    # Split camelCase before lowering: "decimalLatitude", "lonDD".
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


@lru_cache(maxsize=256)
def same_crs(one: str, other: str, known_datum: bool = True) -> bool:
    """Return whether two descriptions mean the same CRS.

    Names, authority, the order of axes, heights, and parameters of a shift to WGS 84 do not count.

    Parameters
    ----------
    one, other : str
        Input of ``pyproj.CRS.from_user_input``.
    known_datum : bool, default=True
        Whether an unknown datum differs from all others. False compares its ellipsoid.

    Examples
    --------
    >>> from sptgnn_sklearn.spatial.crs import same_crs
    >>> (
    ...     same_crs("EPSG:32636", "+proj=utm +zone=36 +datum=WGS84"),
    ...     same_crs("EPSG:32636", "EPSG:32637"),
    ... )
    (True, False)
    """
    first, second = (resolve_crs(crs, []) for crs in (one, other))
    if first == second:
        return True
    a, b = (_unbound_crs(reference.crs) for reference in (first, second))
    if a.equals(b, ignore_axis_order=True):
        return True
    if _axes(a) != _axes(b) or a.geodetic_crs is None or b.geodetic_crs is None:
        return False
    same_datum = a.geodetic_crs.equals(b.geodetic_crs, ignore_axis_order=True)
    if not same_datum and not known_datum:
        unknown = any(crs.datum is None or "unknown" in crs.datum.name.lower() for crs in (a, b))
        same_datum = unknown and a.ellipsoid == b.ellipsoid and a.prime_meridian == b.prime_meridian
    return same_datum and a.coordinate_operation == b.coordinate_operation


def _unbound_crs(crs: str | None) -> Any:
    """Return a CRS of pyproj, without parameters of a shift to another datum."""
    import pyproj

    resolved = pyproj.CRS.from_user_input(crs)
    while resolved.is_bound and resolved.source_crs is not None:
        resolved = resolved.source_crs
    return resolved


def _axes(crs: Any) -> list[tuple[str, float]]:
    return sorted((axis.direction, axis.unit_conversion_factor) for axis in crs.axis_info)
