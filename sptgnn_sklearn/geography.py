"""What a pair of coordinates means: the frame, its checks, and the spaces distances are taken in.

The first column is always the longitude or easting and the second the latitude or northing,
whatever axis order the authority of the coordinate reference system prescribes.

Distances in a geographic frame are great-circle kilometres on a sphere of the mean earth radius,
within 0.6 % of the ellipsoid. Distances in any other frame are Euclidean, in the unit of its axes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from pyproj.exceptions import CRSError, ProjError

__all__ = [
    "EARTH_RADIUS_KM",
    "Frame",
    "check_coordinates",
    "chord_to_distance",
    "distance_to_chord",
    "local_plane",
    "metric_space",
    "metric_to_coordinates",
    "plane_origin",
    "resolve_frame",
    "transform",
]

# Mean radius R1 of the GRS 80 ellipsoid (Moritz 2000, J. Geodesy 74, 128-133).
EARTH_RADIUS_KM = 6371.0088
WGS84 = "EPSG:4326"

_LONGITUDE = frozenset({"lon", "long", "lng"})
_LATITUDE = frozenset({"lat"})
_DEGREES = frozenset({"wgs", "4326", "deg", "degree", "degrees", "dd"})
_NOT_DEGREES = frozenset(
    {"utm", "m", "km", "metre", "metres", "meter", "meters", "ft", "feet", "rad", "radians"}
)
# Ten rows are the fewest for which "mean 0, deviation 1" is no accident of a small table.
_FEWEST_ROWS_TO_SUSPECT_SCALING = 10
# Surveys of whole countries reach beyond the zone that their system is meant for.
_SPARE_DEGREES = 10.0


@dataclass(frozen=True)
class Frame:
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
    >>> from sptgnn_sklearn.geography import Frame
    >>> Frame(crs="EPSG:28992", geographic=False, unit="metre")
    Frame(crs='EPSG:28992', geographic=False, unit='metre')
    """

    crs: str | None
    geographic: bool
    unit: str


def resolve_frame(crs: Any, names: Sequence[Hashable]) -> Frame:
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
    >>> from sptgnn_sklearn.geography import resolve_frame
    >>> resolve_frame(None, ["lon", "lat"])
    Frame(crs='EPSG:4326', geographic=True, unit='km')
    >>> resolve_frame(28992, ["x", "y"])
    Frame(crs='EPSG:28992', geographic=False, unit='metre')
    >>> resolve_frame(None, ["x", "y"])
    Frame(crs=None, geographic=False, unit='unit')
    """
    if crs is None:
        if {_axis_of(name) for name in names} == {"longitude", "latitude"}:
            return Frame(WGS84, geographic=True, unit="km")
        return Frame(None, geographic=False, unit="unit")
    horizontal = _horizontal_crs(crs)
    # Less confidence would give a CRS of an unknown datum the code of one that merely resembles it.
    authority = horizontal.to_authority(min_confidence=100)
    text = ":".join(authority) if authority else horizontal.to_wkt()
    if horizontal.is_geographic:
        return Frame(text, geographic=True, unit="km")
    axes = horizontal.axis_info
    return Frame(text, geographic=False, unit=(axes[0].unit_name if axes else "") or "unit")


def check_coordinates(
    xy: np.ndarray, frame: Frame, names: Sequence[Hashable], *, fitting: bool = True
) -> None:
    """Raise an error if these numbers cannot be coordinates in this frame.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
        First (longitude, easting) and second (latitude, northing) coordinate.
    frame : Frame
    names : sequence of two column labels
        Used in messages, and to notice (latitude, longitude) order.
    fitting : bool, default=True
        Whether `xy` is a whole training table. Only then does "mean 0 and deviation 1" or
        "between 0 and 1" in both columns show that coordinates were scaled, and its middle whether
        the system is another.

    Raises
    ------
    ValueError
        If a coordinate is NaN or infinite; in a geographic frame also if longitude and latitude
        are swapped or out of range; with `fitting` also if coordinates of a known system are
        standardised. The message names the column, the positions of the first such rows, and what
        to do.

    Warns
    -----
    UserWarning
        With `fitting`, if planar coordinates of unknown system are standardised, or those of a
        known one lie far outside of the area that it is meant for.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.geography import check_coordinates, resolve_frame
    >>> names = ["lon", "lat"]
    >>> frame = resolve_frame(None, names)
    >>> check_coordinates(np.array([[5.7, 50.9], [5.8, 51.0]]), frame, names)
    >>> check_coordinates(np.array([[5.7, 50.9], [5.8, 510.0]]), frame, names)
    Traceback (most recent call last):
        ...
    ValueError: Column 'lat' holds latitudes beyond -90 to 90 in 1 of 2 rows (row position 1, \
value 510): mend or drop these rows, or set crs to the system that the coordinates are in.
    """
    for wrong, what in ((np.isnan(xy), "NaN"), (np.isinf(xy), "infinite values (inf)")):
        for name, rows in zip(names, wrong.T, strict=True):
            if rows.any():
                raise ValueError(
                    f"Column {name!r} holds {what} in {_where(rows)}: "
                    "a coordinate is needed in each row; fill in or drop these rows."
                )
    if frame.geographic:
        _refuse_swapped_names(names)
        _refuse_out_of_range(xy, frame, names)
    if fitting:
        _tell_of_scaling(xy, frame, names)
        if frame.crs is not None and not frame.geographic:
            _tell_of_another_system(xy, frame, names)


def transform(xy: np.ndarray, crs: Any, frame: Frame) -> np.ndarray:
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
    >>> from sptgnn_sklearn.geography import resolve_frame, transform
    >>> transform(np.array([[155000.0, 463000.0]]), 28992, resolve_frame(4326, [])).round(3)
    array([[ 5.387, 52.155]])
    """
    here, there = _horizontal_crs(crs), pyproj.CRS.from_user_input(frame.crs)
    try:
        turn = pyproj.Transformer.from_crs(here, there, always_xy=True)
    except ProjError as error:
        raise ValueError(
            f"coordinates in {here.name!r} cannot be brought into {there.name!r}: PROJ knows no "
            "way. Check both coordinate reference systems."
        ) from error
    return np.column_stack(turn.transform(xy[:, 0], xy[:, 1]))


