"""The same for predictions that are stated by their quantiles, whatever their distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from .validation import aligned_vectors

__all__ = ["calibration_error_of_quantiles", "crps_of_quantiles"]


def crps_of_quantiles(y: Any, quantiles: Any, levels: Any) -> float:
    """Return the mean continuous ranked probability score of quantiles; 0 is best.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    quantiles : array-like of shape (n_samples, n_levels)
        Predicted quantiles, such as of `SpTGNNRegressor.predict_quantiles`.
    levels : array-like of shape (n_levels,)
        Their levels, rising and equally far apart, symmetric around 0.5; the more the better: with
        199 the score of a normal distribution is right within 1 %.

    Returns
    -------
    crps : float
        In the unit of `y`: twice the mean quantile loss (Gneiting and Ranjan 2011, J. Bus. Econ.
        Stat. 29, 411-422, equation 8).

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or levels do not rise symmetrically.

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
    missed = quantiles - y[:, None]
    return float(2 * np.where(missed > 0, (1 - levels) * missed, -levels * missed).mean())


def calibration_error_of_quantiles(y: Any, quantiles: Any, levels: Any) -> float:
    """Return the expected calibration error of the central intervals between quantiles.

    Parameters
    ----------
    y, quantiles, levels
        As in `crps_of_quantiles`. With levels ``i / 200``, i = 1 to 199, these are the 99 intervals
        of `expected_calibration_error`.

    Returns
    -------
    error : float
        Mean over the intervals of ``|p - fraction of y within the central p interval|``.

    Raises
    ------
    ValueError
        As `crps_of_quantiles` does, and if there are fewer than two levels.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import calibration_error_of_quantiles
    >>> calibration_error_of_quantiles([0.0, 3.0], [[-1, 0, 1], [-1, 0, 1]], [0.25, 0.5, 0.75])
    0.0
    """
    y, quantiles, levels = _check_quantiles(y, quantiles, levels)
    half = len(levels) // 2
    if half < 1:
        raise ValueError("A central interval has two levels; levels holds one.")
    low, high = quantiles[:, :half], quantiles[:, ::-1][:, :half]
    inside = (low <= y[:, None]) & (y[:, None] <= high)
    nominal = (levels[::-1] - levels)[:half]
    return float(np.abs(nominal - inside.mean(axis=0)).mean())


def _check_quantiles(
    y: Any, quantiles: Any, levels: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, levels = (aligned_vectors(**{name: v})[0] for name, v in (("y", y), ("levels", levels)))
    quantiles = check_array(quantiles, dtype=float, input_name="quantiles")
    if quantiles.shape != (len(y), len(levels)):
        raise ValueError(
            f"quantiles must have a row for each of {len(y)} values and a column for each of "
            f"{len(levels)} levels; found the shape {quantiles.shape}."
        )
    if (np.diff(levels) <= 0).any() or not np.allclose(levels, 1 - levels[::-1]):
        raise ValueError(f"levels must rise and be symmetric around 0.5; found {levels}.")
    return y, quantiles, levels
