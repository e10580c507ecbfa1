"""Gains of the parts of a blend on simulated predictions."""

import numpy as np
import pytest

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.held_out_gains import held_out_gains
from sptgnn_sklearn.uncertainty.postprocessing import OutOfFoldPredictions

N = 4000


def predictions(network, base, count=None):
    zero = np.zeros(len(network))
    count = np.ones(len(network), dtype=int) if count is None else count
    return OutOfFoldPredictions(network, zero + 1, zero, count, base)


def test_gains_are_differences_of_r2():
    """Two independent halves of the target each gain half of its variance, a copy nothing."""
    first, second = np.random.default_rng(0).normal(size=(2, N))
    y = (first + second) / np.sqrt(2)
    found = held_out_gains(
        predictions(first / np.sqrt(2), np.array([second * np.sqrt(2), np.zeros(N)])),
        np.zeros(N),
        ("trees", "nothing"),
        y,
        np.ones(N),
    )
    assert list(found) == ["graph", "network", "trees", "nothing"]
    assert found["trees"] > 0.2
    assert found["graph"] == pytest.approx(found["network"], abs=0.05)
    assert found["nothing"] < found["trees"]
    copied = held_out_gains(predictions(y, np.array([y, y])), None, ("a", "b"), y, np.ones(N))
    assert list(copied.values()) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)


def test_rows_that_no_member_held_out_do_not_count():
    """Gains are those of the held-out rows, with their sample weights."""
    rng = np.random.default_rng(0)
    y, other = rng.normal(size=(2, N))
    count = (np.arange(N) < N // 2).astype(int)
    mixed = np.where(count > 0, y, other)
    found = held_out_gains(predictions(mixed, None, count), other, (), y, np.ones(N))
    assert found["graph"] == pytest.approx(1.0, abs=0.02)
    assert held_out_gains(predictions(y, None, 0 * count), other, (), y, np.ones(N)) == {}
    assert held_out_gains(predictions(y, None), other, (), np.zeros(N), np.ones(N)) == {}


def test_fitted_models_say_their_gains():
    """Attribute and notebook summary have the graph, the network and the base models."""
    survey = make_soil_survey(n_samples=80, random_state=0)
    model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, random_state=0)
    model.fit(survey.data, survey.target)
    names = ["graph", "network", "kriging_boosting", "kriging_extra_trees", "gaussian_process"]
    assert list(model.held_out_gains_) == names
    assert "kriging_boosting" in model._repr_html_()
    alone = model.set_params(relations=(), base_estimator=None).fit(survey.data, survey.target)
    assert alone.held_out_gains_ == {}