def metric_space(xy: np.ndarray, frame: Frame) -> np.ndarray:
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
    >>> from sptgnn_sklearn.geography import Frame, metric_space
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> metric_space(np.array([[0.0, 90.0]]), frame).round(4)
    array([[   0.    ,    0.    , 6371.0088]])
    """
    xy = np.asarray(xy, dtype=np.float64)
    return EARTH_RADIUS_KM * _directions(xy, frame) if frame.geographic else xy


def metric_to_coordinates(points: np.ndarray, frame: Frame) -> np.ndarray:
    """Turn points of `metric_space` back into coordinates.

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
    >>> from sptgnn_sklearn.geography import Frame, metric_space, metric_to_coordinates
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> metric_to_coordinates(metric_space(np.array([[5.7, 50.9]]), frame), frame).round(9)
    array([[ 5.7, 50.9]])
    """
    if not frame.geographic:
        return np.array(points, dtype=np.float64)
    east, north, up = points.T
    longitude, latitude = np.arctan2(north, east), np.arctan2(up, np.hypot(east, north))
    return np.column_stack([longitude, latitude]) / _radians_per_unit(frame.crs)


def chord_to_distance(chord: Any, frame: Frame) -> np.ndarray:
    """Turn distances in `metric_space` into distances on the ground.

    Parameters
    ----------
    chord : array-like or float
        Euclidean distances between points of `metric_space`.
    frame : Frame

    Returns
    -------
    distance : ndarray or float of the same shape
        Great-circle km, ``2 R arcsin(chord / 2 R)``, for a geographic frame; `chord` otherwise.

    Examples
    --------
    >>> from sptgnn_sklearn.geography import EARTH_RADIUS_KM, Frame, chord_to_distance
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> round(float(chord_to_distance(2 * EARTH_RADIUS_KM, frame)), 1)  # half way round
    20015.1
    """
    chord = np.asarray(chord, dtype=np.float64)
    if not frame.geographic:
        return chord
    # Rounding can put the chord of antipodes a little beyond the diameter.
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / (2 * EARTH_RADIUS_KM), 1.0))


def distance_to_chord(distance: Any, frame: Frame) -> np.ndarray:
    """Turn distances on the ground into distances in `metric_space`.

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
    >>> from sptgnn_sklearn.geography import Frame, chord_to_distance, distance_to_chord
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> chord_to_distance(distance_to_chord(np.array([0.0, 250.0]), frame), frame)
    array([  0., 250.])
    """
    distance = np.asarray(distance, dtype=np.float64)
    if not frame.geographic:
        return distance
    angle = distance / EARTH_RADIUS_KM
    chord = 2 * EARTH_RADIUS_KM * np.sin(np.minimum(angle, np.pi) / 2)
    return np.where(angle > np.pi, np.inf, chord)


def plane_origin(xy: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the middle of some places, for use as the origin of `local_plane`.

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
    >>> from sptgnn_sklearn.geography import Frame, plane_origin
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> abs(plane_origin(np.array([[179.0, 0.0], [-179.0, 0.0]]), frame)).round(6)
    array([180.,   0.])
    """
    xy = np.asarray(xy, dtype=np.float64)
    if not frame.geographic:
        return xy.mean(axis=0)
    middle = _directions(xy, frame).mean(axis=0)
    if np.linalg.norm(middle) < 1e-9:
        # Places balanced all round the globe have no middle; any origin is as good as another.
        return np.zeros(2)
    return metric_to_coordinates(middle[None], frame)[0]


