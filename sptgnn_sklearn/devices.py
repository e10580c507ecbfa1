"""Which device torch computes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["choose_device", "mixed_precision", "rows_at_once", "side_by_side"]

# Activations of so many rows of all members stay near a processor's caches, or fill a GPU.
_ROWS_AT_ONCE = {"cpu": 512}
_ROWS_ON_A_GPU = 16_384

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


def rows_at_once(device: torch.device) -> int:
    """Return how many rows are best computed at a time.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.devices import rows_at_once
    >>> rows_at_once(torch.device("cpu"))
    512
    """
    return _ROWS_AT_ONCE.get(device.type, _ROWS_ON_A_GPU)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return a context in which a GPU multiplies matrices in bfloat16; elsewhere nothing changes.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.devices import mixed_precision
    >>> with mixed_precision(torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=able)


def side_by_side(
    work: Callable[[slice], None], parts: Iterable[slice], device: torch.device
) -> None:
    """Compute parts of some rows without gradients; on a processor in as many threads as torch has.

    A row is little work for one operation: two threads that share each operation wait for each
    other more than they gain, and two that have rows of their own do not. Each part is computed by
    one thread alone, so that the result does not depend on their number.

    Parameters
    ----------
    work : function of a slice
        Writes what it computes to places of its own.
    parts : iterable of slice
    device : torch.device

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.devices import side_by_side
    >>> found = torch.zeros(6)
    >>> def work(part):
    ...     found[part] = float(part.start)
    >>> side_by_side(work, [slice(0, 3), slice(3, 6)], torch.device("cpu"))
    >>> found
    tensor([0., 0., 0., 3., 3., 3.])
    """
    parts, n_threads = list(parts), torch.get_num_threads()
    workers = min(n_threads, len(parts)) if device.type == "cpu" else 1

    def alone(part: slice) -> None:
        with torch.no_grad():  # which each thread has to say for itself
            work(part)

    if workers < 2:
        for part in parts:
            alone(part)
        return
    # Threads are made anew: those of a pool that is kept would be missing after a fork.
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with pool:
            for done in [pool.submit(alone, part) for part in parts]:
                done.result()
    finally:
        # A thread sets its own number, and that of all threads that come after it.
        torch.set_num_threads(n_threads)
