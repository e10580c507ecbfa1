"""Who trains on what, when it stops, and that it repeats."""

import io
from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import pytest
import torch
from joblib import parallel_config
from skorch.callbacks import Callback
from tqdm import tqdm

from sptgnn_sklearn.ensemble import fit as fitting
from sptgnn_sklearn.graph.knn_graph import build_graph
from sptgnn_sklearn.network import sptgnn as network
from sptgnn_sklearn.network.config import NetworkShape
from sptgnn_sklearn.network.inference import NodeTensors
from sptgnn_sklearn.training import callbacks
from sptgnn_sklearn.training import loop as training
from sptgnn_sklearn.training.batches import MemberBatches
from sptgnn_sklearn.training.callbacks import MemberEarlyStopping
from sptgnn_sklearn.training.config import TrainingConfig
from sptgnn_sklearn.training.dataset import TrainingSet
from sptgnn_sklearn.training.loop import concatenate_members, train_members
from sptgnn_sklearn.training.module import EnsembleModule

N, K = 60, 4


def training_set(n_members=2, seed=0):
    """A smooth target on a plane; each member leaves out another fifth of the rows."""
    rng = np.random.RandomState(seed)
    places = rng.uniform(size=(N, 2)).astype(np.float32)
    target = np.sin(4 * places[:, 0]) + 0.1 * rng.normal(size=N)
    fold = rng.permutation(N) % 5
    lists = build_graph({"spatial": places}, 2 * K, np.arange(N))
    far = build_graph({"spatial": places}, 2 * K, (places[:, 0] > 0.5).astype(int))
    return TrainingSet(
        rows=NodeTensors(
            {"covariates": torch.from_numpy(places)}, {"distance": torch.from_numpy(places)}
        ),
        targets=(target - target.mean()) / target.std(),
        weight=np.ones(N),
        candidates=np.array([lists, far]),
        held_out=np.array([fold == m for m in range(n_members)]),
        held_source_index=build_graph({"spatial": places}, K, fold)[None],
        rounds=np.zeros(n_members, dtype=int),
        n_neighbors=K,
    )


def shape(n_members=2, **changes):
    """The smallest network that trains."""
    settings = {
        "streams": {"covariates": 2},
        "relations": ("spatial",),
        "edge_features": ("distance",),
        "own_feature": (0,),
        "n_members": n_members,
        "hidden_size": 8,
        "n_experts": 2,
    }
    return NetworkShape(**{**settings, **changes})


def schedule(**changes):
    """A few quick epochs."""
    return TrainingConfig(**{"max_epochs": 3, "batch_size": 16, **changes})


def orders():
    """From which two members draw the order of their rows."""
    return [np.random.RandomState(seed) for seed in (0, 1)]


def test_batches_hold_each_members_own_rows_once():
    """In an epoch every training row of a member comes, and no row that it leaves out."""
    data = training_set()
    batches = list(MemberBatches(None, data, orders(), "cpu", batch_size=16))
    for member in range(2):
        rows = np.concatenate([batch[0]["rows"][member] for batch in batches])
        assert set(rows) == set(np.flatnonzero(~data.held_out[member]))
    rows = batches[0][0]["rows"]
    np.testing.assert_allclose(batches[0][1]["target"], data.targets[rows], rtol=1e-6)


def test_batches_meet_near_and_far_neighbours():
    """About half of the rows of an epoch receive from other folds only."""
    batches = MemberBatches(None, training_set(), orders(), "cpu", batch_size=16)
    variants = np.concatenate([step["variant"] for step, _ in batches], axis=1)
    assert 0.3 < (variants == 0).mean() < 0.7
    assert set(variants.ravel()) == {0, 1}


