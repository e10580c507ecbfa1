"""Readers for GeoTIFF and NumPy chip files, with limits on size and shape."""

from __future__ import annotations

import functools
import math
import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np

from .geotiff import MOST_BANDS, import_rasterio
from .modalities import Modality, band_positions

__all__ = ["MAX_BYTES", "ChipError", "chip_shape", "prepare_thread", "read_bytes"]

MAX_BYTES = 256 * 2**20
# No chip is as wide.
_MAX_SIDE = 65536
# TIFF and BigTIFF, each in both byte orders.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY = b"\x93NUMPY"
_OTHERS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 or netCDF file",
    b"CDF": "a netCDF file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"PK": "a ZIP or .npz archive",
    b"\x1f\x8b": "a gzip archive",
}
# The tag of GDAL's metadata, and so many tags as libtiff reads at most.
_METADATA, _MAX_TAGS = 42112, 4096
_ASCII = bytes(range(128)) + b"?" * 128
_NAME = "chip.tif"  # of the file in memory
# A chip is all that a file in memory has: no folder to look through, no .aux.xml beside it.
_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
# Start and length along one side; stored values and where they are masked.
ByteSpan: TypeAlias = tuple[int, int]
_Read: TypeAlias = tuple[np.ndarray, np.ndarray | None]


class ChipError(ValueError):
    """A file that is no usable chip.

    The message is to be read after the file's name, which the caller puts before it.

    Examples
    --------
    >>> from sptgnn_sklearn.images.chip_formats import read_bytes
    >>> fetch("nowhere.tif")
    Traceback (most recent call last):
        ...
    sptgnn_sklearn.images.chip_formats.ChipError: does not exist
    """


def read_bytes(path: str) -> bytes:
    """Read the bytes of a chip's file.

    Nothing but a regular file is ever opened: a pipe or a device would hang.

    Parameters
    ----------
    path : str

    Raises
    ------
    ChipError
        If there is no such file, it cannot be read, is empty, or has more than `MAX_BYTES`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chip_formats import read_bytes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.npy")
    ...     np.save(path, np.ones((2, 16, 16), dtype=np.float32))
    ...     len(fetch(path))
    2176
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ChipError("is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise ChipError("is no regular file but a pipe, socket or device")
        if status.st_size > MAX_BYTES:
            raise ChipError(
                f"is {format_size(status.st_size)}: that is a whole raster; "
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
    # Small files are read by the thousand: the calls of the system alone, without Python's layers.
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
        Of the file, as `fetch` gives them.
    path : str
        Where they are from; the file itself is not read again.

    Returns
    -------
    bands, height, width : int

    Raises
    ------
    ChipError
        If it is no chip that can be read.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from sptgnn_sklearn.images.chip_formats import chip_shape
    >>> file = io.BytesIO()
    >>> np.save(file, np.zeros((2, 16, 24)))
    >>> measure(file.getvalue(), "a.npy")
    (2, 16, 24)
    """
    with open_chip(content) as source:
        return source.shape


@contextmanager
def open_chip(content: bytes) -> Iterator[_Array | _Tiff]:
    """Open the content of a file, by its first bytes."""
    if content.startswith(_NPY):
        yield _Array(content)
    elif content.startswith(_TIFF):
        rasterio, reader = _rasterio()
        with ExitStack() as stack:
            with _damage():
                # Entering costs half as much as opening; a caller with many enters once a thread.
                if not rasterio.env.hasenv():
                    stack.enter_context(_environment(rasterio))
                file = stack.enter_context(rasterio.MemoryFile(_legible(content), filename=_NAME))
                # No other driver: some, such as VRT, open further files that the content names.
                # Georeferencing is not looked at, which would be most of the time of opening.
                options = {"driver": "GTiff", "sharing": False, "GEOREF_SOURCES": "NONE"}
                dataset = stack.enter_context(reader(file.name, **options))
            yield _Tiff(dataset)
    else:
        kind = next((text for start, text in _OTHERS.items() if content.startswith(start)), None)
        raise ChipError(f"is {kind or 'of no known format'}; chips are GeoTIFF or .npy files")


