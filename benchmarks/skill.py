"""Accuracy of SpTGNN and its baselines on tables with fixed folds, written to JSON records.

    python -m benchmarks.skill --table soil.parquet --target soc --log --elevation dem
    python -m benchmarks.skill --data FOLDER --models sptgnn xgboost_tuned --seeds 0 1 2
    python -m benchmarks.skill --data FOLDER --tables meuse --shuffled    # no signal

An interrupted run resumes. `benchmarks.tables` describes the format of a table, and
`benchmarks.report` prints tables of the records.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
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
    average_predictions,
    fit_and_predict,
    run_experiment,
)
from .report import Results, leaderboard
from .table_selection import add_table_arguments, selected_tables
from .tables import FOLD_KINDS, TableData, Task

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))

SPTGNN_MODELS: dict[str, dict[str, Any]] = {
    "sptgnn": {},
    "sptgnn_network": {"base_estimator": None},
}
MODELS = (*SPTGNN_MODELS, *BASELINES, *MODEL_AVERAGES)


def model_factory(model: str, task: Task, seed: int) -> Callable[[], BaseEstimator]:
    """Return a function that creates the unfitted model for a table."""
    roles = {"elevation": task.elevation, "time": task.time, "random_state": seed}
    if model in SPTGNN_MODELS:
        return partial(SpTGNNRegressor, **roles, **SPTGNN_MODELS[model])
    return partial(TabularBaseline, model, threads=THREADS, **roles)


def run_model(experiment: Experiment, data: TableData, store: PredictionStore) -> dict[str, Any]:
    """Run an experiment, after those that it averages, and return its entry."""
    if experiment.model in MODEL_AVERAGES:
        parts = [replace(experiment, model=model) for model in MODEL_AVERAGES[experiment.model]]
        for part in parts:
            run_model(part, data, replace(store, refit=False))
        return run_experiment(
            experiment, data, partial(average_predictions, parts, data, store), store
        )
    make = model_factory(experiment.model, experiment.task, experiment.seed)
    predict = partial(fit_and_predict, make, data)
    if experiment.model == "sptgnn":
        network_only = replace(experiment, model="sptgnn_network")
        predict = partial(fit_and_store_network, make, data, network_only, store)
    return run_experiment(experiment, data, predict, store)


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
    parser.add_argument("--folds", nargs="*", default=list(FOLD_KINDS), choices=FOLD_KINDS)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="M")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--refit", action="store_true", help="refit what is on record")
    parser.add_argument("--out", type=Path, help="folder of the records")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS_DIR)
    options = parser.parse_args()
    out = options.out or RECORDS_DIR / ("shuffled" if options.shuffled else "skill")
    store = PredictionStore(options.predictions, options.refit)
    for seed in options.seeds:
        for source in selected_tables(options):
            task = source.task
            record = ExperimentRecord(out, task, seed)
            experiments = [
                Experiment(task, folds, model, seed)
                for folds in options.folds
                for model in options.models
            ]
            pending = [e for e in experiments if options.refit or record.find(e) is None]
            if not pending:
                continue
            data = source.load()
            for experiment in pending:
                if len(data.y) <= MAX_ROWS.get(experiment.model, len(data.y)):
                    entry = run_model(experiment, data, store)
                    record.add(entry)
                    print(f"{experiment.name}: R2 {entry['R2']:.3f}", flush=True)
    tables = {source.task.table for source in selected_tables(options)}
    print(leaderboard(Results(out, tables), options.folds))


if __name__ == "__main__":
    main()
