"""The cells of a block as rows of X: what each column is filled with, and which cells have all."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..images.extraction import extract_chips
from .grid import cell_centers
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
    position : ndarray of shape (n,) of int
        Place of each cell among the h * w of the block, row by row.
    grid_xy, xy : ndarray of shape (n, 2)
        Centres in the system of the grid and in that of the model.
    """

    values: dict[Hashable, np.ndarray]
    position: np.ndarray
    grid_xy: np.ndarray
    xy: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def take(self, rows: np.ndarray) -> Cells:
        """Return some of the cells."""
        return Cells(self.values, self.position[rows], self.grid_xy[rows], self.xy[rows])


@dataclass(frozen=True)
class CellTable:
    """What the columns of X are filled with on a map.

    Attributes
    ----------
    expected : Expectation
    grid_crs : str or None
    bands : dict of label to label
        Variable of the source for each column that comes from one.
    required : tuple of labels
        Columns among these of which a cell needs all, or with `skip_nodata` False one at least.
    constants : dict of label to value
        The same in all cells; None is missing.
    levels : dict of label to dict
        Level by code, for categories that the source holds as numbers.
    rasters : dict of label to raster
        What chips are cut from, by the column of their paths.
    chip_size : int or None
    skip_nodata : bool
    """

    expected: ModelInputs
    grid_crs: str | None
    bands: dict[Hashable, Hashable]
    required: tuple[Hashable, ...]
    constants: dict[Hashable, Any] = field(default_factory=dict)
    levels: dict[Hashable, dict[Any, Any]] = field(default_factory=dict)
    rasters: dict[Hashable, Any] = field(default_factory=dict)
    chip_size: int | None = None
    skip_nodata: bool = True

    def cells(self, values: Mapping[Hashable, np.ndarray], x: np.ndarray, y: np.ndarray) -> Cells:
        """Find the cells of a block that have what the model needs.

        Parameters
        ----------
        values : mapping of label to ndarray of shape (h, w)
            Variables of the source in the block, NaN where they are missing.
        x, y : ndarray of shape (w,), (h,)
            Centres of columns and rows in the system of the grid.
        """
        columns = {label: values[name] for label, name in self.bands.items()}
        there = np.full((len(y), len(x)), True)
        known = [self._known(label, columns[label]) for label in self.required]
        if known:
            needs_all = self.skip_nodata or not self.expected.takes_gaps
            there = (np.logical_and if needs_all else np.logical_or).reduce(known)
        position = np.flatnonzero(there)
        row, column = np.divmod(position, len(x))
        east, north = x[column], y[row]
        frame = self.expected.reference
        xy = cell_centers(east, north, self.grid_crs, frame)
        placed = np.isfinite(xy).all(axis=1)
        found = Cells(columns, position, np.column_stack([east, north]), xy)
        return found if placed.all() else found.take(placed)

    def reference(self, cells: Cells, folder: str | None) -> pd.DataFrame:
        """Return cells as rows with all columns of the model.

        Parameters
        ----------
        cells : Cells
        folder : str or None
            Of the chips that are cut; None if there are none.
        """
        columns: dict[Hashable, Any] = {}
        for label, value in self.constants.items():
            columns[label] = pd.Series(np.nan if value is None else value, index=range(len(cells)))
        for label in self.bands:
            values = cells.values[label].ravel()[cells.position]
            levels = self.levels.get(label)
            columns[label] = values if levels is None else _as_levels(values, levels)
        if self.expected.coordinates is not None:
            columns |= dict(zip(self.expected.coordinates, cells.xy.T, strict=True))
        frame = pd.DataFrame(columns, index=range(len(cells)))
        for label, raster in self.rasters.items():
            frame[label] = self._chips(cells, raster, folder)
        return frame

    def _known(self, label: Hashable, values: np.ndarray) -> np.ndarray:
        levels = self.levels.get(label)
        return ~pd.isna(values) if levels is None else np.isin(values, list(levels))

    def _chips(self, cells: Cells, raster: Any, folder: str | None) -> pd.Series:
        places = pd.DataFrame(cells.grid_xy, columns=["x", "y"])
        assert folder is not None
        assert self.chip_size is not None
        with warnings.catch_warnings():
            # On a map the border of the imagery is seen, and not a fault of some rows.
            warnings.filterwarnings("ignore", _NO_CHIP, UserWarning)
            found = extract_chips(
                raster,
                places,
                column="chip",
                size=self.chip_size,
                out_dir=folder,
                coordinates=("x", "y"),
                crs=self.grid_crs,
            )
        return found["chip"]


def _as_levels(values: np.ndarray, levels: dict[Any, Any]) -> pd.Categorical:
    """Codes to categories; a code without a level is missing."""
    known = list(dict.fromkeys(levels.values()))
    place = {code: known.index(level) for code, level in levels.items()}
    distinct, inverse = np.unique(values, return_inverse=True)
    codes = np.array([place.get(code, -1) for code in distinct.tolist()], dtype=np.int64)
    return pd.Categorical.from_codes(codes[inverse.ravel()], categories=pd.Index(known))
