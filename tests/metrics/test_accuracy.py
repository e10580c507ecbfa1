"""Bias, Lin's concordance correlation and RPIQ: known answers, formulas and sample weights."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from sptgnn_sklearn.metrics import bias, concordance_correlation, rpiq


def test_concordance_correlation_known_answers():
    """Shift, scale and noise reduce it by the published formula; perfect agreement is 1."""
    y = np.array([1.0, 2.0, 3.0, 4.0])
    assert concordance_correlation(y, y) == 1.0
    assert concordance_correlation(y, y + 1) == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1))
    assert concordance_correlation(y, 2 * y) == pytest.approx(2 * 2.5 / (1.25 + 5.0 + 2.5**2))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50))
    correlation, (sa, sb) = np.corrcoef(a, b)[0, 1], (a.std(), b.std())
    expected = 2 * correlation * sa * sb / (sa**2 + sb**2 + (a.mean() - b.mean()) ** 2)
    assert concordance_correlation(a, b) == pytest.approx(expected)
    assert concordance_correlation([1.0, 1.0], [2.0, 2.0]) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="CCC"):
        assert np.isnan(concordance_correlation([1.0, 1.0], [1.0, 1.0]))


def test_rpiq_known_answers():
    """It is the interquartile distance of the measured values divided by RMSE."""
    y = np.arange(9.0)
    assert rpiq(y, y + np.tile([2.0, -2.0, 2.0], 3)) == pytest.approx(2.0)
    assert rpiq(y, y) == np.inf
    with pytest.warns(UndefinedMetricWarning, match="RPIQ"):
        assert np.isnan(rpiq([1.0, 1.0], [1.0, 1.0]))


def test_bias_is_positive_for_overestimation():
    """The bias is the mean of predicted minus measured values."""
    y = np.random.default_rng(0).normal(size=30)
    assert bias(y, y + 0.5) == pytest.approx(0.5)
    assert bias(y, y - 0.5) == pytest.approx(-0.5)


@pytest.mark.parametrize("metric", [bias, concordance_correlation, rpiq])
def test_weight_equals_repetition(metric, weight):
    """A weight of 2 equals repeating the row, and 0 drops it."""
    y, mean = np.random.default_rng(0).normal(size=(2, 25))
    result = metric(y, mean, sample_weight=weight)
    expected = metric(np.repeat(y, weight), np.repeat(mean, weight))
    assert result == pytest.approx(expected, rel=1e-12)
    assert result != pytest.approx(metric(y, mean), rel=1e-3)


def test_weighted_quartiles_are_measured_values():
    """Weighted quartiles are the smallest values with at least 25 and 75 % of the weight."""
    y = np.array([10.0, 1.0, 4.0, 2.0])  # sorted: 1, 2, 4, 10
    result = rpiq(y, y + 1.0, sample_weight=[0.2, 0.2, 0.3, 0.3])
    assert result == 4.0 - 2.0


def test_inputs_may_be_columns_lists_and_series():
    """Columns of shape (n, 1), lists and Series are vectors and are not broadcast."""
    y = pd.Series([1.0, 2.0, 4.0], index=[7, 8, 9])
    column = np.array([[2.0], [2.0], [2.0]])
    assert bias(y, column) == pytest.approx(-1 / 3)
    assert concordance_correlation(list(y), column) == concordance_correlation(y, column[:, 0])


@pytest.mark.parametrize("metric", [bias, concordance_correlation, rpiq])
def test_invalid_input_raises(metric):
    """The error names the parameter."""
    with pytest.raises(ValueError, match="'y_true': 2, 'y_pred': 1"):
        metric([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"y_true .*position 1"):
        metric([1.0, np.inf], [1.0, 2.0])
    with pytest.raises(ValueError, match="sample_weight"):
        metric([1.0, 2.0], [1.0, 2.0], sample_weight=[1.0])
