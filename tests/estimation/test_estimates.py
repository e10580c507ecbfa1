"""Results: their text, interval and gain."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import t as student_t

from sptgnn_sklearn.estimation import DesignEstimate, design_estimate, model_assisted_estimate
from sptgnn_sklearn.estimation.estimates import precision_gain


@pytest.mark.parametrize(
    ("std", "text"),
    [
        (1234.5, "Total 98765, std 1234, 90 % interval 96000 to 101000."),
        (0.012345, "Total 98765.4321, std 0.0123, 90 % interval 96000.0000 to 101000.0000."),
        (0.0, "Total 98765.432, std 0.000, 90 % interval 96000.000 to 101000.000."),
    ],
)
def test_text_has_the_digits_of_the_std(std, text):
    """Numbers are shown with three digits of the standard error."""
    result = DesignEstimate(98765.4321, std, 96000, 101000, 30, 29, "total", 0.9)
    assert repr(result).splitlines()[0] == text
    assert "30 sampled units, 29 degrees of freedom; valid for a probability" in repr(result)


def test_text_has_the_condition_of_validity():
    """The model-assisted result shows the sample alone, the gain and the condition."""
    result = model_assisted_estimate([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], 2.0, coverage=0.95)
    text = " ".join(repr(result).split())
    assert "95 % interval" in text
    assert "Sample alone: mean 2.333, std 0.882; gain 4.00." in text
    assert "whatever the model, if the predictions at the sampled units are not from" in text


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_interval_is_that_of_student(coverage):
    """Limits are quantiles of Student's t distribution."""
    y = np.array([3.0, 5.0, 4.0, 8.0])
    result = design_estimate(y, coverage=coverage)
    low, high = student_t.interval(coverage, 3, y.mean(), y.std(ddof=1) / 2)
    assert (result.lower, result.upper) == pytest.approx((low, high))
    assert dataclasses.asdict(result)["coverage"] == coverage


def test_gain_of_zeros():
    """A std of 0 has an infinite gain, or none if both are 0."""
    assert precision_gain(1.0, 0.0) == np.inf
    assert np.isnan(precision_gain(0.0, 0.0))
    assert np.isnan(precision_gain(np.nan, np.nan))
