"""Command line ``python -m sptgnn_sklearn TABLE --target COLUMN``: cross-validate on a table."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GroupKFold

from .baseline import XGBoostBaseline
from .model_selection import SpatialBlockKFold
from .model_selection.comparison import ComparisonResult, compare_models
from .readers.censored import replace_censored
from .regressor import SpTGNNRegressor
from .spatial.blocks import location_ids
from .table.coordinate_columns import locate_coordinates
from .table.infer_roles import Roles, TableError, infer_roles, resolve_column
from .table.schema import TableSchema
from .table.table_checks import check_no_data_target, is_laboratory_name
from .table.target_scaling import choose_transform

__all__ = ["main"]

PROGRAM = "python -m sptgnn_sklearn"
_MIN_TABLE_ROWS = 20
_FOLDS = ("random", "block")
_MODEL = "SpTGNN"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        None uses ``sys.argv``.

    Returns
    -------
    code : int
        0, or 2 with one line on stderr if the table or an option is invalid.

    Examples
    --------
    >>> from sptgnn_sklearn.cli import main
    >>> main(["no_such_table.csv", "--target", "soc"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        job = _prepare(options)
    except TableError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = compare_models(
            job.models,
            job.X,
            job.y,
            job.splits,
            coordinates=job.roles.coordinates,
            crs=options.crs,
        )
    print(f"\n{result.to_markdown()}\n")
    _report(caught)
    for path in _write_outputs(result, job, options):
        print(f"wrote {path}")
    return 0


@dataclass(frozen=True)
class _Job:
    """A checked table with its roles, models and folds."""

    X: pd.DataFrame
    y: np.ndarray
    roles: Roles
    models: dict[str, Any]
    splits: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    log1p: bool


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Compare SpTGNN with XGBoost and the training mean on a table of soil samples, "
        "under random folds and under spatial block folds.",
        epilog="Column roles are inferred from names and printed; options override them.",
    )
    parser.add_argument("table", type=Path, help="CSV or Parquet file, one row per sample")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="column to predict")
    parser.add_argument(
        "--coordinates",
        nargs=2,
        metavar=("X", "Y"),
        help="columns of longitude and latitude, or easting and northing",
    )
    parser.add_argument("--crs", help="coordinate reference system, such as EPSG:28992")
    for role, what in (
        ("time", "dates or years"),
        ("elevation", "elevation"),
        ("site", "profile or site ids"),
    ):
        parser.add_argument(f"--{role}", metavar="COLUMN", help=f'column of {what}, or "none"')
    for option, what in (
        ("drop", "columns to exclude"),
        ("categorical", "numeric columns that hold class codes"),
    ):
        parser.add_argument(
            f"--{option}", nargs="+", action="extend", default=[], metavar="COLUMN", help=what
        )
    parser.add_argument(
        "--na",
        nargs="+",
        type=float,
        default=[],
        metavar="NUMBER",
        help="numbers that mean no data",
    )
    parser.add_argument(
        "--censored",
        choices=("half", "limit", "drop"),
        help="value of entries such as <0.1: half the limit, the limit, or missing",
    )
    transform = parser.add_mutually_exclusive_group()
    transform.add_argument(
        "--target-transform",
        choices=("auto", "log1p", "none"),
        default="auto",
        help="transform of the target; auto uses log1p if it is skewed (default: auto)",
    )
    transform.add_argument(
        "--log", action="store_const", const="log1p", dest="target_transform", help="log1p"
    )
    parser.add_argument(
        "--folds",
        type=_fold_kinds,
        default=_FOLDS,
        metavar="KINDS",
        help="random, block or random,block (default: random,block)",
    )
    parser.add_argument(
        "--splits", type=int, default=5, help="number of folds of each kind (default: 5)"
    )
    parser.add_argument("--members", type=int, help="number of ensemble members")
    parser.add_argument("--seed", type=int, default=0, help="seed of models and folds (default: 0)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("sptgnn-output"),
        metavar="DIR",
        help="output folder (default: sptgnn-output)",
    )
    return parser


def _fold_kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(text.split(",")))
    if not set(kinds) <= set(_FOLDS):
        raise argparse.ArgumentTypeError(f"{text!r} is not random, block or random,block")
    return kinds


def _prepare(options: argparse.Namespace) -> _Job:
    """Read the table and check it and all options before any model is fitted."""
    for name, least in (("members", 1), ("splits", 2), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise TableError(f"--{name} {value}: must be at least {least}.")
    frame = _read(options.table)
    frame = frame.mask(frame.isin(options.na)) if options.na else frame
    for label in options.categorical:
        column = frame[resolve_column(frame, label, "--categorical")]
        frame[label] = _as_classes(column)
    with _as_table_error():
        for label in frame.columns.difference([*options.categorical, *options.drop]):
            if pd.api.types.is_string_dtype(frame[label].dtype):
                frame[label] = replace_censored(frame[label], options.censored)
    roles = infer_roles(
        frame,
        options.target,
        coordinates=options.coordinates,
        time=options.time,
        elevation=options.elevation,
        site=options.site,
        drop=options.drop,
    )
    target = _read_target(frame[roles.target])
    located = frame[list(roles.coordinates)].notna().all(axis=1)
    kept = target.notna() & located
    X, y = frame.loc[kept, roles.used], target[kept].to_numpy(dtype=float)
    _print_rows(options, target, located)
    for line in roles.describe(frame.loc[kept]):
        print(line)
    laboratory = [label for label in roles.covariates if is_laboratory_name(label)]
    if laboratory:
        print(
            f"laboratory values used as covariates: {', '.join(laboratory)}; drop them with --drop "
            "if they are unknown at the map's cells"
        )
    if len(y) < _MIN_TABLE_ROWS:
        raise TableError(
            f"{len(y)} rows have a target and coordinates; at least {_MIN_TABLE_ROWS} are required."
        )
    if y.min() == y.max():
        raise TableError(f"--target {roles.target}: all rows have the value {y[0]:g}.")
    with _as_table_error():
        check_no_data_target(y, f"--target {roles.target}:", "read the value as missing by --na")
    log1p = _uses_log1p(options.target_transform, y)
    named = {"coordinates": roles.coordinates, "crs": options.crs}
    named |= {"time": roles.time, "elevation": roles.elevation, "site": roles.site}
    with _as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schema = TableSchema.fit(X, **named)
        splits = _make_splits(X, y, roles, options)
    crs, unit = schema.reference.crs, schema.reference.unit
    print(f"distances    {f'{unit} ({crs})' if crs else 'unknown unit; set --crs'}")
    _report(caught)
    with _as_table_error():
        options.out.mkdir(parents=True, exist_ok=True)
    return _Job(X, y, roles, _models(options, named), splits, log1p)


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}.")
    parquet = path.suffix.lower() in {".parquet", ".pq"}
    try:
        frame = pd.read_parquet(path) if parquet else _read_csv(path)
    except ImportError as error:
        raise TableError(
            'reading Parquet needs pyarrow: pip install "sptgnn-sklearn[demo]"'
        ) from error
    except Exception as error:  # pandas, pyarrow and zlib raise various errors on damaged files
        # The first line names the problem.
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        kind = "Parquet" if parquet else "CSV in UTF-8"
        raise TableError(f"{path}: cannot be read as {kind}: {first}") from error
    frame.columns = [str(label) for label in frame.columns]
    if not len(frame):
        raise TableError(f"{path}: has no rows.")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file; the separator is the most frequent one in its first line."""
    opener: Callable[..., Any] = open
    if path.suffix.lower() == ".gz":
        import gzip

        opener = gzip.open
    with opener(path, "rt", encoding="utf-8-sig") as lines:
        header = lines.readline()
    separator = max(",;\t", key=header.count)
    # Files with semicolons or tabs often have decimal commas: more numeric columns decide.
    readings = [
        pd.read_csv(path, sep=separator, decimal=decimal, encoding="utf-8-sig")
        for decimal in ("." if separator == "," else ".,")
    ]
    return max(readings, key=lambda frame: frame.select_dtypes("number").shape[1])


