"""Command-line options that select tables: a Parquet file, public tables or simulated surveys."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .simulated_surveys import SIMULATED_SURVEYS, make_simulated_table
from .tables import FOLD_KINDS, TASKS, WIDE_TASKS, TableData, Task, read_table

_PUBLIC = TASKS | WIDE_TASKS


@dataclass(frozen=True)
class TableSource:
    """A task, a function that loads its table, and its kinds of folds.

    Attributes
    ----------
    task : Task
    load : callable
    fold_kinds : tuple of str
    """

    task: Task
    load: Callable[[], TableData]
    fold_kinds: tuple[str, ...] = FOLD_KINDS


def add_table_arguments(
    parser: argparse.ArgumentParser, simulated: Collection[str] = tuple(SIMULATED_SURVEYS)
) -> None:
    """Add the options that select tables, or simulated surveys of these names, to a parser."""
    group = parser.add_argument_group("one table")
    group.add_argument("--table", type=Path, help="Parquet file")
    group.add_argument("--target", help="target column")
    group.add_argument("--log", action="store_true", help="model log1p of the target")
    group.add_argument("--elevation", help="elevation column")
    group.add_argument("--time", help="column of dates or years")
    group.add_argument(
        "--categorical", nargs="*", default=[], help="numeric columns of class codes"
    )
    group = parser.add_argument_group("public tables")
    group.add_argument("--data", type=Path, help="folder of the Parquet files")
    group.add_argument("--tables", nargs="*", default=list(TASKS), choices=_PUBLIC, metavar="NAME")
    group.add_argument(
        "--wide",
        dest="tables",
        action="store_const",
        const=list(WIDE_TASKS),
        help=f"the tables {', '.join(WIDE_TASKS)}",
    )
    group.add_argument("--shuffled", action="store_true", help="permute the targets over the rows")
    group = parser.add_argument_group("simulated surveys")
    names = list(simulated)
    group.add_argument(
        "--simulated", nargs="*", choices=names, metavar="NAME", help=f"some of {names}, or all"
    )


def selected_tables(options: argparse.Namespace) -> list[TableSource]:
    """Return the tables that the options select.

    Raises
    ------
    SystemExit
        If no table is selected or a file does not exist.
    """
    if options.simulated is not None:
        surveys = [SIMULATED_SURVEYS[name] for name in options.simulated or SIMULATED_SURVEYS]
        return [TableSource(s.task, partial(make_simulated_table, s)) for s in surveys]
    if options.data is not None:
        found = [(options.data / f"{name}.parquet", _PUBLIC[name]) for name in options.tables]
    elif options.table is not None and options.target is not None:
        roles: dict[str, Any] = {
            name: getattr(options, name) for name in ("target", "log", "elevation", "time")
        }
        task = Task(options.table.stem, categorical=tuple(options.categorical), **roles)
        found = [(options.table, task)]
    else:
        raise SystemExit(
            "Select tables with --table and --target, with --data, or with --simulated."
        )
    for path, _ in found:
        if not path.is_file():
            raise SystemExit(f"File {path} does not exist.")
    found = [(path, replace(task, shuffled=options.shuffled)) for path, task in found]
    return [TableSource(task, partial(read_table, path, task)) for path, task in found]
