"""Base models that the network is blended with, their kriged covariate and their cross-fitting.

Small surveys are predicted best by an average of different models, large ones by boosted trees and
the network. The weights of the blend are fitted to held-out rows, so each training row also gets an
out-of-fold prediction of each base model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..spatial.blocks import location_ids
from ..spatial.gaussian_process import GaussianProcess
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable
from .base_regressor import boosted_forests, extra_trees, fit_base, make_base
from .tree_conversion import forest_to_xgboost

__all__ = [
    "BASE_MODELS",
    "LARGEST_SMALL_SURVEY",
    "BaseInputs",
    "BaseModels",
    "LinearScore",
    "UnfittedBaseModels",
    "base_inputs",
    "make_base_models",
    "uses_kriging",
    "with_kriged",
]

GAUSSIAN_PROCESS = "gaussian_process"
KRIGING_BOOSTING = "kriging_boosting"
KRIGING_EXTRA_TREES = "kriging_extra_trees"
_WITH_KRIGING = (KRIGING_BOOSTING, KRIGING_EXTRA_TREES)
LINEAR_SCORE = "linear_score"
BASE_MODELS = ("xgboost", *_WITH_KRIGING, GAUSSIAN_PROCESS)
_SMALL_SURVEY = (*_WITH_KRIGING, GAUSSIAN_PROCESS)
LARGEST_SMALL_SURVEY = 1000  # rows
_FEWEST_LOCATIONS = 10  # with fewer there is no covariance to be fitted


class BaseInputs(NamedTuple):
    """Inputs of the base models.

    Attributes
    ----------
    features : ndarray of shape (n, p)
        Of tree models; missing values are NaN.
    positions : ndarray of shape (n, d)
        Coordinates with Euclidean distances.
    covariates : ndarray of shape (n, q)
        Normal scores of covariates and dates.
    """

    features: np.ndarray
    positions: np.ndarray
    covariates: np.ndarray

    def take(self, rows: np.ndarray) -> BaseInputs:
        """Return some of the rows."""
        return BaseInputs(*(values[rows] for values in self))


def base_inputs(
    features: FeatureEncoder, table: SampleTable, spaces: Mapping[str, np.ndarray]
) -> BaseInputs:
    """Return the inputs of the base models for a table and its `relation_spaces`."""
    return BaseInputs(
        features.tree_features(table), spaces["spatial"], features.covariate_scores(table)
    )


@dataclass(frozen=True)
class LinearScore:
    """Base model that is a column of the features: the ridge score of projected covariates.

    The column holds leave-one-out predictions in the training rows, so that they are out-of-fold
    predictions as they are. See `CovariateProjection`.

    Attributes
    ----------
    column : int
        Position of the score among the features of tree models.
    """

    column: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the score (n,) of features (n, p)."""
        return features[:, self.column]


