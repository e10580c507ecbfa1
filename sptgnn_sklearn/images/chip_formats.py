"""Readers of GeoTIFF and NumPy chip files, with limits on size and shape."""

from __future__ import annotations

import functools
import io
import math
import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy_format

from .geotiff_writer import MAX_BANDS, import_rasterio
from .modalities import Modality, band_positions

__all__ = ["MAX_BYTES", "ChipError", "chip_shape", "prepare_thread", "read_bytes"]

MAX_BYTES = 256 * 2**20
_MAX_SIDE = 65536
# First bytes of TIFF and BigTIFF in both byte orders, of .npy and of other known formats.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY = b"\x93NUMPY"
_MAX_NPY_HEADER = 4096
# Python's parser and NumPy warn about these in damaged headers; filters are not thread-safe.
_NPY_WARNS = re.compile(rb"[^\n -\[\]-~]|\d[a-z]|a\d")
_NPY_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
_OTHER_FORMATS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 or netCDF file",
    b"CDF": "a netCDF file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"PK": "a ZIP or .npz archive",
    b"\x1f\x8b": "a gzip archive",
}
# TIFF tag of GDAL's metadata, and libtiff's limit on the number of tags.
_METADATA, _MAX_TAGS = 42112, 4096
_ASCII = bytes(range(128)) + b"?" * 128
_MEMORY_NAME = "chip.tif"  # of the file in GDAL's memory
# A file in memory has no folder to list and no .aux.xml file.
_GDAL_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
# Start and length of a window along one side, in pixels.
PixelSpan: TypeAlias = tuple[int, int]
# Stored values, and where they are masked.
_MaskedValues: TypeAlias = tuple[np.ndarray, np.ndarray | None]


class ChipError(ValueError):
    """Error for a file that is not a usable chip.

    The message continues a sentence that starts with the file's name, which the caller prepends.

    Examples
    --------
    >>> from sptgnn_sklearn.images.chip_formats import read_bytes
    >>> read_bytes("nowhere.tif")
    Traceback (most recent call last):
        ...
    sptgnn_sklearn.images.chip_formats.ChipError: does not exist
    """


