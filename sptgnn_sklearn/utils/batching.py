"""Row chunks and thread limits for memory-bounded computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from sklearn.utils import gen_batches

__all__ = ["default_chunk_rows", "limit_torch_threads", "map_row_chunks"]

# The activations of these rows fit into the caches of a CPU, or fill a GPU.
_CPU_ROWS, _GPU_ROWS = 1024, 16_384
_MIN_CHUNK_ROWS = 256  # smaller chunks are not halved when GPU memory is short


def default_chunk_rows(device: torch.device) -> int:
    """Return the default number of rows in a chunk.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.batching import default_chunk_rows
    >>> default_chunk_rows(torch.device("cpu"))
    1024
    """
    return _CPU_ROWS if device.type == "cpu" else _GPU_ROWS


@contextmanager
def limit_torch_threads(n_threads: int) -> Iterator[None]:
    """Limit the number of torch threads inside a context.

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
    """Apply a function to chunks of rows without gradients, on a CPU in parallel threads.

    The number of threads is that of torch. Each chunk is computed by a single thread, which is
    faster than several threads in each operation and makes the result independent of their number.
    On a GPU that runs out of memory, the remaining chunks are halved.

    Parameters
    ----------
    work : function of a slice
        Writes its result in place; chunks do not overlap.
    n_rows : int
    device : torch.device
    chunk : int, default=None
        Rows in a chunk. None is `default_chunk_rows`.

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.utils.batching import map_row_chunks
    >>> result = torch.zeros(6)
    >>> def work(rows):
    ...     result[rows] = float(rows.start)
    >>> map_row_chunks(work, 6, torch.device("cpu"), chunk=3)
    >>> result
    tensor([0., 0., 0., 3., 3., 3.])
    """
    chunk = chunk or default_chunk_rows(device)

    def work_without_gradients(rows: slice) -> None:
        with torch.no_grad():  # the mode is local to a thread
            work(rows)

    if device.type != "cpu":
        _halve_on_out_of_memory(work_without_gradients, n_rows, chunk)
        return
    chunks, n_threads = list(gen_batches(n_rows, chunk)), torch.get_num_threads()
    if min(n_threads, len(chunks)) < 2:
        for rows in chunks:
            work_without_gradients(rows)
        return
    # A new pool for each call, because threads of a kept pool do not survive a fork.
    pool = ThreadPoolExecutor(
        min(n_threads, len(chunks)), initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        with pool:
            for done in [pool.submit(work_without_gradients, rows) for rows in chunks]:
                done.result()
    finally:
        # set_num_threads in a thread also sets the default of threads that start later.
        torch.set_num_threads(n_threads)


def _halve_on_out_of_memory(work: Callable[[slice], None], n_rows: int, chunk: int) -> None:
    # Not gen_batches: the chunk size changes on the way.
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
        # Outside of the except clause, where the exception still refers to allocated tensors.
        torch.cuda.empty_cache()
        chunk //= 2
