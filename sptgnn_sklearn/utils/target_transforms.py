"""Transforms of the target of a TransformedTargetRegressor, and their inverses."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.compose import TransformedTargetRegressor

__all__ = [
    "inverse_draws",
    "inverse_interval",
    "inverse_target",
    "transform_increases",
    "transform_target",
]

_INVERSE_STEPS = np.linspace(0, 1, 9)  # between limits, to find where an inverse is not monotone
_INVERSE_ROUNDING = 1000  # decrease of an increasing inverse, in units of rounding errors
_DIRECTION_STEPS = (1e-6, 1e-3, 1.0, 1e3)  # relative, to find whether a transform increases


def transform_increases(estimator: TransformedTargetRegressor, limits: np.ndarray) -> bool:
    """Return whether a transform of the target increases at limits (k,)."""
    for step in _DIRECTION_STEPS:
        width = step * np.maximum(np.abs(limits), 1.0)
        sides = [transform_target(estimator, limits + side * width) for side in (-1, 1)]
        balance = np.nansum(np.sign(sides[1] - sides[0]))
        if balance != 0:
            return bool(balance > 0)
    return True


def transform_target(estimator: TransformedTargetRegressor, values: np.ndarray) -> np.ndarray:
    """Return values (n,) on the transformed scale."""
    if not len(values):
        return values
    return np.ravel(estimator.transformer_.transform(np.reshape(values, (-1, 1))))


def inverse_target(estimator: TransformedTargetRegressor, values: np.ndarray) -> np.ndarray:
    """Return transformed values of any shape on the original scale."""
    back = estimator.transformer_.inverse_transform(np.reshape(values, (-1, 1)))
    return np.reshape(back, np.shape(values))


def inverse_draws(estimator: TransformedTargetRegressor, draws: np.ndarray) -> np.ndarray:
    """Return draws (n, n_samples) on the original scale.

    Raises
    ------
    ValueError
        If the inverse has no finite value at a draw, so that its mean is not defined.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.utils.target_transforms import inverse_draws
    >>> X, y = [[0.0], [1.0]], [1.0, 10.0]
    >>> model = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp)
    >>> inverse_draws(model.fit(X, y), np.log([[2.0, 3.0]])).round(6)
    array([[2., 3.]])
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scikit-learn overrides errstate
        back = inverse_target(estimator, draws)
    missing = ~np.isfinite(back)
    if missing.any():
        raise ValueError(
            f"TransformedTargetRegressor with {estimator.transformer_} has no value at "
            f"{int(missing.sum())} of {back.size} draws, beyond the range of its transform: use "
            "SpTGNNRegressor(target_transform='log1p') without the wrapper, or another transform."
        )
    return back


def inverse_interval(estimator: TransformedTargetRegressor, found: np.ndarray) -> np.ndarray:
    """Return limits or quantiles (n, q) on the original scale, in increasing order.

    They are infinite where the transform has no inverse: where it is NaN, or not monotone between
    the value and the middle of the row, as for 1 / y at negative values.
    """
    rows = np.asarray(found, dtype=float)
    finite = np.isfinite(rows)
    # An inner transform may have returned infinite limits, which scikit-learn's inverses refuse.
    low, high = np.where(finite, rows, np.inf).min(1), np.where(finite, rows, -np.inf).max(1)
    low, high = (np.where(finite.any(1), end, 0.0)[:, None] for end in (low, high))
    inside, between = np.clip(rows, low, high), low + (high - low) * _INVERSE_STEPS
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scikit-learn overrides errstate
        warnings.filterwarnings("ignore", "Some values in column 0 of the inverse-transformed data")
        back = inverse_target(estimator, inside)
        values = np.concatenate([back, inverse_target(estimator, between)], axis=1)
        order = np.argsort(np.concatenate([inside, between], axis=1), axis=1, kind="stable")
        sign, first, last = _monotone_range(np.take_along_axis(values, order, axis=1))
    position = np.argsort(order, axis=1)[:, : rows.shape[1]]
    back = np.where((position < first[:, None]) | (rows < low), -sign * np.inf, back)
    back = np.where((position > last[:, None]) | (rows > high), sign * np.inf, back)
    return np.sort(back, axis=1)  # a decreasing transform swaps the limits


def _monotone_range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return direction, first and last position (n,) of the monotone part around the middle.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Inverse transforms of increasing values; NaN where there is none.

    Returns
    -------
    sign : ndarray of shape (n, 1)
        1 for an increasing, -1 for a decreasing transform.
    first, last : ndarray of shape (n,)
        Without any finite value, the lower half is before the first and the rest after the last.
    """
    n_points = values.shape[1]
    balance = np.sign(np.nan_to_num(np.diff(values, axis=1))).sum(1)
    sign = np.where(balance != 0, np.sign(balance), 1.0 if balance.sum() >= 0 else -1.0)[:, None]
    rising = sign * values
    finite = np.isfinite(rising)
    distance = np.abs(np.arange(n_points) - (n_points - 1) / 2)
    middle = np.where(finite, distance, np.inf).argmin(1)[:, None]
    before, after = rising[:, :-1], rising[:, 1:]
    rounding = (
        _INVERSE_ROUNDING * np.finfo(rising.dtype).eps * np.maximum(np.abs(before), np.abs(after))
    )
    # NaN ends the monotone part; equal infinite values continue it.
    ends = ~((after >= before) | (after >= before - rounding))
    step = np.arange(n_points - 1)
    first = np.where(ends & (step < middle), step + 1, 0).max(1)
    last = np.where(ends & (step >= middle), step, n_points - 1).min(1)
    half, undefined = n_points // 2, ~finite.any(1)
    return sign, np.where(undefined, half, first), np.where(undefined, half - 1, last)
