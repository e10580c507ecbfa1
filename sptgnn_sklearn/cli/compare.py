"""``sptgnn compare``: cross-validate SpTGNN, XGBoost and the training mean."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_model_options, add_quiet, add_reading_options, add_role_options

if TYPE_CHECKING:
    import numpy as np

    from ..model_selection.comparison import ComparisonResult
    from .survey import Survey

__all__ = [
    "COMPARE_EPILOG",
    "NETWORK_NAME",
    "TREES_NAME",
    "add_compare_options",
    "add_fold_options",
    "compare_survey",
    "difference_lines",
    "make_models",
    "make_splits",
    "run_compare",
    "settings_in_words",
    "uses_log1p",
]

COMPARE_EPILOG = (
    "Scores are those of pooled out-of-fold predictions. After Ctrl-C the same command continues "
    "with the fits that are missing."
)
_FOLDS = {"random": "random", "block": "block", "spatial": "block"}
NETWORK_NAME, TREES_NAME = "SpTGNN", "XGBoost"
_SPLITS = 5
_QUICK = {"splits": 3, "members": 2, "epochs": 5}
_QUICK_TREES = 100
_FINISHED_FITS = "finished-fits"
_UNFINISHED = "unfinished"  # file in the folder of finished fits, as long as some are missing
_FAILED, _STOPPED = 1, 130


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add_reading_options(parser)
    add_role_options(parser)
    add_model_options(parser)
    group = add_fold_options(parser)
    group.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("sptgnn-output"),
        metavar="FOLDER",
        help="output folder (default: sptgnn-output)",
    )
    group.add_argument("--force", action="store_true", help="replace the files of an output folder")
    add_quiet(parser)


def add_fold_options(parser: argparse.ArgumentParser) -> Any:
    """Add the options of a comparison, and return their group."""
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--folds",
        type=_fold_kinds,
        default=("random", "block"),
        metavar="KINDS",
        help="random, block (or spatial), separated by commas (default: random,block)",
    )
    group.add_argument(
        "--splits", type=int, metavar="N", help=f"number of folds of each kind (default: {_SPLITS})"
    )
    group.add_argument(
        "--quick",
        action="store_true",
        help="a first impression: {splits} folds, {members} members, {epochs} epochs, ".format(
            **_QUICK
        )
        + f"{_QUICK_TREES} trees",
    )
    return group


def run_compare(options: argparse.Namespace) -> int:
    """Compare the models and write scores, predictions and a figure."""
    from .survey import as_table_error, check_counts, describe, print_warnings, read_survey

    check_counts(options, members=1, splits=2, epochs=1, seed=0)
    _forbid_existing_results(options.out, options.force)
    survey = read_survey(options)
    lines = describe(survey, options.target_transform)
    with as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits = make_splits(survey, options)
    printed = [*survey.caught, *caught]
    if not options.quiet:
        print("\n".join(lines))
        print_warnings(printed)
        if options.quick:
            print(f"quick        {settings_in_words(options)}: scores of a full run are better")
    result, caught = compare_survey(survey, splits, options, options.out)
    print(f"\n{result.to_markdown()}\n")
    print("\n".join([*difference_lines(result), ""]))
    if not options.quiet:
        print_warnings(caught, printed)
        if result.n_fits_reused:
            print(f"note: {result.n_fits_reused} fits of an earlier run were reused")
    for failure in result.failures.drop_duplicates(["model", "error"]).itertuples():
        print(
            f"note: {failure.model} failed on fold {failure.fold} of {failure.folds} folds: "
            f"{failure.error}"
        )
    stopped = result.n_fits_done < result.n_fits
    for path in _write_outputs(result, survey, options):
        if not options.quiet:
            print(f"wrote {path}")
    if stopped:
        print(
            f"stopped after {result.n_fits_done} of {result.n_fits} fits; wrote what there is; the "
            "same command continues"
        )
        return _STOPPED
    if len(result.failures):
        return _FAILED
    # Finished fits are kept for a report.
    (options.out / _FINISHED_FITS / _UNFINISHED).unlink(missing_ok=True)
    return 0


def _fold_kinds(text: str) -> tuple[str, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    if not set(names) <= set(_FOLDS):
        raise argparse.ArgumentTypeError(f"{text!r} is not random, block (spatial) or random,block")
    return tuple(dict.fromkeys(_FOLDS[name] for name in names))


def _forbid_existing_results(folder: Path, force: bool) -> None:
    from ..table.infer_roles import TableError

    if folder.exists() and not folder.is_dir():
        raise TableError(f"--out {folder}: is a file, not a folder.")
    unfinished = (folder / _FINISHED_FITS / _UNFINISHED).exists()
    if (folder / "comparison.csv").exists() and not force and not unfinished:
        raise TableError(
            f"--out {folder}: holds the results of an earlier run; choose another folder, or "
            "replace them with --force."
        )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return splits, members and epochs: those set, or else those of --quick."""
    quick = _QUICK if options.quick else {"splits": _SPLITS, "members": None, "epochs": None}
    given = {name: getattr(options, name) for name in quick}
    return {name: quick[name] if value is None else value for name, value in given.items()}


