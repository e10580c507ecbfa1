"""Training of all members in one pass, through skorch.

skorch runs the loop; what is particular to this method is in four small pieces around it: the
module (`training_graph.EnsembleModule`), the batches (`MemberBatches`), the loss
(`losses.SpTGNNLoss`) and the callbacks.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PrintLog
from torch import Tensor

from ..network.config import IMAGERY, NetworkShape
from ..network.sptgnn import SpTGNN
from ..utils.batching import limit_torch_threads
from .batches import MemberBatches
from .callbacks import (
    BY_MEMBER,
    AverageWeights,
    ClipMembers,
    MemberEarlyStopping,
    Progress,
    check_interrupted,
)
from .checkpoint import Checkpoint, digest
from .config import TrainingConfig
from .dataset import TrainingSet
from .divergence import DivergenceMonitor, TrainingDivergedError, check_divergence
from .losses import SpTGNNLoss
from .module import EnsembleModule
from .optimizer import one_cycle, parameter_groups

_LEAST_BATCH = 32  # rows of a step below which halving would not help
_ROWS_OF_A_THREAD = 512  # in a step, of all members


@dataclass
class TrainingResult:
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
    checkpoints : tuple of Path
        Files that are of no use once the fit is done; none after an interruption, as training can
        go on from it.
    """

    network: SpTGNN
    mean: np.ndarray
    log_variance: np.ndarray
    history: list[dict]
    imagery: Tensor | None = None
    checkpoints: tuple[Path, ...] = ()


