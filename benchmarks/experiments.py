"""Benchmark experiments: one model cross-validated on one table with one kind of folds and seed.

Each fold is one fit, and its predictions are written to disk at once, so that an interrupted run
resumes. A finished experiment is one entry in the JSON record of its table and seed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from sklearn.metrics import r2_score

from sptgnn_sklearn.metrics import bias, concordance_correlation, rpiq
from sptgnn_sklearn.metrics.moran import expected_morans_i, morans_i

from .tables import TableData, Task

RECORDS_DIR = Path(__file__).parent / "records"
PREDICTIONS_DIR = Path(__file__).parent / "predictions"
PACKAGES = ("torch", "scikit-learn", "xgboost", "skorch", "numpy", "pandas")


@dataclass(frozen=True)
class Experiment:
    """Model, table, kind of folds and seed."""

    task: Task
    folds: str
    model: str
    seed: int

    @property
    def name(self) -> str:
        """File name of the predictions, relative to their folder and without fold and suffix."""
        return f"{self.task.name}/{self.folds}-{self.model}-seed{self.seed}"


class ExperimentRecord:
    """JSON record of one study, table and seed, with an entry for each kind of folds and model.

    Several processes can add entries to one record.
    """

    def __init__(self, folder: Path, task: Task, seed: int):
        self.path = folder / f"{task.name}-seed{seed}.json"
        self.header = {
            "table": task.table,
            "target": task.target,
            "scale": "log1p" if task.log else "unit of the target",
            "seed": seed,
            "versions": {name: version(name) for name in PACKAGES},
        }

    def find(self, experiment: Experiment) -> dict[str, Any] | None:
        """Return the entry of an experiment, or None."""
        for entry in self.entries():
            if (entry["folds"], entry["model"]) == (experiment.folds, experiment.model):
                return entry
        return None

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries."""
        if not self.path.is_file():
            return []
        return json.loads(self.path.read_text(encoding="utf-8"))["results"]

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry, or replace the one with the same model and folds."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            key = entry["folds"], entry["model"]
            others = [e for e in self.entries() if (e["folds"], e["model"]) != key]
            entries = sorted([*others, entry], key=lambda e: (e["folds"], e["model"]))
            text = json.dumps({**self.header, "results": entries}, indent=1)
            self.path.write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class PredictionStore:
    """Predictions on disk, one file for each fold of an experiment.

    Attributes
    ----------
    path : Path
    refit : bool
        Whether to refit folds whose predictions are stored.
    """

    path: Path = PREDICTIONS_DIR
    refit: bool = False

    def load(self, experiment: Experiment, label: int, n_rows: int) -> dict[str, np.ndarray] | None:
        """Return the stored predictions of a fold, or None."""
        path = self._file(experiment, label)
        if not path.is_file():
            return None
        with np.load(path) as stored:
            if len(stored["mean"]) != n_rows:
                raise SystemExit(
                    f"{path} has {len(stored['mean'])} predictions for a fold of {n_rows} rows; "
                    "remove it."
                )
            return dict(stored)

    def save(self, experiment: Experiment, label: int, predictions: dict[str, Any]) -> None:
        """Store the predictions of a fold."""
        path = self._file(experiment, label)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **predictions)

    def _file(self, experiment: Experiment, label: int) -> Path:
        return self.path / f"{experiment.name}-fold{label}.npz"


class TimeLimitError(Exception):
    """A fold that takes longer than the time limit of its model."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitError when the block takes longer, by a signal to the main thread."""

    def stop(*_: Any) -> None:
        raise TimeLimitError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


FoldPredictor = Callable[[np.ndarray], dict[str, Any]]  # called with the mask of the test rows


def run_experiment(
    experiment: Experiment, data: TableData, predict: FoldPredictor, store: PredictionStore
) -> dict[str, Any]:
    """Cross-validate a model and return the entry of the experiment.

    Parameters
    ----------
    experiment : Experiment
    data : TableData
    predict : callable
        Returns mean, fit_seconds and predict_seconds for a mask of test rows.
    store : PredictionStore
        Folds whose predictions are stored here are not fitted again.
    """
    folds = data.folds[experiment.folds]
    predicted = np.empty(len(folds))
    parts = []
    for label in np.unique(folds):
        test = folds == label
        result = None if store.refit else store.load(experiment, label, test.sum())
        if result is None:
            result = predict(test)
            store.save(experiment, label, result)
            print(f"{experiment.name} fold {label}: {result['fit_seconds']:.1f} s", file=sys.stderr)
        predicted[test] = result["mean"]
        parts.append(
            {
                "fold": int(label),
                "rows": int(test.sum()),
                "squared_error": float(np.sum((data.y[test] - predicted[test]) ** 2)),
                "fit_seconds": round(float(result["fit_seconds"]), 3),
                "predict_seconds": round(float(result["predict_seconds"]), 3),
            }
        )
    return {
        "folds": experiment.folds,
        "model": experiment.model,
        "commit": current_commit(),
        **accuracy_scores(experiment.task, data, predicted),
        "total_square": float(np.sum((data.y - data.y.mean()) ** 2)),
        "parts": parts,
    }


def current_commit() -> str:
    """Return the hash of the current git commit."""
    output = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return output.stdout.strip()


def accuracy_scores(task: Task, data: TableData, predicted: np.ndarray) -> dict[str, Any]:
    """Compute pooled scores of out-of-fold predictions, on the modeling scale and in the unit.

    Predictions of log1p are back-transformed without bias correction, so that they are medians for
    all models.
    """
    error = data.y - predicted
    in_unit = np.expm1(predicted) if task.log else predicted
    return {
        "R2": r2_score(data.y, predicted),
        "moran_i": morans_i(error, data.coordinates, crs=data.crs),
        "expected_moran_i": expected_morans_i(len(error)),
        "unit": {
            "R2": r2_score(data.observed, in_unit),
            "RMSE": float(np.sqrt(np.mean((data.observed - in_unit) ** 2))),
            "MAE": float(np.mean(np.abs(data.observed - in_unit))),
            "CCC": concordance_correlation(data.observed, in_unit),
            "bias": bias(data.observed, in_unit),
            "RPIQ": rpiq(data.observed, in_unit),
        },
    }


def fit_and_predict(make: Callable[[], Any], data: TableData, test: np.ndarray) -> dict[str, Any]:
    """Fit a model on the training rows of a fold and predict the test rows."""
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about columns would repeat in each fold
        start = time.perf_counter()
        model.fit(data.X[~test], data.y[~test])
        fitted = time.perf_counter()
        mean = np.asarray(model.predict(data.X[test]), dtype=float)
    end = time.perf_counter()
    return {"mean": mean, "fit_seconds": fitted - start, "predict_seconds": end - fitted}


def average_predictions(
    experiments: Sequence[Experiment], data: TableData, store: PredictionStore, test: np.ndarray
) -> dict[str, Any]:
    """Average the stored predictions of several experiments for one fold."""
    label = data.folds[experiments[0].folds][test][0]
    stored = [store.load(experiment, label, test.sum()) for experiment in experiments]
    parts = [part for part in stored if part is not None]
    if len(parts) < len(stored):
        names = [experiment.name for experiment in experiments]
        raise LookupError(f"No stored predictions for fold {label} of some of {names}.")
    return {
        "mean": np.mean([part["mean"] for part in parts], axis=0),
        "fit_seconds": sum(float(part["fit_seconds"]) for part in parts),
        "predict_seconds": sum(float(part["predict_seconds"]) for part in parts),
    }
