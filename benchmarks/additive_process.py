"""Additive Gaussian process: one Matern kernel in space and one over the covariates."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel
from sklearn.preprocessing import QuantileTransformer

_SMOOTHNESS = 1.5
_SPATIAL_SMOOTHNESS = 0.5
_LENGTHS = (1e-2, 1e2)  # standard deviations
_VARIANCES = (1e-4, 1e2)  # of the standardized target


class ColumnMatern(Matern):
    """Matern kernel of some adjacent columns."""

    def __init__(
        self, start=0, stop=None, length_scale=1.0, length_scale_bounds=_LENGTHS, nu=_SMOOTHNESS
    ):
        super().__init__(length_scale, length_scale_bounds, nu)
        self.start = start
        self.stop = stop

    def __call__(self, X, Y=None, eval_gradient=False):
        """Return the kernel matrix, and its gradient with `eval_gradient`."""
        columns = slice(self.start, self.stop)
        other = None if Y is None else np.asarray(Y)[:, columns]
        return super().__call__(np.asarray(X)[:, columns], other, eval_gradient)


class AdditiveGaussianProcess(RegressorMixin, BaseEstimator):
    """Gaussian process with Matern kernels of the coordinates and of the covariates, and noise.

    The kernel of the coordinates is exponential, as the variogram of most soil properties. The
    covariates are ranks with one length scale. All parameters maximize the marginal likelihood,
    from the default values and from random ones.

    Parameters
    ----------
    n_restarts : int, default=3
    random_state : int, default=0
    """

    def __init__(self, n_restarts=3, random_state=0):
        self.n_restarts = n_restarts
        self.random_state = random_state

    def fit(self, X, y):
        """Fit on a matrix without missing values, whose first two columns are coordinates."""
        X = np.asarray(X, dtype=float)
        self.center_ = X[:, :2].mean(axis=0)
        self.radius_ = float(np.sqrt(((X[:, :2] - self.center_) ** 2).sum(axis=1).mean())) or 1.0
        n_quantiles = min(1000, len(X))
        scaler = QuantileTransformer(n_quantiles=n_quantiles)
        self.scaler_ = scaler.fit(X[:, 2:]) if X.shape[1] > 2 else None
        process = GaussianProcessRegressor(
            self._kernel(),
            normalize_y=True,
            n_restarts_optimizer=self.n_restarts,
            random_state=self.random_state,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound
            self.process_ = process.fit(self._features(X), y)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.process_.predict(self._features(np.asarray(X, dtype=float)))

    def _kernel(self) -> Kernel:
        kernel = ConstantKernel(0.5, _VARIANCES) * ColumnMatern(0, 2, 0.5, nu=_SPATIAL_SMOOTHNESS)
        if self.scaler_ is not None:
            kernel += ConstantKernel(0.5, _VARIANCES) * ColumnMatern(2)
        return kernel + WhiteKernel(0.5, _VARIANCES)

    def _features(self, X):
        plane = (X[:, :2] - self.center_) / self.radius_
        if self.scaler_ is None:
            return plane
        ranks = self.scaler_.transform(X[:, 2:])
        scale = np.sqrt(ranks.shape[1])  # for distances below one
        return np.hstack([plane, ranks / scale])
