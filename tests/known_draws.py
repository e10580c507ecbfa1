"""A regressor whose joint draws have exactly known means, variances and correlations."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

MAX_CELLS = 60
COLUMNS = ["x", "y", "cell", "year", "value"]


def cell_table(n_cells=12, year=2012.0, value=None, **columns):
    """Return cells on a line, with their number, date and mean."""
    number = np.arange(n_cells)
    value = 2.0 + 0.1 * number if value is None else np.asarray(value, dtype=float)
    table = pd.DataFrame({"x": 10.0 * number, "y": 0.0, "cell": number, "year": year})
    return table.assign(value=value, **columns)


class KnownDraws(RegressorMixin, BaseEstimator):
    """Regressor that predicts a column, with errors of a known correlation.

    A share of the variance is an error common to all cells of a date, with a correlation between
    the dates; the rest is independent between cells and dates. Sample means, variances and
    correlations of the draws equal these numbers, because the errors are made of orthogonal
    vectors. Draws of a cell do not depend on the other cells of a call.
    """

    def __init__(self, std=1.0, share=0.5, time_correlation=0.6, std_after=None, joint=True):
        self.std = std
        self.share = share
        self.time_correlation = time_correlation
        self.std_after = std_after
        self.joint = joint

    def fit(self, X, y=None):
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        assert list(X.columns) == list(self.feature_names_in_)
        return X["value"].to_numpy(dtype=float)

    def sample_y(self, X, n_samples=1, random_state=None):
        assert list(X.columns) == list(self.feature_names_in_)
        cell = X["cell"].to_numpy(dtype=int) if self.joint else np.arange(len(X))
        late = X["year"].to_numpy(dtype=float) > 2015
        assert cell.max() < MAX_CELLS
        basis = self._basis(n_samples, random_state)
        first, second = basis[0], basis[1]
        r = self.time_correlation
        common = np.where(late[:, None], r * first + np.sqrt(1 - r**2) * second, first)
        own = basis[2 + cell + MAX_CELLS * late]
        std = np.where(late, self.std if self.std_after is None else self.std_after, self.std)
        error = np.sqrt(self.share) * common + np.sqrt(1 - self.share) * own
        return self.predict(X)[:, None] + std[:, None] * error

    @staticmethod
    def _basis(n_samples, seed):
        """Return vectors (2 + 2 MAX_CELLS, n_samples) of mean 0, variance 1, uncorrelated."""
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((n_samples, 3 + 2 * MAX_CELLS))
        noise[:, 0] = 1.0
        orthogonal = np.linalg.qr(noise)[0][:, 1:]
        return np.sqrt(n_samples - 1) * orthogonal.T


def known_model(**settings):
    """Return a fitted `KnownDraws`."""
    return KnownDraws(**settings).fit(cell_table())
