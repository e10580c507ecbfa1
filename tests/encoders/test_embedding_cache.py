"""Embedding cache: complete rows, shared by processes, tolerant of damage and full disks."""

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sptgnn_sklearn.encoders import embedding_cache
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache, default_directory

SPACE = "0a1b"


def key(i):
    return i.to_bytes(16, "big")


def vector(i, width=3):
    return np.full(width, i, dtype=np.float32)


def fill(cache, numbers):
    cache.put([key(i) for i in numbers], np.stack([vector(i, cache.width) for i in numbers]))


def numbers_in(cache, up_to):
    """Return which of the first numbers a cache has, and check their vectors."""
    result = cache.get([key(i) for i in range(up_to)])
    for code, value in result.items():
        np.testing.assert_array_equal(value, vector(int.from_bytes(code, "big"), cache.width))
    return sorted(int.from_bytes(code, "big") for code in result)


def database(folder):
    return folder / SPACE / "embeddings.sqlite3"


def test_vectors_are_read_back_from_disk(tmp_path):
    """A second cache of the namespace has the vectors of the first; another namespace does not."""
    fill(EmbeddingCache(tmp_path / "new" / "folder", SPACE, 3), range(5))
    other = EmbeddingCache(tmp_path / "new" / "folder", SPACE, 3)
    assert numbers_in(other, 8) == [0, 1, 2, 3, 4]
    assert other.get([key(2)])[key(2)].dtype == np.float32
    assert numbers_in(EmbeddingCache(tmp_path / "new" / "folder", "ffff", 3), 8) == []


def test_bits_of_vectors_are_kept(tmp_path):
    """Subnormal numbers, negative zero, infinity and NaN payloads are stored bit by bit."""
    bits = np.array([[1, 1 << 31, 0x7F800000, 0x7FC00001, 0x3DCCCCCD]], dtype=np.uint32)
    EmbeddingCache(tmp_path, SPACE, 5).put([b"a"], bits.view(np.float32))
    result = EmbeddingCache(tmp_path, SPACE, 5).get([b"a"])[b"a"]
    np.testing.assert_array_equal(result.view(np.uint32), bits[0])
    result += 1  # a copy that the caller may change


def test_many_keys(tmp_path):
    """More keys than a statement may have parameters, each requested twice."""
    fill(EmbeddingCache(tmp_path, SPACE, 3), range(1300))
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    assert len(cache.get([key(i) for i in range(1400)] * 2)) == 1300


def test_later_writes_of_others_are_found(tmp_path):
    """A missing key is looked up on disk again."""
    reader, writer = EmbeddingCache(tmp_path, SPACE, 3), EmbeddingCache(tmp_path, SPACE, 3)
    fill(writer, [0])
    assert numbers_in(reader, 2) == [0]
    fill(writer, [1])
    assert key(1) not in reader
    assert numbers_in(reader, 2) == [0, 1]
    assert key(1) in reader


def test_put_copies_vectors(tmp_path):
    """Changing the array after `put` has no effect."""
    values = np.ones((1, 3), dtype=np.float32)
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    cache.put([key(1)], values)
    values[:] = 7
    assert numbers_in(cache, 2) == [1]


def test_damaged_rows_are_missing_with_one_warning(tmp_path):
    """A changed bit in a vector is detected; putting the vector again repairs the row."""
    fill(EmbeddingCache(tmp_path, SPACE, 3), range(3))
    content = database(tmp_path).read_bytes()
    stored = vector(1).tobytes()
    assert content.count(stored) == 1
    database(tmp_path).write_bytes(content.replace(stored, b"\1" + stored[1:]))
    reader = EmbeddingCache(tmp_path, SPACE, 3)
    with pytest.warns(UserWarning, match=rf"{SPACE}: 1 embeddings are damaged") as caught:
        assert numbers_in(reader, 3) == [0, 2]
        assert numbers_in(reader, 3) == [0, 2]
    assert len(caught) == 1
    fill(reader, [1])
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 3) == [0, 1, 2]


@pytest.mark.parametrize("where", [0.0, 0.02, 0.3, 0.6, 0.98])
@pytest.mark.parametrize("damage", ["flip", "cut", "zero"])
@pytest.mark.filterwarnings("ignore:Cached embeddings in .* damaged:UserWarning")
def test_damaged_databases_are_repaired(tmp_path, damage, where):
    """Vectors are right or missing, and can be put again."""
    fill(EmbeddingCache(tmp_path, SPACE, 200), range(40))
    content = bytearray(database(tmp_path).read_bytes())
    at = int(where * len(content))
    if damage == "flip":
        content[at : at + 64] = bytes(b ^ 0x55 for b in content[at : at + 64])
    elif damage == "zero":
        content[at : at + 4096] = bytes(len(content[at : at + 4096]))
    database(tmp_path).write_bytes(content[:at] if damage == "cut" else content)
    cache = EmbeddingCache(tmp_path, SPACE, 200)
    assert set(numbers_in(cache, 40)) <= set(range(40))
    fill(cache, range(40))
    assert numbers_in(cache, 40) == list(range(40))
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 200), 40) == list(range(40))


