"""An interrupted fit resumes from its checkpoint with the same result."""

import os

import numpy as np
import pytest
from skorch.callbacks import Callback

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.training.checkpoint import digest

SURVEY = make_soil_survey(n_samples=80, random_state=0)
X, Y = SURVEY.data, SURVEY.target
SETTINGS = {
    "time": "date",
    "n_estimators": 2,
    "network": NetworkConfig(hidden_size=8),
    "n_neighbors": 4,
    "max_epochs": 6,
    "base_estimator": None,
    "random_state": 0,
}


class Crash(Exception):
    """An error that ends a fit."""


class CrashAfter(Callback):
    """Raise an error in the first batch after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise Crash


class CountEpochs(Callback):
    """Count the epochs that are trained."""

    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def outcome(model):
    """Return predictions and losses, which must not depend on interruptions."""
    return model.predict_uncertainty(X).to_numpy(), [e["train_loss"] for e in model.history_]


@pytest.fixture(scope="module")
def uninterrupted():
    return outcome(SpTGNNRegressor(**SETTINGS).fit(X, Y))


@pytest.mark.parametrize("epochs", [(1,), (4,), (2, 5)])
def test_resumed_fit_gives_the_same_result(epochs, uninterrupted, tmp_path):
    """After one or two crashes the result has the same bits, and only the rest is trained."""
    folder = tmp_path / "checkpoints"
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=folder)
    for epoch in epochs:
        with pytest.raises(Crash):
            model.set_params(callbacks=[CrashAfter(epoch)]).fit(X, Y)
        assert len(list(folder.iterdir())) == 1
    counter = CountEpochs()
    resumed = outcome(model.set_params(callbacks=[counter]).fit(X, Y))
    assert counter.epochs == 6 - epochs[-1]
    np.testing.assert_array_equal(resumed[0], uninterrupted[0])
    assert resumed[1] == uninterrupted[1]
    assert not list(folder.iterdir()), "a finished fit deletes its checkpoint"


def test_checkpoint_is_used_by_the_identical_fit_only(uninterrupted, tmp_path):
    """Fits with other data or parameters ignore the file and leave it for its own fit."""
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path)
    with pytest.raises(Crash):
        model.set_params(callbacks=[CrashAfter(3)]).fit(X, Y)
    counter = CountEpochs()
    model.set_params(callbacks=[counter]).fit(X, Y + np.arange(len(Y)))
    assert counter.epochs == 6
    SpTGNNRegressor(
        **SETTINGS | {"network": NetworkConfig(hidden_size=8, beta=1.0)}, checkpoint_dir=tmp_path
    ).fit(X, Y)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = outcome(model.set_params(callbacks=[counter]).fit(X, Y))
    assert counter.epochs == 6 + 3
    np.testing.assert_array_equal(resumed[0], uninterrupted[0])


def test_damaged_checkpoint_is_ignored_with_a_warning(uninterrupted, tmp_path):
    """Training starts from the beginning, with the same result."""
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path)
    with pytest.raises(Crash):
        model.set_params(callbacks=[CrashAfter(3)]).fit(X, Y)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="checkpoint cannot be read"):
        resumed = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(resumed[0], uninterrupted[0])


def test_state_of_early_stopping_is_resumed(tmp_path):
    """The best epoch and the epochs without improvement are part of the checkpoint."""
    settings = SETTINGS | {"max_epochs": 12, "n_iter_no_change": 2, "learning_rate": 0.05}
    expected = outcome(SpTGNNRegressor(**settings).fit(X, Y))
    model = SpTGNNRegressor(**settings, checkpoint_dir=tmp_path)
    with pytest.raises(Crash):
        model.set_params(callbacks=[CrashAfter(2)]).fit(X, Y)
    resumed = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(resumed[0], expected[0])
    assert resumed[1] == expected[1]


def test_fit_can_resume_after_ctrl_c(uninterrupted, tmp_path):
    """After Ctrl-C the estimator is usable, and the checkpoint is kept for a later fit."""

    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) > 3:
                raise KeyboardInterrupt

    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path, callbacks=[Interrupt()])
    with pytest.warns(UserWarning, match="interrupted after 3 of 6 epochs"):
        model.fit(X, Y)
    assert np.isfinite(model.predict(X)).all()
    resumed = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(resumed[0], uninterrupted[0])


def test_checkpoints_require_a_seed(tmp_path):
    """Without random_state no two fits are identical."""
    with pytest.raises(ValueError, match=r"checkpoint_dir.*random_state"):
        SpTGNNRegressor(checkpoint_dir=tmp_path).fit(X, Y)


def test_digest_depends_on_names_values_and_types():
    """Equal inputs have equal digests; any difference changes the digest."""
    values = {"rows": np.arange(4.0), "config": ("adam", 0.1)}
    assert digest(values) == digest(dict(reversed(values.items())))
    for changed in (
        {**values, "config": ("adam", 0.2)},
        {**values, "rows": np.arange(4)},
        {**values, "rows": np.arange(4.0)[:, None]},
        {"lines": values["rows"], "config": values["config"]},
    ):
        assert digest(changed) != digest(values)


@pytest.mark.parametrize("kind", ["folder", "folder with a file", "pipe", "unreadable"])
def test_other_things_under_the_name_are_ignored_with_a_warning(kind, uninterrupted, tmp_path):
    """A later fit can resume all the same, and a folder of the user is left as it is."""
    model = SpTGNNRegressor(**SETTINGS, checkpoint_dir=tmp_path)
    with pytest.raises(Crash):
        model.set_params(callbacks=[CrashAfter(3)]).fit(X, Y)
    (path,) = tmp_path.iterdir()
    path.unlink()
    if kind.startswith("folder"):
        path.mkdir()
        if kind != "folder":
            (path / "thesis.txt").write_text("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="checkpoint cannot be read"):
        result = outcome(model.set_params(callbacks=None).fit(X, Y))
    np.testing.assert_array_equal(result[0], uninterrupted[0])
    left = [path] if kind.startswith("folder") else []
    assert list(tmp_path.iterdir()) == left
    if kind == "folder with a file":
        assert (path / "thesis.txt").read_text() == "mine"
