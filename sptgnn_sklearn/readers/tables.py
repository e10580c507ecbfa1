"""One reader of tables of soil samples: text, Excel, Parquet and GIS formats."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..table.infer_roles import TableError
from .column_types import convert_columns, is_missing_word
from .header import clean_names, header_row, split_unit_row, units_of_names
from .text_files import decode_text, decompress_bytes, split_columns

__all__ = ["read_table"]

_EXTRA = 'pip install "sptgnn-sklearn[files]"'
_VECTOR_SUFFIXES = {".gpkg", ".shp", ".geojson", ".fgb", ".kml", ".gml", ".shz", ".gdb"}
_PARTS_OF_SHAPEFILES = {".dbf", ".shx", ".prj", ".cpg", ".sbn", ".sbx", ".qix"}
_CONVERT_FIRST = {
    **dict.fromkeys((".xls", ".xlsb"), "an old Excel format: save it as .xlsx or CSV in Excel"),
    ".ods": "a LibreOffice table: save it as .xlsx or CSV",
    **dict.fromkeys((".rds", ".rdata", ".rda"), "a file of R: write it with write.csv in R"),
    **dict.fromkeys((".sav", ".dta", ".sas7bdat"), "a file of another program: export it as CSV"),
    ".mdb": "a database: export the table as CSV",
    **dict.fromkeys((".pdf", ".doc", ".docx"), "a document: save its table as .xlsx or CSV"),
    **dict.fromkeys((".tif", ".tiff"), "a raster, no table of samples"),
}


def read_table(
    path: str | os.PathLike[str],
    *,
    sheet: str | int | None = None,
    layer: str | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    na: Sequence[Any] = (),
    skip_rows: int | None = None,
    dayfirst: bool | None = None,
) -> pd.DataFrame:
    r"""Read a table of samples from a file in any common format.

    The format is found from the content: delimited text (also compressed by gzip, bzip2 or xz),
    Excel (.xlsx), Parquet, GeoParquet, GeoPackage, shapefile (also zipped), GeoJSON and other
    vector formats of GDAL. Formats other than text need the extra "files".

    Parameters
    ----------
    path : path-like
    sheet : str or int, default=None
        Name or number (from 1) of the sheet of an Excel file. None takes the first one with a
        table.
    layer : str, default=None
        Layer of a GeoPackage or another vector file. None takes the first one with points.
    sep : str, default=None
        Separator of a text file, or "comma", "semicolon", "tab", "pipe" or "blanks". None finds it.
    decimal : {".", ","}, default=None
        Decimal mark of numbers in text. None finds that of each column.
    thousands : str, default=None
        Thousands mark of numbers in text. None raises an error if there are such marks.
    encoding : str, default=None
        Encoding of a text file. None uses the byte order mark, or else UTF-8, or else cp1252.
    na : sequence of str or float, default=()
        Words and numbers that mean no data, such as -9999, beyond the usual words ("NA", "n.a.",
        "-", "null", ...).
    skip_rows : int, default=None
        Number of lines before the column names. None leaves out comments (lines that begin with #)
        and titles.
    dayfirst : bool, default=None
        Whether 03/04/2001 is in April. None converts columns of dates in which a number above 12
        shows the order of day and month, and leaves others as text.

    Returns
    -------
    DataFrame or GeoDataFrame
        One row per sample, labeled by the number of the data row from 0; empty rows are left out.
        Vector formats give a GeoDataFrame. ``attrs["notes"]`` lists what was guessed or left out,
        and ``attrs["units"]`` the units in names and in a row of units below them.

    Raises
    ------
    TableError
        A ValueError with the file, what was found and what to do: if the file cannot be read, has
        no table, or needs a package that is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> from sptgnn_sklearn.readers import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "soil.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("# lab 7\nX coord;Y coord;SOC\nm;m;%\n1,5;2,5;0,8\n3,5;1,5;n.a.\n")
    ...     frame = read_table(path)
    >>> frame
       X coord  Y coord  SOC
    0      1.5      2.5  0.8
    1      3.5      1.5  NaN
    >>> frame.attrs["units"]
    {'X coord': 'm', 'Y coord': 'm', 'SOC': '%'}
    """
    path = Path(path)
    _check_options(decimal, thousands, skip_rows)
    try:
        kind = _file_kind(path)
        notes: list[str] = []
        if kind == "text":
            text, notes = decode_text(_text_bytes(path), encoding)
            names, frame, more = split_columns(text, sep, skip_rows)
            notes += more
        elif kind == "Excel":
            names, frame, notes = _read_excel(path, sheet, skip_rows)
        else:
            read = _read_parquet if kind == "Parquet" else _read_vector
            frame, notes = read(path, layer, encoding)
            names = [str(label) for label in frame.columns]
        frame, units = _tidy(frame, names, notes, kind in ("text", "Excel"))
        frame, more = convert_columns(
            frame, decimal=decimal, thousands=thousands, na=na, dayfirst=dayfirst
        )
    except TableError as error:
        raise TableError(f"{path}: {error}") from error
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror or error}.") from error
    if not len(frame):
        raise TableError(f"{path}: has no rows.")
    frame.attrs["notes"], frame.attrs["units"] = notes + more, units
    return frame


def _check_options(decimal: str | None, thousands: str | None, skip_rows: int | None) -> None:
    if decimal not in (None, ".", ","):
        raise TableError(f"decimal={decimal!r} must be '.' or ','.")
    if thousands is not None and (len(thousands) != 1 or thousands == decimal):
        raise TableError(
            f"thousands={thousands!r} must be one character other than decimal={decimal!r}."
        )
    if skip_rows is not None and skip_rows < 0:
        raise TableError(f"skip_rows={skip_rows} must be at least 0.")


def _file_kind(path: Path) -> str:
    """Return "text", "Excel", "Parquet" or "vector", from content first and then from the name."""
    suffix = path.suffix.lower()
    if path.is_dir() and suffix == ".gdb":
        return "vector"
    if not path.exists():
        folder = path.parent
        near = (
            difflib.get_close_matches(path.name, os.listdir(folder), 1) if folder.is_dir() else []
        )
        raise TableError("no such file" + (f"; did you mean {near[0]}?" if near else "."))
    if path.is_dir():
        raise TableError("is a folder, not a file.")
    with open(path, "rb") as file:
        start = file.read(16)
    if not start:
        raise TableError("is empty.")
    if start.startswith(b"PK"):
        return _zip_kind(path)
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise TableError(f"is {_CONVERT_FIRST['.xls']}.")
    if suffix in _PARTS_OF_SHAPEFILES:
        raise TableError(f"is a part of a shapefile: give {path.with_suffix('.shp').name}.")
    if suffix in _CONVERT_FIRST:
        raise TableError(f"is {_CONVERT_FIRST[suffix]}.")
    if start.startswith(b"PAR1") or suffix in {".parquet", ".pq", ".geoparquet"}:
        return "Parquet"
    if suffix in {".xlsx", ".xlsm"}:
        raise TableError("is no Excel file, in spite of its name: save it again as .xlsx.")
    if start.startswith((b"SQLite format 3", b"\0\0\x27\x0a", b"fgb")) or suffix in (
        _VECTOR_SUFFIXES
    ):
        return "vector"
    if suffix == ".json" and start.lstrip().startswith(b"{"):
        return "vector"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise TableError("is a web page: download the table itself.")
    return "text"


def _zip_kind(path: Path) -> str:
    names = _zip_names(path)
    if "xl/workbook.xml" in names:
        return "Excel"
    suffixes = [Path(name).suffix.lower() for name in names]
    if _VECTOR_SUFFIXES & set(suffixes):
        return "vector"
    if len(names) == 1 and suffixes[0] in {".csv", ".txt", ".tsv", ".dat"}:
        return "text"
    if "content.xml" in names:
        raise TableError(f"is {_CONVERT_FIRST['.ods']}.")
    raise TableError(
        f"is a zip file with {', '.join(names[:5]) or 'no files'}: unpack it and give one table."
    )


def _zip_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise TableError(f"is a damaged zip or Excel file ({error}): copy it again.") from error


def _text_bytes(path: Path) -> bytes:
    if zipfile.is_zipfile(path) and path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(_zip_names(path)[0])
    return decompress_bytes(path.read_bytes())


def _read_excel(
    path: Path, sheet: str | int | None, skip_rows: int | None
) -> tuple[list[str], pd.DataFrame, list[str]]:
    try:
        import openpyxl
    except ImportError as error:
        raise TableError(f"reading Excel files needs openpyxl: {_EXTRA}.") from error
    try:
        # Formulas by their stored results; streaming reads ignore wrong stored dimensions.
        book = openpyxl.load_workbook(path, read_only=False, data_only=True)
    except Exception as error:  # openpyxl raises various errors on damaged files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TableError(f"cannot be read as Excel: {reason}") from error
    names = [book_sheet.title for book_sheet in book.worksheets]
    chosen = names if sheet is None else [_find_sheet(sheet, names)]
    for name in chosen:
        rows = [list(row) for row in book[name].iter_rows(values_only=True)]
        rows = rows[skip_rows or 0 :]
        filled = [row for row in rows if not all(is_missing_word(cell) for cell in row)]
        if len(filled) >= 2 and len(filled[0]) >= 2:
            break
    else:
        raise TableError(f"has no sheet with a table; its sheets are {', '.join(names)}.")
    notes = []
    if sheet is None and len(names) > 1:
        notes.append(f"sheet {name!r} of {', '.join(names)}; set sheet= for another")
    start = header_row(filled)
    if start:
        notes.append(f"left out {start} rows above the column names")
    header, body = filled[start], pd.DataFrame(filled[start + 1 :], dtype=object)
    used = [
        i
        for i, label in enumerate(header)
        if not is_missing_word(label) or (len(body) and body[i].notna().any())
    ]
    frame = body[used] if len(body) else pd.DataFrame(columns=used, dtype=object)
    return [header[i] for i in used], frame, notes


def _find_sheet(sheet: str | int, names: list[str]) -> str:
    if sheet in names:
        return str(sheet)
    number = str(sheet).strip()
    if number.isdigit() and 1 <= int(number) <= len(names):
        return names[int(number) - 1]
    near = difflib.get_close_matches(str(sheet), names, 1)
    known = f"did you mean {near[0]!r}?" if near else f"its sheets are {', '.join(names)}."
    raise TableError(f"has no sheet={sheet!r}; {known}")


def _read_parquet(
    path: Path, layer: str | None, encoding: str | None
) -> tuple[pd.DataFrame, list[str]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise TableError(f"reading Parquet files needs pyarrow: {_EXTRA}.") from error
    try:
        if b"geo" in (pyarrow.parquet.read_schema(path).metadata or {}):
            return _to_points(_geopandas("GeoParquet").read_parquet(path))
        frame = pd.read_parquet(path)
    except TableError:
        raise
    except Exception as error:  # pyarrow and geopandas raise various errors on damaged files
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TableError(f"cannot be read as Parquet: {reason}") from error
    named = [name for name in frame.index.names if name is not None]
    return (frame.reset_index() if named else frame.reset_index(drop=True)), []


def _read_vector(
    path: Path, layer: str | None, encoding: str | None
) -> tuple[pd.DataFrame, list[str]]:
    geopandas = _geopandas("GIS")
    try:
        import pyogrio
    except ImportError as error:
        raise TableError(f"reading GIS files needs pyogrio: {_EXTRA}.") from error
    notes: list[str] = []
    try:
        layers = {str(name): str(geometry) for name, geometry in pyogrio.list_layers(path)}
        if layer is not None and layer not in layers:
            near = difflib.get_close_matches(layer, layers, 1)
            known = f"did you mean {near[0]!r}?" if near else f"its layers are {', '.join(layers)}."
            raise TableError(f"has no layer={layer!r}; {known}")
        if layer is None and layers:
            points = [name for name, geometry in layers.items() if "Point" in geometry]
            layer = (points or list(layers))[0]
            if len(layers) > 1:
                notes.append(f"layer {layer!r} of {', '.join(layers)}; set layer= for another")
        options = {} if encoding is None else {"encoding": encoding}
        frame = geopandas.read_file(path, layer=layer, engine="pyogrio", **options)
    except TableError:
        raise
    except Exception as error:  # GDAL's errors and those of damaged files
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = (
            " A shapefile needs its .shp, .shx, .dbf and .prj in one folder."
            if path.suffix.lower() == ".shp"
            else ""
        )
        raise TableError(f"cannot be read as a GIS file: {reason}{hint}") from error
    frame, more = _to_points(frame)
    return frame, notes + more


def _geopandas(what: str) -> Any:
    try:
        import geopandas
    except ImportError as error:
        raise TableError(f"reading {what} files needs geopandas: {_EXTRA}.") from error
    return geopandas


def _to_points(frame: Any) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with points: multipoints of one point each become points."""
    frame = frame.reset_index(drop=True)
    if not hasattr(frame, "geom_type"):
        return frame, ["no geometry in this layer"]
    notes = []
    kinds = frame.geom_type.dropna()
    multi = kinds.index[kinds == "MultiPoint"]
    if len(multi):
        parts = frame.geometry[multi].count_geometries()
        if (parts > 1).any():
            row = int((parts > 1).idxmax()) + 1
            raise TableError(
                f"data row {row} holds {parts[row - 1]} points in one geometry: split it into "
                'single parts first ("Multipart to singleparts" in QGIS).'
            )
        frame = frame.set_geometry(
            frame.geometry.where(~frame.index.isin(multi), frame.geometry.centroid)
        )
    other = kinds[~kinds.isin(["Point", "MultiPoint"])]
    if len(other):
        raise TableError(
            f"holds {other.iloc[0]}s (data row {int(other.index[0]) + 1}), but samples are points: "
            'make points first (for example "Centroids" in QGIS).'
        )
    if frame.crs is None:
        notes.append("no coordinate reference system in the file; set crs=")
    return frame, notes


def _tidy(
    frame: Any, names: Sequence[Any], notes: list[str], raw: bool
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Name the columns and remove rows of units and empty rows and columns."""
    labels, more = clean_names(names)
    notes += more
    if not raw:
        if labels != list(frame.columns):
            geometry = getattr(frame, "_geometry_column_name", None)
            frame = frame.set_axis(labels, axis=1)
            if geometry is not None and geometry not in labels:
                frame = frame.set_geometry(str(geometry).strip())
        return frame, units_of_names(labels)
    frame = frame.set_axis(labels, axis=1)
    unnamed = [
        label
        for label, name in zip(labels, names, strict=True)
        if is_missing_word(name) and all(is_missing_word(cell) for cell in frame[label])
    ]
    frame, units = split_unit_row(frame.drop(columns=unnamed))
    if units:
        shown = ", ".join(f"{label}: {unit}" for label, unit in list(units.items())[:6])
        notes.append(f"the row below the column names is read as units ({shown})")
    frame = frame.reset_index(drop=True).infer_objects()
    empty = frame.isna().all(axis=1)
    if empty.any():
        frame = frame[~empty]
        notes.append(f"left out {int(empty.sum())} empty rows")
    return frame, units_of_names([str(label) for label in frame.columns]) | units
