"""Rasters on another grid, warped lazily by GDAL to the grid of a map."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..images.geotiff_writer import import_rasterio
from ..spatial.crs import resolve_crs, same_crs
from .covariate_stack import ignore_affine_warnings, import_xarray
from .grid import Grid, full_turn

__all__ = ["RESAMPLING", "check_resample", "choose_resampling", "open_resampled"]

RESAMPLING = ("nearest", "bilinear", "average")
# Equal for both rasters, so that nothing is transformed.
_UNKNOWN_PLANE = "EPSG:3857"
# GDAL estimates the kernel of a coarser grid for each window otherwise, and it is not exact there.
_FOUR_CELLS = {"XSCALE": "1", "YSCALE": "1"}
_LOWEST_FLOAT32 = float(np.finfo(np.float32).min)  # the usual undeclared nodata value
_WARP_TOLERANCE = 1e-6  # of transformed coordinates, in cells
_SMALL_INTEGERS = 2  # bytes of integers that single precision holds exactly


def check_resample(resample: Any) -> None:
    """Raise ValueError unless a resampling is None, a method, or a mapping of column to method.

    Examples
    --------
    >>> from sptgnn_sklearn.maps.resampling import check_resample
    >>> check_resample({"dem": "bilinear"})
    >>> check_resample("cubic")
    Traceback (most recent call last):
        ...
    ValueError: resample='cubic' must be one of ['nearest', 'bilinear', 'average'], a mapping ...
    """
    methods = [*resample.values()] if isinstance(resample, Mapping) else [resample]
    for method in methods:
        known = isinstance(method, str) and method in RESAMPLING
        if not known and not (method is None and method is resample):
            raise ValueError(
                f"resample={resample!r} must be one of {list(RESAMPLING)}, a mapping of columns to "
                "these, or None."
            )


def choose_resampling(
    resample: Any, label: Hashable, categorical: Iterable[Hashable]
) -> str | None:
    """Return the resampling of a column; None if none is requested.

    Parameters
    ----------
    resample : str, mapping of label to str, or None
    label : label
    categorical : iterable of labels
        Columns of categories, which one method for all columns leaves at "nearest".

    Raises
    ------
    ValueError
        If a mapping names another method than "nearest" for categories.
    """
    is_category = label in set(categorical)
    if not isinstance(resample, Mapping):
        return "nearest" if is_category and resample is not None else resample
    method = resample.get(label)
    if is_category and method not in (None, "nearest"):
        raise ValueError(
            f"resample[{label!r}]={method!r}, but the column holds categories, whose codes have no "
            "mean: use 'nearest'."
        )
    return method


@ignore_affine_warnings()
def open_resampled(
    path: str,
    numbers: Sequence[int],
    grid: Grid,
    method: str,
    mask_and_scale: bool = False,
) -> list[Any]:
    """Open bands of a raster lazily on another grid.

    A cell depends on its own location only, not on the window in which it is read; "bilinear" uses
    the four cells around it, also on a coarser grid.

    Parameters
    ----------
    path : str
    numbers : sequence of int
        Bands from 1.
    grid : Grid
    method : {"nearest", "bilinear", "average"}
    mask_and_scale : bool, default=False

    Returns
    -------
    list of xarray.DataArray
        With the coordinates of the grid; NaN where the raster has no data, and outside of it.

    Raises
    ------
    ValueError
        If the CRS of one of the grids is unknown, or they do not overlap.
    """
    rasterio = import_rasterio()
    import_xarray()
    import rioxarray
    from rasterio.vrt import WarpedVRT

    with rasterio.open(path) as file:
        source_crs, target_crs = _common_crs(file, grid, path)
        _check_overlap(file, source_crs, target_crs, grid, path)
        dtypes = [np.dtype(file.dtypes[number - 1]) for number in numbers]
        nodata = file.nodata
        if nodata is None and dtypes[0].kind == "f":
            nodata = _LOWEST_FLOAT32
        settings = {
            "src_crs": source_crs,
            "crs": target_crs,
            "transform": rasterio.Affine(*grid.transform),
            "height": grid.shape[0],
            "width": grid.shape[1],
            "resampling": rasterio.enums.Resampling[method],
            "tolerance": _WARP_TOLERANCE,
            "src_nodata": nodata,
            "nodata": np.nan,
            "dtype": max(map(_float_type, dtypes), key=lambda name: np.dtype(name).itemsize),
        }
        if method == "bilinear":
            settings |= _FOUR_CELLS
        with WarpedVRT(file, **settings) as warped:
            array: Any = rioxarray.open_rasterio(
                warped, masked=True, mask_and_scale=mask_and_scale, cache=False
            )
    bands = []
    for number in numbers:
        band = array.isel(band=number - 1, drop=True)
        band = band.rename({"y": grid.dims[0], "x": grid.dims[1]})
        band = band.assign_coords({grid.dims[0]: grid.y, grid.dims[1]: grid.x})
        band.attrs = {}
        bands.append(band)
    return bands


def _float_type(dtype: np.dtype) -> str:
    exact = dtype.kind in "iu" and dtype.itemsize <= _SMALL_INTEGERS
    return "float32" if exact or dtype.name in ("float32", "float16", "bool") else "float64"


def _common_crs(file: Any, grid: Grid, path: str) -> tuple[str, str]:
    """Return the CRS of a file and of the grid; equal text if they are the same."""
    stored = file.crs.to_wkt(version="WKT2_2019") if file.crs else None
    if stored is None and grid.crs is None:
        return _UNKNOWN_PLANE, _UNKNOWN_PLANE
    if stored is None or grid.crs is None:
        which = f"raster {path!r} has" if stored is None else "the grid of the map has"
        raise ValueError(
            f"{which} no CRS, so raster {path!r} cannot be resampled: write one into the file, for "
            "example with rio edit-info --crs or dataset.rio.write_crs."
        )
    target = str(grid.crs)
    return (target if same_crs(stored, target, known_datum=False) else stored), target


def _check_overlap(file: Any, source_crs: str, target_crs: str, grid: Grid, path: str) -> None:
    """Raise ValueError if a raster covers no part of the grid, or only with other longitudes."""
    rasterio = import_rasterio()
    bounds = file.bounds
    if source_crs != target_crs:
        bounds = rasterio.warp.transform_bounds(source_crs, target_crs, *bounds)
    a, _, c, _, e, f = grid.transform
    ends = sorted([c, c + a * grid.shape[1]]), sorted([f, f + e * grid.shape[0]])
    west, east = sorted([bounds[0], bounds[2]])
    south, north = sorted([bounds[1], bounds[3]])
    in_rows = south < ends[1][1] and north > ends[1][0]

    def overlap(shift: float) -> float:
        return min(east + shift, ends[0][1]) - max(west + shift, ends[0][0])

    turn = full_turn(resolve_crs(target_crs, [])) if source_crs == target_crs else None
    tolerance = abs(a) / 2
    if in_rows and turn and max(overlap(turn), overlap(-turn)) > tolerance:
        raise ValueError(
            f"raster {path!r} has longitudes from {west:g} to {east:g}, and the map from "
            f"{ends[0][0]:g} to {ends[0][1]:g}, which overlap after a shift by {turn:g}: shift the "
            "longitudes of one of them first (gdalwarp -t_srs with CENTER_LONG, or assign_coords)."
        )
    if not in_rows or not overlap(0.0) > 0:
        raise ValueError(
            f"raster {path!r} does not overlap the grid of the map: check its CRS, or leave it out."
        )