def test_foreign_file_is_renamed(tmp_path):
    """A file of another kind is kept under another name, and a new database is started."""
    database(tmp_path).parent.mkdir()
    database(tmp_path).write_bytes(b"notes" * 1000)
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    with pytest.warns(UserWarning, match="damaged or foreign") as caught:
        assert numbers_in(cache, 2) == []
        fill(cache, [0])
    assert len(caught) == 1
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 2) == [0]
    assert database(tmp_path).with_suffix(".damaged").read_bytes() == b"notes" * 1000


def test_foreign_contents_of_a_database_are_ignored(tmp_path):
    """Other widths, other types and undecodable text are missing; other tables are kept."""
    fill(EmbeddingCache(tmp_path, SPACE, 3), [0])
    fill(EmbeddingCache(tmp_path, SPACE, 4), [1])
    with closing(sqlite3.connect(database(tmp_path))) as connection, connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.execute(
            "INSERT INTO embeddings VALUES (?, CAST(X'ff41424344454647484950515253' AS TEXT), 1)",
            [key(2)],
        )
        connection.execute("INSERT INTO embeddings VALUES (?, 123456789012, X'00')", [key(3)])
    with pytest.warns(UserWarning, match="damaged"):
        assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 4) == [0]


@pytest.mark.parametrize(
    "columns", ["name TEXT", "key BLOB, vector BLOB, checksum BLOB CHECK (length(checksum) = 3)"]
)
def test_database_with_another_table_layout_stays_unchanged(tmp_path, columns):
    """Vectors are kept in memory, with a warning; only corrupt databases are renamed."""
    database(tmp_path).parent.mkdir()
    with closing(sqlite3.connect(database(tmp_path))) as connection, connection:
        connection.execute(f"CREATE TABLE embeddings ({columns})")
    before = database(tmp_path).read_bytes()
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    assert numbers_in(cache, 2) == []
    with pytest.warns(UserWarning, match="Set cache_dir"):
        fill(cache, [0])
    assert numbers_in(cache, 2) == [0]
    assert database(tmp_path).read_bytes() == before


def test_concurrent_writers_lose_nothing(tmp_path):
    """Threads with caches of their own read and write the same namespace."""

    def work(first):
        cache = EmbeddingCache(tmp_path, SPACE, 3)
        for i in range(first, 60, 3):
            cache.get([key(99)])
            fill(cache, [i])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 3), 60) == list(range(60))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
def test_killed_writer_loses_at_most_its_last_write(tmp_path):
    """After SIGKILL during writing, all completed writes are read and new ones succeed."""

    def work():
        cache = EmbeddingCache(tmp_path / "cache", SPACE, 300)
        for i in range(100_000):
            fill(cache, [i])
            with open(tmp_path / "log", "a") as file:
                file.write("x")

    for _ in range(5):
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        time.sleep(0.15)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        done = len((tmp_path / "log").read_text()) if (tmp_path / "log").exists() else 0
        (tmp_path / "log").unlink(missing_ok=True)
        cache = EmbeddingCache(tmp_path / "cache", SPACE, 300)
        assert set(range(done)) <= set(numbers_in(cache, done + 1))
    fill(cache, [200_000])
    assert key(200_000) in EmbeddingCache(tmp_path / "cache", SPACE, 300).get([key(200_000)])


def test_cache_without_a_directory_is_in_memory(tmp_path, monkeypatch):
    """Nothing is written to disk."""
    monkeypatch.chdir(tmp_path)
    cache = EmbeddingCache(None, SPACE, 3)
    with cache.lock():
        fill(cache, [0, 1])
    assert numbers_in(cache, 3) == [0, 1]
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_writable_warns_once(tmp_path):
    """Vectors stay in memory, and the warning names folder and parameter."""
    (tmp_path / "file").touch()
    cache = EmbeddingCache(tmp_path / "file", SPACE, 3)
    with cache.lock(), pytest.warns(UserWarning, match=rf"{tmp_path}.*Set cache_dir") as caught:
        fill(cache, [0])
        fill(cache, [1])
    assert len(caught) == 1
    assert numbers_in(cache, 3) == [0, 1]


