"""Entry point of the command line ``sptgnn`` and of its subcommands."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from .options import PROGRAM, in_options

__all__ = ["main"]

# Each is a module NAME of this package with NAME_EPILOG, `add_NAME_options` and `run_NAME`.
_COMMANDS = {
    "check": "show what each column of a table is taken for, and what may be wrong",
    "compare": "cross-validate SpTGNN, XGBoost and the training mean on a table",
    "fit": "fit a model to a table and save it",
    "predict": "predict the rows of a table with a saved model",
    "map": "predict every cell of rasters with a saved model",
    "report": "write one HTML file on a table, the accuracy of its models, and a map",
    "info": "show what a saved model was fitted to",
}
_INVALID, _STOPPED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        None uses ``sys.argv``.

    Returns
    -------
    code : int
        0; 1 if a fit of a comparison failed; 2 with one line on stderr if a file or an option is
        invalid; 130 after Ctrl-C.

    Examples
    --------
    >>> from sptgnn_sklearn.cli import main
    >>> main(["check", "no_such_table.csv", "--target", "soc"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        # Subcommands import what they need, so that --help and invalid usage answer at once.
        return int(_command_part(options.command, f"run_{options.command}")(options))
    except KeyboardInterrupt:
        print(f"\n{PROGRAM}: stopped", file=sys.stderr)
        return _STOPPED
    except ValueError as error:
        if not _is_about_input(error):
            raise
        print(f"{PROGRAM}: error: {in_options(str(error))}", file=sys.stderr)
        return _INVALID


def _is_about_input(error: ValueError) -> bool:
    from ..table.infer_roles import TableError
    from ..utils.safe_file import FileError

    return isinstance(error, TableError | FileError)


def _command_part(command: str, name: str) -> Any:
    return getattr(importlib.import_module(f".{command}", __package__), name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Graph neural networks for tables of soil samples.",
        epilog=f"{PROGRAM} COMMAND --help lists the options of a command.",
    )
    # The package root is a higher layer.
    version = importlib.import_module(str(__package__).partition(".")[0]).__version__
    parser.add_argument("--version", action="version", version=f"sptgnn-sklearn {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=_command_part(name, f"{name.upper()}_EPILOG"),
        )
        _command_part(name, f"add_{name}_options")(command)
    return parser
