"""Conditioning of joint draws on known errors."""

import numpy as np
import pytest

from sptgnn_sklearn.estimation.conditional_errors import ConditionalErrors, residual_variance

N_DRAWS = 40_000
RNG = np.random.default_rng(0)
COVARIANCE = np.array([[2.0, 1.2, 0.0], [1.2, 1.5, 0.4], [0.0, 0.4, 1.0]])
DRAWS = np.linalg.cholesky(COVARIANCE) @ RNG.normal(size=(3, N_DRAWS)) + 5
WEIGHTS = np.array([0.2, 0.5, 0.3])


def kriging_variance(weights, known):
    """Return the variance of a weighted mean after some errors are known, by linear algebra."""
    shared = COVARIANCE[known] @ weights
    return weights @ COVARIANCE @ weights - shared @ np.linalg.solve(
        COVARIANCE[np.ix_(known, known)], shared
    )


def test_targets_have_the_kriging_variance():
    """After each sample, and the gain is the difference."""
    errors = ConditionalErrors(DRAWS, targets=(WEIGHTS @ DRAWS)[None])
    start = errors.variance()
    assert start == pytest.approx(WEIGHTS @ COVARIANCE @ WEIGHTS, rel=0.03)
    gains = errors.gains()
    for row in range(3):
        assert start - gains[row] == pytest.approx(kriging_variance(WEIGHTS, [row]), rel=0.03)
    errors.condition(1)
    assert errors.variance() == pytest.approx(kriging_variance(WEIGHTS, [1]), rel=0.03)
    errors.condition(0)
    assert errors.variance() == pytest.approx(kriging_variance(WEIGHTS, [0, 1]), rel=0.03)
    assert (errors.gains()[:2] == 0).all() and errors.gains()[2] > 0
    errors.condition(2)
    assert errors.variance() == 0


def test_cells_have_the_mean_kriging_variance():
    """The mean over cells of their own variances."""
    few = DRAWS[:, :2000]
    centered = few - few.mean(axis=1, keepdims=True)
    gram = (centered * WEIGHTS[:, None]).T @ centered
    errors = ConditionalErrors(few, None, gram)
    units = np.eye(3)
    start, gains = errors.variance(), errors.gains()
    assert start == pytest.approx(WEIGHTS @ np.diag(COVARIANCE), rel=0.1)
    errors.condition(2)
    expected = sum(w * kriging_variance(unit, [2]) for w, unit in zip(WEIGHTS, units, strict=True))
    assert errors.variance() == pytest.approx(expected, rel=0.1)
    assert start - gains[2] == pytest.approx(errors.variance(), rel=1e-2)


def test_known_errors_take_degrees_of_freedom():
    """Noise explains nothing, however many known errors there are."""
    rng = np.random.default_rng(1)
    found = [
        residual_variance(rng.normal(size=200), rng.normal(size=(100, 200))) for _ in range(40)
    ]
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)
    errors = ConditionalErrors(rng.normal(size=(100, 200)), rng.normal(size=(30, 200)))
    for row in range(100):
        errors.condition(row)
    assert errors.variance() == pytest.approx(1.0, abs=0.1)


def test_correlated_errors_become_known_together():
    """As those of candidates, one after the other."""
    target = (WEIGHTS @ DRAWS)[None]
    together = ConditionalErrors(DRAWS, targets=target)
    together.condition_on(DRAWS[:2])
    assert together.variance() == pytest.approx(kriging_variance(WEIGHTS, [0, 1]), rel=0.03)
    single = ConditionalErrors(DRAWS, targets=target)
    for row in (0, 1):
        single.condition(row)
    assert together.variance() == pytest.approx(single.variance(), rel=1e-6)


def test_constant_errors_are_ignored():
    """An error without variation is known already."""
    errors = ConditionalErrors(np.ones((2, 50)), np.ones((1, 50)))
    errors.condition(0)
    assert errors.variance() == 0 and (errors.gains() == 0).all()
