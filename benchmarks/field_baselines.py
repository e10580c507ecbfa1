"""Baseline regressors of 2026: boosting with native categories, kriging priors and others.

Each is fitted on a table of typed columns: coordinates on a plane, numbers with missing values,
dates and categories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sptgnn_sklearn.spatial.distances import plane_origin, to_local_plane
from sptgnn_sklearn.table.schema import TableSchema

from .additive_process import AdditiveGaussianProcess
from .baselines import BASELINES
from .kriging_prior import KrigingPriorRegressor
from .spatial_basis import SpatialBasis
from .tabular_networks import (
    PretrainedNetwork,
    TextCategories,
    TrainedNetwork,
    category_columns,
    import_extra,
)

_MAX_LEVELS = 32  # one-hot columns of a category
_VALIDATION_FRACTION = 0.2  # of the places, for early stopping


class FieldBaseline(RegressorMixin, BaseEstimator):
    """Named baseline on the typed columns of a table, without constant columns.

    Parameters
    ----------
    name : str
        Key of `FIELD_BASELINES` or `PRETRAINED_BASELINES`.
    time, elevation : label, default=None
        Columns with these roles.
    threads : int, default=1
    random_state : int, default=0
    checkpoint : path, default=None
        File of a pretrained model.
    """

    factories: ClassVar[Mapping[str, Callable[..., Any]]]  # set below

    def __init__(self, name, time=None, elevation=None, threads=1, random_state=0, checkpoint=None):
        self.name = name
        self.time = time
        self.elevation = elevation
        self.threads = threads
        self.random_state = random_state
        self.checkpoint = checkpoint

    def fit(self, X, y):
        """Fit the named model."""
        self.schema_ = TableSchema.fit(X, time=self.time, elevation=self.elevation)
        table = self.schema_.transform(X)
        self.origin_ = plane_origin(table.coordinates, self.schema_.reference)
        self.columns_ = None
        features = self._features(table)
        varies = features.nunique() > 1
        varies.iloc[:2] = True  # the coordinates
        self.columns_ = list(features.columns[varies])
        features = features[self.columns_]
        size = (*features.shape, self.random_state, self.threads)
        options = {} if self.checkpoint is None else {"checkpoint": self.checkpoint}
        model = self.factories[self.name](*size, **options)
        self.model_ = model.fit(features, np.asarray(y, dtype=float))
        return self

    def predict(self, X):
        """Predict the mean."""
        features = self._features(self.schema_.transform(X))
        return np.asarray(self.model_.predict(features), dtype=float)

    def _features(self, table):
        plane = to_local_plane(table.coordinates, self.schema_.reference, self.origin_)
        # LightGBM accepts no special characters in names.
        columns = {"x": plane[:, 0], "y": plane[:, 1]}
        columns |= {f"number_{i}": column for i, column in enumerate(table.numeric.T)}
        if table.time is not None:
            columns |= {"date": table.time, "season": table.time % 1}
        levels = self.schema_.categorical.values()
        for i, (codes, names) in enumerate(zip(table.categories.T, levels, strict=True)):
            known = np.where(codes < 0, -1, codes)
            columns[f"category_{i}"] = pd.Categorical.from_codes(known, categories=list(names))
        features = pd.DataFrame(columns)
        return features if self.columns_ is None else features[self.columns_]


class CatBoost(RegressorMixin, BaseEstimator):
    """CatBoost (Prokhorenkova et al. 2018) with its defaults and native categories."""

    def __init__(self, threads=1, random_state=0):
        self.threads = threads
        self.random_state = random_state

    def fit(self, X, y):
        """Fit on a table with missing values and categories."""
        self.filler_ = TextCategories().fit(X)
        filled = self.filler_.transform(X)
        model = import_extra("catboost").CatBoostRegressor(
            cat_features=category_columns(filled),
            thread_count=self.threads,
            random_seed=self.random_state,
            allow_writing_files=False,
            verbose=False,
        )
        self.model_ = model.fit(filled, y)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model_.predict(self.filler_.transform(X))


class LightGBM(RegressorMixin, BaseEstimator):
    """LightGBM (Ke et al. 2017) with native categories and early stopping.

    Its documentation advises a small learning rate with many rounds and early stopping. A fifth of
    the places chooses the number of rounds, and all rows are fitted with it.
    """

    def __init__(self, threads=1, random_state=0, learning_rate=0.05, n_estimators=2000):
        self.threads = threads
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.n_estimators = n_estimators

    def fit(self, X, y):
        """Fit on a table with missing values and categories."""
        lightgbm = import_extra("lightgbm")
        settings = {
            "learning_rate": self.learning_rate,
            "n_jobs": self.threads,
            "random_state": self.random_state,
            "deterministic": True,
            "verbose": -1,
        }
        places = np.unique(X[["x", "y"]].to_numpy(), axis=0, return_inverse=True)[1].ravel()
        splitter = GroupShuffleSplit(
            1, test_size=_VALIDATION_FRACTION, random_state=self.random_state
        )
        train, validation = next(splitter.split(X, y, places))
        stopped = lightgbm.LGBMRegressor(n_estimators=self.n_estimators, **settings)
        stopped.fit(
            X.iloc[train],
            y[train],
            eval_X=X.iloc[validation],
            eval_y=y[validation],
            callbacks=[lightgbm.early_stopping(50, verbose=False)],
        )
        n_rounds = max(1, stopped.best_iteration_ or self.n_estimators)
        self.model_ = lightgbm.LGBMRegressor(n_estimators=n_rounds, **settings).fit(X, y)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model_.predict(X)


def numeric_matrix() -> Any:
    """Return a transformer of typed columns to a matrix without missing values."""
    one_hot = OneHotEncoder(
        handle_unknown="ignore", max_categories=_MAX_LEVELS, sparse_output=False
    )
    return make_column_transformer(
        (
            SimpleImputer(strategy="median", keep_empty_features=True),
            make_column_selector(dtype_exclude="category"),
        ),
        (one_hot, make_column_selector(dtype_include="category")),
    )


def _catboost(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    return CatBoost(threads, seed)


def _forest(*size_seed_threads: int) -> Any:
    return make_pipeline(numeric_matrix(), BASELINES["random_forest"](*size_seed_threads))


def _spatial_basis_forest(*size_seed_threads: int) -> Any:
    forest = BASELINES["random_forest"](*size_seed_threads)
    return make_pipeline(numeric_matrix(), SpatialBasis(), forest)


def _gaussian_process(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    return make_pipeline(numeric_matrix(), AdditiveGaussianProcess(random_state=seed))


def _trained_network(name: str) -> Callable[..., Any]:
    return lambda n_rows, n_columns, seed, threads: TrainedNetwork(name, threads, seed)


def _pretrained_network(name: str) -> Callable[..., Any]:
    def make(n_rows: int, n_columns: int, seed: int, threads: int, checkpoint: Path) -> Any:
        return PretrainedNetwork(name, checkpoint, threads, seed)

    return make


def _with_kriging_prior(factory: Callable[..., Any]) -> Callable[..., Any]:
    def make(n_rows: int, n_columns: int, seed: int, threads: int, **options: Any) -> Any:
        regressor = factory(n_rows, n_columns + 2, seed, threads, **options)
        return KrigingPriorRegressor(regressor, random_state=seed)

    return make


# Functions of (n_rows, n_columns, seed, threads) that return an unfitted regressor.
FIELD_BASELINES: dict[str, Callable[..., Any]] = {
    "catboost": _catboost,
    "lightgbm": lambda n_rows, n_columns, seed, threads: LightGBM(threads, seed),
    "kriging_prior_catboost": _with_kriging_prior(_catboost),
    "kriging_prior_forest": _with_kriging_prior(_forest),
    "spatial_basis_forest": _spatial_basis_forest,
    "gaussian_process": _gaussian_process,
    "tabm": _trained_network("TabM_D_Regressor"),
    "realmlp": _trained_network("RealMLP_TD_Regressor"),
}
# The same with a `checkpoint`, by the package that reads it.
CHECKPOINT_PACKAGES = {
    "tabicl": "tabicl",
    "kriging_prior_tabicl": "tabicl",
    "tabpfn": "tabpfn",
    "kriging_prior_tabpfn": "tabpfn",
}
PRETRAINED_BASELINES: dict[str, Callable[..., Any]] = {
    name: _with_kriging_prior(_pretrained_network(package))
    if name.startswith("kriging_prior")
    else _pretrained_network(package)
    for name, package in CHECKPOINT_PACKAGES.items()
}
FieldBaseline.factories = FIELD_BASELINES | PRETRAINED_BASELINES

FIELD_MAX_ROWS = {"gaussian_process": 3000}  # models that are skipped on larger tables
TIME_LIMITS = {"tabm": 600.0, "realmlp": 600.0}  # seconds of one fold
