"""Extraction of image chips around the points of a table from large rasters."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from tqdm.auto import tqdm

from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import as_dataframe, locate_coordinates
from .geotiff_writer import import_rasterio, write_chip
from .raster import Raster, RasterOpener, ReadWindow, open_raster

__all__ = ["extract_chips"]

_MAX_CHIP_SIZE = 4096
_WINDOWS_PER_TASK = 64
# "str" since pandas 3, which has a missing value; before it, None would become the text "None".
_TEXT_DTYPE = pd.Series([""]).dtype


def extract_chips(
    raster: Any,
    X: Any,
    *,
    column: Hashable,
    size: int,
    out_dir: str | os.PathLike[str],
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    bands: Sequence[int | str] | None = None,
    n_jobs: int | None = None,
    overwrite: bool = False,
    verbose: int = 0,
) -> pd.DataFrame:
    """Extract an image chip around the point of each row and add a column of chip paths.

    Only the windows around the points are read, so the raster may be of any size. A chip has the
    raster's pixels, CRS, band names and nodata value; nothing is resampled. File names are derived
    from raster, window and bands: a second call writes missing chips only, and rows in the same
    pixel share a file.

    Parameters
    ----------
    raster : path, open rasterio dataset or xarray.DataArray
        Anything that rasterio opens, or an array with the dimensions (band, y, x) or (y, x) and a
        CRS and transform set by rioxarray; windows of a lazy array are computed on demand. Arrays
        and datasets that are not plain files are identified by their pixels, which every call
        reads again.
    X : DataFrame or array-like of shape (n_samples, n_features)
    column : label
        Name of the new column.
    size : int
        Height and width of a chip in pixels, up to 4096. The point lies in the pixel at row and
        column ``size // 2``, counted from 0.
    out_dir : path
        Folder of the chips, created if missing.
    coordinates : pair of labels or positions, default=None
        As in `SpTGNNRegressor`: None searches for common names, else takes the first two columns.
    crs : anything pyproj accepts, default=None
        CRS of the coordinates. None is longitude and latitude for columns of these names, else the
        raster's CRS.
    bands : sequence of int or str, default=None
        Bands to extract, by number from 1 or by name. None extracts all.
    n_jobs : int, default=None
        Number of threads; -1 for all cores. An open dataset or an array is read by one thread at a
        time.
    overwrite : bool, default=False
        Whether to write existing chips again, for example after a remote raster has changed.
    verbose : int, default=0
        1 or more shows a progress bar.

    Returns
    -------
    DataFrame
        A copy of X with the new column: absolute paths, NaN where the point lies outside the raster
        or all pixels of the chip are nodata.

    Warns
    -----
    UserWarning
        If rows have no chip, with their number.

    Raises
    ------
    ImportError
        If rasterio is not installed.
    ValueError
        If a parameter is invalid, the raster cannot be opened or is not georeferenced, or a CRS is
        unknown.
    OSError
        If the raster cannot be read or a chip cannot be written.

    Notes
    -----
    Pixels beyond the raster's border are filled with its nodata value, or NaN in a float raster
    without one. In an integer raster without a nodata value they repeat the border pixel and are
    invalid in the chip's internal mask. A mask or alpha band of the raster is carried over as well.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.images.extraction import extract_chips
    >>> from sptgnn_sklearn.images.geotiff_writer import import_rasterio, write_chip
    >>> grid = import_rasterio().Affine(10, 0, 500_000, 0, -10, 5_000_000)
    >>> heights = np.arange(10_000.0).reshape(1, 100, 100)
    >>> X = pd.DataFrame({"x": [500_505.0], "y": [4_999_495.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "dem.tif")
    ...     write_chip(path, heights, crs="EPSG:32636", transform=grid)
    ...     table = extract_chips(path, X, column="dem_path", size=16, out_dir=folder)
    ...     with import_rasterio().open(table["dem_path"][0]) as chip:
    ...         float(chip.read(1)[8, 8])
    5050.0
    """
    rasterio = import_rasterio()
    size = _check_size(size)
    folder = Path(os.path.abspath(_check_path(out_dir, "out_dir")))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out_dir={str(out_dir)!r} is a file; pass a directory.")
    X = as_dataframe(X)
    _check_column(column, X)
    xy, reference, _ = locate_coordinates(X, coordinates, crs)
    # Filters are not thread-safe, so they end before threads start; rasters opened there are
    # georeferenced. Nodata values out of range overflow when compared with pixels.
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # from rioxarray's use of affine
        source, opener = open_raster(raster, bands)

    pixels = _pixels(_to_raster_crs(source, xy, reference), source)
    inside = np.asarray(np.all((pixels >= 0) & (pixels < source.shape), axis=1))
    distinct, pixel_of_row = np.unique(pixels[inside].astype(np.int64), axis=0, return_inverse=True)
    order = _block_order(distinct, source, size)
    folder.mkdir(parents=True, exist_ok=True)

    cut = partial(_cut_chips, source, opener, folder, size, overwrite)
    parts = [order[i : i + _WINDOWS_PER_TASK] for i in range(0, len(order), _WINDOWS_PER_TASK)]
    path_of_pixel: list[str | None] = [None] * len(distinct)
    with (
        _thread_map(effective_n_jobs(n_jobs)) as run,
        tqdm(total=len(distinct), desc="chips", unit="chip", disable=not verbose) as bar,
    ):
        for part, paths in zip(parts, run(cut, [distinct[part] for part in parts]), strict=True):
            for pixel, path in zip(part, paths, strict=True):
                path_of_pixel[pixel] = path
            bar.update(len(part))

    chips: list[str | None] = [None] * len(X)
    for row, pixel in zip(np.flatnonzero(inside), pixel_of_row.ravel(), strict=True):
        chips[row] = path_of_pixel[pixel]
    _warn_rows_without_chip(chips, inside, column, source.name)
    table = X.copy()
    table[column] = pd.Series(chips, index=table.index, dtype=_TEXT_DTYPE)
    return table


def _to_raster_crs(source: Raster, xy: np.ndarray, reference: SpatialReference) -> np.ndarray:
    """Transform points to the raster's CRS; inf where they have no coordinates in it."""
    if reference.crs is None:
        return xy
    if source.crs is None:
        raise ValueError(
            f"raster {source.name} has no CRS, but X is in {reference.crs[:40]}: assign a CRS to "
            "the raster, or pass coordinates in the raster's plane, in columns not named as "
            "longitude and latitude and without crs."
        )
    import pyproj
    from pyproj.exceptions import CRSError, ProjError

    try:
        target = pyproj.CRS.from_wkt(source.crs.to_wkt(version="WKT2_2019"))
        moved = pyproj.Transformer.from_crs(reference.crs, target, always_xy=True).transform(*xy.T)
    except (CRSError, ProjError) as error:
        raise ValueError(
            f"X in {reference.crs[:40]} cannot be transformed to the CRS of raster "
            f"{source.name}: {error}"
        ) from error
    return np.column_stack(moved)


def _pixels(xy: np.ndarray, source: Raster) -> np.ndarray:
    """Return row and column of each point, as integral floats; NaN without coordinates."""
    a, b, c, d, e, f = source.transform[:6]

    def to_pixels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # Damaged transforms overflow, and the point is then outside the raster.
        with np.errstate(over="ignore", invalid="ignore"):
            east, north = x - c, y - f
            column = (e * east - b * north) / (a * e - b * d)
            return np.floor(np.column_stack([(a * north - d * east) / (a * e - b * d), column]))

    x, y = np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, np.nan).T
    pixels = to_pixels(x, y)
    if source.crs is not None and source.crs.is_geographic:
        # Longitudes may range from 0 to 360 in the raster and from -180 to 180 in X.
        for degrees in (-360.0, 360.0):
            shifted = to_pixels(x + degrees, y)
            is_inside = np.asarray(np.all((shifted >= 0) & (shifted < source.shape), axis=1))
            pixels = np.where(is_inside[:, None], shifted, pixels)
    return pixels


def _block_order(pixels: np.ndarray, source: Raster, size: int) -> np.ndarray:
    """Return an order in which windows of the same stored block follow each other."""
    blocks = np.maximum(pixels - size // 2, 0) // np.array(source.block)
    return np.lexsort((pixels[:, 1], pixels[:, 0], blocks[:, 1], blocks[:, 0]))


@contextlib.contextmanager
def _thread_map(n_threads: int) -> Iterator[Callable[..., Any]]:
    """Return a context with a `map` over threads; an error cancels waiting tasks."""
    if n_threads == 1:
        yield map
        return
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _cut_chips(
    source: Raster,
    opener: RasterOpener,
    folder: Path,
    size: int,
    overwrite: bool,
    pixels: np.ndarray,
) -> list[str | None]:
    """Write the chips around some pixels; return their paths, None for chips without data."""
    with contextlib.ExitStack() as stack:
        read: ReadWindow | None = None
        paths: list[str | None] = []
        for row, column in pixels.tolist():
            path = _chip_file_name(source, folder, size, row, column, None)
            if path is not None and not overwrite and path.exists():
                paths.append(str(path))
                continue
            # Opened at the first missing chip, so that a second call opens nothing.
            read = read or stack.enter_context(opener())
            chip = _cut_chip(source, read, row, column, size)
            if chip is None:
                paths.append(None)
                continue
            values, mask = chip
            path = path or _chip_file_name(source, folder, size, row, column, chip)
            assert path is not None
            if overwrite or not path.exists():
                a, b, c, d, e, f = source.transform[:6]
                left, top = column - size // 2, row - size // 2
                corner = (a, b, c + a * left + b * top, d, e, f + d * left + e * top)
                write_chip(
                    path,
                    values,
                    crs=source.crs,
                    transform=type(source.transform)(*corner),
                    nodata=source.nodata,
                    descriptions=source.descriptions,
                    mask=mask,
                )
            paths.append(str(path))
    return paths


def _chip_file_name(
    source: Raster,
    folder: Path,
    size: int,
    row: int,
    column: int,
    chip: tuple[np.ndarray, np.ndarray | None] | None,
) -> Path | None:
    """Return the path of a chip, or None if it depends on pixels that have not been read.

    The name has a digest of raster and bands, so that different chips never share a file.
    """
    if source.identity is None and chip is None:
        return None
    crs = source.crs.to_wkt() if source.crs else None
    parts = (source.identity, source.bands, source.descriptions, str(source.nodata), crs)
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8)
    if source.identity is None and chip is not None:
        digest.update(repr((source.transform[:6], source.dtype)).encode())
        for values in chip:
            digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source.name).stem)[:40] or "raster"
    return folder / f"{stem}_{digest.hexdigest()}_r{row}_c{column}_{size}.tif"