def _as_classes(column: pd.Series) -> pd.Series:
    """Return class codes as categories; integers read as floats lose their decimal point."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").astype("category")


def _read_target(column: pd.Series) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = (values.isna() & column.notna()) | np.isinf(values)
    if wrong.any():
        raise TableError(
            f"--target {column.name}: must be numeric; data row {int(np.argmax(wrong)) + 1} "
            f"has {column[wrong].iloc[0]!r} ({int(wrong.sum())} such rows)."
        )
    return values


def _print_rows(options: argparse.Namespace, target: pd.Series, located: pd.Series) -> None:
    dropped = {"without target": target.isna(), "without coordinates": target.notna() & ~located}
    counts = [f"{rows.sum()} {why}" for why, rows in dropped.items() if rows.any()]
    note = f"; dropped: {', '.join(counts)}" if counts else ""
    print(f"table        {options.table}: {int((target.notna() & located).sum())} rows{note}")
    print(f"target       {options.target}")


def _uses_log1p(transform: str, y: np.ndarray) -> bool:
    """Print the transform of the target; return whether it is log1p for the whole table."""
    if transform == "log1p" and y.min() <= -1:
        raise TableError(
            f"--target-transform log1p: the target must be above -1; found {y.min():g}."
        )
    log1p = transform == "log1p" or (transform == "auto" and choose_transform(y) is not None)
    why = "by skewness of all rows; repeated in each fit" if transform == "auto" else "as set"
    print(f"transform    {'log1p' if log1p else 'none'} ({why})")
    return log1p


@contextmanager
def _as_table_error() -> Iterator[None]:
    """Turn errors about the table into TableError."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        raise TableError(str(error)) from error


