"""Chip loading: bands and sizes from the training rows, and embeddings of rows by an encoder.

Embeddings are cached by file content, so file names and row order have no effect, and a file that
is replaced under the same name is read again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from hashlib import blake2b
from itertools import islice
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from tqdm.auto import tqdm

from ..images.chip_formats import ChipError, chip_shape
from ..images.chips import INDICES, band_indices, read_chip, standardize_chip
from ..images.modalities import Modality, make_modality
from ..images.parallel_reading import (
    ImagePaths,
    ReadJob,
    UnusableFiles,
    chip_batches,
    content_digest,
    distinct_paths,
    job_key,
    map_paths,
    prefetch_batches,
    read_chip_file,
    reading_pool,
    row_files,
)
from ..table.image_columns import ImageColumn
from .embedding_cache import EmbeddingCache

__all__ = ["PATCH", "ChipLoader", "Encoder"]

# Increment it when reading the same file gives other numbers, so that no cache mixes them.
_READER_VERSION = 1
PATCH, _MAX_SIDE_EMBEDDED = 16, 224  # pixels; TerraMind was trained on chips of 224
_MAX_CHIPS_FOR_STATISTICS = 2000  # the standard error of a mean is then 2 % of a std at most
_CHUNK_ROWS = 256  # rows per write to the cache, which a killed run can lose
_SENTINEL_2_MODALITIES = ("S2L2A", "S2L1C")
_IGNORE_HINT = "Pass on_error='ignore' to treat such images as missing."


class Encoder(Protocol):
    """Function from standardized chips to embeddings."""

    fingerprint: str
    width: int

    def __call__(self, chips: dict[str, np.ndarray]) -> np.ndarray:
        """Encode chips (B, C, s, s) by modality into vectors (B, width)."""


@dataclass(frozen=True)
class ChipLoader:
    """Reader of the image columns, fitted to the training rows.

    Construct it with `ChipLoader.fit`. All methods take `paths`, a mapping of modality to ndarray
    of shape (n,) with the paths of the rows, None where a row has no image; see `read_paths`.

    Attributes
    ----------
    modalities : dict of str to Modality
    columns : dict of str to label
        Column label by modality, for error messages.
    chip_size : int
        Height and width of the chips in pixels.
    on_error : {"raise", "ignore"}
        Whether a file that cannot be used raises, or is treated as missing with a warning.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sptgnn_sklearn.encoders.embedding import ChipLoader
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
    >>> class Mean:
    ...     fingerprint, width = "mean", 1
    ...
    ...     def __call__(self, chips):
    ...         return chips["DEM"].mean(axis=(2, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.npy")
    ...     np.save(path, np.full((40, 40), 670.665 + 951.272))
    ...     paths = {"DEM": np.array([path, None], dtype=object)}
    ...     columns = {"DEM": ImageColumn("dem_path")}
    ...     loader = ChipLoader.fit(paths, columns, chip_size=None, on_error="raise")
    ...     cache = EmbeddingCache(folder, loader.namespace(Mean()), 1)
    ...     vectors, usable = loader.embed(paths, Mean(), cache, workers=1)
    >>> loader.chip_size, vectors.round(3).tolist()
    (32, [[1.0], [nan]])
    """

    modalities: dict[str, Modality]
    columns: dict[str, Hashable]
    chip_size: int
    on_error: str

    @classmethod
    def fit(
        cls,
        paths: ImagePaths,
        columns: Mapping[str, ImageColumn],
        *,
        chip_size: int | None,
        on_error: str,
        workers: int = 1,
    ) -> ChipLoader:
        """Determine bands, chip size and missing statistics from the training rows.

        Parameters
        ----------
        paths : mapping of str to ndarray of shape (n,)
        columns : mapping of str to ImageColumn
        chip_size : int or None
            In pixels. None takes the largest multiple of 16, from 16 to 224, that fits in the first
            usable chip (by sorted path) of every modality.
        on_error : {"raise", "ignore"}
        workers : int, default=1
            Threads that read files.

        Raises
        ------
        ValueError
            If a parameter is invalid, a modality has no usable chip, or, with ``"raise"``, a chip
            that is read cannot be used.
        """
        if on_error not in ("raise", "ignore"):
            raise ValueError(f"on_error={on_error!r} must be 'raise' or 'ignore'.")
        if chip_size is not None and not _is_chip_size(chip_size):
            raise ValueError(
                f"chip_size={chip_size!r} must be a positive multiple of {PATCH}, or None."
            )
        labels = {name: column.column for name, column in columns.items()}
        first = {
            name: _first_chip(paths[name], name, column, chip_size, on_error)
            for name, column in columns.items()
        }
        modalities = {name: modality for name, (modality, _) in first.items()}
        loader = cls(modalities, labels, min(size for _, size in first.values()), on_error)
        for name, modality in modalities.items():
            if not modality.mean:
                mean, std = loader._statistics(paths, name, workers)
                modalities[name] = replace(modality, mean=mean, std=std)
        return loader

    def namespace(self, encoder: Encoder) -> str:
        """Return the cache namespace of an encoder's embeddings.

        It is a digest of the encoder and of all processing of a file before it.
        """
        chips = [astuple(self.modalities[name]) for name in sorted(self.modalities)]
        parts = [_READER_VERSION, encoder.fingerprint, int(encoder.width), self.chip_size, chips]
        return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def embed(
        self,
        paths: ImagePaths,
        encoder: Encoder,
        cache: EmbeddingCache,
        *,
        workers: int,
        batch_size: int = 64,
        verbose: int = 0,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compute the embeddings of rows, or take them from the cache.

        Rows with the same chips are encoded once. New embeddings are cached every few hundred rows.
        Processes that embed the same rows with the same cache share the work.

        Parameters
        ----------
        paths : mapping of str to ndarray of shape (n,)
        encoder : Encoder
        cache : EmbeddingCache
            Its namespace must be ``namespace(encoder)``.
        workers : int
            Threads that read files while the encoder runs.
        batch_size : int, default=64
            Rows per call of the encoder; memory is proportional to it.
        verbose : int, default=0
            1 or more shows a progress bar over the rows to encode.

        Returns
        -------
        vectors : ndarray of shape (n, width) of float32
            NaN in rows without any image.
        usable : dict of str to ndarray of shape (n,)
            The paths, with None for files that cannot be used.

        Raises
        ------
        ValueError
            If a file cannot be used and `on_error` is ``"raise"``; rows encoded before it are
            cached. If the cache or the encoder's vectors do not fit.

        Warns
        -----
        UserWarning
            Once, with the number of images that cannot be used, if `on_error` is ``"ignore"``.
        """
        if cache.namespace != self.namespace(encoder) or cache.width != encoder.width:
            raise ValueError(
                f"cache has the namespace {cache.namespace!r} and width {cache.width}; this "
                f"encoder needs {self.namespace(encoder)!r} and {encoder.width}."
            )
        usable = {name: paths[name].copy() for name in self.modalities}
        with reading_pool(workers) as pool:
            digests, unusable = self._digests(usable, pool)
            _set_missing(usable, unusable)
            while True:
                rows = row_files(usable, digests)
                keys = [job_key(files) for files in rows]
                wanted = {key: files for key, files in zip(keys, rows, strict=True) if files}
                known = cache.get(list(wanted))
                jobs = [ReadJob(key, files) for key, files in wanted.items() if key not in known]
                found = self._encode(paths, jobs, encoder, cache, pool, batch_size, verbose)
                if not found:
                    break
                # Without these images, the rows have other keys.
                unusable |= _with_copies(usable, digests, found)
                _set_missing(usable, unusable)
        self._warn_unusable(paths, unusable)
        vectors = np.full((len(keys), encoder.width), np.nan, dtype=np.float32)
        known = cache.get(list(wanted))
        for i, key in enumerate(keys):
            if key in known:
                vectors[i] = known[key]
        return vectors, usable

    def chips(
        self, paths: ImagePaths, rows: np.ndarray, *, workers: int = 1
    ) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Read the standardized chips of some rows.

        Parameters
        ----------
        paths : mapping of str to ndarray of shape (n,)
        rows : ndarray of shape (m,) of int
        workers : int, default=1
            Threads that read files.

        Returns
        -------
        list of (positions, chips)
            One per set of modalities in the rows: positions into `rows`, and by modality the chips
            as an ndarray of shape (B, C, chip_size, chip_size) of float32. Rows without any image
            are left out.

        Raises
        ------
        ValueError
            As in `embed`.

        Warns
        -----
        UserWarning
            As in `embed`.
        """
        files = [
            tuple((name, paths[name][row]) for name in self.modalities if paths[name][row])
            for row in rows
        ]
        with reading_pool(workers) as pool:
            read = list(pool.map(self._read_row, files))
        unusable: UnusableFiles = {}
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, found in enumerate(read):
            for (name, path), chip in zip(files[i], found.values(), strict=True):
                if isinstance(chip, ChipError):
                    self._raise_or_record(paths, unusable, name, path, chip)
            names = tuple(n for n, chip in found.items() if not isinstance(chip, ChipError))
            if names:
                groups.setdefault(names, []).append(i)
        self._warn_unusable({name: paths[name][rows] for name in self.modalities}, unusable, rows)
        return [
            (
                np.array(positions),
                {name: _stack_chips(read[i][name] for i in positions) for name in names},
            )
            for names, positions in groups.items()
        ]

    def indices(self, paths: ImagePaths, workers: int = 1) -> np.ndarray:
        """Compute mean NDVI, BSI and NDMI of the first Sentinel-2 modality.

        Parameters
        ----------
        paths : mapping of str to ndarray of shape (n,)
        workers : int, default=1
            Threads that read files.

        Returns
        -------
        ndarray of shape (n, 3)
            In the order of `chips.INDICES`; NaN in rows without such a chip.

        Raises
        ------
        ValueError
            As in `embed`.

        Warns
        -----
        UserWarning
            As in `embed`.
        """
        n = len(next(iter(paths.values())))
        found = np.full((n, len(INDICES)), np.nan)
        name = next((name for name in self.modalities if name in _SENTINEL_2_MODALITIES), None)
        if name is None:
            return found

        def mean_indices(path: str) -> np.ndarray:
            return band_indices(self._read(name, path), self.modalities[name])

        unusable: UnusableFiles = {}
        by_path: dict[str | None, np.ndarray] = {}
        with reading_pool(workers) as pool:
            for path, value in map_paths(mean_indices, distinct_paths(paths[name]), pool):
                if isinstance(value, ChipError):
                    self._raise_or_record(paths, unusable, name, path, value)
                else:
                    by_path[path] = value
        self._warn_unusable(paths, unusable)
        for i, path in enumerate(paths[name]):
            if path in by_path:
                found[i] = by_path[path]
        return found

    def _read(self, name: str, path: str, digest: bytes | None = None) -> np.ndarray:
        """Read a chip in physical units, and check its file against a digest."""
        content = read_chip_file(path)
        # An embedding cached under the key of another content would never be corrected.
        if digest is not None and content_digest(content) != digest:
            raise ChipError("changed while it was being read")
        return read_chip(content, path, self.modalities[name], self.chip_size)

    def _read_row(
        self, files: Sequence[tuple[str, str]], digests: Sequence[bytes | None] | None = None
    ) -> dict[str, np.ndarray | ChipError]:
        found: dict[str, np.ndarray | ChipError] = {}
        for i, (name, path) in enumerate(files):
            try:
                chip = self._read(name, path, None if digests is None else digests[i])
                found[name] = standardize_chip(chip, self.modalities[name])
            except ChipError as error:
                found[name] = error
        return found

    def _statistics(
        self, paths: ImagePaths, name: str, workers: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute mean and standard deviation of each band over the training chips."""
        files = sorted(distinct_paths(paths[name]))
        steps = np.linspace(0, len(files) - 1, _MAX_CHIPS_FOR_STATISTICS)
        chosen = np.unique(steps.round().astype(int))

        def chip_moments(path: str) -> tuple[np.ndarray, ...]:
            return _moments(self._read(name, path))

        count, mean, squares = (np.zeros(len(self.modalities[name].bands)) for _ in range(3))
        with reading_pool(workers) as pool:
            for path, found in map_paths(chip_moments, [files[i] for i in chosen], pool):
                if isinstance(found, ChipError):
                    self._raise_or_record(paths, {}, name, path, found)
                    continue
                # Chan, Golub & LeVeque (1983), eq. 1.5: moments of two samples combined.
                n, m, s = found
                total = np.maximum(count + n, 1)
                squares += s + (m - mean) ** 2 * count * n / total
                mean += (m - mean) * n / total
                count += n
        std = np.sqrt(squares / np.maximum(count, 1))
        std[std == 0] = 1.0
        return tuple(mean.tolist()), tuple(std.tolist())

    def _digests(
        self, paths: ImagePaths, pool: ThreadPoolExecutor
    ) -> tuple[dict[str, bytes], UnusableFiles]:
        """Return the content digest of every path, and the files that cannot be read."""
        modality_of: dict[str, str] = {}
        for name in self.modalities:
            for path in distinct_paths(paths[name]):
                modality_of.setdefault(path, name)
        digests: dict[str, bytes] = {}
        unusable: UnusableFiles = {}
        for path, found in map_paths(
            lambda path: content_digest(read_chip_file(path)), list(modality_of), pool
        ):
            if isinstance(found, ChipError):
                self._raise_or_record(paths, unusable, modality_of[path], path, found)
                unusable |= {(name, path): str(found) for name in self.modalities}
            else:
                digests[path] = found
        return digests, unusable

    def _encode(
        self,
        paths: ImagePaths,
        jobs: Sequence[ReadJob],
        encoder: Encoder,
        cache: EmbeddingCache,
        pool: ThreadPoolExecutor,
        batch_size: int,
        verbose: int,
    ) -> UnusableFiles:
        """Encode rows into the cache; return the files that cannot be used."""
        unusable: UnusableFiles = {}
        batches = chip_batches(jobs, batch_size)

        def start(batch: list[ReadJob]) -> list[tuple[ReadJob, Future]]:
            return [
                (job, pool.submit(self._read_row, [f[:2] for f in job.files], job.digests))
                for job in batch
                if job.key not in cache
            ]

        reads = prefetch_batches(start, batches)
        per_chunk = max(1, _CHUNK_ROWS // batch_size)
        with tqdm(total=len(jobs), desc="images", unit="row", disable=verbose < 1) as bar:
            for begin in range(0, len(batches), per_chunk):
                chunk = batches[begin : begin + per_chunk]
                keys: list[bytes] = []
                vectors = [np.empty((0, encoder.width), dtype=np.float32)]
                with cache.lock():
                    # Another process may have encoded these rows during the wait for the lock.
                    cache.get([job.key for batch in chunk for job in batch])
                    try:
                        for batch, read in zip(chunk, islice(reads, len(chunk)), strict=True):
                            done, stacked = self._collect(paths, read, cache, unusable)
                            if done:
                                vectors.append(_encode_batch(encoder, stacked, len(done)))
                                keys.extend(job.key for job in done)
                            bar.update(len(batch))
                    finally:
                        cache.put(keys, np.concatenate(vectors))
        return unusable

    def _collect(
        self,
        paths: ImagePaths,
        read: list[tuple[ReadJob, Future]],
        cache: EmbeddingCache,
        unusable: UnusableFiles,
    ) -> tuple[list[ReadJob], dict[str, np.ndarray]]:
        """Wait for the chips of a batch; leave out rows that are cached or have unusable files."""
        done: list[ReadJob] = []
        chips: list[dict[str, np.ndarray]] = []
        for job, future in read:
            if job.key in cache:
                future.cancel()
                continue
            found = future.result()
            failed = False
            for name, path, _ in job.files:
                if isinstance(found[name], ChipError):
                    self._raise_or_record(paths, unusable, name, path, found[name])
                    failed = True
            if not failed:
                done.append(job)
                chips.append(found)
        names = [name for name, _, _ in read[0][0].files] if done else []
        return done, {name: _stack_chips(row[name] for row in chips) for name in names}

    def _raise_or_record(
        self, paths: ImagePaths, unusable: UnusableFiles, name: str, path: str, error: ChipError
    ) -> None:
        """Raise for a file that cannot be used, or record it, depending on `on_error`."""
        if self.on_error == "raise":
            raise _unusable_file_error(paths[name], self.columns[name], path, error)
        unusable[name, path] = str(error)

    def _warn_unusable(
        self, paths: ImagePaths, unusable: UnusableFiles, rows: np.ndarray | None = None
    ) -> None:
        if not unusable:
            return
        cases = [
            (i if rows is None else int(rows[i]), self.columns[name], path, unusable[name, path])
            for name in self.modalities
            for i, path in enumerate(paths[name])
            if (name, path) in unusable
        ]
        cases.sort(key=lambda case: case[0])
        if cases:
            shown = [f"row {i}, column {label!r}: {path} {why}" for i, label, path, why in cases]
            more = f"; and {len(cases) - 3} more" * (len(cases) > 3)
            warnings.warn(
                f"{len(cases)} image{'s' * (len(cases) > 1)} cannot be used, treated as missing: "
                f"{'; '.join(shown[:3])}{more}.",
                UserWarning,
                stacklevel=3,
            )


def _is_chip_size(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= PATCH and int(value) % PATCH == 0


def _with_copies(
    paths: ImagePaths, digests: Mapping[str, bytes], unusable: UnusableFiles
) -> UnusableFiles:
    """Extend unusable files to all files with the same content."""
    bad = {(name, digests[path]): why for (name, path), why in unusable.items()}
    return {
        (name, path): bad[name, digests[path]]
        for name in paths
        for path in distinct_paths(paths[name])
        if (name, digests[path]) in bad
    }


def _set_missing(paths: dict[str, np.ndarray], unusable: UnusableFiles) -> None:
    """Set the paths of unusable files to None, in place."""
    for name, column in paths.items() if unusable else ():
        column[:] = [None if (name, path) in unusable else path for path in column]


def _unusable_file_error(
    paths: np.ndarray, label: Hashable, path: str, why: ChipError
) -> ValueError:
    row = paths.tolist().index(path)
    return ValueError(f"Row {row}, column {label!r}: {path} {why}. {_IGNORE_HINT}")


def _first_chip(
    paths: np.ndarray, name: str, column: ImageColumn, chip_size: int | None, on_error: str
) -> tuple[Modality, int]:
    """Return modality and chip size from the first usable chip in sorted order of the paths."""
    reasons = []
    for path in sorted(distinct_paths(paths)):
        try:
            content = read_chip_file(path)
            bands, height, width = chip_shape(content, path)
            modality = make_modality(name, column, bands)
            fitting = min(height, width, _MAX_SIDE_EMBEDDED) // PATCH * PATCH
            size = max(fitting, PATCH) if chip_size is None else int(chip_size)
            read_chip(content, path, modality, size)
        except ChipError as error:
            if on_error == "raise":
                raise _unusable_file_error(paths, column.column, path, error) from error
            reasons.append(f"{path} {error}")
        else:
            return modality, size
    found = f"{len(reasons)} unusable files: {reasons[0]}" if reasons else "no row has a path"
    raise ValueError(
        f"Column {column.column!r} has no usable image of {name} in the training rows ({found}). "
        "Correct the paths, or remove the column from images."
    )


def _moments(chip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean and centered sum of squares of each band's valid pixels."""
    valid = np.isfinite(chip)
    count = valid.sum(axis=(1, 2))
    values = np.where(valid, chip, 0.0).astype(np.float64)
    mean = values.sum(axis=(1, 2)) / np.maximum(count, 1)
    residual = np.where(valid, values - mean[:, None, None], 0.0)
    return count, mean, (residual**2).sum(axis=(1, 2))


def _stack_chips(chips: Iterable[Any]) -> np.ndarray:
    return np.stack(list(chips))


def _encode_batch(encoder: Encoder, chips: dict[str, np.ndarray], n_rows: int) -> np.ndarray:
    vectors = np.asarray(encoder(chips), dtype=np.float32)
    if vectors.shape != (n_rows, encoder.width):
        raise ValueError(
            f"The encoder returned vectors of shape {vectors.shape}; expected "
            f"{(n_rows, encoder.width)}."
        )
    if not np.isfinite(vectors).all():
        raise ValueError("The encoder returned values that are not finite; check its weights.")
    return vectors
