"""Timed jobs: memory, data and the command line."""

import sys

import numpy as np
import pytest

from benchmarks import timed_job
from benchmarks.timed_job import Job, PeakMemory, Split, Timer


def test_peak_memory_includes_freed_arrays():
    """An array that was freed counts until the peak is reset."""
    memory = PeakMemory()
    if memory.start is None:
        pytest.skip("no /proc")
    np.ones(2**23).sum()  # 64 MiB
    assert 50 < memory.peak() < 200
    memory.reset()
    assert memory.peak() < 30


def test_timer_reads_wall_and_cpu_time():
    """Keys start with the given name."""
    times = Timer().read("fit")
    assert set(times) == {"fit_seconds", "fit_cpu_seconds"}
    assert min(times.values()) >= 0


def test_split_of_a_survey():
    """Training rows and new rows have the requested numbers and the same columns."""
    split = Split.from_survey(30, 20, seed=0)
    assert (len(split.X), len(split.y), len(split.X_new), len(split.y_new)) == (30, 30, 20, 20)
    assert list(split.X) == list(split.X_new)


def test_number_of_threads_is_checked(tmp_path, monkeypatch):
    """OMP_NUM_THREADS must be set before the process imports anything."""
    import pickle

    path = tmp_path / "job.pickle"
    path.write_bytes(pickle.dumps(Job("graph", tmp_path / "split.pickle", threads=2)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "argv", ["benchmark", str(path), str(tmp_path / "result.json")])
    with pytest.raises(SystemExit, match="OMP_NUM_THREADS is 1"):
        timed_job.main()