class _Array:
    """An array of a .npy file: its header is read, and the values stay where they are."""

    def __init__(self, content: bytes) -> None:
        wide = content[6:7] > b"\1"
        start = 12 if wide else 10
        length = int.from_bytes(content[8:start], "little")
        # numpy.load evaluates the header as Python, which warns or fails in many ways if damaged.
        header = content[start : start + length].decode("latin-1")
        descr = re.search(r"'descr'\s*:\s*'([<>|=]?[a-zA-Z]\d*)'", header)
        shape = re.search(r"'shape'\s*:\s*\(([\dL, ]{0,99})\)", header)
        order = re.search(r"'fortran_order'\s*:\s*(True|False)", header)
        if not (shape and order) or start + length > len(content):
            raise ChipError("has a damaged .npy header")
        self.dtype = _npy_dtype(descr[1] if descr else "objects or records")
        sides = tuple(int(text) for text in re.findall(r"\d+", shape[1]))
        if len(sides) not in (2, 3):
            raise ChipError(
                f"has {len(sides)} dimensions; chips are (height, width) or (bands, height, width)"
            )
        self.sides = sides
        self.shape = _check_shape(sides if len(sides) == 3 else (1, *sides))
        self.offset = start + length
        self.fortran = order[1] == "True"
        self.item_size = self.dtype.itemsize
        # The values are where they are read from, so none have to be decoded.
        self.block_bytes = 0
        expected = math.prod(sides) * self.item_size
        if len(content) - self.offset < expected:
            raise ChipError(
                f"is cut short: {format_size(len(content) - self.offset)} of values where "
                f"{format_size(expected)} are declared"
            )
        self.content = content

    def positions(self, modality: Modality) -> tuple[int, ...]:
        """Find the bands of a modality."""
        bands, _, last = self.shape
        try:
            return band_positions(modality, bands, [None] * bands)
        except ValueError as error:
            if last == len(modality.bands):
                raise ChipError(
                    f"has the shape {self.sides}; arrays of chips are (bands, height, width)"
                ) from None
            raise ChipError(str(error)) from None

    def read(self, positions: Sequence[int], rows: ByteSpan, columns: ByteSpan) -> _Read:
        """Read a window of some bands; no pixels are masked but by being NaN."""
        count = math.prod(self.sides)
        values = np.frombuffer(self.content, self.dtype, count, self.offset)
        values = values.reshape(self.sides, order="F" if self.fortran else "C")
        window = values.reshape(self.shape)[
            :, rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]
        ]
        return window[list(positions)], None


