"""Writing of GeoTIFF chips, and import of the optional library rasterio."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["MAX_BANDS", "MISSING_EXTRA", "check_band_count", "import_rasterio", "write_chip"]

MISSING_EXTRA = "Images need rasterio and terratorch: pip install 'sptgnn-sklearn[images]'."
# Hyperspectral images have hundreds of bands. A damaged file with more would take minutes to open.
MAX_BANDS = 4096


def import_rasterio() -> Any:
    """Import rasterio with its submodules.

    Raises
    ------
    ImportError
        If rasterio is not installed; the message names the extra.

    Examples
    --------
    >>> from sptgnn_sklearn.images.geotiff_writer import import_rasterio
    >>> import_rasterio().__name__
    'rasterio'
    """
    try:
        import rasterio
        import rasterio.io
        import rasterio.shutil
        import rasterio.warp
    except ImportError as error:
        raise ImportError(MISSING_EXTRA) from error
    return rasterio


def check_band_count(count: int, name: str) -> None:
    """Raise ValueError if a raster declares more than `MAX_BANDS` bands.

    Examples
    --------
    >>> from sptgnn_sklearn.images.geotiff_writer import check_band_count
    >>> check_band_count(12, "s2.tif")
    """
    if count > MAX_BANDS:
        raise ValueError(
            f"raster {name} has {count} bands; at most {MAX_BANDS} are supported. The file may be "
            "damaged."
        )


def write_chip(
    path: str | Path,
    values: np.ndarray,
    *,
    crs: Any,
    transform: Any,
    nodata: float | None = None,
    descriptions: Sequence[str | None] = (),
    mask: np.ndarray | None = None,
) -> None:
    """Write a compressed GeoTIFF atomically.

    Parameters
    ----------
    path : str or Path
        Path in an existing folder.
    values : ndarray of shape (bands, height, width)
    crs : anything rasterio accepts, or None
    transform : affine.Affine
        From pixel corners to coordinates in `crs`.
    nodata : float, default=None
    descriptions : sequence of str or None, default=()
        Band names; empty for none.
    mask : ndarray of bool of shape (height, width), default=None
        Valid pixels, written as an internal mask in addition to the nodata value.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.geotiff_writer import import_rasterio, write_chip
    >>> rasterio = import_rasterio()
    >>> corner = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "dem.tif")
    ...     write_chip(path, np.ones((1, 4, 4)), crs="EPSG:32636", transform=corner)
    ...     with rasterio.open(path) as chip:
    ...         chip.bounds.right
    500040.0
    """
    rasterio = import_rasterio()
    bands, height, width = values.shape
    # GDAL writes to memory, because it reports a full disk late or not at all.
    mask_option: AbstractContextManager[Any] = (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True) if mask is not None else nullcontext()
    )
    with mask_option, rasterio.io.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=bands,
            height=height,
            width=width,
            dtype=values.dtype.name,
            crs=crs,
            transform=transform,
            nodata=nodata,
            compress="deflate",
            interleave="pixel",
            num_threads=1,
        ) as chip:
            chip.write(values)
            for i, text in enumerate(descriptions, start=1):
                if text:
                    chip.set_band_description(i, text)
            if mask is not None:
                chip.write_mask(mask)
        content = memory.read()
    part = f"{path}.{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.remove(part)
        raise
