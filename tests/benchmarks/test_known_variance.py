"""Predicted variance on simulated surveys with known variance."""

import numpy as np
import pytest

from benchmarks.known_variance import (
    KNOWN_SURVEYS,
    compare_with_oracle,
    epistemic_by_region,
    epistemic_by_sample_size,
    make_known_survey,
)
from sptgnn_sklearn import SpTGNNRegressor


def test_known_variances_add_up_to_that_of_the_target():
    """The kriging variance is at most that of the field; the noise varies by covariate."""
    survey = make_known_survey(400, 0, field_sd=3.0, noise_variation=0.5)
    assert survey.field_variance.min() >= 0
    assert survey.field_variance.max() <= 9.0 + 1e-9
    assert survey.noise_sd.min() < 0.5 * survey.noise_sd.max()
    expected = np.var(survey.mean) + np.mean(survey.noise_sd**2)
    assert np.var(survey.y) == pytest.approx(expected, rel=0.35)


def test_no_field_and_constant_noise():
    """Without a field the kriging variance is 0."""
    survey = make_known_survey(100, 0, field_sd=0.0, noise_variation=0.0)
    np.testing.assert_array_equal(survey.field_variance, 0)
    np.testing.assert_allclose(survey.noise_sd, 3.0)


@pytest.mark.slow
def test_variance_of_the_oracle_is_recovered():
    """Correlations exceed 0.8 on each survey; the mean ratio of variances is within 10 % of 1."""
    results = [
        compare_with_oracle(make_known_survey(3000, 0, **kind), SpTGNNRegressor(random_state=0))
        for kind in KNOWN_SURVEYS.values()
    ]
    assert min(scores["correlation_with_oracle"] for scores in results) > 0.8
    assert min(scores["correlation_of_aleatoric_and_noise"] for scores in results) > 0.8
    ratios = [scores["variance_over_oracle"] for scores in results]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_epistemic_variance_decreases_with_rows_and_increases_with_distance():
    """More rows reduce the epistemic part; it is larger where there are no rows."""
    by_size = epistemic_by_sample_size(0, sizes=(200, 2000))
    assert by_size["2000"] < 0.8 * by_size["200"]
    by_region = epistemic_by_region(0)
    assert by_region["epistemic, unsampled"] > 1.15 * by_region["epistemic, sampled"]
    assert by_region["std, unsampled"] > by_region["std, sampled"]
