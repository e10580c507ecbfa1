"""Which device torch computes on."""

from __future__ import annotations

import os

import torch

__all__ = ["choose_device", "mixed_precision"]

if hasattr(os, "register_at_fork"):
    # Threads of OpenMP do not live on in a forked child, which would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def choose_device(name: str) -> str:
    """Return the device that the parameter `device` stands for.

    Parameters
    ----------
    name : str
        "auto", which takes a GPU if there is one, or any name that torch knows.

    Raises
    ------
    ValueError
        If it cannot be used here.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.device import choose_device
    >>> choose_device("cpu")
    'cpu'
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} cannot be used here ({str(error).splitlines()[0]}); "
            "pass 'auto', 'cpu' or a device that torch finds."
        ) from error
    return name


def mixed_precision(device: torch.device | str) -> torch.autocast:
    """Return a context in which a GPU multiplies matrices in bfloat16; elsewhere nothing changes.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.device import mixed_precision
    >>> with mixed_precision(torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    kind = torch.device(device).type
    able = kind == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=able)
