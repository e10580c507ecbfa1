"""How honest stated uncertainty is: normal predictions and intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf, ndtr

from .validation import aligned_vectors

__all__ = [
    "crps_gaussian",
    "expected_calibration_error",
    "interval_coverage",
    "interval_score",
    "reliability_curve",
    "tail_coverage",
]


def crps_gaussian(y: Any, mean: Any, std: Any) -> float:
    """Return the mean continuous ranked probability score of normal predictions; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    mean, std : array-like of shape (n_samples,)
        Predicted means and standard deviations.

    Returns
    -------
    crps : float
        In the unit of `y` (Gneiting et al. 2005, Monthly Weather Review 133, 1098-1118, equation
        5). Where `std` is 0 it is the absolute error.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or a standard deviation is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import crps_gaussian
    >>> round(crps_gaussian([0.0], [0.0], [1.0]), 4)
    0.2337
    >>> crps_gaussian([3.0], [1.0], [0.0])
    2.0
    """
    y, mean, std = aligned_vectors(y=y, mean=mean, std=std)
    z = _standard_scores(y, mean, std)
    # Where std is 0 the score is |y - mean|, the limit of std * |z|.
    certain = std == 0
    z = np.where(certain, 0.0, z)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    spread = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return float(np.where(certain, np.abs(y - mean), spread).mean())


def interval_coverage(y: Any, lower: Any, upper: Any) -> float:
    """Return the fraction of values inside their intervals; best is the nominal coverage.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits, which belong to the interval. They may be infinite.

    Returns
    -------
    coverage : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If lengths differ, a value is NaN, or a lower limit is above its upper one.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import interval_coverage
    >>> interval_coverage([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0])
    0.75
    """
    y, lower, upper = _intervals(y, lower, upper)
    return float(((lower <= y) & (y <= upper)).mean())


def tail_coverage(y: Any, lower: Any, upper: Any) -> tuple[float, float]:
    """Return the shares of values below their intervals and above them.

    An interval that is shifted to one side may cover as many values as it should.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits, which belong to the interval. They may be infinite.

    Returns
    -------
    below, above : float
        Between 0 and 1; best is half of what the intervals leave out, each.

    Raises
    ------
    ValueError
        If lengths differ, a value is NaN, or a lower limit is above its upper one.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import tail_coverage
    >>> tail_coverage([1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0])
    (0.25, 0.25)
    """
    y, lower, upper = _intervals(y, lower, upper)
    return float((y < lower).mean()), float((y > upper).mean())


def interval_score(y: Any, lower: Any, upper: Any, coverage: float) -> float:
    """Return the mean interval score: width plus a penalty for each miss; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits of central intervals.
    coverage : float
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    score : float
        In the unit of `y`: width plus ``2 / (1 - coverage)`` times the distance of `y` from the
        interval (Gneiting and Raftery 2007, J. Am. Stat. Assoc. 102, 359-378, equation 43).

    Raises
    ------
    ValueError
        If lengths differ, a value is NaN, a lower limit is above its upper one, or `coverage` is
        not between 0 and 1.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import interval_score
    >>> interval_score([0.0, 3.0], [-1.0, -1.0], [1.0, 1.0], coverage=0.5)  # misses by 0 and 2
    6.0
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1; found {coverage!r}.")
    y, lower, upper = _intervals(y, lower, upper)
    miss = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return float((upper - lower + 2 / (1 - coverage) * miss).mean())


def reliability_curve(
    y: Any, mean: Any, std: Any, levels: int = 99
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of central normal intervals, and the share of values in each.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    mean, std : array-like of shape (n_samples,)
        Predicted means and standard deviations.
    levels : int, default=99
        Number of levels ``p = i / (levels + 1)``, i = 1 to `levels`.

    Returns
    -------
    nominal, observed : ndarray of shape (levels,)
        Observed coverage above the nominal one: intervals are too wide.

    Raises
    ------
    ValueError
        As `expected_calibration_error` does.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import reliability_curve
    >>> reliability_curve([0.0, 3.0], [0.0, 0.0], [1.0, 1.0], levels=3)
    (array([0.25, 0.5 , 0.75]), array([0.5, 0.5, 0.5]))
    """
    y, mean, std = aligned_vectors(y=y, mean=mean, std=std)
    # The level at which the central interval just reaches y; y is covered from there upwards.
    return coverage_of_levels(erf(np.abs(_standard_scores(y, mean, std)) / np.sqrt(2)), levels)


def coverage_of_levels(reached: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return levels and the share of rows that each covers.

    Parameters
    ----------
    reached : ndarray of shape (n_samples,)
        Level at which the central interval of each row just reaches its value.
    levels : int
    """
    if levels < 1:
        raise ValueError(f"levels must be at least 1; found {levels!r}.")
    nominal = np.arange(1, levels + 1) / (levels + 1)
    return nominal, np.searchsorted(np.sort(reached), nominal, side="right") / len(reached)


def expected_calibration_error(y: Any, mean: Any, std: Any, levels: int = 99) -> float:
    """Return how far the coverage of central normal intervals is from their levels; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    mean, std : array-like of shape (n_samples,)
        Predicted means and standard deviations.
    levels : int, default=99
        Number of levels ``p = i / (levels + 1)``, i = 1 to `levels`.

    Returns
    -------
    error : float
        Mean over the levels of ``|p - fraction of y within the central p interval|``, between 0 and
        about 0.5 (the mean absolute calibration error of Kuleshov et al. 2018, ICML, and Chung et
        al. 2021, arXiv 2109.10254).

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, a standard deviation is negative, or `levels` is
        less than 1.

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
    nominal, observed = reliability_curve(y, mean, std, levels)
    return float(np.abs(nominal - observed).mean())


def _standard_scores(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return (y - mean) / std; certain predictions are 0 where right and infinite where wrong."""
    if (std < 0).any():
        raise ValueError(
            f"std holds negative values in {(std < 0).sum()} of {len(std)} rows "
            f"(first at position {(std < 0).argmax()})."
        )
    error = y - mean
    certain = np.where(error == 0, 0.0, np.copysign(np.inf, error))
    return np.divide(error, std, out=certain, where=std > 0)


def _intervals(y: Any, lower: Any, upper: Any) -> list[np.ndarray]:
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
