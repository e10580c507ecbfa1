"""Image chips in memory: contents of files, their modality, and the error of an unusable one."""

import io
import warnings

import numpy as np
import pytest

from sptgnn_sklearn.images.chip_formats import ChipError
from sptgnn_sklearn.images.chips import read_chip
from sptgnn_sklearn.images.modalities import make_modality
from sptgnn_sklearn.table.image_columns import ImageColumn

rasterio = pytest.importorskip("rasterio")
from rasterio.io import MemoryFile

# Common layouts of GeoTIFF files.
LAYOUTS = [
    {"compress": compress, "interleave": interleave, **tiles}
    for compress in (None, "deflate", "lzw")
    for interleave in ("pixel", "band")
    for tiles in ({}, {"tiled": True, "blockxsize": 16, "blockysize": 16})
]


def geotiff(values, *, descriptions=None, mask=None, **options):
    """Return the bytes of a GeoTIFF with values (bands, height, width)."""
    count, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MemoryFile() as file, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            options = {"dtype": values.dtype, "count": count, **options}
            with file.open(driver="GTiff", width=width, height=height, **options) as dataset:
                dataset.write(values)
                if descriptions:
                    dataset.descriptions = descriptions
                if mask is not None:
                    dataset.write_mask(mask)
            return file.read()


def npy(values):
    """Return the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def modality(name="DEM", n_bands=1, **column):
    """Return the modality of an image column with the given options."""
    return make_modality(name, ImageColumn("path", **column), n_bands)


def counting(*shape, dtype=np.int16):
    """Return an array of distinct, nonzero values."""
    return np.arange(1, np.prod(shape) + 1, dtype=dtype).reshape(shape)


def chip_error(content, what=None, chip_size=None):
    """Return the message of the ChipError that reading a chip raises."""
    with pytest.raises(ChipError) as error:
        read_chip(content, "a.tif", what or modality(), chip_size)
    message = str(error.value)
    assert "\n" not in message and "vsimem" not in message and "chip.tif" not in message
    return message