def local_plane(
    xy: np.ndarray, frame: Frame, origin: np.ndarray | Sequence[float] | None = None
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
    >>> from sptgnn_sklearn.geography import Frame, local_plane
    >>> frame = Frame("EPSG:4326", geographic=True, unit="km")
    >>> xy = np.array([[179.0, 0.0], [-179.0, 0.0]])
    >>> local_plane(xy, frame, origin=[180.0, 0.0]).round(2) + 0.0
    array([[-111.2,    0. ],
           [ 111.2,    0. ]])
    """
    xy = np.asarray(xy, dtype=np.float64)
    origin = plane_origin(xy, frame) if origin is None else np.asarray(origin, dtype=np.float64)
    if not frame.geographic:
        return xy - origin
    longitude, latitude = origin * _radians_per_unit(frame.crs)
    sin_lon, cos_lon = np.sin(longitude), np.cos(longitude)
    sin_lat, cos_lat = np.sin(latitude), np.cos(latitude)
    east = np.array([-sin_lon, cos_lon, 0.0])
    north = np.array([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat])
    up = np.array([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
    points = _directions(xy, frame)
    eastward, northward = points @ east, points @ north
    # Snyder's k' = c / sin(c), with c taken from both its sine and its cosine: accurate for places
    # a metre away and for places on the far side alike.
    sine = np.hypot(eastward, northward)
    angle = np.arctan2(sine, points @ up)
    scale = EARTH_RADIUS_KM * np.divide(angle, sine, out=np.ones_like(sine), where=sine > 0)
    return np.column_stack([scale * eastward, scale * northward])


def _directions(xy: np.ndarray, frame: Frame) -> np.ndarray:
    """Return unit vectors (n, 3) of longitudes and latitudes in the unit of the frame."""
    longitude, latitude = (xy * _radians_per_unit(frame.crs)).T
    cos_latitude = np.cos(latitude)
    return np.column_stack(
        [cos_latitude * np.cos(longitude), cos_latitude * np.sin(longitude), np.sin(latitude)]
    )


@lru_cache(maxsize=32)
def _radians_per_unit(crs: str | None) -> float:
    """Return the angular unit of a geographic CRS: mostly degrees, sometimes grads."""
    if crs is None or crs == WGS84:
        return np.pi / 180
    return float(pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor)


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


def _axis_of(name: Hashable) -> str | None:
    """Return "longitude" or "latitude" if a column name says so."""
    # Break camelCase before lowering, so that "decimalLatitude" and "lonDD" fall apart.
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()
    words = set(re.findall(r"[a-z]+|\d+", spaced))
    if words & _NOT_DEGREES:
        return None
    in_degrees = bool(words & _DEGREES)
    if words & _LONGITUDE or "longitud" in spaced or ("x" in words and in_degrees):
        return "longitude"
    if words & _LATITUDE or "latitud" in spaced or ("y" in words and in_degrees):
        return "latitude"
    return None


def _where(rows: np.ndarray, values: np.ndarray | None = None) -> str:
    """Describe the rows of a mask: how many, the first few positions, the first value."""
    positions = np.flatnonzero(rows)
    first = ", ".join(str(position) for position in positions[:5])
    word = "row position" if len(positions) == 1 else "row positions"
    more = ", ..." if len(positions) > 5 else ""
    value = "" if values is None else f", value {values[positions[0]]:g}"
    return f"{len(positions)} of {len(rows)} rows ({word} {first}{more}{value})"


def _refuse_swapped_names(names: Sequence[Hashable]) -> None:
    if [_axis_of(name) for name in names] == ["latitude", "longitude"]:
        raise ValueError(
            f"coordinates are named in the order ({names[0]!r}, {names[1]!r}), latitude first: "
            f"longitude and latitude are swapped. Give coordinates=({names[1]!r}, {names[0]!r})."
        )


def _refuse_out_of_range(xy: np.ndarray, frame: Frame, names: Sequence[Hashable]) -> None:
    quarter = np.pi / 2 / _radians_per_unit(frame.crs)
    bounds = {"longitude": (-2 * quarter, 4 * quarter), "latitude": (-quarter, quarter)}
    beyond = {
        (position, axis): (xy[:, position] < lowest - 1e-9) | (xy[:, position] > highest + 1e-9)
        for position in (0, 1)
        for axis, (lowest, highest) in bounds.items()
    }
    would_fit_swapped = not (beyond[0, "latitude"].any() or beyond[1, "longitude"].any())
    for position, axis in ((1, "latitude"), (0, "longitude")):
        rows = beyond[position, axis]
        if not rows.any():
            continue
        lowest, highest = bounds[axis]
        found = (
            f"Column {names[position]!r} holds {axis}s beyond {lowest:g} to {highest:g} in "
            f"{_where(rows, xy[:, position])}"
        )
        if would_fit_swapped:
            raise ValueError(
                f"{found}, while {names[0]!r} would pass as latitude: longitude and latitude look "
                f"swapped. Give coordinates=({names[1]!r}, {names[0]!r}), longitude first, or mend "
                "these rows."
            )
        raise ValueError(
            f"{found}: mend or drop these rows, or set crs to the system that the coordinates "
            "are in."
        )


# The tolerances leave room for coordinates that were scaled in single precision.
def _is_standard_scaled(xy: np.ndarray) -> bool:
    return bool((np.abs(xy.mean(0)) < 1e-4).all() and (np.abs(xy.std(0) - 1) < 1e-3).all())


def _is_min_max_scaled(xy: np.ndarray) -> bool:
    return bool((np.abs(xy.min(0)) < 1e-5).all() and (np.abs(xy.max(0) - 1) < 1e-5).all())


_SCALINGS: dict[str, tuple[Callable[[np.ndarray], bool], str]] = {
    "StandardScaler": (_is_standard_scaled, "both have mean 0 and standard deviation 1"),
    "MinMaxScaler": (_is_min_max_scaled, "both run from 0 to 1 exactly"),
}


def _tell_of_scaling(xy: np.ndarray, frame: Frame, names: Sequence[Hashable]) -> None:
    """Refuse coordinates of a known system that were scaled; in a plane of its own, warn."""
    if len(xy) < _FEWEST_ROWS_TO_SUSPECT_SCALING:
        return
    found = [name for name, (is_scaled, _) in _SCALINGS.items() if is_scaled(xy)]
    if not found:
        return
    scaler = found[0]
    told = (
        f"{_SCALINGS[scaler][1]}, as {scaler} leaves them. Coordinates must reach the estimator "
        f"unscaled: scale the covariates only, with ColumnTransformer([('scale', {scaler}(), "
        "covariates)], remainder='passthrough', verbose_feature_names_out=False)"
        ".set_output(transform='pandas')."
    )
    if frame.crs is not None:
        what = "longitude and latitude" if frame.geographic else f"coordinates of {frame.crs[:40]}"
        raise ValueError(f"Columns {names[0]!r} and {names[1]!r} are standardised {what}: {told}")
    # A square of side one is a plane as good as any other.
    if scaler == "StandardScaler":
        warnings.warn(
            f"Columns {names[0]!r} and {names[1]!r} are the coordinates, and {told}",
            UserWarning,
            stacklevel=5,
        )


def _tell_of_another_system(xy: np.ndarray, frame: Frame, names: Sequence[Hashable]) -> None:
    """Warn if the middle of a survey lies far outside of where its CRS is meant to be used."""
    crs = pyproj.CRS.from_user_input(frame.crs)
    area = crs.area_of_use
    if area is None:
        return
    middle = np.median(xy, axis=0)
    to_degrees = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    longitude, latitude = to_degrees.transform(*middle)
    in_degrees = bool((np.abs(xy) <= (180, 90)).all())
    spare = 0.0 if in_degrees else _SPARE_DEGREES
    width = (area.east - area.west) % 360 or 360.0
    eastward = (longitude - area.west + spare) % 360
    inside = area.south - spare <= latitude <= area.north + spare
    if inside and eastward <= width + 2 * spare:
        return
    where = f"longitude {longitude:.4g}, latitude {latitude:.4g}"
    known = np.isfinite([longitude, latitude]).all()
    guess = " They look like degrees: then it is crs=4326." if in_degrees else ""
    warnings.warn(
        f"Columns {names[0]!r} and {names[1]!r}, around ({middle[0]:.10g}, {middle[1]:.10g}), are "
        f"{'at ' + where if known else 'nowhere on earth'} in {crs.name!r}, which is meant for "
        f"longitudes {area.west:g} to {area.east:g} and latitudes {area.south:g} to "
        f"{area.north:g}: check crs.{guess}",
        UserWarning,
        stacklevel=5,
    )
