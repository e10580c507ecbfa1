"""Vectors on disk: whole or not there, shared by processes, never lost."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from sptgnn_sklearn.encoders import embedding_cache as store_module
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache, default_directory

SPACE = "0a1b"


def key(i):
    return i.to_bytes(16, "big")


def vector(i, width=3):
    return np.full(width, i, dtype=np.float32)


def fill(store, numbers):
    store.put([key(i) for i in numbers], np.stack([vector(i, store.width) for i in numbers]))


def numbers_in(store, up_to):
    """Which of the first numbers a store holds, each with its right vector."""
    found = store.get([key(i) for i in range(up_to)])
    for code, value in found.items():
        np.testing.assert_array_equal(value, vector(int.from_bytes(code, "big"), store.width))
    return sorted(int.from_bytes(code, "big") for code in found)


def shards(folder):
    return sorted((folder / SPACE).glob("*.safetensors"))


def test_vectors_come_back_from_disk(tmp_path):
    """A second store of the namespace has what the first was given, and no other has it."""
    fill(EmbeddingCache(tmp_path / "new" / "folder", SPACE, 3), range(5))
    other = EmbeddingCache(tmp_path / "new" / "folder", SPACE, 3)
    assert numbers_in(other, 8) == [0, 1, 2, 3, 4]
    assert other.get([key(2)])[key(2)].dtype == np.float32
    assert numbers_in(EmbeddingCache(tmp_path / "new" / "folder", "ffff", 3), 8) == []


def test_new_shards_are_found_by_a_reader_that_has_read_before(tmp_path):
    """A store that is asked for what it lacks looks for what others have written since."""
    reader, writer = EmbeddingCache(tmp_path, SPACE, 3), EmbeddingCache(tmp_path, SPACE, 3)
    fill(writer, [0])
    assert numbers_in(reader, 2) == [0]
    fill(writer, [1])
    assert key(1) not in reader
    assert numbers_in(reader, 2) == [0, 1]
    assert key(1) in reader


def test_what_is_put_is_a_copy(tmp_path):
    """The caller may go on to use its array."""
    values = np.ones((1, 3), dtype=np.float32)
    store = EmbeddingCache(tmp_path, SPACE, 3)
    store.put([key(1)], values)
    values[:] = 7
    assert numbers_in(store, 2) == [1]


@pytest.mark.parametrize("where", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_shard_is_left_out_with_one_warning(tmp_path, damage, where):
    """What it held can be computed again, which mends it, and other shards are not concerned."""
    store = EmbeddingCache(tmp_path, SPACE, 3)
    fill(store, [0, 1])
    (first,) = shards(tmp_path)
    fill(store, [2])
    content = bytearray(first.read_bytes())
    at = int(where * len(content))
    content[at] ^= 1
    first.write_bytes(content if damage == "flip" else content[:at])

    reader = EmbeddingCache(tmp_path, SPACE, 3)
    with pytest.warns(UserWarning, match=rf"1 file of .*{first.name}.*Delete them") as caught:
        assert numbers_in(reader, 3) == [2]
        assert numbers_in(reader, 3) == [2]
    assert len(caught) == 1
    fill(reader, [0, 1])
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 3) == [0, 1, 2]


def test_foreign_files_are_no_harm(tmp_path):
    """Foreign shards are named in a warning; what is no shard, such as a part, is passed over."""
    fill(EmbeddingCache(tmp_path, SPACE, 3), [0])
    fill(EmbeddingCache(tmp_path, SPACE, 4), [1])  # its vectors have another width
    (tmp_path / SPACE / "a.safetensors").write_bytes(b"")
    (tmp_path / SPACE / "b.safetensors").mkdir()
    for name in (".1f.tmp", "notes.txt", ".safetensors", "._c.safetensors"):
        (tmp_path / SPACE / name).write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"3 files .*a\.safetensors, b\.safetensors\)|3 files"):
        assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 3) == [0]


def test_many_small_shards_become_one(tmp_path):
    """The number of files stays small, and each reader finds all vectors at any time."""
    writer, early = EmbeddingCache(tmp_path, SPACE, 3), EmbeddingCache(tmp_path, SPACE, 3)
    for i in range(100):
        fill(writer, [i])
        if i == 20:
            assert len(numbers_in(early, 100)) == 21
        assert len(shards(tmp_path)) <= store_module.MOST_SHARDS
    assert numbers_in(early, 100) == list(range(100))
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 100) == list(range(100))
    assert [path.name for path in (tmp_path / SPACE).iterdir() if path.suffix == ".tmp"] == []


def test_large_shards_are_not_written_again(tmp_path, monkeypatch):
    """Work stays in proportion to what is new, however large the store is."""
    monkeypatch.setattr(store_module, "SMALL", 1000)
    monkeypatch.setattr(store_module, "MOST_SHARDS", 4)
    store = EmbeddingCache(tmp_path, SPACE, 3)
    fill(store, range(100))
    (large,) = shards(tmp_path)
    written = large.stat().st_ino
    for i in range(100, 112):
        fill(store, [i])
    assert large.stat().st_ino == written
    assert 1 < len(shards(tmp_path)) < 6
    assert len(numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 200)) == 112


def test_a_shard_that_holds_all_the_others_is_kept(tmp_path, monkeypatch):
    """A merge that was killed before it deleted leaves one, and the next merge gives the same."""
    monkeypatch.setattr(store_module, "MOST_SHARDS", 4)
    store = EmbeddingCache(tmp_path, SPACE, 3)
    for numbers in ([0, 1, 2, 3], [0], [1], [2]):
        fill(store, numbers)
    assert len(shards(tmp_path)) == 1
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 9) == [0, 1, 2, 3]


def test_shards_that_vanish_while_they_are_read(tmp_path, monkeypatch):
    """A reader with an old list of shards looks again and finds what they were merged into."""
    store = EmbeddingCache(tmp_path, SPACE, 3)
    for i in range(store_module.MOST_SHARDS - 1):
        fill(store, [i])
    lists = [os.listdir(tmp_path / SPACE)]
    fill(store, [40])
    assert len(shards(tmp_path)) == 1
    now = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: lists.pop() if lists else now(folder))
    found = numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 50)
    assert found == [*range(store_module.MOST_SHARDS - 1), 40]


def test_two_that_merge_at_the_same_time_lose_nothing(tmp_path, monkeypatch):
    """Writers in threads, each with its own store, merge what the others merge too."""
    monkeypatch.setattr(store_module, "MOST_SHARDS", 3)

    def work(first):
        store = EmbeddingCache(tmp_path, SPACE, 3)
        for i in range(first, 60, 3):
            store.get([key(99)])  # look for the others' shards
            fill(store, [i])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 60) == list(range(60))


def test_without_a_directory_nothing_is_written(tmp_path, monkeypatch):
    """It works in memory alone."""
    monkeypatch.chdir(tmp_path)
    store = EmbeddingCache(None, SPACE, 3)
    with store.lock():
        fill(store, [0, 1])
    assert numbers_in(store, 3) == [0, 1]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path):
    """Vectors stay in memory, and the warning names folder and parameter."""
    (tmp_path / "file").touch()
    store = EmbeddingCache(tmp_path / "file", SPACE, 3)
    with store.lock(), pytest.warns(UserWarning, match=rf"{tmp_path}.*Set cache_dir") as caught:
        fill(store, [0])
        fill(store, [1])
    assert len(caught) == 1
    assert numbers_in(store, 3) == [0, 1]


def test_a_full_disk_leaves_no_part_behind(tmp_path, monkeypatch):
    """When a shard cannot be finished, its part is removed and the vectors are still known."""

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    store = EmbeddingCache(tmp_path, SPACE, 3)
    with pytest.warns(UserWarning, match="No space left on device"):
        fill(store, [0])
    assert list((tmp_path / SPACE).iterdir()) == []
    assert numbers_in(store, 1) == [0]


def test_what_does_not_fit_is_refused(tmp_path):
    """Shapes and keys that do not fit would make a shard that cannot be read."""
    store = EmbeddingCache(tmp_path, SPACE, 3)
    with pytest.raises(ValueError, match=r"shape \(1, 4\) where 1 keys need \(1, 3\)"):
        store.put([key(0)], np.zeros((1, 4)))
    with pytest.raises(ValueError, match="bytes of one length"):
        store.put([b"a", b"bc"], np.zeros((2, 3)))
    store.put([], np.zeros((0, 3)))
    assert list(tmp_path.iterdir()) == []


def test_one_holds_the_lock_at_a_time(tmp_path):
    """Who asks for the namespace waits until the other has left it."""
    steps = []

    def wait():
        with EmbeddingCache(tmp_path, SPACE, 3).lock():
            steps.append("second")

    thread = threading.Thread(target=wait)
    with EmbeddingCache(tmp_path, SPACE, 3).lock():
        thread.start()
        thread.join(0.3)
        steps.append("first")
    thread.join()
    assert steps == ["first", "second"]


def test_default_directory(monkeypatch, tmp_path):
    """SPTGNN_CACHE goes before the system's cache folder, which goes before the home folder."""
    end = Path("sptgnn_sklearn", "embeddings")
    monkeypatch.setattr(store_module.sys, "platform", "linux")
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert default_directory() == tmp_path / "own" / end
    monkeypatch.delenv("SPTGNN_CACHE")
    assert default_directory() == tmp_path / "xdg" / end
    monkeypatch.setattr(store_module.sys, "platform", "win32")
    assert default_directory() == tmp_path / "local" / end
    monkeypatch.setattr(store_module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_directory() == tmp_path / ".cache" / end
