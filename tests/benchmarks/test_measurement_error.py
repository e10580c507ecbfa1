"""Benchmark of known measurement errors on simulated surveys."""

import numpy as np
import pytest
from small_models import make_regressor

from benchmarks.measurement_error import (
    make_noisy_survey,
    mean_scores,
    score_base_models,
    score_predictions,
)
from sptgnn_sklearn import SpTGNNRegressor


def test_errors_have_the_given_size_and_share():
    """Natural noise has a standard deviation of 0.6, errors are twice as large in half the rows."""
    survey = make_noisy_survey(20_000, 0)
    noisy = (survey.X["lab_sd"] > 0).to_numpy()
    assert noisy.mean() == pytest.approx(0.5, abs=0.02)
    assert np.std(survey.true - survey.smooth) == pytest.approx(0.6, rel=0.03)
    error = survey.measured - survey.true
    assert error[noisy].std() == pytest.approx(1.2, rel=0.03)
    np.testing.assert_array_equal(error[~noisy], 0)
    part = survey.take(slice(10, 30))
    np.testing.assert_array_equal(part.measured, survey.measured[10:30])
    assert len(part.X) == 20


def test_scores_of_both_models():
    """Both have all scores, and the model without the role has wider intervals."""
    settings = {"base_estimator": None, "hidden_size": 8, "max_epochs": 6, "random_state": 0}
    known, unknown = (
        score_predictions(make_regressor(noise_std=role, **settings), 150, 0)
        for role in ("lab_sd", None)
    )
    assert known.keys() == unknown.keys()
    assert known["std_over_rmse"] < unknown["std_over_rmse"]
    assert mean_scores([{"a": 1.0}, {"a": 2.0}]) == {"a": 1.5}


def test_weights_help_where_errors_are_large():
    """Each base model explains more of the smooth function with errors of three times the noise."""
    scores = score_base_models(200, 0, 3.0, 0.5)
    for name in ("xgboost", "boosted forests", "extra-trees", "gaussian_process"):
        assert scores[f"{name}, with"] > scores[f"{name}, without"]


@pytest.mark.slow
def test_predictions_are_those_of_true_values():
    """With the role the std is near the RMSE and intervals are calibrated; without, too wide."""
    known, unknown = (
        mean_scores(
            [
                score_predictions(SpTGNNRegressor(noise_std=role, random_state=seed), 600, seed)
                for seed in (0, 1)
            ]
        )
        for role in ("lab_sd", None)
    )
    assert known["std_over_rmse"] == pytest.approx(1, abs=0.15)
    for name in ("coverage_true", "coverage_exact", "coverage_noisy"):
        assert known[name] == pytest.approx(0.9, abs=0.05)
    assert unknown["coverage_true"] > 0.96
    assert unknown["std_over_rmse"] > 1.3
    assert known["r2_smooth"] > unknown["r2_smooth"]
