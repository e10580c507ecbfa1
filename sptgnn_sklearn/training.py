"""Training of all members in one pass, through skorch.

skorch runs the loop; what is particular to this method is in four small pieces around it: the
module (`training_graph.TrainingGraph`), the batches (`MemberBatches`), the loss
(`losses.SpTGNNLoss`) and the callbacks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PrintLog
from torch import Tensor

from .callbacks import (
    BY_MEMBER,
    AverageWeights,
    ClipMembers,
    HeldOut,
    Progress,
    RefuseNonFinite,
    check_interrupted,
)
from .losses import SpTGNNLoss
from .network import IMAGERY, Architecture, SpTGNN
from .optimisation import one_cycle, parameter_groups
from .training_graph import TrainingGraph, TrainingSet

# Held-out rows are served best after some 250 steps, whatever the size of the table.
_LEAST_EPOCHS, _MOST_EPOCHS, _STEPS = 10, 30, 240
_LEAST_STEPS = 120  # of the smallest tables, in any number of epochs
_LEAST_BATCH = 32  # rows of a step below which halving would not help
_NEAR_SHARE = 0.5  # of the rows of a step that see their true neighbours


@dataclass(frozen=True)
class Schedule:
    """How to train.

    Parameters
    ----------
    max_epochs : int or None
        None takes as many as some 240 steps need, between 10 and 30; more where these are fewer
        than 120 steps; 30 where image encoders are tuned.
    batch_size : int or None
        None takes a twentieth of the rows, between 32 and 256; of more than 16,000 rows a 64th, up
        to 1024.
    learning_rate, weight_decay : float
        Peak of the one-cycle schedule; decay of AdamW.
    early_stopping : bool
        Keep each member's best epoch on its held-out rows and stop when none improves.
    n_iter_no_change : int
        Epochs without improvement of any member before stopping.
    beta, moran_weight : float
        See `losses.SpTGNNLoss`.
    encoder_learning_rate, layer_decay : float
        Peak for the last stage of the image encoders; factor from each stage to the one below.
    augment : bool
        Turn and mirror chips at random.
    callbacks : sequence of skorch callbacks
        The user's own.
    verbose : int
        0 silent, 1 one progress bar, 2 a line for each epoch.
    """

    max_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    early_stopping: bool = True
    n_iter_no_change: int = 10
    beta: float = 0.5
    moran_weight: float = 0.0
    encoder_learning_rate: float = 1e-4
    layer_decay: float = 0.75
    augment: bool = True
    callbacks: Sequence[Callback] = ()
    verbose: int = 0

    def batch(self, n_rows: int) -> int:
        """Rows of each member in a step."""
        few, many = np.clip(n_rows // 20, 32, 256), min(n_rows // 64, 1024)
        return min(n_rows, self.batch_size or int(max(few, many)))

    def epochs(self, n_rows: int, *, tuned: bool = False) -> int:
        """Epochs for a table of so many rows, with image encoders that are tuned or not."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps = -(-n_rows // self.batch(n_rows))
        least = _MOST_EPOCHS if tuned else _LEAST_EPOCHS
        wanted = min(max(least, -(-_STEPS // steps)), _MOST_EPOCHS)
        return max(wanted, -(-_LEAST_STEPS // steps))


@dataclass
class Trained:
    """Trained members.

    Attributes
    ----------
    network : SpTGNN
        In evaluation mode, on CPU.
    mean, log_variance : ndarray of shape (M, n)
        Each member's predictions of the rows that were held out from it; NaN elsewhere.
    history : list of dict
        One entry for each epoch.
    imagery : Tensor of shape (M, n, d) or None
        The image stream of the training rows, where encoders were tuned.
    """

    network: SpTGNN
    mean: np.ndarray
    log_variance: np.ndarray
    history: list[dict]
    imagery: Tensor | None = None


def train_members(
    architecture: Architecture,
    data: TrainingSet,
    schedule: Schedule,
    seeds: Sequence[int],
    device: str = "cpu",
) -> Trained:
    """Train one member for each seed, all in one batched pass.

    Parameters
    ----------
    architecture : Architecture
        With as many members as seeds.
    data : TrainingSet
    schedule : Schedule
    seeds : sequence of int
        One for each member: its initial weights, its dropout and its order of rows.
    device : str
        Where a GPU has too little memory for a batch, training starts again with half of it.
    """
    while True:
        try:
            return _train_members(architecture, data, schedule, seeds, device)
        except torch.OutOfMemoryError:
            batch = schedule.batch(int((~data.held_out).sum(1).max()))
            if batch <= _LEAST_BATCH:
                raise
        warnings.warn(
            f"The GPU has too little memory for batches of {batch} rows of each member; training "
            f"starts again with {batch // 2}. batch_size={batch // 2} spares the first attempt.",
            UserWarning,
            stacklevel=2,
        )
        schedule = replace(schedule, batch_size=batch // 2)
        torch.cuda.empty_cache()


def _train_members(
    architecture: Architecture,
    data: TrainingSet,
    schedule: Schedule,
    seeds: Sequence[int],
    device: str,
) -> Trained:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    encoders = None if data.tuned is None else data.tuned.encoders.resized(len(seeds))
    network = SpTGNN(architecture, encoders).start(generators)
    network.generators = None
    graph = TrainingGraph(network, data, schedule.augment).to(device)
    network.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    n_rows = int((~data.held_out).sum(1).max())
    batches = partial(MemberBatches, data=data, seeds=seeds)
    epochs = schedule.epochs(n_rows, tuned=data.tuned is not None)
    steps = -(-n_rows // schedule.batch(n_rows))
    groups = parameter_groups(
        network,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        encoder_learning_rate=schedule.encoder_learning_rate,
        layer_decay=schedule.layer_decay,
    )
    held = HeldOut(schedule.early_stopping, schedule.n_iter_no_change)
    callbacks: list[tuple[str, Callback]] = [
        ("clip", ClipMembers()),
        ("average", AverageWeights()),
        ("finite", RefuseNonFinite()),
        ("rate", one_cycle([group["lr"] for group in groups], epochs * steps)),
        ("held_out", held),
        *((f"user_{i}", callback) for i, callback in enumerate(schedule.callbacks)),
    ]
    progress = Progress(epochs, held)
    if schedule.verbose == 1:
        callbacks.append(("progress", progress))
    if schedule.verbose > 1:
        callbacks.append(("log", PrintLog(keys_ignored=BY_MEMBER)))
    net = MemberNet(
        graph,
        SpTGNNLoss(beta=schedule.beta, moran_weight=schedule.moran_weight),
        optimizer=lambda _, lr: torch.optim.AdamW(groups, lr=lr, foreach=True),
        lr=schedule.learning_rate,
        max_epochs=epochs,
        batch_size=schedule.batch(n_rows),
        iterator_train=batches,
        train_split=None,
        callbacks=callbacks,
        callbacks__print_log=None,
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        callbacks__epoch_timer=None,
        verbose=int(schedule.verbose > 1),
        device=device,
    )
    with closing(progress):
        net.fit(np.arange(n_rows), None)
    check_interrupted(net, held, epochs)
    held.restore(graph)
    graph.refresh()
    mean, log_variance = graph.predict_held_out()
    bank = None if data.tuned is None else graph.get_buffer(f"stream_{IMAGERY}").cpu()
    return Trained(graph.averaged.cpu(), mean, log_variance, list(net.history), bank)


def join(parts: Sequence[Trained], architecture: Architecture) -> Trained:
    """Join members that were trained in groups into one network."""
    if len(parts) == 1:
        return parts[0]
    encoders = parts[0].network.image_encoders
    banks = [part.imagery for part in parts if part.imagery is not None]
    if encoders is not None:
        encoders = encoders.resized(architecture.n_members)
    network = SpTGNN(architecture, encoders).eval()
    pieces = [part.network.state_dict() for part in parts]
    shared = {name for name, _ in network.named_buffers()}
    network.load_state_dict(
        {
            name: value if name in shared else torch.cat([piece[name] for piece in pieces])
            for name, value in pieces[0].items()
        }
    )
    return Trained(
        network,
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.log_variance for part in parts]),
        [entry for part in parts for entry in part.history],
        torch.cat(banks) if banks else None,
    )


class MemberNet(NeuralNet):
    """A skorch net that reads its losses once an epoch, so that a GPU is never waited for."""

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if iterator is None:
            return
        losses = []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(f"{prefix}_loss", float(torch.stack(losses).mean()))
        self.history.record(f"{prefix}_batch_count", len(losses))


class MemberBatches:
    """Each member's own training rows in its own random order, in batches of shape (M, B)."""

    def __init__(
        self,
        dataset: object,
        data: TrainingSet,
        seeds: Sequence[int],
        batch_size: int,
    ):
        self.data, self.batch_size = data, batch_size
        self.generators = [np.random.RandomState(seed) for seed in seeds]
        self.members = [np.flatnonzero(~held) for held in data.held_out]
        self.n_rows = max(len(rows) for rows in self.members)
        self.positions = data.rows.description["distance"].cpu().numpy()

    def __len__(self) -> int:
        return -(-self.n_rows // self.batch_size)

    def __iter__(self) -> Iterator:
        orders, variants = [], []
        for rows, rng in zip(self.members, self.generators, strict=True):
            # Members with fewer rows start a second round, so that all have equally many steps.
            rounds = [rng.permutation(rows) for _ in range(-(-self.n_rows // len(rows)))]
            orders.append(np.concatenate(rounds)[: self.n_rows])
            n_variants = len(self.data.candidates)
            far = 1 + rng.randint(max(1, n_variants - 1), size=self.n_rows)
            near = (rng.uniform(size=self.n_rows) < _NEAR_SHARE) | (n_variants == 1)
            variants.append(np.where(near, 0, far))
        order, variant = np.array(orders), np.array(variants)
        for step in range(len(self)):
            part = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = order[:, part]
            truth = {
                "target": self.data.targets[rows].astype(np.float32),
                "weight": self.data.weight[rows].astype(np.float32),
                "position": self.positions[rows],
            }
            yield {"rows": rows, "variant": variant[:, part]}, truth
