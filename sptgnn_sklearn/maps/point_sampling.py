"""Values of a raster band at points: nearest cell, bilinear interpolation, or mean of a window."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from ..spatial.crs import SpatialReference
from ..spatial.distances import EARTH_RADIUS_KM, radians_per_unit
from .covariate_stack import decode_band
from .grid import full_turn

__all__ = ["RasterBand", "SampledBand", "Window2D", "sample_band"]

_EDGE_TOLERANCE = 1e-7  # in cells; coordinates of an edge are computed with rounding
_DEFAULT_TILE = (512, 512)  # of arrays without stored tiles, of which a part is a view
_BATCH_CELLS = 2**22
_MAX_WINDOW_CELLS = 2**16
_METERS_IN_KM = 1000.0


@dataclass(frozen=True)
class RasterBand:
    """One band of a raster, on any grid.

    Attributes
    ----------
    name : label
        Column of its values.
    origin : str
        Name of the raster in messages.
    array : xarray.DataArray
        With the dimensions (rows, columns); in memory, of dask, or read lazily.
    transform : tuple of 6 float
        Coefficients from (column, row) to coordinates; rows may run north, and be rotated.
    reference : SpatialReference or None
    fill : tuple of numbers or None
        Values that stand for missing data.
    path : str or None
        File that it was opened from.
    """

    name: Hashable
    origin: str
    array: Any
    transform: tuple[float, ...]
    reference: SpatialReference | None
    fill: tuple[float, ...] | None
    path: str | None

    @property
    def is_geographic(self) -> bool:
        """Whether the columns and rows are longitudes and latitudes."""
        return self.reference is not None and self.reference.geographic

    @property
    def wraps(self) -> bool:
        """Whether the first column follows the last one around the earth."""
        turn = full_turn(self.reference)
        a, b, _, d, _, _ = self.transform
        if turn is None or b or d:
            return False
        return bool(abs(abs(a) * self.array.shape[1] - turn) < 0.01 * abs(a))


@dataclass(frozen=True)
class Window2D:
    """Window around a point: cells on each side of its own, or meters on each side of the point.

    Attributes
    ----------
    cells : int or None
        Odd number of rows and columns.
    meters : float or None
        Side of a square around the point; the cells with their center in it count.
    """

    cells: int | None = 3
    meters: float | None = None


@dataclass(frozen=True)
class SampledBand:
    """Values of a band at points.

    Attributes
    ----------
    values : ndarray of shape (n,)
        NaN, or None in text, where they are missing.
    inside : ndarray of shape (n,) of bool
        Whether the point lies in the raster.
    missing : ndarray of shape (n,) of bool
        Whether the value is missing although the point lies in the raster.
    n_distinct : int
        Number of distinct values in the cells of the points, at most 100.
    """

    values: np.ndarray
    inside: np.ndarray
    missing: np.ndarray
    n_distinct: int


def sample_band(band: RasterBand, xy: np.ndarray, method: str, window: Window2D) -> SampledBand:
    """Return the values of a band at points.

    A value is missing where the cell that contains the point is. Other missing cells do not count.

    Parameters
    ----------
    band : RasterBand
    xy : ndarray of shape (n, 2)
        In the CRS of the band; not finite where there is no such location.
    method : {"nearest", "bilinear", "mean"}
    window : Window2D
        For "mean".

    Raises
    ------
    ValueError
        If a window has too many cells, or meters have no meaning in the CRS.
    OSError
        If the raster cannot be read.
    """
    position = _cell_position(band, xy)
    inside = np.isfinite(position).all(axis=1)
    position = position[inside]
    tiles = np.minimum(position.astype(np.int64), np.array(band.array.shape) - 1) // _tile(band)
    order = np.lexsort((tiles[:, 1], tiles[:, 0]))  # a batch reads few tiles
    neighbors = _Neighborhood(band, method, window, xy[inside])
    batch_rows = max(1, _BATCH_CELLS // (neighbors.n_cells + 1))
    centers: list[np.ndarray] = []
    means: list[np.ndarray] = []
    for batch in gen_batches(len(order), batch_rows) if len(order) else []:
        rows = order[batch]
        center, mean = _sample_batch(band, neighbors, position[rows], rows)
        centers.append(center)
        means.append(mean)
    found = np.concatenate(centers) if centers else np.empty(0, dtype=np.float64)
    present = ~_is_missing(found)
    distinct = len({*found[present][:10_000].tolist()}) if present.any() else 0
    values = found if method == "nearest" else np.concatenate(means) if means else found
    by_point = np.empty_like(values)
    by_point[order] = values
    missing = np.zeros(len(xy), dtype=bool)
    missing[np.flatnonzero(inside)[order]] = ~present
    return SampledBand(_scatter(by_point, inside), inside, missing, min(distinct, 100))


def _cell_position(band: RasterBand, xy: np.ndarray) -> np.ndarray:
    """Return fractional row and column (n, 2), from 0 at the outer edges; NaN outside."""
    shape = np.array(band.array.shape)
    finite = np.isfinite(xy).all(axis=1, keepdims=True)
    x, y = np.where(finite, xy, np.nan).T
    turn = full_turn(band.reference)
    result = np.full(xy.shape, np.nan)
    # Longitudes may range from 0 to 360 in the raster and from -180 to 180 in the table.
    for shift in (0.0,) if turn is None else (0.0, -turn, turn):
        position = _to_cells(band.transform, x + shift, y)
        whole = np.round(position)
        position = np.where(np.abs(position - whole) < _EDGE_TOLERANCE, whole, position)
        is_inside = ((position >= 0) & (position <= shape)).all(axis=1)
        is_new = is_inside & np.isnan(result[:, 0])
        result[is_new] = position[is_new]
    return result


def _to_cells(transform: tuple[float, ...], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = transform
    east, north, area = x - c, y - f, a * e - b * d
    return np.column_stack([(a * north - d * east) / area, (e * east - b * north) / area])


class _Neighborhood:
    """Cells around points and their weights; the cell of the point itself comes first."""

    def __init__(self, band: RasterBand, method: str, window: Window2D, xy: np.ndarray) -> None:
        self._shape = np.array(band.array.shape)
        self._wraps = band.wraps
        self._method = method
        self._offsets = np.zeros((0, 2), dtype=np.int64)
        self._half: np.ndarray | None = None
        self._transform = band.transform
        if method == "bilinear":
            self._offsets = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        elif method == "mean":
            reach = self._reach_of_window(band, window, xy)
            counts = 2 * reach + 1
            if int(counts[0]) * int(counts[1]) > _MAX_WINDOW_CELLS:
                raise ValueError(
                    f"the window of {counts[0]} x {counts[1]} cells of raster {band.origin} is too "
                    f"large; at most {_MAX_WINDOW_CELLS} cells are averaged at a point. Use a "
                    "smaller window, or a coarser raster."
                )
            row, column = (np.arange(-n, n + 1) for n in reach.tolist())
            self._offsets = np.stack(np.meshgrid(row, column, indexing="ij"), -1).reshape(-1, 2)
        self.n_cells = len(self._offsets)

    def _reach_of_window(self, band: RasterBand, window: Window2D, xy: np.ndarray) -> np.ndarray:
        """Return the rows and columns on each side, and store half sides in units of the CRS."""
        if window.meters is None:
            return np.full(2, (window.cells or 1) // 2)
        self._half = _units_of_meters(band, xy, window.meters / 2)
        a, b, _, d, e, _ = self._transform
        far = self._half.max(axis=0) if len(xy) else np.zeros(2)
        area = abs(a * e - b * d)
        rows = (abs(d) * far[0] + abs(a) * far[1]) / area
        columns = (abs(e) * far[0] + abs(b) * far[1]) / area
        # The point may lie anywhere in its cell, and no window exceeds the raster.
        reach = np.ceil(np.array([rows, columns]) + 0.5)
        return np.minimum(reach, self._shape).astype(np.int64)

    def __call__(
        self, position: np.ndarray, point: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows and columns (n, 1 + k), and weights (n, k) of all but the first."""
        own = np.minimum(np.floor(position).astype(np.int64), self._shape - 1)
        if self._method == "bilinear":
            # Snapped like the edges: a cell center must give exactly the value of the cell.
            from_center = position - 0.5
            whole = np.round(from_center)
            snapped = np.abs(from_center - whole) < _EDGE_TOLERANCE
            from_center = np.where(snapped, whole, from_center)
            first = np.floor(from_center).astype(np.int64)
            part = from_center - first
            ends = np.stack([1 - part, part], axis=-1)  # (n, axis, end)
            cells = first[:, None, :] + self._offsets
            weights = ends[:, 0, self._offsets[:, 0]] * ends[:, 1, self._offsets[:, 1]]
            cells, _ = self._clip(cells)
        else:
            cells, valid = self._clip(own[:, None, :] + self._offsets)
            weights = valid.astype(np.float64)
            if self._half is not None and self.n_cells:
                weights *= self._in_square(own, position, point)
        cells = np.concatenate([own[:, None, :], cells], axis=1)
        return cells[..., 0], cells[..., 1], weights

    def _clip(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._wraps:
            cells = np.stack([cells[..., 0], cells[..., 1] % self._shape[1]], axis=-1)
        clipped = np.clip(cells, 0, self._shape - 1)
        return clipped, (clipped == cells).all(axis=-1)

    def _in_square(self, own: np.ndarray, position: np.ndarray, point: np.ndarray) -> np.ndarray:
        """Return whether cell centers (n, k) are within the square, or are the point's own."""
        assert self._half is not None
        a, b, _, d, e, _ = self._transform
        row, column = np.moveaxis((own - position + 0.5)[:, None, :] + self._offsets, -1, 0)
        half = self._half[point][:, None, :] * (1 + 1e-9)
        near = np.abs(a * column + b * row) <= half[..., 0]
        near &= np.abs(d * column + e * row) <= half[..., 1]
        return near | (self._offsets == 0).all(axis=-1)


def _units_of_meters(band: RasterBand, xy: np.ndarray, meters: float) -> np.ndarray:
    """Return a length in units of the CRS, eastward and northward at each point (n, 2)."""
    reference = band.reference
    if reference is None or reference.crs is None:
        raise ValueError(
            f"window_m={2 * meters:g}: raster {band.origin} has no CRS, so its unit is unknown. "
            "Pass window in cells, or write the CRS into the raster (dataset.rio.write_crs)."
        )
    if not reference.geographic:
        import pyproj

        axis = pyproj.CRS.from_user_input(reference.crs).axis_info[0]
        return np.full(xy.shape, meters / axis.unit_conversion_factor)
    radians = radians_per_unit(reference.crs)
    north = meters / (EARTH_RADIUS_KM * _METERS_IN_KM) / radians
    cosine = np.maximum(np.cos(xy[:, 1] * radians), 1e-3)  # a parallel near a pole is short
    return np.column_stack([north / cosine, np.full(len(xy), north)])


def _sample_batch(
    band: RasterBand, neighbors: _Neighborhood, position: np.ndarray, point: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of the cell of each point, and the weighted mean around it."""
    rows, columns, weights = neighbors(position, point)
    cells = decode_band(_read_cells(band, rows.ravel(), columns.ravel()), band.fill)
    cells = cells.reshape(rows.shape)
    center = cells[:, 0]
    if not neighbors.n_cells:
        return center, center
    around = cells[:, 1:].astype(np.float64)
    weights = np.where(np.isnan(around), 0.0, weights)
    total = weights.sum(axis=1)
    mean = (weights * np.where(np.isnan(around), 0.0, around)).sum(axis=1)
    mean = np.divide(mean, total, out=np.full(len(mean), np.nan), where=total > 0)
    return center, np.where(_is_missing(center), np.nan, mean)


def _read_cells(band: RasterBand, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the stored values of cells (n,), read tile by tile."""
    if band.array.chunks is not None:
        return np.asanyarray(band.array.data.vindex[rows, columns].compute())
    out: np.ndarray | None = None
    for index in _group_by_tile(rows, columns, _tile(band)):
        top, left = int(rows[index].min()), int(columns[index].min())
        bottom, right = int(rows[index].max()) + 1, int(columns[index].max()) + 1
        values = _read_part(band, top, bottom, left, right)
        found = values[rows[index] - top, columns[index] - left]
        if out is None:
            out = np.empty(len(rows), dtype=found.dtype)
            if isinstance(found, np.ma.MaskedArray):
                out = np.ma.masked_all(len(rows), dtype=found.dtype)
        out[index] = found
    return np.empty(0, dtype=band.array.dtype) if out is None else out


def _group_by_tile(rows: np.ndarray, columns: np.ndarray, tile: np.ndarray) -> Iterator[np.ndarray]:
    keys = (rows // tile[0]) * (int(columns.max(initial=0)) // tile[1] + 1) + columns // tile[1]
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(np.diff(keys[order])) + 1
    return iter(part for part in np.split(order, borders) if len(part))


def _read_part(band: RasterBand, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    row_dim, column_dim = band.array.dims
    part = band.array.isel({row_dim: slice(top, bottom), column_dim: slice(left, right)})
    try:
        return part.data if isinstance(part.data, np.ma.MaskedArray) else part.to_numpy()
    except Exception as error:  # the class depends on the library that reads the raster
        if not type(error).__module__.startswith("rasterio"):
            raise
        raise OSError(
            f"raster {band.origin} cannot be read in rows {top} to {bottom - 1}, columns {left} to "
            f"{right - 1}: {error}"
        ) from error


def _tile(band: RasterBand) -> np.ndarray:
    if band.array.chunks is not None:
        return np.array([max(sizes) for sizes in band.array.chunks])
    stored = band.array.encoding.get("preferred_chunks") or {}
    return np.array(
        [
            max(1, int(stored.get(dim, size)))
            for dim, size in zip(band.array.dims, _DEFAULT_TILE, strict=True)
        ]
    )


def _is_missing(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "fM":
        return values != values
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values], dtype=bool)
    return np.zeros(values.shape, dtype=bool)


def _scatter(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return values of all points; those outside are NaN, or None in text."""
    if inside.all():
        return values
    kind = values.dtype.kind
    if kind in "OUT":
        out: np.ndarray = np.full(len(inside), None, dtype=object)
    elif kind == "M":
        out = np.full(len(inside), np.datetime64("NaT"), dtype=values.dtype)
    else:
        out = np.full(len(inside), np.nan, dtype=values.dtype if kind == "f" else np.float64)
    out[inside] = values
    return out
