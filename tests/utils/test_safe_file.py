"""Files with a checksum: complete or rejected, and replaced atomically."""

import json
import os
import pickle
import stat

import joblib
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sptgnn_sklearn.utils.safe_file import FileError, read, write

CONTENT = {"name": "clay", "quoted": '"sha256":"', "numbers": [1, 2.5, None]}
ARRAYS = {"values": np.arange(12.0).reshape(3, 4)[:, ::2], "empty": np.empty((0, 2))}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "one.safetensors"
    write(path, "example", CONTENT, ARRAYS)
    return path


def test_content_and_arrays_are_restored(path):
    """Other readers of safetensors can load the arrays, too."""
    content, arrays = read(path, "example")
    assert content == CONTENT
    for result in (arrays, load_file(path)):
        assert set(result) == set(ARRAYS)
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(result[name], values)


def test_every_changed_byte_is_detected(path, tmp_path):
    """One flipped bit at any position, and truncated or extended files."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "bad.safetensors"
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(changed)
        with pytest.raises(FileError, match=r"bad\.safetensors"):
            read(damaged, "example")
    for part in (b"", whole[:5], whole[: len(whole) // 2], whole[:-1], whole + b"\0"):
        damaged.write_bytes(part)
        with pytest.raises(FileError, match=r"bad\.safetensors"):
            read(damaged, "example")


def test_other_kinds_and_formats_raise(path, tmp_path):
    """A file of another kind, and a safetensors file of another program."""
    with pytest.raises(FileError, match="example file, not a model file"):
        read(path, "model")
    other = tmp_path / "other"
    save_file({"a": np.ones(2)}, other, {"format": "pt"})
    with pytest.raises(FileError, match="not written by this package"):
        read(other, "example")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing", "example")


def test_interrupted_write_keeps_the_old_file(path, tmp_path, monkeypatch):
    """On a full disk the existing file is unchanged and no other is left."""
    before = path.read_bytes()

    def fill_up(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fill_up)
    with pytest.raises(OSError, match="No space left"):
        write(path, "example", {}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_content_must_be_json(path, tmp_path):
    """NaN is no JSON, and the existing file is unchanged."""
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write(path, "example", {"a": float("nan")}, {})
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_follow_the_umask(tmp_path):
    """safetensors itself would make files that others cannot read."""
    before = os.umask(0o022)
    try:
        write(tmp_path / "m", "example", {}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o644


def test_metadata_are_plain_json(path):
    """The header can be read without this package."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    metadata = json.loads(whole[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata["content"]) == CONTENT
    assert len(metadata["sha256"]) == 64


@pytest.mark.parametrize("name", ["model.joblib", "model.safetensors", "compressed.pkl"])
def test_pickles_are_named(tmp_path, name):
    """Pickles of any name, and compressed ones with a name of one, are not read."""
    joblib.dump({"a": np.zeros(3)}, tmp_path / name, compress=3 if name == "compressed.pkl" else 0)
    with pytest.raises(FileError, match=r"is a pickle\. .*joblib\.load"):
        read(tmp_path / name, "example")
    (tmp_path / "plain").write_bytes(pickle.dumps([1]))
    with pytest.raises(FileError, match=r"joblib\.load"):
        read(tmp_path / "plain", "example")


def test_missing_folders_are_named(tmp_path):
    """The error names the folder or file, not a temporary file."""
    with pytest.raises(FileNotFoundError, match=r"The folder '.*nodir' does not exist: create it"):
        write(tmp_path / "nodir" / "x.safetensors", "example", {}, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file' is a file, not a folder"):
        write(tmp_path / "file" / "x.safetensors", "example", {}, {})
    with pytest.raises(IsADirectoryError, match="is a folder: pass the path of a file"):
        write(tmp_path, "example", {}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
