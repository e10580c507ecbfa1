"""Blend weight and shrinkage on known signals and on noise."""

from dataclasses import replace

import numpy as np
import pytest

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.uncertainty.blending import Blend

N = 5000


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_weight_follows_accuracy_on_held_out_rows(rng):
    """With many rows the accurate predictor gets all the weight, with few rows about half."""
    y, noise = rng.normal(size=(2, N))
    base, weight = np.zeros(N), np.ones(N)
    assert Blend.fit(y, base, y, weight).weight > 0.98
    assert Blend.fit(noise, base, y, weight).weight < 0.05
    few = slice(5)
    short = Blend.fit(y[few], base[few], y[few], weight[few])
    assert short.weight == pytest.approx(0.5, abs=0.05)


def test_shrinkage_is_the_significant_slope(rng):
    """Predictions twice too wide are halved, good ones kept, noise and reversed ones dropped."""
    y, noise = rng.normal(size=(2, N))
    signal = 0.5 * y + 0.5 * noise
    weight = np.ones(N)
    assert Blend.fit(2 * y, None, y, weight).shrinkage == pytest.approx(0.5)
    assert Blend.fit(0.5 * y, None, y, weight).shrinkage == pytest.approx(1.0)  # at most 1
    slope = (signal @ y) / (signal @ signal)
    assert Blend.fit(signal, None, y, weight).shrinkage == pytest.approx(min(slope, 1), rel=0.01)
    assert Blend.fit(-y, None, y, weight).shrinkage == 0.0
    y, weight = y[:100], weight[:100]
    kept = [Blend.fit(z, None, y, weight).shrinkage for z in rng.normal(size=(200, 100))]
    assert np.mean(np.equal(kept, 0)) > 0.9


def test_scale_of_sample_weights_does_not_matter(rng):
    """Weights a thousand times smaller give the same blend."""
    y, network, base = rng.normal(size=(3, 50))
    network, weight = network + y, rng.uniform(0.5, 2, size=50)
    expected = Blend.fit(network, base, y, weight)
    result = Blend.fit(network, base, y, 1e-3 * weight)
    assert result.weight == pytest.approx(expected.weight)
    assert result.shrinkage == pytest.approx(expected.shrinkage)


def test_constant_predictions_are_not_shrunk():
    """Without variance in the predictions weight and shrinkage are 1."""
    zero = np.zeros(10)
    assert Blend.fit(zero, None, zero, np.ones(10)) == Blend(1.0, 1.0)


def test_spread_between_members_is_not_shrunk(rng):
    """The mean of the members is shrunk toward that of the target, deviations from it are not."""
    network, base = rng.normal(size=(3, 10)), rng.normal(size=10)
    result = Blend(0.25, 0.5).combine(network, base)
    blended = base + 0.25 * (network - base)
    np.testing.assert_allclose(result.mean(0), 0.5 * blended.mean(0))
    np.testing.assert_allclose(result - result.mean(0), blended - blended.mean(0))
    np.testing.assert_allclose(Blend(0.25, 0.5).combine(network[0], base), 0.5 * blended[0])


def test_noise_is_predicted_by_its_mean(rng):
    """For a target of pure noise, shrinkage is strong and lowers the error."""
    X, y = rng.normal(size=(150, 5)), rng.normal(size=150)
    model = SpTGNNRegressor(random_state=0).fit(X[:100], y[:100])
    postprocessor = model.ensemble_.postprocessor
    assert postprocessor.blend.shrinkage < 0.5
    error = np.std(y[100:] - model.predict(X[100:]))
    without_shrinkage = Blend(postprocessor.blend.weight, 1.0)
    model.ensemble_.postprocessor = replace(postprocessor, blend=without_shrinkage)
    assert error < np.std(y[100:] - model.predict(X[100:]))
