"""Baselines with prediction intervals that depend on a row: forests with conformal prediction.

Both set a fifth of the training rows aside for calibration and weight or model the absolute errors
of these rows. A limit that such rows cannot support is infinite; it is replaced by that of the
largest calibration error, so that interval scores stay finite, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold, train_test_split

from sptgnn_sklearn.metrics import interval_score
from sptgnn_sklearn.spatial.blocks import cluster_labels

from .baselines import BASELINES, TabularBaseline
from .tabular_networks import import_extra

_CALIBRATION_FRACTION = 0.2  # of the training rows
# Times the spread of the coordinates. The widest first, so that it is chosen among equals.
_BANDWIDTHS = (100.0, 1.6, 0.8, 0.4, 0.2, 0.1, 0.05)
_BANDWIDTH_FOLDS = 5
_ROWS_PER_FUNCTION = 40  # calibration rows for each function of the conditional method
_MOST_REGIONS = 5
_CHUNK_ROWS = 1000  # of the weight matrix between test and calibration rows

Intervals = tuple[np.ndarray, np.ndarray]  # limits (n, 2), and whether they were infinite (n,)


class IntervalBaseline(TabularBaseline):
    """Named baseline on the feature matrix of a table, with prediction intervals."""

    def predict_interval(self, X, coverage):
        """Predict the limits (n, 2) of intervals, and whether (n,) they replace infinite ones."""
        return self.model_.predict_interval(self._features(self.schema_.transform(X)), coverage)


class ConformalForest(RegressorMixin, BaseEstimator):
    """Forest on four fifths of the rows, with the absolute errors of the others.

    Parameters
    ----------
    forest : RandomForestRegressor
    random_state : int, default=0
        Of the split.
    """

    def __init__(self, forest, random_state=0):
        self.forest = forest
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the forest and predict the calibration rows; the first columns are coordinates."""
        train, calibration = train_test_split(
            np.arange(len(y)), test_size=_CALIBRATION_FRACTION, random_state=self.random_state
        )
        self.forest.fit(X[train], y[train])
        self.tree_ = cKDTree(X[train, :2])
        self.rows_, self.target_ = X[calibration], y[calibration]
        self.mean_ = self.predict(self.rows_)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.forest.predict(X)

    def predict_interval(self, X, coverage):
        """Predict the limits (n, 2) of intervals, and whether (n,) they replace infinite ones."""
        return symmetric_intervals(
            self.predict(X),
            self._half_width(X, coverage),
            np.abs(self.target_ - self.mean_).max(),
        )


class GeoConformalForest(ConformalForest):
    """GeoConformal prediction (Lou, Luo and Meng 2025) by the package geoconformal.

    Calibration errors are weighted by a Gaussian kernel of the distance to the row, with an atom at
    infinity for the row itself. The bandwidth has the lowest interval score in a cross-validation
    over the calibration rows.
    """

    def _half_width(self, X, coverage):
        coordinates = self.rows_[:, :2]
        spread = np.sqrt(coordinates.var(axis=0).sum()) or 1.0
        self.bandwidth_ = choose_bandwidth(
            self.mean_, self.target_, coordinates, spread * np.array(_BANDWIDTHS), coverage
        )
        return geo_half_width(
            self.mean_, self.target_, coordinates, X[:, :2], self.bandwidth_, coverage
        )


class ConditionalConformalForest(ConformalForest):
    """Conditional conformal prediction (Gibbs, Cherian and Candes 2025) by MAPIE.

    The quantile of absolute errors is a linear function of the spread of the trees, the distance to
    the training rows, regions, and categories: as many of these, in this order, as there are 40
    calibration rows for each. With fewer than 80 the intervals are those of split conformal
    prediction.
    """

    def fit(self, X, y):
        """Fit the forest and the functions of the calibration rows."""
        super().fit(X, y)
        self.budget_ = len(self.target_) // _ROWS_PER_FUNCTION
        n_regions = min(self.budget_ - 2, _MOST_REGIONS)
        self.centers_ = np.empty((0, 2))
        if n_regions > 1:
            points = self.rows_[:, :2]
            labels = cluster_labels(points, n_regions, self.random_state)
            self.centers_ = np.array([points[labels == i].mean(axis=0) for i in np.unique(labels)])
        ones = (self.rows_[:, 2:] == 1).sum(axis=0)
        binary = np.isin(self.rows_[:, 2:], (0, 1)).all(axis=0)
        frequent = np.minimum(ones, len(self.rows_) - ones) >= _ROWS_PER_FUNCTION
        self.categories_ = 2 + np.flatnonzero(binary & frequent)
        numbers = self._numbers(self.rows_)
        self.center_, self.scale_ = numbers.mean(axis=0), numbers.std(axis=0) + 1e-12
        self.range_ = numbers.min(axis=0), numbers.max(axis=0)
        return self

    def _numbers(self, X):
        """Return logarithms (n, 2) of the spread of the trees and of the distance to the data."""
        filled = X.astype(np.float32)
        spread = np.std([tree.predict(filled) for tree in self.forest.estimators_], axis=0)
        distance, _ = self.tree_.query(X[:, :2])
        floor = 1e-3 * np.sqrt(self.rows_[:, :2].var(axis=0).sum())
        return np.log(np.column_stack([spread + 1e-6, distance + floor + 1e-12]))

    def _functions(self, X):
        """Return the functions (n, k) of rows, the first of which is 1."""
        numbers = (np.clip(self._numbers(X), *self.range_) - self.center_) / self.scale_
        regions = np.empty((len(X), 0))
        if len(self.centers_):
            _, nearest = cKDTree(self.centers_).query(X[:, :2])
            regions = np.eye(len(self.centers_))[nearest][:, 1:]
        columns = [np.ones((len(X), 1)), numbers, regions, X[:, self.categories_]]
        return np.hstack(columns)[:, : max(1, self.budget_)]

    def _half_width(self, X, coverage):
        return conditional_half_width(
            self.target_ - self.mean_, self._functions(self.rows_), self._functions(X), coverage
        )


