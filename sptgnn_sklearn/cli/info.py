"""``sptgnn info``: roles, rows and held-out accuracy of a saved model."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["INFO_EPILOG", "add_info_options", "run_info"]

INFO_EPILOG = (
    "The held-out R2 is that of predictions at locations that an ensemble member left out."
)


def add_info_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="file written by fit")


def run_info(options: argparse.Namespace) -> int:
    """Print what the model was fitted to."""
    from .predict import load_model_of

    model = load_model_of(options.model)
    for name, text in model._fitted_facts().items():
        print(f"{name:<12} {text}")
    print(f"{'transform':<12} {model.target_.function or 'none'}")
    print(f"{'file':<12} {options.model.stat().st_size / 1e6:.1f} MB")
    return 0
