"""Known measurement errors of the target: variances in standardized units, and weights of rows."""

from __future__ import annotations

import warnings
from collections.abc import Hashable

import numpy as np

from .target_scaling import TargetScaler

__all__ = ["noise_weight", "standardized_noise"]

_UNEXPLAINED_SHARE = 0.5  # of the variance of values without measurement error
_LEAST_NATURAL_VARIANCE = 0.1


def standardized_noise(
    noise_std: np.ndarray | None,
    y: np.ndarray,
    weight: np.ndarray,
    target: TargetScaler,
    label: Hashable,
    *,
    stacklevel: int = 4,
) -> np.ndarray | None:
    """Return variances of measurement errors in standardized units; None if there are no errors.

    Parameters
    ----------
    noise_std : ndarray of shape (n,) or None
        Standard deviations of the errors, in the unit of y.
    y, weight : ndarray of shape (n,)
        Measured values and sample weights.
    target : TargetScaler
    label : label
        Column name in messages.
    stacklevel : int, default=4
        Of warnings, as in `warnings.warn`: 4 is the caller of a `fit` that `atomic_fit` wraps.

    Warns
    -----
    UserWarning
        If the mean variance of the errors exceeds that of the measured values.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.measurement_error import standardized_noise
    >>> from sptgnn_sklearn.table.target_scaling import TargetScaler
    >>> y, target = np.array([10.0, 14.0]), TargetScaler(None, center=12.0, scale=2.0)
    >>> standardized_noise(np.array([1.0, 0.0]), y, np.ones(2), target, "lab_sd")
    array([0.25, 0.  ])
    """
    if noise_std is None or not noise_std.any() or not target.scale:
        return None
    noise = target.noise_variance(noise_std, y)
    ratio = np.average(noise, weights=weight)
    if ratio > 1:
        scale = "" if target.function is None else f" of {target.function}(y)"
        warnings.warn(
            f"The variance of the measurement errors in noise_std={label!r} is on average "
            f"{ratio:.3g} times the variance{scale} of the measured values, of which it is a part: "
            "check that the column holds standard deviations in the unit of y.",
            UserWarning,
            stacklevel=stacklevel,
        )
    return noise


def noise_weight(noise: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the factor on the weight of rows with known measurement error.

    It is ``v / (v + noise)``, the precision of a row relative to that of one without measurement
    error. The variance v that a model leaves unexplained is not known before it is fitted; half of
    the variance of the target without measurement errors is assumed, because the efficiency of
    weighted least squares depends little on it.

    Parameters
    ----------
    noise : ndarray of shape (n,)
        Variances of measurement errors, in standardized units of the target.
    weight : ndarray of shape (n,)
        Sample weights.

    Returns
    -------
    ndarray of shape (n,)
        1 without measurement error, so that the meaning of sample weights is kept.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.measurement_error import noise_weight
    >>> noise_weight(np.array([0.0, 0.4, 0.2]), np.ones(3)).round(2)
    array([1.  , 0.5 , 0.67])
    """
    natural = max(1 - np.average(noise, weights=weight), _LEAST_NATURAL_VARIANCE)
    unexplained = _UNEXPLAINED_SHARE * natural
    return unexplained / (unexplained + noise)
