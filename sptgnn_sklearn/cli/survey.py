"""A table read and checked by the options of a subcommand, and its description."""

from __future__ import annotations

import argparse
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import skew

from ..readers.censored import replace_censored
from ..readers.tables import read_table
from ..spatial.coordinate_checks import in_degrees
from ..spatial.crs import SpatialReference, resolve_crs, same_crs
from ..table.geo_frames import GEOMETRY_LABELS, is_geo_frame
from ..table.infer_roles import (
    Roles,
    TableError,
    find_coordinate_pair,
    infer_roles,
    resolve_column,
)
from ..table.schema import TableSchema
from ..table.table_checks import check_no_data_target, is_laboratory_name, warn_unlikely_values
from ..table.target_scaling import choose_transform
from .options import in_options

__all__ = [
    "Survey",
    "as_classes",
    "as_table_error",
    "check_counts",
    "describe",
    "forbid_existing",
    "print_warnings",
    "read_frame",
    "read_survey",
    "resolve_columns",
    "warning_lines",
]

_MIN_TABLE_ROWS = 20


@dataclass(frozen=True)
class Survey:
    """A checked table with its roles.

    Attributes
    ----------
    path : Path
    frame : DataFrame
        All rows and columns of the file; points of a geometry are two columns.
    X : DataFrame
        Columns in use, of the rows with target and coordinates.
    y : ndarray of shape (n,)
    roles : Roles
    crs : str or None
        CRS of the option or of the file.
    reference : SpatialReference
    caught : list of warnings
        Of the checks of X and y.
    dropped : dict of str to int
        Number of rows that are not used, by reason.
    """

    path: Path
    frame: pd.DataFrame
    X: pd.DataFrame
    y: np.ndarray
    roles: Roles
    crs: str | None
    reference: SpatialReference
    caught: list[warnings.WarningMessage]
    dropped: dict[str, int]

    @property
    def named_roles(self) -> dict[str, Any]:
        """Role parameters of the estimators."""
        roles = self.roles
        named = {"coordinates": roles.coordinates, "crs": self.crs, "time": roles.time}
        named |= {"elevation": roles.elevation, "site": roles.site}
        return named | {"noise_std": roles.noise_std, "campaign": roles.campaign}


def read_survey(options: argparse.Namespace) -> Survey:
    """Read the table, infer the roles of its columns, and check both.

    Raises
    ------
    TableError
        If the file, a column or an option is invalid.
    """
    with warnings.catch_warnings(record=True) as caught_reading:
        warnings.simplefilter("always")
        frame, file_crs = read_frame(options, options.drop, options.categorical)
    drop = resolve_columns(frame, options.drop, "--drop")
    roles = infer_roles(
        frame,
        options.target,
        coordinates=_coordinate_pair(frame, options.coordinates),
        time=options.time,
        elevation=options.elevation,
        site=options.site,
        noise_std=options.noise_std,
        campaign=options.campaign,
        drop=drop,
    )
    crs = _choose_crs(options, file_crs, roles.coordinates)
    target = _read_target(frame[roles.target])
    located = frame[list(roles.coordinates)].notna().all(axis=1)
    kept = target.notna() & located
    X, y = frame.loc[kept, roles.used].copy(), target[kept].to_numpy(dtype=float)
    dropped = {
        "without target": int(target.isna().sum()),
        "without coordinates": int((target.notna() & ~located).sum()),
    }
    if len(y) < _MIN_TABLE_ROWS:
        raise TableError(
            f"{options.table}: {len(y)} rows have a target and coordinates; at least "
            f"{_MIN_TABLE_ROWS} are needed."
        )
    if np.ptp(y) == 0:
        raise TableError(f"--target {roles.target}: all rows have the value {y[0]:g}.")
    with as_table_error():
        check_no_data_target(y, f"--target {roles.target}:", "read the value as missing by --na")
    with as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schema, table = TableSchema.fit_transform(
            X,
            coordinates=roles.coordinates,
            crs=crs,
            time=roles.time,
            elevation=roles.elevation,
            site=roles.site,
            noise_std=roles.noise_std,
            campaign=roles.campaign,
        )
        warn_unlikely_values(schema, table, y)
    caught = [*caught_reading, *caught]
    return Survey(options.table, frame, X, y, roles, crs, schema.reference, caught, dropped)