def test_folder_without_permission_is_treated_as_empty(tmp_path, monkeypatch):
    """Files whose status may not be read are computed again."""
    fill(EmbeddingCache(tmp_path, SPACE, 3), [0])
    stat = os.stat

    def refuse(path, **options):
        if not isinstance(path, int) and os.fspath(path) == os.fspath(database(tmp_path)):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    cache = EmbeddingCache(tmp_path, SPACE, 3)
    monkeypatch.setattr(os, "stat", refuse)
    assert numbers_in(cache, 2) == []
    monkeypatch.undo()
    assert numbers_in(cache, 2) == [0]


def test_read_only_database_is_read(tmp_path, monkeypatch):
    """A cache of another user is read, and new vectors stay in memory."""
    fill(EmbeddingCache(tmp_path, SPACE, 3), [0])
    connect = sqlite3.connect

    def read_only(address, **options):
        return connect(
            address.replace("mode=rwc", "mode=ro").replace("mode=rw", "mode=ro"), **options
        )

    monkeypatch.setattr(embedding_cache.sqlite3, "connect", read_only)
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    assert numbers_in(cache, 2) == [0]
    with pytest.warns(UserWarning, match="readonly"):
        fill(cache, [1])
    assert numbers_in(cache, 2) == [0, 1]


def test_full_disk_keeps_vectors_in_memory(tmp_path, monkeypatch):
    """A write that does not fit is undone, and earlier vectors are still read."""
    fill(EmbeddingCache(tmp_path, SPACE, 300), [0])
    connect = sqlite3.connect

    def full(address, **options):
        connection = connect(address, **options)
        connection.execute("PRAGMA max_page_count = 8")
        return connection

    monkeypatch.setattr(embedding_cache.sqlite3, "connect", full)
    cache = EmbeddingCache(tmp_path, SPACE, 300)
    with pytest.warns(UserWarning, match="full"):
        fill(cache, range(1, 100))
    assert numbers_in(cache, 100) == list(range(100))
    monkeypatch.undo()
    assert numbers_in(EmbeddingCache(tmp_path, SPACE, 300), 100) == [0]
    assert [path.name for path in (tmp_path / SPACE).iterdir()] == ["embeddings.sqlite3"]


def test_locked_database_keeps_vectors_in_memory(tmp_path, monkeypatch):
    """A lock that another process does not release is waited for, then reported."""
    monkeypatch.setattr(embedding_cache, "_LOCK_TIMEOUT", 0.1)
    fill(EmbeddingCache(tmp_path, SPACE, 3), [0])
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    with closing(sqlite3.connect(database(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert numbers_in(cache, 2) == []
        with pytest.warns(UserWarning, match="locked"):
            fill(cache, [1])
    assert numbers_in(cache, 2) == [0, 1]


def test_wrong_shapes_raise(tmp_path):
    """Vectors must fit the keys and the width; no keys write nothing."""
    cache = EmbeddingCache(tmp_path, SPACE, 3)
    with pytest.raises(ValueError, match=r"shape \(1, 4\); 1 keys need \(1, 3\)"):
        cache.put([key(0)], np.zeros((1, 4)))
    cache.put([], np.zeros((0, 3)))
    assert list(tmp_path.iterdir()) == []


def test_lock_is_exclusive(tmp_path):
    """A second process waits until the first leaves the lock."""
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


def test_folder_names_with_special_characters(tmp_path):
    """Characters with a meaning in URIs are part of the path."""
    folder = tmp_path / "50% #1?mode=ro é"
    fill(EmbeddingCache(folder, SPACE, 3), [0])
    assert database(folder).is_file()
    assert numbers_in(EmbeddingCache(folder, SPACE, 3), 1) == [0]


def test_relative_folder_does_not_follow_the_working_directory(tmp_path, monkeypatch):
    """The folder is resolved when the cache is created."""
    monkeypatch.chdir(tmp_path)
    cache = EmbeddingCache("here", SPACE, 3)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    fill(cache, [0])
    assert database(tmp_path / "here").is_file()


def test_default_directory(monkeypatch, tmp_path):
    """SPTGNN_CACHE precedes the system's cache folder, which precedes the home folder."""
    end = Path("sptgnn_sklearn", "embeddings")
    monkeypatch.setattr(embedding_cache.sys, "platform", "linux")
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert default_directory() == tmp_path / "own" / end
    monkeypatch.delenv("SPTGNN_CACHE")
    assert default_directory() == tmp_path / "xdg" / end
    monkeypatch.setattr(embedding_cache.sys, "platform", "win32")
    assert default_directory() == tmp_path / "local" / end
    monkeypatch.setattr(embedding_cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_directory() == tmp_path / ".cache" / end
