"""Metrics of quantiles: agreement with normal predictions, definitions and sample weights."""

import numpy as np
import pytest
from scipy.stats import norm

from sptgnn_sklearn.metrics import (
    calibration_error_of_quantiles,
    crps_gaussian,
    crps_of_quantiles,
    expected_calibration_error,
)

LEVELS = np.arange(1, 200) / 200
METRICS = [crps_of_quantiles, calibration_error_of_quantiles]


@pytest.fixture(scope="module")
def predictions():
    """Measured values, and means and standard deviations of normal predictions."""
    rng = np.random.RandomState(0)
    mean, std = rng.normal(5, 4, size=90), rng.uniform(0.5, 1.5, size=90)
    return mean + 1.2 * std * rng.normal(size=90), mean, std


def test_quantiles_of_normal_predictions(predictions):
    """199 quantiles have the calibration error of the normal predictions, and CRPS within 1 %."""
    y, mean, std = predictions
    quantiles = norm.ppf(LEVELS, mean[:, None], std[:, None])
    result = calibration_error_of_quantiles(y, quantiles, LEVELS)
    assert result == pytest.approx(expected_calibration_error(y, mean, std), abs=1e-9)
    result = crps_of_quantiles(y, quantiles, LEVELS)
    assert result == pytest.approx(crps_gaussian(y, mean, std), rel=0.01)


def test_equal_quantiles_are_a_point_prediction(predictions):
    """The CRPS of equal quantiles is the mean absolute error."""
    y, mean, _ = predictions
    quantiles = np.repeat(mean[:, None], 199, axis=1)
    assert crps_of_quantiles(y, quantiles, LEVELS) == pytest.approx(np.abs(y - mean).mean())


def test_interval_limits_are_inside():
    """Values at a quantile are inside the interval, and two levels make an interval."""
    quantiles = [[0.0, 1.0]] * 4
    result = calibration_error_of_quantiles([0.0, 1.0, -1.0, 2.0], quantiles, [0.25, 0.75])
    assert result == 0.0


@pytest.mark.parametrize("metric", METRICS)
def test_weight_equals_repetition(metric, weight):
    """A weight of 2 equals repeating the row, and 0 drops it."""
    rng = np.random.default_rng(0)
    y, quantiles = rng.normal(size=25), np.sort(rng.normal(size=(25, 9)), axis=1)
    levels = np.arange(1, 10) / 10
    result = metric(y, quantiles, levels, sample_weight=weight)
    expected = metric(np.repeat(y, weight), np.repeat(quantiles, weight, axis=0), levels)
    assert result == pytest.approx(expected, rel=1e-12)
    assert result != pytest.approx(metric(y, quantiles, levels), rel=1e-3)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("y", "quantiles", "levels", "message"),
    [
        ([0.0], [[1.0, 2.0]], [0.5], "quantiles .*1 levels"),
        ([0.0], [[1.0, 2.0]], [0.9, 0.1], "levels must increase"),
        ([0.0], [[-1.0, 0.0, 0.0, 1.0]], [0.25, 0.5, 0.5, 0.75], "levels must increase"),
        ([0.0], [[1.0, 2.0]], [0.1, 0.8], "levels .*symmetric"),
        ([0.0], [[1.0, np.nan]], [0.1, 0.9], "quantiles contains NaN"),
        ([np.nan], [[0.0, 1.0]], [0.25, 0.75], "y .*NaN"),
        ([0.0], [[0.0, 1.0]], [-np.inf, np.inf], "levels .*infinite"),
    ],
)
def test_invalid_input_raises(metric, y, quantiles, levels, message):
    """The error names the parameter."""
    with pytest.raises(ValueError, match=message):
        metric(y, quantiles, levels)


def test_intervals_need_two_levels():
    """A single level has no central interval."""
    with pytest.raises(ValueError, match="levels must hold at least two"):
        calibration_error_of_quantiles([0.0], [[1.0]], [0.5])


@pytest.mark.parametrize("metric", METRICS)
def test_numbers_may_be_strings(metric):
    """Quantiles may be numeric strings, as in a table read from a file."""
    result = metric([0.0], np.array([["-1", "1"]]), [0.25, 0.75])
    assert result == metric([0.0], [[-1.0, 1.0]], [0.25, 0.75])
