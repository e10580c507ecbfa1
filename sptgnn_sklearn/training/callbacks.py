"""What happens between the steps and epochs of training, as skorch callbacks."""

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

BY_MEMBER = "held_out_mse_by_member"  # in the history
_CLIP_NORM = 2.0


def check_callbacks(callbacks: Sequence[object]) -> None:
    """Raise a ValueError for what skorch cannot call."""
    odd = [item for item in callbacks if not isinstance(item, Callback)]
    if odd:
        raise ValueError(f"callbacks={odd} are no instances of skorch.callbacks.Callback.")


class ClipMembers(Callback):
    """Clip the gradient of each member by its own norm, so that members stay independent."""

    def on_train_begin(self, net, **kwargs):
        # Encoders apart: their gradients are larger and would take the step from the others.
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
    """Move the running average of the weights after each step."""

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            net.module_.update_ema()


class MemberEarlyStopping(Callback):
    """After each epoch encode the context anew and judge each member on its held-out rows.

    With early stopping, keep each member's best epoch and stop when no member improves.
    """

    def __init__(self, n_iter_no_change: int | None):
        self.n_iter_no_change = n_iter_no_change

    def on_train_begin(self, net, **kwargs):
        net.module_.update_context()
        self.best = np.full(net.module_.data.held_out.shape[0], np.inf)
        self.best_weights: dict[str, Tensor] = {}
        self.waited, self.stopped = 0, False

    def on_epoch_end(self, net, **kwargs):
        graph = net.module_  # the TrainingGraph
        graph.update_context()
        if self.n_iter_no_change is None:
            return
        mean, _ = graph.predict_held_out()
        error = np.where(np.isnan(mean), 0.0, mean - graph.data.targets) ** 2 * graph.data.weight
        known = (~np.isnan(mean) * graph.data.weight).sum(1)
        score = error.sum(1) / np.maximum(known, 1e-12)
        net.history.record("held_out_mse", float(score.mean()))
        net.history.record(BY_MEMBER, score.tolist())
        better = score < self.best
        self.best[better] = score[better]
        for name, value in graph.ema_network.named_parameters():
            kept = self.best_weights.setdefault(name, value.clone())
            kept[torch.from_numpy(better)] = value[torch.from_numpy(better)]
        self.waited = 0 if better.any() else self.waited + 1
        if self.waited >= self.n_iter_no_change:
            self.stopped = True
            raise KeyboardInterrupt  # the way in which skorch's own EarlyStopping ends a fit

    def state(self) -> dict[str, Any]:
        """Return what has been found so far, for `resume`."""
        return {"best": self.best, "weights": self.best_weights, "waited": self.waited}

    def resume(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a `state`, with its weights on a device."""
        self.best, self.waited = state["best"], state["waited"]
        self.best_weights = {name: value.to(device) for name, value in state["weights"].items()}

    def restore(self, graph: nn.Module) -> None:
        """Give each member the weights of its best epoch."""
        if self.best_weights:
            graph.get_submodule("ema_network").load_state_dict(self.best_weights, strict=False)


class Progress(Callback):
    """One bar over all epochs. Whoever starts the training closes it, however that ends."""

    bar: tqdm  # from the start of the training on

    def __init__(self, n_epochs: int, held: MemberEarlyStopping):
        self.n_epochs, self.held = n_epochs, held

    def on_train_begin(self, net, **kwargs):
        done = len(net.history)
        self.bar = tqdm(total=self.n_epochs, initial=done, desc="training", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        self.bar.set_postfix(loss=f"{net.history[-1]['train_loss']:.3f}", update_context=False)
        self.bar.update()

    def on_train_end(self, net, **kwargs):
        # A bar that ends short of its total is red in a notebook, but an early stop is no failure.
        if self.held.stopped:
            self.bar.total = self.bar.n = len(net.history)
            self.bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is, so that what follows starts on a line of its own."""
        if hasattr(self, "bar"):
            self.bar.close()


def check_interrupted(net: NeuralNet, held: MemberEarlyStopping, epochs: int) -> bool:
    """Tell the user's Ctrl-C, which skorch swallows, from stopping early.

    Returns
    -------
    bool
        Whether training was interrupted after at least one epoch.

    Raises
    ------
    KeyboardInterrupt
        If no epoch was whole.
    """
    whole = sum("train_loss" in entry for entry in net.history)
    if held.stopped or whole >= epochs:
        return False
    if whole == 0:
        raise KeyboardInterrupt
    warnings.warn(
        f"Training was interrupted after {whole} of {epochs} epochs; the estimator uses the "
        "weights reached by then.",
        UserWarning,
        stacklevel=2,
    )
    return True
