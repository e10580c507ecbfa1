"""Simulated surveys with known noise."""

import numpy as np
import pytest

from benchmarks.noise_worlds import (
    N_TEST,
    N_TRAINING,
    NOISE_WORLDS,
    make_noise_world,
    noise_world_source,
)
from sptgnn_sklearn.datasets import make_soil_survey


@pytest.mark.parametrize("name", NOISE_WORLDS)
def test_noise_has_its_standard_deviation(name):
    """Target minus mean, over the known standard deviation, is standard normal in each quarter."""
    data = make_noise_world(name, 1)
    plain = {"season_sd": 0.0, "trend_sd": 0.0, "noise_sd": 0.0, "noise_variation": 0.0}
    plain |= NOISE_WORLDS[name].parameters
    survey = make_soil_survey(N_TRAINING + N_TEST, random_state=1, **plain)
    noise_sd = NOISE_WORLDS[name].noise_sd(data.X)
    score = (data.y - survey.truth["mean"].to_numpy()) / noise_sd
    for rows in np.array_split(np.argsort(noise_sd, kind="stable"), 4):
        assert score[rows].std() == pytest.approx(1.0, abs=0.08)
        assert score[rows].mean() == pytest.approx(0.0, abs=0.12)
    assert np.sqrt(np.mean(noise_sd**2)) == pytest.approx(3.0, abs=0.5)
    assert (np.ptp(noise_sd) == 0) == (name == "constant noise")


def test_first_rows_are_for_training():
    """1,200 rows are never tested, and 2,000 are."""
    source = noise_world_source("noise by region", 0)
    assert source.fold_kinds == ("random",)
    folds = source.load().folds["random"]
    np.testing.assert_array_equal(folds, np.repeat([-1, 0], [1200, 2000]))
