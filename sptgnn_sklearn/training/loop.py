"""Training loop of all ensemble members in one batched pass, with skorch.

skorch runs the loop over the module (`EnsembleModule`), the batches (`MemberBatches`), the loss
(`SpTGNNLoss`) and the callbacks.
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

_MIN_BATCH = 32  # batch size below which it is not halved
_ROWS_PER_THREAD = 512  # rows of all members in a step


@dataclass
class TrainingResult:
    """Trained network and out-of-fold predictions.

    Attributes
    ----------
    network : SpTGNN
        In evaluation mode, on the CPU.
    mean, log_variance : ndarray of shape (M, n)
        Each member's predictions of its held-out rows; NaN elsewhere.
    history : list of dict
        One entry for each epoch.
    imagery : Tensor of shape (M, n, d) or None
        Image stream of the training rows; None without fine-tuning.
    checkpoints : tuple of Path
        Files to delete at the end of the fit; empty after an interruption, so that a later fit can
        resume.
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
    config: TrainingConfig,
    seeds: Sequence[int],
    device: str = "cpu",
) -> TrainingResult:
    """Train one member for each seed, all in one batched pass.

    Diverged training is repeated once with a tenth of the learning rate. If a batch exceeds the
    memory of the GPU, training is repeated with half the batch size.

    Parameters
    ----------
    shape : NetworkShape
        With as many members as seeds.
    data : TrainingSet
    config : TrainingConfig
    seeds : sequence of int
        Seed of each member, for its initial weights, its dropout and its row order.
    device : str

    Raises
    ------
    TrainingDivergedError
        If training diverged with the lower learning rate, too.
    """
    lowered, initial_batch = False, None
    while True:
        try:
            trained = _train_members(shape, data, config, seeds, device)
            break
        except TrainingDivergedError as error:
            if lowered:
                raise TrainingDivergedError(
                    f"{error} A tenth of the learning rate did not help. Look for extreme values "
                    "in y and in the covariates, try target_transform='log1p' for a skewed target, "
                    "or change learning_rate, n_experts or max_epochs."
                ) from error
            lowered = True
            config = _lower_learning_rate(config)
            warnings.warn(
                f"{error} Training is repeated with learning_rate={config.learning_rate:.3g}.",
                UserWarning,
                stacklevel=2,
            )
            continue
        except torch.OutOfMemoryError:
            batch = config.resolve_batch_size(int((~data.held_out).sum(1).max()))
            if batch <= _MIN_BATCH:
                raise
        # Outside of the except block, because the exception holds references to tensors.
        torch.cuda.empty_cache()
        initial_batch = initial_batch or batch
        config = replace(config, batch_size=batch // 2)
    if initial_batch:
        warnings.warn(
            f"The GPU has too little memory for batches of {initial_batch} rows of each member. "
            f"Training used batch_size={config.batch_size}; set it to avoid failed attempts.",
            UserWarning,
            stacklevel=2,
        )
    return trained


def _lower_learning_rate(config: TrainingConfig) -> TrainingConfig:
    return replace(
        config,
        learning_rate=config.learning_rate / 10,
        encoder_learning_rate=config.encoder_learning_rate / 10,
    )


def _train_members(
    shape: NetworkShape,
    data: TrainingSet,
    config: TrainingConfig,
    seeds: Sequence[int],
    device: str,
) -> TrainingResult:
    module = _make_module(shape, data, config, seeds, device)
    n_rows = int((~data.held_out).sum(1).max())
    rngs = [np.random.RandomState(seed) for seed in seeds]
    batch_size = config.resolve_batch_size(n_rows)
    n_epochs = config.resolve_epochs(n_rows, fine_tuning=data.fine_tuning is not None)
    n_steps = -(-n_rows // batch_size)
    groups = parameter_groups(
        module.network,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        encoder_learning_rate=config.encoder_learning_rate,
        layer_decay=config.layer_decay,
    )
    early_stopping = MemberEarlyStopping(config.n_iter_no_change)
    scheduler = one_cycle([group["lr"] for group in groups], n_epochs * n_steps)
    progress = Progress(n_epochs, early_stopping)
    callbacks: list[tuple[str, Callback]] = [
        ("clip", ClipMembers()),
        ("average", AverageWeights()),
        ("divergence", DivergenceMonitor()),
        ("scheduler", scheduler),
        ("early_stopping", early_stopping),
        *((f"user_{i}", callback) for i, callback in enumerate(config.callbacks)),
    ]
    checkpoint, n_done = None, 0
    if config.checkpoints is not None:
        name = _checkpoint_name(shape, data, config, seeds, device)
        path = config.checkpoints / f"{name}.safetensors"
        checkpoint = Checkpoint(path, early_stopping, scheduler, rngs)
        n_done = checkpoint.load()
        callbacks.append(("checkpoint", checkpoint))
    if config.verbose == 1:
        callbacks.append(("progress", progress))
    if config.verbose > 1:
        callbacks.append(("log", PrintLog(keys_ignored=BY_MEMBER)))
    net = MemberNet(
        module,
        SpTGNNLoss(beta=config.beta, moran_weight=config.moran_weight),
        optimizer=lambda _, lr: torch.optim.AdamW(groups, lr=lr, fused=True),
        lr=config.learning_rate,
        max_epochs=n_epochs - n_done,
        batch_size=batch_size,
        iterator_train=partial(MemberBatches, data=data, rngs=rngs, device=device),
        train_split=None,
        callbacks=callbacks,
        callbacks__print_log=None,
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        callbacks__epoch_timer=None,
        verbose=int(config.verbose > 1),
        device=device,
    )
    # Synchronization costs more than it gains with few rows per thread, except with image chips.
    n_threads = torch.get_num_threads()
    if data.fine_tuning is None:
        n_threads = len(seeds) * batch_size // _ROWS_PER_THREAD
    try:
        with closing(progress), limit_torch_threads(n_threads):
            net.fit(np.arange(n_rows), None)
        interrupted = check_interrupted(net, early_stopping, n_epochs)
        trained = _make_result(module, early_stopping, list(net.history))
    except (TrainingDivergedError, torch.OutOfMemoryError):
        if checkpoint is not None:
            checkpoint.discard()  # it would diverge again
        raise
    if checkpoint is not None and not interrupted:
        trained.checkpoints = (checkpoint.path,)
    return trained


def _make_module(
    shape: NetworkShape,
    data: TrainingSet,
    config: TrainingConfig,
    seeds: Sequence[int],
    device: str,
) -> EnsembleModule:
    """Return the module with the initial weights of the members."""
    encoders = None if data.fine_tuning is None else data.fine_tuning.encoders.resized(len(seeds))
    network = SpTGNN(shape, encoders)
    network.reset_parameters([torch.Generator().manual_seed(seed) for seed in seeds])
    network.generators = None
    module = EnsembleModule(network, data, config.augment).to(device)
    network.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    return module


def _make_result(
    module: EnsembleModule, early_stopping: MemberEarlyStopping, history: list[dict]
) -> TrainingResult:
    """Restore the best epoch of each member, and predict its held-out rows."""
    early_stopping.restore_best(module)
    module.update_context()
    mean, log_variance = module.predict_held_out()
    check_divergence(module, mean, log_variance)
    fine_tuned = module.data.fine_tuning is not None
    imagery = module.get_buffer(f"stream_{IMAGERY}").cpu() if fine_tuned else None
    return TrainingResult(module.ema_network.cpu(), mean, log_variance, history, imagery)


def _checkpoint_name(
    shape: NetworkShape,
    data: TrainingSet,
    config: TrainingConfig,
    seeds: Sequence[int],
    device: str,
) -> str:
    """Return a digest of all inputs of the training."""
    relevant = replace(config, callbacks=(), verbose=0, checkpoints=None)
    settings = (shape, relevant, [int(seed) for seed in seeds], device, data.n_neighbors)
    rows = {
        f"{kind} {name}": values
        for kind, tensors in (("stream", data.rows.streams), ("edges", data.rows.edge_inputs))
        for name, values in tensors.items()
    }
    fine_tuning = (
        None
        if data.fine_tuning is None
        else (data.fine_tuning.encoders.source, data.fine_tuning.encoders.fine_tune)
    )
    noise = {} if data.noise is None else {"noise": data.noise}
    return digest(
        {
            **rows,
            **noise,
            "settings": (settings, fine_tuning, torch.__version__, np.__version__),
            "targets": data.targets,
            "weight": data.weight,
            "candidates": data.candidates,
            "held_out": data.held_out,
            "held_out_neighbors": data.held_out_neighbors,
        }
    )


def concatenate_members(parts: Sequence[TrainingResult], shape: NetworkShape) -> TrainingResult:
    """Concatenate members trained in groups to one network."""
    if len(parts) == 1:
        return parts[0]
    encoders = parts[0].network.image_encoders
    imagery = [part.imagery for part in parts if part.imagery is not None]
    if encoders is not None:
        encoders = encoders.resized(shape.n_members)
    network = SpTGNN(shape, encoders).eval()
    states = [part.network.state_dict() for part in parts]
    shared = {name for name, _ in network.named_buffers()}
    network.load_state_dict(
        {
            name: value if name in shared else torch.cat([state[name] for state in states])
            for name, value in states[0].items()
        }
    )
    return TrainingResult(
        network,
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.log_variance for part in parts]),
        [entry for part in parts for entry in part.history],
        torch.cat(imagery) if imagery else None,
        tuple(file for part in parts for file in part.checkpoints),
    )


class MemberNet(NeuralNet):
    """skorch net that reads the losses once per epoch, to avoid synchronization with the GPU."""

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
