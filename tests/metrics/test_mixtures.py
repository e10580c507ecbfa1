"""Metrics of mixtures: integrals, draws, the normal case and sample weights."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm

from sptgnn_sklearn.metrics import (
    calibration_error_of_levels,
    crps_gaussian,
    crps_mixture,
    expected_calibration_error,
    log_score_mixture,
    probability_integral_transform,
)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def draw(means, stds, rng):
    """Draw one value from each mixture."""
    member = rng.randint(len(means), size=means.shape[1])
    rows = np.arange(means.shape[1])
    return rng.normal(means[member, rows], stds[member, rows])


def test_one_member_is_a_normal_distribution(rng):
    """All metrics equal those of normal predictions."""
    y, mean, std = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.5, 2, size=50)
    assert crps_mixture(y, mean[None], std[None]) == pytest.approx(crps_gaussian(y, mean, std))
    levels = probability_integral_transform(y, mean[None], std[None])
    np.testing.assert_allclose(levels, norm.cdf(y, mean, std))
    assert calibration_error_of_levels(levels) == pytest.approx(
        expected_calibration_error(y, mean, std)
    )
    expected = -norm.logpdf(y, mean, std).mean()
    assert log_score_mixture(y, mean[None], std[None]) == pytest.approx(expected)


@pytest.mark.parametrize("y", [-3.0, 0.2, 4.0])
def test_crps_equals_integral(y):
    """It is the integral of the squared difference of predicted and observed distribution."""
    means, stds = np.array([[-2.0], [0.5], [3.0]]), np.array([[0.5], [1.0], [0.3]])

    def squared(x):
        return (norm.cdf(x, means, stds).mean() - (x >= y)) ** 2

    integral = quad(squared, -30, y, limit=400)[0] + quad(squared, y, 30, limit=400)[0]
    assert crps_mixture([y], means, stds) == pytest.approx(integral, abs=1e-6)


def test_crps_equals_expectation_of_draws(rng):
    """It is E|X - y| - E|X - X'| / 2 over draws from the mixture."""
    means, stds = np.array([[-1.0], [2.0]]), np.array([[1.0], [0.5]])
    x, other = (draw(np.repeat(means, 200_000, 1), np.repeat(stds, 200_000, 1), rng) for _ in "ab")
    expected = np.abs(x - 0.7).mean() - np.abs(x - other).mean() / 2
    assert crps_mixture([0.7], means, stds) == pytest.approx(expected, abs=0.01)


def test_integral_transform_of_draws_is_uniform(rng):
    """Values drawn from the mixtures have uniform levels and no calibration error."""
    means, stds = rng.normal(size=(3, 5000)), rng.uniform(0.3, 1, size=(3, 5000))
    levels = probability_integral_transform(draw(means, stds, rng), means, stds)
    assert kstest(levels, "uniform").pvalue > 0.01
    assert calibration_error_of_levels(levels) < 0.01


def test_mixture_differs_from_normal_with_its_moments(rng):
    """Two distant members are calibrated as a mixture, but not as a normal distribution."""
    means = np.repeat([[-3.0], [3.0]], 3000, axis=1)
    stds = np.full_like(means, 0.5)
    y = draw(means, stds, rng)
    assert calibration_error_of_levels(probability_integral_transform(y, means, stds)) < 0.015
    moment_matched = np.full(3000, np.sqrt(9.25))
    assert expected_calibration_error(y, np.zeros(3000), moment_matched) > 0.1
    assert crps_mixture(y, means, stds) < crps_gaussian(y, np.zeros(3000), moment_matched)


def test_log_score_of_distant_values_is_finite():
    """Densities do not underflow to zero."""
    result = log_score_mixture([60.0], [[0.0], [1.0]], [[1.0], [1.0]])
    assert result == pytest.approx(59**2 / 2 + 0.5 * np.log(2 * np.pi) + np.log(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [[0.0]], [[0.0]]), "stds must be positive"),
        (([0.0], [[0.0, 1.0]], [[1.0, 1.0]]), r"shape \(n_members, 1\)"),
        (([0.0, 1.0], [[0.0]], [[1.0]]), r"shape \(n_members, 2\)"),
        (([0.0], [[np.nan]], [[1.0]]), "means contains NaN"),
    ],
)
def test_invalid_mixtures_raise(arguments, message):
    """The error names the parameter and its shape."""
    for score in (crps_mixture, probability_integral_transform, log_score_mixture):
        with pytest.raises(ValueError, match=message):
            score(*arguments)


def test_invalid_levels_raise():
    """The error names the parameter."""
    with pytest.raises(ValueError, match=r"levels_of_y .*found 0.5 to 1.5"):
        calibration_error_of_levels([0.5, 1.5])
    with pytest.raises(ValueError, match=r"levels .*found 0"):
        calibration_error_of_levels([0.5], levels=0)


def calibration_of_mixture(y, means, stds, **options):
    levels = probability_integral_transform(y, means, stds)
    return calibration_error_of_levels(levels, 9, **options)


@pytest.mark.parametrize("metric", [crps_mixture, log_score_mixture, calibration_of_mixture])
def test_weight_equals_repetition(metric, weight, rng):
    """A weight of 2 equals repeating the row, and 0 drops it."""
    y, means = rng.normal(size=25), rng.normal(size=(3, 25))
    stds = rng.uniform(0.3, 1, size=(3, 25))
    result = metric(y, means, stds, sample_weight=weight)
    repeated = [np.repeat(array, weight, axis=-1) for array in (y, means, stds)]
    assert result == pytest.approx(metric(*repeated), rel=1e-12)
    assert result != pytest.approx(metric(y, means, stds), rel=1e-3)
    with pytest.raises(ValueError, match="sample_weight must hold 25 values; found 24"):
        metric(y, means, stds, sample_weight=weight[1:])
