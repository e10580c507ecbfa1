"""Finished blocks to one file: a cloud-optimised GeoTIFF or a Zarr store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from ..images.geotiff import import_rasterio
from .block_files import BlockFiles
from .covariate_stack import import_xarray, quiet_transforms
from .grid import Grid
from .layers import LAYERS
from .open_rasters import open_raster_file

__all__ = ["WRITERS", "layers_dataset", "open_map", "writer_of"]

_TILE = 512


def writer_of(path: Path) -> str:
    """Return the ending by which a file's writer is chosen.

    Raises
    ------
    ValueError
        If there is none for it.
    ImportError
        If the library that it needs is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f"path={str(path)!r} must end in one of {sorted(WRITERS)}.")
    if suffix == ".zarr":
        try:
            import zarr  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "A map in .zarr needs zarr: pip install 'sptgnn-sklearn[maps]'."
            ) from error
    return suffix


@quiet_transforms()
def layers_dataset(layers: Any, names: tuple[str, ...], grid: Grid, nodata: float) -> Any:
    """Return layers as a Dataset on a grid.

    Parameters
    ----------
    layers : array of shape (n_layers, h, w)
        Of numpy or dask.
    names : tuple of str
    grid : Grid
    nodata : float

    Returns
    -------
    xarray.Dataset
        With the CRS and transform of rioxarray.
    """
    xarray = import_xarray()
    rows, columns = grid.dims
    variables = {
        name: ((rows, columns), layers[i], {"long_name": LAYERS[name]})
        for i, name in enumerate(names)
    }
    made = xarray.Dataset(variables, coords={rows: grid.y, columns: grid.x})
    made = made.rio.set_spatial_dims(columns, rows)
    if grid.crs is not None:
        made = made.rio.write_crs(grid.crs)
    made = made.rio.write_transform(import_rasterio().Affine(*grid.transform))
    for name in names:
        made[name] = made[name].rio.write_nodata(nodata)
    return made


def open_map(path: Path, names: tuple[str, ...], grid: Grid, nodata: float) -> Any:
    """Open a finished map as a Dataset; its values are read when they are needed."""
    if path.suffix.lower() == ".zarr":
        xarray = import_xarray()
        return xarray.open_dataset(
            path,
            engine="zarr",
            chunks=None,
            consolidated=False,
            mask_and_scale=False,
            decode_coords="all",
        )
    opened = open_raster_file(path, masked=False)
    variables = {name: opened[name].assign_attrs(long_name=LAYERS[name]) for name in names}
    return import_xarray().Dataset(variables)


def _write_cog(parts: BlockFiles, path: Path) -> None:
    """Join blocks through a virtual raster, and believe the file only when it has been read."""
    rasterio = import_rasterio()
    mosaic, made = parts.folder / "map.vrt", parts.folder / "map.part"
    mosaic.write_text(_mosaic(parts), encoding="utf-8")
    try:
        rasterio.shutil.copy(
            str(mosaic),
            str(made),
            driver="COG",
            compress="deflate",
            predictor="yes",
            blocksize=_TILE,
            overview_resampling="average",
            bigtiff="if_safer",
            num_threads="all_cpus",
        )
        _compare_written(parts, made)
    except rasterio.errors.RasterioError as error:
        raise OSError(f"{str(path)!r} cannot be written: {error}") from error
    os.replace(made, path)


def _compare_written(parts: BlockFiles, made: Path) -> None:
    """GDAL may not tell that a disk was full: hold the file against its blocks."""
    rasterio = import_rasterio()
    with rasterio.open(made) as file:
        for block in parts.blocks:
            top, bottom, left, right = block
            window = rasterio.windows.Window(left, top, right - left, bottom - top)
            if not np.array_equal(file.read(window=window), parts.read(block), equal_nan=True):
                raise OSError(f"rows {top} to {bottom - 1} were not written as they should be")


def _mosaic(parts: BlockFiles) -> str:
    """Describe all blocks as one virtual raster (GDAL's VRT)."""
    height, width = parts.grid.shape
    transform = parts.grid.transform
    order = (transform[2], transform[0], transform[1], transform[5], transform[3], transform[4])
    lines = [f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">']
    if parts.grid.crs is not None:
        lines.append(f"<SRS>{escape(parts.grid.crs)}</SRS>")
    lines.append(f"<GeoTransform>{', '.join(repr(number) for number in order)}</GeoTransform>")
    for band, name in enumerate(parts.layers, start=1):
        lines.append(f'<VRTRasterBand dataType="Float32" band="{band}">')
        lines.append(f"<Description>{name}</Description>")
        lines.append(f"<NoDataValue>{parts.nodata!r}</NoDataValue>")
        for block in parts.blocks:
            top, bottom, left, right = block
            size = f'xSize="{right - left}" ySize="{bottom - top}"'
            lines.append(
                f'<SimpleSource><SourceFilename relativeToVRT="1">{parts.path(block).name}'
                f"</SourceFilename><SourceBand>{band}</SourceBand>"
                f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{left}" yOff="{top}" {size}/>'
                "</SimpleSource>"
            )
        lines.append("</VRTRasterBand>")
    return "\n".join([*lines, "</VRTDataset>\n"])


def _write_zarr(parts: BlockFiles, path: Path) -> None:
    """Fill a store block by block, then give it its name."""
    import dask.array

    made = parts.folder / "map.zarr.part"
    if made.exists():
        shutil.rmtree(made)
    shape = (len(parts.layers), *parts.grid.shape)
    empty = dask.array.zeros(shape, chunks=(1, _TILE, _TILE), dtype=np.float32)
    template = layers_dataset(empty, parts.layers, parts.grid, parts.nodata)
    template.to_zarr(made, compute=False, consolidated=False)
    rows, columns = parts.grid.dims
    for block in parts.blocks:
        top, bottom, left, right = block
        piece = layers_dataset(parts.read(block), parts.layers, _part(parts.grid, block), np.nan)
        region = {rows: slice(top, bottom), columns: slice(left, right)}
        bare = piece.drop_vars([name for name in piece.coords if name not in region])
        bare.drop_attrs().to_zarr(made, region=region, consolidated=False)
    if path.exists():
        shutil.rmtree(path)
    os.replace(made, path)


def _part(grid: Grid, block: Any) -> Grid:
    top, bottom, left, right = block
    corner = grid.corner_of(block)
    return Grid(grid.x[left:right], grid.y[top:bottom], corner, None, grid.dims)


WRITERS: dict[str, Callable[[BlockFiles, Path], None]] = {
    ".tif": _write_cog,
    ".tiff": _write_cog,
    ".zarr": _write_zarr,
}
