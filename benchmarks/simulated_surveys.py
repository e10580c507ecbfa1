"""Simulated surveys with known sources of variation, in the form of the benchmark tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold

from .tables import TableData, Task

_N_ROWS = 600
_N_FOLDS = 5


@dataclass(frozen=True)
class SimulatedSurvey:
    """Name of a simulated survey and its parameters of `make_soil_survey`."""

    name: str
    parameters: dict[str, Any]

    @property
    def task(self) -> Task:
        """Target and column roles of the survey."""
        return Task(self.name, "soc", elevation="elevation", time="date")


SIMULATED_SURVEYS = {
    survey.name: survey
    for survey in (
        SimulatedSurvey("default survey", {}),
        SimulatedSurvey("no spatial field", {"field_sd": 0.0}),
        SimulatedSurvey("long-range field", {"range_km": 150.0}),
        SimulatedSurvey("spatial field only", {"covariate_sd": 0.0, "elevation_sd": 0.0}),
        SimulatedSurvey("strong elevation", {"elevation_sd": 6.0}),
        SimulatedSurvey("strong season and trend", {"season_sd": 4.0, "trend_sd": 4.0}),
        SimulatedSurvey("many covariates", {"n_covariates": 100}),
    )
}


def make_simulated_table(simulated: SimulatedSurvey) -> TableData:
    """Simulate a survey from a fixed seed and assign its rows to random and block folds."""
    survey = make_soil_survey(_N_ROWS, random_state=0, **simulated.parameters)
    X, y = survey.data, np.asarray(survey.target, dtype=float)
    splitters = {
        "random": KFold(_N_FOLDS, shuffle=True, random_state=0),
        "block": SpatialBlockKFold(_N_FOLDS),
    }
    folds = {}
    for kind, splitter in splitters.items():
        folds[kind] = np.empty(len(y), dtype=int)
        for label, (_, test) in enumerate(splitter.split(X, y)):
            folds[kind][test] = label
    coordinates = X[["lon", "lat"]].to_numpy(float)
    return TableData(X=X, y=y, observed=y, folds=folds, coordinates=coordinates, crs="EPSG:4326")
