"""Training configuration: epochs, batch size, learning rates and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skorch.callbacks import Callback

# The held-out error is lowest after about 250 steps, whatever the size of the table.
_MIN_EPOCHS, _MAX_EPOCHS, _TARGET_STEPS = 10, 30, 240
_MIN_STEPS = 120  # for the smallest tables, in any number of epochs


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training loop.

    Parameters
    ----------
    max_epochs : int or None
        None uses 10 to 30 epochs, for about 240 steps; more epochs if 30 have fewer than 120 steps;
        at least 30 if image encoders are fine-tuned.
    batch_size : int or None
        None uses a twentieth of the rows, between 32 and 256; above 16,000 rows a 64th, up to 1024.
    learning_rate, weight_decay : float
        Peak learning rate of the one-cycle schedule; weight decay of AdamW.
    n_iter_no_change : int or None
        Early stopping: number of epochs without improvement of any member after which training
        stops; each member keeps its best epoch on its held-out rows. None trains all epochs and
        keeps the last one.
    beta, moran_weight : float
        See `losses.SpTGNNLoss`.
    encoder_learning_rate, layer_decay : float
        Peak learning rate of the last stage of the image encoders; factor from each stage to the
        one below.
    augment : bool
        Rotate and flip image chips at random.
    callbacks : sequence of skorch callbacks
        Additional callbacks.
    verbose : int
        0: silent, 1: a progress bar, 2: a line for each epoch.
    checkpoints : Path or None
        Folder for the training state after each epoch, which is deleted at the end of the fit.
    """

    max_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    n_iter_no_change: int | None = 10
    beta: float = 0.5
    moran_weight: float = 0.0
    encoder_learning_rate: float = 1e-4
    layer_decay: float = 0.75
    augment: bool = True
    callbacks: Sequence[Callback] = ()
    verbose: int = 0
    checkpoints: Path | None = None

    def resolve_batch_size(self, n_rows: int) -> int:
        """Return the number of rows of each member in a step."""
        small, large = np.clip(n_rows // 20, 32, 256), min(n_rows // 64, 1024)
        return min(n_rows, self.batch_size or int(max(small, large)))

    def resolve_epochs(self, n_rows: int, *, fine_tuning: bool = False) -> int:
        """Return the number of epochs for a number of training rows."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps = -(-n_rows // self.resolve_batch_size(n_rows))
        least = _MAX_EPOCHS if fine_tuning else _MIN_EPOCHS
        epochs = min(max(least, -(-_TARGET_STEPS // steps)), _MAX_EPOCHS)
        return max(epochs, -(-_MIN_STEPS // steps))
