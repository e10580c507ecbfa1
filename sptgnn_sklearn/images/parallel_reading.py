"""Threads that read image files ahead of the encoder."""

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

from ..table.column_parsing import URL_PATTERN
from .chip_formats import ChipError, prepare_thread, read_bytes

_BATCHES_AHEAD = 2  # batches read while one is encoded
_FILES_PER_TASK = 32  # small files are read in groups, because a task has an overhead of its own
# Paths (n,) by modality, None where a row has no image; and reasons by modality and path.
ImagePaths = Mapping[str, np.ndarray]
UnusableFiles = dict[tuple[str, str], str]
T = TypeVar("T")


@dataclass(frozen=True)
class ReadJob:
    """Cache key of a distinct set of chips to encode, with modality, path and digest of each."""

    key: bytes
    files: tuple[tuple[str, str, bytes], ...]

    @property
    def digests(self) -> list[bytes]:
        """Digests of the files."""
        return [digest for _, _, digest in self.files]


def read_chip_file(path: str) -> bytes:
    """Read a local chip file; raise ChipError for a URL."""
    if URL_PATTERN.match(path):
        raise ChipError(
            "does not exist as a file; download it first, or cut chips from it with extract_chips"
        )
    return read_bytes(path)


def content_digest(content: bytes) -> bytes:
    """Return the SHA-256 digest of a file's content."""
    return sha256(content).digest()  # hardware-accelerated on most processors


def job_key(files: Sequence[tuple[str, str, bytes]]) -> bytes:
    """Return the digest of a set of chips from their modalities and contents."""
    pairs = sorted((name, digest) for name, _, digest in files)
    return content_digest(repr(pairs).encode())


def distinct_paths(paths: np.ndarray) -> list[str]:
    """Return the distinct paths in order of first occurrence, without None."""
    return [path for path in dict.fromkeys(paths.tolist()) if path is not None]


def row_files(
    paths: ImagePaths, digests: Mapping[str, bytes]
) -> list[tuple[tuple[str, str, bytes], ...]]:
    """Return modality, path and digest of each row's images."""
    return [
        tuple(
            (name, path, digests[path])
            for name, path in zip(paths, row, strict=True)
            if path is not None
        )
        for row in zip(*(column.tolist() for column in paths.values()), strict=True)
    ]


def chip_batches(jobs: Iterable[ReadJob], batch_size: int) -> list[list[ReadJob]]:
    """Split jobs into batches of one set of modalities each, as the encoder requires."""
    groups: dict[tuple[str, ...], list[ReadJob]] = {}
    for job in jobs:
        groups.setdefault(tuple(name for name, _, _ in job.files), []).append(job)
    return [
        group[i : i + batch_size]
        for group in groups.values()
        for i in range(0, len(group), batch_size)
    ]


def prefetch_batches(
    start: Callable[[list[ReadJob]], list[tuple[ReadJob, Future]]], batches: Iterable[list[ReadJob]]
) -> Iterator[list[tuple[ReadJob, Future]]]:
    """Start reading batches in order, at most `_BATCHES_AHEAD` before the one yielded."""
    started: deque[list[tuple[ReadJob, Future]]] = deque()
    for batch in batches:
        started.append(start(batch))
        if len(started) > _BATCHES_AHEAD:
            yield started.popleft()
    while started:
        yield started.popleft()


def map_paths(
    function: Callable[[str], T], paths: Sequence[str], pool: ThreadPoolExecutor
) -> Iterator[tuple[str, T | ChipError]]:
    """Apply a function to paths in a thread pool; yield (path, result) in the given order.

    A ChipError raised for a path is its result.
    """

    def apply(part: Sequence[str]) -> list[tuple[str, T | ChipError]]:
        results: list[tuple[str, T | ChipError]] = []
        for path in part:
            try:
                results.append((path, function(path)))
            except ChipError as error:
                results.append((path, error))
        return results

    parts = [paths[i : i + _FILES_PER_TASK] for i in range(0, len(paths), _FILES_PER_TASK)]
    return chain.from_iterable(pool.map(apply, parts))


@contextmanager
def reading_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Return a context with a pool of reader threads; on exit, waiting tasks are cancelled."""
    pool = ThreadPoolExecutor(workers, "chips", initializer=prepare_thread)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
