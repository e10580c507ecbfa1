"""Which tables a run is about: one Parquet file, a folder of public ones, or simulated surveys."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .tables import TASKS, Data, Task, read
from .worlds import WORLDS, make_world


@dataclass(frozen=True)
class Source:
    """A table that is read or made when it is needed."""

    task: Task
    load: Callable[[], Data]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name tables."""
    group = parser.add_argument_group("one table")
    group.add_argument("--table", type=Path, help="Parquet file")
    group.add_argument("--target", help="column of the target")
    group.add_argument("--log", action="store_true", help="model log1p of the target")
    group.add_argument("--elevation", help="column of elevation")
    group.add_argument("--time", help="column of dates or years")
    group.add_argument("--categorical", nargs="*", default=[], help="columns of class codes")
    group = parser.add_argument_group("public tables, instead")
    group.add_argument("--data", type=Path, help="folder that holds their Parquet files")
    group.add_argument("--tables", nargs="*", default=list(TASKS), choices=TASKS, metavar="NAME")
    group.add_argument("--shuffled", action="store_true", help="deal targets to other rows")
    group = parser.add_argument_group("simulated surveys, instead")
    names = list(WORLDS)
    group.add_argument("--worlds", nargs="*", choices=names, metavar="NAME", help=f"of {names}")


def chosen(options: argparse.Namespace) -> list[Source]:
    """Return the tables that the options name.

    Raises
    ------
    SystemExit
        If they name none, or a file is not there.
    """
    if options.worlds is not None:
        names = options.worlds or list(WORLDS)
        return [Source(WORLDS[name].task, partial(make_world, WORLDS[name])) for name in names]
    if options.data is not None:
        found = [(options.data / f"{name}.parquet", TASKS[name]) for name in options.tables]
    elif options.table is not None and options.target is not None:
        roles: dict[str, Any] = {
            name: getattr(options, name) for name in ("target", "log", "elevation", "time")
        }
        task = Task(options.table.stem, categorical=tuple(options.categorical), **roles)
        found = [(options.table, task)]
    else:
        raise SystemExit(
            "Name a table with --table and --target, a folder with --data, or use --worlds."
        )
    for path, _ in found:
        if not path.is_file():
            raise SystemExit(f"There is no file {path}.")
    found = [(path, replace(task, shuffled=options.shuffled)) for path, task in found]
    return [Source(task, partial(read, path, task)) for path, task in found]
