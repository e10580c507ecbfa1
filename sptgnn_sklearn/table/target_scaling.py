"""Target transform and standardization, with moments and quantiles of the inverse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import skew

__all__ = [
    "LARGEST_LOG",
    "LARGEST_NOISE_VARIANCE",
    "TargetScaler",
    "choose_transform",
    "mixture_quantiles",
]

_MIN_SKEWNESS = 1.0  # of a target that "auto" log-transforms
_MOST_STEPS = 100  # of quantiles; halving alone needs 60
_PRECISION = 1e-12  # of quantiles, in standard deviations
_BRACKET_WIDTH = 9.0  # in standard deviations; less than 1e-18 of a Gaussian lies outside
# Single precision ends at exp(88): cap the mean at exp(80), the deviation at exp(8) times the mean.
LARGEST_LOG = 80.0
_LARGEST_LOG_VARIANCE = 16.0
# Of measurement errors in standardized units: a row with a larger one has no information.
LARGEST_NOISE_VARIANCE = 1e6


@dataclass(frozen=True)
class TargetScaler:
    """Optional log transform of y, then standardization to zero mean and unit variance.

    Attributes
    ----------
    function : None or "log1p"
    center, scale : float
        Mean and standard deviation of the transformed training targets. The scale of a constant
        target is 0, so that all its predictions are that constant.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.target_scaling import TargetScaler
    >>> y = np.array([1.0, 3.0, 5.0])
    >>> scaler = TargetScaler.fit(y, weight=np.ones(3), function=None)
    >>> scaler.transform(y).round(3)
    array([-1.225,  0.   ,  1.225])
    >>> mean, variance = scaler.moments(np.array([0.0]), np.array([1.0]))
    >>> mean, variance.round(3)
    (array([3.]), array([2.667]))
    """

    function: str | None
    center: float
    scale: float

    @classmethod
    def fit(cls, y: np.ndarray, weight: np.ndarray, function: str | None) -> TargetScaler:
        """Fit the transform to training targets.

        Parameters
        ----------
        y, weight : ndarray of shape (n,)
        function : None, "log1p" or "auto"
            "auto" calls `choose_transform`.

        Raises
        ------
        ValueError
            If a target is at or below -1 with "log1p".
        """
        if function == "auto":
            function = choose_transform(y)
        if function == "log1p" and y.min() <= -1:
            raise ValueError(
                f"target_transform='log1p' needs y above -1; the minimum is {y.min():g}. Set "
                "target_transform=None, or shift y."
            )
        z = np.log1p(y) if function == "log1p" else y
        if np.ptp(z) == 0:  # the computed deviation of equal numbers would be a rounding error
            return cls(function, float(z[0]), 0.0)
        center = np.average(z, weights=weight)
        variance = np.average((z - center) ** 2, weights=weight)
        return cls(function, float(center), float(np.sqrt(variance)))

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Return targets in standardized units."""
        z = np.log1p(y) if self.function == "log1p" else y
        return (z - self.center) / self.scale if self.scale else np.zeros(np.shape(z))

    def noise_variance(self, noise_std: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the variance of measurement errors of measured values, in standardized units.

        For "log1p" by the delta method: the standard deviation of log(1 + y) is that of y over
        1 + y. Up to a standard deviation of 0.2 (1 + y) the mean variance is within 5 % of that of
        log(1 + y); at 0.3 (1 + y) it is half as large again.

        Parameters
        ----------
        noise_std, y : ndarray of shape (n,)
            Standard deviations of the errors, and measured values above -1 for "log1p".

        Returns
        -------
        ndarray of shape (n,)
            At most 1e6.
        """
        if not self.scale:
            return np.zeros(np.shape(y))
        std = noise_std / self.scale
        if self.function == "log1p":
            std = std / (1 + y)
        return np.minimum(std, np.sqrt(LARGEST_NOISE_VARIANCE)) ** 2

    def added_variance(
        self, mean: np.ndarray, variance: np.ndarray, noise_std: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return shifts and variances that add measurement errors to Gaussian predictions.

        The errors increase the variance in the unit of y by the square of `noise_std` and leave the
        mean as it is. For "log1p" the measured value is taken as shifted log-normal, too: the
        variance of its logarithm is increased by ``log(1 + noise_std**2 / E[(1 + y)**2])`` and the
        mean of its logarithm is reduced by half of that. For small errors this is the delta method.

        Parameters
        ----------
        mean, variance : ndarray of shape (M, n)
            In standardized units.
        noise_std : ndarray of shape (n,)
            In the unit of y.

        Returns
        -------
        shift, added : ndarray of shape (M, n)
            To be added to mean and variance; 0 for a constant target.
        """
        if not self.scale:
            return np.zeros(mean.shape), np.zeros(mean.shape)
        if self.function is None:
            added = np.broadcast_to((noise_std / self.scale) ** 2, mean.shape)
            return np.zeros(mean.shape), added
        exponent = self.center + self.scale * mean + self.scale**2 * variance
        relative = noise_std * np.exp(-np.clip(exponent, -LARGEST_LOG, LARGEST_LOG))
        added = np.log1p(relative**2)
        return -added / (2 * self.scale), added / self.scale**2

    def moments(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance in the unit of y of a Gaussian in standardized units.

        For "log1p" these are the moments of a shifted log-normal (Johnson, Kotz, Balakrishnan 1994,
        Continuous Univariate Distributions 1, chapter 14): E[y] = exp(m + v/2) - 1 and
        Var[y] = (exp(v) - 1) exp(2m + v), capped to the range of single precision.

        Parameters
        ----------
        mean, variance : ndarray of the same shape

        Returns
        -------
        mean, variance : ndarray of that shape
        """
        m, v = self.center + self.scale * mean, self.scale**2 * variance
        if self.function is None:
            return m, v
        center = np.exp(np.minimum(m + v / 2, LARGEST_LOG))
        return center - 1, np.expm1(np.minimum(v, _LARGEST_LOG_VARIANCE)) * center**2

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Return values, such as quantiles, in the unit of y."""
        z = self.center + self.scale * z
        return np.expm1(np.minimum(z, LARGEST_LOG)) if self.function == "log1p" else z


def choose_transform(y: np.ndarray) -> str | None:
    """Return "log1p" if y is non-negative and right-skewed and log1p reduces the skewness, or None.

    Parameters
    ----------
    y : ndarray of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.target_scaling import choose_transform
    >>> choose_transform(np.array([1.0, 2.0, 3.0, 5.0, 9.0, 60.0]))
    'log1p'
    """
    # The skewness of numbers that differ by rounding is a rounding error too.
    if y.min() < 0 or np.ptp(y) <= 1e-9 * y.max() or skew(y) < _MIN_SKEWNESS:
        return None
    return "log1p" if abs(skew(np.log1p(y))) < skew(y) else None


def mixture_quantiles(mean: np.ndarray, std: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return quantiles of mixtures of M Gaussians with equal weights.

    By Newton steps on the normal scores of the distribution function, which is nearly linear for
    similar members, within a bracket that is halved where a step leaves it.

    Parameters
    ----------
    mean, std : ndarray of shape (M, n)
        One mixture per column; std is positive.
    levels : ndarray of shape (q,)
        Between 0 and 1.

    Returns
    -------
    ndarray of shape (n, q)
        Non-decreasing in the levels.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.target_scaling import mixture_quantiles
    >>> mean, std = np.array([[-10.0], [10.0]]), np.array([[1.0], [1.0]])
    >>> mixture_quantiles(mean, std, np.array([0.25, 0.75])).round(6) + 0.0
    array([[-10.,  10.]])
    """
    levels = np.asarray(levels, dtype=float)
    target = np.clip(ndtri(levels), -_BRACKET_WIDTH, _BRACKET_WIDTH)[:, None]
    if len(mean) == 1:
        return (mean + std * target).T
    center, spread = mean.mean(0), np.sqrt((std**2).mean(0) + mean.var(0))
    low = np.broadcast_to((mean - _BRACKET_WIDTH * std).min(0), (len(levels), mean.shape[1])).copy()
    high = np.broadcast_to((mean + _BRACKET_WIDTH * std).max(0), low.shape).copy()
    found = np.clip(center + spread * target, low, high)
    # Entries are independent of one another: each stops after its own last step.
    rows, columns = (index.ravel() for index in np.indices(found.shape))
    x, low, high = found.ravel(), low.ravel(), high.ravel()
    active, step = np.arange(x.size), high - low
    for _ in range(_MOST_STEPS):
        column = columns[active]
        at, wanted = x[active], target[rows[active], 0]
        scores = (at - mean[:, column]) / std[:, column]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # From the nearer tail, where probabilities are small and precise.
            sign = np.where(wanted > 0, -1.0, 1.0)
            score = sign * ndtri(ndtr(sign * scores).mean(0))
            density = (np.exp(-(scores**2) / 2) / std[:, column]).mean(0)
            moved = at - (score - wanted) * np.exp(-(score**2) / 2) / density
        below = score < wanted
        low[active] = np.where(below, at, low[active])
        high[active] = np.where(below, high[active], at)
        # As in Press et al. 2007, Numerical recipes, 9.4: steps that do not shrink may cycle.
        sound = (moved >= low[active]) & (moved <= high[active])
        sound &= np.abs(moved - at) < np.abs(step[active]) / 2
        x[active] = np.where(sound, moved, (low[active] + high[active]) / 2)
        step[active] = x[active] - at
        active = active[np.abs(x[active] - at) > _PRECISION * spread[column]]
        if not len(active):
            break
    found = x.reshape(found.shape)
    order = np.argsort(levels, kind="stable")
    found[order] = np.maximum.accumulate(found[order], axis=0)
    return found.T