def read_frame(
    options: argparse.Namespace,
    drop: Sequence[str] = (),
    categorical: Sequence[str] = (),
    fitted: tuple[tuple[str, str], str | None] | None = None,
) -> tuple[pd.DataFrame, str | None]:
    """Read the table, with limits of detection as numbers and points as two columns.

    Values of ``--rasters`` at the points are further columns.

    Parameters
    ----------
    options : Namespace
        Of `add_reading_options`.
    drop, categorical : sequence of str
        Columns that are not used, and columns of class codes.
    fitted : pair of coordinate columns and CRS, default=None
        Those of a model, for points of a table and options without.

    Returns
    -------
    frame : DataFrame
    crs : str or None
        CRS of the geometry.
    """
    names = ("sheet", "layer", "sep", "decimal", "thousands", "encoding", "skip_rows", "dayfirst")
    frame = read_table(
        options.table,
        **{name: getattr(options, name) for name in names},
        na=[entry for value in options.na for entry in value.split(",") if entry],
    )
    frame.columns = [str(label) for label in frame.columns]
    frame, crs = _points_to_columns(frame)
    if options.rasters:
        frame = _add_rasters(frame, options, crs, fitted)
    classes = resolve_columns(frame, categorical, "--categorical")
    for label in classes:
        frame[label] = as_classes(frame[label])
    unused = resolve_columns(frame, drop, "--drop")
    with as_table_error():
        for label in frame.columns.difference([*classes, *unused]):
            column = frame[label]
            if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
                frame[label] = replace_censored(column, options.censored)
    return frame, crs


def _add_rasters(
    frame: pd.DataFrame,
    options: argparse.Namespace,
    file_crs: str | None,
    fitted: tuple[tuple[str, str], str | None] | None,
) -> pd.DataFrame:
    from .rasters import add_raster_columns

    given = _coordinate_pair(frame, options.coordinates)
    pair = None if given is None else (given[0], given[1])
    if pair is None and fitted is not None and {*fitted[0]} <= {*frame.columns}:
        pair = fitted[0]
    pair = pair or find_coordinate_pair(frame)
    if pair is None:
        raise TableError(
            f"--rasters: {options.table} has no columns with recognized names of coordinates; set "
            "--coordinates."
        )
    crs = _choose_crs(options, file_crs, pair) or resolve_crs(None, pair).crs
    crs = crs or (None if fitted is None else fitted[1])
    with as_table_error():
        return add_raster_columns(frame, options.rasters, pair, crs, options.mask_and_scale)


def _points_to_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """Return a GeoDataFrame as a DataFrame with two coordinate columns, and its CRS."""
    if not is_geo_frame(frame):
        return frame, None
    points: Any = frame.geometry
    table = pd.DataFrame(frame.drop(columns=points.name))
    for position, values in enumerate((points.x, points.y)):
        table.insert(position, GEOMETRY_LABELS[position], values.to_numpy(dtype=float))
    table.attrs = dict(frame.attrs)
    return table, None if points.crs is None else resolve_crs(points.crs, GEOMETRY_LABELS).crs


def _choose_crs(
    options: argparse.Namespace, file_crs: str | None, pair: tuple[str, str]
) -> str | None:
    if options.crs is not None:
        try:
            resolve_crs(options.crs, pair)
        except ValueError as error:
            raise TableError(
                f"--crs {options.crs}: no coordinate reference system that PROJ knows; give a code "
                "such as EPSG:32633 (UTM zone 33N)."
            ) from error
    if file_crs is None or pair != GEOMETRY_LABELS:
        return options.crs
    if options.crs is not None and not same_crs(file_crs, options.crs):
        raise TableError(
            f"--crs {options.crs} differs from the CRS of {options.table}, {file_crs}: leave --crs "
            "out."
        )
    return file_crs


