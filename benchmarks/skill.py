"""Skill of the estimators and their opponents on tables with fixed folds, as JSON records.

    python -m benchmarks.skill --table soil.parquet --target soc --log --elevation dem
    python -m benchmarks.skill --data FOLDER --models sptgnn xgboost_tuned --seeds 0 1 2
    python -m benchmarks.skill --data FOLDER --tables meuse --shuffled    # nothing to learn

A run that was cut off goes on where it stopped. See `benchmarks.tables` for what a table is, and
`benchmarks.report` for tables of what was found.
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

from .cells import (
    PREDICTIONS,
    RECORDS,
    Cell,
    Folder,
    Record,
    fit_and_predict,
    mean_of,
    run_cell,
)
from .opponents import MEANS, OPPONENTS, SMALL_ONLY, OnTable
from .report import Results, leaderboard
from .sources import add_arguments, chosen
from .tables import FOLDS, Data, Task

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))

OURS: dict[str, dict[str, Any]] = {
    "sptgnn": {},
    "sptgnn_network": {"base": None},
}
MODELS = (*OURS, *OPPONENTS, *MEANS)


def maker(model: str, task: Task, seed: int) -> Callable[[], BaseEstimator]:
    """Return what makes an unfitted model for a table."""
    roles = {"elevation": task.elevation, "time": task.time, "random_state": seed}
    if model in OURS:
        return partial(SpTGNNRegressor, **roles, **OURS[model])
    return partial(OnTable, model, threads=THREADS, **roles)


def fill(cell: Cell, data: Data, folder: Folder) -> dict[str, Any]:
    """Return the entry of a cell, and fit what it takes."""
    if cell.model in MEANS:
        parts = [replace(cell, model=model) for model in MEANS[cell.model]]
        for part in parts:
            fill(part, data, replace(folder, fresh=False))
        return run_cell(cell, data, partial(mean_of, parts, data, folder), folder)
    make = maker(cell.model, cell.task, cell.seed)
    predict = partial(fit_and_predict, make, data)
    if cell.model == "sptgnn":
        predict = partial(fit_both, make, data, replace(cell, model="sptgnn_network"), folder)
    return run_cell(cell, data, predict, folder)


def fit_both(
    make: Callable[[], SpTGNNRegressor],
    data: Data,
    network: Cell,
    folder: Folder,
    test: np.ndarray,
) -> dict[str, Any]:
    """Fit with the base, and keep what the network alone says, which is trained without it."""
    model = make()
    found = fit_and_predict(lambda: model, data, test)
    postprocessor = model.ensemble_.postprocessor.without_base()
    model.ensemble_ = replace(model.ensemble_, base=None, postprocessor=postprocessor)
    alone = {**found, "mean": model.predict(data.X[test]).astype(float)}
    folder.keep(network, data.folds[network.folds][test][0], alone)
    return found


def main() -> None:
    """Read the options, fill the cells that are not on record, and print the leaderboard."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLDS), choices=FOLDS)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="M")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--fresh", action="store_true", help="fit again what is on record")
    parser.add_argument("--out", type=Path, help="folder of records")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS)
    options = parser.parse_args()
    out = options.out or RECORDS / ("shuffled" if options.shuffled else "skill")
    folder = Folder(options.predictions, options.fresh)
    for seed in options.seeds:
        for source in chosen(options):
            task = source.task
            record = Record(out, task, seed)
            cells = [
                Cell(task, folds, model, seed)
                for folds in options.folds
                for model in options.models
            ]
            missing = [cell for cell in cells if options.fresh or record.find(cell) is None]
            if not missing:
                continue
            data = source.load()
            for cell in missing:
                if len(data.y) <= SMALL_ONLY.get(cell.model, len(data.y)):
                    entry = fill(cell, data, folder)
                    record.add(entry)
                    print(f"{cell.place}: R2 {entry['R2']:.3f}", flush=True)
    tables = {source.task.table for source in chosen(options)}
    print(leaderboard(Results(out, tables), options.folds))


if __name__ == "__main__":
    main()
