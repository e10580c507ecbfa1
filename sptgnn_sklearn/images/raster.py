"""Raster metadata and window reading for files, rasterio datasets and xarray arrays."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .geotiff_writer import check_band_count, import_rasterio
from .modalities import band_name

__all__ = ["Raster", "RasterOpener", "ReadWindow", "Window", "array_transform", "open_raster"]

_READ_BLOCK = (512, 512)  # block size assumed for arrays without chunks
# Start and stop of rows, then of columns, of a window inside the raster.
Window = tuple[int, int, int, int]
# Pixels of a window and, if the raster has a mask, which of them are valid.
ReadWindow = Callable[[Window], tuple[np.ndarray, np.ndarray | None]]
RasterOpener = Callable[[], contextlib.AbstractContextManager[ReadWindow]]


@dataclass(frozen=True)
class Raster:
    """Metadata of a raster file, dataset or array.

    `transform` maps (column, row) to coordinates by its first six numbers. `bands` are the selected
    bands, from 1. `identity` describes the files and their state; None if only the pixels identify
    the raster.
    """

    name: str
    crs: Any
    transform: Any
    shape: tuple[int, int]
    dtype: np.dtype
    nodata: float | None
    bands: tuple[int, ...]
    descriptions: tuple[str | None, ...]
    block: tuple[int, int]
    identity: str | None


def open_raster(raster: Any, bands: Sequence[int | str] | None) -> tuple[Raster, RasterOpener]:
    """Return the metadata of a raster and a function to read its windows.

    Parameters
    ----------
    raster : path, open rasterio dataset or xarray.DataArray
    bands : sequence of int or str, or None
        Bands to read, by number from 1 or by name; None selects all.

    Returns
    -------
    source : Raster
    opener : callable
        Returns a context manager of a `ReadWindow` function. Each thread enters its own.

    Raises
    ------
    ValueError
        If `raster` is of another type or cannot be opened, or a band does not exist.
    """
    rasterio = import_rasterio()
    if isinstance(raster, str | os.PathLike):
        path = os.fspath(raster)
        try:
            with rasterio.open(path) as dataset:
                source = _describe_dataset(dataset, bands)
        except rasterio.errors.RasterioError as error:
            raise ValueError(f"raster={path!r} cannot be opened: {error}") from error
        return source, partial(_read_path, path, source)
    if isinstance(raster, rasterio.io.DatasetReaderBase):
        if raster.closed:
            raise ValueError("raster is a closed dataset; open it, or pass its path.")
        source = _describe_dataset(raster, bands)
        return source, partial(_read_open, raster, source, threading.Lock())
    if all(hasattr(raster, name) for name in ("dims", "isel", "coords")):
        return _describe_array(raster, bands)
    raise ValueError(
        f"raster must be a path, an open rasterio dataset or an xarray.DataArray; "
        f"found {type(raster).__name__}."
    )


def _describe_dataset(dataset: Any, bands: Sequence[int | str] | None) -> Raster:
    name = Path(dataset.name).name or dataset.name
    if not dataset.count:
        raise ValueError(
            f"raster {name} has no bands; pass one of its subdatasets: "
            f"{list(dataset.subdatasets)[:5]}."
        )
    check_band_count(dataset.count, name)
    kept = _choose_bands(bands, dataset.descriptions, name)
    nodata = {str(dataset.nodatavals[band - 1]) for band in kept}
    if len(nodata) > 1:
        raise ValueError(
            f"raster {name} has bands with different nodata values, {sorted(nodata)}; select bands "
            "that share one nodata value."
        )
    source = Raster(
        name=name,
        crs=dataset.crs or None,
        transform=dataset.transform,
        shape=(dataset.height, dataset.width),
        dtype=np.result_type(*(dataset.dtypes[band - 1] for band in kept)),
        nodata=dataset.nodatavals[kept[0] - 1],
        bands=kept,
        descriptions=tuple(dataset.descriptions[band - 1] for band in kept),
        block=dataset.block_shapes[0],
        identity=_identity(dataset),
    )
    return _check_raster(source)


def _identity(dataset: Any) -> str | None:
    """Describe a raster by its files and their state; None unless it is a plain file."""
    # A warped view has the name of its source, and a dataset open for writing may change.
    if type(dataset) is not import_rasterio().io.DatasetReader or dataset.mode != "r":
        return None
    if dataset.name.startswith("/vsimem/"):
        return None
    parts = [dataset.name, dataset.shape, dataset.count, dataset.dtypes, tuple(dataset.transform)]
    for file in sorted({dataset.name, *dataset.files}):
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(file)
            parts.append((os.path.realpath(file), state.st_size, state.st_mtime_ns))
    return repr(parts)


def _describe_array(array: Any, bands: Sequence[int | str] | None) -> tuple[Raster, RasterOpener]:
    try:
        import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)

        x_dim, y_dim, crs = array.rio.x_dim, array.rio.y_dim, array.rio.crs
    except ImportError as error:
        raise ImportError(
            "Chips of an xarray.DataArray need rioxarray: pip install 'sptgnn-sklearn[maps]'."
        ) from error
    except Exception as error:  # rioxarray's errors have no common class
        raise ValueError(f"raster is an array without spatial dimensions: {error}") from error
    others = [dim for dim in array.dims if dim not in (x_dim, y_dim)]
    if len(others) > 1 or array.dtype.kind not in "biufc":
        raise ValueError(
            f"raster must hold numbers in (band, y, x) or (y, x); found {array.dtype} in "
            f"{tuple(array.dims)}. Select one index of each other dimension."
        )
    names: Any = array.attrs.get("long_name")
    if others and not (isinstance(names, tuple | list) and len(names) == array.sizes[others[0]]):
        labels = array.coords[others[0]].to_numpy() if others[0] in array.coords else []
        names = [label if isinstance(label, str) else None for label in labels]
    n_bands = array.sizes[others[0]] if others else 1
    names = list(names) if others and len(names) == n_bands else [None] * n_bands
    array = array.transpose(*others, y_dim, x_dim)
    kept = _choose_bands(bands, names, array.name or "array")
    dtype = {"bool": "uint8", "float16": "float32"}.get(array.dtype.name, array.dtype.name)
    chunks = array.chunks
    source = Raster(
        name=str(array.name or "array"),
        crs=crs,
        transform=array_transform(array, x_dim, y_dim),
        shape=(array.sizes[y_dim], array.sizes[x_dim]),
        dtype=np.dtype(dtype),
        nodata=_array_nodata(array),
        bands=kept,
        descriptions=tuple(names[band - 1] for band in kept),
        block=_READ_BLOCK if chunks is None else (chunks[-2][0], chunks[-1][0]),
        identity=None,
    )
    source = _check_raster(source)
    return source, partial(_read_array, array, source, threading.Lock())


def _array_nodata(array: Any) -> float | None:
    # A nodata value outside the range of the dtype, kept from another array, has no effect.
    with contextlib.suppress(OverflowError, ValueError):
        return array.rio.nodata
    return None


def array_transform(array: Any, x_dim: Hashable, y_dim: Hashable) -> Any:
    """Return the transform of an array, from its coordinates if they differ from the stored one."""
    stored = array.rio.transform()
    steps, starts = [], []
    for dim in (x_dim, y_dim):
        if dim not in array.coords or array.sizes[dim] < 2:
            return stored
        values = array.coords[dim].to_numpy().astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"raster has coordinates in {dim!r} that are NaN or infinite.")
        step = (values[-1] - values[0]) / (len(values) - 1)
        if not np.allclose(np.diff(values), step, rtol=0.01, atol=0.0):
            raise ValueError(f"raster has unevenly spaced coordinates in {dim!r}; regrid it first.")
        steps.append(step)
        starts.append(values[0] - step / 2)
    # A subset keeps the transform of the whole array. A correct one is exact, coordinates are not.
    computed = np.array([steps[0], 0.0, starts[0], 0.0, steps[1], starts[1]])
    if np.allclose(computed, stored[:6], rtol=1e-6, atol=1e-3 * min(map(abs, steps))):
        return stored
    return import_rasterio().Affine(*computed.tolist())


def _check_raster(source: Raster) -> Raster:
    """Return the raster with a valid nodata value; raise ValueError without a georeference."""
    a, b, _, d, e, _ = source.transform[:6]
    if source.transform[:6] == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0) or not a * e - b * d:
        raise ValueError(
            f"raster {source.name} is not georeferenced: it has no transform from pixels to "
            "coordinates. Ground control points are not supported; warp it first (gdalwarp)."
        )
    nodata = source.nodata
    if nodata is not None and source.dtype.kind in "iu":
        # rasterio drops values out of range; fractions never occur in integer pixels.
        nodata = int(nodata) if nodata == int(nodata) else None
    if nodata is None and source.dtype.kind == "f":
        nodata = np.nan
    return replace(source, nodata=nodata)


def _choose_bands(bands: Any, descriptions: Sequence[str | None], name: str) -> tuple[int, ...]:
    """Return the numbers, from 1, of the selected bands."""
    if bands is None:
        return tuple(range(1, len(descriptions) + 1))
    if isinstance(bands, str) or not isinstance(bands, Sequence | np.ndarray) or not len(bands):
        raise ValueError(f"bands={bands!r} must be a list of band numbers from 1, or of names.")
    names = [band_name(text) if text else None for text in descriptions]
    numbers = []
    for band in bands:
        if isinstance(band, str) and band in descriptions:
            numbers.append(list(descriptions).index(band) + 1)
        elif isinstance(band, str) and band_name(band) in names:
            numbers.append(names.index(band_name(band)) + 1)
        elif (
            isinstance(band, int | np.integer)
            and not isinstance(band, bool)
            and 1 <= band <= len(descriptions)
        ):
            numbers.append(int(band))
        else:
            raise ValueError(
                f"bands has {band!r}; raster {name} has the bands 1 to {len(descriptions)}, "
                f"named {[text for text in descriptions if text][:20]}."
            )
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"bands={list(bands)!r} has a duplicate band.")
    return tuple(numbers)


@contextlib.contextmanager
def _read_path(path: str, source: Raster) -> Iterator[ReadWindow]:
    """Return a context with a dataset handle of its own, which threads must not share."""
    with np.errstate(over="ignore"):
        dataset = import_rasterio().open(path)
    with dataset:
        yield partial(_read_dataset, dataset, source)


@contextlib.contextmanager
def _read_open(dataset: Any, source: Raster, lock: threading.Lock) -> Iterator[ReadWindow]:
    def read(window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        with lock:
            return _read_dataset(dataset, source, window)

    yield read


def _read_dataset(
    dataset: Any, source: Raster, window: Window
) -> tuple[np.ndarray, np.ndarray | None]:
    rasterio = import_rasterio()
    top, bottom, left, right = window
    rectangle = rasterio.windows.Window(left, top, right - left, bottom - top)
    try:
        values = dataset.read(list(source.bands), window=rectangle, out_dtype=source.dtype)
        masked = rasterio.enums.MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        return values, dataset.dataset_mask(window=rectangle) > 0 if masked else None
    except rasterio.errors.RasterioError as error:
        raise OSError(
            f"raster {source.name} cannot be read in rows {top} to {bottom - 1}, columns {left} "
            f"to {right - 1}: {error}"
        ) from error


@contextlib.contextmanager
def _read_array(array: Any, source: Raster, lock: threading.Lock) -> Iterator[ReadWindow]:
    def read(window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        top, bottom, left, right = window
        part = array[..., top:bottom, left:right]
        with lock:
            values = part.to_numpy()
        values = values[None] if values.ndim == 2 else values[np.array(source.bands) - 1]
        return values.astype(source.dtype), None

    yield read
