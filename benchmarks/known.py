"""Stated uncertainty against truth: simulated surveys whose noise and kriging variance are known.

    python -m benchmarks.known                 # variance against the oracle's
    python -m benchmarks.known --epistemic     # more data, and places away from them
    python -m benchmarks.known --distance      # near the data and far from them, on both folds

The noise depends on a covariate, and the oracle knows it, the effects of the covariates, and the
covariance of the field: its variance is that of simple kriging plus the noise.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from sklearn.model_selection import KFold

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.spatial.distances import to_metric_coordinates
from sptgnn_sklearn.uncertainty.calibration import Calibration

from .cells import RECORDS

_NOISE = "cov_4"  # a covariate without an effect on the mean
_NOISE_SD = 3.0
_QUIET = {"noise_sd": 1e-6, "noise_variation": 0.0, "season_sd": 0.0, "trend_sd": 0.0}
WORLDS: dict[str, dict[str, Any]] = {
    "noise only": {"field_sd": 0.0, "vary": 0.7},
    "field and noise": {"field_sd": 3.0, "vary": 0.7},
    "field, noise, clusters": {"field_sd": 3.0, "vary": 0.5, "clustered": 0.5},
}


@dataclass(frozen=True)
class Known:
    """A survey, places to predict, and what an oracle knows of them.

    Attributes
    ----------
    X, places : DataFrame
    y : ndarray of shape (n,)
    mean, noise_sd, field_variance : ndarray of shape (m,)
        Of the places: expectation, noise, and kriging variance of the field.
    """

    X: pd.DataFrame
    y: np.ndarray
    places: pd.DataFrame
    mean: np.ndarray
    noise_sd: np.ndarray
    field_variance: np.ndarray


def make_known(
    n: int, seed: int, *, field_sd: float, vary: float, clustered: float = 0.0, m: int = 1500
) -> Known:
    """Make a survey of n rows and m places spread over its region."""
    rng = np.random.default_rng(seed + 7)
    settings = {
        **_QUIET,
        "covariate_sd": 3.0,
        "elevation_sd": 0.0,
        "field_sd": field_sd,
        "range_km": 150.0,
        "random_state": seed,
    }
    survey = make_soil_survey(n, clustered=clustered, **settings)
    places = survey.data[["lon", "lat"]]
    low, high = places.min().to_numpy(), places.max().to_numpy()
    new = make_soil_survey(coordinates=rng.uniform(low, high, (m, 2)), **settings)
    drivers = survey.data[_NOISE]

    def noise_sd(data: pd.DataFrame) -> np.ndarray:
        score = (data[_NOISE] - drivers.mean()) / drivers.std()
        return (_NOISE_SD * np.exp(vary * score.clip(-2, 2))).to_numpy()

    noise = noise_sd(survey.data)
    y = survey.truth["mean"].to_numpy() + noise * rng.normal(size=n)
    frame = resolve_crs(4326, ["lon", "lat"])
    here, there = (
        to_metric_coordinates(data[["lon", "lat"]].to_numpy(), frame)
        for data in (survey.data, new.data)
    )
    known = field_sd**2 * _matern(cdist(here, here), 150.0) + np.diag(noise**2)
    across = field_sd**2 * _matern(cdist(here, there), 150.0)
    left = field_sd**2 - (across * np.linalg.solve(known, across)).sum(axis=0)
    return Known(
        X=survey.data.drop(columns="date"),
        y=y,
        places=new.data.drop(columns="date"),
        mean=new.truth["mean"].to_numpy(),
        noise_sd=noise_sd(new.data),
        field_variance=np.maximum(left, 0.0),
    )


def compare(known: Known, model: SpTGNNRegressor) -> dict[str, float]:
    """Fit, and hold what is stated at the places against what the oracle knows."""
    found = model.fit(known.X, known.y).predict_uncertainty(known.places)
    oracle = known.field_variance + known.noise_sd**2
    stated = found["std"].to_numpy() ** 2
    reached = (found["mean"].to_numpy() - known.mean) ** 2 + known.noise_sd**2
    return {
        "correlation": float(np.corrcoef(stated, oracle)[0, 1]),
        "scale": float(stated.mean() / oracle.mean()),
        "scale_of_own_error": float(stated.mean() / reached.mean()),
        "own_error_over_stated": float(np.mean(reached / stated)),
        "aleatoric_and_noise": float(np.corrcoef(found["aleatoric"], known.noise_sd)[0, 1]),
        "noise_scale": float(np.mean(found["aleatoric"] ** 2) / np.mean(known.noise_sd**2)),
    }


def epistemic_by_rows(seed: int, sizes: tuple[int, ...] = (200, 600, 2000)) -> dict[str, float]:
    """Mean epistemic standard deviation at the same places, by the number of rows."""
    found = {}
    for n in sizes:
        known = make_known(n, seed, field_sd=3.0, vary=0.3)
        model = SpTGNNRegressor(random_state=seed).fit(known.X, known.y)
        found[str(n)] = float(model.predict_uncertainty(known.places)["epistemic"].mean())
    return found


def epistemic_away(seed: int, n: int = 1500) -> dict[str, float]:
    """Mean epistemic standard deviation where there are rows, and east of the last of them."""
    known = make_known(2 * n, seed, field_sd=3.0, vary=0.3)
    middle = known.X["lon"].median()
    west = (known.X["lon"] < middle).to_numpy()
    model = SpTGNNRegressor(random_state=seed).fit(known.X[west], known.y[west])
    found = model.predict_uncertainty(known.places)
    inside = (known.places["lon"] < middle).to_numpy()
    return {
        "among rows": float(found["epistemic"][inside].mean()),
        "away": float(found["epistemic"][~inside].mean()),
        "std among rows": float(found["std"][inside].mean()),
        "std away": float(found["std"][~inside].mean()),
    }


def by_distance(seed: int, n: int = 800) -> dict[str, dict[str, float]]:
    """Mean squared standardised error of held-out rows near the training rows and far from them.

    Under random and under block folds; with the factor that grows with distance, with the best
    factor that does not, and with none. 1 is right, more is too narrow.
    """
    known = make_known(n, seed, field_sd=5.0, vary=0.3, clustered=0.5)
    found = {}
    for kind, folds in (
        ("random", KFold(5, shuffle=True, random_state=seed)),
        ("block", SpatialBlockKFold(5, random_state=seed)),
    ):
        parts = [_standardised(known, *split, seed) for split in folds.split(known.X)]
        distance, *ratios = (np.concatenate(column) for column in zip(*parts, strict=True))
        far = distance > np.median(distance)
        for side, rows in (("near", ~far), ("far", far)):
            found[f"{kind}, {side}"] = {
                "mean distance": float(distance[rows].mean()),
                **{name: float(r[rows].mean()) for name, r in zip(_FACTORS, ratios, strict=True)},
            }
    return found


_FACTORS = ("grows with distance", "the same everywhere", "none")


def _standardised(known: Known, train: np.ndarray, test: np.ndarray, seed: int) -> list[np.ndarray]:
    """Distances to neighbours of test rows, and squared errors over variances for each factor."""
    with mock.patch.object(Calibration, "learn", wraps=Calibration.fit) as learn:
        model = SpTGNNRegressor(calibration="scale", random_state=seed)
        model.fit(known.X.iloc[train], known.y[train])
    errors, _ = learn.call_args.args
    X, y = known.X.iloc[test], known.y[test]
    ratios = [model.kneighbors(X)[0].mean(axis=1)]
    postprocessor = model.ensemble_.postprocessor
    for calibration in (
        postprocessor.calibration,
        Calibration.fit(replace(errors, distance=None), "scale"),
        Calibration(),
    ):
        model.ensemble_.postprocessor = replace(postprocessor, calibration=calibration)
        mean, std = model.predict(X, return_std=True)
        ratios.append(((y - mean) / std) ** 2)
    return ratios


def _matern(distance: np.ndarray, practical_range: float) -> np.ndarray:
    """Matern correlation of smoothness 3/2 that has fallen to 0.05 at the practical range."""
    reach = brentq(lambda t: (1 + t) * np.exp(-t) - 0.05, 1.0, 10.0)
    t = reach * distance / practical_range
    return (1 + t) * np.exp(-t)


def main() -> None:
    """Read the options, run, print, and keep a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epistemic", action="store_true")
    parser.add_argument("--distance", action="store_true")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--out", type=Path, default=RECORDS)
    options = parser.parse_args()
    found: Any
    name = f"known-{options.rows}"
    if options.distance:
        name = "known-distance"
        found = {
            f"{rows}, seed {seed}": values
            for seed in options.seeds
            for rows, values in by_distance(seed).items()
        }
    elif options.epistemic:
        name = "known-epistemic"
        found = {
            f"{name}, seed {seed}": study(seed)
            for name, study in (("rows", epistemic_by_rows), ("places", epistemic_away))
            for seed in options.seeds
        }
    else:
        found = {
            f"{name}, seed {seed}": compare(
                make_known(options.rows, seed, **world), SpTGNNRegressor(random_state=seed)
            )
            for name, world in WORLDS.items()
            for seed in options.seeds
        }
    print(pd.DataFrame(found).T.round(3).to_string())
    (options.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
