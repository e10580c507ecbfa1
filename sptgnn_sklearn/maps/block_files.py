"""Finished blocks of a map on disk, from which an interrupted run resumes.

Each block is a GeoTIFF that is renamed into place when it is complete, so that the files in the
folder record the progress. Beside it is a digest of its inputs, and ``job.json`` describes the run,
with a digest of the model; only a run with the same inputs and model resumes.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..images.geotiff_writer import import_rasterio, write_chip
from ..images.raster import Window
from .covariate_stack import CovariateStack, file_state, values_digest
from .grid import Grid
from .layers import AREA_LAYERS, BlockPredictor
from .model_digest import estimator_digest
from .parts_folder import PartsFolder

__all__ = ["BlockFiles", "describe_job"]

_JOB = "job.json"
_DIGEST = re.compile(r"[\da-f]{32}")
_OTHER_MODEL = {
    "model": "the model differs: its parameters or its fitted attributes have other values",
    "area": "area differs: its parameters or its fitted attributes have other values",
}


def describe_job(
    predictor: BlockPredictor, covariates: CovariateStack, blocks: Sequence[Window]
) -> dict[str, Any]:
    """Return everything that determines the blocks, as JSON values.

    Parameters
    ----------
    predictor : BlockPredictor
    covariates : CovariateStack
    blocks : sequence of Window
    """
    grid, table = covariates.grid, predictor.table
    limits = {"lower", "upper"} & set(predictor.layers)
    uses_area = bool(set(AREA_LAYERS) & set(predictor.layers))
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
        "headers": covariates.headers(),
        "source": covariates.fingerprints(blocks),
        "model": predictor.digest,
        "area": estimator_digest(predictor.area) if uses_area else None,
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
        parts: PartsFolder,
        predictor: BlockPredictor,
        covariates: CovariateStack,
        blocks: Sequence[Window],
        overwrite: bool,
    ) -> BlockFiles:
        """Start in an empty folder, or resume from the finished blocks in it.

        Parameters
        ----------
        parts : PartsFolder
            Held by the caller.
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
        folder = parts.path
        block_files = cls(folder, covariates.grid, predictor.layers, predictor.nodata, (*blocks,))
        job = describe_job(predictor, covariates, blocks)
        parts.clear_unfinished()
        mismatch = block_files._find_mismatch(job, covariates)
        if mismatch is not None:
            if not overwrite:
                raise ValueError(
                    f"{str(folder)!r} holds blocks of an interrupted run, and {mismatch}. Pass the "
                    "arguments, model and data of that run to resume it, or overwrite=True to "
                    "start again."
                )
            parts.clear()
        text = json.dumps(job, indent=1) + "\n"
        _write_text(folder / _JOB, text)
        return block_files

    @property
    def unfinished(self) -> list[Window]:
        """Blocks without a file, or without the digest of their inputs."""
        return [
            block
            for block in self.blocks
            if not self.path(block).exists() or self._stored_digest(block) is None
        ]

    def path(self, block: Window) -> Path:
        """Return the file of a block."""
        return self.folder / f"r{block[0]}_c{block[2]}.tif"

    def write(self, block: Window, layers: np.ndarray, digest: str) -> None:
        """Write a block, which is finished from then on.

        Parameters
        ----------
        block : Window
        layers : ndarray of shape (n_layers, h, w)
        digest : str
            Digest of the covariates that it was predicted from.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        _write_text(self._digest_path(block), digest)
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

    def _digest_path(self, block: Window) -> Path:
        return self.path(block).with_suffix(".inputs")

    def _stored_digest(self, block: Window) -> str | None:
        try:
            text = self._digest_path(block).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None
        return text if _DIGEST.fullmatch(text) else None

    def _find_mismatch(self, job: dict[str, Any], covariates: CovariateStack) -> str | None:
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
            stored = stored_job.get(key)
            if stored != value and key in ("model", "area"):
                return _OTHER_MODEL[key]
            if stored != value:
                return f"{key} differs: {_format_change(stored, value)}"
        unfinished = set(self.unfinished)
        for block in self.blocks:
            if block in unfinished:
                continue
            self.read(block)  # a damaged file is named before the other blocks are predicted
            if values_digest(covariates.read(block)) != self._stored_digest(block):
                return (
                    f"in rows {block[0]} to {block[1] - 1}, columns {block[2]} to {block[3] - 1} "
                    "the covariates now have other values"
                )
        return None


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


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
