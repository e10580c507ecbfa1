"""Rasters as options: covariates of the samples of a table and of the cells of a map."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..maps.open_rasters import open_raster_file
from ..maps.sample_rasters import sample_rasters
from ..table.infer_roles import TableError, find_similar_column
from ..utils.messages import did_you_mean

__all__ = ["RasterBands", "add_raster_columns", "find_column_like", "match_rasters", "read_rasters"]

_NUMBERED_BAND = re.compile(r"(.+):(\d+)")


class RasterBands(NamedTuple):
    """One entry of an option.

    Attributes
    ----------
    entry : str
        Text of the entry.
    name : str or None
        Column that it names.
    bands : dict of str to path, (path, number) or float
        Bands of the file by name; one if the entry names a column.
    stem : str or None
        Name of a file with one band, which its description may replace.
    """

    entry: str
    name: str | None
    bands: dict[str, Any]
    stem: str | None = None


def read_rasters(entries: Sequence[str]) -> list[RasterBands]:
    """Return the bands of entries such as "dem.tif", "ndvi=s2.tif:2" and "depth=15".

    Parameters
    ----------
    entries : sequence of str
        A path, or NAME=PATH, NAME=PATH:BAND with a band number from 1, or NAME=NUMBER.

    Raises
    ------
    ValueError
        If a raster cannot be opened.
    TableError
        If an entry is neither of these.
    """
    return [_read_entry(entry) for entry in entries]


def _read_entry(entry: str) -> RasterBands:
    name, separator, path = entry.partition("=")
    if not separator or os.path.exists(entry):
        bands = [str(name) for name in open_raster_file(entry).data_vars]
        if len(bands) == 1:
            stem = os.path.splitext(os.path.basename(entry))[0]
            return RasterBands(entry, None, {bands[0]: entry}, stem)
        return RasterBands(
            entry, None, {band: (entry, number) for number, band in enumerate(bands, 1)}
        )
    if not name or not path:
        raise TableError(f"{entry}: must be PATH or NAME=PATH.")
    number = _to_float(path)
    if number is not None and not os.path.exists(path):
        return RasterBands(entry, name, {name: number})
    numbered = None if os.path.exists(path) else _NUMBERED_BAND.fullmatch(path)
    path, band = (numbered[1], int(numbered[2])) if numbered else (path, None)
    bands = [str(label) for label in open_raster_file(path).data_vars]
    if band is None and len(bands) > 1:
        raise TableError(
            f"{entry}: {path} has {len(bands)} bands ({', '.join(bands[:12])}); choose one, such "
            f"as {name}={path}:1."
        )
    if band is not None and not 1 <= band <= len(bands):
        raise TableError(f"{entry}: {path} has the bands 1 to {len(bands)}.")
    return RasterBands(entry, name, {name: path if band is None else (path, band)})


def _to_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def add_raster_columns(
    frame: pd.DataFrame,
    entries: Sequence[str],
    pair: tuple[str, str],
    crs: str | None,
    mask_and_scale: bool = False,
) -> pd.DataFrame:
    """Return the table with one more column for each raster band, sampled at its points.

    Parameters
    ----------
    frame : DataFrame
        Rows without coordinates have no values.
    entries : sequence of str
        As in `read_rasters`.
    pair : pair of str
        Coordinate columns.
    crs : str or None
        CRS of the coordinates.
    mask_and_scale : bool, default=False
        Whether scale and offset tags are applied.

    Raises
    ------
    TableError
        If two bands have one name, or the table has such a column.
    ValueError
        If a raster cannot be read.

    Warns
    -----
    UserWarning
        As `sample_rasters`.
    """
    origins: dict[str, str] = {}
    sources: dict[str, Any] = {}
    for raster in read_rasters(entries):
        for name, source in raster.bands.items():
            if name in frame.columns:
                raise TableError(
                    f"--rasters {raster.entry}: the table has a column {name}; rename the raster "
                    f"by NAME={raster.entry.rpartition('=')[2]}."
                )
            if name in origins:
                raise TableError(
                    f"--rasters {origins[name]} {raster.entry}: both are named {name}; rename one "
                    "by NAME=PATH."
                )
            origins[name], sources[name] = raster.entry, source
    xy = frame[list(pair)].apply(pd.to_numeric, errors="coerce")
    located = xy[xy.notna().all(axis=1)]
    sampled = sample_rasters(
        located, sources, coordinates=pair, crs=crs, mask_and_scale=mask_and_scale
    )
    columns = sampled[list(sources)].reindex(frame.index)
    result = pd.concat([frame, columns], axis=1)
    result.attrs = {**frame.attrs, "raster_columns": list(sources)}
    return result


def match_rasters(
    rasters: Sequence[RasterBands], labels: Sequence[str], optional: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Match rasters with the columns of a model.

    Names that differ in case, blanks and units are the same. The order is that of the rasters.

    Parameters
    ----------
    rasters : sequence of RasterBands
    labels : sequence of str
        Columns that need a raster.
    optional : sequence of str, default=()
        Columns that may have one.

    Returns
    -------
    sources : dict of str to path, (path, number) or float
        By column.
    unused : list of str
        Names of bands that are no column.

    Raises
    ------
    TableError
        If a column has no raster or two, or an entry names no column.

    Examples
    --------
    >>> from sptgnn_sklearn.cli.rasters import RasterBands, match_rasters
    >>> dem = RasterBands("altitude.tif", None, {"altitude": "altitude.tif"}, "altitude")
    >>> match_rasters([dem], ["Altitude (m)"])
    ({'Altitude (m)': 'altitude.tif'}, [])
    >>> match_rasters([dem], ["Altitude", "Slope"])
    Traceback (most recent call last):
        ...
    sptgnn_sklearn...TableError: the model has the columns Altitude, Slope, and no raster is ...
    """
    known = [*labels, *optional]
    sources: dict[str, Any] = {}
    entries: dict[str, str] = {}
    unused = []
    for raster, name, source in _all_bands(rasters):
        candidates = [name] if raster.stem is None else [name, raster.stem]
        found = [label for text in candidates if (label := find_column_like(text, known))]
        if raster.name is not None and not found:
            raise TableError(
                f"{raster.entry}: the model has no column {name}{_hint(name, known)} Its columns "
                f"are {', '.join(known)}."
            )
        if not found:
            unused.append(name)
            continue
        label = found[0]
        if label in sources:
            raise TableError(
                f"{entries[label]} and {raster.entry}: two rasters for the column {label}; leave "
                "one out, or rename it by NAME=PATH."
            )
        sources[label], entries[label] = source, raster.entry
    missing = [label for label in labels if label not in sources]
    if missing:
        raise TableError(_describe_missing(missing, labels, entries, unused))
    return sources, unused


