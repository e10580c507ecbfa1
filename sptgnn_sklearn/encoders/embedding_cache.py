"""Embeddings on disk: each is computed once, and survives a run that is killed.

A namespace, which stands for the encoder and for all that happens to a chip before it, is a folder
of shards. A shard is a safetensors file that is written whole and never changed; its name is the
digest of its content, so that a damaged or foreign file is found out. Every process may add shards
at any time, and a reader takes up those that are new to it.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import numpy as np

__all__ = ["EmbeddingCache", "default_directory"]

# Small shards are merged when there are so many; one of SMALL bytes or more is left as it is, so
# that an embedding is rewritten a few times only, however large the store grows.
MOST_SHARDS = 32
SMALL = 32 * 2**20
_SUFFIX = ".safetensors"


def default_directory() -> Path | None:
    """Return the folder for embeddings where the user names none.

    It is ``sptgnn_sklearn/embeddings`` in the folder named by the environment variable
    `SPTGNN_CACHE`, else in the user's cache folder: `XDG_CACHE_HOME` or ``~/.cache``, and on
    Windows `LOCALAPPDATA`.

    Returns
    -------
    Path or None
        None where the user has no home folder.

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
    """Vectors by key, in memory and on disk.

    Where the folder cannot be written, a warning says so once and new vectors stay in memory, so
    that nothing computed is lost to the run.

    Parameters
    ----------
    directory : path or None
        Folder of all namespaces; made when first written to. None: memory only.
    namespace : str
        Name of the folder within it, such as a hex digest.
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
        self.folder = None if directory is None else Path(directory) / namespace
        self._vectors: dict[bytes, np.ndarray] = {}
        self._sizes: dict[str, int] = {}  # good shards on disk, by name, in bytes
        self._bad: set[str] = set()
        self._writable = self.folder is not None

    def __contains__(self, key: bytes) -> bool:
        """Tell whether a key is in memory, without a look at the disk."""
        return key in self._vectors

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Look keys up, in the shards of other processes too.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        dict of bytes to ndarray of shape (width,), float32
            Only the keys that are there.

        Warns
        -----
        UserWarning
            Once for each damaged or foreign shard, which is left out.
        """
        if any(key not in self._vectors for key in keys):
            self._refresh()
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    def put(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add vectors, as one new shard.

        Parameters
        ----------
        keys : sequence of n bytes, all of one length
        vectors : array of shape (n, width)

        Raises
        ------
        ValueError
            If the shapes do not fit.

        Warns
        -----
        UserWarning
            If the folder cannot be written.
        """
        # A copy: the caller may go on to use the array.
        vectors = np.array(vectors, dtype=np.float32, order="C")
        if vectors.shape != (len(keys), self.width):
            raise ValueError(
                f"vectors have shape {vectors.shape} where {len(keys)} keys need "
                f"{(len(keys), self.width)}."
            )
        if len({len(key) for key in keys}) > 1 or b"" in keys:
            raise ValueError("keys must be bytes of one length.")
        if not len(keys):
            return
        self._vectors.update(zip(keys, vectors, strict=True))
        if not self._writable:
            return
        try:
            self._write(list(keys), vectors)
        except OSError as error:
            self._writable = False
            warnings.warn(
                f"Embeddings of images cannot be written to {self.folder} ({error.strerror}): "
                "they stay in memory and are computed again the next time. Set cache_dir to a "
                "folder that can be written.",
                UserWarning,
                stacklevel=3,
            )
            return
        small = [name for name, size in self._sizes.items() if size < SMALL]
        if len(small) >= MOST_SHARDS:
            with suppress(OSError, ValueError):  # the vectors are on disk already
                self._compact(small)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the namespace against other processes that ask for it.

        Reading and writing are safe without it; it keeps two processes from computing the same.
        Where there is no folder to hold, or its file system has no locks, it does nothing.
        """
        from filelock import FileLock

        held = None
        if self._writable and self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held = FileLock(self.folder / ".lock")
                held.acquire()
            except (OSError, NotImplementedError):
                held = None
        try:
            yield
        finally:
            if held is not None:
                held.release()

    def _refresh(self) -> None:
        """Load the shards that are new on disk."""
        # A shard that vanishes between listing and reading was merged by another process into one
        # that is there already: list again.
        for _ in range(5):
            if not self._load_new():
                return

    def _load_new(self) -> bool:
        if self.folder is None:
            return False
        try:
            names = [name for name in os.listdir(self.folder) if name.endswith(_SUFFIX)]
        except OSError:
            return False
        names = [name for name in names if not name.startswith(".")]
        self._sizes = {name: self._sizes[name] for name in names if name in self._sizes}
        vanished, bad = False, []
        for name in sorted(set(names) - set(self._sizes) - self._bad):
            try:
                keys, vectors, size = self._read(name)
            except FileNotFoundError:
                vanished = True
                continue
            # Whatever a foreign file makes its reader raise, it costs a computation and no more.
            except Exception:
                bad.append(name)
                continue
            self._vectors.update(zip(keys, vectors, strict=True))
            self._sizes[name] = size
        if bad:
            self._bad.update(bad)
            warnings.warn(
                f"{len(bad)} file{'s' * (len(bad) > 1)} of embeddings in {self.folder} cannot be "
                f"used, damaged or foreign ({', '.join(bad[:3])}): what they held is computed "
                "again. Delete them to stop this message.",
                UserWarning,
                stacklevel=5,
            )
        return vanished

    def _read(self, name: str) -> tuple[list[bytes], np.ndarray, int]:
        from safetensors.numpy import load

        assert self.folder is not None
        content = (self.folder / name).read_bytes()
        if name != _shard_name(content):
            raise ValueError("its name is not the digest of its content")
        tensors = load(content)
        codes, vectors = tensors["keys"], tensors["vectors"]
        if vectors.dtype != np.float32 or vectors.shape != (len(codes), self.width):
            raise ValueError("it holds other vectors")
        return [code.tobytes() for code in codes], vectors, len(content)

    def _write(self, keys: list[bytes], vectors: np.ndarray) -> str:
        from safetensors.numpy import save

        assert self.folder is not None
        codes = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
        content = save({"keys": codes, "vectors": np.ascontiguousarray(vectors)})
        name = _shard_name(content)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not tempfile: its files are for their owner only, and a cache may be shared by a group.
        part = self.folder / f".{uuid4().hex}.tmp"
        try:
            with open(part, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / name)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        self._sizes[name] = len(content)
        self._bad.discard(name)
        return name

    def _compact(self, names: list[str]) -> None:
        """Write the vectors of some shards as one, then delete these.

        A process that does the same writes the same again, and deletes only what it has written
        anew; so at every moment each vector is in some shard.
        """
        assert self.folder is not None
        merged: dict[bytes, np.ndarray] = {}
        done = []
        for name in names:
            try:
                keys, vectors, _ = self._read(name)
            except Exception:  # gone or damaged since it was loaded: none of it is merged
                self._sizes.pop(name, None)
                continue
            merged.update(zip(keys, vectors, strict=True))
            done.append(name)
        if len(done) < 2:
            return
        keep = self._write(list(merged), np.stack(list(merged.values())))
        for name in done:
            if name != keep:
                with suppress(OSError):
                    (self.folder / name).unlink()
                self._sizes.pop(name, None)


def _shard_name(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest() + _SUFFIX