def _cut_chip(
    source: Raster, read: ReadWindow, row: int, column: int, size: int
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Read one chip with its mask; None if all its pixels are nodata."""
    top, left = row - size // 2, column - size // 2
    window = (
        max(top, 0),
        min(top + size, source.shape[0]),
        max(left, 0),
        min(left + size, source.shape[1]),
    )
    values, mask = read(window)
    if not _has_data(values, mask, source.nodata):
        return None
    rows = (window[0] - top, top + size - window[1])
    columns = (window[2] - left, left + size - window[3])
    if any(rows + columns):
        if source.nodata is not None:
            values = np.pad(values, ((0, 0), rows, columns), constant_values=source.nodata)
        else:
            # Without a nodata value, only a mask can mark these pixels.
            mask = np.ones(values.shape[1:], dtype=bool) if mask is None else mask
            values = np.pad(values, ((0, 0), rows, columns), mode="edge")
        mask = None if mask is None else np.pad(mask, (rows, columns))
    return values, mask


def _has_data(values: np.ndarray, mask: np.ndarray | None, nodata: float | None) -> bool:
    valid = np.ones(values.shape, dtype=bool) if mask is None else mask & np.ones_like(values, bool)
    if values.dtype.kind in "fc":
        valid &= ~np.isnan(values)
    if nodata is not None:
        # Compared in the dtype of the pixels, in which nodata was written.
        valid &= values != values.dtype.type(nodata)
    return bool(valid.any())


def _warn_rows_without_chip(
    chips: Sequence[str | None], inside: np.ndarray, column: Hashable, name: str
) -> None:
    outside = int((~inside).sum())
    empty = sum(chip is None for chip in chips) - outside
    if outside + empty == 0:
        return
    reasons = []
    if outside:
        reasons.append(f"{outside} {'lies' if outside == 1 else 'lie'} outside the raster {name}")
    if empty:
        reasons.append(
            f"{empty} {'lies' if empty == 1 else 'lie'} where the raster {name} has no data"
        )
    warnings.warn(
        f"{outside + empty} of {len(chips)} rows have no chip in {column!r}: "
        f"{' and '.join(reasons)}.",
        UserWarning,
        stacklevel=3,
    )


def _check_size(size: Any) -> int:
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if not whole or not 1 <= size <= _MAX_CHIP_SIZE:
        raise ValueError(
            f"size={size!r} must be an integer number of pixels from 1 to {_MAX_CHIP_SIZE}."
        )
    return int(size)


def _check_column(column: Any, X: pd.DataFrame) -> None:
    if not pd.api.types.is_hashable(column):
        raise ValueError(f"column={column!r} must be the name of a new column.")
    if column in X.columns:
        raise ValueError(
            f"column={column!r} is already a column of X; choose another name, or drop it."
        )


def _check_path(path: Any, parameter: str) -> str:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(f"{parameter}={path!r} must be the path of a directory.")
    return os.fspath(path)