def read_bytes(path: str) -> bytes:
    """Read the bytes of a chip file.

    Only regular files are opened, because reading a pipe or a device could block.

    Parameters
    ----------
    path : str

    Raises
    ------
    ChipError
        If the file does not exist, cannot be read, is empty, or is larger than `MAX_BYTES`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chip_formats import read_bytes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.npy")
    ...     np.save(path, np.ones((2, 16, 16), dtype=np.float32))
    ...     len(read_bytes(path))
    2176
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ChipError("is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise ChipError("is not a regular file but a pipe, socket or device")
        if status.st_size > MAX_BYTES:
            raise ChipError(
                f"is {format_size(status.st_size)}, the size of a whole raster; "
                "cut chips from it with extract_chips"
            )
        content = _read_all(path, status.st_size)
    except (FileNotFoundError, NotADirectoryError):
        raise ChipError("does not exist") from None
    except OSError as error:
        raise ChipError(f"cannot be read ({error.strerror or type(error).__name__})") from None
    except ChipError:
        raise
    except ValueError as error:  # a path with a null character, or one that cannot be encoded
        raise ChipError(f"cannot be read ({error})") from None
    if not content:
        raise ChipError("is empty")
    return content


def _read_all(path: str, size: int) -> bytes:
    # System calls without Python's buffering layers, because thousands of small files are read.
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        parts = [os.read(opened, size)]
        while len(parts[-1]) and sum(map(len, parts)) < size:
            parts.append(os.read(opened, size))
    finally:
        os.close(opened)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def chip_shape(content: bytes, path: str) -> tuple[int, int, int]:
    """Read the size of a chip from its header.

    Parameters
    ----------
    content : bytes
        Content of the file, from `read_bytes`.
    path : str
        Path of the file, which is not read again.

    Returns
    -------
    bands, height, width : int

    Raises
    ------
    ChipError
        If the content is not a readable chip.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chip_formats import chip_shape
    >>> file = io.BytesIO()
    >>> np.save(file, np.zeros((2, 16, 24)))
    >>> chip_shape(file.getvalue(), "a.npy")
    (2, 16, 24)
    """
    with open_chip(content) as source:
        return source.shape


@contextmanager
def open_chip(content: bytes) -> Iterator[_NpyChip | _TiffChip]:
    """Open a chip in the format that its first bytes identify."""
    if content.startswith(_NPY):
        yield _NpyChip(content)
    elif content.startswith(_TIFF):
        rasterio, reader = _rasterio()
        with ExitStack() as stack:
            with _gdal_errors():
                # Half the cost of opening a file, so callers with many files enter once a thread.
                if not rasterio.env.hasenv():
                    stack.enter_context(_environment(rasterio))
                memory = rasterio.MemoryFile(
                    _with_decodable_metadata(content), filename=_MEMORY_NAME
                )
                file = stack.enter_context(memory)
                # Other drivers, such as VRT, open further files named in the content. Reading the
                # georeference would take most of the time.
                options = {"driver": "GTiff", "sharing": False, "GEOREF_SOURCES": "NONE"}
                dataset = stack.enter_context(reader(file.name, **options))
            yield _TiffChip(dataset)
    else:
        kind = next(
            (text for start, text in _OTHER_FORMATS.items() if content.startswith(start)), None
        )
        raise ChipError(f"is {kind or 'of unknown format'}; chips are GeoTIFF or .npy files")


class _NpyChip:
    """An array in the content of a .npy file, whose values are not copied."""

    def __init__(self, content: bytes) -> None:
        sides, self.fortran, dtype, self.offset = _read_npy_header(content)
        self.dtype = _npy_dtype(dtype)
        if len(sides) not in (2, 3):
            raise ChipError(
                f"has {len(sides)} dimensions; chips are (height, width) or (bands, height, width)"
            )
        self.sides = sides
        self.shape = _check_shape(sides if len(sides) == 3 else (1, *sides))
        self.item_size = self.dtype.itemsize
        self.block_bytes = 0  # nothing is decoded
        expected = math.prod(sides) * self.item_size
        if len(content) - self.offset < expected:
            raise ChipError(
                f"is truncated: it has {format_size(len(content) - self.offset)} of values where "
                f"{format_size(expected)} are declared"
            )
        self.content = content

    def positions(self, modality: Modality) -> tuple[int, ...]:
        """Return the positions of the bands of a modality."""
        bands, _, last = self.shape
        try:
            return band_positions(modality, bands, [None] * bands)
        except ValueError as error:
            if last == len(modality.bands):
                raise ChipError(
                    f"has the shape {self.sides}; chip arrays are (bands, height, width)"
                ) from None
            raise ChipError(str(error)) from None

    def read(self, positions: Sequence[int], rows: PixelSpan, columns: PixelSpan) -> _MaskedValues:
        """Read a window of some bands; arrays have no mask."""
        count = math.prod(self.sides)
        values = np.frombuffer(self.content, self.dtype, count, self.offset)
        values = values.reshape(self.sides, order="F" if self.fortran else "C")
        window = values.reshape(self.shape)[
            :, rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]
        ]
        return window[list(positions)], None


class _TiffChip:
    """A GeoTIFF opened by GDAL."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.shape = _check_shape((dataset.count, dataset.height, dataset.width))
        # GDAL has types without a NumPy dtype, such as complex integers.
        complex_types = [t for t in dataset.dtypes if not re.fullmatch(r"(u?int|float)\d+", t)]
        if complex_types:
            raise ChipError(f"holds {complex_types[0]} values; chips hold real numbers")
        with _gdal_errors():
            self.item_size = max(np.dtype(name).itemsize for name in dataset.dtypes)
            self.block_bytes = self.item_size * max(map(math.prod, dataset.block_shapes))
            if dataset.interleaving is not None and dataset.interleaving.name == "pixel":
                self.block_bytes *= dataset.count

    def positions(self, modality: Modality) -> tuple[int, ...]:
        """Return the positions of the bands of a modality."""
        names = self.dataset.descriptions
        try:
            return band_positions(modality, len(names), names)
        except ValueError as error:
            colors = [i for i in range(len(names)) if i not in self._alpha()]
            with suppress(ValueError):
                band_order = band_positions(modality, len(colors), [names[i] for i in colors])
                return tuple(colors[i] for i in band_order)
            raise ChipError(str(error)) from None

    def read(self, positions: Sequence[int], rows: PixelSpan, columns: PixelSpan) -> _MaskedValues:
        """Read a window of some bands with its mask."""
        indexes = [position + 1 for position in positions]
        whole = (rows[1], columns[1]) == self.shape[1:]
        window = (
            None
            if whole
            else _rasterio()[0].windows.Window(columns[0], rows[0], columns[1], rows[1])
        )
        with _gdal_errors():
            stored = self.dataset.read(indexes, window=window)
            masks = self.dataset.mask_flag_enums
            flags = {flag.name for position in positions for flag in masks[position]}
            # GDAL interprets the fourth of four byte bands as alpha, which may be wrong.
            if flags == {"all_valid"} or ("alpha" in flags and self._alpha() & set(positions)):
                return stored, None
            if flags == {"nodata"} and self.item_size < 8:
                # GDAL's rule without reading twice. Large 8-byte integers are not exact as the
                # doubles in which nodata values are stored.
                nodata = self.dataset.nodatavals
                return stored, np.stack(
                    [_is_nodata(band, nodata[i]) for band, i in zip(stored, positions, strict=True)]
                )
            return stored, self.dataset.read_masks(indexes, window=window) == 0

    def _alpha(self) -> set[int]:
        """Return the positions of alpha bands."""
        with _gdal_errors():
            kinds = self.dataset.colorinterp
        return {i for i, kind in enumerate(kinds) if kind.name == "alpha"}


