"""Validation of X, y and sample weights, shared by all estimators."""

from __future__ import annotations

from decimal import InvalidOperation
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from ..utils.messages import format_rows
from .column_parsing import LARGEST, to_float
from .coordinate_columns import as_dataframe, as_rows
from .table_checks import check_no_data_target

__all__ = [
    "MIN_ROWS",
    "check_fit_input",
    "check_predict_input",
    "check_table",
]

MIN_ROWS = 5
_MAX_WEIGHT = 1e15  # larger float64 numbers do not resolve a weight of 1
_MAX_SHOWN_CHARACTERS = 60
_DATES_IN_Y = "The target y holds dates or durations; it must hold numbers."


def check_fit_input(
    estimator: Any, X: Any, y: Any, sample_weight: Any
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Check the arguments of fit and set the feature names.

    Parameters
    ----------
    estimator : estimator
        Its `n_features_in_` and, if X has column names, `feature_names_in_` are set.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    sample_weight : array-like of shape (n_samples,), float or None

    Returns
    -------
    X : DataFrame or ndarray of shape (n_present, n_features)
        Rows with positive weight. `schema.TableSchema` checks the values of the columns.
    y, weight : ndarray of shape (n_present,), float64
    present : ndarray of shape (n_samples,) of bool
        Mask of the rows with positive weight.

    Raises
    ------
    ValueError
        For fewer than five rows with positive weight; targets that are missing, infinite, not
        numeric or a no-data code far outside of the others; weights of another length, negative or
        above 1e15; or an X that is not a table.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sptgnn_sklearn.table.validation import check_fit_input
    >>> X, y = np.arange(12.0).reshape(6, 2), [1, 2, 3, 4, 5, None]
    >>> check_fit_input(BaseEstimator(), X, y, sample_weight=None)
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
            f"minimum of {MIN_ROWS} is required."
        )
    check_no_data_target(np.where(present, y, np.nan))
    return _safe_indexing(X, present), y[present], weight[present], present


