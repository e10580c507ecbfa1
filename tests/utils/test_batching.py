"""Chunks of rows in threads: each is computed once, without gradients, and thread counts return."""

import threading

import pytest
import torch

from sptgnn_sklearn.utils.batching import limit_torch_threads, map_row_chunks

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_chunk_is_computed_once_without_gradients(threads):
    """In at most as many threads as torch has, each of which uses one itself."""
    x = torch.ones(40, requires_grad=True)
    result = torch.zeros(40)
    seen = []

    def work(rows):
        result[rows] += x[rows] * 2
        seen.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))

    with torch.enable_grad():
        map_row_chunks(work, 40, CPU, chunk=7)
        assert torch.is_grad_enabled()
    assert not result.requires_grad
    torch.testing.assert_close(result, torch.full((40,), 2.0))
    assert {(n, grad) for _, n, grad in seen} == {(1, False)}
    assert len({thread for thread, _, _ in seen}) <= threads
    assert torch.get_num_threads() == threads


def test_errors_are_raised_and_thread_counts_restored(threads):
    """Threads that start later have the same count, too."""

    def fail(rows):
        if rows.start:
            raise ValueError(f"row {rows.start}")

    with pytest.raises(ValueError, match="row 2"):
        map_row_chunks(fail, 6, CPU, chunk=2)
    assert torch.get_num_threads() == threads
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads]


def test_thread_limit_is_temporary(threads):
    """At least one thread, at most as many as before, and restored after an error."""
    for limit, expected in ((0, 1), (1, 1), (9, threads)):
        with pytest.raises(ValueError, match="odd"), limit_torch_threads(limit):
            assert torch.get_num_threads() == expected
            raise ValueError("odd")
        assert torch.get_num_threads() == threads


def test_out_of_memory_halves_the_chunks(monkeypatch):
    """Finished chunks are kept; the smallest chunks raise the error."""
    monkeypatch.setattr("sptgnn_sklearn.utils.batching._MIN_CHUNK_ROWS", 2)
    done, most_rows = [], 4

    def work(rows):
        if rows.stop - rows.start > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        done.append((rows.start, rows.stop))

    map_row_chunks(work, 10, torch.device("meta"), chunk=8)
    assert done == [(0, 4), (4, 8), (8, 10)]
    most_rows = 0
    with pytest.raises(torch.OutOfMemoryError):
        map_row_chunks(work, 10, torch.device("meta"), chunk=8)


def test_single_chunks_and_other_devices_use_the_calling_thread(threads):
    """A thread would cost more than it gains there."""
    seen = []
    for n_rows, device in ((2, CPU), (6, torch.device("meta"))):
        work = lambda rows: seen.append(threading.current_thread())  # noqa: E731
        map_row_chunks(work, n_rows, device, chunk=2)
    assert seen == [threading.current_thread()] * 4
