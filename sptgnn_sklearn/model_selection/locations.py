"""Coordinates of the rows of X, and the rows that splitters keep together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..spatial.blocks import location_ids
from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference
from ..table.categories import site_labels
from ..table.coordinate_columns import locate_coordinates

__all__ = ["SampleLocations", "check_distance", "nearest_distance", "read_locations"]


@dataclass(frozen=True)
class SampleLocations:
    """Coordinates of rows, and the units (one location or one group) that are never split.

    Attributes
    ----------
    xy : ndarray of shape (n, 2)
    reference : SpatialReference
        CRS and unit of `xy`.
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
        """Return the mean of points (n, d) over the rows of each unit (n_units, d)."""
        n_rows = np.bincount(self.unit)
        return np.column_stack([np.bincount(self.unit, axis) / n_rows for axis in points.T])

    def require_units(self, n_splits: int, groups: Any) -> None:
        """Raise a ValueError if there are fewer units than folds."""
        if self.n_units < n_splits:
            raise ValueError(
                f"n_splits={n_splits} folds need at least as many locations; the "
                f"{len(self.xy)} rows of X are at {self.n_units} location(s)"
                f"{'' if groups is None else ', where rows of one group count as one'}."
            )


def read_locations(
    X: Any, coordinates: Sequence[Hashable] | None, crs: Any, groups: Any = None
) -> SampleLocations:
    """Read the coordinates of X; rows at one location or in one group form one unit.

    Raises
    ------
    ValueError
        If the coordinates are missing or invalid, or degrees and projected coordinates are mixed.
    """
    xy, reference, names = locate_coordinates(X, coordinates, crs)
    # X is a whole table, so coordinates that were standardized before splitting are detectable.
    check_coordinates(xy, reference, names, fitting=True)
    labels = None if groups is None else site_labels(groups)
    return SampleLocations(xy, reference, location_ids(xy, labels), (names[0], names[1]))


def nearest_distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distance from each point (n, d) to the nearest of the others (m, d)."""
    return cKDTree(others).query(points, k=1)[0]


def check_distance(name: str, value: Any) -> None:
    """Raise a ValueError that names the parameter unless it is a finite distance of 0 or more."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value) or value < 0:
        raise ValueError(
            f"{name} must be a finite distance of at least 0, in km or units of the CRS; "
            f"found {value!r}."
        )
