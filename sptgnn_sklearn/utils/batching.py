"""Row chunks and thread limits for memory-bounded computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from sklearn.utils import gen_batches

__all__ = ["default_chunk_rows", "limit_torch_threads", "map_row_chunks"]

# Activations of so many rows of all members stay near a processor's caches, or fill a GPU.
_ROWS_AT_ONCE = {"cpu": 1024}
_ROWS_ON_A_GPU = 16_384
_MIN_CHUNK_ROWS = 256  # below which halving would not help


def default_chunk_rows(device: torch.device) -> int:
    """Return how many rows are best computed at a time.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.batching import default_chunk_rows
    >>> default_chunk_rows(torch.device("cpu"))
    1024
    """
    return _ROWS_AT_ONCE.get(device.type, _ROWS_ON_A_GPU)


@contextmanager
def limit_torch_threads(n_threads: int) -> Iterator[None]:
    """Let torch use no more than so many threads.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.batching import limit_torch_threads
    >>> with limit_torch_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(n_threads, before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_row_chunks(
    work: Callable[[slice], None], n_rows: int, device: torch.device, chunk: int | None = None
) -> None:
    """Compute so many rows in parts, without gradients.

    On a processor parts are computed in as many threads as torch has. A row is little work for one
    operation: two threads that share each operation wait for each other more than they gain, and
    two that have rows of their own do not. Each part is computed by one thread alone, so that the
    result does not depend on their number. On a GPU that has too little memory for a part, that
    part and those after it are halved.

    Parameters
    ----------
    work : function of a slice
        Writes what it computes to places of its own.
    n_rows : int
    device : torch.device
    chunk : int, default=None
        Rows of a part; by default as many as `default_chunk_rows` says.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.batching import map_row_chunks
    >>> found = torch.zeros(6)
    >>> def work(part):
    ...     found[part] = float(part.start)
    >>> map_row_chunks(work, 6, torch.device("cpu"), chunk=3)
    >>> found
    tensor([0., 0., 0., 3., 3., 3.])
    """
    chunk = chunk or default_chunk_rows(device)

    def alone(part: slice) -> None:
        with torch.no_grad():  # which each thread has to say for itself
            work(part)

    if device.type != "cpu":
        _in_memory(alone, n_rows, chunk)
        return
    parts, n_threads = list(gen_batches(n_rows, chunk)), torch.get_num_threads()
    if min(n_threads, len(parts)) < 2:
        for part in parts:
            alone(part)
        return
    # Threads are made anew: those of a pool that is kept would be missing after a fork.
    pool = ThreadPoolExecutor(
        min(n_threads, len(parts)), initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        with pool:
            for done in [pool.submit(alone, part) for part in parts]:
                done.result()
    finally:
        # A thread sets its own number, and that of all threads that come after it.
        torch.set_num_threads(n_threads)


def _in_memory(work: Callable[[slice], None], n_rows: int, chunk: int) -> None:
    """One part after another, of half as many rows as soon as memory is short."""
    start = 0
    while start < n_rows:
        try:
            work(slice(start, min(start + chunk, n_rows)))
        except torch.OutOfMemoryError:
            if chunk <= _MIN_CHUNK_ROWS:
                raise
        else:
            start += chunk
            continue
        # Not while the exception lives, which holds what was allocated.
        torch.cuda.empty_cache()
        chunk //= 2
