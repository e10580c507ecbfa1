"""Predictive distribution in the unit of y, for Gaussian members with known answers."""

import numpy as np
import pytest
from scipy.stats import norm

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.table.target_scaling import TargetScaler
from sptgnn_sklearn.uncertainty.calibration import Calibration
from sptgnn_sklearn.uncertainty.correlated_draws import SCORES
from sptgnn_sklearn.uncertainty.postprocessing import MemberPredictions
from sptgnn_sklearn.uncertainty.predictive_distribution import PredictiveDistribution

SCALER = TargetScaler(None, 10.0, 2.0)


def distribution(mean, variance, **options):
    members = MemberPredictions(np.array(mean, dtype=float), np.array(variance, dtype=float))
    return PredictiveDistribution(
        members, SCALER, Calibration(scores=np.arange(-49.0, 50)), **options
    )


def test_moments_are_decomposed_in_the_unit_of_y():
    """Two members at -1 and 3 with variance 4 and 16: noise is the mean variance."""
    mean, aleatoric, epistemic = distribution([[-1.0], [3.0]], [[4.0], [16.0]]).moments()
    np.testing.assert_allclose(mean, 10 + 2 * 1.0, rtol=1e-6)
    np.testing.assert_allclose(aleatoric, 2 * np.sqrt(10.0))
    np.testing.assert_allclose(epistemic, 2 * 2.0)


def test_quantiles_and_draws_of_one_member_are_normal():
    """A single member gives the quantiles of a normal distribution."""
    one = distribution([[1.0]], [[4.0]])
    levels = np.array([0.05, 0.5, 0.9])
    np.testing.assert_allclose(one.quantiles(levels)[0], norm.ppf(levels, 12.0, 4.0), rtol=1e-6)
    scores = SCORES[None, 3:-3]
    np.testing.assert_allclose(one.draw(scores), 12 + 4 * scores, atol=1e-6)


def test_interval_is_conformal():
    """The interval spans the order statistics of the standardized errors around the mean."""
    low, high = distribution([[1.0]], [[4.0]]).interval(0.9)[0]
    np.testing.assert_allclose([low, high], [10 + 2 * (1 + 2 * x) for x in (-45.0, 45.0)])


def test_bounds_clip_all_outputs():
    """Means, quantiles, intervals and draws stay within the bounds; None leaves a side open."""
    one = distribution([[1.0]], [[4.0]], bounds=(11.0, None))
    assert one.moments()[0] == 12.0
    assert one.quantiles(np.array([0.01, 0.99])).min() == 11.0
    assert one.interval(0.9).min() == 11.0 and one.interval(0.9).max() > 100
    assert one.draw(np.array([[-3.0, 3.0]])).min() == 11.0


def test_rows_without_finite_prediction_are_named():
    """The error gives the number and the positions of the rows."""
    with pytest.raises(ValueError, match=r"1 of 3 rows.*\[1\]"):
        distribution([[0.0, np.nan, 0.0]], np.ones((1, 3)))


def test_predict_raises_for_rows_without_finite_prediction(monkeypatch):
    """The estimator returns no NaN if a member's prediction is not finite."""
    survey = make_soil_survey(n_samples=60, random_state=0)
    model = SpTGNNRegressor(n_estimators=2, base_estimator=None, max_epochs=2, random_state=0)
    model.fit(survey.data, survey.target)
    predict = type(model.ensemble_).predict

    def predict_nan(self, table):
        result = predict(self, table)
        result.mean[0, 3] = np.nan
        return result

    monkeypatch.setattr(type(model.ensemble_), "predict", predict_nan)
    for method in (model.predict, model.predict_uncertainty, model.predict_interval):
        with pytest.raises(ValueError, match=r"1 of 60 rows.*\[3\]"):
            method(survey.data)
