"""Temporary cache of decoded training chips in memory-mapped files.

Fine-tuning reads every chip in every epoch. Uncompressed arrays are faster to read than rasters,
and memory mapping keeps memory proportional to the batch instead of the number of rows.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..images.parallel_reading import ImagePaths
from .embedding import ChipLoader

__all__ = ["ChipCache"]

_CHIPS_PER_READ = 64  # chips decoded at a time
_DISK_MARGIN = 1.05  # required free space, relative to the size of the chips


class ChipCache:
    """Standardized chips of some rows on disk, deleted together with the object.

    Parameters
    ----------
    loader : ChipLoader
    paths : mapping of str to ndarray of shape (n,)
        Paths by modality; None where a row has no image.
    directory : path or None
        Folder of the files. None takes the system's folder for temporary files.
    workers : int, default=1
        Threads that read files.
    verbose : int, default=0
        1 or more shows a progress bar.

    Raises
    ------
    ValueError
        If a file cannot be read, or the disk has too little free space.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sptgnn_sklearn.encoders.chip_cache import ChipCache
    >>> from sptgnn_sklearn.encoders.embedding import ChipLoader
    >>> from sptgnn_sklearn.table.image_columns import ImageColumn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.npy")
    ...     np.save(path, np.full((16, 16), 500.0))
    ...     paths = {"DEM": np.array([None, path], dtype=object)}
    ...     columns = {"DEM": ImageColumn("dem_path")}
    ...     loader = ChipLoader.fit(paths, columns, chip_size=16, on_error="raise")
    ...     cache = ChipCache(loader, paths, folder)
    >>> [(rows.tolist(), list(chips)) for rows, chips in cache.groups(np.array([1, 0, 1]))]
    [([0, 2], ['DEM'])]
    """

    def __init__(
        self,
        loader: ChipLoader,
        paths: ImagePaths,
        directory: str | PathLike[str] | None,
        *,
        workers: int = 1,
        verbose: int = 0,
    ):
        if directory is not None:
            Path(directory).mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="chips-", dir=directory))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._index: dict[str, np.ndarray] = {}  # of each row's chip in its file; -1 without
        self._shapes: dict[str, tuple[int, ...]] = {}
        side = loader.chip_size
        for name, modality in loader.modalities.items():
            distinct = sorted({path for path in paths[name] if path})
            index = {path: i for i, path in enumerate(distinct)}
            self._index[name] = np.array([index.get(path, -1) for path in paths[name]], dtype=int)
            self._shapes[name] = (len(distinct), len(modality.bands), side, side)
        self._check_space()
        bar = tqdm(
            total=sum(shape[0] for shape in self._shapes.values()),
            desc="reading chips",
            unit="chip",
            disable=not verbose,
        )
        with bar:
            for name in loader.modalities:
                for n_read in self._write(loader, paths, name, workers):
                    bar.update(n_read)
        self._open()

    def groups(self, rows: np.ndarray) -> list[tuple[np.ndarray, dict[str, Tensor]]]:
        """Return the chips of some rows, grouped by available modalities.

        Parameters
        ----------
        rows : ndarray of shape (m,) of int

        Returns
        -------
        list of (positions, chips)
            One per set of modalities in the rows: positions into `rows`, and chips of shape
            (B, C, S, S) by modality. Rows without any image are left out.
        """
        names = list(self._index)
        present = np.column_stack([self._index[name][rows] >= 0 for name in names])
        found = []
        for available in np.unique(present, axis=0):
            if available.any():
                own = np.flatnonzero((present == available).all(axis=1))
                chips = {
                    name: torch.from_numpy(self._maps[name][self._index[name][rows[own]]])
                    for name, given in zip(names, available, strict=True)
                    if given
                }
                found.append((own, chips))
        return found

    def __len__(self) -> int:
        return len(next(iter(self._index.values())))

    def __getstate__(self) -> dict[str, Any]:
        # An unpickled copy maps the same files; the original deletes them.
        return {**self.__dict__, "_maps": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _write(
        self, loader: ChipLoader, paths: ImagePaths, name: str, workers: int
    ) -> Iterator[int]:
        """Decode the chips of one modality; yield the number decoded in each step."""
        shape, index = self._shapes[name], self._index[name]
        if shape[0] == 0:
            return
        chips = np.memmap(self._file(name), mode="w+", dtype=np.float32, shape=shape)
        _, first = np.unique(index, return_index=True)
        rows = first[index[first] >= 0]  # one row per distinct file, in the order of the index
        only = {
            other: paths[other] if other == name else _all_none(paths[other]) for other in paths
        }
        for start in range(0, len(rows), _CHIPS_PER_READ):
            part = rows[start : start + _CHIPS_PER_READ]
            for positions, read in loader.chips(only, part, workers=workers):
                chips[index[part[positions]]] = read[name]
            yield len(part)
        chips.flush()

    def _check_space(self) -> None:
        needed = sum(4 * int(np.prod(shape, dtype=np.int64)) for shape in self._shapes.values())
        free = shutil.disk_usage(self._folder).free
        if needed * _DISK_MARGIN > free:
            raise ValueError(
                f"Fine-tuning needs {needed / 1e9:.1f} GB for decoded chips, but "
                f"{self._folder.parent} has {free / 1e9:.1f} GB free: set cache_dir to a folder "
                "with more space, reduce chip_size, or set fine_tune=False."
            )

    def _file(self, name: str) -> Path:
        return self._folder / f"{list(self._index).index(name)}.chips"

    def _open(self) -> None:
        self._maps = {
            name: self._map(name, shape) for name, shape in self._shapes.items() if shape[0]
        }

    def _map(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        path = self._file(name)
        try:
            # Raw values without a header, which could be damaged.
            return np.memmap(path, mode="r", dtype=np.float32, shape=shape)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{str(path)!r} no longer holds {shape[0]} chips of {name} ({error}): it was "
                "deleted or truncated while in use."
            ) from error


def _all_none(paths: np.ndarray) -> np.ndarray:
    return np.full(len(paths), None, dtype=object)
