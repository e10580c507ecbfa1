"""Training configuration: epochs, batch size, learning rates and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skorch.callbacks import Callback

# Held-out rows are served best after some 250 steps, whatever the size of the table.
_LEAST_EPOCHS, _MOST_EPOCHS, _TARGET_STEPS = 10, 30, 240
_LEAST_STEPS = 120  # of the smallest tables, in any number of epochs


@dataclass(frozen=True)
class TrainingConfig:
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
    n_iter_no_change : int or None
        Early stopping: number of epochs without improvement of any member after which training
        stops; each member keeps its best epoch on its held-out rows. None trains all epochs and
        keeps the last one.
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
    checkpoints : Path or None
        Folder in which the state after each epoch is kept until training is done.
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

    def batch(self, n_rows: int) -> int:
        """Rows of each member in a step."""
        few, many = np.clip(n_rows // 20, 32, 256), min(n_rows // 64, 1024)
        return min(n_rows, self.batch_size or int(max(few, many)))

    def epochs(self, n_rows: int, *, fine_tuning: bool = False) -> int:
        """Epochs for a table of so many rows, with image encoders that are tuned or not."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps = -(-n_rows // self.batch(n_rows))
        least = _MOST_EPOCHS if fine_tuning else _LEAST_EPOCHS
        wanted = min(max(least, -(-_TARGET_STEPS // steps)), _MOST_EPOCHS)
        return max(wanted, -(-_LEAST_STEPS // steps))
