"""Cells of a map in blocks: columns of the model, locations, weights and zones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import gen_batches

from ..maps.grid import cell_centers
from ..maps.model_inputs import ModelInputs, inspect_inputs
from ..spatial.crs import SpatialReference, same_crs
from ..spatial.distances import radians_per_unit
from ..table.column_parsing import to_float
from ..table.coordinate_columns import as_dataframe, locate_coordinates
from ..table.geo_frames import GEOMETRY_LABELS, geometry_crs
from ..utils.messages import did_you_mean, format_rows
from ..utils.validation import require_count

__all__ = [
    "CellLocations",
    "CellReader",
    "ModelColumns",
    "WeightedBlock",
    "as_column",
    "choose_block_rows",
    "is_stream",
    "iterate_blocks",
    "iterate_tables",
]

_MAX_DRAWN_VALUES = 4_000_000  # of a block: 32 MB


@dataclass(frozen=True)
class CellLocations:
    """Locations of cells in their own coordinate reference system.

    Attributes
    ----------
    xy : ndarray of shape (n, 2)
    reference : SpatialReference
    """

    xy: np.ndarray
    reference: SpatialReference

    def take(self, rows: Any) -> CellLocations:
        """Return some of the locations."""
        return CellLocations(self.xy[rows], self.reference)


@dataclass(frozen=True)
class ModelColumns:
    """Columns of X of a fitted model in tables of cells.

    Attributes
    ----------
    name : str
        Class of the model, in messages.
    inputs : ModelInputs
    """

    name: str
    inputs: ModelInputs

    @classmethod
    def from_model(cls, model: Any) -> ModelColumns:
        """Return the columns of a fitted model, optionally inside meta-estimators."""
        return cls(type(model).__name__, inspect_inputs(model))

    def select(self, frame: pd.DataFrame, name: str = "cells") -> Any:
        """Return X for the model: its columns, with coordinates in its CRS.

        Columns that predictions do not need, such as ids and campaigns, may be missing.

        Parameters
        ----------
        frame : DataFrame
            From `as_dataframe`; may have other columns.
        name : str, default="cells"
            Of the table, in messages.

        Raises
        ------
        ValueError
            If a column is missing.
        """
        inputs, pair = self.inputs, self.inputs.coordinates
        geometry = set(GEOMETRY_LABELS) <= set(frame.columns)
        known = None if inputs.reference is None else inputs.reference.crs
        own = geometry_crs(frame, GEOMETRY_LABELS, None) if geometry else None
        if pair is not None and geometry:
            from_geometry = pair == GEOMETRY_LABELS or not set(pair) <= set(frame.columns)
            differs = own is not None and known is not None and not same_crs(own, known)
            if from_geometry and (differs or pair != GEOMETRY_LABELS):
                xy = frame[list(GEOMETRY_LABELS)].to_numpy(dtype=float)
                xy = cell_centers(xy[:, 0], xy[:, 1], own, inputs.reference)
                frame = frame.copy()
                frame[pair[0]], frame[pair[1]] = xy.T
                frame.attrs = {}  # the CRS of the geometry is no longer that of these columns
        missing = [label for label in inputs.labels if label not in frame.columns]
        unused = [label for label in missing if label in inputs.optional]
        if unused:
            frame = frame.assign(**dict.fromkeys(map(str, unused), np.nan))
            missing = [label for label in missing if label not in unused]
        if missing:
            raise ValueError(
                f"{name} lack the columns {missing[:10]} of {self.name}; their columns are "
                f"{list(frame.columns)[:20]}{did_you_mean(missing[0], frame.columns)}"
            )
        return inputs.to_model_input(frame)

    def locate(self, frame: pd.DataFrame) -> CellLocations | None:
        """Return the locations of cells; None if no columns are known as coordinates."""
        pair = self.inputs.coordinates
        if set(GEOMETRY_LABELS) <= set(frame.columns):
            pair = GEOMETRY_LABELS
        if pair is None or not set(pair) <= set(frame.columns):
            return None
        xy, reference, _ = locate_coordinates(frame, pair)
        is_own = pair == GEOMETRY_LABELS and geometry_crs(frame, pair, None) is not None
        if not is_own and self.inputs.reference is not None:
            reference = self.inputs.reference
        return CellLocations(xy, reference)


@dataclass(frozen=True)
class WeightedBlock:
    """Cells of a block that have a weight and a zone.

    Attributes
    ----------
    frame : DataFrame of n rows
        All columns of the cells.
    weights : ndarray of shape (n,)
        Positive.
    zones : ndarray of shape (n,)
        Label of the zone of each cell.
    kept : ndarray of shape (n_rows,) of bool
        Rows of the block that are these cells.
    locations : CellLocations or None
    """

    frame: pd.DataFrame
    weights: np.ndarray
    zones: Any
    kept: np.ndarray
    locations: CellLocations | None


class CellReader:
    """Reader of cells in blocks.

    Parameters
    ----------
    columns : ModelColumns
    assigner : ZoneAssigner
        Labels of zones.
    weights : None, float, name of a column, or array-like of shape (n_cells,)
    block_rows : int

    Attributes
    ----------
    n_rows, n_outside : int
        Rows that were read, and those of them in no zone.
    """

    def __init__(self, columns: ModelColumns, assigner: Any, weights: Any, block_rows: int) -> None:
        self.columns, self._assigner, self._weights = columns, assigner, weights
        is_array = not (weights is None or _is_constant(weights) or isinstance(weights, str))
        self._weight_column = as_column("weights", weights) if is_array else None
        self.block_rows = block_rows
        self.n_rows = self.n_outside = 0

    def blocks(self, cells: Any) -> Iterator[WeightedBlock]:
        """Yield the blocks of cells; blocks without any weighted cell in a zone have no rows.

        Raises
        ------
        ValueError
            If cells are empty, weights are negative or missing, or an array of weights or zones has
            another number of rows.
        """
        self.n_rows = self.n_outside = 0
        if not is_stream(cells):
            cells = as_dataframe(cells)
            self._check_lengths(len(cells))
        else:
            self._check_no_arrays()
        for frame in iterate_blocks(cells, self.block_rows):
            rows = slice(self.n_rows, self.n_rows + len(frame))
            self.n_rows = rows.stop
            locations = self.columns.locate(frame)
            weights = self._read_weights(frame, locations, rows)
            zones = self._assigner.assign(frame, locations, rows)
            inside = ~pd.isna(zones)
            self.n_outside += int((~inside).sum())
            kept = inside & (weights > 0)
            part = None if locations is None else locations.take(kept)
            yield WeightedBlock(frame[kept], weights[kept], zones[kept], kept, part)
        if not self.n_rows:
            raise ValueError("cells is empty: pass at least one cell.")

    def _read_weights(
        self, frame: pd.DataFrame, locations: CellLocations | None, rows: slice
    ) -> np.ndarray:
        given = self._weights
        if given is None:
            if locations is None or not locations.reference.geographic:
                return np.ones(len(frame))
            latitude = locations.xy[:, 1] * radians_per_unit(locations.reference.crs)
            return np.maximum(np.cos(latitude), 0.0)
        if self._weight_column is not None:
            values = to_float(self._weight_column.iloc[rows], "weights")
        elif not isinstance(given, str):
            values = np.full(len(frame), float(given))
        else:
            if given not in frame.columns:
                raise ValueError(
                    f"weights={given!r} is not a column of cells; their columns are "
                    f"{list(frame.columns)[:20]}{did_you_mean(given, frame.columns)}"
                )
            values = to_float(frame[given].reset_index(drop=True), given)
        for invalid, what in (
            (np.isnan(values), "missing values"),
            (values < 0, "negative values"),
            (np.isinf(values), "infinite values"),
        ):
            if invalid.any():
                of_table = np.zeros(rows.stop, dtype=bool)
                of_table[rows] = invalid
                raise ValueError(
                    f"weights has {what} in {format_rows(of_table, f'{values[invalid][0]:g}')}: "
                    "weights are areas; 0 leaves a cell out."
                )
        return values

    def _arrays(self) -> Iterator[tuple[str, int]]:
        """Yield the names and lengths of weights and zones that are arrays."""
        if self._weight_column is not None:
            yield "weights", len(self._weight_column)
        if self._assigner.n_labels is not None:
            yield "zones", self._assigner.n_labels

    def _check_lengths(self, n_cells: int) -> None:
        for name, length in self._arrays():
            if length != n_cells:
                raise ValueError(
                    f"{name} must have {n_cells} values, one per row of cells; found {length}."
                )

    def _check_no_arrays(self) -> None:
        for name, _ in self._arrays():
            raise ValueError(
                f"{name} is an array, but cells come in several blocks: put it into a column of "
                f"each block and pass its name."
            )


def is_stream(cells: Any) -> bool:
    """Return whether cells are blocks of tables: an iterator, a list, or a dask DataFrame.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation.cells import is_stream
    >>> is_stream([pd.DataFrame({"x": [1.0]})]), is_stream([[1.0, 2.0]])
    (True, False)
    """
    if isinstance(cells, list | tuple):
        return bool(cells) and all(hasattr(part, "columns") for part in cells)
    return isinstance(cells, Iterator) or hasattr(cells, "npartitions")


def iterate_tables(cells: Any) -> Iterator[Any]:
    """Yield the tables of a stream, such as the partitions of a dask DataFrame, or one table.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation.cells import iterate_tables
    >>> len(list(iterate_tables(pd.DataFrame({"x": [1.0, 2.0]}))))
    1
    """
    if hasattr(cells, "npartitions"):
        yield from (cells.partitions[number] for number in range(cells.npartitions))
    else:
        yield from cells if is_stream(cells) else [cells]


def iterate_blocks(cells: Iterable[Any] | Any, block_rows: int) -> Iterator[pd.DataFrame]:
    """Yield tables of at most `block_rows` rows from a table or from blocks of any size.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation.cells import iterate_blocks
    >>> [len(block) for block in iterate_blocks(pd.DataFrame({"x": range(5)}), 2)]
    [2, 2, 1]
    """
    for part in iterate_tables(cells):
        table = as_dataframe(part)
        for batch in gen_batches(len(table), block_rows) if len(table) else []:
            yield table.iloc[batch]


def choose_block_rows(block_rows: int | None, n_samples: int) -> int:
    """Return the number of cells that are drawn at once.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.cells import choose_block_rows
    >>> choose_block_rows(None, n_samples=200)
    20000
    """
    if block_rows is None:
        return max(1, _MAX_DRAWN_VALUES // n_samples)
    require_count("block_rows", block_rows)
    return int(block_rows)


def as_column(name: str, values: Any) -> pd.Series:
    """Return a parameter as a Series of n values, or raise a ValueError.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.cells import as_column
    >>> as_column("zones", ["a", "b"]).tolist()
    ['a', 'b']
    """
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.Index | pd.Categorical):
        values = pd.Series(values)
    if not isinstance(values, pd.Series):
        array = np.asarray(values)
        if array.ndim != 1:
            raise ValueError(f"{name} must be one column of values; found shape {array.shape}.")
        values = pd.Series(array)
    return values.reset_index(drop=True)


def _is_constant(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