def train_members(
    shape: NetworkShape,
    data: TrainingSet,
    schedule: TrainingConfig,
    seeds: Sequence[int],
    device: str = "cpu",
) -> TrainingResult:
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

    Raises
    ------
    TrainingFault
        If training led nowhere, at a tenth of the learning rate either.
    """
    slowed, too_many = False, None
    while True:
        try:
            trained = _train_members(shape, data, schedule, seeds, device)
            break
        except TrainingDivergedError as fault:
            if slowed:
                raise TrainingDivergedError(
                    f"{fault} A tenth of the learning rate did not help. Look for extreme values "
                    "in y and in the covariates, try target_transform='log1p' for a skewed target, "
                    "or set learning_rate, n_experts or max_epochs yourself."
                ) from fault
            slowed = True
            schedule = _lower_learning_rate(schedule)
            warnings.warn(
                f"{fault} Training starts again with learning_rate={schedule.learning_rate:.3g}.",
                UserWarning,
                stacklevel=2,
            )
            continue
        except torch.OutOfMemoryError:
            batch = schedule.batch(int((~data.held_out).sum(1).max()))
            if batch <= _LEAST_BATCH:
                raise
        # Not while the exception lives, which holds what was allocated.
        torch.cuda.empty_cache()
        too_many = too_many or batch
        schedule = replace(schedule, batch_size=batch // 2)
    if too_many:
        warnings.warn(
            f"The GPU has too little memory for batches of {too_many} rows of each member; they "
            f"were halved. batch_size={schedule.batch_size} spares the attempts.",
            UserWarning,
            stacklevel=2,
        )
    return trained


def _lower_learning_rate(schedule: TrainingConfig) -> TrainingConfig:
    return replace(
        schedule,
        learning_rate=schedule.learning_rate / 10,
        encoder_learning_rate=schedule.encoder_learning_rate / 10,
    )


def _train_members(
    shape: NetworkShape,
    data: TrainingSet,
    schedule: TrainingConfig,
    seeds: Sequence[int],
    device: str,
) -> TrainingResult:
    graph = _make_module(shape, data, schedule, seeds, device)
    n_rows = int((~data.held_out).sum(1).max())
    orders = [np.random.RandomState(seed) for seed in seeds]
    epochs = schedule.epochs(n_rows, fine_tuning=data.fine_tuning is not None)
    steps = -(-n_rows // schedule.batch(n_rows))
    groups = parameter_groups(
        graph.network,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        encoder_learning_rate=schedule.encoder_learning_rate,
        layer_decay=schedule.layer_decay,
    )
    held = MemberEarlyStopping(schedule.n_iter_no_change)
    rate = one_cycle([group["lr"] for group in groups], epochs * steps)
    progress = Progress(epochs, held)
    callbacks: list[tuple[str, Callback]] = [
        ("clip", ClipMembers()),
        ("average", AverageWeights()),
        ("watch", DivergenceMonitor()),
        ("rate", rate),
        ("held_out", held),
        *((f"user_{i}", callback) for i, callback in enumerate(schedule.callbacks)),
    ]
    checkpoint, done = None, 0
    if schedule.checkpoints is not None:
        name = _checkpoint_name(shape, data, schedule, seeds, device)
        checkpoint = Checkpoint(schedule.checkpoints / f"{name}.safetensors", held, rate, orders)
        done = checkpoint.find()
        callbacks.append(("checkpoint", checkpoint))
    if schedule.verbose == 1:
        callbacks.append(("progress", progress))
    if schedule.verbose > 1:
        callbacks.append(("log", PrintLog(keys_ignored=BY_MEMBER)))
    net = MemberNet(
        graph,
        SpTGNNLoss(beta=schedule.beta, moran_weight=schedule.moran_weight),
        optimizer=lambda _, lr: torch.optim.AdamW(groups, lr=lr, fused=True),
        lr=schedule.learning_rate,
        max_epochs=epochs - done,
        batch_size=schedule.batch(n_rows),
        iterator_train=partial(MemberBatches, data=data, orders=orders, device=device),
        train_split=None,
        callbacks=callbacks,
        callbacks__print_log=None,
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        callbacks__epoch_timer=None,
        verbose=int(schedule.verbose > 1),
        device=device,
    )
    # Of few rows a thread computes less than the others wait for it; chips are work enough.
    n_threads = torch.get_num_threads()
    if data.fine_tuning is None:
        n_threads = len(seeds) * schedule.batch(n_rows) // _ROWS_OF_A_THREAD
    try:
        with closing(progress), limit_torch_threads(n_threads):
            net.fit(np.arange(n_rows), None)
        interrupted = check_interrupted(net, held, epochs)
        trained = _finish(graph, held, list(net.history))
    except (TrainingDivergedError, torch.OutOfMemoryError):
        if checkpoint is not None:
            checkpoint.discard()  # there is no way on from there
        raise
    if checkpoint is not None and not interrupted:
        trained.checkpoints = (checkpoint.path,)
    return trained


def _make_module(
    shape: NetworkShape,
    data: TrainingSet,
    schedule: TrainingConfig,
    seeds: Sequence[int],
    device: str,
) -> EnsembleModule:
    """Return members with their first weights, among their rows."""
    encoders = None if data.fine_tuning is None else data.fine_tuning.encoders.resized(len(seeds))
    network = SpTGNN(shape, encoders)
    network.reset_parameters([torch.Generator().manual_seed(seed) for seed in seeds])
    network.generators = None
    graph = EnsembleModule(network, data, schedule.augment).to(device)
    network.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    return graph


def _finish(
    graph: EnsembleModule, held: MemberEarlyStopping, history: list[dict]
) -> TrainingResult:
    """Return each member at its best, with what it says of the rows held out from it."""
    held.restore(graph)
    graph.update_context()
    mean, log_variance = graph.predict_held_out()
    check_divergence(graph, mean)
    bank = None if graph.data.fine_tuning is None else graph.get_buffer(f"stream_{IMAGERY}").cpu()
    return TrainingResult(graph.ema_network.cpu(), mean, log_variance, history, bank)


def _checkpoint_name(
    shape: NetworkShape,
    data: TrainingSet,
    schedule: TrainingConfig,
    seeds: Sequence[int],
    device: str,
) -> str:
    """Return the digest of all that the result of training depends on."""
    silent = replace(schedule, callbacks=(), verbose=0, checkpoints=None)
    about = (shape, silent, [int(seed) for seed in seeds], device, data.n_neighbors)
    rows = {
        f"{kind} {name}": values
        for kind, tensors in (("stream", data.rows.streams), ("about", data.rows.edge_inputs))
        for name, values in tensors.items()
    }
    fine_tuning = (
        None
        if data.fine_tuning is None
        else (data.fine_tuning.encoders.source, data.fine_tuning.encoders.fine_tuning)
    )
    return digest(
        {
            **rows,
            "about": (about, fine_tuning, torch.__version__, np.__version__),
            "targets": data.targets,
            "weight": data.weight,
            "candidates": data.candidates,
            "held_out": data.held_out,
            "held_source_index": data.held_source_index,
        }
    )


def concatenate_members(parts: Sequence[TrainingResult], shape: NetworkShape) -> TrainingResult:
    """Join members that were trained in groups into one network."""
    if len(parts) == 1:
        return parts[0]
    encoders = parts[0].network.image_encoders
    banks = [part.imagery for part in parts if part.imagery is not None]
    if encoders is not None:
        encoders = encoders.resized(shape.n_members)
    network = SpTGNN(shape, encoders).eval()
    pieces = [part.network.state_dict() for part in parts]
    shared = {name for name, _ in network.named_buffers()}
    network.load_state_dict(
        {
            name: value if name in shared else torch.cat([piece[name] for piece in pieces])
            for name, value in pieces[0].items()
        }
    )
    return TrainingResult(
        network,
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.log_variance for part in parts]),
        [entry for part in parts for entry in part.history],
        torch.cat(banks) if banks else None,
        tuple(file for part in parts for file in part.checkpoints),
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
