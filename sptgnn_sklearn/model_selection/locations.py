"""Where the rows of a table are, and which of them have to stay together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..spatial.blocks import location_ids
from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import locate_coordinates

__all__ = ["SampleLocations", "check_distance", "nearest", "read_locations"]

_LARGE = 10_000  # no local plane in metres has rows around its origin and none up to here


@dataclass(frozen=True)
class SampleLocations:
    """Rows and the units (one location, one group) that are never split.

    Attributes
    ----------
    xy : ndarray of shape (n, 2)
    frame : Frame
    unit : ndarray of shape (n,) of int
        Unit of each row, from 0.
    names : pair of label
        Columns of the coordinates.
    """

    xy: np.ndarray
    reference: SpatialReference
    unit: np.ndarray
    names: tuple[Hashable, Hashable]

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.unit.max()) + 1

    def centers(self, points: np.ndarray) -> np.ndarray:
        """Return the mean of some points (n, d) over the rows of each unit (n_units, d)."""
        rows = np.bincount(self.unit)
        return np.column_stack([np.bincount(self.unit, axis) / rows for axis in points.T])

    def require_units(self, n_splits: int, groups: Any) -> None:
        """Raise a ValueError if there are fewer units than folds."""
        if self.n_units < n_splits:
            raise ValueError(
                f"n_splits={n_splits} folds need at least as many locations; the "
                f"{len(self.xy)} rows of X lie at {self.n_units} location(s)"
                f"{'' if groups is None else ', rows of one group counted as one'}."
            )


def read_locations(
    X: Any, coordinates: Sequence[Hashable] | None, crs: Any, groups: Any = None
) -> SampleLocations:
    """Read the places of the rows of X; rows of one place or one group are one unit.

    Raises
    ------
    ValueError
        If there are no coordinates, they cannot be that, or some are degrees and others not.
    """
    xy, reference, names = locate_coordinates(X, coordinates, crs)
    # A splitter is given whole tables: here coordinates that were scaled before splitting show.
    check_coordinates(xy, reference, names, fitting=True)
    _check_one_system(xy, reference, names)
    return SampleLocations(xy, reference, location_ids(xy, groups), (names[0], names[1]))


def _check_one_system(
    xy: np.ndarray, reference: SpatialReference, names: Sequence[Hashable]
) -> None:
    """Raise a ValueError if a plane holds degrees in some rows and large numbers in all others.

    A block of its own would be made of each system, and folds would look well separated.
    """
    if reference.geographic:
        return
    degrees = (np.abs(xy) <= (180, 90)).all(axis=1)
    if degrees.any() and not degrees.all() and np.abs(xy[~degrees]).max(axis=1).min() > _LARGE:
        rows = np.flatnonzero(degrees)
        raise ValueError(
            f"Columns {names[0]!r} and {names[1]!r} look like degrees in {len(rows)} of {len(xy)} "
            f"rows (first at row position {rows[0]}) and are beyond {_LARGE:g} in all others: "
            "bring all rows to one coordinate reference system."
        )


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distance from each point (n, d) to the nearest of the others (m, d)."""
    return cKDTree(others).query(points, k=1)[0]


def check_distance(name: str, value: Any) -> None:
    """Raise a ValueError that names the parameter unless it is a finite distance of 0 or more."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < 0:
        raise ValueError(
            f"{name} must be a distance of zero or more, in km or units of the CRS; "
            f"found {value!r}."
        )
