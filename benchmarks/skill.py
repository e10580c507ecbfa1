"""Accuracy of SpTGNN and its baselines on tables with fixed folds, written to JSON records.

    python -m benchmarks.skill --table soil.parquet --target soc --log --elevation dem
    python -m benchmarks.skill --data FOLDER --models sptgnn xgboost_tuned --seeds 0 1 2
    python -m benchmarks.skill --data FOLDER --tables meuse --shuffled    # no signal
    python -m benchmarks.skill --data FOLDER --models field               # baselines of 2026
    python -m benchmarks.skill --data FOLDER --models tabicl --tabicl-checkpoint FILE
    python -m benchmarks.skill --limesoda G.104 --models sptgnn catboost  # its own folds

An interrupted run resumes. `benchmarks.tables` describes the format of a table, and
`benchmarks.report` prints tables of the records.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sptgnn_sklearn import SpTGNNRegressor

from .baselines import BASELINES, MAX_ROWS, MODEL_AVERAGES, TabularBaseline
from .experiments import (
    PREDICTIONS_DIR,
    RECORDS_DIR,
    Experiment,
    ExperimentRecord,
    PredictionStore,
    TimeLimitError,
    average_predictions,
    current_commit,
    fit_and_predict,
    run_experiment,
    time_limit,
)
from .field_baselines import (
    CHECKPOINT_PACKAGES,
    FIELD_BASELINES,
    FIELD_MAX_ROWS,
    TIME_LIMITS,
    FieldBaseline,
)
from .limesoda_fields import (
    FIELD_FOLDS,
    FIELDS,
    PROPERTIES,
    field_task,
    published_table,
    read_field,
)
from .report import Results, leaderboard
from .table_selection import TableSource, add_table_arguments, selected_tables
from .tables import FOLD_KINDS, WIDE_TASKS, TableData, Task

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))

SPTGNN_MODELS: dict[str, dict[str, Any]] = {
    "sptgnn": {},
    "sptgnn_network": {"base_estimator": None},
}
MODELS = (*SPTGNN_MODELS, *BASELINES, *MODEL_AVERAGES)
_GROUP = "field"  # all of FIELD_BASELINES
_CHOICES = (*MODELS, _GROUP, *FIELD_BASELINES, *CHECKPOINT_PACKAGES)
_MAX_ROWS = MAX_ROWS | FIELD_MAX_ROWS


def model_factory(
    model: str, task: Task, seed: int, checkpoint: Path | None = None
) -> Callable[[], BaseEstimator]:
    """Return a function that creates the unfitted model for a table."""
    roles = {"elevation": task.elevation, "time": task.time, "random_state": seed}
    if model in SPTGNN_MODELS:
        return partial(SpTGNNRegressor, **roles, **SPTGNN_MODELS[model])
    if model in FieldBaseline.factories:
        return partial(FieldBaseline, model, threads=THREADS, checkpoint=checkpoint, **roles)
    return partial(TabularBaseline, model, threads=THREADS, **roles)


def run_model(
    experiment: Experiment,
    data: TableData,
    store: PredictionStore,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Run an experiment, after those that it averages, and return its entry.

    The entry of a model that was stopped by its time limit has the limit instead of scores.
    """
    if experiment.model in MODEL_AVERAGES:
        parts = [replace(experiment, model=model) for model in MODEL_AVERAGES[experiment.model]]
        for part in parts:
            run_model(part, data, replace(store, refit=False))
        return run_experiment(
            experiment, data, partial(average_predictions, parts, data, store), store
        )
    make = model_factory(experiment.model, experiment.task, experiment.seed, checkpoint)
    predict = partial(fit_and_predict, make, data)
    if experiment.model in TIME_LIMITS:
        return _run_limited(experiment, data, predict, store)
    if experiment.model == "sptgnn":
        network_only = replace(experiment, model="sptgnn_network")
        predict = partial(fit_and_store_network, make, data, network_only, store)
    return run_experiment(experiment, data, predict, store)


def _run_limited(
    experiment: Experiment,
    data: TableData,
    predict: Callable[[np.ndarray], dict[str, Any]],
    store: PredictionStore,
) -> dict[str, Any]:
    seconds = TIME_LIMITS[experiment.model]

    def limited(test: np.ndarray) -> dict[str, Any]:
        with time_limit(seconds):
            return predict(test)

    try:
        return run_experiment(experiment, data, limited, store)
    except TimeLimitError:
        return {
            "folds": experiment.folds,
            "model": experiment.model,
            "commit": current_commit(),
            "time_limit_seconds": seconds,
        }


