"""``python -m sptgnn_sklearn TABLE --target COLUMN``: score the model on a table from a file."""

from __future__ import annotations

import argparse
import importlib.util
import os
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
from .regressor import SpTGNNRegressor
from .spatial.blocks import location_ids
from .table.coordinate_columns import locate_coordinates
from .table.infer_roles import Roles, TableError, infer_roles, resolve_column
from .table.schema import TableSchema
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
        None takes those of the process.

    Returns
    -------
    code : int
        0; or 2, with one line on stderr, if the table or an option cannot be used.

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
    """A table that was read and checked, and what to do with it."""

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
        epilog="Roles of columns are guessed by name and printed; the options overrule the guess.",
    )
    parser.add_argument("table", type=Path, help="CSV or Parquet file, one row for each sample")
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
        ("drop", "columns to leave out"),
        ("categorical", "columns of numbers that are codes of classes"),
    ):
        parser.add_argument(
            f"--{option}", nargs="+", action="extend", default=[], metavar="COLUMN", help=what
        )
    transform = parser.add_mutually_exclusive_group()
    transform.add_argument(
        "--target-transform",
        choices=("auto", "log1p", "none"),
        default="auto",
        help="what models learn; auto takes logarithms of a skewed target (default: auto)",
    )
    transform.add_argument(
        "--log", action="store_const", const="log1p", dest="target_transform", help="log1p"
    )
    parser.add_argument(
        "--folds",
        type=_fold_kinds,
        default=_FOLDS,
        metavar="KINDS",
        help="random, block or both with a comma between (default: random,block)",
    )
    parser.add_argument("--splits", type=int, default=5, help="folds of each kind (default: 5)")
    parser.add_argument("--members", type=int, help="members of the ensemble")
    parser.add_argument("--seed", type=int, default=0, help="of models and folds (default: 0)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("sptgnn-output"),
        metavar="DIR",
        help="folder of the results (default: sptgnn-output)",
    )
    return parser


def _fold_kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(text.split(",")))
    if not set(kinds) <= set(_FOLDS):
        raise argparse.ArgumentTypeError(f"{text!r} is not random, block or random,block")
    return kinds


