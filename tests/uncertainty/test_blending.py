"""Weights of base and network: who is right on held-out rows counts, noise does not."""

from dataclasses import replace

import numpy as np
import pytest

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.uncertainty.blending import Stacking

N = 5000


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_the_blend_follows_who_is_right(rng):
    """Many held-out rows decide between base and network; few leave them equal shares."""
    y, noise = rng.normal(size=(2, N))
    base, weight = np.zeros(N), np.ones(N)
    assert Stacking.learn(y, base, y, weight).blend > 0.98
    assert Stacking.learn(noise, base, y, weight).blend < 0.05
    few = slice(5)
    short = Stacking.learn(y[few], base[few], y[few], weight[few])
    assert short.blend == pytest.approx(0.5, abs=0.05)


def test_the_trust_is_the_slope_that_is_not_by_chance(rng):
    """A prediction twice too wide is halved, a true one kept, noise and its opposite dropped."""
    y, noise = rng.normal(size=(2, N))
    signal = 0.5 * y + 0.5 * noise
    weight = np.ones(N)
    assert Stacking.learn(2 * y, None, y, weight).trust == pytest.approx(0.5)
    assert Stacking.learn(0.5 * y, None, y, weight).trust == pytest.approx(1.0)  # never widened
    slope = (signal @ y) / (signal @ signal)
    assert Stacking.learn(signal, None, y, weight).trust == pytest.approx(min(slope, 1), rel=0.01)
    assert Stacking.learn(-y, None, y, weight).trust == 0.0
    y, weight = y[:100], weight[:100]
    kept = [Stacking.learn(z, None, y, weight).trust for z in rng.normal(size=(200, 100))]
    assert np.mean(np.equal(kept, 0)) > 0.9


def test_the_unit_of_weights_does_not_matter(rng):
    """Weights a thousand times smaller are the same weights."""
    y, network, base = rng.normal(size=(3, 50))
    network, weight = network + y, rng.uniform(0.5, 2, size=50)
    expected = Stacking.learn(network, base, y, weight)
    found = Stacking.learn(network, base, y, 1e-3 * weight)
    assert found.blend == pytest.approx(expected.blend)
    assert found.trust == pytest.approx(expected.trust)


def test_a_constant_prediction_is_left_alone():
    """No variance, nothing to judge."""
    zero = np.zeros(10)
    assert Stacking.learn(zero, None, zero, np.ones(10)) == Stacking(1.0, 1.0)


def test_members_keep_their_disagreement(rng):
    """The mean of members is drawn to that of the target, and their distances to it stay."""
    network, base = rng.normal(size=(3, 10)), rng.normal(size=10)
    found = Stacking(0.25, 0.5).join(network, base)
    blended = base + 0.25 * (network - base)
    np.testing.assert_allclose(found.mean(0), 0.5 * blended.mean(0))
    np.testing.assert_allclose(found - found.mean(0), blended - blended.mean(0))
    np.testing.assert_allclose(Stacking(0.25, 0.5).join(network[0], base), 0.5 * blended[0])


def test_a_target_of_noise_is_predicted_by_its_mean(rng):
    """Where nothing can be learnt, predictions stay close to the mean of the target."""
    X, y = rng.normal(size=(150, 5)), rng.normal(size=150)
    model = SpTGNNRegressor(random_state=0).fit(X[:100], y[:100])
    judgement = model.ensemble_.judgement
    assert judgement.stacking.trust < 0.5
    error = np.std(y[100:] - model.predict(X[100:]))
    trusting = Stacking(judgement.stacking.blend, 1.0)
    model.ensemble_.judgement = replace(judgement, stacking=trusting)
    assert error < np.std(y[100:] - model.predict(X[100:]))
