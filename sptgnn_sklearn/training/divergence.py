"""Detection of diverged or collapsed training.

The signs are a loss or weights that are not finite, a loss that grew, one expert that takes all
rows, and constant predictions.
"""

from __future__ import annotations

import numpy as np
import torch
from skorch.callbacks import Callback

from .module import EnsembleModule

__all__ = ["DivergenceMonitor", "TrainingDivergedError", "check_divergence"]

_MAX_LOSS_GROWTH = 100.0  # per member; the loss of a model without skill is about 1
_MIN_ROUTER_ROWS = 200  # rows from which experts are checked
_COLLAPSED_GATE = 0.999  # mean gate of one expert
_MIN_PREDICTED_ROWS = 10  # rows from which predictions are checked
_CONSTANT_RANGE = 1e-7  # range of constant predictions, in standard deviations of the target
_CHECKED_ROWS = 4096


class TrainingDivergedError(RuntimeError):
    """Training diverged or collapsed."""


class DivergenceMonitor(Callback):
    """Callback that stops training when loss or weights are not finite or the loss grows."""

    def on_train_begin(self, net, **kwargs):
        self.first_loss: float | None = None

    def on_epoch_end(self, net, **kwargs):
        epoch, loss = len(net.history), net.history[-1]["train_loss"]
        network = net.module_.network
        if not np.isfinite(loss):
            raise TrainingDivergedError(f"The training loss became {loss} in epoch {epoch}.")
        finite = torch.stack([p.detach().isfinite().all() for p in network.parameters()])
        if not bool(finite.all()):
            raise TrainingDivergedError(f"Weights became NaN or infinite in epoch {epoch}.")
        self.first_loss = loss if self.first_loss is None else self.first_loss
        if loss - self.first_loss > _MAX_LOSS_GROWTH * network.shape.n_members:
            raise TrainingDivergedError(
                f"The training loss grew from {self.first_loss:.3g} to {loss:.3g} by epoch {epoch}."
            )


def check_divergence(module: EnsembleModule, mean: np.ndarray, log_variance: np.ndarray) -> None:
    """Raise `TrainingDivergedError` if a trained member predicts constants or no numbers.

    Parameters
    ----------
    module : EnsembleModule
        After training.
    mean, log_variance : ndarray of shape (M, n)
        Each member's predictions of its held-out rows; NaN elsewhere.
    """
    held_out = module.data.held_out
    if not (np.isfinite(mean[held_out]).all() and np.isfinite(log_variance[held_out]).all()):
        raise TrainingDivergedError("Predictions of held-out rows are not finite.")
    for member, (values, rows) in enumerate(zip(mean, held_out, strict=True)):
        enough = rows.sum() >= _MIN_PREDICTED_ROWS
        if enough and np.ptp(values[rows]) < _CONSTANT_RANGE and _rows_vary(module, rows):
            raise TrainingDivergedError(f"Member {member} predicts the same value for all rows.")
    for member, expert in _collapsed_routers(module):
        raise TrainingDivergedError(f"In member {member} expert {expert} takes all rows.")


def _rows_vary(module: EnsembleModule, rows: np.ndarray) -> bool:
    """Return whether targets and inputs of the masked rows (n,) vary."""
    index = torch.from_numpy(np.flatnonzero(rows))
    streams = [values.cpu()[..., index, :] for values in module.rows.streams.values()]
    inputs_vary = any(bool((s.amax(-2) - s.amin(-2)).max() > 0) for s in streams)
    return inputs_vary and bool(np.ptp(module.data.targets[rows]) > 0)


@torch.no_grad()
def _collapsed_routers(module: EnsembleModule) -> list[tuple[int, int]]:
    """Return the members in which one expert takes all rows, and that expert."""
    network, n_rows = module.ema_network, len(module.data.targets)
    if network.shape.n_experts < 2 or n_rows < _MIN_ROUTER_ROWS:
        return []
    n_members = network.shape.n_members
    gates = network.gates(module.rows.expand_streams(slice(0, _CHECKED_ROWS), n_members))
    share, expert = gates.mean(1).max(1)
    return [(m, int(expert[m])) for m in range(n_members) if share[m] > _COLLAPSED_GATE]
