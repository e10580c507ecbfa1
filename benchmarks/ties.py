"""What a target of few values does to scores: the same predictions on its values and between them.

    python -m benchmarks.ties --data FOLDER --tables eberg_texture

Reads the quantiles that `benchmarks.uncertainty` kept of the default model and the quantile forest.
A forest states shares of training targets, so all it states lies on values that occur; the model
states a density. Each is scored as stated and as the other would state it: the model's density is
dealt to the values that occur, as often as they do in training rows, and the forest's shares are
spread evenly between halfway to the next values.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .cells import PREDICTIONS, RECORDS, Cell, Folder
from .sources import add_arguments, chosen
from .tables import FOLDS, Data, Task
from .uncertainty import LEVELS, scores

_ROUNDS = 50  # of fitting shares to how often values occur
_SCORES = ("crps", "interval_score_90", "ece", "coverage_90%")


def shares_of_values(quantiles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Probability (n, v) of what is nearest to each rising value (v,), from quantiles (n, q)."""
    edges = (values[1:] + values[:-1]) / 2
    below = [np.interp(edges, row, LEVELS, left=0, right=1) for row in quantiles]
    return np.diff(below, axis=1, prepend=0, append=1)


def quantiles_of_shares(shares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Quantiles (n, q) of distributions on values (v,), by their shares (n, v)."""
    reached = np.cumsum(shares, axis=1)
    place = [np.searchsorted(row, LEVELS - 1e-9) for row in reached / reached[:, -1:]]
    return values[np.minimum(place, len(values) - 1)]


def dealt(quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Move densities to the values of training targets, each as often as in these on average."""
    values, counts = np.unique(y, return_counts=True)
    shares = shares_of_values(quantiles, values)
    for _ in range(_ROUNDS):
        shares *= counts / counts.sum() / np.maximum(shares.mean(axis=0), 1e-9)
        shares /= shares.sum(axis=1, keepdims=True)
    return quantiles_of_shares(shares, values)


def spread(quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spread the shares of training targets evenly between halfway to the next values."""
    values = np.unique(y)
    middle = (values[1:] + values[:-1]) / 2
    edges = np.r_[values[0], middle, values[-1]]
    found = np.empty_like(quantiles)
    for row, stated in zip(found, quantiles, strict=True):
        shares = np.bincount(np.searchsorted(middle, stated), minlength=len(values)) / len(stated)
        reached = np.r_[0, np.cumsum(shares)]
        row[:] = np.interp(LEVELS, reached + 1e-12 * np.arange(len(reached)), edges)
    return found


FORMS = {
    "SpTGNN": ("sptgnn", lambda quantiles, y: quantiles),
    "SpTGNN, dealt to values": ("sptgnn", dealt),
    "quantile forest": ("quantile_forest", lambda quantiles, y: quantiles),
    "quantile forest, spread between values": ("quantile_forest", spread),
}


def compare(task: Task, data: Data, kind: str, folder: Folder, seed: int = 0) -> dict[str, Any]:
    """Scores of each form over all rows of one kind of folds, with the errors of mean and median.

    Raises
    ------
    SystemExit
        If a fold's quantiles were not kept.
    """
    folds = data.folds[kind]
    found = {name: np.empty((len(folds), len(LEVELS))) for name in FORMS}
    for label in np.unique(folds):
        test = folds == label
        for name, (model, change) in FORMS.items():
            kept = folder.find(Cell(task, kind, model, seed), label, test.sum())
            if kept is None:
                raise SystemExit(f"Run benchmarks.uncertainty first: no fold {label} of {model}.")
            stated = np.sort(kept["mean"].astype(float), axis=1)
            found[name][test] = change(stated, data.y[~test])
    entry = {}
    for name, quantiles in found.items():
        own = scores(data.y, quantiles, LEVELS)
        entry[name] = {score: own[score] for score in _SCORES} | {
            "rmse_of_mean": float(np.sqrt(np.mean((data.y - quantiles.mean(axis=1)) ** 2))),
            "mae_of_median": float(np.mean(np.abs(data.y - quantiles[:, len(LEVELS) // 2]))),
        }
    return entry


def main() -> None:
    """Score what is kept, print it and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--folds", nargs="*", default=list(FOLDS), choices=FOLDS)
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--predictions", type=Path, default=PREDICTIONS / "quantiles")
    options = parser.parse_args()
    for source in chosen(options):
        data = source.load()
        counts = np.sort(np.unique(data.y, return_counts=True)[1])[::-1]
        record: dict[str, Any] = {
            "rows": len(data.y),
            "values": len(counts),
            "share_of_the_8_most_frequent": float(counts[:8].sum() / len(data.y)),
        }
        for kind in options.folds:
            record[kind] = compare(source.task, data, kind, Folder(options.predictions))
        path = options.out / f"ties-{source.task.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
