"""Torch device and mixed precision."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device", "mixed_precision"]


def _use_one_thread() -> None:
    """Limit torch to one thread: a forked child has no OpenMP threads, but would wait for them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)


def choose_device(name: str) -> str:
    """Return the torch device for the parameter `device`.

    Parameters
    ----------
    name : str
        "auto", which is a GPU if there is one, or any device name of torch.

    Raises
    ------
    ValueError
        If the device is not available.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.device import choose_device
    >>> choose_device("cpu")
    'cpu'
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} is not available ({str(error).splitlines()[0]}): "
            "pass 'auto', 'cpu' or another device of torch."
        ) from error
    return name


def mixed_precision(device: torch.device | str) -> torch.autocast:
    """Return an autocast context to bfloat16 on GPUs that support it, and without effect elsewhere.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.device import mixed_precision
    >>> with mixed_precision(torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    import torch

    kind = torch.device(device).type
    supported = kind == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=supported)
