"""Bias of cross-validation scores of clustered samples, by folds and weights.

    python -m benchmarks.clustered_samples             # 100 maps, three sampling designs

The simulation of de Bruin et al. (2022, Ecological Informatics 69, 101665) on own maps: random
samples, moderately clustered ones (half of them in 15 clusters) and strongly clustered ones (nine
tenths in 10 clusters). Scores of random folds, of random folds with weights by the inverse sampling
intensity, and of block folds are compared with the score of the same model over the area.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, cross_val_predict

from sptgnn_sklearn.model_selection import KNNDMKFold, SpatialBlockKFold, inverse_intensity_weights

from .experiments import RECORDS_DIR
from .score_errors import SIDE_KM, SimulatedArea, make_models

# Share of the samples in clusters, number of clusters, and their standard deviation in km.
DESIGNS = {"random": (0.0, 1, 1.0), "moderate": (0.5, 15, 5.0), "strong": (0.9, 10, 4.0)}
_N_FOLDS = 10


def draw_clustered(
    rng: np.random.Generator, n: int, share: float, n_clusters: int, sd_km: float
) -> np.ndarray:
    """Return n locations (n, 2) inside the area, a share of them in clusters."""
    centers = rng.uniform(0, SIDE_KM, (n_clusters, 2))
    xy = list(rng.uniform(0, SIDE_KM, (n - round(share * n), 2)))
    while len(xy) < n:
        point = centers[rng.integers(n_clusters)] + rng.normal(scale=sd_km, size=2)
        if (point >= 0).all() and (point <= SIDE_KM).all():
            xy.append(point)
    return np.array(xy)


def score_errors_of_map(model: Any, seed: int, design: str, n: int) -> pd.DataFrame:
    """Return the relative error of RMSE and the error of R2 of each way to cross-validate."""
    area = SimulatedArea(seed)
    xy = draw_clustered(area.rng, n, *DESIGNS[design])
    X, y = area.measure(xy)
    X_area, y_area = area.measure(area.grid)
    mapped = model.fit(X, y).predict(X_area)
    true_rmse, true_r2 = root_mean_squared_error(y_area, mapped), r2_score(y_area, mapped)
    folds = {
        "random folds": KFold(_N_FOLDS, shuffle=True, random_state=seed),
        "block folds": SpatialBlockKFold(_N_FOLDS, coordinates=(0, 1), random_state=seed),
        "kNNDM folds": KNNDMKFold(
            _N_FOLDS, coordinates=(0, 1), prediction_points=area.grid, random_state=seed
        ),
    }
    predicted = {name: cross_val_predict(model, X, y, cv=cv) for name, cv in folds.items()}
    weights = {
        "weights": inverse_intensity_weights(X, coordinates=(0, 1), area=area.grid),
        "weights, convex hull": inverse_intensity_weights(X, coordinates=(0, 1)),
    }
    scored = [(name, values, None) for name, values in predicted.items()]
    scored += [
        (f"random folds, {name}", predicted["random folds"], weight)
        for name, weight in weights.items()
    ]
    return pd.DataFrame(
        {
            name: {
                "RMSE": root_mean_squared_error(y, values, sample_weight=weight) / true_rmse - 1,
                "R2": r2_score(y, values, sample_weight=weight) - true_r2,
            }
            for name, values, weight in scored
        }
    ).T


def summarize_errors(errors: list[pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Return bias, its standard error and root mean squared error by kind of cross-validation."""
    values = np.stack([table.to_numpy() for table in errors])  # maps, kinds, scores
    summary: dict[str, dict[str, float]] = {name: {} for name in errors[0].index}
    for column, score in enumerate(errors[0].columns):
        for row, name in enumerate(errors[0].index):
            error = values[:, row, column]
            summary[name] |= {
                f"{score} bias": float(error.mean()),
                f"{score} bias, standard error": float(error.std(ddof=1) / len(error) ** 0.5),
                f"{score} root mean squared error": float(np.sqrt(np.mean(error**2))),
            }
    return summary


def main() -> None:
    """Run all maps, print the biases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--models", nargs="*", default=["neighbors", "forest"])
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    options = parser.parse_args()
    record: dict[str, Any] = {"maps": options.maps, "rows": options.rows, "folds": _N_FOLDS}
    for name in options.models:
        for design in DESIGNS:
            errors = [
                score_errors_of_map(make_models()[name], seed, design, options.rows)
                for seed in range(options.maps)
            ]
            record[f"{name}, {design}"] = summary = summarize_errors(errors)
            print(f"\n{name}, {design}\n{pd.DataFrame(summary).T.round(3).to_string()}", flush=True)
    path = options.out / f"clustered-samples-{options.rows}-rows.json"
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
