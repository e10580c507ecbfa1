"""Training that goes wrong is noticed, tried again more slowly, and then told."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.training.divergence import TrainingDivergedError

SURVEY = make_soil_survey(n_samples=220, random_state=0)
X, Y = SURVEY.data, SURVEY.target
SMALL = {"n_members": 2, "hidden_size": 8, "n_neighbors": 4, "base": None, "random_state": 0}


def model(**settings):
    return SpTGNNRegressor(**SMALL | {"max_epochs": 3} | settings)


class Spoil(Callback):
    """Does harm to the network at the end of the second epoch of the first so many trainings."""

    def __init__(self, harm, times):
        self.harm, self.times = harm, times

    def on_train_begin(self, net, **kwargs):
        self.times -= 1

    def on_batch_end(self, net, **kwargs):
        if self.times >= 0 and len(net.history) == 2:
            with torch.no_grad():
                self.harm(net.module_)


def not_a_number(graph):
    next(graph.network.parameters())[0, 0] = torch.nan


def blow_up(graph):
    for parameter in graph.network.parameters():
        parameter.mul_(30)


def no_slope(graph):
    for network in (graph.network, graph.ema_network):
        for name, parameter in network.named_parameters():
            if name.split(".")[0] in ("mean_head", "neighbor_target_head", "baseline"):
                parameter.zero_()


def one_expert(graph):
    for network in (graph.network, graph.ema_network):
        network.mixture.router.weight.zero_()
        network.mixture.router.bias.zero_()[..., 1] = 50.0


@pytest.mark.parametrize(
    ("harm", "told", "settings"),
    [
        (not_a_number, "became", {}),
        (blow_up, "loss", {}),
        (no_slope, "the same value for all rows", {"n_iter_no_change": None, "max_epochs": 2}),
        (one_expert, "expert 1 takes all rows", {"n_iter_no_change": None, "max_epochs": 2}),
    ],
)
def test_faults_are_retried_once_and_then_told(harm, told, settings):
    """Harm done once: a warning, and a sound model. Done twice: an error that says what to try."""
    with pytest.warns(UserWarning, match=rf"{told}.*starts again with learning_rate=0\.0002"):
        good = model(callbacks=[Spoil(harm, 1)], **settings).fit(X, Y)
    assert np.isfinite(good.predict(X)).all()
    with (
        pytest.warns(UserWarning, match="starts again"),
        pytest.raises(TrainingDivergedError, match=rf"{told}.*did not help.*learning_rate"),
    ):
        model(callbacks=[Spoil(harm, 2)], **settings).fit(X, Y)


def test_a_learning_rate_that_is_much_too_high():
    """The real thing: it ends in a sound model at the lower rate, or in the error."""
    with pytest.warns(UserWarning, match="starts again"), pytest.raises(TrainingDivergedError):
        model(learning_rate=1e6, max_epochs=6).fit(X, Y)


def test_sound_fits_are_left_alone():
    """Few rows, constant targets, one place, one expert: nothing to complain of."""
    few = X.head(12)
    model(max_epochs=1).fit(few, Y[:12])
    model().fit(X, np.full(len(Y), 3.0))
    model(n_experts=1, top_k=1).fit(X, Y)


def test_rows_without_a_finite_prediction_are_named(monkeypatch):
    """Never a silent NaN."""
    fitted = model().fit(X, Y)
    predict = type(fitted.ensemble_).predict

    def spoiled(self, table):
        found = predict(self, table)
        found.mean[0, 3] = np.nan
        return found

    monkeypatch.setattr(type(fitted.ensemble_), "predict", spoiled)
    with pytest.raises(ValueError, match=r"1 of 220 rows.*positions \[3\]"):
        fitted.predict(X)
