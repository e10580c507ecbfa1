"""Validation of metric arguments, and weighted means."""

import inspect

import numpy as np
import pytest

from sptgnn_sklearn import metrics
from sptgnn_sklearn.metrics.validation import (
    aligned_vectors,
    check_metric_weight,
    weighted_mean,
)


def test_aligned_vectors_are_float_vectors():
    """Lists of integers and columns become float vectors, in the order of the arguments."""
    first, second = aligned_vectors(first=[1, 2], second=np.array([[3], [4]]))
    assert first.dtype == second.dtype == np.float64
    np.testing.assert_array_equal([first, second], [[1, 2], [3, 4]])
    (limit,) = aligned_vectors(limit=[np.inf], may_be_infinite=["limit"])
    assert limit[0] == np.inf


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": []}, r"a must be a vector .* \(0,\)"),
        ({"a": [[1.0, 2.0]]}, r"a must be a vector .* \(1, 2\)"),
        ({"a": [1.0, np.nan, np.nan]}, "a .* 2 of 3 rows .*position 1"),
        ({"a": [np.nan], "may_be_infinite": ["a"]}, "a .* 1 of 1 rows"),
        ({"a": [1.0, 2.0], "b": [1.0]}, "'a': 2, 'b': 1"),
    ],
)
def test_invalid_vectors_raise(arrays, message):
    """The error names the argument, the number of rows and the first position."""
    with pytest.raises(ValueError, match=message):
        aligned_vectors(**arrays)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], "sample_weight must hold 3 values; found 2"),
        ([1.0, -2.0, 3.0], "sample_weight .*found -2 to 3"),
        ([0.0, 0.0, 0.0], "sample_weight .*found 0 to 0"),
        ([1.0, np.nan, 3.0], "sample_weight .*position 1"),
    ],
)
def test_invalid_weights_raise(weight, message):
    """Weights are one finite, nonnegative number per row, and not all 0."""
    with pytest.raises(ValueError, match=message):
        check_metric_weight(weight, 3)


def test_weighted_mean_is_over_rows():
    """Columns have a mean each; rows with weight 0 are dropped, also infinite ones."""
    values = np.array([[1.0, 2.0], [np.inf, np.nan], [4.0, 8.0]])
    result = weighted_mean(values, check_metric_weight([1, 0, 2], 3))
    np.testing.assert_allclose(result, [3.0, 6.0])
    plain = np.random.default_rng(0).normal(size=1001)
    assert weighted_mean(plain, check_metric_weight(None, 1001)) == plain.mean()


# Values per row, an expectation, and metrics in which a repeated row is its own neighbor.
WITHOUT_WEIGHT = {
    "expected_morans_i",
    "morans_i",
    "probability_integral_transform",
    "residual_morans_i",
}


def test_all_metrics_accept_weights():
    """All but those listed, which give the reason in their docstring or have no mean over rows."""
    functions = {
        name: function
        for name in metrics.__all__
        if inspect.isfunction(function := getattr(metrics, name)) and not name.startswith("make_")
    }
    without = {
        name
        for name, function in functions.items()
        if "sample_weight" not in inspect.signature(function).parameters
    }
    assert without == WITHOUT_WEIGHT
    for name in ("morans_i", "residual_morans_i"):
        assert "There is no `sample_weight`" in functions[name].__doc__
