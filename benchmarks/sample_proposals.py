"""Errors of estimates after further samples, proposed by several methods.

    python -m benchmarks.sample_proposals            # 40 surveys; an hour, resumes
    python -m benchmarks.sample_proposals --write    # the table of the documentation

Each survey has 120 samples, most of them in one part of the area. Every method proposes 25 further
samples; the model is fitted anew with them, and its errors are those of the true means of the zones
and of the true values of the cells.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.estimation import propose_samples
from sptgnn_sklearn.uncertainty.error_correlogram import matern_correlation

from .experiments import RECORDS_DIR
from .text_table import TextTable

_N_SAMPLES, _N_NEW, _SIDE = 120, 25, 24
_EXTENT, _RANGE, _FIELD_SD, _NOISE_SD = 100.0, 40.0, 2.0, 1.0
_CLUSTERED = 0.75  # of the samples lie in the western third
_PAGE = Path(__file__).parents[1] / "docs" / "measured" / "sample-proposals.rst"
METHODS: dict[str, dict[str, Any]] = {
    "no further samples": {},
    "greedy, mean": {"method": "greedy", "objective": "mean"},
    "greedy, cells": {"method": "greedy", "objective": "cells"},
    "kmeans": {"method": "kmeans"},
    "latin_hypercube": {"method": "latin_hypercube"},
    "random": {"method": "random"},
}
LABELS = {
    "no further samples": "none",
    "greedy, mean": 'greedy, ``objective="mean"``',
    "greedy, cells": 'greedy, ``objective="cells"``',
    "kmeans": "spatial coverage (k-means)",
    "latin_hypercube": "conditioned Latin hypercube",
    "random": "random",
}


def make_area(seed: int) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Return samples with their values, and cells with their true values."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, _EXTENT, (_N_SAMPLES, 2))
    places[: round(_CLUSTERED * _N_SAMPLES), 0] /= 3
    axis = (np.arange(_SIDE) + 0.5) * _EXTENT / _SIDE
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points = np.r_[places, grid]
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    jitter = 1e-8 * np.eye(len(points))
    field = np.linalg.cholesky(matern_correlation(distance, _RANGE) + jitter)
    rough = np.linalg.cholesky(matern_correlation(distance, _RANGE / 2) + jitter)
    covariates = rough @ rng.normal(size=(len(points), 2))
    value = 25 + 2 * np.sin(1.5 * covariates[:, 0]) + 1.5 * covariates[:, 1]
    value += _FIELD_SD * field @ rng.normal(size=len(points))
    table = pd.DataFrame(
        {"x": points[:, 0], "y": points[:, 1], "a": covariates[:, 0], "b": covariates[:, 1]}
    )
    n = _N_SAMPLES
    return table[:n], value[:n] + rng.normal(0, _NOISE_SD, n), table[n:], value[n:]


def fit_model(X: pd.DataFrame, y: np.ndarray, seed: int) -> SpTGNNRegressor:
    """Fit a small model."""
    model = SpTGNNRegressor(
        base_estimator="gaussian_process",
        network=NetworkConfig(hidden_size=16),
        n_estimators=2,
        max_epochs=12,
        random_state=seed,
    )
    return model.fit(X, y)


def score_survey(seed: int) -> dict[str, dict[str, float]]:
    """Return the errors of zones and cells after the samples of each method."""
    X, y, cells, truth = make_area(seed)
    cells = cells.reset_index(drop=True)
    zones = (cells["x"] > _EXTENT / 2).astype(int) + 2 * (cells["y"] > _EXTENT / 2)
    model = fit_model(X, y, seed)
    found = {}
    for name, options in METHODS.items():
        table, values, fitted, expected = X, y, model, np.nan
        if options:
            new = propose_samples(
                model, cells, _N_NEW, zones=zones, samples=X, random_state=seed, **options
            )
            rows, expected = new["row"].to_numpy(), new["std"].iloc[-1]
            noise = np.random.default_rng([seed, 1]).normal(0, _NOISE_SD, _N_NEW)
            table = pd.concat([X, cells.loc[rows]], ignore_index=True)
            values = np.r_[y, truth[rows] + noise]
            fitted = fit_model(table, values, seed)
        error = pd.Series(fitted.predict(cells) - truth)
        found[name] = {
            "zones": float(np.sqrt(np.mean(error.groupby(zones).mean() ** 2))),
            "cells": float(np.sqrt(np.mean(error**2))),
            "expected": float(expected),
        }
    return found


def summarize(results: list[dict[str, dict[str, float]]]) -> TextTable:
    """Return root mean squared errors by method, and their ratios to those of two methods."""
    rows = []
    for name, label in LABELS.items():
        row = [label]
        for estimate in ("zones", "cells"):
            squared = squared_errors(results, name, estimate)
            row.append(f"{np.sqrt(squared.mean()):.3f}")
            for other in ("random", "kmeans"):
                ratio, error = ratio_of_errors(squared, squared_errors(results, other, estimate))
                row.append("1" if name == other else f"{ratio:.3f} ± {error:.3f}")
        rows.append(row)
    columns = ["25 further samples"]
    for estimate in ("zones", "cells"):
        columns += [f"RMSE of {estimate}", "over random", "over k-means"]
    return TextTable(columns, rows)


def squared_errors(
    results: list[dict[str, dict[str, float]]], name: str, estimate: str
) -> np.ndarray:
    """Return the squared errors of a method by survey."""
    return np.array([one[name][estimate] ** 2 for one in results])


def ratio_of_errors(squared: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the ratio of two root mean squares, and its standard error by linearization.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmarks.sample_proposals import ratio_of_errors
    >>> ratio_of_errors(np.array([1.0, 4.0]), np.array([4.0, 16.0]))
    (0.5, 0.0)
    """
    ratio = np.sqrt(squared.mean() / other.mean())
    influence = (squared - ratio**2 * other) / other.mean() / (2 * ratio)
    return float(ratio), float(influence.std(ddof=1) / np.sqrt(len(squared)))


def main() -> None:
    """Score further surveys, or write the table of those recorded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="write the table, score nothing")
    parser.add_argument("--out", type=Path, default=RECORDS_DIR / "sample-proposals.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = json.loads(options.out.read_text()) if options.out.exists() else []
    if not options.write:
        for seed in range(len(results), options.seeds):
            results.append(score_survey(seed))
            options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = summarize(results)
    print(table.to_markdown())
    if options.write:
        title = f"Errors after further samples, {len(results)} simulated surveys"
        _PAGE.write_text(table.to_rst(title), encoding="utf-8")


if __name__ == "__main__":
    main()
