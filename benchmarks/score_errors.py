"""Coverage of the intervals of cross-validation scores on simulated surveys.

    python -m benchmarks.score_errors                  # 300 surveys of 200 random samples
    python -m benchmarks.score_errors --areas 15 --surveys 225 --models ridge neighbors

A model is cross-validated with random folds. The interval of its score should contain the score
over the whole area, on a dense grid with the same noise, of the model fitted to all samples.
Intervals are compared for several numbers of blocks, left out in turn or drawn with replacement.
The naive interval is the symmetric one of independent squared errors and a known variance of y.

The score of block folds has no such counterpart. Its intervals should contain its mean over
surveys: with ``--areas`` over those of the same area, without over areas that differ.

The default numbers of blocks were chosen by surveys of seeds below 1300, n / 2 instead of 0.6 n by
those of this record.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.model_selection.score_errors import (
    SCORES_WITH_ERRORS,
    block_sums,
    default_n_blocks,
    error_blocks,
    jackknife_intervals,
    scores_of_sums,
)
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.spatial.random_fields import make_fields

from .experiments import RECORDS_DIR

SIDE_KM = 100.0
RANGE_KM = 40.0  # practical range of the field and of two covariates; twice that of two others
_NOISE_SD = 0.5
_N_GRID = 45  # cells along each side of the area
_N_BOOTSTRAPS = 500
_PLANE = resolve_crs(None, ["x", "y"])


def make_models() -> dict[str, Any]:
    """Return a linear model, nearest neighbors and a small forest."""
    return {
        "ridge": make_pipeline(StandardScaler(), Ridge()),
        "neighbors": make_pipeline(
            StandardScaler(), KNeighborsRegressor(n_neighbors=7, weights="distance")
        ),
        "forest": RandomForestRegressor(20, min_samples_leaf=3, max_features=0.5, random_state=0),
    }


class SimulatedArea:
    """Square area with a target that depends on three of its random fields and noise."""

    def __init__(self, seed: int, survey: int | None = None):
        self.rng = np.random.default_rng([seed, 1])
        mixes = [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 1.0)]
        reference = self.rng.uniform(0, SIDE_KM, (2000, 2))
        self.fields = make_fields(mixes, (RANGE_KM, 2 * RANGE_KM), reference, [seed])
        if survey is not None:  # one of several surveys of this area
            self.rng = np.random.default_rng([seed, 1, survey])
        middle = (np.arange(_N_GRID) + 0.5) * SIDE_KM / _N_GRID
        self.grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)

    def measure(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coordinates with three covariates (n, 5), and the target (n,)."""
        hidden, first, second, third = self.fields(xy).T
        y = hidden + 0.8 * first + 0.6 * second * np.sign(third)
        noise = _NOISE_SD * self.rng.normal(size=len(xy))
        return np.column_stack([xy, first, second, third]), y + noise

    def draw_samples(self, n: int) -> np.ndarray:
        """Return the coordinates of a simple random sample."""
        return self.rng.uniform(0, SIDE_KM, (n, 2))


@dataclass(frozen=True)
class Trial:
    """Out-of-fold predictions of one model on one survey, and its scores over the area.

    Attributes
    ----------
    place : int
        Number of the area.
    xy : ndarray of shape (n, 2)
    y : ndarray of shape (n,)
    predicted : dict of str to ndarray of shape (n,)
        By kind of folds.
    area : dict of str to float
        Scores of the model of all samples over the area.
    """

    place: int
    xy: np.ndarray
    y: np.ndarray
    predicted: dict[str, np.ndarray]
    area: dict[str, float]


def run_trial(
    model: Any, seed: int, n: int = 200, n_folds: int = 10, n_areas: int | None = None
) -> Trial:
    """Cross-validate a model on a random sample and score it over the area."""
    place = seed if n_areas is None else seed % n_areas
    area = SimulatedArea(place, None if n_areas is None else seed)
    xy = area.draw_samples(n)
    X, y = area.measure(xy)
    X_area, y_area = area.measure(area.grid)
    folds = {
        "random": KFold(n_folds, shuffle=True, random_state=seed),
        "block": SpatialBlockKFold(5, coordinates=(0, 1), random_state=seed),
    }
    predicted = {kind: cross_val_predict(model, X, y, cv=cv) for kind, cv in folds.items()}
    mapped = model.fit(X, y).predict(X_area)
    sums = block_sums(y_area, mapped, np.zeros(len(y_area), dtype=int))
    scores = {name: float(value[0]) for name, value in scores_of_sums(sums).items()}
    return Trial(place, xy, y, predicted, scores)


