"""Damaged files of every kind that is read: read all the same, or refused with a message."""

import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("rasterio")
pytest.importorskip("rioxarray")
import file_readers
import fuzz
from file_readers import READERS, Damaged, Reader, outcome

# So many damaged files of each reader; those that read quickly are read more often.
FILES = {"chip": 150, "archive of chips": 40, "embeddings": 40}
OTHERS = 12


@pytest.mark.parametrize("name", READERS)
def test_valid_files_are_read(name, tmp_path):
    """Otherwise no damage would say anything; only a picture is no chip."""
    for path in Damaged(name, tmp_path).paths:
        expected = "refused" if path.suffix == ".png" else "read"
        assert outcome(READERS[name], path) == expected


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    """No other error, no warning of a library, and no long work."""
    damaged, ends = Damaged(name, tmp_path), Counter()
    for i in range(FILES.get(name, OTHERS)):
        path = damaged.write(f"test/{i}")
        start = time.process_time()
        ends[outcome(READERS[name], path)] += 1
        assert time.process_time() - start < file_readers.SECONDS
    assert ends["refused"] > 0


def test_damage_follows_from_its_number(tmp_path):
    """A failure can be had again by its number."""
    damaged = Damaged("chip", tmp_path)
    one, other = (damaged.write(f"0/0/{i}").read_bytes() for i in (1, 2))
    assert one != other
    assert damaged.write("0/0/1").read_bytes() == one


def test_other_ends_than_the_documented_are_failures(tmp_path):
    """An error of a library, one without a message, and a warning are not let pass."""

    def foreign(path):
        int("x")

    def silent(path):
        raise file_readers.ChipError("")

    def warning(path):
        import warnings

        warnings.warn("look", RuntimeWarning, stacklevel=1)

    def other(path):
        raise KeyError("x")

    for read, error in (
        (foreign, AssertionError),
        (silent, AssertionError),
        (warning, AssertionError),
        (other, KeyError),
    ):
        with pytest.raises(error):
            outcome(Reader(read, lambda folder: []), tmp_path)


def test_parts_on_record_are_not_run_again(tmp_path):
    """Unless something failed in them, or they are of another seed or size."""
    options = SimpleNamespace(records=tmp_path, seed=3, parts=4, part=None)
    assert fuzz._todo(options, "a.jsonl", examples=50) == [0, 1, 2, 3]
    for part, failures in ((0, {}), (1, {"KeyError": 2}), (2, {})):
        fuzz._append(options, "a.jsonl", part, {"examples": 50, "failures": failures})
    assert fuzz._todo(options, "a.jsonl", examples=50) == [1, 3]
    assert fuzz._todo(options, "a.jsonl", examples=60) == [0, 1, 2, 3]
    options.part = 2
    assert fuzz._todo(options, "a.jsonl", examples=50) == []
    options.seed = 4
    assert fuzz._todo(options, "a.jsonl", examples=50) == [2]


WORKER = """
import os, sys, time
sys.path[:0] = {folders!r}
import file_readers, fuzz

def read(path):
    if path.name == "dies":
        os.kill(os.getpid(), 9)
    if path.name == "hangs":
        time.sleep(600)
    if path.name == "hogs":
        bytearray(4 * 2**30)

file_readers.READERS["odd"] = file_readers.Reader(read, None)
fuzz.main()
"""


@pytest.mark.slow
def test_a_worker_that_dies_or_hangs_is_replaced(tmp_path):
    """Both are failures, as is too much memory, and the next file is read."""
    script = tmp_path / "script.py"
    script.write_text(WORKER.format(folders=sys.path))
    with fuzz.Worker("odd", patience=2.0, script=script) as worker:
        assert worker.read(tmp_path / "fine")[0] == "read"
        assert worker.read(tmp_path / "dies")[0] == "the process ended by -9"
        assert worker.read(tmp_path / "hangs")[0] == "the process hung"
        assert worker.read(tmp_path / "hogs")[0].startswith("MemoryError")
        assert worker.read(tmp_path / "fine")[0] == "read"
