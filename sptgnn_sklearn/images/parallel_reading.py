"""Parallel reading of image files ahead of the encoder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import TypeVar

import numpy as np

from ..table.parsing import URL_PATTERN
from .chip_formats import ChipError, prepare_thread, read_bytes

_AHEAD = 2  # batches that are read while one is encoded
_SLICE = 32  # files in one task of a thread, where each takes little time
Images = Mapping[str, np.ndarray]
Problems = dict[tuple[str, str], str]
T = TypeVar("T")


@dataclass(frozen=True)
class ReadJob:
    """One distinct set of chips to encode: name, path and digest of each."""

    key: bytes
    files: tuple[tuple[str, str, bytes], ...]

    @property
    def digests(self) -> list[bytes]:
        """Digests of the files."""
        return [digest for _, _, digest in self.files]


def fetch_files(path: str) -> bytes:
    """Read a local file; raise ChipError for a URL."""
    if URL_PATTERN.match(path):
        raise ChipError(
            "does not exist as a file; download it first, or cut chips from it with extract_chips"
        )
    return read_bytes(path)


def content_digest(content: bytes) -> bytes:
    """Return the SHA-256 digest of a file."""
    return sha256(content).digest()  # which processors compute in hardware


def job_key(files: Sequence[tuple[str, str, bytes]]) -> bytes:
    """Digest of a set of chips, by the names of their modalities and their content."""
    pairs = sorted((name, digest) for name, _, digest in files)
    return content_digest(repr(pairs).encode())


def distinct_paths(paths: np.ndarray) -> list[str]:
    """Paths in the order in which they first occur, each once."""
    return [path for path in dict.fromkeys(paths.tolist()) if path is not None]


def row_files(
    images: Images, digests: Mapping[str, bytes]
) -> list[tuple[tuple[str, str, bytes], ...]]:
    """Name, path and digest of the images that each row has."""
    return [
        tuple(
            (name, path, digests[path])
            for name, path in zip(images, paths, strict=True)
            if path is not None
        )
        for paths in zip(*(column.tolist() for column in images.values()), strict=True)
    ]


def chip_batches(jobs: Iterable[ReadJob], batch_size: int) -> list[list[ReadJob]]:
    """Rows with the same set of modalities together: the encoder takes no gaps."""
    groups: dict[tuple[str, ...], list[ReadJob]] = {}
    for job in jobs:
        groups.setdefault(tuple(name for name, _, _ in job.files), []).append(job)
    return [
        group[i : i + batch_size]
        for group in groups.values()
        for i in range(0, len(group), batch_size)
    ]


def read_ahead(
    start: Callable[[list[ReadJob]], list[tuple[ReadJob, Future]]], batches: Iterable[list[ReadJob]]
) -> Iterator[list[tuple[ReadJob, Future]]]:
    """Start to read batches in order, never more than `_AHEAD` before the one that is asked for."""
    started: deque[list[tuple[ReadJob, Future]]] = deque()
    for batch in batches:
        started.append(start(batch))
        if len(started) > _AHEAD:
            yield started.popleft()
    while started:
        yield started.popleft()


def map_paths(
    function: Callable[[str], T], paths: Sequence[str], pool: ThreadPoolExecutor
) -> Iterator[tuple[str, T | ChipError]]:
    """Apply a function to paths in the threads of a pool; results in the order of the paths."""

    def some(part: Sequence[str]) -> list[tuple[str, T | ChipError]]:
        found: list[tuple[str, T | ChipError]] = []
        for path in part:
            try:
                found.append((path, function(path)))
            except ChipError as error:
                found.append((path, error))
        return found

    parts = [paths[i : i + _SLICE] for i in range(0, len(paths), _SLICE)]
    return chain.from_iterable(pool.map(some, parts))


@contextmanager
def reading_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that read; on an error, what is not begun is not waited for."""
    pool = ThreadPoolExecutor(workers, "chips", initializer=prepare_thread)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
