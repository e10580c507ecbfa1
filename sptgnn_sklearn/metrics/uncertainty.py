"""Metrics of predicted normal distributions and of prediction intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf, ndtr

from ..utils.distribution_columns import check_coverage
from .validation import aligned_vectors, check_metric_weight, weighted_mean

__all__ = [
    "crps_gaussian",
    "expected_calibration_error",
    "interval_coverage",
    "interval_score",
    "reliability_curve",
    "tail_coverage",
]


def crps_gaussian(y: Any, mean: Any, std: Any, *, sample_weight: Any = None) -> float:
    """Return the mean continuous ranked probability score (CRPS) of normal predictions; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    mean, std : array-like of shape (n_samples,)
        Predicted means and standard deviations.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    crps : float
        In the unit of `y` (Gneiting et al. 2005, Monthly Weather Review 133, 1098-1118, equation
        5). Where `std` is 0 it is the absolute error.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or a standard deviation or weight is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import crps_gaussian
    >>> round(crps_gaussian([0.0], [0.0], [1.0]), 4)
    0.2337
    >>> crps_gaussian([3.0], [1.0], [0.0])
    2.0
    """
    y, mean, std = aligned_vectors(y=y, mean=mean, std=std)
    weight = check_metric_weight(sample_weight, len(y))
    z = _standard_scores(y, mean, std)
    # Where std is 0 the score is |y - mean|, the limit of std * |z|.
    certain = std == 0
    z = np.where(certain, 0.0, z)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    crps = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return float(weighted_mean(np.where(certain, np.abs(y - mean), crps), weight))


def interval_coverage(y: Any, lower: Any, upper: Any, *, sample_weight: Any = None) -> float:
    """Return the fraction of values inside their intervals; the nominal coverage is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits, which belong to the interval. They may be infinite.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    coverage : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If lengths differ, a value is NaN, a lower limit is above its upper one, or a weight is
        negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import interval_coverage
    >>> interval_coverage([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0])
    0.75
    """
    y, lower, upper = _check_intervals(y, lower, upper)
    weight = check_metric_weight(sample_weight, len(y))
    return float(weighted_mean((lower <= y) & (y <= upper), weight))


def tail_coverage(
    y: Any, lower: Any, upper: Any, *, sample_weight: Any = None
) -> tuple[float, float]:
    """Return the fractions of values below and above their intervals.

    They differ where intervals are shifted to one side, even if their coverage is nominal.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits, which belong to the interval. They may be infinite.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    below, above : float
        Between 0 and 1; ``(1 - coverage) / 2`` of the nominal coverage is best for each.

    Raises
    ------
    ValueError
        As `interval_coverage`.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import tail_coverage
    >>> tail_coverage([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0])
    (0.25, 0.25)
    """
    y, lower, upper = _check_intervals(y, lower, upper)
    weight = check_metric_weight(sample_weight, len(y))
    return float(weighted_mean(y < lower, weight)), float(weighted_mean(y > upper, weight))


def interval_score(
    y: Any, lower: Any, upper: Any, coverage: float, *, sample_weight: Any = None
) -> float:
    """Return the mean interval score: width plus a penalty for values outside; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits of central intervals. They may be infinite.
    coverage : float
        Nominal coverage of the intervals, between 0 and 1.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    score : float
        In the unit of `y`: width plus ``2 / (1 - coverage)`` times the distance of `y` from the
        interval (Gneiting and Raftery 2007, J. Am. Stat. Assoc. 102, 359-378, equation 43).
        Infinite if a limit is.

    Raises
    ------
    ValueError
        As `interval_coverage`, or if `coverage` is not between 0 and 1.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import interval_score
    >>> interval_score([0.0, 3.0], [-1.0, -1.0], [1.0, 1.0], coverage=0.5)  # 3 is outside by 2
    6.0
    """
    coverage = check_coverage(coverage)
    y, lower, upper = _check_intervals(y, lower, upper)
    weight = check_metric_weight(sample_weight, len(y))
    distance = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    # Equal infinite limits have no width, but an infinite distance.
    width = np.subtract(upper, lower, out=np.zeros_like(y), where=upper > lower)
    return float(weighted_mean(width + 2 / (1 - coverage) * distance, weight))


def reliability_curve(
    y: Any, mean: Any, std: Any, levels: int = 99, *, sample_weight: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return nominal and observed coverage of central intervals of normal predictions.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    mean, std : array-like of shape (n_samples,)
        Predicted means and standard deviations.
    levels : int, default=99
        Number of levels ``p = i / (levels + 1)``, i = 1 to `levels`.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    nominal, observed : ndarray of shape (levels,)
        Intervals are too wide where the observed coverage is above the nominal one.

    Raises
    ------
    ValueError
        As `expected_calibration_error`.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import reliability_curve
    >>> reliability_curve([0.0, 3.0], [0.0, 0.0], [1.0, 1.0], levels=3)
    (array([0.25, 0.5 , 0.75]), array([0.5, 0.5, 0.5]))
    """
    y, mean, std = aligned_vectors(y=y, mean=mean, std=std)
    weight = check_metric_weight(sample_weight, len(y))
    # The central interval of this level just reaches y; all wider ones cover it.
    reached = erf(np.abs(_standard_scores(y, mean, std)) / np.sqrt(2))
    return coverage_of_levels(reached, levels, weight)


