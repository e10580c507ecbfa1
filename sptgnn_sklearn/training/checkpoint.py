"""Training that goes on after it was cut off: the state after each epoch, in a file.

A file is named by a digest of all that training depends on, so that it is taken up by the same
training only, and holds all that the next epoch reads: with it the result is that of an unbroken
run. It is written whole or not at all, and no code is in it.
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

__all__ = ["Checkpoint", "digest"]

_CHECKPOINT_KIND = "checkpoint"
_PLAIN = (bool, int, float, str, list, np.generic)


def digest(values: Mapping[str, Any]) -> str:
    """Return a digest of named arrays, tensors and things that their text tells apart.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.training.checkpoint import digest
    >>> digest({"a": np.zeros(2)}) == digest({"a": np.zeros(2)}) != digest({"a": np.zeros(3)})
    True
    """
    found = sha256()
    for name, value in sorted(values.items()):
        array = value.cpu().numpy() if isinstance(value, torch.Tensor) else value
        if isinstance(array, np.ndarray):
            found.update(f"{name}{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        else:
            found.update(f"{name}{array!r}".encode())
    return found.hexdigest()[:32]


class Checkpoint(Callback):
    """Writes the state of training after each epoch, and begins from the one that it finds.

    Parameters
    ----------
    path : Path
        Of the file; its folder is made.
    held : HeldOut
    rate : LRScheduler
    orders : sequence of RandomState
        From which the order of rows is drawn.
    """

    def __init__(
        self,
        path: Path,
        held: MemberEarlyStopping,
        rate: Callback,
        orders: Sequence[np.random.RandomState],
    ):
        self.path, self.held, self.rate, self.orders = path, held, rate, orders

    def find(self) -> int:
        """Read the file if there is one that can be read; return the epochs that are done."""
        self.found: dict[str, Any] | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            content, arrays = read(self.path, _CHECKPOINT_KIND)
            self.found = decode(content, arrays, Registry.empty())
        except FileNotFoundError:
            return 0
        except FileError as error:
            warnings.warn(
                f"The checkpoint cannot be used, and training starts anew: {error}",
                UserWarning,
                stacklevel=2,
            )
            return 0
        return len(self.found["history"])

    def on_train_begin(self, net, **kwargs):
        if self.found is None:
            return
        state, graph = self.found, net.module_
        graph.network.load_state_dict(state["network"])
        graph.ema_network.load_state_dict(state["ema_network"])
        graph.steps = state["steps"]
        net.optimizer_.load_state_dict(state["optimizer"])
        self.rate.lr_scheduler_.load_state_dict(state["rate"])
        self.rate.batch_idx_ = state["batch"]
        self.held.resume(state["held"], next(graph.network.parameters()).device)
        for generator, numbers in zip(graph.network.generators or (), state["draws"], strict=True):
            generator.set_state(numbers)
        for order, numbers in zip(self.orders, state["orders"], strict=True):
            order.set_state(numbers)
        net.history.extend({**entry, "batches": []} for entry in state["history"])
        self.found = None
        graph.update_context()

    def on_epoch_end(self, net, **kwargs):
        graph = net.module_
        state = {
            "network": dict(graph.network.state_dict()),
            "ema_network": dict(graph.ema_network.state_dict()),
            "steps": graph.steps,
            "optimizer": net.optimizer_.state_dict(),
            "rate": self.rate.lr_scheduler_.state_dict(),
            "batch": self.rate.batch_idx_,
            "held": self.held.state(),
            "draws": [generator.get_state() for generator in graph.network.generators or ()],
            "orders": [order.get_state(legacy=True) for order in self.orders],
            # What the callbacks of users record may be anything; batches are recorded by none.
            "history": [
                {k: v for k, v in entry.items() if isinstance(v, _PLAIN) and k != "batches"}
                for entry in net.history
            ],
        }
        write(self.path, _CHECKPOINT_KIND, *encode(state, Registry.empty()))

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
