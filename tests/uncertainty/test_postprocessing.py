"""What held-out rows teach, put together."""

import numpy as np

from sptgnn_sklearn.uncertainty.blending import Blend
from sptgnn_sklearn.uncertainty.calibration import Calibration
from sptgnn_sklearn.uncertainty.error_correlation import ErrorCorrelogram
from sptgnn_sklearn.uncertainty.postprocessing import (
    MemberPredictions,
    OutOfFoldPredictions,
    Postprocessor,
)

ROUND = Postprocessor(Blend(1.0, 1.0), Blend(1.0, 1.0), Calibration(), ErrorCorrelogram(0.0, 1.0))


def test_held_out_predictions_are_those_of_members_that_did_not_train():
    """A row that nobody held out takes the mean of all."""
    own = np.array([[1.0, np.nan, np.nan], [np.nan, 2.0, np.nan]])
    everyone = np.array([[5.0, 5.0, 5.0], [7.0, 7.0, 7.0]])
    held = OutOfFoldPredictions.from_members(own, own**2, everyone, everyone**2, base=None)
    np.testing.assert_allclose(held.mean, [1.0, 2.0, 6.0])
    np.testing.assert_allclose(held.noise, [1.0, 4.0, 37.0])
    np.testing.assert_allclose(held.between, 1.0)
    np.testing.assert_array_equal(held.count, [1, 1, 0])


def test_rows_that_nobody_held_out_teach_nothing():
    """What members saw in training would flatter them."""
    rng = np.random.RandomState(0)
    y, noise = rng.normal(size=(2, 400))
    count = np.repeat([1, 0], 200)
    flattered = OutOfFoldPredictions(
        np.where(count, noise, y), np.ones(400), np.zeros(400), count, None
    )
    positions = rng.uniform(size=(400, 2))
    settings = {"n_members": 1, "calibration": "scale", "rng": rng}
    found = Postprocessor.fit(flattered, y, np.ones(400), positions, None, **settings)
    assert found.blend.shrinkage < 0.3
    assert len(found.calibration.scores) == 200


def test_a_factor_scales_the_whole_variance():
    """The mean stays, noise and disagreement of the members grow alike."""
    members = MemberPredictions(np.array([[1.0], [3.0]]), np.ones((2, 1)))
    scaled = Postprocessor(
        ROUND.blend, ROUND.network_only, Calibration(level=np.log(4)), ROUND.correlation
    ).apply(members, None, None)
    np.testing.assert_allclose(scaled.mean[:, 0], [0.0, 4.0])
    np.testing.assert_allclose(scaled.variance, 4.0)
    for one, other in zip(scaled.total, ([2.0], [np.sqrt(8.0)]), strict=True):
        np.testing.assert_allclose(one, other)


def test_without_a_base_the_network_has_its_own_weights():
    """As if there never had been a base."""
    held = Postprocessor(Blend(0.5, 1.0), Blend(1.0, 0.9), Calibration(), ROUND.correlation)
    members = MemberPredictions(np.array([[2.0]]), np.ones((1, 1)))
    np.testing.assert_allclose(held.without_base().apply(members, None, None).mean, 1.8)
