"""Transforms of the target and their inverses; test_meta_estimators.py tests intervals."""

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression

from sptgnn_sklearn.utils.target_transforms import (
    inverse_draws,
    inverse_interval,
    inverse_target,
    transform_increases,
    transform_target,
)

X, Y = np.arange(1.0, 9.0)[:, None], np.arange(1.0, 9.0)


def fitted(func, inverse_func):
    return TransformedTargetRegressor(
        LinearRegression(), func=func, inverse_func=inverse_func, check_inverse=False
    ).fit(X, Y)


@pytest.mark.parametrize(
    ("func", "inverse_func", "increases"),
    [(np.log, np.exp, True), (np.negative, np.negative, False), (np.sqrt, np.square, True)],
)
def test_transforms_and_their_direction(func, inverse_func, increases):
    """Values keep their shape, and limits of a decreasing transform change places."""
    estimator, values = fitted(func, inverse_func), np.array([[1.0, 2.0], [3.0, 5.0]])
    np.testing.assert_allclose(inverse_target(estimator, func(values)), values)
    np.testing.assert_allclose(transform_target(estimator, values[0]), func(values[0]))
    np.testing.assert_allclose(inverse_interval(estimator, func(values)), values)
    np.testing.assert_allclose(inverse_draws(estimator, func(values)), values)
    assert transform_increases(estimator, np.array([2.0])) == increases


def test_no_limits_are_transformed_without_limits():
    """scikit-learn's transformers refuse empty arrays."""
    assert len(transform_target(fitted(np.log, np.exp), np.empty(0))) == 0


def test_draws_without_inverse_raise():
    """One value of four is beyond the range of the inverse."""
    estimator = fitted(np.square, np.sqrt)
    with pytest.raises(ValueError, match="1 of 4 draws"):
        inverse_draws(estimator, np.array([[1.0, 4.0], [-1.0, 9.0]]))
