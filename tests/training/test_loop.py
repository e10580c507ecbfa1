"""The training loop: reproducibility, independence of members, threads and memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from small_training import N, training_config, training_set, training_shape

from sptgnn_sklearn.network import sptgnn
from sptgnn_sklearn.training import loop
from sptgnn_sklearn.training.divergence import TrainingDivergedError
from sptgnn_sklearn.training.loop import concatenate_members, train_members


def test_same_seeds_give_the_same_bits():
    """Training twice gives bit-identical parameters."""
    first, second = (
        train_members(training_shape(), training_set(), training_config(), [3, 4]).network
        for _ in range(2)
    )
    second = second.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.state_dict().items())


def test_members_are_independent():
    """Members trained in one pass equal members trained one by one and concatenated."""
    data = training_set()
    config = training_config(n_iter_no_change=None)
    together = train_members(training_shape(), data, config, [3, 4])
    parts = [
        train_members(training_shape(1), data.for_members(np.array([m])), config, [seed])
        for m, seed in enumerate([3, 4])
    ]
    joined = concatenate_members(parts, training_shape())
    np.testing.assert_allclose(together.mean, joined.mean, atol=1e-3)
    weights = joined.network.state_dict()
    for name, value in together.network.state_dict().items():
        torch.testing.assert_close(value, weights[name], atol=1e-3, rtol=1e-3)


def test_training_lowers_the_loss():
    """The loss at the end is well below that at the start."""
    config = training_config(max_epochs=9)
    trained = train_members(training_shape(), training_set(), config, [0, 1])
    losses = [entry["train_loss"] for entry in trained.history]
    assert losses[-1] < losses[0] - 0.2


def test_loss_that_is_not_finite_raises():
    """Training is repeated once, and then raises an error with advice."""
    data = training_set()
    data.targets[5] = np.inf
    with (
        pytest.warns(UserWarning, match="repeated with learning_rate"),
        pytest.raises(TrainingDivergedError, match="learning_rate"),
    ):
        train_members(training_shape(), data, training_config(), [0, 1])


def test_verbosity(capfd):
    """Silent by default, a progress bar with 1, a table of epochs with 2."""
    shape, data = training_shape(), training_set()
    train_members(shape, data, training_config(), [0, 1])
    assert capfd.readouterr() == ("", "")
    train_members(shape, data, training_config(verbose=1), [0, 1])
    out, err = capfd.readouterr()
    assert out == "" and "training" in err and "3/3" in err
    train_members(shape, data, training_config(verbose=2), [0, 1])
    out, _ = capfd.readouterr()
    assert "train_loss" in out and "held_out_mse" in out and "by_member" not in out


@pytest.mark.parametrize(("batch_size", "expected"), [(8, 1), (24, 2), (48, 4)])
def test_small_batches_use_few_threads(monkeypatch, batch_size, expected):
    """The number of threads follows the rows in a step, and is reset after training."""
    monkeypatch.setattr(loop, "_ROWS_PER_THREAD", 24)
    n_threads = set()

    class RecordThreads(Callback):
        def on_batch_end(self, net, **kwargs):
            n_threads.add(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        config = training_config(max_epochs=1, batch_size=batch_size, callbacks=[RecordThreads()])
        train_members(training_shape(), training_set(), config, [0, 1])
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert n_threads == {expected}


def test_global_state_is_unchanged():
    """Training leaves torch's and numpy's global generators and the thread count unchanged."""
    torch.manual_seed(0)
    legacy = np.random.mtrand._rand
    before = torch.get_rng_state(), legacy.get_state()[1].copy(), torch.get_num_threads()
    train_members(training_shape(), training_set(), training_config(), [0, 1])
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], legacy.get_state()[1])
    assert before[2] == torch.get_num_threads()


def test_mixed_precision_gives_similar_losses(monkeypatch):
    """Large products in bfloat16 leave the losses near those in single precision."""

    def losses():
        config = training_config(max_epochs=6)
        trained = train_members(training_shape(), training_set(), config, [0, 1])
        return np.array([entry["train_loss"] for entry in trained.history])

    single = losses()
    monkeypatch.setattr(
        sptgnn, "mixed_precision", lambda device: torch.autocast("cpu", dtype=torch.bfloat16)
    )
    mixed = losses()
    assert not np.array_equal(single, mixed)
    np.testing.assert_allclose(mixed, single, rtol=0.02)


def test_batch_that_exceeds_gpu_memory_is_halved(monkeypatch):
    """Training is repeated with half the batch size, with one warning and the same result."""
    batch_sizes = []
    train = loop._train_members
    shape, data = training_shape(), training_set()

    def fail_once(shape, data, config, *args):
        batch_sizes.append(config.resolve_batch_size(N))
        if len(batch_sizes) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return train(shape, data, config, *args)

    monkeypatch.setattr(loop, "_train_members", fail_once)
    with pytest.warns(UserWarning, match=r"batches of 40 rows.*batch_size=20"):
        halved = train_members(shape, data, training_config(batch_size=40), [0, 1])
    assert batch_sizes == [40, 20]
    expected = train(shape, data, training_config(batch_size=20), [0, 1], "cpu")
    np.testing.assert_array_equal(halved.mean, expected.mean)

    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loop, "_train_members", fail)
    with pytest.raises(torch.OutOfMemoryError):
        train_members(shape, data, training_config(batch_size=32), [0, 1])


def test_known_noise_changes_training_and_scores():
    """Rows with known noise count less; noise of zero gives the result without."""
    data, config = training_set(), training_config()
    noise = np.where(np.arange(N) % 2, 2.0, 0.0)
    plain, zero, noisy = (
        train_members(training_shape(), replace(data, noise=values), config, [0, 1])
        for values in (None, 0 * noise, noise)
    )
    np.testing.assert_allclose(zero.mean, plain.mean, atol=1e-5)
    assert np.nanmax(np.abs(noisy.mean - plain.mean)) > 1e-3
    scores = [result.history[0]["held_out_mse"] for result in (plain, zero, noisy)]
    assert scores[1] == pytest.approx(scores[0]) and scores[2] != pytest.approx(scores[0])


def test_checkpoint_of_other_noise_is_not_used(tmp_path):
    """The name of a checkpoint depends on the noise, and is the same for None as before."""
    config = training_config(checkpoints=tmp_path)
    noise = np.where(np.arange(N) % 2, 2.0, 0.0)
    for values in (None, noise, 2 * noise):
        train_members(training_shape(), replace(training_set(), noise=values), config, [0, 1])
    assert len(list(tmp_path.iterdir())) == 3
