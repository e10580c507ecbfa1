"""On-disk cache of embeddings in SQLite: each is computed once and survives a killed run.

A namespace identifies an encoder and all processing of a chip before it, and is a folder with one
database. SQLite makes each write atomic and lets several processes read and write; a checksum in
each row detects damage.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np

__all__ = ["EmbeddingCache", "default_directory"]

_DATABASE = "embeddings.sqlite3"
_LOCK_TIMEOUT = 60.0  # seconds to wait for another process
_KEYS_PER_QUERY = 500  # SQLite limits the parameters of a statement
_CREATE = (
    "CREATE TABLE IF NOT EXISTS embeddings "
    "(key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL)"
)


def default_directory() -> Path | None:
    """Return the default cache folder of embeddings.

    It is ``sptgnn_sklearn/embeddings`` in the folder named by the environment variable
    `SPTGNN_CACHE`, else in the user's cache folder: `XDG_CACHE_HOME` or ``~/.cache``, and on
    Windows `LOCALAPPDATA`.

    Returns
    -------
    Path or None
        None if the user has no home folder.

    Examples
    --------
    >>> from sptgnn_sklearn.encoders.embedding_cache import default_directory
    >>> default_directory().parts[-2:]
    ('sptgnn_sklearn', 'embeddings')
    """
    named = os.environ.get("SPTGNN_CACHE")
    system = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    try:
        if named:
            base = Path(named).expanduser()
        elif system and Path(system).is_absolute():  # the XDG standard ignores relative ones
            base = Path(system)
        else:
            base = Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "sptgnn_sklearn" / "embeddings"


class EmbeddingCache:
    """Cache of vectors by key, in memory and on disk.

    If the folder is not writable, one warning is issued and new vectors are kept in memory only.
    A file that SQLite cannot read is renamed to ``*.damaged``, and a new database is started.

    Parameters
    ----------
    directory : path or None
        Folder of all namespaces, created by the first write. None caches in memory only.
    namespace : str
        Name of the subfolder, such as a hex digest.
    width : int
        Length of a vector.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     EmbeddingCache(folder, "0a1b", 2).put([b"key1"], np.array([[0.5, 2.0]]))
    ...     EmbeddingCache(folder, "0a1b", 2).get([b"key1", b"key2"])
    {b'key1': array([0.5, 2. ], dtype=float32)}
    """

    def __init__(self, directory: str | os.PathLike[str] | None, namespace: str, width: int):
        self.namespace = namespace
        self.width = width
        self.folder = None if directory is None else Path(directory).absolute() / namespace
        self._vectors: dict[bytes, np.ndarray] = {}
        self._writable = self.folder is not None
        self._damage_reported = False

    def __contains__(self, key: bytes) -> bool:
        """Return whether a key is in memory, without reading from disk."""
        return key in self._vectors

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Look up vectors, including those written by other processes.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        dict of bytes to ndarray of shape (width,), float32
            Only the keys that are cached.

        Warns
        -----
        UserWarning
            Once, if the database or some of its rows are damaged; these are treated as missing.
        """
        missing = [key for key in dict.fromkeys(keys) if key not in self._vectors]
        # os.path.isfile is also False in folders that may not be searched; Path.is_file raises.
        if missing and self.folder is not None and os.path.isfile(self.folder / _DATABASE):
            try:
                self._read(missing)
            except sqlite3.Error as error:
                # Vectors of an empty, locked or unreadable database are computed again, and `put`
                # warns if it cannot be written.
                if _is_corrupt(error):
                    self._set_aside(error)
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    def put(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add vectors in one transaction.

        Parameters
        ----------
        keys : sequence of n bytes
        vectors : array of shape (n, width)

        Raises
        ------
        ValueError
            If the shapes do not fit.

        Warns
        -----
        UserWarning
            If the folder is not writable.
        """
        # A copy, because the caller may reuse the array.
        vectors = np.array(vectors, dtype=np.float32, order="C")
        if vectors.shape != (len(keys), self.width):
            raise ValueError(
                f"vectors have shape {vectors.shape}; {len(keys)} keys need "
                f"{(len(keys), self.width)}."
            )
        self._vectors.update(zip(keys, vectors, strict=True))
        if not self._writable or not len(keys):
            return
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        rows = [(key, blob, _checksum(key, blob)) for key, blob in zip(keys, blobs, strict=True)]
        try:
            try:
                self._write(rows)
            except sqlite3.Error as error:
                if not _is_corrupt(error):
                    raise
                self._set_aside(error)
                self._write(rows)
        except (OSError, ValueError, sqlite3.Error) as error:  # ValueError: a NUL in the path
            self._writable = False
            warnings.warn(
                f"Embeddings of images cannot be written to {self.folder} "
                f"({getattr(error, 'strerror', None) or error}): they are kept in memory only. Set "
                "cache_dir to a writable folder.",
                UserWarning,
                stacklevel=3,
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Return a context that locks the namespace against other processes.

        Reading and writing are safe without it; the lock keeps two processes from computing the
        same embeddings. It has no effect without a folder or where the file system has no locks.
        """
        from filelock import FileLock

        held = None
        if self._writable and self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held = FileLock(self.folder / ".lock")
                held.acquire()
            except (OSError, ValueError, NotImplementedError):
                held = None
        try:
            yield
        finally:
            if held is not None:
                held.release()

    @contextmanager
    def _connect(self, mode: str) -> Iterator[sqlite3.Connection]:
        """Return a context with a connection in one transaction.

        The journal is SQLite's default: the write-ahead log needs shared memory, which network
        file systems lack, and is no faster for some hundred rows per transaction (20,000 rows:
        5.1 s, default 3.9 s). Connections are short and never shared by threads or forks.
        """
        assert self.folder is not None
        uri = f"{(self.folder / _DATABASE).as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, timeout=_LOCK_TIMEOUT, uri=True)
        try:
            connection.text_factory = bytes  # text in a foreign database may be undecodable
            connection.execute("PRAGMA trusted_schema = OFF")
            with connection:
                yield connection
        finally:
            connection.close()

    def _read(self, keys: list[bytes]) -> None:
        n_damaged = 0
        with self._connect("rw") as connection:  # "ro" could not roll back a killed transaction
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                found = connection.execute(
                    "SELECT key, vector, checksum FROM embeddings WHERE length(vector) = ? "
                    f"AND key IN ({', '.join('?' * len(part))})",
                    [4 * self.width, *part],
                )
                for key, blob, checksum in found:
                    if isinstance(blob, bytes) and checksum == _checksum(key, blob):
                        self._vectors[key] = np.frombuffer(blob, "<f4").astype(np.float32)
                    else:
                        n_damaged += 1
        if n_damaged:
            self._report_damage(f"{n_damaged} embeddings are damaged", stacklevel=4)

    def _write(self, rows: list[tuple[bytes, bytes, bytes]]) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _DATABASE
        if path.exists() and not path.is_file():  # reading a pipe could wait forever
            raise OSError(f"{path.name} is no regular file")
        with self._connect("rwc") as connection:
            connection.execute(_CREATE)
            connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Rename a database that SQLite cannot read, and remove its journal."""
        assert self.folder is not None
        path = self.folder / _DATABASE
        with suppress(OSError):
            os.replace(path, path.with_suffix(".damaged"))
            for suffix in ("-journal", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        self._report_damage(f"the database is damaged or foreign ({error})", stacklevel=4)

    def _report_damage(self, what: str, stacklevel: int) -> None:
        if not self._damage_reported:
            self._damage_reported = True
            warnings.warn(
                f"Cached embeddings in {self.folder}: {what}. They are computed again.",
                UserWarning,
                stacklevel=stacklevel,
            )


def _is_corrupt(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "")  # errors of the module itself have none
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _checksum(key: bytes, blob: bytes) -> bytes:
    return blake2b(key + blob, digest_size=8).digest()
