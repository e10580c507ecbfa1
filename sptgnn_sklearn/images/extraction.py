"""Big rasters to chips: small GeoTIFFs around the points of a table."""

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
from .geotiff import import_rasterio, write_chip
from .raster import Raster, Read, Reader, open_raster

__all__ = ["extract_chips"]

_LARGEST_CHIP = 4096
_WINDOWS_AT_ONCE = 64


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
    """Cut a chip around each row's point out of a raster, and add a column of their paths.

    Only the windows around the points are read, block by block, so that a raster may be of any
    size. A chip has the raster's pixels, CRS, band names and nodata value; nothing is resampled.
    Its file is written once: names follow from the raster, the window and the bands, a second call
    writes what is missing only, and rows in the same pixel share a file.

    Parameters
    ----------
    raster : path, open rasterio dataset or xarray.DataArray
        Anything that rasterio opens, or an array with the dimensions (band, y, x) or (y, x) and
        the CRS and transform of rioxarray; if it is lazy, windows are read as they are needed.
        An array, and a dataset that is no plain file, has no identity but its pixels: they are
        read in each call, and only their writing is saved.
    X : DataFrame or array-like of shape (n_samples, n_features)
    column : label
        Name of the new column.
    size : int
        Side of a chip in pixels, up to 4096. The point lies in pixel ``size // 2`` of row and
        column, counted from 0.
    out_dir : path
        Folder of the chips; made if it is not there.
    coordinates : pair of labels or positions, default=None
        As in `SpTGNNRegressor`: None looks for the usual names, else takes the first two columns.
    crs : anything pyproj knows, default=None
        Of the coordinates. None: longitude and latitude if they are so named, else the raster's.
    bands : sequence of int or str, default=None
        Bands to keep, by number from 1 or by the raster's names of them. None keeps all.
    n_jobs : int, default=None
        Threads; -1 for as many as there are cores. A dataset that is open already, or an array, is
        read by one of them at a time.
    overwrite : bool, default=False
        Whether to write chips anew that exist, as is needed where a raster on a server has changed.
    verbose : int, default=0
        A bar shows progress unless it is 0.

    Returns
    -------
    DataFrame
        A copy of X with the new column: the chips' absolute paths, and NaN where the point lies
        outside the raster or no pixel of the chip holds data.

    Warns
    -----
    UserWarning
        If rows are left without a chip; it gives their number.

    Raises
    ------
    ImportError
        If rasterio is not installed.
    ValueError
        If a parameter is wrong, the raster cannot be opened or is not georeferenced, or the CRS of
        either side is not known.
    OSError
        If the raster cannot be read or a chip not be written.

    Notes
    -----
    Pixels of a chip beyond the raster's border are nodata: the raster's nodata value, else NaN if
    its pixels are floats. Integers without a nodata value repeat the pixel at the border, and a
    mask in the file says that these are not valid. A raster's own mask (or alpha band) is carried
    over in the same way.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.images.extraction import extract_chips
    >>> from sptgnn_sklearn.images.geotiff import import_rasterio, write_chip
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
    folder = Path(os.path.abspath(_path_of(out_dir, "out_dir")))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out_dir={str(out_dir)!r} is a file; give a directory for the chips.")
    X = as_dataframe(X)
    _check_column(column, X)
    xy, frame, _ = locate_coordinates(X, coordinates, crs)
    # Filtered once, around everything that may meet a raster without georeference: threads come
    # later, and the rasters that they open have one.
    # Nodata values beyond the range of the pixels overflow where they are compared with it.
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # rioxarray's use of affine
        source, reader = open_raster(raster, bands)

    pixels = _pixels(_in_crs_of(source, xy, frame), source)
    inside = np.asarray(np.all((pixels >= 0) & (pixels < source.shape), axis=1))
    places, place_of_row = np.unique(pixels[inside].astype(np.int64), axis=0, return_inverse=True)
    order = _by_block(places, source, size)
    folder.mkdir(parents=True, exist_ok=True)

    cut = partial(_cut_chips, source, reader, folder, size, overwrite)
    parts = [order[i : i + _WINDOWS_AT_ONCE] for i in range(0, len(order), _WINDOWS_AT_ONCE)]
    found: list[str | None] = [None] * len(places)
    with (
        _workers(effective_n_jobs(n_jobs)) as run,
        tqdm(total=len(places), desc="chips", unit="chip", disable=not verbose) as bar,
    ):
        for part, paths in zip(parts, run(cut, [places[part] for part in parts]), strict=True):
            for place, path in zip(part, paths, strict=True):
                found[place] = path
            bar.update(len(part))

    chips: list[str | None] = [None] * len(X)
    for row, place in zip(np.flatnonzero(inside), place_of_row.ravel(), strict=True):
        chips[row] = found[place]
    _warn_missing(chips, inside, column, source.name)
    table = X.copy()
    table[column] = pd.array(chips, dtype="str")
    return table


def _in_crs_of(source: Raster, xy: np.ndarray, frame: SpatialReference) -> np.ndarray:
    """Give the points in the raster's CRS; inf where they have no place in it."""
    if frame.crs is None:
        return xy
    if source.crs is None:
        raise ValueError(
            f"raster {source.name} has no CRS, and X is in {frame.crs[:40]}: write the CRS into "
            "the raster, or give coordinates in its own plane, under other names than those of "
            "longitude and latitude and without crs."
        )
    import pyproj
    from pyproj.exceptions import CRSError, ProjError

    try:
        target = pyproj.CRS.from_wkt(source.crs.to_wkt(version="WKT2_2019"))
        moved = pyproj.Transformer.from_crs(frame.crs, target, always_xy=True).transform(*xy.T)
    except (CRSError, ProjError) as error:
        raise ValueError(
            f"X in {frame.crs[:40]} cannot be brought into the CRS of raster {source.name}: {error}"
        ) from error
    return np.column_stack(moved)


