"""Checks for swapped, scaled or out-of-range coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from ..utils.messages import format_rows
from .crs import WGS84, SpatialReference, axis_direction
from .distances import radians_per_unit

__all__ = ["MIN_PROJECTED", "check_coordinates", "in_degrees"]

# A projected table with rows within degrees of its origin and none from there to here is mixed.
MIN_PROJECTED = 10_000

# With fewer rows, mean 0 and standard deviation 1 can occur by chance.
_MIN_ROWS_TO_DETECT_SCALING = 10
# Surveys of whole countries extend outside the area of use of their CRS.
_AREA_MARGIN_DEGREES = 10.0


def check_coordinates(
    xy: np.ndarray,
    reference: SpatialReference,
    names: Sequence[Hashable],
    *,
    fitting: bool = True,
    stacklevel: int = 4,
) -> None:
    """Raise an error if numbers are not valid coordinates in a spatial reference.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
        First (longitude, easting) and second (latitude, northing) coordinate.
    reference : SpatialReference
    names : sequence of two column labels
        For messages, and to detect the order (latitude, longitude).
    fitting : bool, default=True
        Whether `xy` is an entire training table, which is also checked for scaled coordinates, for
        a wrong CRS and for a mixture of degrees and projected coordinates.
    stacklevel : int, default=4
        Of warnings, as in `warnings.warn`: 1 is this function, 2 its caller.

    Raises
    ------
    ValueError
        If a coordinate is NaN or infinite; in a geographic CRS also if longitude and latitude are
        swapped or out of range; with `fitting` also if coordinates of a known CRS are standardized,
        or projected coordinates are degrees in some rows.
        The message gives the column, the positions of the first such rows and a remedy.

    Warns
    -----
    UserWarning
        With `fitting`, if planar coordinates of unknown CRS are standardized, or those of a known
        one are far outside its area of use.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.coordinate_checks import check_coordinates
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> names = ["lon", "lat"]
    >>> reference = resolve_crs(None, names)
    >>> check_coordinates(np.array([[5.7, 50.9], [5.8, 51.0]]), reference, names)
    >>> check_coordinates(np.array([[5.7, 50.9], [5.8, 510.0]]), reference, names)
    Traceback (most recent call last):
        ...
    ValueError: Column 'lat' holds latitudes outside -90 to 90 in 1 of 2 rows (row position 1, \
value 510): correct or drop these rows, or set crs to the CRS of the coordinates.
    """
    for invalid, kind in ((np.isnan(xy), "NaN"), (np.isinf(xy), "infinite values (inf)")):
        for name, rows in zip(names, invalid.T, strict=True):
            if rows.any():
                raise ValueError(
                    f"Column {name!r} holds {kind} in {format_rows(rows)}: every row needs "
                    "coordinates; complete or drop these rows."
                )
    if reference.geographic:
        _check_swapped_names(names)
        _check_range(xy, reference, names)
    if fitting:
        if not reference.geographic:
            _check_mixed_systems(xy, names)
        _check_scaled_coordinates(xy, reference, names, stacklevel + 1)
        if reference.crs is not None and not reference.geographic:
            _warn_unlikely_crs(xy, reference, names, stacklevel + 1)


def in_degrees(xy: np.ndarray) -> np.ndarray:
    """Return the rows (n,) whose coordinates are in the range of longitude and latitude."""
    return (np.abs(xy) <= (180, 90)).all(axis=1)


def _check_mixed_systems(xy: np.ndarray, names: Sequence[Hashable]) -> None:
    """Raise a ValueError if projected coordinates hold degrees in some rows.

    These rows would be a distant cluster in the graph, and blocks of their own in folds.
    """
    degrees = in_degrees(xy)
    if (
        degrees.any()
        and not degrees.all()
        and np.abs(xy[~degrees]).max(axis=1).min() > MIN_PROJECTED
    ):
        rows = np.flatnonzero(degrees)
        raise ValueError(
            f"Columns {names[0]!r} and {names[1]!r} look like degrees in {len(rows)} of {len(xy)} "
            f"rows (first at row position {rows[0]}) and are beyond {MIN_PROJECTED:g} in all "
            "others: convert all rows to one coordinate reference system."
        )


def _check_swapped_names(names: Sequence[Hashable]) -> None:
    if [axis_direction(name) for name in names] == ["latitude", "longitude"]:
        raise ValueError(
            f"coordinates are named in the order ({names[0]!r}, {names[1]!r}), latitude first: "
            f"longitude and latitude are swapped. Set coordinates=({names[1]!r}, {names[0]!r})."
        )


def _check_range(xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable]) -> None:
    right_angle = np.pi / 2 / radians_per_unit(reference.crs)
    bounds = {
        "longitude": (-2 * right_angle, 4 * right_angle),
        "latitude": (-right_angle, right_angle),
    }
    outside = {
        (position, axis): (xy[:, position] < lowest - 1e-9) | (xy[:, position] > highest + 1e-9)
        for position in (0, 1)
        for axis, (lowest, highest) in bounds.items()
    }
    valid_if_swapped = not (outside[0, "latitude"].any() or outside[1, "longitude"].any())
    for position, axis in ((1, "latitude"), (0, "longitude")):
        rows = outside[position, axis]
        if not rows.any():
            continue
        lowest, highest = bounds[axis]
        found = (
            f"Column {names[position]!r} holds {axis}s outside {lowest:g} to {highest:g} in "
            f"{format_rows(rows, f'{xy[rows, position][0]:g}')}"
        )
        if valid_if_swapped:
            raise ValueError(
                f"{found}, while {names[0]!r} is in the range of latitudes: longitude and latitude "
                f"seem swapped. Set coordinates=({names[1]!r}, {names[0]!r}), longitude first, or "
                "correct these rows."
            )
        raise ValueError(
            f"{found}: correct or drop these rows, or set crs to the CRS of the coordinates."
        )


# The tolerances allow for scaling in single precision.
def _is_standard_scaled(xy: np.ndarray) -> bool:
    return bool((np.abs(xy.mean(0)) < 1e-4).all() and (np.abs(xy.std(0) - 1) < 1e-3).all())


def _is_min_max_scaled(xy: np.ndarray) -> bool:
    return bool((np.abs(xy.min(0)) < 1e-5).all() and (np.abs(xy.max(0) - 1) < 1e-5).all())


_SCALINGS: dict[str, tuple[Callable[[np.ndarray], bool], str]] = {
    "StandardScaler": (_is_standard_scaled, "both have mean 0 and standard deviation 1"),
    "MinMaxScaler": (_is_min_max_scaled, "both range from 0 to 1 exactly"),
}


def _check_scaled_coordinates(
    xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable], stacklevel: int
) -> None:
    """Raise an error if coordinates of a known CRS are scaled; warn in a plane of unknown CRS."""
    if len(xy) < _MIN_ROWS_TO_DETECT_SCALING:
        return
    scalings = [name for name, (is_scaled, _) in _SCALINGS.items() if is_scaled(xy)]
    if not scalings:
        return
    scaler = scalings[0]
    reason = (
        f"{_SCALINGS[scaler][1]}, as after {scaler}. Scale the covariates only, with "
        f"ColumnTransformer([('scale', {scaler}(), covariates)], remainder='passthrough', "
        "verbose_feature_names_out=False).set_output(transform='pandas')."
    )
    if reference.crs is not None:
        what = (
            "longitude and latitude"
            if reference.geographic
            else f"coordinates of {reference.crs[:40]}"
        )
        raise ValueError(f"Columns {names[0]!r} and {names[1]!r} are standardized {what}: {reason}")
    # The unit square is a valid plane.
    if scaler == "StandardScaler":
        warnings.warn(
            f"Columns {names[0]!r} and {names[1]!r} are the coordinates, and {reason}",
            UserWarning,
            stacklevel=stacklevel,
        )


def _warn_unlikely_crs(
    xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable], stacklevel: int
) -> None:
    """Warn if the median coordinates are far outside the area of use of the CRS."""
    import pyproj

    crs = pyproj.CRS.from_user_input(reference.crs)
    area = crs.area_of_use
    if area is None:
        return
    median = np.median(xy, axis=0)
    to_degrees = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    longitude, latitude = to_degrees.transform(*median)
    is_degrees = bool(in_degrees(xy).all())
    margin = 0.0 if is_degrees else _AREA_MARGIN_DEGREES
    width = (area.east - area.west) % 360 or 360.0
    eastward = (longitude - area.west + margin) % 360
    inside = area.south - margin <= latitude <= area.north + margin
    if inside and eastward <= width + 2 * margin:
        return
    where = f"longitude {longitude:.4g}, latitude {latitude:.4g}"
    known = np.isfinite([longitude, latitude]).all()
    hint = " If they are degrees, set crs=4326." if is_degrees else ""
    warnings.warn(
        f"Columns {names[0]!r} and {names[1]!r}, with medians ({median[0]:.10g}, "
        f"{median[1]:.10g}), are {'at ' + where if known else 'outside the earth'} in "
        f"{crs.name!r}, whose area of use is longitude {area.west:g} to {area.east:g} and latitude "
        f"{area.south:g} to {area.north:g}: check crs.{hint}",
        UserWarning,
        stacklevel=stacklevel,
    )
