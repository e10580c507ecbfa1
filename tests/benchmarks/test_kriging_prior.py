"""Kriging prior regression."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from benchmarks.kriging_prior import KrigingPriorRegressor, LocalOrdinaryKriging

pytest.importorskip("skgstat")
rng = np.random.default_rng(0)
XY = rng.uniform(0, 1000, (120, 2))
Y = np.sin(XY[:, 0] / 200) + np.cos(XY[:, 1] / 200) + rng.normal(0, 0.1, 120)


def test_left_out_predictions_use_other_places_only():
    """They equal predictions of a model without the place, and its own value has no effect."""
    kriging = LocalOrdinaryKriging().fit(XY, Y)
    left_out = kriging.predict_left_out()
    for row in (0, 57, 119):
        others = np.arange(120) != row
        without = LocalOrdinaryKriging().fit(XY[others], Y[others])
        without.semivariance_ = kriging.semivariance_
        np.testing.assert_allclose(left_out[row], without.predict(XY[[row]])[0], rtol=1e-9)


def test_training_places_are_interpolated_exactly():
    """A query at a sample has its value and no error; elsewhere the error is positive."""
    kriging = LocalOrdinaryKriging().fit(XY, Y)
    predicted = kriging.predict(XY)
    np.testing.assert_allclose(predicted[:, 0], Y, atol=1e-8)
    np.testing.assert_allclose(predicted[:, 1], 0, atol=1e-6)
    assert (kriging.predict(XY + 0.5)[:, 1] > 0).all()


def test_rows_at_one_place_are_left_out_together():
    """Values at the same place are averaged, and none of them is in its own prior."""
    xy, y = np.vstack([XY, XY[:10]]), np.concatenate([Y, Y[:10] + 1])
    kriging = LocalOrdinaryKriging().fit(xy, y)
    np.testing.assert_allclose(kriging.predict(XY[:10])[:, 0], Y[:10] + 0.5, atol=1e-8)
    prior = kriging.predict_left_out()
    np.testing.assert_array_equal(prior[:10], prior[120:])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("values", [np.ones(120), np.r_[1.0, np.zeros(119)]])
def test_targets_without_spatial_signal_have_finite_priors(values):
    """Constant targets and single outliers are kriged without failure."""
    kriging = LocalOrdinaryKriging().fit(XY, values)
    assert np.isfinite(kriging.predict_left_out()).all()
    assert np.isfinite(kriging.predict(XY[:5] + 1)).all()


def test_any_regressor_has_two_more_covariates():
    """The wrapped regressor is fitted on left-out priors and predicts from all rows."""
    X = pd.DataFrame(XY, columns=["x", "y"])
    model = KrigingPriorRegressor(LinearRegression()).fit(X[:100], Y[:100])
    names = ["x", "y", "kriged_target", "kriging_error"]
    assert list(model.regressor_.feature_names_in_) == names
    assert np.corrcoef(model.predict(X[100:]), Y[100:])[0, 1] > 0.8
