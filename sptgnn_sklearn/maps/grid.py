"""The cells of a map: where their centres are, and in which blocks they are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..images.raster import Window
from ..spatial.crs import SpatialReference, resolve_crs, transform_coordinates

__all__ = ["Grid", "block_edges", "cell_centers", "describe_difference", "windows"]

_MAX_BLOCK_CELLS = (
    2**18
)  # of a block, about: enough for the network's batches, and some ten MB of columns
_SIDE = 512
_SAME_PLACE = 1e-3  # of a cell: farther apart are two grids


@dataclass(frozen=True)
class Grid:
    """A grid of cells, its rows and columns along the axes of its reference system.

    Attributes
    ----------
    x, y : ndarray of shape (n_columns,), (n_rows,)
        Centres of the cells.
    transform : tuple of 6 float
        (column, row) to coordinates, as `affine.Affine` has them.
    crs : str or None
        Well-known text or authority code; None is not known.
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

    def corner_of(self, window: Window) -> tuple[float, ...]:
        """Transform of a window of the grid."""
        a, b, c, d, e, f = self.transform
        top, _, left, _ = window
        return (a, b, c + a * left + b * top, d, e, f + d * left + e * top)


def describe_difference(one: Grid, other: Grid) -> str | None:
    """Say in what two grids differ, or return None if their cells are the same.

    A grid without a reference system is taken to be in that of the other.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.grid import Grid, describe_difference
    >>> fine = Grid(np.arange(4.0), np.arange(3.0), (1, 0, -0.5, 0, 1, -0.5), "EPSG:28992")
    >>> wide = Grid(np.arange(9.0), np.arange(3.0), (1, 0, -0.5, 0, 1, -0.5), None)
    >>> describe_difference(fine, wide)
    'shape 3 x 4 against 3 x 9'
    """
    found = []
    if one.shape != other.shape:
        found.append(f"shape {_size(one)} against {_size(other)}")
    cell = min(abs(one.transform[0]), abs(one.transform[4]))
    # What a step is off counts as often as there are steps.
    reach = np.array([len(one.x), 1, 1, 1, len(one.y), 1])
    away = np.abs(np.subtract(one.transform, other.transform)) * reach
    if (away > _SAME_PLACE * cell).any():
        found.append(f"transform {_numbers(one)} against {_numbers(other)}")
    if one.crs and other.crs and resolve_crs(one.crs, []) != resolve_crs(other.crs, []):
        names = [resolve_crs(crs, []).crs for crs in (one.crs, other.crs)]
        found.append(f"CRS {str(names[0])[:60]} against {str(names[1])[:60]}")
    return ", ".join(found) or None


def cell_centers(
    x: np.ndarray, y: np.ndarray, crs: str | None, frame: SpatialReference | None
) -> np.ndarray:
    """Return cell centres in the frame of a model.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Centres in the grid's system.
    crs : str or None
        Of the grid.
    frame : Frame or None
        Of the model's coordinates. Where either is not known, centres stay as they are.

    Returns
    -------
    ndarray of shape (n, 2)
        NaN where a place cannot be expressed in the frame.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> from sptgnn_sklearn.maps.grid import cell_centres
    >>> frame = resolve_crs("EPSG:4326", [])
    >>> cell_centres(np.array([155000.0]), np.array([463000.0]), "EPSG:28992", frame).round(3)
    array([[ 5.387, 52.155]])
    """
    xy = np.column_stack([x, y]).astype(np.float64)
    if crs is None or frame is None or frame.crs is None or resolve_crs(crs, []) == frame:
        return xy
    moved = transform_coordinates(xy, crs, frame)
    return np.where(np.isfinite(moved).all(axis=1, keepdims=True), moved, np.nan)


def block_edges(
    shape: tuple[int, int], tile: tuple[int, int] | None, side: int | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choose where blocks begin and end, so that they hold whole tiles of the raster.

    Parameters
    ----------
    shape : pair of int
        Rows and columns.
    tile : pair of int or None
        Rows and columns of a tile as the raster is stored; None is not known.
    side : int or None
        About so many cells on a side are wanted; None is about 512, or full rows where a raster is
        stored in rows.

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
        steps = _is_whole(_MAX_BLOCK_CELLS // max(shape[1], 1), height), shape[1]
    else:
        steps = _is_whole(side or _SIDE, height), _is_whole(side or _SIDE, min(width, shape[1]))
    rows, columns = (
        (*range(0, length, step), length) for length, step in zip(shape, steps, strict=True)
    )
    return rows, columns


def windows(rows: Sequence[int], columns: Sequence[int]) -> list[Window]:
    """Return the blocks between the edges, row by row.

    Examples
    --------
    >>> from sptgnn_sklearn.maps.grid import windows
    >>> windows((0, 4, 6), (0, 5))
    [(0, 4, 0, 5), (4, 6, 0, 5)]
    """
    return [
        (top, bottom, left, right)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _is_whole(wanted: int, step: int) -> int:
    """Return the multiple of a step that is next below what is wanted, at least one step."""
    return max(1, wanted // step) * step


def _size(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))


def _numbers(grid: Grid) -> str:
    return "(" + ", ".join(f"{number:.10g}" for number in grid.transform) + ")"
