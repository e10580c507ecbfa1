"""Which device torch computes on."""

from __future__ import annotations

import torch

__all__ = ["choose_device"]


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
    >>> from sptgnn_sklearn.devices import choose_device
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
