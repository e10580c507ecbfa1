"""Training that went wrong: what is looked for, and what is said.

A fault is told from what training leaves behind: a loss or weights that are no numbers, a loss that
grew instead of falling, one expert that takes every row, predictions that are all the same.
"""

from __future__ import annotations

import numpy as np
import torch
from skorch.callbacks import Callback

from .module import EnsembleModule

__all__ = ["DivergenceMonitor", "TrainingDivergedError", "check_divergence"]

_GROWTH = 100.0  # of the loss of a member, in the unit in which a useless model has about one
_ENOUGH_ROWS = 200  # from which a router has rows to tell apart
_ALL = 0.999  # share of one expert
_SOME_ROWS = 10
_CONSTANT_PREDICTIONS = 1e-7  # of a standard deviation of the target
_LOOKED_AT = 4096


class TrainingDivergedError(FloatingPointError):
    """Training led nowhere."""


class DivergenceMonitor(Callback):
    """Stops training as soon as the loss or the weights are no numbers, or the loss grows."""

    def on_train_begin(self, net, **kwargs):
        self.first: float | None = None

    def on_epoch_end(self, net, **kwargs):
        epoch, loss = len(net.history), net.history[-1]["train_loss"]
        network = net.module_.network
        if not np.isfinite(loss):
            raise TrainingDivergedError(f"The training loss became {loss} in epoch {epoch}.")
        whole = torch.stack([p.detach().isfinite().all() for p in network.parameters()])
        if not bool(whole.all()):
            raise TrainingDivergedError(f"Weights became NaN or infinite in epoch {epoch}.")
        self.first = loss if self.first is None else self.first
        if loss - self.first > _GROWTH * network.shape.n_members:
            raise TrainingDivergedError(
                f"Training diverges: its loss grew from {self.first:.3g} to {loss:.3g} by epoch "
                f"{epoch}."
            )


def check_divergence(graph: EnsembleModule, mean: np.ndarray) -> None:
    """Raise a TrainingFault if trained members are of no use.

    Parameters
    ----------
    graph : TrainingGraph
        After training.
    mean : ndarray of shape (M, n)
        Each member's predictions of the rows held out from it; NaN elsewhere.
    """
    known = ~np.isnan(mean)
    if not np.isfinite(mean[known]).all():
        raise TrainingDivergedError("Members predict numbers that are not finite.")
    for member, (row, there) in enumerate(zip(mean, known, strict=True)):
        some = there.sum() >= _SOME_ROWS
        if some and np.ptp(row[there]) < _CONSTANT_PREDICTIONS and _varied(graph, there):
            raise TrainingDivergedError(f"Member {member} predicts the same value for all rows.")
    for member, expert in _dead_routers(graph):
        raise TrainingDivergedError(f"In member {member} expert {expert} takes all rows.")


def _varied(graph: EnsembleModule, there: np.ndarray) -> bool:
    """Whether targets and inputs of some rows differ."""
    at = torch.from_numpy(np.flatnonzero(there))
    streams = [values.cpu()[..., at, :] for values in graph.rows.streams.values()]
    inputs = any(bool((s.amax(-2) - s.amin(-2)).max() > 0) for s in streams)
    return inputs and bool(np.ptp(graph.data.targets[there]) > 0)


@torch.no_grad()
def _dead_routers(graph: EnsembleModule) -> list[tuple[int, int]]:
    """Return the members whose router sends all rows to one expert, and that expert."""
    network, n_rows = graph.ema_network, len(graph.data.targets)
    if network.shape.n_experts < 2 or n_rows < _ENOUGH_ROWS:
        return []
    members = network.shape.n_members
    gates = network.gates(graph.rows.expand_streams(slice(0, _LOOKED_AT), members))
    share, expert = gates.mean(1).max(1)
    return [(m, int(expert[m])) for m in range(members) if share[m] > _ALL]
