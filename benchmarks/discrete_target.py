"""Scores for a target with few distinct values, with discrete and with continuous predictions.

    python -m benchmarks.discrete_target --data FOLDER --tables eberg_texture

Reads the quantiles that `benchmarks.uncertainty` stored for SpTGNN and the quantile forest. A
quantile forest predicts frequencies of training targets, so that all its quantiles are observed
values; SpTGNN predicts a density. Each is scored as predicted and converted to the other form: the
density of SpTGNN is assigned to the observed values with their training frequencies, and the
frequencies of the forest are spread evenly up to the midpoints between observed values.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .experiments import PREDICTIONS_DIR, RECORDS_DIR, Experiment, PredictionStore
from .table_selection import add_table_arguments, selected_tables
from .tables import FOLD_KINDS, TableData, Task
from .uncertainty import LEVELS, quantile_scores

_N_ITERATIONS = 50  # of scaling probabilities to the training frequencies
_SCORES = ("crps", "interval_score_90", "ece", "coverage_90%")


def value_probabilities(quantiles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the probability (n, v) nearest to each sorted value (v,) from quantiles (n, q)."""
    edges = (values[1:] + values[:-1]) / 2
    below = [np.interp(edges, row, LEVELS, left=0, right=1) for row in quantiles]
    return np.diff(below, axis=1, prepend=0, append=1)


def discrete_quantiles(probabilities: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return quantiles (n, q) of distributions on values (v,) with probabilities (n, v)."""
    cumulative = np.cumsum(probabilities, axis=1)
    cumulative = cumulative / cumulative[:, -1:]
    position = [np.searchsorted(row, LEVELS - 1e-9) for row in cumulative]
    return values[np.minimum(position, len(values) - 1)]


def to_observed_values(quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Assign densities to the values of training targets, with their frequencies on average."""
    values, counts = np.unique(y, return_counts=True)
    probabilities = value_probabilities(quantiles, values)
    for _ in range(_N_ITERATIONS):
        probabilities *= counts / counts.sum() / np.maximum(probabilities.mean(axis=0), 1e-9)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return discrete_quantiles(probabilities, values)


def to_continuous(quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spread the probabilities of training targets evenly up to the midpoints between values."""
    values = np.unique(y)
    midpoints = (values[1:] + values[:-1]) / 2
    edges = np.r_[values[0], midpoints, values[-1]]
    result = np.empty_like(quantiles)
    for row, predicted in zip(result, quantiles, strict=True):
        counts = np.bincount(np.searchsorted(midpoints, predicted), minlength=len(values))
        cumulative = np.r_[0, np.cumsum(counts / len(predicted))]
        row[:] = np.interp(LEVELS, cumulative + 1e-12 * np.arange(len(cumulative)), edges)
    return result


def _as_predicted(quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    return quantiles


# Model and conversion of its quantiles by label.
FORMS = {
    "SpTGNN": ("sptgnn", _as_predicted),
    "SpTGNN, assigned to observed values": ("sptgnn", to_observed_values),
    "quantile forest": ("quantile_forest", _as_predicted),
    "quantile forest, spread between values": ("quantile_forest", to_continuous),
}


def score_forms(
    task: Task, data: TableData, folds_kind: str, store: PredictionStore, seed: int = 0
) -> dict[str, Any]:
    """Score each form on all rows of one kind of folds, with errors of mean and median.

    Raises
    ------
    SystemExit
        If the quantiles of a fold are not stored.
    """
    folds = data.folds[folds_kind]
    pooled = {name: np.empty((len(folds), len(LEVELS))) for name in FORMS}
    for label in np.unique(folds):
        test = folds == label
        for name, (model, convert) in FORMS.items():
            stored = store.load(Experiment(task, folds_kind, model, seed), label, test.sum())
            if stored is None:
                raise SystemExit(
                    f"No stored quantiles of {model} for fold {label}; run benchmarks.uncertainty."
                )
            predicted = np.sort(stored["mean"].astype(float), axis=1)
            pooled[name][test] = convert(predicted, data.y[~test])
    entry = {}
    for name, quantiles in pooled.items():
        scores = quantile_scores(data.y, quantiles, LEVELS)
        entry[name] = {score: scores[score] for score in _SCORES} | {
            "rmse_of_mean": float(np.sqrt(np.mean((data.y - quantiles.mean(axis=1)) ** 2))),
            "mae_of_median": float(np.mean(np.abs(data.y - quantiles[:, len(LEVELS) // 2]))),
        }
    return entry


def main() -> None:
    """Score the stored quantiles, print the scores and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLD_KINDS), choices=FOLD_KINDS)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS_DIR / "quantiles")
    options = parser.parse_args()
    for source in selected_tables(options):
        data = source.load()
        counts = np.sort(np.unique(data.y, return_counts=True)[1])[::-1]
        record: dict[str, Any] = {
            "rows": len(data.y),
            "distinct_values": len(counts),
            "share_of_the_8_most_frequent": float(counts[:8].sum() / len(data.y)),
        }
        store = PredictionStore(options.predictions)
        for folds_kind in options.folds:
            record[folds_kind] = score_forms(source.task, data, folds_kind, store)
        path = options.out / f"discrete-target-{source.task.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