def coverage_of_levels(
    reached: np.ndarray, levels: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return levels and the fraction of rows that the central interval of each level covers.

    Parameters
    ----------
    reached : ndarray of shape (n_samples,)
        Level of the narrowest central interval of each row that covers its value.
    levels : int
        Number of levels.
    weight : ndarray of shape (n_samples,) or None
        Validated sample weights.
    """
    if levels < 1:
        raise ValueError(f"levels must be at least 1; found {levels!r}.")
    nominal = np.arange(1, levels + 1) / (levels + 1)
    order = np.argsort(reached)
    n_covered = np.searchsorted(reached[order], nominal, side="right")
    if weight is None:
        return nominal, n_covered / len(reached)
    total = np.r_[0.0, np.cumsum(weight[order])]
    return nominal, total[n_covered] / total[-1]


def expected_calibration_error(
    y: Any, mean: Any, std: Any, levels: int = 99, *, sample_weight: Any = None
) -> float:
    """Return the mean difference of nominal and observed coverage of normal intervals; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    mean, std : array-like of shape (n_samples,)
        Predicted means and standard deviations.
    levels : int, default=99
        Number of levels ``p = i / (levels + 1)``, i = 1 to `levels`.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    error : float
        Mean over the levels of ``|p - fraction of y within the central p interval|``, between 0 and
        about 0.5 (the mean absolute calibration error of Kuleshov et al. 2018, ICML, and Chung et
        al. 2021, arXiv 2109.10254).

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, a standard deviation or weight is negative, or
        `levels` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.metrics import expected_calibration_error
    >>> y = np.random.default_rng(0).normal(size=10_000)
    >>> mean, std = np.zeros(10_000), np.ones(10_000)
    >>> round(expected_calibration_error(y, mean, std), 2)
    0.0
    >>> round(expected_calibration_error(y, mean, 2 * std), 2)  # intervals twice too wide
    0.21
    """
    nominal, observed = reliability_curve(y, mean, std, levels, sample_weight=sample_weight)
    return float(np.abs(nominal - observed).mean())


def _standard_scores(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return (y - mean) / std; where std is 0, return 0 for exact and inf for other predictions."""
    if (std < 0).any():
        raise ValueError(
            f"std holds negative values in {(std < 0).sum()} of {len(std)} rows "
            f"(first at position {(std < 0).argmax()})."
        )
    error = y - mean
    certain = np.where(error == 0, 0.0, np.copysign(np.inf, error))
    return np.divide(error, std, out=certain, where=std > 0)


def _check_intervals(y: Any, lower: Any, upper: Any) -> list[np.ndarray]:
    y, lower, upper = aligned_vectors(
        y=y, lower=lower, upper=upper, may_be_infinite=("lower", "upper")
    )
    crossed = lower > upper
    if crossed.any():
        raise ValueError(
            f"lower is above upper in {crossed.sum()} of {len(y)} rows "
            f"(first at position {crossed.argmax()})."
        )
    return [y, lower, upper]
