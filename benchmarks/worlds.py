"""Simulated surveys whose truth is known, in the form of the benchmark's tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold

from .tables import Data, Task

_ROWS = 600
_FOLDS = 5


@dataclass(frozen=True)
class World:
    """A kind of truth: settings of `make_soil_survey`."""

    name: str
    settings: dict[str, Any]

    @property
    def task(self) -> Task:
        """What is predicted there."""
        return Task(self.name, "soc", elevation="elevation", time="date")


WORLDS = {
    world.name: world
    for world in (
        World("survey", {}),
        World("no field", {"field_sd": 0.0}),
        World("wide field", {"range_km": 150.0}),
        World("field only", {"covariate_sd": 0.0, "elevation_sd": 0.0}),
        World("strong height", {"elevation_sd": 6.0}),
        World("strong dates", {"season_sd": 4.0, "trend_sd": 4.0}),
        World("many covariates", {"n_covariates": 100}),
    )
}


def make_world(world: World) -> Data:
    """Draw the survey of a world, the same one every time."""
    survey = make_soil_survey(_ROWS, random_state=0, **world.settings)
    X, y = survey.data, np.asarray(survey.target, dtype=float)
    splitters = {
        "random": KFold(_FOLDS, shuffle=True, random_state=0),
        "block": SpatialBlockKFold(_FOLDS),
    }
    folds = {}
    for kind, splitter in splitters.items():
        folds[kind] = np.empty(len(y), dtype=int)
        for label, (_, test) in enumerate(splitter.split(X, y)):
            folds[kind][test] = label
    places = X[["lon", "lat"]].to_numpy(float)
    return Data(X=X, y=y, observed=y, folds=folds, coordinates=places, crs="EPSG:4326")
