"""The grid of a map: cell centers, and the edges of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..images.raster import Window
from ..spatial.crs import SpatialReference, resolve_crs, same_crs, transform_coordinates
from ..spatial.distances import radians_per_unit

__all__ = [
    "Grid",
    "block_edges",
    "block_windows",
    "cell_centers",
    "describe_difference",
    "full_turn",
    "shift_longitudes",
]

# Enough rows for the network's batches, in columns of some ten MB.
_MAX_BLOCK_CELLS = 2**18
_BLOCK_SIDE = 512
_GRID_TOLERANCE = 1e-3  # fraction of a cell by which equal grids may differ


# Not odc-geo's GeoBox: a new dependency, and it recomputes coordinates instead of keeping them.
@dataclass(frozen=True)
class Grid:
    """Grid of cells with rows and columns along the axes of its CRS.

    Attributes
    ----------
    x, y : ndarray of shape (n_columns,), (n_rows,)
        Cell centers.
    transform : tuple of 6 float
        Coefficients from (column, row) to coordinates, in the order of `affine.Affine`.
    crs : str or None
        Well-known text or authority code; None if unknown.
    dims : pair of str
        Names of the dimensions of rows and columns.
    """

    x: np.ndarray
    y: np.ndarray
    transform: tuple[float, ...]
    crs: str | None
    dims: tuple[str, str] = ("y", "x")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y), len(self.x)

    def window_transform(self, window: Window) -> tuple[float, ...]:
        """Return the transform of a window of the grid."""
        a, b, c, d, e, f = self.transform
        top, _, left, _ = window
        return (a, b, c + a * left + b * top, d, e, f + d * left + e * top)


def describe_difference(one: Grid, other: Grid) -> str | None:
    """Return how two grids differ, or None if their cells are the same.

    A grid without a CRS matches any CRS.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.grid import Grid, describe_difference
    >>> small = Grid(np.arange(4.0), np.arange(3.0), (1, 0, -0.5, 0, 1, -0.5), "EPSG:28992")
    >>> wide = Grid(np.arange(9.0), np.arange(3.0), (1, 0, -0.5, 0, 1, -0.5), None)
    >>> describe_difference(small, wide)
    'shape 3 x 4 against 3 x 9'
    """
    differences = []
    if one.shape != other.shape:
        differences.append(f"shape {_format_shape(one)} against {_format_shape(other)}")
    cell = min(abs(one.transform[0]), abs(one.transform[4]))
    # An error of the cell size adds up over all columns and rows.
    steps = np.array([len(one.x), 1, 1, 1, len(one.y), 1])
    offset = np.abs(np.subtract(one.transform, other.transform)) * steps
    if (offset > _GRID_TOLERANCE * cell).any():
        differences.append(f"transform {_format_transform(one)} against {_format_transform(other)}")
    if one.crs and other.crs and not same_crs(one.crs, other.crs, known_datum=False):
        names = [resolve_crs(crs, []).crs for crs in (one.crs, other.crs)]
        differences.append(f"CRS {str(names[0])[:60]} against {str(names[1])[:60]}")
    return ", ".join(differences) or None


def full_turn(reference: SpatialReference | None) -> float | None:
    """Return 360 degrees in the unit of a geographic CRS; None for any other."""
    if reference is None or not reference.geographic:
        return None
    return 2 * np.pi / radians_per_unit(reference.crs)


def cell_centers(
    x: np.ndarray, y: np.ndarray, crs: str | None, reference: SpatialReference | None
) -> np.ndarray:
    """Return cell centers in the CRS of a model.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Centers in the CRS of the grid.
    crs : str or None
        CRS of the grid.
    reference : SpatialReference or None
        That of the model's coordinates. If either is unknown, centers are returned as they are.

    Returns
    -------
    ndarray of shape (n, 2)
        NaN where a location lies outside the domain of the model's CRS.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> from sptgnn_sklearn.maps.grid import cell_centers
    >>> wgs84 = resolve_crs("EPSG:4326", [])
    >>> cell_centers(np.array([155000.0]), np.array([463000.0]), "EPSG:28992", wgs84).round(3)
    array([[ 5.387, 52.155]])
    """
    xy = np.column_stack([x, y]).astype(np.float64)
    if crs is None or reference is None or reference.crs is None:
        return xy
    if same_crs(crs, reference.crs):
        return xy
    transformed = transform_coordinates(xy, crs, reference)
    return np.where(np.isfinite(transformed).all(axis=1, keepdims=True), transformed, np.nan)


def shift_longitudes(xy: np.ndarray, reference: SpatialReference | None) -> np.ndarray:
    """Return coordinates with longitudes outside -180 to 360 shifted by 360.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.grid import shift_longitudes
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> shift_longitudes(np.array([[350.0, 9.0], [370.0, 9.0]]), resolve_crs(4326, [])).tolist()
    [[350.0, 9.0], [10.0, 9.0]]
    """
    turn = full_turn(reference)
    if turn is None:
        return xy
    margin = 1e-9 * turn
    outside = (xy[:, 0] < -turn / 2 - margin) | (xy[:, 0] > turn + margin)
    if not outside.any():
        return xy
    shifted = xy.copy()
    shifted[outside, 0] = (xy[outside, 0] + turn / 2) % turn - turn / 2
    return shifted


def block_edges(
    shape: tuple[int, int], tile: tuple[int, int] | None, side: int | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the edges of blocks that consist of whole tiles of the raster.

    Parameters
    ----------
    shape : pair of int
        Rows and columns.
    tile : pair of int or None
        Rows and columns of a stored tile; None if unknown.
    side : int or None
        Approximate height and width of a block in cells; None is about 512, or full rows of a
        raster that is stored in rows.

    Returns
    -------
    rows, columns : tuple of int
        From 0 to the number of rows and of columns.

    Examples
    --------
    >>> from sptgnn_sklearn.maps.grid import block_edges
    >>> block_edges((1000, 700), (256, 256), None)
    ((0, 512, 1000), (0, 512, 700))
    >>> block_edges((1000, 700), (1, 700), None)
    ((0, 374, 748, 1000), (0, 700))
    """
    height, width = tile or (1, 1)
    if side is None and tile is not None and width >= shape[1]:
        steps = _floor_to_multiple(_MAX_BLOCK_CELLS // max(shape[1], 1), height), shape[1]
    else:
        side = side or _BLOCK_SIDE
        steps = (
            _floor_to_multiple(side, height),
            _floor_to_multiple(side, min(width, shape[1])),
        )
    rows, columns = (
        (*range(0, length, step), length) for length, step in zip(shape, steps, strict=True)
    )
    return rows, columns


def block_windows(rows: Sequence[int], columns: Sequence[int]) -> list[Window]:
    """Return the blocks between the edges, row by row.

    Examples
    --------
    >>> from sptgnn_sklearn.maps.grid import block_windows
    >>> block_windows((0, 4, 6), (0, 5))
    [(0, 4, 0, 5), (4, 6, 0, 5)]
    """
    return [
        (top, bottom, left, right)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _floor_to_multiple(value: int, step: int) -> int:
    """Return the largest multiple of a step up to a value, and at least one step."""
    return max(1, value // step) * step


def _format_shape(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))


def _format_transform(grid: Grid) -> str:
    return "(" + ", ".join(f"{number:.10g}" for number in grid.transform) + ")"