def _coordinate_pair(frame: pd.DataFrame, entries: Sequence[str] | None) -> list[str] | None:
    if entries is None:
        return None
    pair = resolve_columns(frame, entries, "--coordinates")
    if len(pair) != 2:
        raise TableError(
            f"--coordinates {' '.join(entries)}: give two different columns, longitude and "
            "latitude or easting and northing."
        )
    return pair


def resolve_columns(frame: pd.DataFrame, entries: Sequence[str], option: str) -> list[str]:
    """Return the columns of an option whose entries may be separated by commas.

    Raises
    ------
    TableError
        If a column does not exist.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.cli.survey import resolve_columns
    >>> frame = pd.DataFrame(columns=["pH", "Clay", "a, b"])
    >>> resolve_columns(frame, ["pH,Clay", "a, b"], "--drop")
    ['pH', 'Clay', 'a, b']
    """
    labels = []
    for entry in entries:
        parts = [entry] if entry in frame.columns else [part.strip() for part in entry.split(",")]
        labels += [resolve_column(frame, part, option) for part in parts if part]
    return list(dict.fromkeys(labels))


def as_classes(column: pd.Series) -> pd.Series:
    """Return class codes as categories; integers read as floats lose their decimal point.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.cli.survey import as_classes
    >>> as_classes(pd.Series([1.0, None, 2.0])).cat.categories.tolist()
    ['1', '2']
    """
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").astype("category")


def _read_target(column: pd.Series) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = ((values.isna() & column.notna()) | np.isinf(values)).to_numpy(dtype=bool)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise TableError(
            f"--target {column.name}: must be numeric; data row {column.index[first] + 1} has "
            f"{column.iloc[first]!r} ({int(wrong.sum())} such rows): correct these entries, or "
            "read them as missing by --na."
        )
    return values


def describe(survey: Survey, transform: str) -> list[str]:
    """Return the lines that all subcommands print: rows, target, roles and distances."""
    frame, roles, y = survey.frame, survey.roles, survey.y
    counts = [f"{count} {why}" for why, count in survey.dropped.items() if count]
    note = f"; dropped: {', '.join(counts)}" if counts else ""
    unit = frame.attrs.get("units", {}).get(roles.target)
    lines = [f"table        {survey.path}: {len(y)} rows{note}"]
    lines += [f"             {in_options(note)}" for note in frame.attrs.get("notes", [])]
    lines.append(
        f"target       {roles.target}{f' ({unit})' if unit else ''}: {y.min():.6g} to "
        f"{y.max():.6g}, mean {y.mean():.4g}, skewness {skew(y):.2f}"
    )
    lines.append(f"transform    {_transform_words(transform, y)}")
    lines += [in_options(line) for line in roles.describe(survey.X.join(frame[[roles.target]]))]
    laboratory = [label for label in roles.covariates if is_laboratory_name(label)]
    if laboratory:
        lines.append(
            f"laboratory values used as covariates: {', '.join(laboratory)}; drop them with --drop "
            "if they are unknown at the map's cells"
        )
    rasters = frame.attrs.get("raster_columns", [])
    without = [label for label in roles.covariates if label not in rasters]
    if rasters and without:
        lines.append(
            f"without raster: {', '.join(without)}; a map needs a raster or one value for each of "
            "them, otherwise exclude them by --drop"
        )
    crs, unit = survey.reference.crs, survey.reference.unit
    lines.append(
        f"distances    {unit} ({_short_crs(crs)})"
        if crs
        else f"distances    unknown unit; {_guess_crs(survey)}"
    )
    return lines


