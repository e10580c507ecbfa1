"""Known measurement errors on simulated surveys: the role `noise_std`, and without it.

    python -m benchmarks.measurement_error          # predictions of true values and measurements
    python -m benchmarks.measurement_error --base   # R2 of base models, with weights and without

Half of the rows have a measurement error of twice the natural noise. The truth is the smooth
function plus natural noise.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.ensemble.base_regressor import (
    boosted_forests,
    boosted_trees,
    extra_trees,
    fit_base,
)
from sptgnn_sklearn.metrics import interval_coverage
from sptgnn_sklearn.spatial.gaussian_process import GaussianProcess

from .experiments import RECORDS_DIR

_NATURAL_SD = 0.6
_N_NEW = 1000
_COVARIATES = ["a", "b", "c", "d"]
_BASE_CASES = ((1.0, 0.5), (2.0, 0.5), (2.0, 0.8), (3.0, 0.5))  # ratio and share of noisy rows


@dataclass(frozen=True)
class NoisySurvey:
    """Rows with coordinates, covariates and the column ``lab_sd``.

    Attributes
    ----------
    X : DataFrame of n rows
    smooth, true, measured : ndarray of shape (n,)
        The smooth function; with natural noise; with measurement errors, too.
    """

    X: pd.DataFrame
    smooth: np.ndarray
    true: np.ndarray
    measured: np.ndarray

    def take(self, rows: slice) -> NoisySurvey:
        """Return some of the rows."""
        parts = (self.smooth[rows], self.true[rows], self.measured[rows])
        return NoisySurvey(self.X.iloc[rows], *parts)


def make_noisy_survey(n: int, seed: int, *, ratio: float = 2.0, share: float = 0.5) -> NoisySurvey:
    """Simulate n rows, a share of which has an error of ratio times the natural noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, len(_COVARIATES))), columns=_COVARIATES)
    X.insert(0, "x", rng.uniform(0, 100, n))
    X.insert(1, "y", rng.uniform(0, 100, n))
    field = np.sin(X["x"] / 15) * np.cos(X["y"] / 18)
    smooth = (np.sin(1.5 * X["a"]) + 0.8 * X["b"] + field).to_numpy()
    true = smooth + _NATURAL_SD * rng.normal(size=n)
    X["lab_sd"] = np.where(rng.uniform(size=n) < share, ratio * _NATURAL_SD, 0.0)
    return NoisySurvey(X, smooth, true, true + X["lab_sd"].to_numpy() * rng.normal(size=n))


def score_predictions(model: SpTGNNRegressor, n: int, seed: int) -> dict[str, float]:
    """Fit to n rows, and compare predictions of new rows with true and with measured values."""
    survey = make_noisy_survey(n + _N_NEW, seed)
    train, new = survey.take(slice(n)), survey.take(slice(n, None))
    known = model.noise_std is not None

    def columns(X: pd.DataFrame) -> pd.DataFrame:
        return X if known else X.drop(columns="lab_sd")

    model.fit(columns(train.X), train.measured)
    query = columns(new.X.assign(lab_sd=0.0))
    mean, std = model.predict(query, return_std=True)
    error = mean - new.true
    scores = {
        "r2_smooth": 1 - float(np.mean((mean - new.smooth) ** 2) / np.var(new.smooth)),
        "std_over_rmse": float(np.sqrt(np.mean(std**2) / np.mean(error**2))),
        "coverage_true": interval_coverage(new.true, *model.predict_interval(query, 0.9).T),
    }
    limits, noisy = model.predict_interval(columns(new.X), 0.9), (new.X["lab_sd"] > 0).to_numpy()
    for name, rows in (("exact", ~noisy), ("noisy", noisy)):
        scores[f"coverage_{name}"] = interval_coverage(new.measured[rows], *limits[rows].T)
    return scores


def score_base_models(n: int, seed: int, ratio: float, share: float) -> dict[str, float]:
    """R2 of the smooth function by each base model, without and with known errors."""
    survey = make_noisy_survey(n + _N_NEW, seed, ratio=ratio, share=share)
    X = survey.X.drop(columns="lab_sd").to_numpy()
    center, scale = survey.measured[:n].mean(), survey.measured[:n].std()
    y, weight = (survey.measured[:n] - center) / scale, np.ones(n)
    noise = (survey.X["lab_sd"].to_numpy()[:n] / scale) ** 2
    truth = (survey.smooth[n:] - center) / scale
    scores = {}
    for known, given in (("without", None), ("with", noise)):
        models = {
            "xgboost": boosted_trees(seed, 1, n_columns=X.shape[1], n_cells=X[:n].size),
            "boosted forests": boosted_forests(seed),
            "extra-trees": extra_trees(seed),
        }
        predicted = {
            name: fit_base(model, X[:n], y, weight, given).predict(X[n:])
            for name, model in models.items()
        }
        process = GaussianProcess.fit(X[:n, :2], X[:n, 2:], y, weight, seed, given)
        predicted["gaussian_process"] = process.predict(X[n:, :2], X[n:, 2:])
        for name, values in predicted.items():
            error = np.mean((values - truth) ** 2) / np.var(truth)
            scores[f"{name}, {known}"] = 1 - float(error)
    return scores


def mean_scores(results: list[dict[str, float]]) -> dict[str, float]:
    """Return the means over seeds."""
    return {name: float(np.mean([one[name] for one in results])) for name in results[0]}


def main() -> None:
    """Run one comparison, print it and write its record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--rows", nargs="*", type=int, default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    record, seeds = {}, range(options.seeds)
    if options.base:
        for n in options.rows:
            for ratio, share in _BASE_CASES:
                case = f"{n} rows, {share:.0%} with {ratio:g} times the natural noise"
                record[case] = mean_scores(
                    [score_base_models(n, seed, ratio, share) for seed in seeds]
                )
    else:
        for n in options.rows:
            for role in ("lab_sd", None):
                case = f"{n} rows, {'with' if role else 'without'} noise_std"
                models = [SpTGNNRegressor(noise_std=role, random_state=seed) for seed in seeds]
                record[case] = mean_scores(
                    [score_predictions(model, n, seed) for seed, model in enumerate(models)]
                )
    print(pd.DataFrame(record).T.round(3).to_string())
    name = f"measurement-error{'-base' if options.base else ''}"
    (options.out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