def _pixels(xy: np.ndarray, source: Raster) -> np.ndarray:
    """Give row and column of each point, whole numbers as floats; NaN where there is no place."""
    a, b, c, d, e, f = source.transform[:6]

    def cells(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # Damaged transforms lead beyond all numbers, which is outside of any raster.
        with np.errstate(over="ignore", invalid="ignore"):
            east, north = x - c, y - f
            column = (e * east - b * north) / (a * e - b * d)
            return np.floor(np.column_stack([(a * north - d * east) / (a * e - b * d), column]))

    x, y = np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, np.nan).T
    found = cells(x, y)
    if source.crs is not None and source.crs.is_geographic:
        # Longitudes may run from 0 to 360 in the raster and from -180 to 180 in X.
        for turn in (-360.0, 360.0):
            turned = cells(x + turn, y)
            better = np.asarray(np.all((turned >= 0) & (turned < source.shape), axis=1))
            found = np.where(better[:, None], turned, found)
    return found


def _by_block(places: np.ndarray, source: Raster, size: int) -> np.ndarray:
    """Order windows so that those in one block of the file follow each other."""
    blocks = np.maximum(places - size // 2, 0) // np.array(source.block)
    return np.lexsort((places[:, 1], places[:, 0], blocks[:, 1], blocks[:, 0]))


@contextlib.contextmanager
def _workers(n_threads: int) -> Iterator[Callable[..., Any]]:
    """Give a `map`, over threads if more than one is wanted; an error stops those that wait."""
    if n_threads == 1:
        yield map
        return
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _cut_chips(
    source: Raster, reader: Reader, folder: Path, size: int, overwrite: bool, places: np.ndarray
) -> list[str | None]:
    """Write the chips around some pixels and give their paths, None where there is no data."""
    with contextlib.ExitStack() as stack:
        read: Read | None = None
        paths: list[str | None] = []
        for row, column in places.tolist():
            path = _chip_file_name(source, folder, size, row, column, None)
            if path is not None and not overwrite and path.exists():
                paths.append(str(path))
                continue
            # Opened at the first chip that is missing: a second call opens nothing.
            read = read or stack.enter_context(reader())
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
    """Name a chip by all that decides it, or None if its pixels have to be known first."""
    if source.identity is None and chip is None:
        return None
    crs = source.crs.to_wkt() if source.crs else None
    decisive = (source.identity, source.bands, source.descriptions, str(source.nodata), crs)
    digest = hashlib.blake2b(repr(decisive).encode(), digest_size=8)
    if source.identity is None and chip is not None:
        digest.update(repr((source.transform[:6], source.dtype)).encode())
        for part in chip:
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source.name).stem)[:40] or "raster"
    return folder / f"{stem}_{digest.hexdigest()}_r{row}_c{column}_{size}.tif"


def _cut_chip(
    source: Raster, read: Read, row: int, column: int, size: int
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Read one chip with its mask; None if it holds no data."""
    top, left = row - size // 2, column - size // 2
    window = (
        max(top, 0),
        min(top + size, source.shape[0]),
        max(left, 0),
        min(left + size, source.shape[1]),
    )
    values, mask = read(window)
    if not _holds_data(values, mask, source.nodata):
        return None
    rows = (window[0] - top, top + size - window[1])
    columns = (window[2] - left, left + size - window[3])
    if any(rows + columns):
        if source.nodata is not None:
            values = np.pad(values, ((0, 0), rows, columns), constant_values=source.nodata)
        else:
            # No number is free to mean "nothing here", so a mask has to say it.
            mask = np.ones(values.shape[1:], dtype=bool) if mask is None else mask
            values = np.pad(values, ((0, 0), rows, columns), mode="edge")
        mask = None if mask is None else np.pad(mask, (rows, columns))
    return values, mask


def _holds_data(values: np.ndarray, mask: np.ndarray | None, nodata: float | None) -> bool:
    valid = np.ones(values.shape, dtype=bool) if mask is None else mask & np.ones_like(values, bool)
    if values.dtype.kind in "fc":
        valid &= ~np.isnan(values)
    if nodata is not None:
        # Compared in the type of the pixels, in which the nodata value was written.
        valid &= values != values.dtype.type(nodata)
    return bool(valid.any())


def _warn_missing(
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
            f"{empty} {'is' if empty == 1 else 'are'} where the raster {name} holds no data"
        )
    warnings.warn(
        f"{outside + empty} of {len(chips)} rows have no chip in {column!r}: "
        f"{' and '.join(reasons)}.",
        UserWarning,
        stacklevel=3,
    )


def _check_size(size: Any) -> int:
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if not whole or not 1 <= size <= _LARGEST_CHIP:
        raise ValueError(
            f"size={size!r} must be a number of pixels, an integer from 1 to {_LARGEST_CHIP}."
        )
    return int(size)


def _check_column(column: Any, X: pd.DataFrame) -> None:
    if not isinstance(column, Hashable):
        raise ValueError(f"column={column!r} must be the name of a new column.")
    if column in X.columns:
        raise ValueError(
            f"column={column!r} is a column of X already; choose another name, or drop it."
        )


def _path_of(path: Any, parameter: str) -> str:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(f"{parameter}={path!r} must be the path of a directory.")
    return os.fspath(path)