def symmetric_intervals(mean: np.ndarray, half_width: np.ndarray, largest: float) -> Intervals:
    """Return intervals around means (n,), infinite half widths replaced by the largest one."""
    infinite = ~np.isfinite(half_width)
    half_width = np.maximum(np.where(infinite, largest, half_width), 0.0)
    return np.column_stack([mean - half_width, mean + half_width]), infinite


def geo_half_width(
    mean: np.ndarray,
    target: np.ndarray,
    coordinates: np.ndarray,
    new: np.ndarray,
    bandwidth: float,
    coverage: float,
) -> np.ndarray:
    """Return the half widths of geoconformal for new coordinates (n, 2); they may be infinite."""
    package = import_extra("geoconformal")
    # The predictions of the calibration rows stand for their features.
    regressor = package.GeoConformalRegressor(
        np.ravel, mean[:, None], target, coordinates, bandwidth, 1 - coverage
    )
    parts = []
    for start in range(0, len(new), _CHUNK_ROWS):
        part = new[start : start + _CHUNK_ROWS]
        zero = np.zeros(len(part))
        parts.append(regressor.geo_conformalize(zero[:, None], zero, part).uncertainty)
    return np.concatenate(parts)


def choose_bandwidth(
    mean: np.ndarray,
    target: np.ndarray,
    coordinates: np.ndarray,
    bandwidths: np.ndarray,
    coverage: float,
) -> float:
    """Return the bandwidth with the lowest interval score of held-out calibration rows."""
    folds = KFold(_BANDWIDTH_FOLDS, shuffle=True, random_state=0)
    scores = np.zeros(len(bandwidths))
    for used, held_out in folds.split(mean):
        largest = np.abs(target[used] - mean[used]).max()
        for i, bandwidth in enumerate(bandwidths):
            half_width = geo_half_width(
                mean[used],
                target[used],
                coordinates[used],
                coordinates[held_out],
                bandwidth,
                coverage,
            )
            limits, _ = symmetric_intervals(mean[held_out], half_width, largest)
            scores[i] += len(held_out) * interval_score(
                target[held_out], *limits.T, coverage=coverage
            )
    return float(bandwidths[scores.argmin()])


class FirstColumn(RegressorMixin, BaseEstimator):
    """Fitted regressor that predicts the first column."""

    def fit(self, X, y=None):
        """Mark as fitted."""
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        """Return the first column."""
        return np.asarray(X)[:, 0]


def conditional_half_width(
    error: np.ndarray, functions: np.ndarray, new: np.ndarray, coverage: float
) -> np.ndarray:
    """Return the half widths of MAPIE's conditional method; they may be infinite.

    Parameters
    ----------
    error : ndarray of shape (n,)
        Errors of the calibration rows.
    functions : ndarray of shape (n, k)
        Functions of the calibration rows: coverage holds with each of them as a weight.
    new : ndarray of shape (m, k)
        The same functions of new rows.
    coverage : float

    Raises
    ------
    SystemExit
        If MAPIE has no conditional method, or cvxpy, which it imports, is not installed.
    """
    if find_spec("cvxpy") is None:
        raise SystemExit(
            "conditional_forest: MAPIE's conditional method imports cvxpy, which is not installed. "
            "Install it (pip install cvxpy-base), or leave the model out with --models."
        )
    package = import_extra("mapie.conditional_conformal_prediction")
    zero = np.zeros(len(functions))
    rows, new_rows = np.column_stack([zero, functions]), np.insert(new, 0, 0.0, axis=1)
    regressor = package.ConditionalSplitConformalRegressor(
        lambda X: X[:, 1:],
        FirstColumn().fit(rows),
        confidence_level=coverage,
    )
    limits = regressor.conformalize(rows, error).predict_interval(new_rows)[1]
    return limits[:, 1, 0]


def _around_forest(model: type[ConformalForest]) -> Callable[..., Any]:
    return lambda *args: model(BASELINES["random_forest"](*args), random_state=args[2])


# Functions of (n_rows, n_columns, seed, threads) that return an unfitted regressor.
INTERVAL_BASELINES = {
    "geoconformal_forest": _around_forest(GeoConformalForest),
    "conditional_forest": _around_forest(ConditionalConformalForest),
}
IntervalBaseline.factories = INTERVAL_BASELINES
