"""Metrics of normal predictions and intervals: definitions, other libraries and sample weights."""

import numpy as np
import pytest
from mapie.metrics.regression import regression_coverage_score
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import BayesianRidge

from sptgnn_sklearn.metrics import (
    crps_gaussian,
    expected_calibration_error,
    interval_coverage,
    interval_score,
    reliability_curve,
    tail_coverage,
)


@pytest.fixture(scope="module")
def predictions():
    """Measured values, predicted means and standard deviations of a linear model."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, size=(90, 2))
    y = 5 + 2 * X[:, 0] + rng.normal(size=90)
    return (y, *BayesianRidge().fit(X, y).predict(X, return_std=True))


def test_crps_equals_integral():
    """The closed form equals the integral of (F(x) - [x >= y])^2."""
    rng = np.random.default_rng(0)
    y, mean, std = rng.normal(size=6), rng.normal(size=6), rng.uniform(0.3, 2, 6)
    total = 0.0
    for row in range(6):
        cdf = norm(mean[row], std[row]).cdf
        total += quad(lambda x, cdf=cdf: cdf(x) ** 2, -30, y[row])[0]
        total += quad(lambda x, cdf=cdf: (1 - cdf(x)) ** 2, y[row], 30)[0]
    assert crps_gaussian(y, mean, std) == pytest.approx(total / 6, abs=1e-6)


def test_crps_equals_expectation_of_draws():
    """It is E|X - y| - E|X - X'| / 2 over draws from the normal distribution, within 0.01."""
    rng = np.random.default_rng(0)
    x, other = rng.normal(1.0, 2.0, size=(2, 200_000))
    expected = np.abs(x - 2.5).mean() - np.abs(x - other).mean() / 2
    assert crps_gaussian([2.5], [1.0], [2.0]) == pytest.approx(expected, abs=0.01)


def test_scores_equal_uncertainty_toolbox():
    """Calibration error at the same levels and CRPS agree to 1e-12."""
    toolbox = pytest.importorskip("uncertainty_toolbox")
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=300), rng.uniform(0.5, 2, 300)
    y = mean + 1.4 * std * rng.normal(size=300)
    # The toolbox also counts the levels 0 and 1, where the error is always 0.
    expected = toolbox.mean_absolute_calibration_error(mean, std, y, num_bins=101) * 101 / 99
    assert expected_calibration_error(y, mean, std) == pytest.approx(expected, abs=1e-12)
    expected = toolbox.crps_gaussian(mean, std, y)
    assert crps_gaussian(y, mean, std) == pytest.approx(expected, abs=1e-12)


def test_crps_with_zero_std_is_absolute_error():
    """A standard deviation of 0 gives |y - mean|, the limit of small ones, without a warning."""
    y, mean = np.array([1.0, 2.0, 5.0]), np.array([1.0, 0.0, 8.0])
    assert crps_gaussian(y, mean, np.zeros(3)) == pytest.approx(5 / 3)
    assert crps_gaussian(y, mean, np.full(3, 1e-9)) == pytest.approx(5 / 3)


def test_interval_limits_are_inside():
    """Limits belong to intervals, which may be unbounded."""
    y = np.arange(5.0)
    assert interval_coverage(y, np.full(5, 1.0), np.full(5, 3.0)) == 0.6
    assert interval_coverage(y, np.full(5, -np.inf), np.full(5, 3.5)) == 0.8
    assert tail_coverage(y, np.full(5, 1.0), np.full(5, 2.0)) == (0.2, 0.4)


def test_coverage_equals_mapie(predictions):
    """The coverage equals that of MAPIE, and fractions inside, below and above sum to one."""
    y, mean, std = predictions
    lower, upper = mean - std, mean + std
    inside = interval_coverage(y, lower, upper)
    expected = regression_coverage_score(y, np.c_[lower, upper])[0]
    assert inside == pytest.approx(expected, abs=1e-12)
    assert inside + sum(tail_coverage(y, lower, upper)) == pytest.approx(1)


def test_interval_score_known_answers():
    """It is width plus 2/alpha times the distance outside; true quantiles have the best score."""
    lower, upper = np.array([0.0, 0.0, 0.0]), np.array([2.0, 2.0, 2.0])
    result = interval_score([1.0, 2.5, -1.0], lower, upper, coverage=0.9)
    assert result == pytest.approx((2 + (2 + 20 * 0.5) + (2 + 20 * 1.0)) / 3)
    y = np.random.default_rng(0).normal(size=20_000)
    scores = {
        half: interval_score(y, np.full(20_000, -half), np.full(20_000, half), coverage=0.9)
        for half in (1.3, norm.ppf(0.95), 2.1)
    }
    assert min(scores, key=scores.get) == norm.ppf(0.95)


