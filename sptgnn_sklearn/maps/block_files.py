"""The folder of finished blocks: what a stopped run goes on from.

Every block is a GeoTIFF that appears under its name only when it is whole, so that the files that
are there are the journal, whatever stopped the run. ``job.json`` beside them says what they are
parts of; with other arguments or data nothing goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..images.geotiff import import_rasterio, write_chip
from ..images.raster import Window
from .covariate_stack import CovariateStack, file_state
from .grid import Grid
from .layers import BlockPredictor

__all__ = ["BlockFiles", "describe_job"]

_JOB = "job.json"
_PROBED_BLOCKS, _PROBED_CELLS = 4, 64  # of those finished, to see that the model is the same
_SAME_PREDICTIONS = 1e-4  # of a layer's largest value: more than rounding, less than another model


def describe_job(
    mapper: BlockPredictor, source: CovariateStack, blocks: Sequence[Window]
) -> dict[str, Any]:
    """Describe all that decides the blocks, apart from what only the model itself can tell.

    Parameters
    ----------
    mapper : Mapper
    source : Source
    blocks : sequence of Window
    """
    grid = source.grid
    limits = {"lower", "upper"} & set(mapper.layers)
    constants = {str(label): repr(value) for label, value in mapper.table.constants.items()}
    job = {
        "layers": list(mapper.layers),
        "coverage": mapper.coverage if limits else None,
        "nodata_output": repr(float(mapper.nodata)),
        "skip_nodata": mapper.table.skip_nodata,
        "grid": [*grid.shape, *grid.transform, grid.crs],
        "blocks": [list(block) for block in blocks],
        "columns": {str(label): str(name) for label, name in mapper.table.bands.items()},
        "constants": constants,
        "categories": {str(label): repr(codes) for label, codes in mapper.table.levels.items()},
        "images": {str(label): file_state(path) for label, path in mapper.table.rasters.items()},
        "source": source.identity(blocks),
    }
    return json.loads(json.dumps(job))


@dataclass(frozen=True)
class BlockFiles:
    """Finished blocks in a folder.

    Use `Parts.begin`.

    Attributes
    ----------
    folder : Path
    grid : Grid
    layers : tuple of str
    nodata : float
    blocks : tuple of Window
        All that there will be.
    """

    folder: Path
    grid: Grid
    layers: tuple[str, ...]
    nodata: float
    blocks: tuple[Window, ...]

    @classmethod
    def begin(
        cls,
        folder: Path,
        mapper: BlockPredictor,
        source: CovariateStack,
        blocks: Sequence[Window],
        overwrite: bool,
    ) -> BlockFiles:
        """Make the folder, or go on with the blocks in it.

        Parameters
        ----------
        folder : Path
        mapper : Mapper
        source : Source
        blocks : sequence of Window
        overwrite : bool
            Whether to begin anew where the blocks are those of another job.

        Raises
        ------
        ValueError
            If they are and `overwrite` is False; the message says what differs.
        OSError
            If the folder cannot be made or written.
        """
        parts = cls(folder, source.grid, mapper.layers, mapper.nodata, tuple(blocks))
        job = describe_job(mapper, source, blocks)
        difference = parts._difference(job, mapper, source) if folder.exists() else None
        if difference is not None:
            if not overwrite:
                raise ValueError(
                    f"{str(folder)!r} holds blocks of a run that was stopped, and {difference}. "
                    "Give the arguments and data of that run to go on, or overwrite=True to begin "
                    "anew."
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink()
        text = json.dumps(job, indent=1) + "\n"
        part = folder / f"{_JOB}.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, folder / _JOB)
        return parts

    @property
    def todo(self) -> list[Window]:
        """Blocks that are not finished."""
        return [block for block in self.blocks if not self.path(block).exists()]

    def path(self, block: Window) -> Path:
        """File of a block."""
        return self.folder / f"r{block[0]}_c{block[2]}.tif"

    def write(self, block: Window, layers: np.ndarray) -> None:
        """Write a block: from now on it is finished.

        Parameters
        ----------
        block : Window
        layers : ndarray of shape (n_layers, h, w)

        Raises
        ------
        OSError
            If it cannot be written.
        """
        write_chip(
            self.path(block),
            layers,
            crs=self.grid.crs,
            transform=import_rasterio().Affine(*self.grid.corner_of(block)),
            nodata=self.nodata,
            descriptions=self.layers,
        )

    def read(self, block: Window) -> np.ndarray:
        """Read a finished block: layers (n_layers, h, w).

        Raises
        ------
        OSError
            If its file is damaged, or of another shape.
        """
        rasterio = import_rasterio()
        top, bottom, left, right = block
        expected = (len(self.layers), bottom - top, right - left)
        unplaced = rasterio.errors.NotGeoreferencedWarning  # only its pixels are wanted
        try:
            with (
                warnings.catch_warnings(action="ignore", category=unplaced),
                rasterio.open(self.path(block), driver="GTiff") as file,
            ):
                if (file.count, *file.shape) != expected or set(file.dtypes) != {"float32"}:
                    raise OSError(f"it holds {file.count} layers of {file.shape}, not {expected}")
                return file.read()
        except (OSError, rasterio.errors.RasterioError) as error:
            raise OSError(
                f"the finished block {str(self.path(block))!r} cannot be read ({error}): delete it "
                "and call predict_map again, which predicts it anew."
            ) from error

    def how_far(self) -> str:
        """Say how many blocks are finished, and how to go on."""
        done = len(self.blocks) - len(self.todo)
        return (
            f"{done} of {len(self.blocks)} blocks are finished; they are GeoTIFFs in "
            f"{str(self.folder)!r}. Call predict_map with the same arguments to go on from there."
        )

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def _difference(
        self, job: dict[str, Any], mapper: BlockPredictor, source: CovariateStack
    ) -> str | None:
        before: Any = {}
        try:
            before = json.loads((self.folder / _JOB).read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            return f"its {_JOB} cannot be read ({error})"
        if not isinstance(before, dict):
            return f"its {_JOB} says nothing of a run"
        if not before:
            # Killed before it had begun, unless the folder is somebody else's.
            return "no job.json says what they are" if any(self.folder.glob("*.tif")) else None
        for key, value in job.items():
            if before.get(key) != value:
                return f"{key} differs: {_short(before.get(key), value)}"
        for block in self._finished():
            if not self._agrees(block, mapper, source):
                return (
                    f"in rows {block[0]} to {block[1] - 1}, columns {block[2]} to {block[3] - 1} "
                    "the model or the covariates now give other values"
                )
        return None

    def _finished(self) -> Iterator[Window]:
        """Choose some of the finished blocks, evenly spaced."""
        todo = set(self.todo)
        done = [block for block in self.blocks if block not in todo]
        some = np.linspace(0, len(done) - 1, min(_PROBED_BLOCKS, len(done)))
        return (done[i] for i in some.round().astype(int))

    def _agrees(self, block: Window, mapper: BlockPredictor, source: CovariateStack) -> bool:
        """Predict some cells of a finished block again, and compare."""
        top, bottom, left, right = block
        x, y = self.grid.x[left:right], self.grid.y[top:bottom]
        cells = mapper.table.cells(source.read(block), x, y)
        stored = self.read(block).reshape(len(self.layers), -1)
        empty = np.full(stored.shape[1], True)
        empty[cells.position] = False
        nothing = np.float32(self.nodata)
        if not np.array_equal(
            stored[:, empty], np.full_like(stored[:, empty], nothing), equal_nan=True
        ):
            return False
        if not len(cells):
            return True
        rows = np.linspace(0, len(cells) - 1, min(_PROBED_CELLS, len(cells))).round().astype(int)
        some = cells.take(np.unique(rows))
        new, old = mapper.predict(some), stored[:, some.position]
        scale = np.nanmax(np.abs(old), axis=1, keepdims=True, initial=0.0)
        return bool(
            np.all(
                (np.abs(new - old) <= _SAME_PREDICTIONS * scale) | (np.isnan(new) & np.isnan(old))
            )
        )


def _short(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return f"of {keys[0]!r} {_cut_text(before.get(keys[0]))}, now {_cut_text(now.get(keys[0]))}"
    return f"{_cut_text(before)}, now {_cut_text(now)}"


def _cut_text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
