"""Chips of the training rows, decoded once into files that are mapped into memory.

Training reads every chip in every epoch. Files of arrays are read faster than compressed rasters,
and by mapping them memory follows the batch and not the number of rows.
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

from ..images.parallel_reading import Images
from .embedding import ChipLoader

__all__ = ["ChipCache"]

_CHIPS_PER_READ = 64  # chips that are decoded at a time
_SPARE_DISK_SHARE = 1.05  # of the disk space that chips need


class ChipCache:
    """Standardised chips of some rows on disk; the files last as long as the object.

    Parameters
    ----------
    imagery : Imagery
    images : mapping of str to ndarray of shape (n,)
        Paths by modality; None is no image.
    directory : path or None
        Where to put the files. None takes the system's place for temporary files.
    workers : int, default=1
        Threads that read.
    verbose : int, default=0
        1 or more: a progress bar.

    Raises
    ------
    ValueError
        If a file cannot be read, or the disk has too little space; the message says how much.

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
    ...     images = {"DEM": np.array([None, path], dtype=object)}
    ...     columns = {"DEM": ImageColumn("dem_path")}
    ...     imagery = ChipLoader.learn(images, columns, chip_size=16, on_error="raise")
    ...     archive = ChipCache(imagery, images, folder)
    >>> [(rows.tolist(), list(chips)) for rows, chips in archive.groups(np.array([1, 0, 1]))]
    [([0, 2], ['DEM'])]
    """

    def __init__(
        self,
        imagery: ChipLoader,
        images: Images,
        directory: str | PathLike[str] | None,
        *,
        workers: int = 1,
        verbose: int = 0,
    ):
        if directory is not None:
            Path(directory).mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="chips-", dir=directory))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.places: dict[str, np.ndarray] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        side = imagery.chip_size
        for name, modality in imagery.modalities.items():
            distinct = sorted({path for path in images[name] if path})
            place = {path: i for i, path in enumerate(distinct)}
            self.places[name] = np.array([place.get(path, -1) for path in images[name]], dtype=int)
            self._shapes[name] = (len(distinct), len(modality.bands), side, side)
        self._check_space()
        bar = tqdm(
            total=sum(shape[0] for shape in self._shapes.values()),
            desc="reading chips",
            unit="chip",
            disable=not verbose,
        )
        with bar:
            for name in imagery.modalities:
                for n_read in self._write(imagery, images, name, workers):
                    bar.update(n_read)
        self._open()

    def groups(self, rows: np.ndarray) -> list[tuple[np.ndarray, dict[str, Tensor]]]:
        """Read the chips of some rows.

        Parameters
        ----------
        rows : ndarray of shape (m,) of int

        Returns
        -------
        list of (positions, chips)
            One for each set of modalities that occurs: positions into `rows`, and chips of shape
            (B, C, S, S) by modality. Rows without any image are in none.
        """
        names = list(self.places)
        present = np.column_stack([self.places[name][rows] >= 0 for name in names])
        found = []
        for has in np.unique(present, axis=0):
            if has.any():
                own = np.flatnonzero((present == has).all(axis=1))
                chips = {
                    name: torch.from_numpy(self._maps[name][self.places[name][rows[own]]])
                    for name, there in zip(names, has, strict=True)
                    if there
                }
                found.append((own, chips))
        return found

    def __len__(self) -> int:
        return len(next(iter(self.places.values())))

    def __getstate__(self) -> dict[str, Any]:
        # A process that is sent the archive opens the files anew; they stay the sender's.
        return {**self.__dict__, "_maps": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _write(self, imagery: ChipLoader, images: Images, name: str, workers: int) -> Iterator[int]:
        """Decode the chips of one modality; yields how many were done."""
        shape, places = self._shapes[name], self.places[name]
        if shape[0] == 0:
            return
        chips = np.memmap(self._file(name), mode="w+", dtype=np.float32, shape=shape)
        _, first = np.unique(places, return_index=True)
        rows = first[places[first] >= 0]  # one row for each file, in the order of the places
        only = {other: images[other] if other == name else _none(images[other]) for other in images}
        for start in range(0, len(rows), _CHIPS_PER_READ):
            part = rows[start : start + _CHIPS_PER_READ]
            for positions, read in imagery.chips(only, part, workers=workers):
                chips[places[part[positions]]] = read[name]
            yield len(part)
        chips.flush()

    def _check_space(self) -> None:
        needed = sum(4 * int(np.prod(shape, dtype=np.int64)) for shape in self._shapes.values())
        free = shutil.disk_usage(self._folder).free
        if needed * _SPARE_DISK_SHARE > free:
            raise ValueError(
                f"Chips of the training rows take {needed / 1e9:.1f} GB while they are tuned on, "
                f"and {self._folder.parent} has {free / 1e9:.1f} GB left: pass a cache_dir with "
                "more space, a smaller chip_size, or fine_tune=False."
            )

    def _file(self, name: str) -> Path:
        return self._folder / f"{list(self.places).index(name)}.chips"

    def _open(self) -> None:
        self._maps = {
            name: self._map(name, shape) for name, shape in self._shapes.items() if shape[0]
        }

    def _map(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        path = self._file(name)
        try:
            # Bare values: a file without a header has none that could be damaged.
            return np.memmap(path, mode="r", dtype=np.float32, shape=shape)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{str(path)!r} holds no {shape[0]} chips of {name} any more ({error}): it was "
                "removed or cut short while it was in use."
            ) from error


def _none(paths: np.ndarray) -> np.ndarray:
    return np.full(len(paths), None, dtype=object)