def _make_splits(
    X: pd.DataFrame, y: np.ndarray, roles: Roles, options: argparse.Namespace
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    xy, _, _ = locate_coordinates(X, roles.coordinates, options.crs)
    # Rows of one location or site share a fold, also in random folds: they are near copies.
    groups = location_ids(xy, None if roles.site is None else X[roles.site])
    kinds = {
        "random": GroupKFold(options.splits, shuffle=True, random_state=options.seed),
        "block": SpatialBlockKFold(
            options.splits,
            coordinates=roles.coordinates,
            crs=options.crs,
            random_state=options.seed,
        ),
    }
    return {kind: list(kinds[kind].split(X, y, groups)) for kind in options.folds}


def _models(options: argparse.Namespace, named: dict[str, Any]) -> dict[str, Any]:
    transform = None if options.target_transform == "none" else options.target_transform
    shared = {**named, "target_transform": transform, "n_jobs": -1, "random_state": options.seed}
    network = SpTGNNRegressor(**shared)
    if options.members is not None:
        network.set_params(n_estimators=options.members)
    return {
        _MODEL: network,
        "XGBoost": XGBoostBaseline(**shared),
        "training mean": DummyRegressor(),
    }


def _report(caught: list[warnings.WarningMessage]) -> None:
    """Print each warning once, the first of those that differ in numbers only, as between folds."""
    messages = [str(warning.message) for warning in caught]
    templates = [re.sub(r"(\d[\d.e+-]*(, )?)+", "#", message) for message in messages]
    for template, times in Counter(templates).items():
        first = messages[templates.index(template)]
        print(f"note: {first}{f' ({times} times)' if times > 1 else ''}")


def _write_outputs(result: ComparisonResult, job: _Job, options: argparse.Namespace) -> list[Path]:
    files: dict[str, Callable[[Path], Any]] = {
        "comparison.csv": lambda path: result.table.to_csv(path, index=False),
        "predictions.csv": lambda path: result.predictions.to_csv(path, index=False),
    }
    if importlib.util.find_spec("matplotlib"):
        files["comparison.png"] = lambda path: _draw(result, job, path)
    else:
        print('note: no figure without matplotlib: pip install "sptgnn-sklearn[plot]"')
    written = []
    for name, write in files.items():
        # Atomic writes: an interrupted run leaves the previous file intact.
        partial = options.out / f".{name}.partial"
        try:
            write(partial)
            os.replace(partial, options.out / name)
        finally:
            partial.unlink(missing_ok=True)
        written.append(options.out / name)
    return written


def _draw(result: ComparisonResult, job: _Job, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")  # needs no display
    import matplotlib.pyplot as plt

    from .plotting import plot_comparison

    figure = plot_comparison(result, _MODEL, name=job.roles.target, log1p=job.log1p)
    figure.savefig(path, format="png", dpi=120, bbox_inches="tight")
    plt.close(figure)