class _Tiff:
    """A GeoTIFF that GDAL has opened."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.shape = _check_shape((dataset.count, dataset.height, dataset.width))
        # GDAL's own names of complex integers are none of NumPy's.
        odd = [name for name in dataset.dtypes if not re.fullmatch(r"(u?int|float)\d+", name)]
        if odd:
            raise ChipError(f"holds {odd[0]} values; chips hold real numbers")
        with _damage():
            self.item_size = max(np.dtype(name).itemsize for name in dataset.dtypes)
            self.block_bytes = self.item_size * max(map(math.prod, dataset.block_shapes))
            if dataset.interleaving is not None and dataset.interleaving.name == "pixel":
                self.block_bytes *= dataset.count

    def positions(self, modality: Modality) -> tuple[int, ...]:
        """Find the bands of a modality."""
        names = self.dataset.descriptions
        try:
            return band_positions(modality, len(names), names)
        except ValueError as error:
            colors = [i for i in range(len(names)) if i not in self._alpha()]
            with suppress(ValueError):
                found = band_positions(modality, len(colors), [names[i] for i in colors])
                return tuple(colors[i] for i in found)
            raise ChipError(str(error)) from None

    def read(self, positions: Sequence[int], rows: ByteSpan, columns: ByteSpan) -> _Read:
        """Read a window of some bands, and what of it the file masks."""
        indexes = [position + 1 for position in positions]
        whole = (rows[1], columns[1]) == self.shape[1:]
        window = (
            None
            if whole
            else _rasterio()[0].windows.Window(columns[0], rows[0], columns[1], rows[1])
        )
        with _damage():
            stored = self.dataset.read(indexes, window=window)
            masks = self.dataset.mask_flag_enums
            flags = {flag.name for position in positions for flag in masks[position]}
            # Four bands of bytes are taken for red, green, blue and alpha, which they may not be.
            if flags == {"all_valid"} or ("alpha" in flags and self._alpha() & set(positions)):
                return stored, None
            if flags == {"nodata"} and self.item_size < 8:
                # As GDAL does it, but without a second reading. Not for eight bytes: as a double,
                # a large integer is another one.
                nodata = self.dataset.nodatavals
                return stored, np.stack(
                    [_equal(band, nodata[i]) for band, i in zip(stored, positions, strict=True)]
                )
            return stored, self.dataset.read_masks(indexes, window=window) == 0

    def _alpha(self) -> set[int]:
        """Return the positions of bands that are a mask."""
        with _damage():
            kinds = self.dataset.colorinterp
        return {i for i, kind in enumerate(kinds) if kind.name == "alpha"}


@contextmanager
def _damage() -> Iterator[None]:
    """Turn whatever GDAL and rasterio raise over a damaged file into a `ChipError`."""
    try:
        yield
    except ChipError:
        raise
    except Exception as error:
        # The cause is GDAL's own message, which says more, but names the file in memory.
        text = str(error.__cause__ or error).strip().split("\n")[0]
        text = re.sub(rf"\S*{_NAME}\W*", "", text).strip(" .")
        raise ChipError(f"cannot be read ({text or type(error).__name__})") from None


def prepare_thread() -> None:
    """Set GDAL up for a thread that is to read many files and ends after that.

    Without it every file is set up for, which takes about as long as to open it.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from sptgnn_sklearn.images.chip_formats import chip_shape, prepare_thread
    >>> pool = ThreadPoolExecutor(1, initializer=prepare_thread)
    """
    # Where rasterio is missing the first GeoTIFF says so; arrays do without.
    with suppress(ImportError):
        _environment(import_rasterio()).__enter__()


def _environment(rasterio: Any) -> Any:
    return rasterio.Env(rasterio.session.DummySession(), **_OPTIONS)


@functools.cache
def _rasterio() -> tuple[Any, Any]:
    """Import rasterio; return it and a reader that does not warn of a missing georeference."""
    rasterio = import_rasterio()

    class Reader(rasterio.io.DatasetReader):  # type: ignore[name-defined]
        # A chip needs no place on earth. Filters of warnings are not safe in threads.
        def read_transform(self) -> list[float]:
            return [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]

    return rasterio, Reader


def _legible(content: bytes) -> bytes:
    """Return the content of a TIFF with metadata that can be decoded.

    Rasterio decodes GDAL's metadata and messages about them as UTF-8. Where a message cannot be
    decoded, Python itself complains on stderr, beyond the reach of whoever calls.
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
        pass  # no directory of tags; GDAL says so
    return content


def _npy_dtype(descr: str) -> np.dtype:
    """Return the type of the values of a .npy file, if they are real numbers."""
    try:
        dtype = np.dtype("u1" if descr == "|b1" else descr)
    except TypeError:
        raise ChipError(f"holds {descr}; chips hold real numbers") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ChipError(f"holds {dtype.name} values; chips hold real numbers")
    return dtype


def _check_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape (bands, height, width) if a chip can have it."""
    bands, height, width = shape
    if min(shape) < 1:
        raise ChipError(f"has no pixels: {bands} bands of {height} x {width}")
    if bands > MOST_BANDS or max(height, width) > _MAX_SIDE:
        raise ChipError(
            f"has {bands} bands of {height} x {width} pixels; a chip has at most {MOST_BANDS} of "
            f"{_MAX_SIDE} x {_MAX_SIDE}"
        )
    return bands, height, width


def _equal(band: np.ndarray, nodata: float | None) -> np.ndarray:
    """Return where a band has the value that marks missing data."""
    if nodata is None or math.isnan(nodata):
        return np.zeros(band.shape, dtype=bool) if nodata is None else np.isnan(band)
    with np.errstate(all="ignore"):
        if band.dtype.kind == "f":
            return np.asarray(band == band.dtype.type(nodata))
        return np.asarray(band == nodata)


def format_size(n_bytes: float) -> str:
    """Return a number of bytes to be read by people."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
