"""The cells of a block as rows of X: the value of each column, and which cells have all of them."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..images.extraction import extract_chips
from ..table.categories import level_name
from .grid import cell_centers, shift_longitudes
from .model_inputs import ModelInputs

__all__ = ["CellTable", "Cells"]

_NO_CHIP = r"\d+ of \d+ rows have no chip"


@dataclass(frozen=True)
class Cells:
    """The cells of a block that can be predicted.

    Attributes
    ----------
    values : dict of label to ndarray of shape (h, w)
        Covariates of the block.
    flat_index : ndarray of shape (n,) of int
        Index of each cell in the flattened block of h * w cells.
    grid_xy, xy : ndarray of shape (n, 2)
        Cell centers in the CRS of the grid and in that of the model.
    """

    values: dict[Hashable, np.ndarray]
    flat_index: np.ndarray
    grid_xy: np.ndarray
    xy: np.ndarray

    def __len__(self) -> int:
        return len(self.flat_index)

    def take(self, rows: np.ndarray | slice) -> Cells:
        """Return some of the cells."""
        return Cells(self.values, self.flat_index[rows], self.grid_xy[rows], self.xy[rows])


@dataclass(frozen=True)
class CellTable:
    """The source of each column of X on a map.

    Attributes
    ----------
    inputs : ModelInputs
    grid_crs : str or None
    bands : dict of label to label
        Covariate variable of each column that is read from one.
    required : tuple of labels
        Columns of `bands` that a cell needs: all of them, or at least one without `skip_nodata`.
    constants : dict of label to value
        Columns with one value for all cells; None is missing.
    levels : dict of label to dict
        Category level by code, for categories that are stored as numbers.
    rasters : dict of label to path
        Raster from which the chips of an image column are extracted.
    chip_size : int or None
    skip_nodata : bool
    """

    inputs: ModelInputs
    grid_crs: str | None
    bands: dict[Hashable, Hashable]
    required: tuple[Hashable, ...]
    constants: dict[Hashable, Any] = field(default_factory=dict)
    levels: dict[Hashable, dict[Any, Any]] = field(default_factory=dict)
    rasters: dict[Hashable, Any] = field(default_factory=dict)
    chip_size: int | None = None
    skip_nodata: bool = True

    def select_cells(
        self, values: Mapping[Hashable, np.ndarray], x: np.ndarray, y: np.ndarray
    ) -> Cells:
        """Return the cells of a block that have the required covariates.

        Parameters
        ----------
        values : mapping of label to ndarray of shape (h, w)
            Covariates in the block, NaN where they are missing.
        x, y : ndarray of shape (w,), (h,)
            Centers of columns and rows in the CRS of the grid.
        """
        columns = {label: values[name] for label, name in self.bands.items()}
        selected = np.full((len(y), len(x)), True)
        present = [self._has_value(label, columns[label]) for label in self.required]
        if present:
            needs_all = self.skip_nodata or not self.inputs.allows_missing
            selected = (np.logical_and if needs_all else np.logical_or).reduce(present)
        flat_index = np.flatnonzero(selected)
        row, column = np.divmod(flat_index, len(x))
        east, north = x[column], y[row]
        xy = cell_centers(east, north, self.grid_crs, self.inputs.reference)
        if self.inputs.on_sphere:
            xy = shift_longitudes(xy, self.inputs.reference)
        finite = np.isfinite(xy).all(axis=1)
        cells = Cells(columns, flat_index, np.column_stack([east, north]), xy)
        return cells if finite.all() else cells.take(finite)

    def to_frame(self, cells: Cells, folder: str | None) -> pd.DataFrame:
        """Return cells as rows with all columns of the model.

        Parameters
        ----------
        cells : Cells
        folder : str or None
            Folder for the extracted chips; None if there are no images.
        """
        columns: dict[Hashable, Any] = {}
        for label, value in self.constants.items():
            columns[label] = pd.Series(np.nan if value is None else value, index=range(len(cells)))
        for label in self.bands:
            values = cells.values[label].ravel()[cells.flat_index]
            levels = self.levels.get(label)
            columns[label] = values if levels is None else _to_categorical(values, levels)
        if self.inputs.coordinates is not None:
            columns |= dict(zip(self.inputs.coordinates, cells.xy.T, strict=True))
        frame = pd.DataFrame(columns, index=range(len(cells)))
        for label, raster in self.rasters.items():
            frame[label] = self._extract_chips(cells, raster, folder)
        return frame

    def _has_value(self, label: Hashable, values: np.ndarray) -> np.ndarray:
        levels = self.levels.get(label)
        if levels is None:
            return ~pd.isna(values)
        if values.dtype.kind in "OUT":
            return np.isin(_level_names(values), list(levels))
        return np.isin(values, list(levels))

    def _extract_chips(self, cells: Cells, raster: Any, folder: str | None) -> pd.Series:
        locations = pd.DataFrame(cells.grid_xy, columns=["x", "y"])
        assert folder is not None
        assert self.chip_size is not None
        with warnings.catch_warnings():
            # Imagery that covers part of a map is normal, unlike rows of a table without a chip.
            warnings.filterwarnings("ignore", _NO_CHIP, UserWarning)
            chips = extract_chips(
                raster,
                locations,
                column="chip",
                size=self.chip_size,
                out_dir=folder,
                coordinates=("x", "y"),
                crs=self.grid_crs,
            )
        return chips["chip"]


def _to_categorical(values: np.ndarray, levels: dict[Any, Any]) -> pd.Categorical:
    """Return codes as categories; a code without a level is missing."""
    categories = list(dict.fromkeys(levels.values()))
    index = {code: categories.index(level) for code, level in levels.items()}
    if values.dtype.kind in "OUT":
        values = _level_names(values)
    distinct, inverse = np.unique(values, return_inverse=True)
    codes = np.array([index.get(code, -1) for code in distinct.tolist()], dtype=np.int64)
    return pd.Categorical.from_codes(codes[inverse.ravel()], categories=pd.Index(categories))


def _level_names(values: np.ndarray) -> np.ndarray:
    return np.array([level_name(value) for value in values.ravel()]).reshape(values.shape)
