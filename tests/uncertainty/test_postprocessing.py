"""Post-processing fitted on out-of-fold predictions."""

import numpy as np
import pytest

from sptgnn_sklearn.uncertainty.blending import Blend
from sptgnn_sklearn.uncertainty.calibration import Calibration
from sptgnn_sklearn.uncertainty.error_correlogram import ErrorCorrelogram
from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs
from sptgnn_sklearn.uncertainty.postprocessing import (
    MemberPredictions,
    OutOfFoldPredictions,
    Postprocessor,
)

IDENTITY = Postprocessor(Blend(), Blend(), Calibration(), ErrorCorrelogram(0.0, 1.0))


def test_out_of_fold_predictions_average_the_members_that_held_out_the_row():
    """A row that no member held out gets the mean of all members."""
    held_out_mean = np.array([[1.0, np.nan, np.nan], [np.nan, 2.0, np.nan]])
    mean = np.array([[5.0, 5.0, 5.0], [7.0, 7.0, 7.0]])
    predictions = OutOfFoldPredictions.from_members(
        held_out_mean, held_out_mean**2, mean, mean**2, base=None
    )
    np.testing.assert_allclose(predictions.mean, [1.0, 2.0, 6.0])
    np.testing.assert_allclose(predictions.noise, [1.0, 4.0, 37.0])
    np.testing.assert_allclose(predictions.between, 1.0)
    np.testing.assert_array_equal(predictions.count, [1, 1, 0])


def test_rows_without_out_of_fold_prediction_are_not_used():
    """Rows that all members trained on would make the network look too accurate."""
    rng = np.random.RandomState(0)
    y, noise = rng.normal(size=(2, 400))
    count = np.repeat([1, 0], 200)
    predictions = OutOfFoldPredictions(
        np.where(count, noise, y), np.ones(400), np.zeros(400), count, None
    )
    positions = rng.uniform(size=(400, 2))
    settings = {"n_members": 1, "calibration": "scale", "rng": rng}
    inputs = CalibrationInputs(positions=positions)
    result = Postprocessor.fit(predictions, y, np.ones(400), np.arange(400), inputs, **settings)
    assert result.blend.shrinkage < 0.3
    assert len(result.calibration.scores) == 200


def test_factor_scales_the_whole_variance():
    """Noise and spread between members are scaled alike; the mean is unchanged."""
    members = MemberPredictions(np.array([[1.0], [3.0]]), np.ones((2, 1)))
    scaled = Postprocessor(
        IDENTITY.blend,
        IDENTITY.network_only,
        Calibration(log_factor=np.log(4)),
        IDENTITY.correlation,
    ).apply(members, None, CalibrationInputs())
    np.testing.assert_allclose(scaled.mean[:, 0], [0.0, 4.0])
    np.testing.assert_allclose(scaled.variance, 4.0)
    for one, other in zip(scaled.total, ([2.0], [np.sqrt(8.0)]), strict=True):
        np.testing.assert_allclose(one, other)


def test_without_base_uses_the_blend_of_the_network_only():
    """The shrinkage fitted without a base model is applied."""
    fitted = Postprocessor(
        Blend((0.5, 0.5)), Blend(shrinkage=0.9), Calibration(), IDENTITY.correlation
    )
    members = MemberPredictions(np.array([[2.0]]), np.ones((1, 1)))
    np.testing.assert_allclose(
        fitted.without_base().apply(members, None, CalibrationInputs()).mean, 1.8
    )


def test_spread_between_members_counts_with_the_weight_of_the_network():
    """Base models have no members; their predictions are blended by their weights."""
    blend = Blend((0.5, 0.2, 0.3))
    fitted = Postprocessor(blend, Blend(), Calibration(), IDENTITY.correlation)
    predictions = OutOfFoldPredictions(
        np.array([2.0]), np.array([1.0]), np.array([4.0]), np.array([1]), np.array([[1.0], [-1.0]])
    )
    result = fitted.apply_held_out(predictions, CalibrationInputs())
    np.testing.assert_allclose(result.mean, [[0.5 * 2 + 0.2 - 0.3]])
    np.testing.assert_allclose(result.variance, [[1 + 0.25 * 4]])


def test_blend_is_fitted_to_rows_with_an_out_of_fold_prediction():
    """Of the base models too: on the other rows, the second one is exact."""
    rng = np.random.RandomState(1)
    y, noise = rng.normal(size=(2, 2000))
    used = np.arange(2000) < 1000
    base = np.where(used, [y, noise], [noise, y])
    ones = np.ones(2000)
    predictions = OutOfFoldPredictions(0 * y, ones, 0 * y, used.astype(int), base)
    settings = {"n_members": 1, "calibration": None, "rng": rng}
    inputs = CalibrationInputs(positions=rng.uniform(size=(2000, 2)))
    result = Postprocessor.fit(predictions, y, ones, np.arange(2000), inputs, **settings)
    assert result.blend.weights[1] > 0.75
    assert result.blend.weights[2] < 0.2
    assert result.network_only.weights == (1.0,)


@pytest.mark.parametrize("calibration", ["scale", "local"])
def test_measurement_errors_are_no_part_of_calibrated_variances(calibration):
    """Held-out errors of variance 0.25, with known noise of 0 or 4, are calibrated to 0.25."""
    rng = np.random.RandomState(0)
    n = 4000
    signal, noise = rng.normal(size=n), rng.choice([0.0, 4.0], size=n)
    y = signal + np.sqrt(0.25 + noise) * rng.normal(size=n)
    one, inputs = np.ones(n), CalibrationInputs(positions=rng.uniform(size=(n, 2)))
    predictions = OutOfFoldPredictions(signal, one, 0 * one, np.ones(n, dtype=int), None)
    settings = {"n_members": 1, "calibration": calibration, "rng": rng}
    known, unknown = (
        Postprocessor.fit(predictions, y, one, np.arange(n), inputs, **settings, noise=values)
        for values in (noise, None)
    )
    variance = known.apply_held_out(predictions, inputs).variance
    assert variance.mean() == pytest.approx(0.25, rel=0.1)
    assert unknown.apply_held_out(predictions, inputs).variance.mean() > 1.5
    assert known.blend.shrinkage > 0.95


def test_blend_weights_rows_by_precision():
    """The predictor that is right where measurements are exact gets most of the weight."""
    rng = np.random.RandomState(0)
    n = 3000
    y = rng.normal(size=n)
    exact = np.arange(n) % 2 == 0
    good, bad = np.where(exact, y, 0.0), np.where(exact, 0.0, y)
    count, one = np.ones(n, dtype=int), np.ones(n)
    inputs = CalibrationInputs(positions=rng.uniform(size=(n, 2)))
    predictions = OutOfFoldPredictions(good, one, 0 * one, count, bad[None])
    settings = {"n_members": 1, "calibration": None, "rng": rng}
    weights = [
        Postprocessor.fit(
            predictions, y, one, np.arange(n), inputs, **settings, noise=noise
        ).blend.network_weight
        for noise in (None, np.where(exact, 0.0, 9.0))
    ]
    assert weights[0] == pytest.approx(0.5, abs=0.05) and weights[1] > 0.8
