"""Checkpoints: the training state after each epoch in a file, to resume an interrupted fit.

The file name is a digest of all inputs of the training, so that only an identical fit resumes from
it. The file holds the complete state, so that the result equals that of an uninterrupted run bit
for bit. It is written atomically and contains no code.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from ..utils.codec import Registry, decode, encode
from ..utils.safe_file import FileError, read, write
from .callbacks import MemberEarlyStopping
from .checkpoint_checks import check_epochs, check_state

__all__ = ["Checkpoint", "digest"]

_CHECKPOINT_KIND = "checkpoint"
_SAVED_TYPES = (bool, int, float, str, list, np.generic)


def digest(values: Mapping[str, Any]) -> str:
    """Return a digest of named arrays, tensors and objects with a distinctive repr.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.training.checkpoint import digest
    >>> digest({"a": np.zeros(2)}) == digest({"a": np.zeros(2)}) != digest({"a": np.zeros(3)})
    True
    """
    hasher = sha256()
    for name, value in sorted(values.items()):
        array = value.cpu().numpy() if isinstance(value, torch.Tensor) else value
        if isinstance(array, np.ndarray):
            hasher.update(f"{name}{array.dtype}{array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).data)
        else:
            hasher.update(f"{name}{array!r}".encode())
    return hasher.hexdigest()[:32]


class Checkpoint(Callback):
    """Callback that saves the training state after each epoch and resumes from it.

    Parameters
    ----------
    path : Path
        File name; the folder is created.
    early_stopping : MemberEarlyStopping
    scheduler : LRScheduler
    rngs : sequence of RandomState
        Random states of the row order of each member.
    """

    def __init__(
        self,
        path: Path,
        early_stopping: MemberEarlyStopping,
        scheduler: Callback,
        rngs: Sequence[np.random.RandomState],
    ):
        self.path, self.early_stopping = path, early_stopping
        self.scheduler, self.rngs = scheduler, rngs

    def load(self) -> int:
        """Read the file if it exists and is valid; return the number of completed epochs."""
        self.loaded: dict[str, Any] | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():  # cannot be replaced by a file
            self._warn(f"{str(self.path)!r} is a folder.")
            self.path = self.path.with_stem(f"{self.path.stem}-file")
        try:
            content, arrays = read(self.path, _CHECKPOINT_KIND)
            state = decode(content, arrays, Registry.empty())
            n_done = check_epochs(state)
        except FileNotFoundError:
            return 0
        except (FileError, OSError) as error:
            self._warn(error)
            return 0
        self.loaded = state
        return n_done

    @staticmethod
    def _warn(reason: object) -> None:
        warnings.warn(
            f"The checkpoint cannot be read and training starts from the beginning: {reason}",
            UserWarning,
            stacklevel=3,
        )

    def on_train_begin(self, net, **kwargs):
        if self.loaded is None:
            return
        state, module, self.loaded = self.loaded, net.module_, None
        n_epochs = net.max_epochs + len(state["history"])
        try:
            check_state(state, net, self.early_stopping, self.scheduler, n_epochs)
        # Values of other types can raise any exception where they are compared.
        except Exception as error:
            self._warn(error)
            net.max_epochs = n_epochs
            return
        module.network.load_state_dict(state["network"])
        module.ema_network.load_state_dict(state["ema_network"])
        module.n_steps = state["n_steps"]
        net.optimizer_.load_state_dict(state["optimizer"])
        self.scheduler.lr_scheduler_.load_state_dict(state["scheduler"])
        self.scheduler.batch_idx_ = state["scheduler_step"]
        device = next(module.network.parameters()).device
        self.early_stopping.load_state(state["early_stopping"], device)
        generators = module.network.generators or ()
        for generator, saved in zip(generators, state["generators"], strict=True):
            generator.set_state(saved)
        for rng, saved in zip(self.rngs, state["rngs"], strict=True):
            rng.set_state(saved)
        net.history.extend({**entry, "batches": []} for entry in state["history"])
        module.update_context()

    def on_epoch_end(self, net, **kwargs):
        module = net.module_
        state = {
            "network": dict(module.network.state_dict()),
            "ema_network": dict(module.ema_network.state_dict()),
            "n_steps": module.n_steps,
            "optimizer": net.optimizer_.state_dict(),
            "scheduler": self.scheduler.lr_scheduler_.state_dict(),
            "scheduler_step": self.scheduler.batch_idx_,
            "early_stopping": self.early_stopping.state(),
            "generators": [g.get_state() for g in module.network.generators or ()],
            "rngs": [rng.get_state(legacy=True) for rng in self.rngs],
            # Entries of other types, which the user's callbacks may record, are not saved.
            "history": [
                {k: v for k, v in entry.items() if isinstance(v, _SAVED_TYPES) and k != "batches"}
                for entry in net.history
            ],
        }
        write(self.path, _CHECKPOINT_KIND, *encode(state, Registry.empty()))

    def discard(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
