"""Folder of finished map blocks, from which an interrupted run resumes.

Each block is a GeoTIFF that is renamed into place when it is complete, so that the files in the
folder record the progress. ``job.json`` beside them describes the run; only the same run resumes.
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

from ..images.geotiff_writer import import_rasterio, write_chip
from ..images.raster import Window
from .covariate_stack import CovariateStack, file_state
from .grid import Grid
from .layers import BlockPredictor

__all__ = ["BlockFiles", "describe_job"]

_JOB = "job.json"
_CHECKED_BLOCKS, _CHECKED_CELLS = 4, 64  # finished blocks, and cells of each, predicted again
_SAME_PREDICTIONS = 1e-4  # of a layer's largest value: above rounding, below another model


def describe_job(
    predictor: BlockPredictor, covariates: CovariateStack, blocks: Sequence[Window]
) -> dict[str, Any]:
    """Return everything that determines the blocks except the model, as JSON values.

    Parameters
    ----------
    predictor : BlockPredictor
    covariates : CovariateStack
    blocks : sequence of Window
    """
    grid, table = covariates.grid, predictor.table
    limits = {"lower", "upper"} & set(predictor.layers)
    job = {
        "layers": list(predictor.layers),
        "coverage": predictor.coverage if limits else None,
        "nodata_output": repr(float(predictor.nodata)),
        "skip_nodata": table.skip_nodata,
        "grid": [*grid.shape, *grid.transform, grid.crs],
        "blocks": [list(block) for block in blocks],
        "columns": {str(label): str(name) for label, name in table.bands.items()},
        "constants": {str(label): repr(value) for label, value in table.constants.items()},
        "categories": {str(label): repr(codes) for label, codes in table.levels.items()},
        "images": {str(label): file_state(path) for label, path in table.rasters.items()},
        "source": covariates.fingerprints(blocks),
    }
    return json.loads(json.dumps(job))


@dataclass(frozen=True)
class BlockFiles:
    """Finished blocks of a map in a folder; made by `BlockFiles.create_or_resume`.

    Attributes
    ----------
    folder : Path
    grid : Grid
    layers : tuple of str
    nodata : float
    blocks : tuple of Window
        All blocks of the map, finished or not.
    """

    folder: Path
    grid: Grid
    layers: tuple[str, ...]
    nodata: float
    blocks: tuple[Window, ...]

    @classmethod
    def create_or_resume(
        cls,
        folder: Path,
        predictor: BlockPredictor,
        covariates: CovariateStack,
        blocks: Sequence[Window],
        overwrite: bool,
    ) -> BlockFiles:
        """Create the folder, or resume from the finished blocks in it.

        Parameters
        ----------
        folder : Path
        predictor : BlockPredictor
        covariates : CovariateStack
        blocks : sequence of Window
        overwrite : bool
            Whether to delete the blocks of another run and start again.

        Raises
        ------
        ValueError
            If the folder holds blocks of another run and `overwrite` is False; the message names
            the difference.
        OSError
            If the folder cannot be created or written.
        """
        block_files = cls(folder, covariates.grid, predictor.layers, predictor.nodata, (*blocks,))
        job = describe_job(predictor, covariates, blocks)
        if folder.exists():
            mismatch = block_files._find_mismatch(job, predictor, covariates)
            if mismatch is not None:
                if not overwrite:
                    raise ValueError(
                        f"{str(folder)!r} holds blocks of an interrupted run, and {mismatch}. Pass "
                        "the arguments and data of that run to resume it, or overwrite=True to "
                        "start again."
                    )
                shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink()
        text = json.dumps(job, indent=1) + "\n"
        part = folder / f"{_JOB}.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, folder / _JOB)
        return block_files

    @property
    def unfinished(self) -> list[Window]:
        """Blocks without a file."""
        return [block for block in self.blocks if not self.path(block).exists()]

    def path(self, block: Window) -> Path:
        """Return the file of a block."""
        return self.folder / f"r{block[0]}_c{block[2]}.tif"

    def write(self, block: Window, layers: np.ndarray) -> None:
        """Write a block, which is finished from then on.

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
            transform=import_rasterio().Affine(*self.grid.window_transform(block)),
            nodata=self.nodata,
            descriptions=self.layers,
        )

    def read(self, block: Window) -> np.ndarray:
        """Return the layers (n_layers, h, w) of a finished block.

        Raises
        ------
        OSError
            If its file is damaged or has another shape.
        """
        rasterio = import_rasterio()
        top, bottom, left, right = block
        expected = (len(self.layers), bottom - top, right - left)
        no_transform = rasterio.errors.NotGeoreferencedWarning  # only the pixels are used
        try:
            with (
                warnings.catch_warnings(action="ignore", category=no_transform),
                rasterio.open(self.path(block), driver="GTiff") as file,
            ):
                if (file.count, *file.shape) != expected or set(file.dtypes) != {"float32"}:
                    raise OSError(f"found {file.count} layers of {file.shape}, not {expected}")
                return file.read()
        except (OSError, rasterio.errors.RasterioError) as error:
            raise OSError(
                f"the finished block {str(self.path(block))!r} cannot be read ({error}): delete "
                "the file and call predict_map again, which predicts the block again."
            ) from error

    def progress(self) -> str:
        """Return a message with the number of finished blocks and how to resume."""
        done = len(self.blocks) - len(self.unfinished)
        return (
            f"{done} of {len(self.blocks)} blocks are finished; they are GeoTIFFs in "
            f"{str(self.folder)!r}. Call predict_map with the same arguments to resume."
        )

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def _find_mismatch(
        self, job: dict[str, Any], predictor: BlockPredictor, covariates: CovariateStack
    ) -> str | None:
        stored_job: Any = {}
        try:
            stored_job = json.loads((self.folder / _JOB).read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            return f"its {_JOB} cannot be read ({error})"
        if not isinstance(stored_job, dict):
            return f"its {_JOB} does not describe a run"
        if not stored_job:
            # A run killed before its first block leaves none, so GeoTIFFs are from another program.
            return "no job.json describes them" if any(self.folder.glob("*.tif")) else None
        for key, value in job.items():
            if stored_job.get(key) != value:
                return f"{key} differs: {_format_change(stored_job.get(key), value)}"
        for block in self._checked_blocks():
            if not self._matches_prediction(block, predictor, covariates):
                return (
                    f"in rows {block[0]} to {block[1] - 1}, columns {block[2]} to {block[3] - 1} "
                    "the model or the covariates now give other values"
                )
        return None

    def _checked_blocks(self) -> Iterator[Window]:
        """Return some of the finished blocks, evenly spaced."""
        unfinished = set(self.unfinished)
        done = [block for block in self.blocks if block not in unfinished]
        chosen = np.linspace(0, len(done) - 1, min(_CHECKED_BLOCKS, len(done)))
        return (done[i] for i in chosen.round().astype(int))

    def _matches_prediction(
        self, block: Window, predictor: BlockPredictor, covariates: CovariateStack
    ) -> bool:
        """Return whether new predictions of some cells equal those in a finished block."""
        top, bottom, left, right = block
        x, y = self.grid.x[left:right], self.grid.y[top:bottom]
        cells = predictor.table.select_cells(covariates.read(block), x, y)
        stored = self.read(block).reshape(len(self.layers), -1)
        empty = np.full(stored.shape[1], True)
        empty[cells.flat_index] = False
        nodata = np.full_like(stored[:, empty], np.float32(self.nodata))
        if not np.array_equal(stored[:, empty], nodata, equal_nan=True):
            return False
        if not len(cells):
            return True
        rows = np.linspace(0, len(cells) - 1, min(_CHECKED_CELLS, len(cells))).round().astype(int)
        checked = cells.take(np.unique(rows))
        new, old = predictor.predict(checked), stored[:, checked.flat_index]
        scale = np.nanmax(np.abs(old), axis=1, keepdims=True, initial=0.0)
        close = np.abs(new - old) <= _SAME_PREDICTIONS * scale
        return bool(np.all(close | (np.isnan(new) & np.isnan(old))))


def _format_change(stored: Any, current: Any) -> str:
    if isinstance(stored, dict) and isinstance(current, dict):
        pairs = {
            key: (stored.get(key, "absent"), current.get(key, "absent")) for key in stored | current
        }
        key, (old, new) = next(item for item in pairs.items() if item[1][0] != item[1][1])
        return f"{key!r} was {_truncate(old)}, now {_truncate(new)}"
    return f"{_truncate(stored)}, now {_truncate(current)}"


def _truncate(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
