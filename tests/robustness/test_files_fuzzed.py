"""Damaged files of every format: read, or rejected with a documented error."""

import sys
import time
import warnings
from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("rasterio")
pytest.importorskip("rioxarray")
import file_readers
import fuzz
from file_readers import READERS, Damaged, Reader, outcome

N_FILES = {"chip": 150, "chip cache": 40, "embedding cache": 40}  # fast readers
N_FILES_DEFAULT = 12


@pytest.mark.parametrize("name", READERS)
def test_valid_files_are_read(name, tmp_path):
    """Valid files are read; a PNG is not a chip."""
    for path in Damaged(name, tmp_path).paths:
        expected = "rejected" if path.suffix == ".png" else "read"
        assert outcome(READERS[name], path) == expected


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_rejected(name, tmp_path):
    """Without an error or a warning of another library, in limited time."""
    damaged, outcomes = Damaged(name, tmp_path), Counter()
    for i in range(N_FILES.get(name, N_FILES_DEFAULT)):
        path = damaged.write(f"test/{i}")
        start = time.process_time()
        outcomes[outcome(READERS[name], path)] += 1
        assert time.process_time() - start < file_readers.SECONDS
    assert outcomes["rejected"] > 0


def test_damage_is_reproducible(tmp_path):
    """The seed of a failure gives the same file again."""
    damaged = Damaged("chip", tmp_path)
    one, other = (damaged.write(f"0/0/{i}").read_bytes() for i in (1, 2))
    assert one != other
    assert damaged.write("0/0/1").read_bytes() == one


def test_undocumented_outcomes_are_failures(tmp_path):
    """Errors of other libraries or without a message, and warnings of other classes."""

    def raise_in_python(path):
        int("x")

    def raise_without_message(path):
        raise file_readers.ChipError("")

    def warn(path):
        warnings.warn("look", RuntimeWarning, stacklevel=1)

    def raise_other_class(path):
        raise KeyError("x")

    for read, error in (
        (raise_in_python, AssertionError),
        (raise_without_message, AssertionError),
        (warn, AssertionError),
        (raise_other_class, KeyError),
    ):
        with pytest.raises(error):
            outcome(Reader(read, lambda folder: []), tmp_path)


def test_recorded_parts_are_not_run_again(tmp_path):
    """Except parts with failures, or of another seed or size."""
    options = SimpleNamespace(records=tmp_path, seed=3, parts=4, part=None)
    assert fuzz._missing_parts(options, "a.jsonl", examples=50) == [0, 1, 2, 3]
    for part, failures in ((0, {}), (1, {"KeyError": 2}), (2, {})):
        fuzz._append_record(options, "a.jsonl", part, {"examples": 50, "failures": failures})
    assert fuzz._missing_parts(options, "a.jsonl", examples=50) == [1, 3]
    assert fuzz._missing_parts(options, "a.jsonl", examples=60) == [0, 1, 2, 3]
    options.part = 2
    assert fuzz._missing_parts(options, "a.jsonl", examples=50) == []
    options.seed = 4
    assert fuzz._missing_parts(options, "a.jsonl", examples=50) == [2]


WORKER = """
import os, sys, time
sys.path[:0] = {folders!r}
import file_readers, fuzz

def read(path):
    if path.name == "dies":
        os.kill(os.getpid(), 9)
    if path.name == "hangs":
        time.sleep(600)
    if path.name == "allocates":
        bytearray(4 * 2**30)

file_readers.READERS["odd"] = file_readers.Reader(read, None)
fuzz.main()
"""


@pytest.mark.slow
def test_lost_worker_is_replaced(tmp_path):
    """A killed or hanging process and too much memory are failures; the next file is read."""
    script = tmp_path / "script.py"
    script.write_text(WORKER.format(folders=sys.path))
    with fuzz.Worker("odd", timeout=2.0, script=script) as worker:
        assert worker.read(tmp_path / "fine")[0] == "read"
        assert worker.read(tmp_path / "dies")[0] == "the process ended by -9"
        assert worker.read(tmp_path / "hangs")[0] == "the process hung"
        assert worker.read(tmp_path / "allocates")[0].startswith("MemoryError")
        assert worker.read(tmp_path / "fine")[0] == "read"