@dataclass(frozen=True)
class BaseModels:
    """Fitted base models.

    Attributes
    ----------
    regressors : dict of str to fitted regressor
        Those with kriging in their name get the kriged target as their last feature.
    kriging : GaussianProcess or None
        Process in space alone, which krigs the target. None without such regressors.
    process : GaussianProcess or None
        Base model in space and covariates, after the regressors.
    """

    regressors: dict[str, Any]
    kriging: GaussianProcess | None = None
    process: GaussianProcess | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the base models, in the order of their predictions."""
        return (*self.regressors, *([] if self.process is None else [GAUSSIAN_PROCESS]))

    def predict(self, inputs: BaseInputs) -> np.ndarray:
        """Return the predictions (k, n) of all base models."""
        kriged = None
        if self.kriging is not None:
            kriged = self.kriging.predict(inputs.positions, None)
        predictions = [
            regressor.predict(with_kriged(name, inputs.features, kriged))
            for name, regressor in self.regressors.items()
        ]
        if self.process is not None:
            predictions.append(self.process.predict(inputs.positions, inputs.covariates))
        return np.array(predictions, dtype=np.float64)


@dataclass(frozen=True)
class UnfittedBaseModels:
    """Settings of the base models.

    Attributes
    ----------
    regressors : dict of str to unfitted regressor
    process : bool
        Whether a Gaussian process is a base model.
    random_state : int
    """

    regressors: dict[str, Any]
    process: bool
    random_state: int

    def fit(
        self,
        inputs: BaseInputs,
        y: np.ndarray,
        weight: np.ndarray,
        folds: np.ndarray,
        noise: np.ndarray | None = None,
    ) -> tuple[BaseModels, np.ndarray]:
        """Fit the base models, and predict each row without its own fold.

        Parameters
        ----------
        inputs : BaseInputs of n rows
        y, weight : ndarray of shape (n,)
            Standardized targets and positive weights.
        folds : ndarray of shape (n,) of int
            If there is only one fold, all rows get the weighted mean.
        noise : ndarray of shape (n,), default=None
            Variances of measurement errors: Gaussian processes add them to their noise variance,
            regressors use sample weights as in `fit_base`.

        Returns
        -------
        BaseModels
        ndarray of shape (k, n)
            Out-of-fold predictions.
        """
        positions, covariates, seed = inputs.positions, inputs.covariates, self.random_state
        kriging = process = None
        if any(map(uses_kriging, self.regressors)):
            kriging = GaussianProcess.fit(positions, None, y, weight, seed, noise)
        if self.process:
            process = GaussianProcess.fit(positions, covariates, y, weight, seed, noise)
        regressors = self._fit_regressors(inputs, y, weight, folds, kriging, noise)
        if KRIGING_EXTRA_TREES in regressors:
            regressors[KRIGING_EXTRA_TREES] = forest_to_xgboost(regressors[KRIGING_EXTRA_TREES])
        models = BaseModels(regressors, kriging, process)
        held_out = np.empty((len(models.names), len(y)))
        for fold in np.unique(folds):
            inside = folds == fold
            if inside.all():
                held_out[:] = np.average(y, weights=weight)
                continue
            rows = np.flatnonzero(~inside)
            part = None if kriging is None else kriging.take(rows).refit(seed)
            fitted = self._fit_regressors(
                inputs.take(rows),
                y[rows],
                weight[rows],
                folds[rows],
                part,
                None if noise is None else noise[rows],
            )
            outer = None if process is None else process.take(rows).refit(seed)
            held_out[:, inside] = BaseModels(fitted, part, outer).predict(inputs.take(inside))
        return models, held_out

    def _fit_regressors(
        self,
        inputs: BaseInputs,
        y: np.ndarray,
        weight: np.ndarray,
        folds: np.ndarray,
        kriging: GaussianProcess | None,
        noise: np.ndarray | None,
    ) -> dict[str, Any]:
        # Without its fold, which is near some rows and far from others: a target kriged from the
        # nearest locations would be trusted too much away from the data.
        kriged = None if kriging is None else kriging.predict_left_out(folds)
        fitted = {}
        for name, regressor in self.regressors.items():
            if isinstance(regressor, LinearScore):
                fitted[name] = regressor
                continue
            fitted[name] = fit_base(
                regressor, with_kriged(name, inputs.features, kriged), y, weight, noise
            )
        return fitted


def uses_kriging(name: str) -> bool:
    """Return whether the base model of this name gets the kriged target as a feature."""
    return name in _WITH_KRIGING


def with_kriged(name: str, features: np.ndarray, kriged: np.ndarray | None) -> np.ndarray:
    """Return the features (n, p) of a regressor, with the kriged target (n,) if it uses it."""
    if kriged is None or not uses_kriging(name):
        return features
    return np.column_stack([features, kriged])


def make_base_models(
    base: Any,
    table: SampleTable,
    random_state: int,
    n_jobs: int | None,
    *,
    projected: bool = False,
) -> UnfittedBaseModels | None:
    """Return the unfitted base models of the parameter `base_estimator`, or None.

    Parameters
    ----------
    base : None, "auto", one of `BASE_MODELS`, "linear_score", regressor, or sequence of names and \
            regressors
        "auto" chooses by the number of rows.
    table : SampleTable of n rows
    random_state : int
    n_jobs : int or None
    projected : bool
        Whether the last numeric covariate is the score of a `CovariateProjection`, which is one
        more base model of "auto".

    Raises
    ------
    ValueError
        If an element is neither a known name nor a scikit-learn regressor, if a name occurs more
        than once, or if there is no element.
    """
    if base is None:
        return None
    n, n_columns = table.numeric.shape
    if isinstance(base, str) and base == "auto":
        n_locations = len(np.unique(location_ids(table.coordinates, table.site)))
        small = n <= LARGEST_SMALL_SURVEY and n_locations >= _FEWEST_LOCATIONS
        base = _SMALL_SURVEY if small else ("xgboost",)
        base += (LINEAR_SCORE,) * projected
    elements = [base] if isinstance(base, str) or not isinstance(base, Sequence) else list(base)
    names = [element for element in elements if isinstance(element, str)]
    known = {*BASE_MODELS, LINEAR_SCORE}
    unknown = [element for element in elements if element is None] + sorted({*names} - known)
    if unknown or not elements:
        raise ValueError(
            f"base_estimator={base!r} is invalid; pass None, 'auto', some of "
            f"{', '.join(map(repr, BASE_MODELS))}, or scikit-learn regressors."
        )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"base_estimator has {repeated} more than once.")
    if LINEAR_SCORE in names and not projected:
        raise ValueError(
            f"base_estimator={base!r}: {LINEAR_SCORE!r} needs more numeric covariates than rows; "
            f"found {n_columns} of {n} rows."
        )
    regressors: dict[str, Any] = {}
    for position, element in enumerate(elements):
        name = element if isinstance(element, str) else f"regressor_{position}"
        if name == KRIGING_BOOSTING:
            regressors[name] = boosted_forests(random_state, n_columns=n_columns)
        elif name == KRIGING_EXTRA_TREES:
            regressors[name] = extra_trees(random_state, n_columns=n_columns)
        elif name == LINEAR_SCORE:
            column = table.coordinates.shape[1] + n_columns - 1
            regressors[name] = LinearScore(column)
        elif name != GAUSSIAN_PROCESS:
            regressors[name] = make_base(element, random_state, n_jobs, (n, n_columns))
    return UnfittedBaseModels(regressors, GAUSSIAN_PROCESS in names, random_state)