@contextmanager
def _gdal_errors() -> Iterator[None]:
    """Return a context that turns errors of GDAL and rasterio into `ChipError`."""
    try:
        yield
    except ChipError:
        raise
    except Exception as error:
        # The cause is GDAL's message, which is more specific but names the file in memory.
        text = str(error.__cause__ or error).strip().split("\n")[0]
        text = re.sub(rf"\S*{_MEMORY_NAME}\W*", "", text).strip(" .")
        raise ChipError(f"cannot be read ({text or type(error).__name__})") from None


def prepare_thread() -> None:
    """Initialize GDAL in a worker thread that reads many files.

    Otherwise GDAL is initialized for every file, which takes about as long as opening it.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from sptgnn_sklearn.images.chip_formats import chip_shape, prepare_thread
    >>> pool = ThreadPoolExecutor(1, initializer=prepare_thread)
    """
    # Arrays need no rasterio; without it, the first GeoTIFF raises.
    with suppress(ImportError):
        _environment(import_rasterio()).__enter__()


def _environment(rasterio: Any) -> Any:
    return rasterio.Env(rasterio.session.DummySession(), **_GDAL_OPTIONS)


@functools.cache
def _rasterio() -> tuple[Any, Any]:
    """Return rasterio and a dataset class that does not warn about a missing georeference."""
    rasterio = import_rasterio()

    class Reader(rasterio.io.DatasetReader):  # type: ignore[name-defined]
        # Chips need no georeference, and warning filters are not thread-safe.
        def read_transform(self) -> list[float]:
            return [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]

    return rasterio, Reader


def _with_decodable_metadata(content: bytes) -> bytes:
    """Return the content of a TIFF with undecodable metadata replaced by question marks.

    Rasterio decodes GDAL's metadata and log messages as UTF-8. An undecodable message makes Python
    print an error to stderr that callers cannot catch.
    """
    order = "<" if content.startswith(b"II") else ">"
    try:
        if content[2:4] in (b"+\0", b"\0+"):
            first, count, entry = 8, "Q", struct.Struct(order + "HHQQ")
        else:
            first, count, entry = 4, "H", struct.Struct(order + "HHII")
        (at,) = struct.unpack_from(order + ("Q" if count == "Q" else "I"), content, first)
        (n_tags,) = struct.unpack_from(order + count, content, at)
        at += struct.calcsize(order + count)
        tags = content[at : at + min(n_tags, _MAX_TAGS) * entry.size]
        for tag, _, length, start in entry.iter_unpack(tags):
            if tag == _METADATA:
                text = content[start : start + length]
                try:
                    text.decode()
                except UnicodeDecodeError:
                    text = text.translate(_ASCII)
                    return content[:start] + text + content[start + len(text) :]
    except struct.error:
        pass  # no tag directory; GDAL raises the error
    return content


def _read_npy_header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, Fortran order, dtype and the offset of the values of a .npy file."""
    # A copy of the start bounds what a damaged length makes NumPy read.
    file = io.BytesIO(content[: _MAX_NPY_HEADER + 12])
    try:
        version = npy_format.read_magic(file)
        length_bytes = 2 if version == (1, 0) else 4
        start = file.tell() + length_bytes
        length = int.from_bytes(content[start - length_bytes : start], "little")
        if _NPY_WARNS.search(content[start : start + min(length, _MAX_NPY_HEADER)]):
            raise ValueError("unexpected characters")
        header = _NPY_HEADERS[version](file, max_header_size=_MAX_NPY_HEADER)
    except Exception as error:  # parsing a damaged header raises errors of many kinds
        raise ChipError("has a damaged .npy header") from error
    shape, fortran, dtype = header
    return tuple(int(side) for side in shape), bool(fortran), dtype, file.tell()


def _npy_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which values are read; raise ChipError unless they are real numbers."""
    if dtype == np.bool_:
        return np.dtype("u1")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        name = "objects or records" if dtype.kind in "OV" else f"{dtype.name} values"
        raise ChipError(f"holds {name}; chips hold real numbers")
    return dtype


def _check_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape (bands, height, width); raise ChipError if it is empty or too large."""
    bands, height, width = shape
    if min(shape) < 1:
        raise ChipError(f"has no pixels: {bands} bands of {height} x {width}")
    if bands > MAX_BANDS or max(height, width) > _MAX_SIDE:
        raise ChipError(
            f"has {bands} bands of {height} x {width} pixels; a chip has at most {MAX_BANDS} of "
            f"{_MAX_SIDE} x {_MAX_SIDE}"
        )
    return bands, height, width


def _is_nodata(band: np.ndarray, nodata: float | None) -> np.ndarray:
    """Return where a band equals its nodata value."""
    if nodata is None or math.isnan(nodata):
        return np.zeros(band.shape, dtype=bool) if nodata is None else np.isnan(band)
    with np.errstate(all="ignore"):
        if band.dtype.kind == "f":
            return np.asarray(band == band.dtype.type(nodata))
        return np.asarray(band == nodata)


def format_size(n_bytes: float) -> str:
    """Format a number of bytes with a unit."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
