"""A table's columns of chip paths: what training rows tell about them, and rows to embeddings.

Everything goes by the content of the files, so that neither their names nor the order of the rows
matter, and a file that is replaced under the same name is read anew.
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
    Images,
    Problems,
    ReadJob,
    chip_batches,
    content_digest,
    distinct_paths,
    fetch_files,
    job_key,
    map_paths,
    read_ahead,
    reading_pool,
    row_files,
)
from ..table.image_columns import ImageColumn
from .embedding_cache import EmbeddingCache

__all__ = ["ChipLoader", "Encoder"]

# To be raised whenever the same file comes to give other numbers, so that no store mixes them.
_READING = 1
_PATCH, _MAX_SIDE_EMBEDDED = 16, 224  # pixels; TerraMind was trained on chips of 224
_MOST_CHIPS = 2000  # for mean and std; their error is far below what the encoder notices
_CHUNK_ROWS = 256  # what a killed run can lose
_SENTINEL_2_MODALITIES = ("S2L2A", "S2L1C")
_REMEDY = "Pass on_image_error='ignore' to treat such rows as without that image."


class Encoder(Protocol):
    """What turns standardised chips into vectors."""

    fingerprint: str
    width: int

    def __call__(self, chips: dict[str, np.ndarray]) -> np.ndarray:
        """Chips (B, C, s, s) by modality to vectors (B, width)."""


@dataclass(frozen=True)
class ChipLoader:
    """What is learned about the image columns from training rows.

    Use `ChipLoader.learn`. Every method takes `images`, a mapping of modality to ndarray of shape (n,)
    with paths, or None where a row lacks the image; see `read_paths`.

    Attributes
    ----------
    modalities : dict of str to Modality
    columns : dict of str to label
        Column of each modality, for messages.
    chip_size : int
        Height and width of the chips in pixels.
    on_error : {"raise", "ignore"}
        What becomes of a file that cannot be used.

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
    ...     images = {"DEM": np.array([path, None], dtype=object)}
    ...     columns = {"DEM": ImageColumn("dem_path")}
    ...     imagery = ChipLoader.learn(images, columns, chip_size=None, on_error="raise")
    ...     store = EmbeddingCache(folder, imagery.namespace(Mean()), 1)
    ...     vectors, usable = imagery.embed(images, Mean(), store, workers=1)
    >>> imagery.chip_size, vectors.round(3).tolist()
    (32, [[1.0], [nan]])
    """

    modalities: dict[str, Modality]
    columns: dict[str, Hashable]
    chip_size: int
    on_error: str

    @classmethod
    def fit(
        cls,
        images: Images,
        columns: Mapping[str, ImageColumn],
        *,
        chip_size: int | None,
        on_error: str,
        workers: int = 1,
    ) -> ChipLoader:
        """Learn what the chips are from the training rows.

        Parameters
        ----------
        images : mapping of str to ndarray of shape (n,)
        columns : mapping of str to ImageColumn
        chip_size : int or None
            In pixels. None: the largest multiple of 16 that fits in the chips, from 16 to 224, by
            the first path in sorted order of each modality.
        on_error : {"raise", "ignore"}
        workers : int, default=1
            Threads that read.

        Raises
        ------
        ValueError
            If a parameter is wrong, a modality has no usable chip, or, with ``"raise"``, one that
            is looked at cannot be used.
        """
        if on_error not in ("raise", "ignore"):
            raise ValueError(f"on_image_error={on_error!r} must be 'raise' or 'ignore'.")
        if chip_size is not None and not _is_side(chip_size):
            raise ValueError(
                f"chip_size={chip_size!r} must be a positive multiple of {_PATCH}, or None."
            )
        labels = {name: column.column for name, column in columns.items()}
        first = {
            name: _first_chip(images[name], name, column, chip_size, on_error)
            for name, column in columns.items()
        }
        modalities = {name: modality for name, (modality, _) in first.items()}
        imagery = cls(modalities, labels, min(size for _, size in first.values()), on_error)
        for name, modality in modalities.items():
            if not modality.mean:
                mean, std = imagery._statistics(images, name, workers)
                modalities[name] = replace(modality, mean=mean, std=std)
        return imagery

    def namespace(self, encoder: Encoder) -> str:
        """Return the name under which embeddings by an encoder are kept.

        It stands for the encoder and for all that happens to a file before it.
        """
        chips = [astuple(self.modalities[name]) for name in sorted(self.modalities)]
        parts = [_READING, encoder.fingerprint, int(encoder.width), self.chip_size, chips]
        return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def embed(
        self,
        images: Images,
        encoder: Encoder,
        store: EmbeddingCache,
        *,
        workers: int,
        batch_size: int = 64,
        verbose: int = 0,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compute the embeddings of rows, or take them from the store.

        Rows with the same chips are encoded once. New embeddings are stored every few hundred rows.
        Of other processes at the same work with the same store, none repeats what one has done.

        Parameters
        ----------
        images : mapping of str to ndarray of shape (n,)
        encoder : Encoder
        store : EmbeddingStore
            Its namespace must be ``namespace(encoder)``.
        workers : int
            Threads that read files while the encoder runs.
        batch_size : int, default=64
            Rows that are encoded at once; memory goes by it.
        verbose : int, default=0
            1 or more: a progress bar over the rows to encode.

        Returns
        -------
        vectors : ndarray of shape (n, width) of float32
            NaN in rows without any image.
        usable : dict of str to ndarray of shape (n,)
            The images, with None for those that cannot be used.

        Raises
        ------
        ValueError
            If a file cannot be used and `on_error` is ``"raise"``; what was encoded until then is
            in the store. If the store or the encoder's vectors do not fit.

        Warns
        -----
        UserWarning
            Once, with the number of files that cannot be used, if `on_error` is ``"ignore"``.
        """
        if store.namespace != self.namespace(encoder) or store.width != encoder.width:
            raise ValueError(
                f"The store has the namespace {store.namespace!r} and width {store.width}, and "
                f"this encoder needs {self.namespace(encoder)!r} and {encoder.width}."
            )
        usable = {name: images[name].copy() for name in self.modalities}
        with reading_pool(workers) as pool:
            digests, problems = self._digests(usable, pool)
            _drop(usable, problems)
            while True:
                rows = row_files(usable, digests)
                keys = [job_key(files) for files in rows]
                wanted = {key: files for key, files in zip(keys, rows, strict=True) if files}
                known = store.get(list(wanted))
                jobs = [ReadJob(key, files) for key, files in wanted.items() if key not in known]
                found = self._encode(images, jobs, encoder, store, pool, batch_size, verbose)
                if not found:
                    break
                # The rows concerned have other sets of images now, and so other keys.
                problems |= _everywhere(usable, digests, found)
                _drop(usable, problems)
        self._warn(images, problems)
        vectors = np.full((len(keys), encoder.width), np.nan, dtype=np.float32)
        known = store.get(list(wanted))
        for i, key in enumerate(keys):
            if key in known:
                vectors[i] = known[key]
        return vectors, usable

    def chips(
        self, images: Images, rows: np.ndarray, *, workers: int = 1
    ) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Read the chips of some rows, standardised.

        Parameters
        ----------
        images : mapping of str to ndarray of shape (n,)
        rows : ndarray of shape (m,) of int
        workers : int, default=1
            Threads that read.

        Returns
        -------
        list of (positions, chips)
            One for each set of modalities that occurs: positions into `rows`, and by modality the
            chips as an ndarray of shape (B, C, chip_size, chip_size) of float32. Rows without any
            image are in none.

        Raises
        ------
        ValueError
            As in `embed`.

        Warns
        -----
        UserWarning
            As in `embed`.
        """
        paths = [
            tuple((name, images[name][row]) for name in self.modalities if images[name][row])
            for row in rows
        ]
        with reading_pool(workers) as pool:
            read = list(pool.map(self._read_row, paths))
        problems: Problems = {}
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, found in enumerate(read):
            for (name, path), chip in zip(paths[i], found.values(), strict=True):
                if isinstance(chip, ChipError):
                    self._note(images, problems, name, path, chip)
            names = tuple(n for n, chip in found.items() if not isinstance(chip, ChipError))
            if names:
                groups.setdefault(names, []).append(i)
        self._warn({name: images[name][rows] for name in self.modalities}, problems, rows)
        return [
            (
                np.array(positions),
                {name: _stack_chips(read[i][name] for i in positions) for name in names},
            )
            for names, positions in groups.items()
        ]

    def indices(self, images: Images, workers: int = 1) -> np.ndarray:
        """Compute mean NDVI, BSI and NDMI of the first Sentinel-2 modality.

        Parameters
        ----------
        images : mapping of str to ndarray of shape (n,)
        workers : int, default=1
            Threads that read.

        Returns
        -------
        ndarray of shape (n, 3)
            In the order of `chips.INDICES`; NaN where there is no such chip.

        Raises
        ------
        ValueError
            As in `embed`.

        Warns
        -----
        UserWarning
            As in `embed`.
        """
        n = len(next(iter(images.values())))
        found = np.full((n, len(INDICES)), np.nan)
        name = next((name for name in self.modalities if name in _SENTINEL_2_MODALITIES), None)
        if name is None:
            return found

        def one(path: str) -> np.ndarray:
            return band_indices(self._read(name, path), self.modalities[name])

        problems: Problems = {}
        by_path: dict[str | None, np.ndarray] = {}
        with reading_pool(workers) as pool:
            for path, value in map_paths(one, distinct_paths(images[name]), pool):
                if isinstance(value, ChipError):
                    self._note(images, problems, name, path, value)
                else:
                    by_path[path] = value
        self._warn(images, problems)
        for i, path in enumerate(images[name]):
            if path in by_path:
                found[i] = by_path[path]
        return found

    def _read(self, name: str, path: str, digest: bytes | None = None) -> np.ndarray:
        """Read a chip in physical units; a digest says what its file has to hold."""
        content = fetch_files(path)
        # A vector that is kept under the key of another content would stay wrong for ever.
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
        self, images: Images, name: str, workers: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation by band over the training chips, one chip at a time."""
        paths = sorted(distinct_paths(images[name]))
        chosen = np.unique(np.linspace(0, len(paths) - 1, _MOST_CHIPS).round().astype(int))

        def one(path: str) -> tuple[np.ndarray, ...]:
            return _moments(self._read(name, path))

        count, mean, squares = (np.zeros(len(self.modalities[name].bands)) for _ in range(3))
        with reading_pool(workers) as pool:
            for path, found in map_paths(one, [paths[i] for i in chosen], pool):
                if isinstance(found, ChipError):
                    self._note(images, {}, name, path, found)
                    continue
                # Chan, Golub & LeVeque (1983), eq. 1.5: moments of two samples together.
                n, m, s = found
                total = np.maximum(count + n, 1)
                squares += s + (m - mean) ** 2 * count * n / total
                mean += (m - mean) * n / total
                count += n
        std = np.sqrt(squares / np.maximum(count, 1))
        std[std == 0] = 1.0
        return tuple(mean.tolist()), tuple(std.tolist())

    def _digests(
        self, images: Images, pool: ThreadPoolExecutor
    ) -> tuple[dict[str, bytes], Problems]:
        """Digest of the content of every file, and the files that cannot be read."""
        owners: dict[str, str] = {}
        for name in self.modalities:
            for path in distinct_paths(images[name]):
                owners.setdefault(path, name)
        digests: dict[str, bytes] = {}
        problems: Problems = {}
        for path, found in map_paths(
            lambda path: content_digest(fetch_files(path)), list(owners), pool
        ):
            if isinstance(found, ChipError):
                self._note(images, problems, owners[path], path, found)
                problems |= {(name, path): str(found) for name in self.modalities}
            else:
                digests[path] = found
        return digests, problems

    def _encode(
        self,
        images: Images,
        jobs: Sequence[ReadJob],
        encoder: Encoder,
        store: EmbeddingCache,
        pool: ThreadPoolExecutor,
        batch_size: int,
        verbose: int,
    ) -> Problems:
        """Encode rows into the store; return the files that cannot be used."""
        problems: Problems = {}
        batches = chip_batches(jobs, batch_size)

        def start(batch: list[ReadJob]) -> list[tuple[ReadJob, Future]]:
            return [
                (job, pool.submit(self._read_row, [f[:2] for f in job.files], job.digests))
                for job in batch
                if job.key not in store
            ]

        reads = read_ahead(start, batches)
        per_chunk = max(1, _CHUNK_ROWS // batch_size)
        with tqdm(total=len(jobs), desc="images", unit="row", disable=verbose < 1) as bar:
            for begin in range(0, len(batches), per_chunk):
                chunk = batches[begin : begin + per_chunk]
                keys: list[bytes] = []
                vectors = [np.empty((0, encoder.width), dtype=np.float32)]
                with store.lock():
                    # Another process may have encoded these while this one waited for the lock.
                    store.get([job.key for batch in chunk for job in batch])
                    try:
                        for batch, read in zip(chunk, islice(reads, len(chunk)), strict=True):
                            done, stacked = self._collect(images, read, store, problems)
                            if done:
                                vectors.append(_encoded(encoder, stacked, len(done)))
                                keys.extend(job.key for job in done)
                            bar.update(len(batch))
                    finally:
                        store.put(keys, np.concatenate(vectors))
        return problems

    def _collect(
        self,
        images: Images,
        read: list[tuple[ReadJob, Future]],
        store: EmbeddingCache,
        problems: Problems,
    ) -> tuple[list[ReadJob], dict[str, np.ndarray]]:
        """Wait for the chips of a batch, and leave out the rows that have a problem."""
        done: list[ReadJob] = []
        chips: list[dict[str, np.ndarray]] = []
        for job, future in read:
            if job.key in store:
                future.cancel()
                continue
            found = future.result()
            failed = False
            for name, path, _ in job.files:
                if isinstance(found[name], ChipError):
                    self._note(images, problems, name, path, found[name])
                    failed = True
            if not failed:
                done.append(job)
                chips.append(found)
        names = [name for name, _, _ in read[0][0].files] if done else []
        return done, {name: _stack_chips(row[name] for row in chips) for name in names}

    def _note(
        self, images: Images, problems: Problems, name: str, path: str, error: ChipError
    ) -> None:
        """Raise on a file that cannot be used, or take it down."""
        if self.on_error == "raise":
            raise _missing_chip_error(images[name], self.columns[name], path, error)
        problems[name, path] = str(error)

    def _warn(self, images: Images, problems: Problems, rows: np.ndarray | None = None) -> None:
        if not problems:
            return
        cases = [
            (i if rows is None else int(rows[i]), self.columns[name], path, problems[name, path])
            for name in self.modalities
            for i, path in enumerate(images[name])
            if (name, path) in problems
        ]
        cases.sort(key=lambda case: case[0])
        if cases:
            shown = [f"row {i}, column {label!r}: {path} {why}" for i, label, path, why in cases]
            more = f"; and {len(cases) - 3} more" * (len(cases) > 3)
            warnings.warn(
                f"{len(cases)} image{'s' * (len(cases) > 1)} cannot be used, and the rows are "
                f"treated as without: {'; '.join(shown[:3])}{more}.",
                UserWarning,
                stacklevel=3,
            )


def _is_side(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= _PATCH and int(value) % _PATCH == 0


def _everywhere(images: Images, digests: Mapping[str, bytes], problems: Problems) -> Problems:
    """Extend problems to the other files with the same content."""
    bad = {(name, digests[path]): why for (name, path), why in problems.items()}
    return {
        (name, path): bad[name, digests[path]]
        for name in images
        for path in distinct_paths(images[name])
        if (name, digests[path]) in bad
    }


def _drop(images: dict[str, np.ndarray], problems: Problems) -> None:
    """Set the files that cannot be used to None, in place."""
    for name, paths in images.items() if problems else ():
        paths[:] = [None if (name, path) in problems else path for path in paths]


def _missing_chip_error(
    paths: np.ndarray, label: Hashable, path: str, why: ChipError
) -> ValueError:
    row = paths.tolist().index(path)
    return ValueError(f"Row {row}, column {label!r}: {path} {why}. {_REMEDY}")


def _first_chip(
    paths: np.ndarray, name: str, column: ImageColumn, chip_size: int | None, on_error: str
) -> tuple[Modality, int]:
    """Modality and chip size by the first usable chip in sorted order of the paths."""
    reasons = []
    for path in sorted(distinct_paths(paths)):
        try:
            content = fetch_files(path)
            bands, height, width = chip_shape(content, path)
            modality = make_modality(name, column, bands)
            fitting = min(height, width, _MAX_SIDE_EMBEDDED) // _PATCH * _PATCH
            size = max(fitting, _PATCH) if chip_size is None else int(chip_size)
            read_chip(content, path, modality, size)
        except ChipError as error:
            if on_error == "raise":
                raise _missing_chip_error(paths, column.column, path, error) from error
            reasons.append(f"{path} {error}")
        else:
            return modality, size
    found = f"{len(reasons)} files fail: {reasons[0]}" if reasons else "no row has a path"
    raise ValueError(
        f"Column {column.column!r} has no usable image of {name} in the training rows ({found}). "
        "Mend the column, or leave it out of images."
    )


def _moments(chip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and sum of squares about the mean of the valid pixels of each band."""
    valid = np.isfinite(chip)
    count = valid.sum(axis=(1, 2))
    values = np.where(valid, chip, 0.0).astype(np.float64)
    mean = values.sum(axis=(1, 2)) / np.maximum(count, 1)
    about = np.where(valid, values - mean[:, None, None], 0.0)
    return count, mean, (about**2).sum(axis=(1, 2))


def _stack_chips(chips: Iterable[Any]) -> np.ndarray:
    return np.stack(list(chips))


def _encoded(encoder: Encoder, chips: dict[str, np.ndarray], n_rows: int) -> np.ndarray:
    vectors = np.asarray(encoder(chips), dtype=np.float32)
    if vectors.shape != (n_rows, encoder.width):
        raise ValueError(
            f"The encoder gave vectors of shape {vectors.shape} where {(n_rows, encoder.width)} "
            "was expected."
        )
    if not np.isfinite(vectors).all():
        raise ValueError("The encoder gave values that are not finite: check its weights.")
    return vectors
