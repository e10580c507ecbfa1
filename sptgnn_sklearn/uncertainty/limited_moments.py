"""Moments of normal and log-normal distributions whose values are limited to an interval.

Values beyond a limit are set to the limit, so that their probability is kept (a censored
distribution; Greene 2012, Econometric Analysis, section 19.3.1).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr

__all__ = ["FAR", "limited_lognormal_moments", "limited_normal_moments"]

FAR = 9.0  # standard deviations; less than 1e-18 of a normal distribution lies beyond


def limited_normal_moments(
    mean: np.ndarray, variance: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of normal values that are limited to an interval.

    Parameters
    ----------
    mean, variance : ndarray of the same shape
    low, high : float
        Limits; infinite ones leave a side open.

    Returns
    -------
    mean, variance : ndarray of that shape
        Equal to the parameters where the limits are far away.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.limited_moments import limited_normal_moments
    >>> moments = limited_normal_moments(np.array([0.0]), np.array([1.0]), 0.0, np.inf)
    >>> [float(moment[0].round(4)) for moment in moments]  # 1 / sqrt(2 pi), 1/2 - 1/(2 pi)
    [0.3989, 0.3408]
    """
    std = np.sqrt(variance)
    reached = (low > mean - FAR * std) | (high < mean + FAR * std)
    limited_mean, limited_variance = mean.copy(), variance.copy()
    mean, std = mean[reached], std[reached]
    # Deviations from the value next to the mean inside the interval lose no digits.
    nearest = np.clip(mean, low, high)
    shift = mean - nearest
    with np.errstate(all="ignore"):
        sides = [np.clip((side - mean) / std, -40.0, 40.0) for side in (low, high)]
    sides = [
        np.where(std > 0, z, np.where(side > mean, 40.0, -40.0))
        for z, side in zip(sides, (low, high), strict=True)
    ]
    density = [np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) for z in sides]
    inside = ndtr(sides[1]) - ndtr(sides[0])
    below, above = ndtr(sides[0]), ndtr(-sides[1])
    to_low, to_high = (np.where(np.isfinite(side), side - nearest, 0.0) for side in (low, high))
    first = shift * inside + std * (density[0] - density[1])
    second = (shift**2 + std**2) * inside + std * (
        (2 * shift + std * sides[0]) * density[0] - (2 * shift + std * sides[1]) * density[1]
    )
    first += to_low * below + to_high * above
    second += to_low**2 * below + to_high**2 * above
    limited_mean[reached] = nearest + first
    limited_variance[reached] = np.maximum(second - first**2, 0.0)
    return limited_mean, limited_variance


def limited_lognormal_moments(
    mean: np.ndarray, variance: np.ndarray, low: np.ndarray | float, high: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of exp(Z) of normal values Z that are limited to an interval.

    Parameters
    ----------
    mean, variance : ndarray of the same shape
        Moments of Z.
    low, high : float or ndarray that broadcasts to that shape
        Limits of Z; infinite ones leave a side open.

    Returns
    -------
    mean, variance : ndarray of that shape

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.limited_moments import limited_lognormal_moments
    >>> zero, one = np.array([0.0]), np.array([1.0])
    >>> mean, variance = limited_lognormal_moments(zero, one, -np.inf, np.inf)
    >>> float(mean[0].round(4)), float(variance[0].round(4))  # sqrt(e), e (e - 1)
    (1.6487, 4.6708)
    """
    std = np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    with np.errstate(over="ignore"):
        z_low, z_high = (low - mean) / std, (high - mean) / std
    moments: list[np.ndarray] = []
    for power in (1, 2):
        # Products of large and small factors are computed as sums of logarithms.
        exponent = power * mean + (power * std) ** 2 / 2
        upper, lower = log_ndtr(z_high - power * std), log_ndtr(z_low - power * std)
        inside = np.exp(exponent + upper) - np.exp(exponent + lower)
        above = np.exp(np.where(np.isfinite(high), power * high, 0.0) + log_ndtr(-z_high))
        below = np.exp(np.where(np.isfinite(low), power * low, 0.0) + log_ndtr(z_low))
        moments.append(inside + above + below)
    return moments[0], np.maximum(moments[1] - moments[0] ** 2, 0.0)