@pytest.mark.parametrize("levels", [1, 9, 99])
def test_calibration_error_equals_definition(levels, predictions):
    """It equals a loop over central intervals, and the mean distance of the reliability curve."""
    y, mean, std = predictions
    std = 0.7 * std
    gaps = []
    for i in range(1, levels + 1):
        p = i / (levels + 1)
        half = std * norm.ppf((1 + p) / 2)
        gaps.append(abs(p - np.mean(np.abs(y - mean) <= half)))
    result = expected_calibration_error(y, mean, std, levels=levels)
    assert result == pytest.approx(np.mean(gaps), abs=1e-12)
    nominal, observed = reliability_curve(y, mean, std, levels)
    np.testing.assert_allclose(np.abs(nominal - observed), gaps, atol=1e-12)


def test_calibration_error_known_answers():
    """It is near 0 for true quantiles, and 0.5 for std 0 if all or no predictions are exact."""
    y = norm.ppf((np.arange(5000) + 0.5) / 5000)
    zeros, ones = np.zeros(5000), np.ones(5000)
    assert expected_calibration_error(y, zeros, ones) < 0.001
    assert expected_calibration_error(y, zeros, 3 * ones) > 0.2
    assert expected_calibration_error(y, y, zeros) == pytest.approx(0.5)
    assert expected_calibration_error(y, y + 1, zeros) == pytest.approx(0.5)
    half_exact = y + np.arange(5000) % 2
    assert expected_calibration_error(y, half_exact, zeros) == pytest.approx(0.25, abs=0.01)


def score_of_interval(y, lower, upper, **options):
    return interval_score(y, lower, upper, 0.8, **options)


def curve_of_interval(y, lower, upper, **options):
    return reliability_curve(y, (lower + upper) / 2, upper - lower, 9, **options)


def calibration_of_interval(y, lower, upper, **options):
    return expected_calibration_error(y, (lower + upper) / 2, upper - lower, **options)


def crps_of_interval(y, lower, upper, **options):
    return crps_gaussian(y, (lower + upper) / 2, upper - lower, **options)


@pytest.mark.parametrize(
    "metric",
    [
        interval_coverage,
        tail_coverage,
        score_of_interval,
        curve_of_interval,
        calibration_of_interval,
        crps_of_interval,
    ],
)
def test_weight_equals_repetition(metric, weight):
    """A weight of 2 equals repeating the row, and 0 drops it."""
    rng = np.random.default_rng(0)
    y, lower = rng.normal(size=(2, 25))
    arrays = y, lower, lower + rng.uniform(0.5, 2, 25)
    result = metric(*arrays, sample_weight=weight)
    expected = metric(*(np.repeat(array, weight) for array in arrays))
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert not np.allclose(result, metric(*arrays), rtol=1e-3)


def test_dropped_rows_may_have_infinite_limits():
    """A weight of 0 drops an unbounded interval from the interval score."""
    result = interval_score([0.0, 0.0], [-1.0, -1.0], [1.0, np.inf], 0.9, sample_weight=[1, 0])
    assert result == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crps_gaussian([1.0], [1.0], [-1.0]), "std holds negative values in 1 of 1"),
        (lambda: expected_calibration_error([1.0], [1.0], [-1.0]), "std holds negative"),
        (lambda: expected_calibration_error([1.0], [1.0], [1.0], 0), "levels .*found 0"),
        (lambda: interval_coverage([1.0], [2.0], [0.0]), "lower is above upper in 1 of 1 rows"),
        (lambda: interval_coverage([1.0], [np.nan], [0.0]), "lower .*1 of 1 rows"),
        (lambda: interval_score([1.0], [0.0], [2.0], 90), "coverage .*found 90"),
        (lambda: tail_coverage([1.0], [0.0], [2.0], sample_weight=[-1]), "sample_weight .*-1"),
    ],
)
def test_invalid_input_raises(call, message):
    """The error names the parameter, the number of rows and the value found."""
    with pytest.raises(ValueError, match=message):
        call()
