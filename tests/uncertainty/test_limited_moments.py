"""Moments of limited normal and log-normal distributions, against numerical integration."""

import numpy as np
import pytest
from scipy.stats import norm

from sptgnn_sklearn.uncertainty.limited_moments import (
    limited_lognormal_moments,
    limited_normal_moments,
)

LIMITS = [(-np.inf, np.inf), (0.0, np.inf), (-np.inf, 1.0), (-0.5, 1.5), (3.0, 4.0), (0.0, 0.1)]
MEAN = np.array([[-3.0, 0.0, 0.7, 5.0], [0.0, 1.0, 2.0, 9.0]])
VARIANCE = np.array([[1.0, 4.0, 0.01, 2.0], [0.25, 1.0, 1e-6, 0.5]])


def integrate(function, mean, variance):
    """Return mean and variance of a function of normal values by the midpoint rule."""
    edges = np.linspace(-12, 12, 200_001)
    weights = np.diff(norm.cdf(edges))
    z = mean + np.sqrt(variance) * (edges[1:] + edges[:-1]) / 2
    values = function(z)
    center = values @ weights
    return center, (values - center) ** 2 @ weights


@pytest.mark.parametrize(("low", "high"), LIMITS)
@pytest.mark.parametrize(
    ("moments", "function"),
    [(limited_normal_moments, lambda z: z), (limited_lognormal_moments, np.exp)],
)
def test_moments_equal_integrals(moments, function, low, high):
    """Every combination of mean, variance and limits."""
    result = moments(MEAN, VARIANCE, low, high)
    for position in np.ndindex(MEAN.shape):
        expected = integrate(
            lambda z: function(np.clip(z, low, high)), MEAN[position], VARIANCE[position]
        )
        np.testing.assert_allclose(result[0][position], expected[0], rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(result[1][position], expected[1], rtol=1e-3, atol=1e-8)


def test_far_limits_change_no_bits():
    """Normal moments stay as they are where a limit is not reached."""
    mean, variance = limited_normal_moments(MEAN, VARIANCE, -1e3, 1e3)
    np.testing.assert_array_equal(mean, MEAN)
    np.testing.assert_array_equal(variance, VARIANCE)


def test_distributions_beyond_a_limit_are_constant():
    """Also far beyond, without variance, and where unlimited moments overflow."""
    mean, variance = np.array([-50.0, -1.0]), np.array([1.0, 0.0])
    np.testing.assert_allclose(limited_normal_moments(mean, variance, 0.0, 9.0), 0, atol=1e-9)
    found = limited_lognormal_moments(mean, variance, 0.0, 9.0)
    np.testing.assert_allclose(found, [[1, 1], [0, 0]], atol=1e-9)
    wide = limited_lognormal_moments(np.array([0.0]), np.array([4e3]), -np.inf, 1.0)
    expected = integrate(lambda z: np.exp(np.minimum(z, 1.0)), 0.0, 4e3)
    np.testing.assert_allclose(np.ravel(wide), expected, rtol=1e-4)
