"""Metrics of predicted values: bias, Lin's concordance correlation and RPIQ."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from .validation import aligned_vectors, check_metric_weight, weighted_mean

__all__ = ["bias", "concordance_correlation", "rpiq"]


def concordance_correlation(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Return Lin's concordance correlation coefficient; 1 is best.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    ccc : float
        ``2 cov / (var_true + var_pred + (mean_true - mean_pred)**2)`` with sample moments
        (divided by n; Lin 1989, Biometrics 45, 255-268). nan, with an UndefinedMetricWarning, if
        all measured and predicted values are equal.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or a weight is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import concordance_correlation
    >>> (
    ...     concordance_correlation([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ...     concordance_correlation([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
    ... )
    (1.0, -1.0)
    """
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    weight = check_metric_weight(sample_weight, len(y_true))
    mean_true, mean_pred = weighted_mean(y_true, weight), weighted_mean(y_pred, weight)
    true, pred = y_true - mean_true, y_pred - mean_pred
    variance = weighted_mean(true**2, weight) + weighted_mean(pred**2, weight)
    return _ratio(
        2 * weighted_mean(true * pred, weight),
        variance + (mean_true - mean_pred) ** 2,
        "Lin's CCC",
    )


def rpiq(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Return the ratio of performance to interquartile distance (RPIQ); greater is better.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights. Weighted quartiles are values of `y_true`, without the linear
        interpolation between neighboring values that unweighted quartiles have.

    Returns
    -------
    rpiq : float
        ``(q75 - q25) / RMSE`` with quartiles of `y_true` (Bellon-Maurel et al. 2010, Trends in
        Analytical Chemistry 29, 1073-1081). Infinite for perfect predictions; nan, with an
        UndefinedMetricWarning, if the quartiles are equal as well.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or a weight is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import rpiq
    >>> rpiq([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 3.0, 2.0, 5.0])
    2.0
    """
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    weight = check_metric_weight(sample_weight, len(y_true))
    if weight is None:
        lower, upper = np.quantile(y_true, [0.25, 0.75])
    else:  # numpy has no other method for weighted quantiles
        lower, upper = np.quantile(y_true, [0.25, 0.75], weights=weight, method="inverted_cdf")
    rmse = np.sqrt(weighted_mean((y_true - y_pred) ** 2, weight))
    return _ratio(upper - lower, rmse, "RPIQ")


def bias(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Return the mean error ``mean(y_pred - y_true)``, positive for overestimation; 0 is best.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    bias : float
        In the unit of `y_true`.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, or a weight is negative.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import bias
    >>> bias([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    weight = check_metric_weight(sample_weight, len(y_true))
    return float(weighted_mean(y_pred - y_true, weight))


def _ratio(numerator: float, denominator: float, name: str) -> float:
    if denominator == 0 and numerator == 0:
        warnings.warn(
            f"{name} is not defined for values without variation.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return float("nan")
    return float(numerator / denominator) if denominator else float("inf")
