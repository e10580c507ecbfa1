"""Scores of mixtures: against integrals, draws and the normal case."""

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
    member = rng.randint(len(means), size=means.shape[1])
    rows = np.arange(means.shape[1])
    return rng.normal(means[member, rows], stds[member, rows])


def test_one_member_is_the_normal_case(rng):
    """All scores agree with those of normal predictions."""
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
def test_the_crps_is_its_integral(y):
    """The integral of the squared distance between predicted and observed distribution."""
    means, stds = np.array([[-2.0], [0.5], [3.0]]), np.array([[0.5], [1.0], [0.3]])

    def squared(x):
        return (norm.cdf(x, means, stds).mean() - (x >= y)) ** 2

    whole = quad(squared, -30, y, limit=400)[0] + quad(squared, y, 30, limit=400)[0]
    assert crps_mixture([y], means, stds) == pytest.approx(whole, abs=1e-6)


def test_the_crps_is_that_of_draws(rng):
    """E|X - y| - E|X - X'| / 2 over draws from the mixture."""
    means, stds = np.array([[-1.0], [2.0]]), np.array([[1.0], [0.5]])
    x, other = (draw(np.repeat(means, 200_000, 1), np.repeat(stds, 200_000, 1), rng) for _ in "ab")
    expected = np.abs(x - 0.7).mean() - np.abs(x - other).mean() / 2
    assert crps_mixture([0.7], means, stds) == pytest.approx(expected, abs=0.01)


def test_levels_of_honest_predictions_are_uniform(rng):
    """Values drawn from the mixtures have uniform levels, and no calibration error."""
    means, stds = rng.normal(size=(3, 5000)), rng.uniform(0.3, 1, size=(3, 5000))
    levels = probability_integral_transform(draw(means, stds, rng), means, stds)
    assert kstest(levels, "uniform").pvalue > 0.01
    assert calibration_error_of_levels(levels) < 0.01


def test_a_normal_with_the_moments_of_a_mixture_is_not_the_mixture(rng):
    """Two members far apart: honest as a mixture, far off as a normal distribution."""
    means = np.repeat([[-3.0], [3.0]], 3000, axis=1)
    stds = np.full_like(means, 0.5)
    y = draw(means, stds, rng)
    assert calibration_error_of_levels(probability_integral_transform(y, means, stds)) < 0.015
    moment_matched = np.full(3000, np.sqrt(9.25))
    assert expected_calibration_error(y, np.zeros(3000), moment_matched) > 0.1
    assert crps_mixture(y, means, stds) < crps_gaussian(y, np.zeros(3000), moment_matched)


def test_far_values_have_a_finite_log_score():
    """No density underflows to zero."""
    found = log_score_mixture([60.0], [[0.0], [1.0]], [[1.0], [1.0]])
    assert found == pytest.approx(59**2 / 2 + 0.5 * np.log(2 * np.pi) + np.log(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [[0.0]], [[0.0]]), "stds must be positive"),
        (([0.0], [[0.0, 1.0]], [[1.0, 1.0]]), r"shape \(n_members, 1\)"),
        (([0.0, 1.0], [[0.0]], [[1.0]]), r"shape \(n_members, 2\)"),
        (([0.0], [[np.nan]], [[1.0]]), "means contains NaN"),
    ],
)
def test_bad_mixtures_are_refused(arguments, message):
    for score in (crps_mixture, probability_integral_transform, log_score_mixture):
        with pytest.raises(ValueError, match=message):
            score(*arguments)


def test_bad_levels_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration_error_of_levels([0.5, 1.5])
    with pytest.raises(ValueError, match="levels must be at least 1"):
        calibration_error_of_levels([0.5], levels=0)
