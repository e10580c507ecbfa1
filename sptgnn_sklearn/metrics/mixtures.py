"""Metrics of predicted mixtures of normal distributions, as deep ensembles predict them.

Where ensemble members disagree, a normal distribution with the mean and variance of the mixture
has its mode between the modes of the members. These functions evaluate the mixture itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr
from sklearn.utils import check_array

from .uncertainty import coverage_of_levels
from .validation import aligned_vectors, check_metric_weight, weighted_mean

__all__ = [
    "calibration_error_of_levels",
    "crps_mixture",
    "log_score_mixture",
    "probability_integral_transform",
]


def probability_integral_transform(y: Any, means: Any, stds: Any) -> np.ndarray:
    """Return the predicted cumulative probability of each measured value.

    The values are uniformly distributed between 0 and 1 if the predictions are calibrated.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    means, stds : array-like of shape (n_members, n_samples)
        Means and positive standard deviations of the ensemble members' normal distributions.
        Members have equal weights.

    Returns
    -------
    levels : ndarray of shape (n_samples,)
        Cumulative distribution function of the mixture at `y` (Dawid 1984, J. R. Stat. Soc. A 147,
        278-292).

    Raises
    ------
    ValueError
        If shapes do not match, a value is not finite, or a standard deviation is not positive.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import probability_integral_transform
    >>> probability_integral_transform([0.0], [[-5.0], [5.0]], [[1.0], [1.0]])
    array([0.5])
    """
    y, means, stds = _check_mixtures(y, means, stds)
    return ndtr((y - means) / stds).mean(axis=0)


def calibration_error_of_levels(
    levels_of_y: Any, levels: int = 99, *, sample_weight: Any = None
) -> float:
    """Return the expected calibration error from probability integral transform values; 0 is best.

    Parameters
    ----------
    levels_of_y : array-like of shape (n_samples,)
        Predicted cumulative probability of each measured value, such as from
        `probability_integral_transform`.
    levels : int, default=99
        Number of central intervals.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    error : float
        As `expected_calibration_error`, for central intervals of the predicted distributions.

    Raises
    ------
    ValueError
        If a level is not between 0 and 1, `levels` is less than 1, or a weight is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.metrics import calibration_error_of_levels
    >>> calibration_error_of_levels((np.arange(1000) + 0.5) / 1000) < 0.001
    True
    """
    (level,) = aligned_vectors(levels_of_y=levels_of_y)
    if ((level < 0) | (level > 1)).any():
        raise ValueError(
            f"levels_of_y must lie between 0 and 1; found {level.min():g} to {level.max():g}."
        )
    weight = check_metric_weight(sample_weight, len(level))
    nominal, observed = coverage_of_levels(np.abs(2 * level - 1), levels, weight)
    return float(np.abs(nominal - observed).mean())


def crps_mixture(y: Any, means: Any, stds: Any, *, sample_weight: Any = None) -> float:
    """Return the mean continuous ranked probability score (CRPS) of mixtures; 0 is best.

    Parameters
    ----------
    y, means, stds
        As in `probability_integral_transform`.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    crps : float
        In the unit of `y`, exact: Grimit et al. 2006 (Q. J. R. Meteorol. Soc. 132, 2925-2942),
        equation 5.

    Raises
    ------
    ValueError
        As `probability_integral_transform`, or if a weight is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import crps_gaussian, crps_mixture
    >>> mixture = crps_mixture([0.0], [[0.0], [0.0]], [[1.0], [1.0]])
    >>> abs(mixture - crps_gaussian([0.0], [0.0], [1.0])) < 1e-12
    True
    """
    y, means, stds = _check_mixtures(y, means, stds)
    weight = check_metric_weight(sample_weight, len(y))
    to_value = _expected_absolute(y - means, stds**2).mean(axis=0)
    between = np.zeros_like(y)
    for mean, std in zip(means, stds, strict=True):
        between += _expected_absolute(mean - means, std**2 + stds**2).mean(axis=0)
    return float(weighted_mean(to_value - between / (2 * len(means)), weight))


def log_score_mixture(y: Any, means: Any, stds: Any, *, sample_weight: Any = None) -> float:
    """Return the mean negative log-likelihood of mixtures; less is better.

    Parameters
    ----------
    y, means, stds
        As in `probability_integral_transform`.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    score : float
        In nats, for densities over the unit of `y` (Gneiting and Raftery 2007, J. Am. Stat. Assoc.
        102, 359-378, section 4.1).

    Raises
    ------
    ValueError
        As `probability_integral_transform`, or if a weight is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import log_score_mixture
    >>> round(log_score_mixture([0.0], [[0.0]], [[1.0]]), 4)
    0.9189
    """
    y, means, stds = _check_mixtures(y, means, stds)
    weight = check_metric_weight(sample_weight, len(y))
    logs = -0.5 * ((y - means) / stds) ** 2 - np.log(stds) - 0.5 * np.log(2 * np.pi)
    return float(-weighted_mean(logsumexp(logs, axis=0) - np.log(len(means)), weight))


def _expected_absolute(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the expectation of |Z| for a normal Z."""
    std = np.sqrt(variance)
    z = mean / std
    return mean * (2 * ndtr(z) - 1) + 2 * std * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _check_mixtures(y: Any, means: Any, stds: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (y,) = aligned_vectors(y=y)
    means, stds = (
        check_array(values, dtype=float, input_name=name)
        for name, values in (("means", means), ("stds", stds))
    )
    if means.shape != stds.shape or means.shape[1] != len(y):
        raise ValueError(
            f"means and stds must have the shape (n_members, {len(y)}) for {len(y)} values of y; "
            f"found {means.shape} and {stds.shape}."
        )
    if (stds <= 0).any():
        raise ValueError(f"stds must be positive; found {stds.min():g}.")
    return y, means, stds
