"""Kriging prior regression: kriged targets of other samples as covariates of any regressor.

Schmidinger et al. (2026), Computers and Electronics in Agriculture 243 (arXiv 2509.09408).
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, RegressorMixin, clone

_N_LAGS = 15
_LARGEST_LAG = 0.5  # of the largest distance, the usual limit of an empirical variogram
_VARIOGRAM_PLACES = 2000  # a variogram of more places is fitted to a sample of them
_CHUNK = 1000  # kriging systems solved at a time


class LocalOrdinaryKriging:
    """Ordinary kriging from the nearest places, with leave-one-out predictions.

    scikit-gstat fits the exponential variogram with nugget. The small systems are solved here,
    because neither scikit-gstat nor PyKrige can leave the sample itself out of its neighborhood.
    Values at the same place are averaged.

    Parameters
    ----------
    n_neighbors : int, default=24
    random_state : int, default=0
        Seed of the sample of places for the variogram.
    """

    def __init__(self, n_neighbors: int = 24, random_state: int = 0):
        self.n_neighbors = n_neighbors
        self.random_state = random_state

    def fit(self, xy: np.ndarray, values: np.ndarray) -> LocalOrdinaryKriging:
        """Fit the variogram to values (n,) at coordinates (n, 2) on a plane."""
        self.places_, inverse = np.unique(xy, axis=0, return_inverse=True)
        self.place_of_row_ = inverse.ravel()
        counts = np.bincount(self.place_of_row_)
        self.values_ = np.bincount(self.place_of_row_, values) / counts
        self.tree_ = cKDTree(self.places_)
        self.semivariance_ = self._fit_variogram()
        return self

    def predict(self, xy: np.ndarray) -> np.ndarray:
        """Return predictions and standard errors (m, 2) at coordinates (m, 2)."""
        k = min(self.n_neighbors, len(self.places_))
        neighbors = self.tree_.query(xy, k=np.arange(1, k + 1))[1]
        return self._krige(xy, neighbors)

    def predict_left_out(self) -> np.ndarray:
        """Return predictions and standard errors (n, 2) of training rows from other places."""
        k = min(self.n_neighbors + 1, len(self.places_))
        neighbors = self.tree_.query(self.places_, k=np.arange(1, k + 1))[1]
        own = neighbors == np.arange(len(neighbors))[:, None]
        others = neighbors[~own].reshape(len(neighbors), k - 1)
        return self._krige(self.places_, others)[self.place_of_row_]

    def _fit_variogram(self):
        from skgstat import Variogram

        rows = np.arange(len(self.places_))
        if len(rows) > _VARIOGRAM_PLACES:
            rng = np.random.default_rng(self.random_state)
            rows = rng.choice(rows, _VARIOGRAM_PLACES, replace=False)
        values = self.values_[rows]
        effective_range, sill, nugget = 1.0, 0.0, float(values.var())
        if nugget > 0:
            with suppress(RuntimeError):  # no optimum found: a variogram of the nugget alone
                variogram = Variogram(
                    self.places_[rows],
                    values,
                    model="exponential",
                    use_nugget=True,
                    n_lags=_N_LAGS,
                    maxlag=_LARGEST_LAG,
                )
                effective_range, sill, nugget = map(float, variogram.parameters)

        def semivariance(distance: np.ndarray) -> np.ndarray:
            partial = sill * -np.expm1(-3 * distance / effective_range)
            return np.where(distance > 0, nugget + partial, 0.0)

        return semivariance

    def _krige(self, xy: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
        parts = [
            self._krige_chunk(xy[start : start + _CHUNK], neighbors[start : start + _CHUNK])
            for start in range(0, len(xy), _CHUNK)
        ]
        return np.vstack(parts)

    def _krige_chunk(self, xy: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
        n, k = neighbors.shape
        places = self.places_[neighbors]
        pairs = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
        system = np.ones((n, k + 1, k + 1))
        system[:, :k, :k] = self.semivariance_(pairs)
        system[:, k, k] = 0.0
        target = np.ones((n, k + 1))
        target[:, :k] = self.semivariance_(np.linalg.norm(places - xy[:, None], axis=-1))
        try:
            weights = np.linalg.solve(system, target[..., None])[..., 0]
        except np.linalg.LinAlgError:  # a variogram without variance
            weights = (np.linalg.pinv(system, hermitian=True) @ target[..., None])[..., 0]
        mean = (weights[:, :k] * self.values_[neighbors]).sum(axis=1)
        variance = (weights * target).sum(axis=1)
        return np.column_stack([mean, np.sqrt(np.maximum(variance, 0.0))])


class KrigingPriorRegressor(RegressorMixin, BaseEstimator):
    """Regressor with the kriged target and its standard error as two more covariates.

    Training rows are kriged from all other places, new rows from all training rows.

    Parameters
    ----------
    regressor : regressor
        Fitted on a DataFrame.
    n_neighbors : int, default=24
    random_state : int, default=0
    """

    def __init__(self, regressor, n_neighbors=24, random_state=0):
        self.regressor = regressor
        self.n_neighbors = n_neighbors
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> KrigingPriorRegressor:
        """Fit on a table whose first two columns are coordinates on a plane."""
        kriging = LocalOrdinaryKriging(self.n_neighbors, self.random_state)
        self.kriging_ = kriging.fit(X.iloc[:, :2].to_numpy(float), y)
        features = _with_kriged(X, self.kriging_.predict_left_out())
        self.regressor_ = clone(self.regressor).fit(features, y)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict from the covariates and the kriged target."""
        kriged = self.kriging_.predict(X.iloc[:, :2].to_numpy(float))
        return self.regressor_.predict(_with_kriged(X, kriged))


def _with_kriged(X: pd.DataFrame, kriged: np.ndarray) -> pd.DataFrame:
    return X.assign(kriged_target=kriged[:, 0], kriging_error=kriged[:, 1])