def settings_in_words(options: argparse.Namespace) -> str:
    """Return the folds, members and epochs of a quick comparison as text."""
    words = [f"{value} {name}" for name, value in _settings(options).items()]
    return f"{', '.join(words)}, {_QUICK_TREES} trees"


def make_splits(
    survey: Survey, options: argparse.Namespace
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return the rows of the training and test sets, by kind of folds."""
    from sklearn.model_selection import GroupKFold

    from ..model_selection.block_kfold import SpatialBlockKFold
    from ..spatial.blocks import location_ids
    from ..table.coordinate_columns import locate_coordinates

    X, roles, n_splits = survey.X, survey.roles, _settings(options)["splits"]
    xy, _, _ = locate_coordinates(X, roles.coordinates, survey.crs)
    # Rows of one location or site share a fold, also in random folds: they are near copies.
    groups = location_ids(xy, None if roles.site is None else X[roles.site])
    kinds = {
        "random": GroupKFold(n_splits, shuffle=True, random_state=options.seed),
        "block": SpatialBlockKFold(
            n_splits, coordinates=roles.coordinates, crs=survey.crs, random_state=options.seed
        ),
    }
    return {kind: list(kinds[kind].split(X, survey.y, groups)) for kind in options.folds}


def make_models(survey: Survey, options: argparse.Namespace) -> dict[str, Any]:
    """Return SpTGNN, XGBoost and the training mean, with the same roles and seed."""
    from sklearn.dummy import DummyRegressor

    from ..baseline import XGBoostBaseline
    from ..regressor import SpTGNNRegressor

    settings = _settings(options)
    transform = None if options.target_transform == "none" else options.target_transform
    shared = {
        **survey.named_roles,
        "target_transform": transform,
        "n_jobs": options.jobs,
        "random_state": options.seed,
    }
    network, trees = SpTGNNRegressor(**shared), XGBoostBaseline(**shared)
    if settings["members"] is not None:
        network.set_params(n_estimators=settings["members"])
    if settings["epochs"] is not None:
        network.set_params(max_epochs=settings["epochs"])
    if options.quick:
        trees.set_params(n_estimators=_QUICK_TREES)
    return {NETWORK_NAME: network, TREES_NAME: trees, "training mean": DummyRegressor()}


def compare_survey(
    survey: Survey, splits: dict[str, Any], options: argparse.Namespace, folder: Path
) -> tuple[ComparisonResult, list[warnings.WarningMessage]]:
    """Cross-validate the models, with the finished fits of a folder of results.

    Parameters
    ----------
    survey : Survey
    splits : dict of str to list of pairs of ndarray
        From `make_splits`.
    options : Namespace
        Of `add_model_options` and `add_fold_options`, and ``quiet``.
    folder : Path
        Output folder of `run_compare`.

    Returns
    -------
    result : ComparisonResult
        Unfinished after Ctrl-C.
    caught : list of warnings
    """
    from sklearn.exceptions import FitFailedWarning

    from ..model_selection.comparison import compare_models
    from .survey import as_table_error

    checkpoint = folder / _FINISHED_FITS
    if options.command == "compare":
        if options.force:
            shutil.rmtree(checkpoint, ignore_errors=True)
        with as_table_error():
            checkpoint.mkdir(parents=True, exist_ok=True)
            (checkpoint / _UNFINISHED).touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = compare_models(
            make_models(survey, options),
            survey.X,
            survey.y,
            splits,
            coordinates=survey.roles.coordinates,
            crs=survey.crs,
            site=survey.roles.site,
            error_score=float("nan"),
            checkpoint=checkpoint,
            on_interrupt="return",
            progress=not options.quiet,
        )
    # Failures are printed from the result.
    return result, [w for w in caught if not issubclass(w.category, FitFailedWarning)]


def difference_lines(result: ComparisonResult) -> list[str]:
    """Return one line per kind of folds and other model on how much SpTGNN is better in R²."""
    lines = []
    for name in result.table["model"].unique():
        if name == NETWORK_NAME or NETWORK_NAME not in set(result.table["model"]):
            continue
        rows = result.differences(name).query("score == 'R2' and model == @NETWORK_NAME")
        lines += [
            f"R² of {NETWORK_NAME} minus that of {name}, {row.folds} folds: {row.estimate:.3f} ± "
            f"{row.std_error:.3f} (90 %: {row.low:.3f} to {row.high:.3f})"
            for row in rows.dropna().itertuples()
        ]
    return lines


def _write_outputs(
    result: ComparisonResult, survey: Survey, options: argparse.Namespace
) -> list[Path]:
    predictions = result.predictions
    for position, label in enumerate(survey.roles.ids, [*predictions].index("row") + 1):
        name = f"id {label}" if label in predictions else label
        values = survey.frame.loc[predictions["row"], label].to_numpy()
        predictions = predictions.assign(**{name: values})
        predictions.insert(position, name, predictions.pop(name))
    files: dict[str, Callable[[Path], Any]] = {
        "comparison.csv": lambda path: result.table.to_csv(path, index=False),
        "scores.csv": lambda path: result.scores().to_csv(path, index=False),
        "differences.csv": lambda path: result.differences().to_csv(path, index=False),
        "predictions.csv": lambda path: predictions.to_csv(path, index=False),
    }
    finished = NETWORK_NAME in set(result.table["model"][result.table["R2"].notna()])
    if finished and importlib.util.find_spec("matplotlib"):
        files["comparison.png"] = lambda path: _draw(result, survey, options, path)
    elif finished:
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


def uses_log1p(survey: Survey, options: argparse.Namespace) -> bool:
    """Return whether the models of a comparison are fitted to log1p of the target."""
    from ..table.target_scaling import choose_transform

    automatic = options.target_transform == "auto" and choose_transform(survey.y) is not None
    return automatic or options.target_transform == "log1p"


def _draw(
    result: ComparisonResult, survey: Survey, options: argparse.Namespace, path: Path
) -> None:
    import matplotlib

    matplotlib.use("agg")  # needs no display
    import matplotlib.pyplot as plt

    from ..plotting.comparison import plot_comparison

    scores = result.table[(result.table["model"] == NETWORK_NAME) & result.table["R2"].notna()]
    figure = plot_comparison(
        result,
        NETWORK_NAME,
        scores["folds"].tolist(),
        name=survey.roles.target,
        unit=survey.frame.attrs.get("units", {}).get(survey.roles.target, ""),
        log1p=uses_log1p(survey, options),
    )
    figure.savefig(path, format="png", dpi=120, bbox_inches="tight")
    plt.close(figure)
