"""Cloud-optimized GeoTIFF, NetCDF file or Zarr store from finished blocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ..images.geotiff_writer import import_rasterio
from ..images.raster import Window
from .block_files import BlockFiles
from .covariate_stack import ignore_affine_warnings, import_xarray
from .grid import Grid
from .map_metadata import MapMetadata
from .open_rasters import open_raster_file

__all__ = ["MAX_NETCDF_CELLS", "WRITERS", "layers_dataset", "open_map"]

_TILE = 512
# Bytes of a variable in the classic format of NetCDF are counted by 32 bits.
MAX_NETCDF_CELLS = (2**31 - 4) // 4
_CONVENTIONS = "CF-1.11"


@ignore_affine_warnings()
def layers_dataset(layers: Any, metadata: MapMetadata, grid: Grid, nodata: float) -> Any:
    """Return layers as a Dataset on a grid.

    Parameters
    ----------
    layers : numpy or dask array of shape (n_layers, h, w)
    metadata : MapMetadata
        Of the layers, in this order.
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
        name: ((rows, columns), layers[i], metadata.attributes(name))
        for i, name in enumerate(metadata.layers)
    }
    dataset = xarray.Dataset(
        variables, coords={rows: grid.y, columns: grid.x}, attrs=dict(metadata.tags)
    )
    dataset = dataset.rio.set_spatial_dims(columns, rows)
    if grid.crs is not None:
        dataset = dataset.rio.write_crs(grid.crs)
    dataset = dataset.rio.write_transform(import_rasterio().Affine(*grid.transform))
    for name in metadata.layers:
        dataset[name] = dataset[name].rio.write_nodata(nodata)
    return dataset


def open_map(path: Path, metadata: MapMetadata) -> Any:
    """Open a written map lazily as a Dataset."""
    suffix = path.suffix.lower()
    if suffix in (".zarr", ".nc"):
        settings: dict[str, Any] = {"engine": "zarr", "consolidated": False}
        if suffix == ".nc":
            settings = {"engine": "scipy"}
        dataset = import_xarray().open_dataset(
            path, chunks=None, mask_and_scale=False, decode_coords="all", **settings
        )
        dataset.attrs.pop("Conventions", None)
        return dataset
    opened = open_raster_file(path, masked=False)
    variables = {}
    for name in metadata.layers:
        nodata = {"_FillValue": opened[name].rio.nodata}
        variables[name] = opened[name].copy()
        variables[name].attrs = metadata.attributes(name) | nodata
    return import_xarray().Dataset(variables, attrs=dict(metadata.tags))


# GDAL's COG driver and not odc-geo's writer: no new dependency, and it reads the blocks from disk.
def _write_cog(block_files: BlockFiles, path: Path, metadata: MapMetadata) -> None:
    """Join the blocks through a virtual raster, and verify the file before it is renamed."""
    rasterio = import_rasterio()
    mosaic, part = block_files.folder / "map.vrt", block_files.folder / "map.part"
    mosaic.write_text(_vrt(block_files, metadata), encoding="utf-8")
    try:
        rasterio.shutil.copy(
            str(mosaic),
            str(part),
            driver="COG",
            compress="deflate",
            predictor="yes",
            blocksize=_TILE,
            overview_resampling="average",
            bigtiff="if_safer",
            num_threads="all_cpus",
        )
        _verify_map(block_files, part)
    except rasterio.errors.RasterioError as error:
        raise OSError(f"{str(path)!r} cannot be written: {error}") from error
    os.replace(part, path)


def _verify_map(block_files: BlockFiles, path: Path) -> None:
    """Raise if a map differs from its blocks: GDAL may not report that the disk is full."""
    rasterio = import_rasterio()
    with rasterio.open(path) as file:
        for block in block_files.blocks:
            top, bottom, left, right = block
            window = rasterio.windows.Window(left, top, right - left, bottom - top)
            expected = block_files.read(block)
            if not np.array_equal(file.read(window=window), expected, equal_nan=True):
                raise OSError(f"rows {top} to {bottom - 1} of the map differ from their blocks")


