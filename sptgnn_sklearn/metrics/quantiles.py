"""Metrics of predicted quantiles of any distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from .validation import aligned_vectors, check_metric_weight, weighted_mean

__all__ = ["calibration_error_of_quantiles", "crps_of_quantiles"]


def crps_of_quantiles(y: Any, quantiles: Any, levels: Any, *, sample_weight: Any = None) -> float:
    """Return the mean continuous ranked probability score (CRPS) of quantiles; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    quantiles : array-like of shape (n_samples, n_levels)
        Predicted quantiles, such as from `SpTGNNRegressor.predict_quantiles`. They may be infinite.
    levels : array-like of shape (n_levels,)
        Levels of the quantiles: increasing, equally spaced and symmetric around 0.5. The score is
        more accurate with more levels; 199 give that of a normal distribution within 1 %.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights; a weight of 2 equals repeating the row.

    Returns
    -------
    crps : float
        In the unit of `y`: twice the mean quantile loss (Gneiting and Ranjan 2011, J. Bus. Econ.
        Stat. 29, 411-422, equation 8). Infinite if a quantile is.

    Raises
    ------
    ValueError
        If shapes differ, a value is NaN, levels are not increasing and symmetric, or a
        weight is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> from sptgnn_sklearn.metrics import crps_of_quantiles
    >>> levels = np.arange(1, 200) / 200
    >>> round(crps_of_quantiles([0.0], [norm.ppf(levels)], levels), 3)  # exact: 0.234
    0.235
    """
    y, quantiles, levels = _check_quantiles(y, quantiles, levels)
    weight = check_metric_weight(sample_weight, len(y))
    error = quantiles - y[:, None]
    loss = np.where(error > 0, (1 - levels) * error, -levels * error)
    mean = loss.mean() if weight is None else weighted_mean(loss, weight).mean()
    return float(2 * mean)


def calibration_error_of_quantiles(
    y: Any, quantiles: Any, levels: Any, *, sample_weight: Any = None
) -> float:
    """Return the expected calibration error of central intervals between quantiles; 0 is best.

    Parameters
    ----------
    y, quantiles, levels, sample_weight
        As in `crps_of_quantiles`. With levels ``i / 200``, i = 1 to 199, these are the 99 intervals
        of `expected_calibration_error`.

    Returns
    -------
    error : float
        Mean over the intervals of ``|p - fraction of y within the central p interval|``.

    Raises
    ------
    ValueError
        As `crps_of_quantiles`, or if there are fewer than two levels.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import calibration_error_of_quantiles
    >>> calibration_error_of_quantiles([0.0, 3.0], [[-1, 0, 1], [-1, 0, 1]], [0.25, 0.5, 0.75])
    0.0
    """
    y, quantiles, levels = _check_quantiles(y, quantiles, levels)
    weight = check_metric_weight(sample_weight, len(y))
    half = len(levels) // 2
    if half < 1:
        raise ValueError(f"levels must hold at least two values; found {levels}.")
    lower, upper = quantiles[:, :half], quantiles[:, ::-1][:, :half]
    inside = (lower <= y[:, None]) & (y[:, None] <= upper)
    nominal = (levels[::-1] - levels)[:half]
    return float(np.abs(nominal - weighted_mean(inside, weight)).mean())


def _check_quantiles(
    y: Any, quantiles: Any, levels: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (y,), (levels,) = aligned_vectors(y=y), aligned_vectors(levels=levels)
    quantiles = check_array(quantiles, dtype=float, input_name="quantiles", ensure_all_finite=False)
    undefined = np.isnan(quantiles).any(axis=1)
    if undefined.any():
        raise ValueError(
            f"quantiles contains NaN in {undefined.sum()} of {len(quantiles)} rows (first: row "
            f"{undefined.argmax()}); drop these rows."
        )
    if quantiles.shape != (len(y), len(levels)):
        raise ValueError(
            f"quantiles must have a row for each of {len(y)} values and a column for each of "
            f"{len(levels)} levels; found the shape {quantiles.shape}."
        )
    if (np.diff(levels) <= 0).any() or not np.allclose(levels, 1 - levels[::-1]):
        raise ValueError(f"levels must increase and be symmetric around 0.5; found {levels}.")
    return y, quantiles, levels
