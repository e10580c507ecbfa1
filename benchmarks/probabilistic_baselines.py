"""Baseline regressors that predict quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split

from .baselines import BASELINES, TabularBaseline

_VALIDATION_FRACTION = 0.2  # of the training rows, for early stopping or conformal calibration


class QuantileBaseline(TabularBaseline):
    """Named baseline on the feature matrix of a table, with predicted quantiles."""

    def predict_quantiles(self, X, levels):
        """Predict quantiles (n, q) at the given levels."""
        features = self._features(self.schema_.transform(X))
        return self.model_.predict_quantiles(features, np.asarray(levels))


class QuantileForest(BaseEstimator):
    """Quantile regression forest (Meinshausen 2006)."""

    def __init__(self, forest):
        self.forest = forest

    def fit(self, X, y):
        """Fit the pipeline of imputer and forest."""
        self.forest.fit(X, y)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.forest.predict(X)

    def predict_quantiles(self, X, levels):
        """Predict quantiles (n, q)."""
        trees = self.forest[-1]
        imputed = self.forest[:-1].transform(X)
        return type(trees).__mro__[1].predict(trees, imputed, quantiles=list(levels))


class NaturalGradientBoosting(BaseEstimator):
    """NGBoost (Duan et al. 2020) with a normal distribution and early stopping."""

    def __init__(self, random_state=0, many_columns=False):
        self.random_state = random_state
        self.many_columns = many_columns

    def fit(self, X, y):
        """Fit with early stopping on a fifth of the rows."""
        from ngboost import NGBRegressor

        self.imputer_ = SimpleImputer(keep_empty_features=True).fit(X)
        imputed = self.imputer_.transform(X)
        train, validation = train_test_split(
            np.arange(len(y)), test_size=_VALIDATION_FRACTION, random_state=self.random_state
        )
        model = NGBRegressor(
            n_estimators=1000,
            learning_rate=0.03,
            minibatch_frac=0.5,
            col_sample=0.1 if self.many_columns else 1.0,
            random_state=self.random_state,
            verbose=False,
        )
        self.model_ = model.fit(
            imputed[train],
            y[train],
            imputed[validation],
            y[validation],
            early_stopping_rounds=30,
        )
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model_.predict(self.imputer_.transform(X))

    def predict_quantiles(self, X, levels):
        """Predict quantiles (n, q) of the normal distributions."""
        parameters = self.model_.pred_dist(self.imputer_.transform(X)).params
        return norm.ppf(levels, parameters["loc"][:, None], parameters["scale"][:, None])


class ConformalTrees(BaseEstimator):
    """Boosted trees with split conformal intervals (MAPIE) from a held-out fifth of the rows."""

    def __init__(self, trees, random_state=0):
        self.trees = trees
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the trees on four fifths of the rows and keep the others for calibration."""
        train, calibration = train_test_split(
            np.arange(len(y)), test_size=_VALIDATION_FRACTION, random_state=self.random_state
        )
        self.trees.fit(X[train], y[train])
        self.calibration_rows_ = X[calibration], y[calibration]
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.trees.predict(X)

    def predict_quantiles(self, X, levels):
        """Return the limits of central intervals as quantiles (n, q)."""
        from mapie.regression import SplitConformalRegressor

        # Few calibration rows support no coverage close to 0 or 1: use the closest possible one.
        margin = 1.01 / len(self.calibration_rows_[1])
        coverages = np.abs(2 * levels - 1)
        coverages[coverages > 0] = coverages[coverages > 0].clip(margin, 1 - margin)
        confidence_levels = np.unique(coverages[coverages > 0])
        mapie = SplitConformalRegressor(self.trees, confidence_level=confidence_levels, prefit=True)
        mean, intervals = mapie.conformalize(*self.calibration_rows_).predict_interval(X)
        quantiles = np.repeat(mean[:, None], len(levels), axis=1)
        for i, (level, coverage) in enumerate(zip(levels, coverages, strict=True)):
            if coverage > 0:
                position = np.searchsorted(confidence_levels, coverage)
                quantiles[:, i] = intervals[:, int(level > 0.5), position]
        return quantiles


class GaussianProcessBoostingQuantiles(BaseEstimator):
    """Normal quantiles from the mean and variance of GPBoost."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        """Fit the model."""
        self.model.fit(X, y)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model.predict(X)

    def predict_quantiles(self, X, levels):
        """Predict quantiles (n, q) of the normal distributions."""
        return norm.ppf(levels, self.model.predict(X)[:, None], self.model.predict_std(X)[:, None])


def _ngboost(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    return NaturalGradientBoosting(seed, many_columns=n_columns > 60)


# Functions of (n_rows, n_columns, seed, threads) that return an unfitted regressor.
PROBABILISTIC_BASELINES = {
    "quantile_forest": lambda *args: QuantileForest(BASELINES["quantile_forest"](*args)),
    "ngboost": _ngboost,
    "mapie_xgboost": lambda *args: ConformalTrees(BASELINES["xgboost"](*args), args[2]),
    "gpboost": lambda *args: GaussianProcessBoostingQuantiles(BASELINES["gpboost"](*args)),
}
QuantileBaseline.factories = PROBABILISTIC_BASELINES