def bootstrap_intervals(sums: np.ndarray, confidence: float) -> pd.DataFrame:
    """Return percentile intervals from blocks drawn with replacement."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _N_BOOTSTRAPS)
    drawn = scores_of_sums(counts @ sums)
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    rows = {name: np.quantile(values, tails) for name, values in drawn.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["low", "high"])


def naive_intervals(sums: np.ndarray, confidence: float) -> pd.DataFrame:
    """Return normal intervals of R2 and RMSE from sums of single rows."""
    squared = sums[:, 8]
    reach = norm.ppf((1 + confidence) / 2) * squared.std(ddof=1) / len(squared) ** 0.5
    scores = {name: value[0] for name, value in scores_of_sums(sums.sum(axis=0)[None]).items()}
    variance = squared.mean() / (1 - scores["R2"])
    reaches = {"R2": reach / variance, "RMSE": reach / (2 * scores["RMSE"])}
    rows = {
        name: (scores[name] - reaches.get(name, np.nan), scores[name] + reaches.get(name, np.nan))
        for name in SCORES_WITH_ERRORS
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["low", "high"])


def numbers_of_blocks(n: int) -> dict[str, int]:
    """Return the numbers of blocks that are compared."""
    return {
        "10": 10,
        "3 sqrt(n)": default_n_blocks(n, spatial_folds=True),
        "5 sqrt(n)": round(5 * n**0.5),
        "n / 2": default_n_blocks(n),
        "0.6 n": round(0.6 * n),
        "0.8 n": round(0.8 * n),
        "locations": n,
    }


def coverage_of_intervals(
    trials: list[Trial],
    kind: str,
    blocks: list[np.ndarray],
    intervals: Callable[[np.ndarray, float], pd.DataFrame],
    names: Sequence[str] = SCORES_WITH_ERRORS,
) -> dict[str, float]:
    """Compute the share of 90 % intervals that contain the score to be estimated."""
    tables = [
        intervals(block_sums(trial.y, trial.predicted[kind], labels), 0.9)
        for trial, labels in zip(trials, blocks, strict=True)
    ]
    return {
        name: float(
            np.mean(
                [
                    table.loc[name, "low"] <= value <= table.loc[name, "high"]
                    for table, value in zip(tables, _targets(trials, kind, name), strict=True)
                ]
            )
        )
        for name in names
    }


def _targets(trials: list[Trial], kind: str, name: str) -> np.ndarray:
    if kind == "random":
        return np.array([trial.area[name] for trial in trials])
    estimates = pd.Series(_estimates(trials, kind, name))
    places = pd.Series([trial.place for trial in trials])
    if places.is_unique:
        return np.full(len(trials), estimates.mean())
    return estimates.groupby(places).transform("mean").to_numpy()


def _estimates(trials: list[Trial], kind: str, name: str) -> np.ndarray:
    block = np.zeros(len(trials[0].y), dtype=int)
    return np.array(
        [
            scores_of_sums(block_sums(trial.y, trial.predicted[kind], block))[name][0]
            for trial in trials
        ]
    )


def partition(trials: list[Trial]) -> dict[str, list[np.ndarray]]:
    """Return the block of each row of each survey, by number of blocks."""
    n = len(trials[0].y)
    return {
        name: [error_blocks(trial.xy, _PLANE, np.arange(n), number) for trial in trials]
        for name, number in numbers_of_blocks(n).items()
    }


def summarize(trials: list[Trial], partitions: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Compute the bias of cross-validation and the coverage of each kind of interval."""
    record: dict[str, Any] = {}
    for kind in trials[0].predicted:
        record[f"{kind} folds"] = coverage = {}
        for name in SCORES_WITH_ERRORS:
            error = _estimates(trials, kind, name) - _targets(trials, kind, name)
            record[f"{kind} folds"].setdefault("mean error", {})[name] = float(error.mean())
            record[f"{kind} folds"].setdefault("sd of error", {})[name] = float(error.std())
        coverage["naive"] = coverage_of_intervals(
            trials, kind, partitions["locations"], naive_intervals, ("R2", "RMSE")
        )
        for blocks, labels in partitions.items():
            for method, intervals in (
                ("jackknife", jackknife_intervals),
                ("bootstrap", bootstrap_intervals),
            ):
                if method == "jackknife" or blocks in ("3 sqrt(n)", "0.6 n", "locations"):
                    coverage[f"{method}, {blocks} blocks"] = coverage_of_intervals(
                        trials, kind, labels, intervals
                    )
    return record


def main() -> None:
    """Run the trials of each model, print the coverage and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=300)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=2000, help="number of the first survey")
    parser.add_argument("--areas", type=int, help="number of areas; by default one per survey")
    parser.add_argument("--models", nargs="*", default=list(make_models()))
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    options = parser.parse_args()
    record: dict[str, Any] = {
        "surveys": options.surveys,
        "rows": options.rows,
        "areas": options.areas or options.surveys,
        "first seed": options.seed,
        "random folds": options.folds,
        "range_km": RANGE_KM,
        "side_km": SIDE_KM,
        "confidence": 0.9,
    }
    partitions = None
    for name in options.models:
        trials = [
            run_trial(make_models()[name], seed, options.rows, options.folds, options.areas)
            for seed in range(options.seed, options.seed + options.surveys)
        ]
        if partitions is None:  # the surveys are the same for all models
            partitions = partition(trials)
        record[name] = summarize(trials, partitions)
        for folds, values in record[name].items():
            print(f"\n{name}, {folds}\n{pd.DataFrame(values).T.round(3).to_string()}", flush=True)
    suffix = f"-{options.areas}-areas" if options.areas else ""
    path = options.out / f"score-errors-{options.rows}-rows-{options.folds}-folds{suffix}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
