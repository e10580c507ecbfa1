"""Diverged training is detected, repeated with a lower learning rate, and then raises."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.training.divergence import TrainingDivergedError

SURVEY = make_soil_survey(n_samples=220, random_state=0)
X, Y = SURVEY.data, SURVEY.target
SETTINGS = {
    "n_estimators": 2,
    "n_neighbors": 4,
    "base_estimator": None,
    "max_epochs": 3,
    "random_state": 0,
}


def model(network=None, **settings):
    """Return a small ensemble without base model."""
    config = NetworkConfig(hidden_size=8, **(network or {}))
    return SpTGNNRegressor(**SETTINGS | settings, network=config)


class Corrupt(Callback):
    """Change the weights in the second epoch of the first `n_runs` trainings."""

    def __init__(self, change, n_runs):
        self.change, self.n_runs = change, n_runs

    def on_train_begin(self, net, **kwargs):
        self.n_runs -= 1

    def on_batch_end(self, net, **kwargs):
        if self.n_runs >= 0 and len(net.history) == 2:
            with torch.no_grad():
                self.change(net.module_)


def set_nan(module):
    next(module.network.parameters())[0, 0] = torch.nan


def multiply(module):
    for parameter in module.network.parameters():
        parameter.mul_(30)


def predict_constant(module):
    for network in (module.network, module.ema_network):
        for name, parameter in network.named_parameters():
            if name.split(".")[0] in ("mean_head", "neighbor_target_head", "baseline"):
                parameter.zero_()


def select_one_expert(module):
    for network in (module.network, module.ema_network):
        network.mixture.router.weight.zero_()
        network.mixture.router.bias.zero_()[..., 1] = 50.0


@pytest.mark.parametrize(
    ("change", "message", "settings"),
    [
        (set_nan, "became", {}),
        (multiply, "loss", {}),
        (predict_constant, "same value for all rows", {"n_iter_no_change": None, "max_epochs": 2}),
        (select_one_expert, "expert 1 takes all", {"n_iter_no_change": None, "max_epochs": 2}),
    ],
)
def test_diverged_training_is_repeated_once(change, message, settings):
    """Divergence in one run gives a warning and a valid model, in two runs an error."""
    with pytest.warns(UserWarning, match=rf"{message}.*learning_rate=0\.0002"):
        fitted = model(callbacks=[Corrupt(change, 1)], **settings).fit(X, Y)
    assert np.isfinite(fitted.predict(X)).all()
    with (
        pytest.warns(UserWarning, match=r"learning_rate=0\.0002"),
        pytest.raises(TrainingDivergedError, match=rf"{message}.*learning_rate"),
    ):
        model(callbacks=[Corrupt(change, 2)], **settings).fit(X, Y)


def test_learning_rate_that_is_much_too_high():
    """A learning rate of a million diverges, with a tenth of it, too."""
    with pytest.warns(UserWarning, match="1e.05"), pytest.raises(TrainingDivergedError):
        model(learning_rate=1e6, max_epochs=6).fit(X, Y)


def test_degenerate_data_is_not_divergence():
    """Few rows, a constant target and a single expert raise no error."""
    few = X.head(12)
    model(max_epochs=1).fit(few, Y[:12])
    model().fit(X, np.full(len(Y), 3.0))
    model({"n_experts": 1, "top_k": 1}).fit(X, Y)


@pytest.mark.parametrize("max_epochs", [1, 2])
@pytest.mark.parametrize("learning_rate", [2**63, 1e30, 1e200])
def test_predictions_that_are_all_nan_raise(learning_rate, max_epochs):
    """A single epoch leaves no loss to compare with; predictions of held-out rows are NaN."""
    diverging = model(learning_rate=learning_rate, max_epochs=max_epochs)
    with pytest.warns(UserWarning, match="is repeated"), pytest.raises(TrainingDivergedError):
        diverging.fit(X[:40], Y[:40])
