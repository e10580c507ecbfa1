"""Checks of X, y and weights that the estimators of this package share."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from .columns import Columns, Table, as_frame
from .values import LARGEST, numbers, which_rows

__all__ = ["MIN_ROWS", "check_queries", "check_table", "check_training", "tell_of_leaks"]

MIN_ROWS = 5
_DATES_IN_Y = "The target y holds dates or durations; it must hold numbers."


def check_training(
    estimator: Any, X: Any, y: Any, sample_weight: Any
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Check the arguments of fit and learn the feature names.

    Parameters
    ----------
    estimator : estimator
        Gets `n_features_in_` and, where X has names, `feature_names_in_`.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    sample_weight : array-like of shape (n_samples,), float or None

    Returns
    -------
    X : DataFrame or ndarray of shape (n_present, n_features)
        What its columns hold is not checked here but by `columns.Columns`.
    y, weight : ndarray of shape (n_present,), float64
    present : ndarray of shape (n_samples,) of bool
        Which rows have a positive weight: only these come back.

    Raises
    ------
    ValueError
        For fewer than five rows with positive weight, targets that are missing, infinite or no
        numbers, weights that do not fit or are negative, or an X that is no table.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sptgnn_sklearn.validation import check_training
    >>> X, y = np.arange(12.0).reshape(6, 2), [1, 2, 3, 4, 5, None]
    >>> check_training(BaseEstimator(), X, y, sample_weight=None)
    Traceback (most recent call last):
        ...
    ValueError: Input y contains NaN in 1 of 6 rows (row position 5): drop rows without a target.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
    X = check_table(estimator, X, reset=True)
    y = _check_target(y)
    check_consistent_length(X, y)
    weight = _check_weight(sample_weight, y)
    present = weight > 0
    if present.sum() < MIN_ROWS:
        raise ValueError(
            f"Found {present.sum()} sample(s) with a positive weight (n_samples={len(y)}) while a "
            f"minimum of {MIN_ROWS} is required: a spatial model needs neighbours to learn from."
        )
    return _safe_indexing(X, present), y[present], weight[present], present


def tell_of_leaks(columns: Columns, table: Table, y: np.ndarray) -> None:
    """Warn if a covariate is the target itself, as where X is the whole table.

    Parameters
    ----------
    columns : Columns
    table : Table
        Training rows.
    y : ndarray of shape (n,)
    """
    if np.ptp(y) == 0:
        return
    for label, values in zip(columns.numeric, table.numeric.T, strict=True):
        if np.array_equal(values, y):
            warnings.warn(
                f"Column {label!r} of X is the target y in every row, so that the model learns to "
                f"copy it: leave it out, as by X.drop(columns={label!r}).",
                UserWarning,
                stacklevel=3,
            )


def check_queries(estimator: Any, X: Any) -> Any:
    """Check the X of a prediction against the feature names of fit.

    Parameters
    ----------
    estimator : fitted estimator
    X : DataFrame or array-like of shape (n_samples, n_features)

    Returns
    -------
    DataFrame or ndarray of shape (n_samples, n_features)

    Raises
    ------
    ValueError
        If X has other columns than in fit, or no rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sptgnn_sklearn.validation import check_queries, check_training
    >>> estimator = BaseEstimator()
    >>> _ = check_training(estimator, np.arange(12.0).reshape(6, 2), np.arange(6), None)
    >>> check_queries(estimator, [[1.0, 2.0], [3.0, None]])
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    return check_table(estimator, X, reset=False)


def check_table(estimator: Any, X: Any, reset: bool) -> Any:
    """Check that X is a table, and learn or compare its feature names.

    Parameters
    ----------
    estimator : estimator
        Gets `n_features_in_` and, where X has names, `feature_names_in_`, if these are learnt.
    X : DataFrame or array-like of shape (n_samples, n_features)
    reset : bool
        Whether names are learnt (fit) or compared with those of fit.

    Returns
    -------
    DataFrame or ndarray of shape (n_samples, n_features)
        What its columns hold is not checked here.

    Raises
    ------
    ValueError
        If X is no table, has no rows, or has other columns than in fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.base import BaseEstimator
    >>> from sptgnn_sklearn.validation import check_table
    >>> estimator = BaseEstimator()
    >>> _ = check_table(estimator, pd.DataFrame({"clay": [0.1, 0.2]}), reset=True)
    >>> estimator.feature_names_in_.tolist()
    ['clay']
    """
    if hasattr(X, "columns"):
        frame = as_frame(X)
        validate_data(estimator, frame, skip_check_array=True, reset=reset)
        if len(frame) == 0:
            raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}); pass some rows.")
        return frame
    if isinstance(X, np.ndarray) and X.dtype == object:
        X = np.where(pd.isna(X), np.nan, X)  # numpy cannot make a number of pandas.NA
    try:
        return validate_data(estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=False)
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise ValueError(f"{error}. Pass text, categories and dates in a DataFrame.") from error


def _check_target(y: Any) -> np.ndarray:
    series = pd.Series(column_or_1d(y, warn=True))
    if series.dtype.kind in "mM":
        raise ValueError(_DATES_IN_Y)
    if pd.api.types.is_complex_dtype(series.dtype):
        raise ValueError("Complex data not supported: y is complex.")
    try:
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        numbers(series, "y")  # names the first row that holds no number
        raise ValueError(_DATES_IN_Y) from error
    for wrong, what in ((np.isnan(values), "NaN"), (np.isinf(values), "infinity")):
        if wrong.any():
            raise ValueError(
                f"Input y contains {what} in {which_rows(wrong)}: drop rows without a target."
            )
    largest = np.abs(values).max(initial=0)
    # Predictions are given in single precision, which ends a little beyond these.
    if largest > LARGEST or 0 < largest < 1 / LARGEST:
        raise ValueError(
            f"The largest magnitude in y is {largest:g}; it must lie between {1 / LARGEST:g} "
            f"and {LARGEST:g}: change the unit of y."
        )
    return values


def _check_weight(sample_weight: Any, y: np.ndarray) -> np.ndarray:
    weight = _check_sample_weight(sample_weight, y, dtype=np.float64, copy=True)
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight is negative in {which_rows(weight < 0)}: a weight counts how often a "
            "row is there, 0 leaves it out."
        )
    return weight