def test_a_member_sees_the_nearest_rows_that_it_does_not_hold_out():
    """Senders and edges are those of the first allowed candidates of the variant asked for."""
    data = training_set()
    network = train_members(shape(), data, schedule(max_epochs=1), [0, 1]).network
    graph = EnsembleModule(network, data)
    variant = torch.arange(N) % 2
    rows = torch.arange(N).expand(2, -1)
    found = graph.neighborhood(rows, variant.expand(2, -1))
    place = data.rows.edge_inputs["distance"]
    for member, held in enumerate(data.held_out):
        for i in range(N):
            allowed = [j for j in data.candidates[variant[i], i, 0] if j >= 0 and not held[j]]
            expected = (allowed + K * [-1])[:K]
            assert found.source_index[member, 0, i].tolist() == expected
            for k, j in enumerate(expected):
                if j >= 0:
                    distance = (place[i] - place[j]).square().sum().sqrt()
                    edge = float(network.edge_scale(distance[None, None]))
                    assert float(found.edges[member, 0, i, k, 0]) == pytest.approx(edge, abs=2e-3)


def test_no_held_out_row_sends_to_its_member():
    """Held-out rows receive from no row that is held out with them."""
    data = training_set()
    network = train_members(shape(), data, schedule(max_epochs=1), [0, 1]).network
    graph = EnsembleModule(network, data)
    for member, held in enumerate(data.held_out):
        source_index = graph.held_source_index[member].numpy()
        assert not held[source_index[source_index >= 0]].any()


def test_held_out_prediction_never_saw_the_target():
    """With frozen weights, changing y_i leaves the prediction of the held-out row i as it is."""
    data = training_set()
    trained = train_members(shape(), data, schedule(), [0, 1])

    def predict(targets):
        changed = TrainingSet(**{**vars(data), "targets": targets})
        graph = EnsembleModule(trained.network, changed)
        graph.update_context()
        return graph.predict_held_out()[0]

    before = predict(data.targets)
    assert (np.isnan(before) == ~data.held_out).all()
    moved = 0
    for i in np.flatnonzero(data.held_out[0]):
        targets = data.targets.copy()
        targets[i] += 10
        after = predict(targets)
        assert before[0, i] == after[0, i]
        # Nor does any row of the same held-out part see it; the other member's rows may.
        np.testing.assert_array_equal(before[0], after[0])
        moved += not np.array_equal(before[1], after[1], equal_nan=True)
    assert moved