def _transform_words(transform: str, y: np.ndarray) -> str:
    if transform == "log1p" and y.min() <= -1:
        raise TableError(
            f"--target-transform log1p: the target must be above -1; found {y.min():g}."
        )
    skewed = choose_transform(y) is not None
    if transform == "auto":
        chosen = "log1p" if skewed else "none"
        return f"{chosen} (by skewness of all rows; repeated in each fit)"
    if transform == "none" and skewed:
        return "none (the target is skewed: compare with --target-transform log1p)"
    return f"{transform} ({'default' if transform == 'none' else 'as set'})"


def _short_crs(crs: str) -> str:
    name = re.match(r'\w+\["([^"]*)"', crs)  # WKT
    return name[1] if name else crs


def _guess_crs(survey: Survey) -> str:
    """Return what to do about an unknown CRS, with a guess from the numbers."""
    xy = survey.X[list(survey.roles.coordinates)].to_numpy(dtype=float)
    if in_degrees(xy).all():
        return "the numbers look like longitude and latitude: set --crs EPSG:4326"
    x, y = np.median(xy, axis=0)
    if 100_000 < x < 900_000 and 0 < y < 10_000_000:
        return "the numbers look like UTM: set --crs, such as EPSG:32633 (UTM zone 33N)"
    return "set --crs"


@contextmanager
def as_table_error() -> Iterator[None]:
    """Turn errors about the table, a raster or a missing extra into TableError.

    Examples
    --------
    >>> from sptgnn_sklearn.cli.survey import as_table_error
    >>> with as_table_error():
    ...     raise TypeError("column 'a' holds objects")
    Traceback (most recent call last):
        ...
    sptgnn_sklearn...TableError: column 'a' holds objects
    """
    try:
        yield
    except TableError:
        raise
    except ImportError as error:
        if "pip install" not in str(error):
            raise
        raise TableError(str(error)) from error
    except (OSError, TypeError, ValueError) as error:
        raise TableError(str(error)) from error


def print_warnings(
    caught: Sequence[warnings.WarningMessage], printed: Sequence[warnings.WarningMessage] = ()
) -> None:
    """Print each warning once, except for those that were printed before."""
    known = {str(warning.message) for warning in printed}
    for line in warning_lines([new for new in caught if str(new.message) not in known]):
        print(f"note: {line}")


def warning_lines(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Return each warning once, the first of those that differ in numbers only, as between folds.

    Examples
    --------
    >>> import warnings
    >>> from sptgnn_sklearn.cli.survey import warning_lines
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     for n in (1, 2):
    ...         warnings.warn(f"{n} rows are far away; set crs=.", stacklevel=1)
    >>> warning_lines(caught)
    ['1 rows are far away; set --crs. (2 times)']
    """
    # Others, such as deprecations, are about the code of libraries; pyparsing's are both.
    shown = [
        warning
        for warning in caught
        if issubclass(warning.category, UserWarning)
        and not issubclass(warning.category, DeprecationWarning)
    ]
    messages = [in_options(str(warning.message)) for warning in shown]
    templates = [re.sub(r"(\d[\d.e+-]*(, )?)+", "#", message) for message in messages]
    lines = []
    for template, times in Counter(templates).items():
        first = messages[templates.index(template)]
        lines.append(f"{first}{f' ({times} times)' if times > 1 else ''}")
    return lines


def check_counts(options: argparse.Namespace, **least: int) -> None:
    """Raise an error if a number of an option is too small.

    Raises
    ------
    TableError
    """
    if getattr(options, "jobs", 1) == 0:
        raise TableError("--jobs 0: must be at least 1, or -1 for all cores.")
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise TableError(f"--{name} {value}: must be at least {smallest}.")


def forbid_existing(path: Path, force: bool, option: str = "-o") -> None:
    """Raise an error if an output file exists or cannot be written.

    Raises
    ------
    TableError
    """
    if path.is_dir():
        raise TableError(f"{option} {path}: is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise TableError(f"{option} {path}: the folder {path.parent} does not exist.")
    if path.exists() and not force:
        raise TableError(
            f"{option} {path}: exists; choose another name, or replace it with --force."
        )
