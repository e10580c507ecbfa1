"""Callbacks of the training loop."""

import io
from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from small_training import training_config, training_set, training_shape
from tqdm import tqdm

from sptgnn_sklearn.training import callbacks
from sptgnn_sklearn.training.callbacks import ClipMembers, check_callbacks
from sptgnn_sklearn.training.loop import train_members


def test_objects_that_are_no_callbacks_raise():
    """The error names the parameter and the object."""
    check_callbacks([ClipMembers()])
    with pytest.raises(ValueError, match=r"callbacks=\[3\]"):
        check_callbacks([ClipMembers(), 3])


def test_gradients_are_clipped_by_member():
    """The gradient of one member is scaled to norm 2, that of the other is unchanged."""
    large, small = torch.full((3,), 10.0), torch.tensor([0.1, 0.2, 0.3])
    grads = [torch.stack([large, small]), torch.stack([large, small])[:, :, None]]
    before = [grad.clone() for grad in grads]
    ClipMembers.clip(grads)
    norm = torch.cat([grad[0].flatten() for grad in grads]).norm()
    assert float(norm) == pytest.approx(2.0)
    for grad, old in zip(grads, before, strict=True):
        assert torch.equal(grad[1], old[1])


def test_early_stopping_keeps_each_members_best_epoch():
    """A member's held-out error at the end is the lowest of its epochs."""
    scores = []

    class RecordScores(Callback):
        def on_epoch_end(self, net, **kwargs):
            module = net.module_
            mean, _ = module.predict_held_out()
            error = np.where(np.isnan(mean), 0, mean - module.data.targets) ** 2
            scores.append(error.sum(1) / (~np.isnan(mean)).sum(1))

    data = training_set()
    config = training_config(
        max_epochs=9, n_iter_no_change=2, learning_rate=0.3, callbacks=[RecordScores()]
    )
    trained = train_members(training_shape(), data, config, [0, 1])
    error = np.where(np.isnan(trained.mean), 0, trained.mean - data.targets) ** 2
    final = error.sum(1) / (~np.isnan(trained.mean)).sum(1)
    np.testing.assert_allclose(final, np.min(scores, axis=0), rtol=1e-4)
    recorded = [entry["held_out_mse_by_member"] for entry in trained.history]
    np.testing.assert_allclose(final, np.min(recorded, axis=0), rtol=1e-4)


def test_early_stopping_ends_training():
    """With a learning rate that is much too high, training ends before the last epoch."""
    config = training_config(max_epochs=60, n_iter_no_change=1, learning_rate=1.0, batch_size=30)
    trained = train_members(training_shape(), training_set(), config, [0, 1])
    assert len(trained.history) < 60


def test_without_early_stopping_all_epochs_are_trained():
    """n_iter_no_change=None evaluates no epoch and trains to the end."""
    config = training_config(n_iter_no_change=None, max_epochs=4)
    trained = train_members(training_shape(), training_set(), config, [0, 1])
    assert len(trained.history) == 4
    assert "held_out_mse" not in trained.history[0]


def test_interruption_keeps_complete_epochs():
    """Ctrl-C after an epoch gives a network and a warning; in the first epoch it is raised."""

    class Interrupt(Callback):
        def __init__(self, epoch):
            self.epoch = epoch

        def on_batch_begin(self, net, **kwargs):
            if len(net.history) == self.epoch:
                raise KeyboardInterrupt

    def train(epoch):
        config = training_config(max_epochs=5, callbacks=[Interrupt(epoch)])
        return train_members(training_shape(), training_set(), config, [0, 1])

    with pytest.warns(UserWarning, match="interrupted after 2 of 5 epochs"):
        trained = train(3)
    assert np.isfinite(trained.mean[0][training_set().held_out[0]]).all()
    with pytest.raises(KeyboardInterrupt):
        train(1)


class _Bar(tqdm):
    """Progress bar that is recorded."""

    created: ClassVar[list] = []

    def __init__(self, *args, **settings):
        super().__init__(*args, file=io.StringIO(), **settings)
        self.created.append(self)


class _RaiseInSecondEpoch(Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
@pytest.mark.filterwarnings("ignore:Training was interrupted")
def test_progress_bar_is_closed_in_any_case(error, monkeypatch):
    """After errors and Ctrl-C it stays where training stopped; early stopping completes it."""
    monkeypatch.setattr(callbacks, "tqdm", _Bar)
    monkeypatch.setattr(_Bar, "created", [])
    early = {"max_epochs": 60, "n_iter_no_change": 1, "learning_rate": 1.0, "batch_size": 30}
    settings = {"callbacks": [_RaiseInSecondEpoch(error)]} if error else early
    config = training_config(verbose=1, **settings)
    with pytest.raises(RuntimeError) if error is RuntimeError else nullcontext():
        trained = train_members(training_shape(), training_set(), config, [0, 1])
    (bar,) = _Bar.created
    assert bar.disable  # set by tqdm when a bar is closed
    assert bar.postfix.startswith("loss=") and "," not in bar.postfix
    if error:
        assert (bar.n, bar.total) == (1, 3)
    else:
        assert bar.n == bar.total == len(trained.history) < 60
