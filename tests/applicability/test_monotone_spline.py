"""Monotone splines: known functions, constraints, weights, degenerate input."""

import numpy as np
import pytest

from sptgnn_sklearn.applicability.monotone_spline import MonotoneSpline


@pytest.mark.parametrize("function", [lambda x: 1 + x, lambda x: 2 + x**3, lambda x: 0 * x + 3])
def test_increasing_cubics_are_recovered(function):
    """Without noise, increasing polynomials up to degree three are recovered."""
    x = np.linspace(0, 2, 200)
    spline = MonotoneSpline.fit(x, function(x), np.ones(200))
    np.testing.assert_allclose(spline(x), function(x), rtol=0.02)


def test_result_is_positive_and_never_decreases():
    """Also for decreasing values with zeros; the mean is then nearly that of all values."""
    rng = np.random.default_rng(0)
    x = rng.gamma(2, size=300)
    for y in (np.exp(-x) * rng.chisquare(1, 300), (x > 3) * rng.chisquare(1, 300)):
        values = MonotoneSpline.fit(x, y, np.ones(300))(np.linspace(-1, 20, 500))
        assert (values > 0).all()
        assert (np.diff(values) >= -1e-9 * values.max()).all()
    flat = MonotoneSpline.fit(x, np.exp(-x), np.ones(300))(x)
    np.testing.assert_allclose(flat, np.exp(-x).mean(), rtol=1e-3)


def test_weight_equals_repetition():
    """Integer weights give the spline of the repeated values, with the same knots."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(size=60), rng.chisquare(1, 60)
    weight = rng.integers(1, 4, 60)
    grid = np.linspace(0, 1, 20)
    weighted = MonotoneSpline.fit(x, y, weight.astype(float))(grid)
    repeated = MonotoneSpline.fit(np.repeat(x, weight), np.repeat(y, weight), np.ones(weight.sum()))
    np.testing.assert_allclose(weighted, repeated(grid), rtol=1e-3)


def test_scale_of_the_values_is_kept():
    """Values in another unit give the spline in that unit."""
    rng = np.random.default_rng(2)
    x = rng.uniform(size=80)
    y = x * rng.chisquare(1, 80)
    one = MonotoneSpline.fit(x, y, np.ones(80))(x)
    np.testing.assert_allclose(MonotoneSpline.fit(x, 1e6 * y, np.ones(80))(x), 1e6 * one, rtol=1e-6)


def test_no_variation():
    """A constant x gives the weighted mean, zeros give 0, few distinct x are possible."""
    ones = np.ones(3)
    spline = MonotoneSpline.fit(ones, np.array([1.0, 2.0, 6.0]), np.array([1.0, 1.0, 2.0]))
    assert spline(np.array([0.0, 5.0])).tolist() == [3.75, 3.75]
    assert MonotoneSpline.fit(np.arange(3.0), 0 * ones, ones)(ones).tolist() == [0, 0, 0]
    x = np.repeat([0.0, 1.0], 20)
    two = MonotoneSpline.fit(x, np.repeat([1.0, 4.0], 20), np.ones(40))
    np.testing.assert_allclose(two(np.array([0.0, 1.0])), [1, 4], rtol=1e-3)
