"""Validation of X, y and sample weights."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning

from sptgnn_sklearn.table.validation import (
    MIN_ROWS,
    check_fit_input,
    check_predict_input,
)

N = 8
X = pd.DataFrame(np.arange(3.0 * N).reshape(N, 3), columns=["x", "y", "clay"])
Y = np.arange(float(N))


class Estimator(BaseEstimator):
    """Estimator without parameters."""


def check(X=X, y=Y, sample_weight=None):
    return check_fit_input(Estimator(), X, y, sample_weight)[:3]


def test_valid_arguments_are_returned():
    """X is returned unchanged, target and weights as float64."""
    table, y, weight = check(y=list(range(N)), sample_weight=[1, 2] * 4)
    pd.testing.assert_frame_equal(table, X)
    assert y.dtype == weight.dtype == np.float64
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weight, [1, 2] * 4)


def test_weights_default_to_one_and_are_copied():
    """Writing to the result does not change the given weights."""
    given = np.ones(N)
    np.testing.assert_array_equal(check()[2], given)
    check(sample_weight=given)[2][:] = 7
    np.testing.assert_array_equal(given, 1)


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(range(N), dtype="Int64"),
        pd.Series(range(N), dtype="Float32"),
        pd.Series(range(N), dtype="double[pyarrow]"),
        pd.Series(range(N), index=range(N, 0, -1)),
        [Decimal(i) for i in range(N)],
        [str(i) for i in range(N)],
        np.arange(2 * N)[::2] / 2,
    ],
)
def test_targets_of_any_dtype(y):
    """Numbers of any type are converted to float64."""
    np.testing.assert_array_equal(check(y=y)[1], Y)


def test_boolean_targets_are_zeros_and_ones():
    """Booleans are valid targets of a regression."""
    np.testing.assert_array_equal(check(y=[True, False] * 4)[1], [1, 0] * 4)


def test_column_vector_targets_warn():
    """A column vector is raveled with a warning, as in scikit-learn."""
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        np.testing.assert_array_equal(check(y=Y[:, None])[1], Y)


def changed(position, value, dtype=float):
    values = Y.astype(dtype)
    values[position] = value
    return values


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "Estimator requires y to be passed, but the target y is None"),
        (changed(3, np.nan), r"Input y contains NaN in 1 of 8 rows \(row position 3\): drop"),
        (changed([2, 3], np.inf), r"Input y contains infinity in 2 of 8 rows \(row positions 2, 3"),
        (changed(3, None, object), r"Input y contains NaN in 1 of 8 rows \(row position 3\)"),
        (changed(3, np.inf, object), r"Input y contains infinity in 1 of 8 rows"),
        (changed(3, pd.NA, object), r"Input y contains NaN in 1 of 8 rows \(row position 3\)"),
        (changed(3, "high", object), r"Column 'y' must hold numbers.*row position 3, value 'high'"),
        (changed(3, 1e300), r"largest magnitude in y is 1e\+300; it must lie between 1e-30"),
        (Y * 1e-300, r"largest magnitude in y is 7e-300; .* change the unit of y"),
        (Y + 1j, "y must hold one number per row: Complex data not supported"),
        ([[1.0], [2.0, 3.0]] * 4, "y must hold one number per row: setting an array element"),
        (pd.date_range("2001", periods=N), "y holds dates or durations"),
        ([datetime.date(2001, 1, 1)] * N, "y holds dates or durations"),
        (changed(3, 10**400, object), r"'y' must hold finite numbers.*row position 3"),
        (changed(3, Decimal("sNaN"), object), r"'y' must hold numbers.*3, value sNaN.* to NaN"),
        (np.ma.masked_equal(Y, 3.0), r"Input y contains NaN in 1 of 8 rows \(row position 3\)"),
        (Y[:-1], r"inconsistent numbers of samples: \[8, 7\]"),
        (np.ones((N, 2)), r"y should be a 1d array, got an array of shape \(8, 2\)"),
    ],
)
def test_invalid_targets_raise(y, message):
    """The error contains the reason and the rows."""
    with pytest.raises(ValueError, match=message):
        check(y=y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(N - 1), r"sample_weight.shape == \(7,\), expected \(8,\)"),
        (np.ones((N, 1)), "Sample weights must be 1D"),
        (changed(3, -1), r"sample_weight is negative in 1 of 8 rows \(row position 3\)"),
        (changed(3, np.nan), "sample_weight contains NaN"),
        (changed(3, np.inf), "sample_weight contains infinity"),
        (np.zeros(N), "at least one non-zero number|with a positive weight"),
        (["heavy"] * N, "sample_weight must hold numbers: could not convert .*: 'heavy'"),
        (pd.date_range("2001", periods=N), "sample_weight holds dates or durations"),
        (changed(3, 1e300), r"largest sample_weight is 1e\+300; it must lie between 1e-15 and"),
        (np.full(N, 1e-300), r"largest sample_weight is 1e-300; it must lie between"),
        (
            np.where(Y < 3, 1.0, 1e-20),
            r"sample_weight is negligible .* 3 of 8 rows .*positions 0, 1, 2",
        ),
        (Y > 3, "Found 4 sample.* with a positive weight .n_samples=8. while a minimum of 5"),
    ],
)
def test_invalid_weights_raise(weight, message):
    """The error contains the reason and the rows."""
    with pytest.raises(ValueError, match=message):
        check(sample_weight=weight)


def test_fewer_than_five_rows_raise():
    """Five rows are valid, four raise."""
    check(X[:MIN_ROWS], Y[:MIN_ROWS])
    with pytest.raises(ValueError, match=r"Found 4 sample.*minimum of 5"):
        check(X[: MIN_ROWS - 1], Y[: MIN_ROWS - 1])


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (X["x"], ValueError, "Expected a 2-dimensional container"),
        (Y, ValueError, "Expected 2D array, got 1D array"),
        (X.rename(columns={"clay": "x"}), ValueError, r"duplicated column names: \['x'\]"),
        (X[:0], ValueError, r"Found array with 0 sample"),
        (X.to_numpy()[:0], ValueError, r"Found array with 0 sample"),
        (
            X.assign(clay="wet").to_numpy(),
            ValueError,
            r"'wet'.*\. Pass text, categories and",
        ),
        (X.assign(clay=[{}] * N).to_numpy(), TypeError, "must be a string or a real number"),
        (
            X.assign(clay=[{}] * N).to_numpy(),
            TypeError,
            r"column 2 must hold numbers.* in 8 of 8 rows",
        ),
        (
            X.assign(clay=pd.Series([10**400, *Y[1:]], dtype=object)).to_numpy(),
            ValueError,
            r"column 2 must hold numbers.* in 1 of 8 rows \(row position 0",
        ),
        (
            X.assign(clay=[Decimal("sNaN"), *Y[1:]]).to_numpy(),
            ValueError,
            r"column 2 must hold numbers.* in 1 of 8 rows \(row position 0, value sNaN\)",
        ),
        (
            X.assign(clay=pd.date_range("2001", periods=N)).to_numpy(),
            TypeError,
            r"column 2 must hold numbers.*value 2001-01-01 .*\. Pass text, .*dates in a DataFrame",
        ),
        (np.full((N, 3, 1), "m"), ValueError, "must have two dimensions; found 3"),
        (X.to_records(index=False), ValueError, r"structured array; .* pd.DataFrame\(X\)"),
        (X.to_numpy() + 1j, ValueError, "Complex data not supported"),
    ],
)
def test_invalid_tables_raise(table, error, message):
    """The error contains the reason and a remedy."""
    with pytest.raises(error, match=message):
        check(table)


def test_object_arrays_become_float():
    """None, NaN and pandas.NA are missing values."""
    array = X.to_numpy(dtype=object, copy=True)
    array[0, 2], array[1, 2], array[2, 2] = None, np.nan, pd.NA
    result = check(array)[0]
    assert result.dtype == np.float64
    np.testing.assert_array_equal(np.isnan(result[:, 2]), np.arange(N) < 3)


def test_masked_entries_are_missing():
    """Masked values become NaN."""
    result = check(np.ma.masked_equal(X.to_numpy(), 5.0))[0]
    np.testing.assert_array_equal(np.isnan(result), X.to_numpy() == 5)


def test_weights_of_invalid_type_raise():
    """The error contains the parameter."""
    with pytest.raises(TypeError, match="sample_weight must hold numbers: float"):
        check(sample_weight={"a": 1})


def test_feature_names_are_set_and_checked():
    """X of a prediction needs the columns of fit in the same order."""
    estimator = Estimator()
    check_fit_input(estimator, X, Y, None)
    assert estimator.n_features_in_ == 3
    assert estimator.feature_names_in_.tolist() == ["x", "y", "clay"]
    assert check_predict_input(estimator, X[:2]).equals(X[:2])
    with pytest.raises(ValueError, match=r"now missing:\n- clay"):
        check_predict_input(estimator, X[["x", "y"]])
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- silt"):
        check_predict_input(estimator, X.assign(silt=1.0))
    with pytest.raises(ValueError, match="must be in the same order"):
        check_predict_input(estimator, X[["y", "x", "clay"]])
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) \(shape=\(0, 3\)\)"):
        check_predict_input(estimator, X[:0])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(check_predict_input(estimator, X.to_numpy()), X)


def test_number_of_features_is_checked():
    """An array with another number of columns raises."""
    estimator = Estimator()
    check_fit_input(estimator, X.to_numpy(), Y, None)
    with pytest.raises(ValueError, match="X has 2 features, but Estimator is expecting 3"):
        check_predict_input(estimator, X.to_numpy()[:, :2])


def test_rows_of_weight_zero_are_dropped():
    """The mask gives the rows that are returned."""
    weight = np.where(Y == 2, 0.0, 3.0)
    table, y, kept, present = check_fit_input(Estimator(), X, Y, weight)
    np.testing.assert_array_equal(present, Y != 2)
    pd.testing.assert_frame_equal(table, X[present])
    np.testing.assert_array_equal(y, Y[present])
    np.testing.assert_array_equal(kept, 3.0)
