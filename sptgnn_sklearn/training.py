"""Training of all members in one pass, through skorch.

skorch runs the loop; what is particular to this method is in four small pieces around it: the
module (`TrainingGraph`), the batches (`MemberBatches`), the loss (`losses.SpTGNNLoss`) and the
callbacks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PrintLog
from torch import Tensor, nn

from .callbacks import (
    AverageWeights,
    ClipMembers,
    HeldOut,
    Progress,
    RefuseNonFinite,
    check_interrupted,
)
from .graph import choose_allowed
from .images.archive import ChipArchive
from .images.members import Groups, MemberEncoders, turn
from .inference import Rows, build_context, edge_distances, read, run
from .losses import SpTGNNLoss
from .network import IMAGERY, Architecture, Context, Output, SpTGNN
from .optimisation import one_cycle, parameter_groups

_MIN_STEPS = 120  # a small table needs more epochs to see as many steps
_AVERAGE_DECAY = 0.99
_NEAR_SHARE = 0.5  # of the rows of a step that see their true neighbours
_BANK_BATCH = 64  # rows that are encoded at once


@dataclass(frozen=True)
class Schedule:
    """How to train.

    Parameters
    ----------
    max_epochs : int
        Epochs; small tables get as many as `_MIN_STEPS` steps need.
    batch_size : int or None
        None takes a ninth of the rows, between 32 and 1024.
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

    max_epochs: int = 30
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
        return min(n_rows, self.batch_size or int(np.clip(n_rows // 9, 32, 1024)))

    def epochs(self, n_rows: int) -> int:
        """Epochs for a table of so many rows."""
        steps = -(-n_rows // self.batch(n_rows))
        if self.batch_size is None and self.max_epochs >= 10:
            return max(self.max_epochs, -(-_MIN_STEPS // steps))
        return self.max_epochs


@dataclass(frozen=True)
class TunedImagery:
    """What tuning image encoders takes.

    Attributes
    ----------
    chips : ChipArchive
        Of all training rows.
    encoders : MemberEncoders
        From which the members start.
    """

    chips: ChipArchive
    encoders: MemberEncoders


@dataclass
class TrainingSet:
    """What the members are trained on.

    Attributes
    ----------
    rows : Rows
        All training rows.
    targets, weight : ndarray of shape (n,)
    candidates : list of ndarray of shape (n, R, c)
        Neighbour lists: the true ones first, then those of each far partition.
    held_out : ndarray of shape (M, n) of bool
        Rows that each member does not train on.
    held_senders : ndarray of shape (n_rounds, n, R, K)
        Neighbours of each row outside its own fold of each round of members.
    rounds : ndarray of shape (M,)
        The round that each member belongs to.
    n_neighbors : int
    tuned : TunedImagery or None
        None where image encoders are not tuned.
    """

    rows: Rows
    targets: np.ndarray
    weight: np.ndarray
    candidates: list[np.ndarray]
    held_out: np.ndarray
    held_senders: np.ndarray
    rounds: np.ndarray
    n_neighbors: int
    tuned: TunedImagery | None = None

    def for_members(self, members: np.ndarray) -> TrainingSet:
        """Return the set as the given members see it."""
        changed = {"held_out": self.held_out[members], "rounds": self.rounds[members]}
        return TrainingSet(**{**vars(self), **changed})


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
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    encoders = None if data.tuned is None else data.tuned.encoders.resized(len(seeds))
    network = SpTGNN(architecture, encoders).start(generators)
    network.generators = None
    lists = _member_lists(data)
    if architecture.relations:
        network.edge_scale.learn(_training_distances(data))
    graph = TrainingGraph(network, data, lists[:, 0], schedule.augment).to(device)
    network.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    n_rows = int((~data.held_out).sum(1).max())
    batches = partial(MemberBatches, data=data, lists=lists, seeds=seeds)
    epochs = schedule.epochs(n_rows)
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
    if schedule.verbose == 1:
        callbacks.append(("progress", Progress(epochs)))
    if schedule.verbose > 1:
        callbacks.append(("log", PrintLog()))
    net = NeuralNet(
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


class TrainingGraph(nn.Module):
    """The network being trained, its running average, and the training rows around them.

    The average of the weights plays three parts: it encodes the context (a slowly moving memory,
    computed once an epoch), it is what held-out rows are judged by, and it is the result.
    """

    def __init__(
        self, network: SpTGNN, data: TrainingSet, senders: np.ndarray, augment: bool = True
    ):
        super().__init__()
        self.network = network
        self.augment = augment
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        self.data = data
        self.steps = 0
        self.context: Context | None = None
        held_index = _padded([np.flatnonzero(held) for held in data.held_out])
        tensors = {
            "senders": torch.from_numpy(senders),
            "targets": torch.from_numpy(data.targets.astype(np.float32)),
            "held_index": torch.from_numpy(held_index),
            "held_senders": torch.from_numpy(data.held_senders[data.rounds[:, None], held_index]),
            **{f"stream_{name}": values for name, values in data.rows.streams.items()},
            **self._bank(),
            **{f"row_{name}": values for name, values in data.rows.description.items()},
        }
        for name, values in tensors.items():
            self.register_buffer(name, values, persistent=False)

    def _bank(self) -> dict[str, Tensor]:
        """All rows' images as each member sees them; at first, as the frozen encoder does."""
        if self.data.tuned is None:
            return {}
        members = self.network.architecture.n_members
        start = self.data.rows.streams[IMAGERY]
        return {f"stream_{IMAGERY}": start.expand(members, -1, -1).clone()}

    @property
    def rows(self) -> Rows:
        """The training rows, on the device of the module."""
        streams, description = self.data.rows.streams, self.data.rows.description
        return Rows(
            {name: self.get_buffer(f"stream_{name}") for name in streams},
            {name: self.get_buffer(f"row_{name}") for name in description},
        )

    def train(self, mode: bool = True) -> TrainingGraph:
        """Set the mode of the network being trained; the average always is in evaluation mode."""
        super().train(mode)
        self.averaged.eval()
        return self

    @torch.no_grad()
    def refresh(self) -> None:
        """Encode the images of all rows anew, and then the context."""
        if self.data.tuned is not None and self.averaged.image_encoders is not None:
            bank = self.get_buffer(f"stream_{IMAGERY}")
            for start in range(0, bank.shape[1], _BANK_BATCH):
                part = np.arange(start, min(start + _BANK_BATCH, bank.shape[1]))
                groups = self.data.tuned.chips.groups(part)
                encoded = self.averaged.image_encoders.encode_for_all(groups, len(part))
                bank[:, part] = encoded
        senders, targets = self.get_buffer("senders"), self.get_buffer("targets")
        self.context = build_context(self.averaged, self.rows, senders, targets)

    def forward(self, rows: Tensor, senders: Tensor) -> Output:
        """Predict a batch: row positions (M, B), their neighbours (M, B, R, K)."""
        everyone = self.rows
        streams, around = read(self.network, everyone, rows, senders, everyone.description)
        if self.data.tuned is not None and self.network.image_encoders is not None:
            chips, generators = self.data.tuned.chips, self.network.generators or ()
            own = [
                self._turned(chips.groups(places.cpu().numpy()), generator, len(places))
                for places, generator in zip(rows, generators, strict=True)
            ]
            streams[IMAGERY] = self.network.image_encoders(own, rows.shape[1])
        return self.network(streams, around, self.context)

    def _turned(self, groups: Groups, generator: torch.Generator, n_rows: int) -> Groups:
        """Turn and mirror the chips of a member's rows as it draws."""
        if not (self.training and self.augment):
            return groups
        ways = torch.randint(8, (n_rows,), generator=generator, device=generator.device).cpu()
        return [
            (places, {name: turn(values, ways[places]) for name, values in chips.items()})
            for places, chips in groups
        ]

    @torch.no_grad()
    def average(self) -> None:
        """Move the running average one step; early steps count less, as they are soon outdated."""
        self.steps += 1
        decay = min(_AVERAGE_DECAY, (1 + self.steps) / (10 + self.steps))
        pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1 - decay)

    def predict_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Predict each member's held-out rows; (M, n) each, NaN where a member trained."""
        shape = self.data.held_out.shape
        found = np.full(shape, np.nan), np.full(shape, np.nan)
        index = self.get_buffer("held_index")
        if index.shape[1]:
            if self.context is None:
                raise RuntimeError("refresh() encodes the context before anything is predicted.")
            rows = self.rows
            senders = self.get_buffer("held_senders")
            predicted = run(self.averaged, rows, index, senders, self.context, rows.description)
            member = np.arange(shape[0])[:, None]
            for target, values in zip(found, predicted, strict=True):
                target[member, index.cpu().numpy()] = values.cpu().numpy()
                target[~self.data.held_out] = np.nan  # padding of shorter lists
        return found


class MemberBatches:
    """Each member's own training rows in its own random order, in batches of shape (M, B)."""

    def __init__(
        self,
        dataset: object,
        data: TrainingSet,
        lists: np.ndarray,
        seeds: Sequence[int],
        batch_size: int,
    ):
        self.data, self.lists, self.batch_size = data, lists, batch_size
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
            far = 1 + rng.randint(max(1, self.lists.shape[1] - 1), size=self.n_rows)
            near = (rng.uniform(size=self.n_rows) < _NEAR_SHARE) | (self.lists.shape[1] == 1)
            variants.append(np.where(near, 0, far))
        order, variant = np.array(orders), np.array(variants)
        member = np.arange(len(order))[:, None]
        for step in range(len(self)):
            part = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = order[:, part]
            truth = {
                "target": self.data.targets[rows].astype(np.float32),
                "weight": self.data.weight[rows].astype(np.float32),
                "position": self.positions[rows],
            }
            senders = self.lists[member, variant[:, part], rows]
            yield {"rows": rows, "senders": senders}, truth


def _member_lists(data: TrainingSet) -> np.ndarray:
    """Neighbour lists (M, V, n, R, K) in which no row that a member holds out sends."""
    return np.stack(
        [
            np.stack([choose_allowed(lists, held, data.n_neighbors) for lists in data.candidates])
            for held in data.held_out
        ]
    )


def _training_distances(data: TrainingSet) -> Tensor:
    """Edge features (n_edges, F) of the true lists, for the scale of distances."""
    senders = torch.from_numpy(data.candidates[0][None, :, :, : data.n_neighbors])
    rows = torch.arange(senders.shape[1])[None]
    senders = senders.transpose(1, 2).long()
    return edge_distances(data.rows, rows, senders, data.rows.description)[senders >= 0]


def _padded(lists: list[np.ndarray]) -> np.ndarray:
    """Return lists of positions as one array; shorter lists repeat their first entry."""
    length = max(len(positions) for positions in lists)
    return np.array(
        [
            np.pad(positions, (0, length - len(positions)), constant_values=positions[:1].sum())
            for positions in lists
        ]
    )