def test_same_seeds_same_bits():
    """Training twice gives the same parameters to the last bit."""
    first, second = (
        train_members(shape(), training_set(), schedule(), [3, 4]).network.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_member_does_not_depend_on_the_others():
    """Members trained in one pass equal members trained one by one and joined."""
    data = training_set()
    together = train_members(shape(), data, schedule(n_iter_no_change=None), [3, 4])
    parts = [
        train_members(
            shape(1), data.for_members(np.array([m])), schedule(n_iter_no_change=None), [seed]
        )
        for m, seed in enumerate([3, 4])
    ]
    apart = concatenate_members(parts, shape())
    np.testing.assert_allclose(together.mean, apart.mean, atol=1e-3)
    for name, value in together.network.state_dict().items():
        torch.testing.assert_close(value, apart.network.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_training_lowers_the_loss():
    """The loss at the end is well below that at the start."""
    trained = train_members(shape(), training_set(), schedule(max_epochs=9), [0, 1])
    losses = [entry["train_loss"] for entry in trained.history]
    assert losses[-1] < losses[0] - 0.2


def test_early_stopping_keeps_each_members_best_epoch():
    """A member's held-out error at the end is the least of its epochs."""
    scores = []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            graph = net.module_
            mean, _ = graph.predict_held_out()
            error = np.where(np.isnan(mean), 0, mean - graph.data.targets) ** 2
            scores.append(error.sum(1) / (~np.isnan(mean)).sum(1))

    data = training_set()
    settings = schedule(max_epochs=9, n_iter_no_change=2, learning_rate=0.3, callbacks=[Look()])
    trained = train_members(shape(), data, settings, [0, 1])
    error = np.where(np.isnan(trained.mean), 0, trained.mean - data.targets) ** 2
    final = error.sum(1) / (~np.isnan(trained.mean)).sum(1)
    np.testing.assert_allclose(final, np.min(scores, axis=0), rtol=1e-4)
    recorded = [entry["held_out_mse_by_member"] for entry in trained.history]
    np.testing.assert_allclose(final, np.min(recorded, axis=0), rtol=1e-4)


def test_early_stopping_stops():
    """A rate that breaks the members ends training before the last epoch."""
    settings = schedule(max_epochs=60, n_iter_no_change=1, learning_rate=1.0, batch_size=30)
    trained = train_members(shape(), training_set(), settings, [0, 1])
    assert len(trained.history) < 60


def test_tables_of_any_size_get_enough_steps():
    """By default some 240 steps in 10 to 30 epochs, and at least 120; what is given is followed."""
    plan = TrainingConfig()
    assert plan.batch(60) == 32 and plan.epochs(60) == 60  # two steps an epoch
    assert plan.batch(160) == 32 and plan.epochs(160) == 30
    assert plan.batch(2_000) == 100 and plan.epochs(2_000) == 12
    assert plan.batch(10_000) == 256 and plan.batch(40_000) == 625
    assert plan.batch(160_000) == 1024 and plan.epochs(160_000) == 10
    assert plan.epochs(2_000, fine_tuning=True) == 30
    given = TrainingConfig(max_epochs=20, batch_size=16)
    assert given.batch(60) == 16 and given.epochs(60) == 20


def test_a_loss_that_is_not_finite_is_an_error():
    """Training that diverges says so and predicts nothing."""
    data = training_set()
    data.targets[5] = np.inf
    with (
        pytest.warns(UserWarning, match="starts again"),
        pytest.raises(FloatingPointError, match="learning_rate"),
    ):
        train_members(shape(), data, schedule(), [0, 1])


def test_interruption_keeps_whole_epochs():
    """Ctrl-C after an epoch leaves a network and a warning; before the first it goes through."""

    class Interrupt(Callback):
        def __init__(self, epoch):
            self.epoch = epoch

        def on_batch_begin(self, net, **kwargs):
            if len(net.history) == self.epoch:
                raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 2 of 5 epochs"):
        trained = train_members(
            shape(), training_set(), schedule(max_epochs=5, callbacks=[Interrupt(3)]), [0, 1]
        )
    assert np.isfinite(trained.mean[0][training_set().held_out[0]]).all()
    with pytest.raises(KeyboardInterrupt):
        train_members(
            shape(), training_set(), schedule(max_epochs=5, callbacks=[Interrupt(1)]), [0, 1]
        )


def test_verbosity(capfd):
    """Silent by default, one bar with 1, a table of epochs with 2."""
    data = training_set()
    train_members(shape(), data, schedule(), [0, 1])
    assert capfd.readouterr() == ("", "")
    train_members(shape(), data, schedule(verbose=1), [0, 1])
    out, err = capfd.readouterr()
    assert out == "" and "training" in err and "3/3" in err
    train_members(shape(), data, schedule(verbose=2), [0, 1])
    out, _ = capfd.readouterr()
    assert "train_loss" in out and "held_out_mse" in out and "by_member" not in out


class _Bar(tqdm):
    """A bar that is remembered."""

    made: ClassVar[list] = []

    def __init__(self, *args, **settings):
        super().__init__(*args, file=io.StringIO(), **settings)
        self.made.append(self)


class _At(Callback):
    """Raise an error in the second epoch."""

    def __init__(self, error):
        self.error = error

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
@pytest.mark.filterwarnings("ignore:Training was interrupted")
def test_the_bar_closes_however_training_ends(error, monkeypatch):
    """After an error and Ctrl-C it stands where training stopped; an early stop completes it."""
    monkeypatch.setattr(callbacks, "tqdm", _Bar)
    monkeypatch.setattr(_Bar, "made", [])
    early = {"max_epochs": 60, "n_iter_no_change": 1, "learning_rate": 1.0, "batch_size": 30}
    plan = schedule(verbose=1, **({"callbacks": [_At(error)]} if error else early))
    with pytest.raises(RuntimeError) if error is RuntimeError else nullcontext():
        trained = train_members(shape(), training_set(), plan, [0, 1])
    (bar,) = _Bar.made
    assert bar.disable  # which is how a closed bar reads
    if error:
        assert (bar.n, bar.total) == (1, 3)
    else:
        assert bar.n == bar.total == len(trained.history) < 60


def test_groups_of_members_share_one_bar(monkeypatch, capfd):
    """Workers keep silent and one bar counts them; a table of epochs is left to them."""
    monkeypatch.setattr(fitting, "train_members", lambda *args: args[2].verbose)
    monkeypatch.setattr(fitting, "join", lambda parts, _: parts)
    arguments = (shape(), training_set())
    with parallel_config("threading"):
        for verbose, told in ((1, [0, 0]), (2, [2, 2])):
            plan = schedule(verbose=verbose)
            assert fitting._train(*arguments, plan, np.arange(2), "cpu", n_jobs=2) == told
            assert ("2/2" in capfd.readouterr().err) == (verbose == 1)


def test_groups_of_members_share_the_processors(monkeypatch):
    """A group trains by its share of the threads, and leaves their number as it was."""
    monkeypatch.setattr(fitting, "train_members", lambda *args: torch.get_num_threads())
    monkeypatch.setattr(fitting, "join", lambda parts, _: parts)
    monkeypatch.setattr(fitting, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        arguments = (shape(), training_set(), schedule(), np.arange(2), "cpu")
        with parallel_config("sequential"):
            assert fitting._train(*arguments, n_jobs=None) == [4]
        assert fitting._train_group(2) == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("batch", "expected"), [(8, 1), (24, 2), (48, 4)])
def test_steps_of_few_rows_are_computed_by_few_threads(monkeypatch, batch, expected):
    """A thread gets so many rows of a step, and what was set before stands again."""
    monkeypatch.setattr(training, "_ROWS_OF_A_THREAD", 24)
    seen = set()

    class Look(Callback):
        def on_batch_end(self, net, **kwargs):
            seen.add(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        settings = schedule(max_epochs=1, batch_size=batch, callbacks=[Look()])
        train_members(shape(), training_set(), settings, [0, 1])
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert seen == {expected}


def test_nothing_global_is_left_changed():
    """Training leaves torch's and numpy's global generators and the thread count alone."""
    torch.manual_seed(0)
    legacy = np.random.mtrand._rand
    before = torch.get_rng_state(), legacy.get_state()[1].copy(), torch.get_num_threads()
    train_members(shape(), training_set(), schedule(), [0, 1])
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], legacy.get_state()[1])
    assert before[2] == torch.get_num_threads()


def test_held_out_is_a_callback_that_judges_without_stopping():
    """Without early stopping no epoch is kept, and training runs to its end."""
    held = MemberEarlyStopping(n_iter_no_change=None)
    assert held.n_iter_no_change is None
    trained = train_members(
        shape(), training_set(), schedule(n_iter_no_change=None, max_epochs=4), [0, 1]
    )
    assert len(trained.history) == 4
    assert "held_out_mse" not in trained.history[0]


def test_reduced_precision_trains_alike(monkeypatch):
    """Large products in bfloat16 leave the losses near those in single precision."""

    def losses():
        trained = train_members(shape(), training_set(), schedule(max_epochs=6), [0, 1])
        return np.array([entry["train_loss"] for entry in trained.history])

    full = losses()
    monkeypatch.setattr(
        network, "mixed_precision", lambda device: torch.autocast("cpu", dtype=torch.bfloat16)
    )
    reduced = losses()
    assert not np.array_equal(full, reduced)
    np.testing.assert_allclose(reduced, full, rtol=0.02)


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    """Training starts again with half of it, says so once, and ends like one with that batch."""
    tried = []
    attempt = training._train_members

    def short_of_memory(shape, data, schedule, *args):
        tried.append(schedule.batch(N))
        if len(tried) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return attempt(shape, data, schedule, *args)

    monkeypatch.setattr(training, "_train_members", short_of_memory)
    with pytest.warns(UserWarning, match=r"batches of 40 rows.*batch_size=20 spares"):
        halved = train_members(shape(), training_set(), schedule(batch_size=40), [0, 1])
    assert tried == [40, 20]
    expected = attempt(shape(), training_set(), schedule(batch_size=20), [0, 1], "cpu")
    np.testing.assert_array_equal(halved.mean, expected.mean)

    def never(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(training, "_train_members", never)
    with pytest.raises(torch.OutOfMemoryError):
        train_members(shape(), training_set(), schedule(batch_size=32), [0, 1])