def _prepare(options: argparse.Namespace) -> _Job:
    """Read and check all that a user can get wrong, before anything is fitted."""
    for name, least in (("members", 1), ("splits", 2), ("seed", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise TableError(f"--{name} {value}: must be at least {least}.")
    frame = _read(options.table)
    for label in options.categorical:
        column = frame[resolve_column(frame, label, "--categorical")]
        frame[label] = _as_classes(column)
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
    placed = frame[list(roles.coordinates)].notna().all(axis=1)
    kept = target.notna() & placed
    X, y = frame.loc[kept, roles.used], target[kept].to_numpy(dtype=float)
    _print_rows(options, target, placed)
    for line in roles.describe(frame.loc[kept]):
        print(line)
    if len(y) < _MIN_TABLE_ROWS:
        raise TableError(
            f"{len(y)} rows have a target and coordinates; at least {_MIN_TABLE_ROWS} are needed."
        )
    if y.min() == y.max():
        raise TableError(f"--target {roles.target}: all rows hold {y[0]:g}.")
    log1p = _uses_log1p(options.target_transform, y)
    named = {"coordinates": roles.coordinates, "crs": options.crs}
    named |= {"time": roles.time, "elevation": roles.elevation, "site": roles.site}
    with _errors_of_the_table(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learned = TableSchema.fit(X, **named)
        splits = _make_splits(X, y, roles, options)
    crs, unit = learned.reference.crs, learned.reference.unit
    print(f"distances    {f'{unit} ({crs})' if crs else 'of unknown unit: say --crs'}")
    _report(caught)
    with _errors_of_the_table():
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
    except Exception as error:  # whatever pandas, pyarrow and zlib raise over a damaged file
        # The first line says what is wrong.
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        kind = "Parquet" if parquet else "CSV in UTF-8"
        raise TableError(f"{path}: cannot be read as {kind}: {first}") from error
    frame.columns = [str(label) for label in frame.columns]
    if not len(frame):
        raise TableError(f"{path}: holds no rows.")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file with whatever separator its first line shows."""
    opener: Callable[..., Any] = open
    if path.suffix.lower() == ".gz":
        import gzip

        opener = gzip.open
    with opener(path, "rt", encoding="utf-8-sig") as lines:
        header = lines.readline()
    separator = max(",;\t", key=header.count)
    # With semicolons, commas usually are decimal: what makes more columns numbers is right.
    readings = [
        pd.read_csv(path, sep=separator, decimal=decimal, encoding="utf-8-sig")
        for decimal in (".," if separator == ";" else ".")
    ]
    return max(readings, key=lambda frame: frame.select_dtypes("number").shape[1])


def _as_classes(column: pd.Series) -> pd.Series:
    """Return codes as text; whole numbers without the point that missing values give them."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").astype("category")


def _read_target(column: pd.Series) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = (values.isna() & column.notna()) | np.isinf(values)
    if wrong.any():
        raise TableError(
            f"--target {column.name}: must hold numbers; data row {int(np.argmax(wrong)) + 1} "
            f"holds {column[wrong].iloc[0]!r} ({int(wrong.sum())} such rows)."
        )
    return values


def _print_rows(options: argparse.Namespace, target: pd.Series, placed: pd.Series) -> None:
    lost = {"without target": target.isna(), "without coordinates": target.notna() & ~placed}
    left_out = [f"{rows.sum()} {why}" for why, rows in lost.items() if rows.any()]
    said = f"; left out: {', '.join(left_out)}" if left_out else ""
    print(f"table        {options.table}: {int((target.notna() & placed).sum())} rows{said}")
    print(f"target       {options.target}")


def _uses_log1p(transform: str, y: np.ndarray) -> bool:
    """Say what models learn, and return whether that is the logarithm for the whole table."""
    if transform == "log1p" and y.min() <= -1:
        raise TableError(f"--target-transform log1p: the target must be above -1; {y.min():g} is.")
    log1p = transform == "log1p" or (transform == "auto" and choose_transform(y) is not None)
    why = (
        "each fit decides by skewness; here, on all rows" if transform == "auto" else "as you said"
    )
    print(f"learned      {'log(1 + target)' if log1p else 'the target as it is'} ({why})")
    return log1p


@contextmanager
def _errors_of_the_table() -> Iterator[None]:
    """Turn what the package says about a table into an error for the user."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        raise TableError(str(error)) from error


def _make_splits(
    X: pd.DataFrame, y: np.ndarray, roles: Roles, options: argparse.Namespace
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    xy, _, _ = locate_coordinates(X, roles.coordinates, options.crs)
    # Rows of one place or site are in one fold, of random folds too: they are near copies.
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
    shared = {**named, "target_transform": transform, "random_state": options.seed}
    network = SpTGNNRegressor(**shared)
    if options.members is not None:
        network.set_params(n_members=options.members)
    return {
        _MODEL: network,
        "XGBoost": XGBoostBaseline(**shared),
        "training mean": DummyRegressor(),
    }


def _report(caught: list[warnings.WarningMessage]) -> None:
    """Print warnings once, whatever numbers each fold put behind the first words."""
    said = Counter(str(warning.message).split("(")[0].split(":")[0].strip() for warning in caught)
    for words, times in said.items():
        print(f"note: {words}{f' ({times} times)' if times > 1 else ''}")


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
        # A reader never meets half a file, and a run that is cut off leaves the last one whole.
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

    matplotlib.use("agg")  # a file needs no screen
    import matplotlib.pyplot as plt

    from .plotting import plot_comparison

    figure = plot_comparison(result, _MODEL, name=job.roles.target, log1p=job.log1p)
    figure.savefig(path, format="png", dpi=120, bbox_inches="tight")
    plt.close(figure)