def check_predict_input(estimator: Any, X: Any) -> Any:
    """Check the X of a prediction method against the feature names of fit.

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
        If the columns of X differ from those of fit, or X has no rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sptgnn_sklearn.table.validation import check_predict_input, check_fit_input
    >>> estimator = BaseEstimator()
    >>> _ = check_fit_input(estimator, np.arange(12.0).reshape(6, 2), np.arange(6), None)
    >>> check_predict_input(estimator, [[1.0, 2.0], [3.0, None]])
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    return check_table(estimator, _with_campaign(estimator, X), reset=False)


def _with_campaign(estimator: Any, X: Any) -> Any:
    """Return X with missing labels of campaigns if it lacks their column.

    Unchanged if other columns differ from those of fit.
    """
    label = getattr(getattr(estimator, "columns_", None), "campaign", None)
    if label is None or not hasattr(X, "columns"):
        return X
    names = getattr(estimator, "feature_names_in_", ())
    if set(names) - set(X.columns) != {label} or set(X.columns) - set(names):
        return X
    return as_dataframe(X).reindex(columns=names)


def check_table(estimator: Any, X: Any, reset: bool) -> Any:
    """Check that X is a table, and set or compare its feature names.

    Parameters
    ----------
    estimator : estimator
        With `reset`, its `n_features_in_` and, if X has column names, `feature_names_in_` are set.
    X : DataFrame or array-like of shape (n_samples, n_features)
    reset : bool
        Whether names are set (in fit) or compared with those of fit.

    Returns
    -------
    DataFrame or ndarray of shape (n_samples, n_features)
        The values of its columns are not checked.

    Raises
    ------
    TypeError
        If X is a sparse matrix or an xarray Dataset.
    ValueError
        If X is not a table, has no rows, or has other columns than in fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.base import BaseEstimator
    >>> from sptgnn_sklearn.table.validation import check_table
    >>> estimator = BaseEstimator()
    >>> _ = check_table(estimator, pd.DataFrame({"clay": [0.1, 0.2]}), reset=True)
    >>> estimator.feature_names_in_.tolist()
    ['clay']
    """
    X = as_rows(X)
    if hasattr(X, "columns"):
        frame = as_dataframe(X)
        validate_data(estimator, frame, skip_check_array=True, reset=reset)
        if len(frame) == 0:
            raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}); pass some rows.")
        return frame
    if getattr(getattr(X, "dtype", None), "names", None):
        raise ValueError("X is a structured array; pass it as a DataFrame: pd.DataFrame(X).")
    if isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "biuf":
        X = np.ma.filled(X.astype(np.float64), np.nan)
    if isinstance(X, np.ndarray) and X.dtype == object:
        # Numpy cannot convert pandas.NA to float.
        X = np.where(_missing_objects(X), np.nan, X)
    try:
        return validate_data(estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=False)
    except (TypeError, ValueError, OverflowError) as error:
        reason = _find_invalid_input(X)
        if reason is None:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{error}: {reason}. Pass text, categories and dates in a DataFrame.") from error


def _missing_objects(X: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(pd.isna(X))
    except InvalidOperation:  # a signaling NaN, reported later by `_find_invalid_input`
        return np.array([value is pd.NA for value in X.ravel()]).reshape(X.shape)


def _find_invalid_input(X: Any) -> str | None:
    """Return which column of an array holds values that are not numbers, and in which rows."""
    if issparse(X):  # the error of scikit-learn gives the reason
        return None
    try:
        entries = np.asarray(X, dtype=object)
    except ValueError:  # rows of several lengths
        return None
    if entries.ndim != 2:
        invalid = entries.ndim > 2 or entries.size > 0
        return f"X must have two dimensions; found {entries.ndim}" if invalid else None
    for position, column in enumerate(entries.T):
        not_numeric = np.array([not _is_number(value) for value in column], dtype=bool)
        if not_numeric.any():
            value = column[not_numeric.argmax()]
            shown = repr(str(value)) if isinstance(value, str) else str(value)
            rows = format_rows(not_numeric, shown[:_MAX_SHOWN_CHARACTERS])
            return f"column {position} must hold numbers; found other values in {rows}"
    return None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _check_target(y: Any) -> np.ndarray:
    if isinstance(y, np.ma.MaskedArray) and y.dtype.kind in "biuf":
        y = np.ma.filled(y.astype(np.float64), np.nan)
    try:
        array = column_or_1d(y, warn=True)
        # With a dtype, because pandas 2 fails to infer that of integers beyond any float.
        series = pd.Series(array, dtype=array.dtype)
    except (TypeError, ValueError) as error:
        if str(error).startswith("y "):
            raise
        raise type(error)(f"y must hold one number per row: {error}") from error
    if series.dtype.kind in "mM":
        raise ValueError(_DATES_IN_Y)
    if series.dtype.kind == "O" and any(isinstance(v, list | np.ndarray) for v in series):
        to_float(series, "y")  # raises; numpy converts an array of one number
    try:
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError, InvalidOperation) as error:
        to_float(series, "y")  # raises an error with the first row that is not a number
        raise ValueError(_DATES_IN_Y) from error
    for invalid, kind in ((np.isnan(values), "NaN"), (np.isinf(values), "infinity")):
        if invalid.any():
            raise ValueError(
                f"Input y contains {kind} in {format_rows(invalid)}: drop rows without a target."
            )
    largest = np.abs(values).max(initial=0)
    # Predictions are returned in single precision, whose range is a little wider.
    if largest > LARGEST or 0 < largest < 1 / LARGEST:
        raise ValueError(
            f"The largest magnitude in y is {largest:g}; it must lie between {1 / LARGEST:g} "
            f"and {LARGEST:g}: change the unit of y."
        )
    return values


def _check_weight(sample_weight: Any, y: np.ndarray) -> np.ndarray:
    if np.asarray(sample_weight).dtype.kind in "mM":
        raise ValueError("sample_weight holds dates or durations; it must hold numbers.")
    try:
        weight = _check_sample_weight(sample_weight, y, dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        if "eight" in str(error):
            raise
        raise type(error)(f"sample_weight must hold numbers: {error}.") from error
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight is negative in {format_rows(weight < 0)}: use 0 to leave a row out."
        )
    largest = weight.max(initial=0)
    if largest > _MAX_WEIGHT or 0 < largest < 1 / _MAX_WEIGHT:
        raise ValueError(
            f"The largest sample_weight is {largest:g}; it must lie between "
            f"{1 / _MAX_WEIGHT:g} and {_MAX_WEIGHT:g}; a weight of 2 equals repeating the row."
        )
    large = weight > largest / _MAX_WEIGHT
    if large.sum() < MIN_ROWS <= (weight > 0).sum():
        raise ValueError(
            f"sample_weight is negligible in all rows except {format_rows(large)}: at least "
            f"{MIN_ROWS} rows need a weight above {largest / _MAX_WEIGHT:g}."
        )
    return weight
