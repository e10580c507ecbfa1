"""Increasing spline for a mean of squared errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from sklearn.preprocessing import SplineTransformer

__all__ = ["MonotoneSpline"]

_N_INTERVALS = 3  # between quantiles of x with equal weight
_DEGREE = 3
_MIN_RELATIVE_MEAN = 1e-4  # of the mean of y; the quasi-likelihood of 0 is infinite
_MAX_ITERATIONS = 500


@dataclass(frozen=True)
class MonotoneSpline:
    """Nonnegative, nondecreasing cubic spline, constant beyond the range of x.

    It is a sum of I-splines [1]_ with nonnegative coefficients and with knots at quantiles of x.
    They minimize ``y / mean + log(mean)``, the negative quasi-likelihood of variables whose
    standard deviation is proportional to their mean [2]_, such as squares of normal errors: least
    squares would be dominated by the largest.

    Attributes
    ----------
    splines : SplineTransformer or None
        None for x without variation.
    lower, upper : float
        Range of x.
    coefficients : ndarray of shape (n_splines,)

    References
    ----------
    .. [1] Ramsay, J. O. (1988). Monotone regression splines in action. Statistical Science 3,
       425-441.
    .. [2] Wedderburn, R. W. M. (1974). Quasi-likelihood functions, generalized linear models, and
       the Gauss-Newton method. Biometrika 61, 439-447.
    """

    splines: SplineTransformer | None
    lower: float
    upper: float
    coefficients: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> MonotoneSpline:
        """Fit the spline to values.

        Parameters
        ----------
        x, y, weight : ndarray of shape (n,)
            `y` is not negative and weights are positive; a weight of 2 equals repeating the value.

        Examples
        --------
        >>> import numpy as np
        >>> from sptgnn_sklearn.applicability.monotone_spline import MonotoneSpline
        >>> x = np.linspace(0, 1, 50)
        >>> spline = MonotoneSpline.fit(x, 1 + 2 * x, np.ones(50))
        >>> spline(np.array([-1.0, 0.5, 2.0])).round(3).tolist()
        [1.0, 2.0, 3.0]
        """
        lower, upper = float(x.min()), float(x.max())
        mean = float(np.average(y, weights=weight))
        if lower == upper or mean == 0:
            return cls(None, lower, upper, np.array([mean]))
        knots = np.unique(_weighted_quantiles(x, weight, np.linspace(0, 1, _N_INTERVALS + 1)))
        splines = SplineTransformer(knots=knots[:, None], degree=_DEGREE).fit(x[:, None])
        basis = _integrated_splines(splines, x)
        share = weight / weight.sum()

        def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
            fitted = basis @ coefficients
            ratio = y / mean / fitted
            return share @ (ratio + np.log(fitted)), basis.T @ (share * (1 - ratio) / fitted)

        n_splines = basis.shape[1]
        # The first I-spline is the constant 1; the others start at a small slope.
        start = np.r_[1.0, np.full(n_splines - 1, 0.1)]
        bounds = [(_MIN_RELATIVE_MEAN, None), *[(0.0, None)] * (n_splines - 1)]
        options = {"maxiter": _MAX_ITERATIONS}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return cls(splines, lower, upper, mean * found.x)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the values of the spline (n,)."""
        if self.splines is None:
            return np.full(len(x), self.coefficients[0])
        inside = np.clip(x, self.lower, self.upper)
        return _integrated_splines(self.splines, inside) @ self.coefficients


def _integrated_splines(splines: SplineTransformer, x: np.ndarray) -> np.ndarray:
    """Return I-splines (n, n_splines): sums of the B-splines from each one to the last."""
    return np.cumsum(splines.transform(x[:, None])[:, ::-1], axis=1)[:, ::-1]


def _weighted_quantiles(x: np.ndarray, weight: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return quantiles that are values of x, so that weights equal repetitions."""
    order = np.argsort(x, kind="stable")
    total = np.cumsum(weight[order])
    positions = np.searchsorted(total, levels * total[-1] * (1 - 1e-12))
    return x[order][np.minimum(positions, len(x) - 1)]
