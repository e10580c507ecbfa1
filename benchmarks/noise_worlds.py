"""Simulated surveys whose noise varies in a known way: by covariate, region, category, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from sptgnn_sklearn.datasets import make_soil_survey

from .table_selection import TableSource
from .tables import TableData, Task

N_TRAINING = 1200
N_TEST = 2000
_CENTER = (30.0, 0.0)  # longitude and latitude of the simulated region
_LEVELS = np.array([1.5, 2.5, 3.5, 5.0])  # standard deviations of the noise, g/kg
_MEAN_PARAMETERS = {"season_sd": 0.0, "trend_sd": 0.0, "noise_sd": 0.0, "noise_variation": 0.0}
UNTESTED = -1  # fold label of rows that are for training only


def _by_covariate(X: pd.DataFrame) -> np.ndarray:
    return 2.6 * np.exp(0.5 * X["cov_4"].clip(-2, 2).to_numpy())  # no effect on the mean


def _by_region(X: pd.DataFrame) -> np.ndarray:
    east, north = X["lon"].to_numpy() > _CENTER[0], X["lat"].to_numpy() > _CENTER[1]
    return _LEVELS[east + 2 * north]


def _by_category(X: pd.DataFrame) -> np.ndarray:
    return _LEVELS[pd.Categorical(X["land_use"]).codes]


def _constant(X: pd.DataFrame) -> np.ndarray:
    return np.full(len(X), 3.0)


@dataclass(frozen=True)
class NoiseWorld:
    """Simulated survey with known noise.

    Attributes
    ----------
    noise_sd : callable
        Returns the standard deviation (n,) of the noise of rows.
    parameters : dict
        Of `make_soil_survey`.
    """

    noise_sd: Callable[[pd.DataFrame], np.ndarray]
    parameters: Mapping[str, float] = field(default_factory=dict)


# With a field and covariate effects errors of the mean are as large as the noise; without a field
# the noise is most of the error.
_NO_FIELD = {"field_sd": 0.0, "covariate_sd": 3.0, "elevation_sd": 0.0}
NOISE_WORLDS = {
    "noise by covariate": NoiseWorld(_by_covariate),
    "noise by region": NoiseWorld(_by_region),
    "noise by category": NoiseWorld(_by_category),
    "constant noise": NoiseWorld(_constant),
    "noise by covariate without field": NoiseWorld(_by_covariate, _NO_FIELD),
    "noise by region without field": NoiseWorld(_by_region, _NO_FIELD),
    "noise by category without field": NoiseWorld(_by_category, _NO_FIELD),
}


def make_noise_world(name: str, seed: int) -> TableData:
    """Simulate a survey; its random folds hold training rows, and test rows with label 0."""
    world = NOISE_WORLDS[name]
    parameters = {**_MEAN_PARAMETERS, **world.parameters}
    survey = make_soil_survey(N_TRAINING + N_TEST, random_state=seed, **parameters)
    X = survey.data.drop(columns="date")
    noise = world.noise_sd(X) * np.random.default_rng(seed).normal(size=len(X))
    y = survey.truth["mean"].to_numpy() + noise
    folds = np.where(np.arange(len(y)) < N_TRAINING, UNTESTED, 0)
    coordinates = X[["lon", "lat"]].to_numpy(float)
    return TableData(X, y, y, {"random": folds}, coordinates, "EPSG:4326")


def noise_world_source(name: str, seed: int) -> TableSource:
    """Return the source of a simulated survey."""
    task = Task(name, "soc", elevation="elevation")
    return TableSource(task, partial(make_noise_world, name, seed), ("random",))
