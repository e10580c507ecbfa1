"""Checks of X, y and weights that the estimators of this package share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from .columns import as_frame

MIN_ROWS = 5


def check_training(
    estimator: Any, X: Any, y: Any, sample_weight: Any
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Check the arguments of fit and learn the feature names.

    Returns
    -------
    X : DataFrame or ndarray
    y, weight : ndarray of shape (n_samples,), float64

    Raises
    ------
    ValueError
        For fewer than five rows with positive weight, missing or infinite targets, weights that do
        not fit or are negative, or an X that is no table.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
    X = _check_table(estimator, X, reset=True)
    y = column_or_1d(y, warn=True)
    if np.iscomplexobj(y):
        raise ValueError("Complex data not supported: y is complex.")
    y = _target(y)
    check_consistent_length(X, y)
    weight = _check_sample_weight(
        sample_weight, y, dtype=np.float64, ensure_non_negative=True, copy=True
    )
    present = int((weight > 0).sum())
    if present < MIN_ROWS:
        raise ValueError(
            f"Found {present} sample(s) with a positive weight (n_samples={len(y)}) while a "
            f"minimum of {MIN_ROWS} is required: a spatial model needs neighbours to learn from."
        )
    return X, y, weight


def check_queries(estimator: Any, X: Any) -> Any:
    """Check the X of a prediction against the feature names of fit."""
    return _check_table(estimator, X, reset=False)


def _check_table(estimator: Any, X: Any, reset: bool) -> Any:
    if hasattr(X, "columns"):
        frame = as_frame(X)
        validate_data(estimator, frame, skip_check_array=True, reset=reset)
        if len(frame) == 0:
            raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}); pass some rows.")
        return frame
    return validate_data(
        estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=False, ensure_min_features=1
    )


def _target(y: np.ndarray) -> np.ndarray:
    try:
        y = pd.Series(y).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers: {error}") from error
    bad = ~np.isfinite(y)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ValueError(
            f"Input y contains {'NaN' if np.isnan(y).any() else 'infinity'}: row {rows[0]} holds "
            f"{y[rows[0]]} ({len(rows)} such rows). Drop the rows without a finite target."
        )
    return check_array(y, ensure_2d=False)
