"""One cell of a benchmark: a model, a table, a kind of folds and a seed.

Each fold is one fit. What it predicts is kept on disk at once, so that a run that was cut off goes
on where it stopped; a finished cell is one entry of the JSON record of its table and seed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from sptgnn_sklearn.metrics import bias, concordance_correlation, model_efficiency, rpiq
from sptgnn_sklearn.metrics.moran import expected_morans_i, morans_i

from .tables import Data, Task

RECORDS = Path(__file__).parent / "records"
PREDICTIONS = Path(__file__).parent / "predictions"
PACKAGES = ("torch", "scikit-learn", "xgboost", "skorch", "numpy", "pandas")


@dataclass(frozen=True)
class Cell:
    """A model under one kind of folds of one table, with one seed."""

    task: Task
    folds: str
    model: str
    seed: int

    @property
    def place(self) -> str:
        """Where predictions are kept, below the folder of predictions."""
        return f"{self.task.name}/{self.folds}-{self.model}-seed{self.seed}"


class Record:
    """The JSON record of one study, table and seed: an entry for each kind of folds and model.

    Several processes may add to one record.
    """

    def __init__(self, folder: Path, task: Task, seed: int):
        self.path = folder / f"{task.name}-seed{seed}.json"
        self.head = {
            "table": task.table,
            "target": task.target,
            "scale": "log1p" if task.log else "unit of the target",
            "seed": seed,
            "versions": {name: version(name) for name in PACKAGES},
        }

    def find(self, cell: Cell) -> dict[str, Any] | None:
        """Return the entry of a cell, or None."""
        for entry in self.entries():
            if (entry["folds"], entry["model"]) == (cell.folds, cell.model):
                return entry
        return None

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries."""
        if not self.path.is_file():
            return []
        return json.loads(self.path.read_text(encoding="utf-8"))["cells"]

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry, in the place of one of the same model and folds."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            key = entry["folds"], entry["model"]
            cells = [e for e in self.entries() if (e["folds"], e["model"]) != key]
            cells = sorted([*cells, entry], key=lambda e: (e["folds"], e["model"]))
            text = json.dumps({**self.head, "cells": cells}, indent=1)
            self.path.write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Folder:
    """Where predictions are kept, one file for each fit.

    Attributes
    ----------
    path : Path
    fresh : bool
        Whether to fit again what is kept.
    """

    path: Path = PREDICTIONS
    fresh: bool = False

    def find(self, cell: Cell, label: int, n_rows: int) -> dict[str, np.ndarray] | None:
        """Return what was kept of a fold of a cell, or None."""
        path = self._file(cell, label)
        if not path.is_file():
            return None
        with np.load(path) as kept:
            if len(kept["mean"]) != n_rows:
                raise SystemExit(f"{path} holds predictions of another table; remove it.")
            return dict(kept)

    def keep(self, cell: Cell, label: int, kept: dict[str, Any]) -> None:
        """Keep the predictions of a fold of a cell."""
        path = self._file(cell, label)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **kept)

    def _file(self, cell: Cell, label: int) -> Path:
        return self.path / f"{cell.place}-fold{label}.npz"


Predict = Callable[[np.ndarray], dict[str, Any]]  # from the mask of the tested rows


def run_cell(cell: Cell, data: Data, predict: Predict, folder: Folder) -> dict[str, Any]:
    """Predict each fold from the other rows and return the entry of the cell.

    Parameters
    ----------
    cell : Cell
    data : Data
    predict : callable
        Returns mean, fit_seconds and predict_seconds of the tested rows.
    folder : Folder
        What is kept there is not done again.
    """
    folds = data.folds[cell.folds]
    found = np.empty(len(folds))
    parts = []
    for label in np.unique(folds):
        test = folds == label
        kept = None if folder.fresh else folder.find(cell, label, test.sum())
        if kept is None:
            kept = predict(test)
            folder.keep(cell, label, kept)
            print(f"{cell.place} fold {label}: {kept['fit_seconds']:.1f} s", file=sys.stderr)
        found[test] = kept["mean"]
        parts.append(
            {
                "fold": int(label),
                "rows": int(test.sum()),
                "squared_error": float(np.sum((data.y[test] - found[test]) ** 2)),
                "fit_seconds": round(float(kept["fit_seconds"]), 3),
                "predict_seconds": round(float(kept["predict_seconds"]), 3),
            }
        )
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return {
        "folds": cell.folds,
        "model": cell.model,
        "commit": commit.stdout.strip(),
        **scores(cell.task, data, found),
        "total_square": float(np.sum((data.y - data.y.mean()) ** 2)),
        "parts": parts,
    }


def scores(task: Task, data: Data, found: np.ndarray) -> dict[str, Any]:
    """Scores of out-of-fold predictions, pooled: on the modelling scale and in the target's unit.

    Predictions of a logarithm are taken back as they are, so that they are medians for all models.
    """
    error = data.y - found
    unit = np.expm1(found) if task.log else found
    return {
        "R2": model_efficiency(data.y, found),
        "moran_i": morans_i(error, data.coordinates, crs=data.crs),
        "expected_moran_i": expected_morans_i(len(error)),
        "unit": {
            "R2": model_efficiency(data.observed, unit),
            "RMSE": float(np.sqrt(np.mean((data.observed - unit) ** 2))),
            "MAE": float(np.mean(np.abs(data.observed - unit))),
            "CCC": concordance_correlation(data.observed, unit),
            "bias": bias(data.observed, unit),
            "RPIQ": rpiq(data.observed, unit),
        },
    }


def fit_and_predict(make: Callable[[], Any], data: Data, test: np.ndarray) -> dict[str, Any]:
    """Fit a model on the rows that are not tested and predict the others."""
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a table's columns are warned of in each fold
        start = time.perf_counter()
        model.fit(data.X[~test], data.y[~test])
        fitted = time.perf_counter()
        mean = np.asarray(model.predict(data.X[test]), dtype=float)
    end = time.perf_counter()
    return {"mean": mean, "fit_seconds": fitted - start, "predict_seconds": end - fitted}


def mean_of(cells: Sequence[Cell], data: Data, folder: Folder, test: np.ndarray) -> dict[str, Any]:
    """Average what is kept of other cells."""
    label = data.folds[cells[0].folds][test][0]
    parts = [folder.find(cell, label, test.sum()) for cell in cells]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        raise LookupError(f"fold {label} of {[cell.place for cell in cells]} is not there yet.")
    return {
        "mean": np.mean([part["mean"] for part in known], axis=0),
        "fit_seconds": sum(float(part["fit_seconds"]) for part in known),
        "predict_seconds": sum(float(part["predict_seconds"]) for part in known),
    }
