"""Rows computed side by side: each part once, no gradients, and threads as they were."""

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


def test_each_part_is_computed_once_without_gradients(threads):
    """By as many threads as torch has, each with one of its own."""
    x = torch.ones(40, requires_grad=True)
    found = torch.zeros(40)
    seen = []

    def work(part):
        found[part] += x[part] * 2
        seen.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))

    with torch.enable_grad():
        map_row_chunks(work, 40, CPU, chunk=7)
        assert torch.is_grad_enabled()
    assert not found.requires_grad
    torch.testing.assert_close(found, torch.full((40,), 2.0))
    assert {(n, grad) for _, n, grad in seen} == {(1, False)}
    assert len({thread for thread, _, _ in seen}) <= threads
    assert torch.get_num_threads() == threads


def test_errors_come_out_and_threads_are_as_they_were(threads):
    """Also for those that are made later."""

    def fail(part):
        if part.start:
            raise ValueError(f"row {part.start}")

    with pytest.raises(ValueError, match="row 2"):
        map_row_chunks(fail, 6, CPU, chunk=2)
    assert torch.get_num_threads() == threads
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads]


def test_threads_are_fewer_for_a_while_only(threads):
    """Never more than there were, never none, and as they were after an error too."""
    for wanted, given in ((0, 1), (1, 1), (9, threads)):
        with pytest.raises(ValueError, match="odd"), limit_torch_threads(wanted):
            assert torch.get_num_threads() == given
            raise ValueError("odd")
        assert torch.get_num_threads() == threads


def test_too_little_memory_halves_the_parts(monkeypatch):
    """What is computed stays; parts too small to be halved raise."""
    monkeypatch.setattr("sptgnn_sklearn.utils.batching._MIN_CHUNK_ROWS", 2)
    done, fits = [], 4

    def work(part):
        if part.stop - part.start > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        done.append((part.start, part.stop))

    map_row_chunks(work, 10, torch.device("meta"), chunk=8)
    assert done == [(0, 4), (4, 8), (8, 10)]
    fits = 0
    with pytest.raises(torch.OutOfMemoryError):
        map_row_chunks(work, 10, torch.device("meta"), chunk=8)


def test_one_part_and_other_devices_stay_in_the_calling_thread(threads):
    """A thread costs more than it gains there."""
    seen = []
    for n_rows, device in ((2, CPU), (6, torch.device("meta"))):
        work = lambda part: seen.append(threading.current_thread())  # noqa: E731
        map_row_chunks(work, n_rows, device, chunk=2)
    assert seen == [threading.current_thread()] * 4
