"""Weights and shrinkage of the blend on known signals and on noise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.uncertainty.blending import Blend

N = 5000


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_weight_follows_accuracy_on_held_out_rows(rng):
    """With many rows the accurate predictor gets nearly all weight, with few rows about half."""
    y, noise = rng.normal(size=(2, N))
    base, weight = np.zeros((1, N)), np.ones(N)
    assert Blend.fit(y, base, y, weight).network_weight > 0.95
    assert Blend.fit(noise, base, y, weight).network_weight < 0.05
    short = Blend.fit(y[:5], base[:, :5], y[:5], weight[:5])
    assert short.network_weight == pytest.approx(0.5, abs=0.05)


def test_weights_minimize_the_error_with_a_prior(rng):
    """Of all convex weights; equal weights count as 300 rows of average disagreement."""
    y, weight = rng.normal(size=400), rng.uniform(0.5, 2, 400)
    predictions = y + rng.normal(size=(4, 400)) * [[0.5], [0.7], [1.0], [3.0]]
    weights = np.array(Blend.fit(predictions[0], predictions[1:], y, weight).weights)
    weight = weight / weight.mean()

    def loss(w):
        deviation = (w - 0.25) @ (predictions - predictions.mean(0))
        return weight @ ((y - w @ predictions) ** 2 + 300 / 400 * deviation**2)

    assert weights.sum() == pytest.approx(1)
    expected = minimize(
        loss,
        np.full(4, 0.25),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    np.testing.assert_allclose(weights, expected.x, atol=1e-4)
    assert weights[0] > weights[1] > weights[2] > weights[3]


def test_weights_are_not_negative(rng):
    """A prediction with the wrong sign gets none, although it would widen the others."""
    y, *noise = rng.normal(size=(3, N))
    network, other = 0.5 * y + 0.1 * np.array(noise)
    weights = Blend.fit(network, np.array([other, -2 * y]), y, np.ones(N)).weights
    assert weights[2] == 0
    assert weights[0] == pytest.approx(0.5, abs=0.02)


def test_models_with_equal_predictions_share_their_weight(rng):
    """The problem has many solutions, and the prior chooses the equal one."""
    y, noise = rng.normal(size=(2, N))
    weights = Blend.fit(noise, np.array([y, y]), y, np.ones(N)).weights
    assert weights[1] + weights[2] > 0.95
    blended = Blend(weights).combine(noise, np.array([y, y]))
    np.testing.assert_allclose(blended, weights[0] * noise + (1 - weights[0]) * y)


def test_shrinkage_is_the_largest_plausible_slope(rng):
    """Predictions twice too wide are halved, good ones kept, noise and reversed ones dropped."""
    y, noise = rng.normal(size=(2, N))
    signal = y + noise
    weight = np.ones(N)
    assert Blend.fit(2 * y, None, y, weight).shrinkage == pytest.approx(0.5)
    assert Blend.fit(0.5 * y, None, y, weight).shrinkage == pytest.approx(1.0)  # at most 1
    slope = (signal @ y) / (signal @ signal)
    error = np.sqrt(np.mean((y - slope * signal) ** 2) / (signal @ signal))
    expected = pytest.approx(slope + 2 * error, rel=1e-3)
    assert Blend.fit(signal, None, y, weight).shrinkage == expected
    assert Blend.fit(-y, None, y, weight).shrinkage == 0.0
    y, weight = y[:100], weight[:100]
    kept = [Blend.fit(z, None, y, weight).shrinkage for z in rng.normal(size=(200, 100))]
    assert np.mean(np.equal(kept, 0)) > 0.9


def test_shrinkage_grows_with_significance():
    """It is 0 up to the critical t-value of 2.575 and about 1 for twice that."""
    n = 100
    predicted = np.tile([1.0, -1.0], n // 2)
    noise = np.repeat([1.0, -1.0], n // 2)  # orthogonal to the predictions

    def shrinkage(t):
        return Blend.fit(predicted, None, t / np.sqrt(n) * predicted + noise, np.ones(n)).shrinkage

    assert shrinkage(2.5) == 0.0
    assert 0 < shrinkage(2.6) < 0.1
    t = 2.575 * 2
    assert shrinkage(t) == pytest.approx((t + 2) / np.sqrt(n) * (1 - 2**-4), rel=1e-3)


def test_scale_of_sample_weights_does_not_matter(rng):
    """Weights a thousand times smaller give the same blend."""
    y, network = rng.normal(size=(2, 50))
    network, base, weight = network + y, rng.normal(size=(2, 50)), rng.uniform(0.5, 2, size=50)
    expected = Blend.fit(network, base, y, weight)
    result = Blend.fit(network, base, y, 1e-3 * weight)
    assert result.weights == pytest.approx(expected.weights)
    assert result.shrinkage == pytest.approx(expected.shrinkage)


def test_constant_predictions_are_not_shrunk():
    """Without variance in the predictions shrinkage and the weight of the network are 1."""
    zero = np.zeros(10)
    assert Blend.fit(zero, None, zero, np.ones(10)) == Blend((1.0,), 1.0)
    both = np.zeros((2, 10))
    assert Blend.fit(zero, both, zero, np.ones(10)) == Blend((1.0, 0.0, 0.0), 1.0)


def test_spread_between_members_is_not_shrunk(rng):
    """The mean of the members is shrunk toward that of the target, deviations from it are not."""
    network, base = rng.normal(size=(3, 10)), rng.normal(size=(2, 10))
    blend = Blend((0.25, 0.45, 0.3), 0.5)
    result = blend.combine(network, base)
    blended = 0.25 * network + 0.45 * base[0] + 0.3 * base[1]
    np.testing.assert_allclose(result.mean(0), 0.5 * blended.mean(0))
    np.testing.assert_allclose(result - result.mean(0), blended - blended.mean(0))
    np.testing.assert_allclose(blend.combine(network[0], base), 0.5 * blended[0])


def test_missing_predictions_stay_missing():
    """Also those of a base model of weight 0; other rows do not change."""
    base = np.array([[1.0, np.nan], [np.nan, 2.0]])
    result = Blend((0.5, 0.5, 0.0)).combine(np.array([3.0, 4.0]), base)
    assert np.isnan(result).all()
    result = Blend((0.5, 0.5)).combine(np.array([3.0, 4.0]), base[:1])
    np.testing.assert_array_equal(result, [2.0, np.nan])


def test_noise_is_predicted_by_its_mean():
    """For a target of pure noise, shrinkage is strong and lowers the error."""
    rng = np.random.RandomState(1)
    X, y = rng.normal(size=(150, 5)), rng.normal(size=150)
    model = SpTGNNRegressor(n_estimators=2, max_epochs=10, random_state=0).fit(X[:100], y[:100])
    postprocessor = model.ensemble_.postprocessor
    assert postprocessor.blend.shrinkage < 0.5
    error = np.std(y[100:] - model.predict(X[100:]))
    without_shrinkage = replace(postprocessor.blend, shrinkage=1.0)
    model.ensemble_.postprocessor = replace(postprocessor, blend=without_shrinkage)
    assert error < np.std(y[100:] - model.predict(X[100:]))