def _all_bands(rasters: Sequence[RasterBands]) -> Iterator[tuple[RasterBands, str, Any]]:
    for raster in rasters:
        for name, source in raster.bands.items():
            yield raster, name, source


def find_column_like(name: str, labels: Sequence[str]) -> str | None:
    """Return the label that is a name up to case, blanks and units, or None.

    Examples
    --------
    >>> from sptgnn_sklearn.cli.rasters import find_column_like
    >>> find_column_like("elevation", ["Elevation (m)", "slope"])
    'Elevation (m)'
    """
    try:
        return find_similar_column(pd.DataFrame(columns=list(labels)), name, "")
    except TableError:
        return None


def _describe_missing(
    missing: Sequence[str], labels: Sequence[str], entries: Mapping[str, str], unused: Sequence[str]
) -> str:
    found = [f"{label} ({entry})" for label, entry in entries.items()]
    found += [f"{name}{_hint(name, missing).rstrip('.')}" for name in unused]
    return (
        f"the model has the columns {', '.join(labels)}, and no raster is given for "
        f"{', '.join(missing)}; found: {', '.join(found) or 'no raster'}. Give rasters as "
        f"{shlex.quote(f'{missing[0]}=PATH')}, or leave these columns out of the fit by --drop."
    )


def _hint(name: str, names: Sequence[str]) -> str:
    return did_you_mean(name, names)