def _vrt(block_files: BlockFiles, metadata: MapMetadata) -> str:
    """Return the XML of a virtual raster (GDAL's VRT) of all blocks."""
    height, width = block_files.grid.shape
    a, b, c, d, e, f = block_files.grid.transform
    lines = [f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">']
    if block_files.grid.crs is not None:
        lines.append(f"<SRS>{escape(block_files.grid.crs)}</SRS>")
    geotransform = ", ".join(repr(number) for number in (c, a, b, f, d, e))
    lines.append(f"<GeoTransform>{geotransform}</GeoTransform>")
    software = {"TIFFTAG_SOFTWARE": metadata.tags["source"].partition(",")[0]}
    lines.append(_vrt_tags(metadata.tags | software))
    for band, name in enumerate(block_files.layers, start=1):
        lines.append(f'<VRTRasterBand dataType="Float32" band="{band}">')
        lines.append(f"<Description>{escape(name)}</Description>")
        lines.append(f"<NoDataValue>{block_files.nodata!r}</NoDataValue>")
        if name in metadata.units:
            lines.append(f"<UnitType>{escape(metadata.units[name])}</UnitType>")
        lines.append(_vrt_tags({"long_name": metadata.long_names[name]}))
        for block in block_files.blocks:
            top, bottom, left, right = block
            size = f'xSize="{right - left}" ySize="{bottom - top}"'
            file = block_files.path(block).name
            lines.append(
                f'<SimpleSource><SourceFilename relativeToVRT="1">{file}</SourceFilename>'
                f"<SourceBand>{band}</SourceBand>"
                f'<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{left}" yOff="{top}" {size}/>'
                "</SimpleSource>"
            )
        lines.append("</VRTRasterBand>")
    return "\n".join([*lines, "</VRTDataset>\n"])


def _vrt_tags(tags: Mapping[str, str]) -> str:
    entries = [f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>" for key, value in tags.items()]
    return f"<Metadata>{''.join(entries)}</Metadata>"


def _write_netcdf(block_files: BlockFiles, path: Path, metadata: MapMetadata) -> None:
    """Write the classic format, which needs no further library, and holds the map in memory."""
    shape = (len(block_files.layers), *block_files.grid.shape)
    values = np.empty(shape, dtype=np.float32)
    for block in block_files.blocks:
        top, bottom, left, right = block
        values[:, top:bottom, left:right] = block_files.read(block)
    dataset = layers_dataset(values, metadata, block_files.grid, block_files.nodata)
    part = block_files.folder / "map.part"
    dataset.attrs = {"Conventions": _CONVENTIONS} | dataset.attrs
    dataset.to_netcdf(part, engine="scipy", format="NETCDF3_64BIT")
    os.replace(part, path)


def _write_zarr(block_files: BlockFiles, path: Path, metadata: MapMetadata) -> None:
    """Fill a store block by block, then rename it."""
    import dask.array

    part = block_files.folder / "map.zarr.part"
    if part.exists():
        shutil.rmtree(part)
    grid, names = block_files.grid, block_files.layers
    shape = (len(names), *grid.shape)
    empty = dask.array.zeros(shape, chunks=(1, _TILE, _TILE), dtype=np.float32)
    template = layers_dataset(empty, metadata, grid, block_files.nodata)
    template.attrs = {"Conventions": _CONVENTIONS} | template.attrs
    template.to_zarr(part, compute=False, consolidated=False)
    rows, columns = grid.dims
    for block in block_files.blocks:
        top, bottom, left, right = block
        dataset = layers_dataset(block_files.read(block), metadata, _subgrid(grid, block), np.nan)
        region = {rows: slice(top, bottom), columns: slice(left, right)}
        without_coordinates = dataset.drop_vars(
            [name for name in dataset.coords if name not in region]
        )
        without_coordinates.drop_attrs().to_zarr(part, region=region, consolidated=False)
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    os.replace(part, path)


def _subgrid(grid: Grid, block: Window) -> Grid:
    top, bottom, left, right = block
    transform = grid.window_transform(block)
    return Grid(grid.x[left:right], grid.y[top:bottom], transform, None, grid.dims)


WRITERS: dict[str, Callable[[BlockFiles, Path, MapMetadata], None]] = {
    ".nc": _write_netcdf,
    ".tif": _write_cog,
    ".tiff": _write_cog,
    ".zarr": _write_zarr,
}
