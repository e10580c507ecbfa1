"""Stated uncertainty on simulated surveys whose truth is known; the oracle by hand."""

import numpy as np
import pytest

from benchmarks.known_variance import SIMULATED_SURVEYS, compare, epistemic_away, epistemic_by_rows, make_known_survey
from sptgnn_sklearn import SpTGNNRegressor


def test_the_oracle_is_right():
    """Variances add up to that of the target, and the noise follows its covariate."""
    known = make_known_survey(400, 0, field_sd=3.0, vary=0.5)
    assert known.field_variance.min() >= 0
    assert known.field_variance.max() <= 9.0 + 1e-9
    assert known.noise_sd.min() < 0.5 * known.noise_sd.max()
    spread = np.std(known.y) ** 2
    assert spread == pytest.approx(np.var(known.mean) + np.mean(known.noise_sd**2), rel=0.35)
    none = make_known_survey(100, 0, field_sd=0.0, vary=0.0)
    np.testing.assert_array_equal(none.field_variance, 0)
    np.testing.assert_allclose(none.noise_sd, 3.0)


@pytest.mark.slow
def test_the_variance_of_an_oracle_is_recovered():
    """Correlation above 0.8 in each world; over the worlds the scale is right within 10 %."""
    found = [
        compare(make_known_survey(3000, 0, **world), SpTGNNRegressor(random_state=0))
        for world in SIMULATED_SURVEYS.values()
    ]
    assert min(one["correlation"] for one in found) > 0.8
    assert min(one["aleatoric_and_noise"] for one in found) > 0.8
    assert np.mean([one["scale"] for one in found]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_epistemic_falls_with_rows_and_rises_away():
    """Members agree where there is much to learn from, and disagree away from it."""
    by_rows = epistemic_by_rows(0, sizes=(200, 2000))
    assert by_rows["2000"] < 0.8 * by_rows["200"]
    away = epistemic_away(0)
    assert away["away"] > 1.15 * away["among rows"]
    assert away["std away"] > away["std among rows"]
