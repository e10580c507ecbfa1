"""Opponents that state a distribution, each by its quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split

from .opponents import OPPONENTS, OnTable

_HELD_OUT = 0.2  # of the training rows, for what needs rows of its own


class WithQuantiles(OnTable):
    """An opponent on the matrix of a table, with quantiles."""

    def predict_quantiles(self, X, levels):
        """Predict quantiles (n, q) at the given levels."""
        inputs = self._inputs(self.columns_.transform(X))
        return self.model_.predict_quantiles(inputs, np.asarray(levels))


class QuantileForest(BaseEstimator):
    """Quantiles of the training targets in the leaves (Meinshausen 2006)."""

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
        """Predict quantiles."""
        trees = self.forest[-1]
        filled = self.forest[:-1].transform(X)
        return type(trees).__mro__[1].predict(trees, filled, quantiles=list(levels))


class NaturalGradientBoosting(BaseEstimator):
    """NGBoost (Duan et al. 2020) with a normal distribution; rounds by a held-out fifth."""

    def __init__(self, random_state=0, wide=False):
        self.random_state = random_state
        self.wide = wide

    def fit(self, X, y):
        """Fit."""
        from ngboost import NGBRegressor

        self.imputer_ = SimpleImputer(keep_empty_features=True).fit(X)
        filled = self.imputer_.transform(X)
        part, rest = train_test_split(
            np.arange(len(y)), test_size=_HELD_OUT, random_state=self.random_state
        )
        self.model_ = NGBRegressor(
            n_estimators=1000,
            learning_rate=0.03,
            minibatch_frac=0.5,
            col_sample=0.1 if self.wide else 1.0,
            random_state=self.random_state,
            verbose=False,
        ).fit(filled[part], y[part], filled[rest], y[rest], early_stopping_rounds=30)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model_.predict(self.imputer_.transform(X))

    def predict_quantiles(self, X, levels):
        """Predict quantiles of the normal distributions."""
        found = self.model_.pred_dist(self.imputer_.transform(X)).params
        return norm.ppf(levels, found["loc"][:, None], found["scale"][:, None])


class ConformalTrees(BaseEstimator):
    """Boosted trees, and MAPIE's split conformal intervals from a held-out fifth."""

    def __init__(self, trees, random_state=0):
        self.trees = trees
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the trees on four fifths, and learn from their errors on the others."""
        part, rest = train_test_split(
            np.arange(len(y)), test_size=_HELD_OUT, random_state=self.random_state
        )
        self.trees.fit(X[part], y[part])
        self.rest_ = X[rest], y[rest]
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.trees.predict(X)

    def predict_quantiles(self, X, levels):
        """Take the ends of central intervals as quantiles."""
        from mapie.regression import SplitConformalRegressor

        # Few rows tell no coverage close to 0 or 1: the closest that they do stands for these.
        closest = 1.01 / len(self.rest_[1])
        coverages = np.abs(2 * levels - 1)
        coverages[coverages > 0] = coverages[coverages > 0].clip(closest, 1 - closest)
        known = np.unique(coverages[coverages > 0])
        mapie = SplitConformalRegressor(self.trees, confidence_level=known, prefit=True)
        mean, intervals = mapie.conformalize(*self.rest_).predict_interval(X)
        found = np.repeat(mean[:, None], len(levels), axis=1)
        for i, (level, coverage) in enumerate(zip(levels, coverages, strict=True)):
            if coverage > 0:
                found[:, i] = intervals[:, int(level > 0.5), np.searchsorted(known, coverage)]
        return found


class ProcessBoosting(BaseEstimator):
    """GPBoost with the variance of its response."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        """Fit."""
        self.model.fit(X, y)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model.predict(X)

    def predict_quantiles(self, X, levels):
        """Predict quantiles of the normal distributions."""
        return norm.ppf(levels, self.model.predict(X)[:, None], self.model.predict_std(X)[:, None])


def _ngboost(rows: int, columns: int, seed: int, threads: int) -> Any:
    return NaturalGradientBoosting(seed, wide=columns > 60)


# Name: function of rows, columns, seed and threads.
DISTRIBUTIONS = {
    "quantile_forest": lambda *about: QuantileForest(OPPONENTS["quantile_forest"](*about)),
    "ngboost": _ngboost,
    "mapie_xgboost": lambda *about: ConformalTrees(OPPONENTS["xgboost"](*about), about[2]),
    "gpboost": lambda *about: ProcessBoosting(OPPONENTS["gpboost"](*about)),
}
WithQuantiles.makers = DISTRIBUTIONS
