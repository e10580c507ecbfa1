"""Calibration and sharpness of predicted uncertainty on tables with fixed folds, as JSON records.

    python -m benchmarks.uncertainty --data FOLDER --tables eberg_texture usgs_ds801_soc
    python -m benchmarks.uncertainty --table soil.parquet --target soc --log

Every model predicts 199 quantiles of each test row on the modeling scale, and all scores are
computed from these, pooled over folds. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
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

from .experiments import (
    PREDICTIONS_DIR,
    RECORDS_DIR,
    Experiment,
    ExperimentRecord,
    PredictionStore,
    current_commit,
)
from .probabilistic_baselines import PROBABILISTIC_BASELINES, QuantileBaseline
from .skill import THREADS
from .table_selection import add_table_arguments, selected_tables
from .tables import FOLD_KINDS, TableData, Task

LEVELS = np.arange(1, 200) / 200
COVERAGES = (0.5, 0.8, 0.9, 0.95)
INTERVAL_LEVELS = np.sort([(1 + side * cover) / 2 for cover in COVERAGES for side in (-1, 1)])
CONFORMAL = "sptgnn_conformal"  # predicts the limits of four intervals only
SPTGNN_MODELS = ("sptgnn", "sptgnn_scale", "sptgnn_uncalibrated", CONFORMAL)
MODELS = (*SPTGNN_MODELS, *PROBABILISTIC_BASELINES)
MAX_ROWS = {"gpboost": 5000}  # models that are skipped on larger tables


def predict_sptgnn(
    task: Task, seed: int, data: TableData, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Predict quantiles of one fit under each calibration, and its conformal intervals."""
    model = SpTGNNRegressor(
        elevation=task.elevation, time=task.time, calibration="quantile", random_state=seed
    )
    model.fit(data.X[~test], data.y[~test])
    X = data.X[test]
    limits = np.hstack([model.predict_interval(X, coverage) for coverage in COVERAGES])
    quantiles = {"sptgnn": model.predict_quantiles(X, LEVELS), CONFORMAL: np.sort(limits, axis=1)}
    postprocessor = model.ensemble_.postprocessor
    scale_only = replace(postprocessor.calibration, shape=None)
    model.ensemble_.postprocessor = replace(postprocessor, calibration=scale_only)
    quantiles["sptgnn_scale"] = model.predict_quantiles(X, LEVELS)
    model.ensemble_.postprocessor = replace(postprocessor, calibration=Calibration())
    quantiles["sptgnn_uncalibrated"] = model.predict_quantiles(X, LEVELS)
    return quantiles


def predict_baseline(
    experiment: Experiment, data: TableData, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Predict quantiles by a baseline."""
    task = experiment.task
    model = QuantileBaseline(
        experiment.model,
        time=task.time,
        elevation=task.elevation,
        threads=THREADS,
        random_state=experiment.seed,
    )
    model.fit(data.X[~test], data.y[~test])
    return {experiment.model: model.predict_quantiles(data.X[test], LEVELS)}


def run_model(experiment: Experiment, data: TableData, store: PredictionStore) -> dict[str, Any]:
    """Fit the folds whose quantiles are not stored and return the entry of the experiment."""
    folds = data.folds[experiment.folds]
    levels = INTERVAL_LEVELS if experiment.model == CONFORMAL else LEVELS
    pooled = np.empty((len(folds), len(levels)))
    for label in np.unique(folds):
        test = folds == label
        result = None if store.refit else store.load(experiment, label, test.sum())
        if result is None:
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about columns would repeat in each fold
                if experiment.model in SPTGNN_MODELS:
                    predicted = predict_sptgnn(experiment.task, experiment.seed, data, test)
                else:
                    predicted = predict_baseline(experiment, data, test)
            for model, quantiles in predicted.items():
                # The store reads "mean", which has a second axis of levels here.
                result = {"mean": quantiles.astype("f4")}
                store.save(replace(experiment, model=model), label, result)
            seconds = time.perf_counter() - start
            print(f"{experiment.name} fold {label}: {seconds:.1f} s", file=sys.stderr)
            result = {"mean": predicted[experiment.model]}
        pooled[test] = result["mean"]
    parts = []
    for label in np.unique(folds):
        test = folds == label
        fold_scores = quantile_scores(data.y[test], pooled[test], levels)
        parts.append({"fold": int(label), "rows": int(test.sum()), **fold_scores})
    return {
        "folds": experiment.folds,
        "model": experiment.model,
        "commit": current_commit(),
        **quantile_scores(data.y, pooled, levels),
        "parts": parts,
    }


def quantile_scores(y: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> dict[str, Any]:
    """Compute scores of quantiles (n, q); calibration error and CRPS only if all `LEVELS` exist."""
    quantiles = np.sort(quantiles, axis=1)
    low, high = _central_interval(quantiles, levels, 0.9)
    entry: dict[str, Any] = {
        "interval_score_90": interval_score(y, low, high, coverage=0.9),
        "below_05": float(np.mean(y < low)),
        "above_95": float(np.mean(y > high)),
    }
    for coverage in COVERAGES:
        low, high = _central_interval(quantiles, levels, coverage)
        entry[f"coverage_{coverage:.0%}"] = interval_coverage(y, low, high)
        entry[f"width_{coverage:.0%}"] = float(np.mean(high - low))
    if len(levels) == len(LEVELS):
        entry["ece"] = calibration_error_of_quantiles(y, quantiles, LEVELS)
        entry["crps"] = crps_of_quantiles(y, quantiles, LEVELS)
    return entry


def _central_interval(
    quantiles: np.ndarray, levels: np.ndarray, coverage: float
) -> tuple[np.ndarray, np.ndarray]:
    lower = int(np.argmin(np.abs(levels - (1 - coverage) / 2)))
    return quantiles[:, lower], quantiles[:, len(levels) - 1 - lower]


def main() -> None:
    """Run the experiments that are not on record and print all entries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLD_KINDS), choices=FOLD_KINDS)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS, metavar="M")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--refit", action="store_true", help="refit what is on record")
    parser.add_argument("--out", type=Path, default=RECORDS_DIR / "uncertainty")
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS_DIR / "quantiles")
    options = parser.parse_args()
    store = PredictionStore(options.predictions, options.refit)
    for seed in options.seeds:
        for source in selected_tables(options):
            record = ExperimentRecord(options.out, source.task, seed)
            experiments = [
                Experiment(source.task, folds, model, seed)
                for folds in options.folds
                for model in options.models
            ]
            pending = [e for e in experiments if options.refit or record.find(e) is None]
            data = source.load() if pending else None
            for experiment in pending:
                if data is None or len(data.y) > MAX_ROWS.get(experiment.model, len(data.y)):
                    continue
                # One fit stores the quantiles of all SpTGNN models, so only the first refits.
                first = experiment.model not in SPTGNN_MODELS[1:]
                refit = options.refit and first
                record.add(run_model(experiment, data, replace(store, refit=refit)))
            for entry in record.entries():
                print(format_entry(source.task, entry), flush=True)


def format_entry(task: Task, entry: dict[str, Any]) -> str:
    """Return an entry as one line of text."""
    whole = f"ECE {entry['ece']:.3f}  CRPS {entry['crps']:.4f}  " if "ece" in entry else ""
    return (
        f"{task.name} {entry['folds']:6} {entry['model']:20} "
        f"90 % {entry['coverage_90%']:.3f} "
        f"({entry['below_05']:.3f} below, {entry['above_95']:.3f} above)  "
        f"interval score {entry['interval_score_90']:.3f}  {whole}"
    )


if __name__ == "__main__":
    main()
