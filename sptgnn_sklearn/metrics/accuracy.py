"""How close predictions are to what was measured."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import r2_score

from .validation import aligned_vectors

__all__ = ["bias", "concordance_correlation", "model_efficiency", "rpiq"]


def concordance_correlation(y_true: Any, y_pred: Any) -> float:
    """Return Lin's concordance correlation coefficient; 1 is best.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.

    Returns
    -------
    ccc : float
        ``2 cov / (var_true + var_pred + (mean_true - mean_pred)**2)`` with moments of the sample
        (divided by n; Lin 1989, Biometrics 45, 255-268). nan, with an UndefinedMetricWarning, if
        all values are one and the same.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

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
    true, pred = y_true - y_true.mean(), y_pred - y_pred.mean()
    scatter = (true**2).mean() + (pred**2).mean() + (y_true.mean() - y_pred.mean()) ** 2
    return _ratio(2 * (true * pred).mean(), scatter, "Lin's CCC")


def rpiq(y_true: Any, y_pred: Any) -> float:
    """Return the ratio of performance to interquartile distance; greater is better.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.

    Returns
    -------
    rpiq : float
        ``(q75 - q25) / RMSE`` with quartiles of `y_true` (Bellon-Maurel et al. 2010, Trends in
        Analytical Chemistry 29, 1073-1081). Infinite for perfect predictions; nan, with an
        UndefinedMetricWarning, if the quartiles are equal as well.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import rpiq
    >>> rpiq([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 3.0, 2.0, 5.0])
    2.0
    """
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    lower, upper = np.quantile(y_true, [0.25, 0.75])
    return _ratio(upper - lower, np.sqrt(((y_true - y_pred) ** 2).mean()), "RPIQ")


def model_efficiency(y_true: Any, y_pred: Any) -> float:
    """Return the model efficiency coefficient: another name of R2; 1 is best.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.

    Returns
    -------
    mec : float
        ``1 - SS_residual / SS_total`` (Nash and Sutcliffe 1970, J. Hydrology 10, 282-290), as
        `sklearn.metrics.r2_score`: 0 for predicting the mean, and not the squared correlation.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import model_efficiency
    >>> model_efficiency([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    0.0
    """
    return float(r2_score(*aligned_vectors(y_true=y_true, y_pred=y_pred)))


def bias(y_true: Any, y_pred: Any) -> float:
    """Return the mean error ``mean(y_pred - y_true)``, positive for overestimation; best is 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.

    Returns
    -------
    bias : float
        In the unit of `y_true`.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import bias
    >>> bias([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    return float((y_pred - y_true).mean())


def _ratio(numerator: float, denominator: float, name: str) -> float:
    if denominator == 0 and numerator == 0:
        warnings.warn(
            f"{name} is not defined for values without variation.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return float("nan")
    return float(numerator / denominator) if denominator else float("inf")
