"""Checks for swapped, scaled or out-of-range coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pyproj

from .crs import WGS84, SpatialReference, axis_direction
from .distances import radians_per_unit

__all__ = ["check_coordinates"]

# Ten rows are the fewest for which "mean 0, deviation 1" is no accident of a small table.
_FEWEST_ROWS_TO_SUSPECT_SCALING = 10
# Surveys of whole countries reach beyond the zone that their system is meant for.
_SPARE_DEGREES = 10.0


def check_coordinates(
    xy: np.ndarray,
    reference: SpatialReference,
    names: Sequence[Hashable],
    *,
    fitting: bool = True,
    stacklevel: int = 4,
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
    >>> from sptgnn_sklearn.spatial.coordinate_checks import check_coordinates
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> names = ["lon", "lat"]
    >>> frame = resolve_crs(None, names)
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
    if reference.geographic:
        _check_swapped_names(names)
        _check_range(xy, reference, names)
    if fitting:
        _warn_scaled_coordinates(xy, reference, names, stacklevel + 1)
        if reference.crs is not None and not reference.geographic:
            _warn_other_system(xy, reference, names, stacklevel + 1)


def _where(rows: np.ndarray, values: np.ndarray | None = None) -> str:
    """Describe the rows of a mask: how many, the first few positions, the first value."""
    positions = np.flatnonzero(rows)
    first = ", ".join(str(position) for position in positions[:5])
    word = "row position" if len(positions) == 1 else "row positions"
    more = ", ..." if len(positions) > 5 else ""
    value = "" if values is None else f", value {values[positions[0]]:g}"
    return f"{len(positions)} of {len(rows)} rows ({word} {first}{more}{value})"


def _check_swapped_names(names: Sequence[Hashable]) -> None:
    if [axis_direction(name) for name in names] == ["latitude", "longitude"]:
        raise ValueError(
            f"coordinates are named in the order ({names[0]!r}, {names[1]!r}), latitude first: "
            f"longitude and latitude are swapped. Give coordinates=({names[1]!r}, {names[0]!r})."
        )


def _check_range(xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable]) -> None:
    quarter = np.pi / 2 / radians_per_unit(reference.crs)
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


def _warn_scaled_coordinates(
    xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable], stacklevel: int
) -> None:
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
    if reference.crs is not None:
        what = (
            "longitude and latitude"
            if reference.geographic
            else f"coordinates of {reference.crs[:40]}"
        )
        raise ValueError(f"Columns {names[0]!r} and {names[1]!r} are standardised {what}: {told}")
    # A square of side one is a plane as good as any other.
    if scaler == "StandardScaler":
        warnings.warn(
            f"Columns {names[0]!r} and {names[1]!r} are the coordinates, and {told}",
            UserWarning,
            stacklevel=stacklevel,
        )


def _warn_other_system(
    xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable], stacklevel: int
) -> None:
    """Warn if the middle of a survey lies far outside of where its CRS is meant to be used."""
    crs = pyproj.CRS.from_user_input(reference.crs)
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
        stacklevel=stacklevel,
    )
