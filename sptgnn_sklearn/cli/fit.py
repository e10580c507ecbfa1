"""``sptgnn fit``: fit a model to a table and save it."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from .options import (
    PROGRAM,
    add_model_options,
    add_quiet,
    add_reading_options,
    add_role_options,
)

__all__ = ["FIT_EPILOG", "add_fit_options", "run_fit"]

FIT_EPILOG = f"{PROGRAM} predict MODEL FILE predicts with the saved model."


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add_reading_options(parser)
    add_role_options(parser)
    add_model_options(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("model.safetensors"),
        metavar="MODEL",
        help="file of the model (default: model.safetensors)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_quiet(parser)


def run_fit(options: argparse.Namespace) -> int:
    """Fit the model and save it."""
    from .survey import (
        as_table_error,
        check_counts,
        describe,
        forbid_existing,
        print_warnings,
        read_survey,
    )

    check_counts(options, members=1, epochs=1, seed=0)
    forbid_existing(options.out, options.force)
    survey = read_survey(options)
    lines = describe(survey, options.target_transform)
    if not options.quiet:
        print("\n".join(lines))
    from ..regressor import SpTGNNRegressor

    settings = {"n_estimators": options.members, "max_epochs": options.epochs}
    model = SpTGNNRegressor(
        **survey.named_roles,
        target_transform=None if options.target_transform == "none" else options.target_transform,
        n_jobs=options.jobs,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
        **{name: value for name, value in settings.items() if value is not None},
    )
    with as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(survey.X, survey.y)
    model.set_params(verbose=0)
    with as_table_error():
        model.save(options.out)
    if not options.quiet:
        print_warnings(caught)
    print(f"wrote {options.out}")
    return 0