def fit_and_store_network(
    make: Callable[[], SpTGNNRegressor],
    data: TableData,
    network_only: Experiment,
    store: PredictionStore,
    test: np.ndarray,
) -> dict[str, Any]:
    """Fit network and base estimator, and also store the predictions of the network alone.

    The network is trained independently of the base estimator, so one fit yields both.
    """
    model = make()
    result = fit_and_predict(lambda: model, data, test)
    postprocessor = model.ensemble_.postprocessor.without_base()
    model.ensemble_ = replace(model.ensemble_, base=None, postprocessor=postprocessor)
    network_result = {**result, "mean": model.predict(data.X[test]).astype(float)}
    store.save(network_only, data.folds[network_only.folds][test][0], network_result)
    return result


def main() -> None:
    """Run the experiments that are not on record and print the leaderboard."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    group = parser.add_argument_group("LimeSoDa")
    group.add_argument(
        "--limesoda",
        nargs="*",
        choices=FIELDS,
        metavar="FIELD",
        help=f"some of {', '.join(FIELDS)}, or all, with their own folds",
    )
    group.add_argument("--limesoda-published", type=Path, help="CSV of published accuracies")
    parser.add_argument(
        "--folds",
        nargs="*",
        choices=FIELD_FOLDS,
        help="default: random and block folds, and the own folds of fields",
    )
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=_CHOICES, metavar="M")
    parser.add_argument("--tabicl-checkpoint", type=Path, help="for TabICL models")
    parser.add_argument("--tabpfn-checkpoint", type=Path, help="for TabPFN models")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--refit", action="store_true", help="refit what is on record")
    parser.add_argument("--out", type=Path, help="folder of the records")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS_DIR)
    options = parser.parse_args()
    checkpoints = _checkpoints(options)
    store = PredictionStore(options.predictions, options.refit)
    sources = _selected_sources(options)
    for seed in options.seeds:
        for source in sources:
            task = source.task
            record = ExperimentRecord(_records_folder(options, task), task, seed)
            experiments = [
                Experiment(task, folds, model, seed)
                for folds in source.fold_kinds
                for model in _selected_models(options)
            ]
            pending = [e for e in experiments if options.refit or record.find(e) is None]
            if not pending:
                continue
            data = source.load()
            for experiment in pending:
                if len(data.y) <= _MAX_ROWS.get(experiment.model, len(data.y)):
                    package = CHECKPOINT_PACKAGES.get(experiment.model, "")
                    entry = run_model(experiment, data, store, checkpoints.get(package))
                    record.add(entry)
                    print(f"{experiment.name}: {_outcome(entry)}", flush=True)
    _print_results(options, sources)


def _selected_models(options: argparse.Namespace) -> list[str]:
    chosen = [
        name
        for model in options.models
        for name in (FIELD_BASELINES if model == _GROUP else [model])
    ]
    return list(dict.fromkeys(chosen))


def _checkpoints(options: argparse.Namespace) -> Mapping[str, Path]:
    """Return the checkpoint of each package; SystemExit if a selected model has none."""
    given = {"tabicl": options.tabicl_checkpoint, "tabpfn": options.tabpfn_checkpoint}
    for model in _selected_models(options):
        package = CHECKPOINT_PACKAGES.get(model)
        if package is None:
            continue
        if given[package] is None:
            raise SystemExit(f"Model {model} needs --{package}-checkpoint FILE.")
        if not given[package].is_file():
            raise SystemExit(f"--{package}-checkpoint: file {given[package]} does not exist.")
    return {package: path for package, path in given.items() if path is not None}


def _selected_sources(options: argparse.Namespace) -> list[TableSource]:
    if options.limesoda is not None:
        tasks = [
            field_task(field, soil_property)
            for field in options.limesoda or FIELDS
            for soil_property in PROPERTIES
        ]
        kinds = tuple(options.folds or FIELD_FOLDS)
        return [TableSource(task, partial(read_field, task), kinds) for task in tasks]
    kinds = tuple(options.folds or FOLD_KINDS)
    return [replace(source, fold_kinds=kinds) for source in selected_tables(options)]


def _records_folder(options: argparse.Namespace, task: Task) -> Path:
    if options.out is not None:
        return options.out
    if task.shuffled:
        return RECORDS_DIR / "shuffled"
    if options.limesoda is not None:
        return RECORDS_DIR / "limesoda"
    return RECORDS_DIR / ("wide" if task.table in WIDE_TASKS else "skill")


def _outcome(entry: Mapping[str, Any]) -> str:
    if "R2" in entry:
        return f"R2 {entry['R2']:.3f}"
    return f"stopped, a fold takes more than {entry['time_limit_seconds']:.0f} s"


def _print_results(options: argparse.Namespace, sources: list[TableSource]) -> None:
    by_folder: dict[Path, set[str]] = {}
    for source in sources:
        folder = _records_folder(options, source.task)
        by_folder.setdefault(folder, set()).add(source.task.table)
    for folder, tables in by_folder.items():
        results = Results(folder, tables)
        if options.limesoda is not None:
            print(published_table(results, options.limesoda_published).to_markdown())
        else:
            print(leaderboard(results, options.folds or FOLD_KINDS))


if __name__ == "__main__":
    main()
