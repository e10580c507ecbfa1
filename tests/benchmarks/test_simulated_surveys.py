"""Simulated surveys as benchmark tables."""

import numpy as np

from benchmarks.simulated_surveys import SIMULATED_SURVEYS, make_simulated_table


def test_simulation_is_reproducible():
    """Two calls return the same target, with five block folds."""
    survey = SIMULATED_SURVEYS["spatial field only"]
    one, other = make_simulated_table(survey), make_simulated_table(survey)
    np.testing.assert_array_equal(one.y, other.y)
    assert sorted(np.unique(one.folds["block"])) == list(range(5))


def test_parameters_change_the_survey():
    """A survey with many covariates has more columns than the default one."""
    n_columns = {
        name: make_simulated_table(SIMULATED_SURVEYS[name]).X.shape[1]
        for name in ("default survey", "many covariates")
    }
    assert n_columns["many covariates"] > n_columns["default survey"] + 50
