"""Training that is cut off goes on to the same result."""

import numpy as np
import pytest
from skorch.callbacks import Callback

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

SURVEY = make_soil_survey(n_samples=80, random_state=0)
X, Y = SURVEY.data, SURVEY.target
SETTINGS = {
    "time": "date",
    "n_members": 2,
    "hidden_size": 8,
    "n_neighbors": 4,
    "max_epochs": 6,
    "base": None,
    "random_state": 0,
}


class PowerCut(Exception):
    """What stops a fit."""


class CutAfter(Callback):
    """Stops training at the end of an epoch, before or after it is kept."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise PowerCut


class CountEpochs(Callback):
    """How many epochs are trained."""

    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def outcome(model):
    """What must not depend on breaks."""
    return model.predict_uncertainty(X).to_numpy(), [e["train_loss"] for e in model.history_]


@pytest.fixture(scope="module")
def unbroken():
    return outcome(SpTGNNRegressor(**SETTINGS).fit(X, Y))


@pytest.mark.parametrize("epochs", [(1,), (4,), (2, 5)])
def test_fit_goes_on_to_the_same_result(epochs, unbroken, tmp_path):
    """Cut off once or twice, in the middle of an epoch: same bits, and only the rest is trained."""
    folder = tmp_path / "checkpoints"
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=folder)
    for epoch in epochs:
        with pytest.raises(PowerCut):
            model.set_params(callbacks=[CutAfter(epoch)]).fit(X, Y)
        assert len(list(folder.iterdir())) == 1
    counter = CountEpochs()
    found = outcome(model.set_params(callbacks=[counter]).fit(X, Y))
    assert counter.epochs == 6 - epochs[-1]
    np.testing.assert_array_equal(found[0], unbroken[0])
    assert found[1] == unbroken[1]
    assert not list(folder.iterdir()), "a fit that is done leaves nothing behind"


def test_another_fit_does_not_take_it_up(unbroken, tmp_path):
    """Other data or parameters: another file; and the first one still is there for its own fit."""
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path)
    with pytest.raises(PowerCut):
        model.set_params(callbacks=[CutAfter(3)]).fit(X, Y)
    counter = CountEpochs()
    model.set_params(callbacks=[counter]).fit(X, Y + np.arange(len(Y)))
    assert counter.epochs == 6
    SpTGNNRegressor(**SETTINGS | {"beta": 1.0}, checkpoint_dir=tmp_path).fit(X, Y)
    assert len(list(tmp_path.iterdir())) == 1
    found = outcome(model.set_params(callbacks=[counter]).fit(X, Y))
    assert counter.epochs == 6 + 3
    np.testing.assert_array_equal(found[0], unbroken[0])


def test_damaged_checkpoint_is_told_and_left(unbroken, tmp_path):
    """It cannot be used, which costs time but no result."""
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path)
    with pytest.raises(PowerCut):
        model.set_params(callbacks=[CutAfter(3)]).fit(X, Y)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"training starts anew.*cut or changed"):
        found = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(found[0], unbroken[0])


def test_early_stopping_and_groups_go_on_too(tmp_path):
    """What early stopping remembers, and members in groups."""
    settings = SETTINGS | {"max_epochs": 12, "n_iter_no_change": 2, "learning_rate": 0.05}
    whole = outcome(SpTGNNRegressor(**settings).fit(X, Y))
    model = SpTGNNRegressor(**settings, checkpoint_dir=tmp_path)
    with pytest.raises(PowerCut):
        model.set_params(callbacks=[CutAfter(2)]).fit(X, Y)
    found = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(found[0], whole[0])
    assert found[1] == whole[1]


def test_interrupted_fit_can_go_on(unbroken, tmp_path):
    """After Ctrl-C the estimator is usable, and the file stays for a fit that goes on."""

    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) > 3:
                raise KeyboardInterrupt

    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path, callbacks=[Interrupt()])
    with pytest.warns(UserWarning, match="interrupted after 3 of 6 epochs"):
        model.fit(X, Y)
    assert np.isfinite(model.predict(X)).all()
    found = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(found[0], unbroken[0])


def test_a_seed_is_needed(tmp_path):
    """Without one every fit is another one."""
    with pytest.raises(ValueError, match="checkpoint_dir needs a random_state"):
        SpTGNNRegressor(checkpoint_dir=tmp_path).fit(X, Y)
