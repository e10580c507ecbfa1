"""Predicted variance compared with the known variance of simulated surveys.

    python -m benchmarks.known_variance                 # variance, compared with an oracle
    python -m benchmarks.known_variance --epistemic     # effect of sample size and extrapolation
    python -m benchmarks.known_variance --distance      # calibration near and far from the data

The noise depends on a covariate. The oracle knows the noise, the effects of the covariates and the
covariance of the spatial field: its variance is the simple kriging variance plus the noise.
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
from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs

from .experiments import RECORDS_DIR

_NOISE_COVARIATE = "cov_4"  # has no effect on the mean
_NOISE_SD = 3.0
_NO_OTHER_NOISE = {
    "noise_sd": 1e-6,
    "noise_variation": 0.0,
    "season_sd": 0.0,
    "trend_sd": 0.0,
}
# Parameters of `make_known_survey`.
KNOWN_SURVEYS: dict[str, dict[str, Any]] = {
    "noise only": {"field_sd": 0.0, "noise_variation": 0.7},
    "field and noise": {"field_sd": 3.0, "noise_variation": 0.7},
    "field, noise, clusters": {"field_sd": 3.0, "noise_variation": 0.5, "clustered": 0.5},
}


@dataclass(frozen=True)
class KnownSurvey:
    """Simulated survey, new locations, and their true mean and variance.

    Attributes
    ----------
    X, X_new : DataFrame
        Survey rows and new locations.
    y : ndarray of shape (n,)
    mean, noise_sd, field_variance : ndarray of shape (m,)
        Expectation, noise and kriging variance of the field at the new locations.
    """

    X: pd.DataFrame
    y: np.ndarray
    X_new: pd.DataFrame
    mean: np.ndarray
    noise_sd: np.ndarray
    field_variance: np.ndarray


def make_known_survey(
    n: int,
    seed: int,
    *,
    field_sd: float,
    noise_variation: float,
    clustered: float = 0.0,
    m: int = 1500,
) -> KnownSurvey:
    """Simulate a survey of n rows and m new locations spread over its region."""
    rng = np.random.default_rng(seed + 7)
    parameters = {
        **_NO_OTHER_NOISE,
        "covariate_sd": 3.0,
        "elevation_sd": 0.0,
        "field_sd": field_sd,
        "range_km": 150.0,
        "random_state": seed,
    }
    survey = make_soil_survey(n, clustered=clustered, **parameters)
    lonlat = survey.data[["lon", "lat"]]
    low, high = lonlat.min().to_numpy(), lonlat.max().to_numpy()
    new = make_soil_survey(coordinates=rng.uniform(low, high, (m, 2)), **parameters)
    driver = survey.data[_NOISE_COVARIATE]

    def noise_sd(data: pd.DataFrame) -> np.ndarray:
        score = (data[_NOISE_COVARIATE] - driver.mean()) / driver.std()
        return (_NOISE_SD * np.exp(noise_variation * score.clip(-2, 2))).to_numpy()

    noise = noise_sd(survey.data)
    y = survey.truth["mean"].to_numpy() + noise * rng.normal(size=n)
    reference = resolve_crs(4326, ["lon", "lat"])
    sampled, unsampled = (
        to_metric_coordinates(data[["lon", "lat"]].to_numpy(), reference)
        for data in (survey.data, new.data)
    )
    covariance = field_sd**2 * _matern(cdist(sampled, sampled), 150.0) + np.diag(noise**2)
    cross_covariance = field_sd**2 * _matern(cdist(sampled, unsampled), 150.0)
    weights = np.linalg.solve(covariance, cross_covariance)
    kriging_variance = field_sd**2 - (cross_covariance * weights).sum(axis=0)
    return KnownSurvey(
        X=survey.data.drop(columns="date"),
        y=y,
        X_new=new.data.drop(columns="date"),
        mean=new.truth["mean"].to_numpy(),
        noise_sd=noise_sd(new.data),
        field_variance=np.maximum(kriging_variance, 0.0),
    )


def compare_with_oracle(survey: KnownSurvey, model: SpTGNNRegressor) -> dict[str, float]:
    """Fit the model and compare its variance at the new locations with that of the oracle."""
    predicted = model.fit(survey.X, survey.y).predict_uncertainty(survey.X_new)
    oracle = survey.field_variance + survey.noise_sd**2
    variance = predicted["std"].to_numpy() ** 2
    squared_error = (predicted["mean"].to_numpy() - survey.mean) ** 2 + survey.noise_sd**2
    aleatoric = predicted["aleatoric"]
    return {
        "correlation_with_oracle": float(np.corrcoef(variance, oracle)[0, 1]),
        "variance_over_oracle": float(variance.mean() / oracle.mean()),
        "variance_over_squared_error": float(variance.mean() / squared_error.mean()),
        "mean_squared_standardized_error": float(np.mean(squared_error / variance)),
        "correlation_of_aleatoric_and_noise": float(np.corrcoef(aleatoric, survey.noise_sd)[0, 1]),
        "aleatoric_over_noise": float(np.mean(aleatoric**2) / np.mean(survey.noise_sd**2)),
    }


def epistemic_by_sample_size(
    seed: int, sizes: tuple[int, ...] = (200, 600, 2000)
) -> dict[str, float]:
    """Compute the mean epistemic standard deviation at the same locations by sample size."""
    result = {}
    for n in sizes:
        survey = make_known_survey(n, seed, field_sd=3.0, noise_variation=0.3)
        model = SpTGNNRegressor(random_state=seed).fit(survey.X, survey.y)
        result[str(n)] = float(model.predict_uncertainty(survey.X_new)["epistemic"].mean())
    return result


def epistemic_by_region(seed: int, n: int = 1500) -> dict[str, float]:
    """Compute the mean epistemic standard deviation in the sampled half and east of it."""
    survey = make_known_survey(2 * n, seed, field_sd=3.0, noise_variation=0.3)
    middle = survey.X["lon"].median()
    west = (survey.X["lon"] < middle).to_numpy()
    model = SpTGNNRegressor(random_state=seed).fit(survey.X[west], survey.y[west])
    predicted = model.predict_uncertainty(survey.X_new)
    sampled = (survey.X_new["lon"] < middle).to_numpy()
    return {
        "epistemic, sampled": float(predicted["epistemic"][sampled].mean()),
        "epistemic, unsampled": float(predicted["epistemic"][~sampled].mean()),
        "std, sampled": float(predicted["std"][sampled].mean()),
        "std, unsampled": float(predicted["std"][~sampled].mean()),
    }


def standardized_error_by_distance(seed: int, n: int = 800) -> dict[str, dict[str, float]]:
    """Compute mean squared standardized errors of held-out rows near and far from training rows.

    Under random and block folds, for variances scaled by a factor that grows with distance, by the
    best constant factor, and not scaled. 1 is calibrated; larger values mean that variances are
    too small.
    """
    survey = make_known_survey(n, seed, field_sd=5.0, noise_variation=0.3, clustered=0.5)
    result = {}
    for kind, folds in (
        ("random", KFold(5, shuffle=True, random_state=seed)),
        ("block", SpatialBlockKFold(5, random_state=seed)),
    ):
        parts = [_squared_errors(survey, *split, seed) for split in folds.split(survey.X)]
        distance, *ratios = (np.concatenate(column) for column in zip(*parts, strict=True))
        far = distance > np.median(distance)
        for side, rows in (("near", ~far), ("far", far)):
            result[f"{kind}, {side}"] = {
                "mean distance": float(distance[rows].mean()),
                **{name: float(r[rows].mean()) for name, r in zip(_FACTORS, ratios, strict=True)},
            }
    return result


_FACTORS = ("grows with distance", "constant", "none")


def _squared_errors(
    survey: KnownSurvey, train: np.ndarray, test: np.ndarray, seed: int
) -> list[np.ndarray]:
    """Return neighbor distances of test rows, and squared standardized errors by factor."""
    with mock.patch.object(Calibration, "fit", wraps=Calibration.fit) as fit:
        model = SpTGNNRegressor(calibration="scale", random_state=seed)
        model.fit(survey.X.iloc[train], survey.y[train])
    calibration_data, _ = fit.call_args.args
    X, y = survey.X.iloc[test], survey.y[test]
    result = [model.kneighbors(X)[0].mean(axis=1)]
    postprocessor = model.ensemble_.postprocessor
    for calibration in (
        postprocessor.calibration,
        Calibration.fit(replace(calibration_data, inputs=CalibrationInputs()), "scale"),
        Calibration(),
    ):
        model.ensemble_.postprocessor = replace(postprocessor, calibration=calibration)
        mean, std = model.predict(X, return_std=True)
        result.append(((y - mean) / std) ** 2)
    return result


def _matern(distance: np.ndarray, practical_range: float) -> np.ndarray:
    """Return the Matern 3/2 correlation, which is 0.05 at the practical range."""
    scale = brentq(lambda t: (1 + t) * np.exp(-t) - 0.05, 1.0, 10.0)
    t = scale * distance / practical_range
    return (1 + t) * np.exp(-t)


def main() -> None:
    """Run one comparison, print it and write its record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epistemic", action="store_true")
    parser.add_argument("--distance", action="store_true")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    options = parser.parse_args()
    record: dict[str, Any]
    name = f"known-variance-{options.rows}"
    if options.distance:
        name = "known-variance-distance"
        record = {
            f"{rows}, seed {seed}": values
            for seed in options.seeds
            for rows, values in standardized_error_by_distance(seed).items()
        }
    elif options.epistemic:
        name = "known-variance-epistemic"
        record = {
            f"{study}, seed {seed}": compute(seed)
            for study, compute in (
                ("sample size", epistemic_by_sample_size),
                ("region", epistemic_by_region),
            )
            for seed in options.seeds
        }
    else:
        record = {
            f"{survey}, seed {seed}": compare_with_oracle(
                make_known_survey(options.rows, seed, **parameters),
                SpTGNNRegressor(random_state=seed),
            )
            for survey, parameters in KNOWN_SURVEYS.items()
            for seed in options.seeds
        }
    print(pd.DataFrame(record).T.round(3).to_string())
    (options.out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
