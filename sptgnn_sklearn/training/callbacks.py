"""skorch callbacks of the training loop: clipping, averaging, early stopping and progress."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from tqdm.auto import tqdm

from .optimizer import split_parameters

BY_MEMBER = "held_out_mse_by_member"  # key of the history
_CLIP_NORM = 2.0


def check_callbacks(callbacks: Sequence[object]) -> None:
    """Raise ValueError for objects that are not skorch callbacks."""
    invalid = [item for item in callbacks if not isinstance(item, Callback)]
    if invalid:
        raise ValueError(f"callbacks={invalid} must be instances of skorch.callbacks.Callback.")


class ClipMembers(Callback):
    """Gradient clipping by the norm of each member, so that members stay independent."""

    def on_train_begin(self, net, **kwargs):
        # Image encoders are clipped separately, because their gradients are larger.
        self.groups = split_parameters(net.module_.network)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        for parameters in self.groups:
            self.clip([p.grad for _, p in parameters if p.grad is not None])

    @staticmethod
    def clip(grads: list[Tensor]) -> None:
        if not grads:
            return
        norm = torch.cat([grad.flatten(1) for grad in grads], dim=1).norm(dim=1)
        scale = (_CLIP_NORM / norm.clamp(min=1e-12)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale.view(-1, *[1] * (grad.dim() - 1)))


class AverageWeights(Callback):
    """Update of the moving average of the weights after each step."""

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            net.module_.update_ema()


class MemberEarlyStopping(Callback):
    """Early stopping on held-out rows that keeps the best epoch of each member.

    It also encodes the source nodes anew after each epoch. With `n_iter_no_change=None` no epoch is
    evaluated and the last one is kept.
    """

    def __init__(self, n_iter_no_change: int | None):
        self.n_iter_no_change = n_iter_no_change

    def on_train_begin(self, net, **kwargs):
        net.module_.update_context()
        self.best_score = np.full(net.module_.data.held_out.shape[0], np.inf)
        self.best_weights: dict[str, Tensor] = {}
        self.n_no_change, self.stopped = 0, False

    def on_epoch_end(self, net, **kwargs):
        module = net.module_  # EnsembleModule
        module.update_context()
        if self.n_iter_no_change is None:
            return
        mean, _ = module.predict_held_out()
        missing, weight = np.isnan(mean), module.data.score_weight
        error = np.where(missing, 0.0, mean - module.data.targets) ** 2 * weight
        total = (~missing * weight).sum(1)
        score = error.sum(1) / np.maximum(total, 1e-12)
        net.history.record("held_out_mse", float(score.mean()))
        net.history.record(BY_MEMBER, score.tolist())
        better = score < self.best_score
        self.best_score[better] = score[better]
        for name, value in module.ema_network.named_parameters():
            kept = self.best_weights.setdefault(name, value.clone())
            kept[torch.from_numpy(better)] = value[torch.from_numpy(better)]
        self.n_no_change = 0 if better.any() else self.n_no_change + 1
        if self.n_no_change >= self.n_iter_no_change:
            self.stopped = True
            raise KeyboardInterrupt  # as skorch's EarlyStopping does

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "best_score": self.best_score,
            "best_weights": self.best_weights,
            "n_no_change": self.n_no_change,
        }

    def load_state(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore a `state`, with its weights on a device."""
        self.best_score, self.n_no_change = state["best_score"], state["n_no_change"]
        self.best_weights = {
            name: value.to(device) for name, value in state["best_weights"].items()
        }

    def restore_best(self, module: nn.Module) -> None:
        """Set the weights of each member to those of its best epoch."""
        if self.best_weights:
            module.get_submodule("ema_network").load_state_dict(self.best_weights, strict=False)


class Progress(Callback):
    """Progress bar over all epochs; the caller must close it."""

    bar: tqdm  # set at the start of training

    def __init__(self, n_epochs: int, early_stopping: MemberEarlyStopping):
        self.n_epochs, self.early_stopping = n_epochs, early_stopping

    def on_train_begin(self, net, **kwargs):
        n_done = len(net.history)
        self.bar = tqdm(total=self.n_epochs, initial=n_done, desc="training", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        self.bar.set_postfix(loss=f"{net.history[-1]['train_loss']:.3f}", refresh=False)
        self.bar.update()

    def on_train_end(self, net, **kwargs):
        # tqdm colors a bar below its total red in notebooks, but early stopping is no failure.
        if self.early_stopping.stopped:
            self.bar.total = self.bar.n = len(net.history)
            self.bar.refresh()

    def close(self) -> None:
        """Close the bar, so that later output starts on a new line."""
        if hasattr(self, "bar"):
            self.bar.close()


def check_interrupted(net: NeuralNet, early_stopping: MemberEarlyStopping, n_epochs: int) -> bool:
    """Return whether the user interrupted training after at least one epoch, and warn.

    skorch catches KeyboardInterrupt, which early stopping raises, too.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted in the first epoch.
    """
    n_complete = sum("train_loss" in entry for entry in net.history)
    if early_stopping.stopped or n_complete >= n_epochs:
        return False
    if n_complete == 0:
        raise KeyboardInterrupt
    warnings.warn(
        f"Training was interrupted after {n_complete} of {n_epochs} epochs; the estimator uses the "
        "weights of that epoch.",
        UserWarning,
        stacklevel=2,
    )
    return True
