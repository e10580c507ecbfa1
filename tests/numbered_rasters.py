"""Rasters whose pixel values encode their position, and points in given pixels."""

import warnings

import numpy as np
import pandas as pd
import pytest

rasterio = pytest.importorskip("rasterio")

GRID = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
UTM = "EPSG:32636"


def make_raster(path, values, crs=UTM, transform=GRID, **options):
    """Write a tiled raster of several blocks."""
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "crs": crs} | options
    names = profile.pop("descriptions", ())
    mask = profile.pop("mask", None)
    bands, height, width = values.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=bands,
            height=height,
            width=width,
            dtype=values.dtype,
            transform=transform,
            **profile,
        ) as raster,
    ):
        raster.write(values)
        raster.descriptions = list(names) or [None] * bands
        if mask is not None:
            raster.write_mask(mask)
    return path


def numbered(bands=1, height=60, width=50, dtype="int32"):
    """Return pixels with the value 10,000 band + 100 row + column."""
    band, row, column = np.indices((bands, height, width))
    return (10_000 * (band + 1) + 100 * row + column).astype(dtype)


def points(*pixels):
    """Return a table of the centers of some pixels of `GRID`, given by row and column."""
    rows, columns = np.array(pixels, dtype=float).T
    return pd.DataFrame({"x": 500_005 + 10 * columns, "y": 4_999_995 - 10 * rows, "clay": 0.2})


def read_raster(path):
    """Return the pixels (bands, height, width) of a file."""
    with rasterio.open(path) as chip:
        return chip.read()


def as_array(path, chunks=None):
    """Open a raster as an xarray.DataArray."""
    rioxarray = pytest.importorskip("rioxarray")
    with warnings.catch_warnings():
        # rioxarray uses a deprecated operator of affine.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return rioxarray.open_rasterio(path, chunks=chunks)
