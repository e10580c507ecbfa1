"""Honesty of stated uncertainty on tables with fixed folds, as JSON records.

    python -m benchmarks.uncertainty --data FOLDER --tables eberg_texture usgs_ds801_soc
    python -m benchmarks.uncertainty --table soil.parquet --target soc --log

Every model states 199 quantiles of every tested row, on the modelling scale; all scores come from
these, pooled over folds. A run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.metrics import (
    calibration_error_of_quantiles,
    crps_of_quantiles,
    interval_coverage,
    interval_score,
)
from sptgnn_sklearn.uncertainty.calibration import Calibration

from .cells import PREDICTIONS, RECORDS, Cell, Folder, Record
from .distributions import DISTRIBUTIONS, WithQuantiles
from .skill import THREADS
from .sources import add_arguments, chosen
from .tables import FOLDS, Data, Task

LEVELS = np.arange(1, 200) / 200
COVERAGES = (0.5, 0.8, 0.9, 0.95)
ENDS = np.sort([(1 + side * coverage) / 2 for coverage in COVERAGES for side in (-1, 1)])
CONFORMAL = "sptgnn_conformal"  # states the ends of four intervals only
OURS = ("sptgnn", "sptgnn_scale", "sptgnn_uncalibrated", CONFORMAL)
MODELS = (*OURS, *DISTRIBUTIONS)
SMALL_ONLY = {"gpboost": 5000}  # rows that a model is run on at most


def state_ours(task: Task, seed: int, data: Data, test: np.ndarray) -> dict[str, np.ndarray]:
    """Quantiles of one fit under each calibration, and the ends of its conformal intervals."""
    model = SpTGNNRegressor(elevation=task.elevation, time=task.time, random_state=seed)
    model.fit(data.X[~test], data.y[~test])
    X = data.X[test]
    ends = np.hstack([model.predict_interval(X, coverage) for coverage in COVERAGES])
    found = {"sptgnn": model.predict_quantiles(X, LEVELS), CONFORMAL: np.sort(ends, axis=1)}
    postprocessor = model.ensemble_.postprocessor
    scale = replace(postprocessor.calibration, shape=None)
    model.ensemble_.postprocessor = replace(postprocessor, calibration=scale)
    found["sptgnn_scale"] = model.predict_quantiles(X, LEVELS)
    model.ensemble_.postprocessor = replace(postprocessor, calibration=Calibration())
    found["sptgnn_uncalibrated"] = model.predict_quantiles(X, LEVELS)
    return found


def state_opponent(cell: Cell, data: Data, test: np.ndarray) -> dict[str, np.ndarray]:
    """Quantiles of an opponent."""
    task = cell.task
    model = WithQuantiles(
        cell.model,
        time=task.time,
        elevation=task.elevation,
        threads=THREADS,
        random_state=cell.seed,
    )
    model.fit(data.X[~test], data.y[~test])
    return {cell.model: model.predict_quantiles(data.X[test], LEVELS)}


def fill(cell: Cell, data: Data, folder: Folder) -> dict[str, Any]:
    """Return the entry of a cell, and fit what is not kept."""
    folds = data.folds[cell.folds]
    levels = ENDS if cell.model == CONFORMAL else LEVELS
    found = np.empty((len(folds), len(levels)))
    for label in np.unique(folds):
        test = folds == label
        kept = None if folder.fresh else folder.find(cell, label, test.sum())
        if kept is None:
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a table's columns are warned of in each fold
                if cell.model in OURS:
                    stated = state_ours(cell.task, cell.seed, data, test)
                else:
                    stated = state_opponent(cell, data, test)
            for model, quantiles in stated.items():
                # Files of predictions are known by their "mean": here it has an axis of levels.
                folder.keep(replace(cell, model=model), label, {"mean": quantiles.astype("f4")})
            seconds = time.perf_counter() - start
            print(f"{cell.place} fold {label}: {seconds:.1f} s", file=sys.stderr)
            kept = {"mean": stated[cell.model]}
        found[test] = kept["mean"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    parts = []
    for label in np.unique(folds):
        test = folds == label
        own = scores(data.y[test], found[test], levels)
        parts.append({"fold": int(label), "rows": int(test.sum()), **own})
    return {
        "folds": cell.folds,
        "model": cell.model,
        "commit": commit.stdout.strip(),
        **scores(data.y, found, levels),
        "parts": parts,
    }


def scores(y: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> dict[str, Any]:
    """Scores of quantiles (n, q) at some levels; those that take all of `LEVELS`, only of these."""
    quantiles = np.sort(quantiles, axis=1)
    low, high = _central(quantiles, levels, 0.9)
    entry: dict[str, Any] = {
        "interval_score_90": interval_score(y, low, high, coverage=0.9),
        "below_05": float(np.mean(y < low)),
        "above_95": float(np.mean(y > high)),
    }
    for coverage in COVERAGES:
        low, high = _central(quantiles, levels, coverage)
        entry[f"coverage_{coverage:.0%}"] = interval_coverage(y, low, high)
        entry[f"width_{coverage:.0%}"] = float(np.mean(high - low))
    if len(levels) == len(LEVELS):
        entry["ece"] = calibration_error_of_quantiles(y, quantiles, LEVELS)
        entry["crps"] = crps_of_quantiles(y, quantiles, LEVELS)
    return entry


def _central(
    quantiles: np.ndarray, levels: np.ndarray, coverage: float
) -> tuple[np.ndarray, np.ndarray]:
    first = int(np.argmin(np.abs(levels - (1 - coverage) / 2)))
    return quantiles[:, first], quantiles[:, len(levels) - 1 - first]


def main() -> None:
    """Read the options, fill the cells that are not on record, and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLDS), choices=FOLDS)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="M")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--fresh", action="store_true", help="fit again what is on record")
    parser.add_argument("--out", type=Path, default=RECORDS / "uncertainty")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS / "quantiles")
    options = parser.parse_args()
    folder = Folder(options.predictions, options.fresh)
    for seed in options.seeds:
        for source in chosen(options):
            record = Record(options.out, source.task, seed)
            cells = [
                Cell(source.task, folds, model, seed)
                for folds in options.folds
                for model in options.models
            ]
            missing = [cell for cell in cells if options.fresh or record.find(cell) is None]
            data = source.load() if missing else None
            for cell in missing:
                if data is None or len(data.y) > SMALL_ONLY.get(cell.model, len(data.y)):
                    continue
                # One fit fills all of ours: the others find it kept.
                again = options.fresh and (cell.model not in OURS or cell.model == OURS[0])
                record.add(fill(cell, data, replace(folder, fresh=again)))
            for entry in record.entries():
                print(describe(source.task, entry), flush=True)


def describe(task: Task, entry: dict[str, Any]) -> str:
    """Return an entry in a line."""
    whole = f"ECE {entry['ece']:.3f}  CRPS {entry['crps']:.4f}  " if "ece" in entry else ""
    return (
        f"{task.name} {entry['folds']:6} {entry['model']:20} "
        f"90 % {entry['coverage_90%']:.3f} "
        f"({entry['below_05']:.3f} below, {entry['above_95']:.3f} above)  "
        f"interval score {entry['interval_score_90']:.3f}  {whole}"
    )


if __name__ == "__main__":
    main()
