"""Matching of the columns of X with covariates, once for a map."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..images.geotiff_writer import import_rasterio
from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, resolve_crs
from ..table.categories import level_name
from ..table.column_parsing import decimal_years
from .cell_table import CellTable
from .covariate_stack import CovariateStack
from .grid import Grid, full_turn, shift_longitudes
from .model_inputs import ModelInputs

__all__ = ["match_columns"]


def match_columns(
    inputs: ModelInputs,
    covariates: CovariateStack,
    *,
    date: Any = None,
    images: Mapping[Hashable, Any] | None = None,
    chip_size: int | None = None,
    categories: Mapping[Hashable, Any] | None = None,
    skip_nodata: bool = True,
    extra_columns: Sequence[Hashable] = (),
) -> CellTable:
    """Match each column of X with a covariate, a constant or a raster of images.

    Parameters
    ----------
    inputs : ModelInputs
    covariates : CovariateStack
    date : date, text or year, default=None
    images : mapping of label to path, default=None
    chip_size : int, default=None
    categories : mapping of label to mapping or sequence, default=None
    skip_nodata : bool, default=True
        As in `predict_map`, like the four parameters above.
    extra_columns : sequence of labels, default=()
        Further columns to read, which a cell may lack.

    Raises
    ------
    ValueError
        If a column has no covariate, or an argument names no column.

    Warns
    -----
    UserWarning
        If the CRS of the grid or of the model is unknown, or if the model has dates or images and
        the map has none.
    """
    rasters = _check_labels("images", images, inputs)
    given_levels = _check_labels("categories", categories, inputs)
    not_covariates = {*(inputs.coordinates or ()), *rasters, *inputs.images}
    if date is not None:
        if inputs.time is None:
            raise ValueError(
                f"date={date!r} is given, but the estimator was fitted without a time column. If "
                "it uses the date as a covariate, add it to the covariates."
            )
        not_covariates.add(inputs.time)
    needed = [label for label in inputs.labels if label not in not_covariates]
    extra = [label for label in extra_columns if label not in inputs.labels]
    if inputs.named:
        bands = _match_by_name([*needed, *extra], covariates, inputs)
    else:
        bands = _match_by_position(needed, covariates, inputs)
    constants = {
        label: covariates.constants[name]
        for label, name in bands.items()
        if name in covariates.constants
    }
    for label in constants.keys() & given_levels.keys():
        constants[label] = _level_of_constant(label, constants[label], given_levels[label])
    bands = {label: name for label, name in bands.items() if label not in constants}
    for label in needed:
        if label not in bands and label not in constants:
            constants[label] = None
    if date is not None:
        constants[inputs.time] = _parse_date(date)
    elif inputs.time is not None and constants.get(inputs.time, 0) is None:
        warnings.warn(
            f"The estimator was fitted with dates in {inputs.time!r}, and the map has none: it is "
            "predicted for an unknown date. Pass date.",
            UserWarning,
            stacklevel=3,
        )
    without_raster = [label for label in inputs.images if label not in rasters]
    constants |= dict.fromkeys(without_raster)
    if without_raster and inputs.chip_size is not None:  # XGBoostBaseline ignores images
        warnings.warn(
            f"The estimator was fitted with images in {without_raster}, and the map has none: pass "
            "images={column: raster}.",
            UserWarning,
            stacklevel=3,
        )
    _check_crs(covariates.grid, inputs)
    chip_size = chip_size or inputs.chip_size
    if rasters and chip_size is None:
        raise ValueError(
            "images are given, but the size of their chips is unknown: pass chip_size."
        )
    for label, raster in rasters.items():
        _check_image(label, raster, covariates.grid)
    optional = {*inputs.optional, inputs.time, *extra}
    return CellTable(
        inputs,
        covariates.grid.crs,
        bands,
        required=tuple(label for label in bands if label not in optional),
        constants=constants,
        levels=_category_levels(bands, covariates, inputs, given_levels),
        rasters=rasters,
        chip_size=chip_size,
        skip_nodata=skip_nodata,
    )


def _check_labels(
    parameter: str, given: Mapping[Hashable, Any] | None, inputs: ModelInputs
) -> dict[Hashable, Any]:
    given = dict(given or {})
    unknown = [label for label in given if label not in inputs.labels]
    if unknown:
        raise ValueError(
            f"{parameter} names {unknown}, which are not columns of the estimator; it was fitted "
            f"with {list(inputs.labels)[:20]}."
        )
    return given


def _match_by_name(
    labels: Sequence[Hashable], covariates: CovariateStack, inputs: ModelInputs
) -> dict[Hashable, Hashable]:
    names = set(covariates.names)
    optional = {*inputs.optional, inputs.time}
    missing = [label for label in labels if label not in names and label not in optional]
    if missing:
        raise ValueError(
            f"the estimator was fitted with the columns {missing}, and no covariate of the map has "
            f"that name; there are {covariates.names[:20]}. Rename a variable, or pass a mapping "
            "of columns to paths."
        )
    return {label: label for label in labels if label in names}


def _match_by_position(
    labels: Sequence[Hashable], covariates: CovariateStack, inputs: ModelInputs
) -> dict[Hashable, Hashable]:
    required = [label for label in labels if label not in {*inputs.optional, inputs.time}]
    if len(labels) != len(covariates.names) == len(required):
        labels = required
    if len(labels) != len(covariates.names):
        raise ValueError(
            f"the estimator was fitted without column names on {len(inputs.labels)} columns, of "
            f"which {len(labels)} are covariates; the map has {len(covariates.names)}: "
            f"{covariates.names[:20]}. Pass as many, in the order of fit, or fit on a DataFrame."
        )
    return dict(zip(labels, covariates.names, strict=True))


def _parse_date(date: Any) -> float:
    """Return a date in decimal years, by the rules for columns of dates."""
    try:
        return float(decimal_years(pd.Series([date]), "date")[0])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"date={date!r} must be a date, ISO text (date='2005-04-03') or a year: {error}"
        ) from error


def _check_crs(grid: Grid, inputs: ModelInputs) -> None:
    """Warn of an unknown CRS, and raise if the grid cannot have that of the model."""
    if inputs.coordinates is None:
        return
    reference = inputs.reference
    if grid.crs is None:
        warnings.warn(
            "The covariates have no CRS; that of the estimator is assumed "
            f"({_shorten_crs(reference)}). Write one into the raster, or call "
            "dataset.rio.write_crs.",
            UserWarning,
            stacklevel=4,
        )
        corners = np.array([[x, y] for x in grid.x[[0, -1]] for y in grid.y[[0, -1]]])
        if inputs.on_sphere and not _longitude_error(grid, reference):
            corners = shift_longitudes(corners, reference)
        if reference is not None:
            try:
                check_coordinates(corners, reference, inputs.coordinates, fitting=False)
            except ValueError as error:
                raise ValueError(
                    "the covariates have no CRS, and their coordinates are not valid in "
                    f"{reference.crs}: write the CRS into the raster, or call "
                    "dataset.rio.write_crs."
                ) from error
        return
    outside = _longitude_error(grid, resolve_crs(grid.crs, [])) if inputs.on_sphere else None
    if outside:
        raise ValueError(outside)
    if reference is None or reference.crs is None:
        warnings.warn(
            f"The CRS of the estimator's coordinates {inputs.coordinates} is unknown; that of the "
            "covariates is assumed. Pass crs to the estimator or to predict_map.",
            UserWarning,
            stacklevel=4,
        )


def _longitude_error(grid: Grid, reference: SpatialReference | None) -> str | None:
    """Return why longitudes cannot be shifted into the range of -180 to 360, or None."""
    turn = full_turn(reference)
    west, east = float(grid.x.min()), float(grid.x.max())
    if turn is None or (-turn <= west and east <= 2 * turn):
        return None
    return (
        f"the covariates have longitudes from {west:g} to {east:g}, and the earth ends at "
        f"{turn:g}: subtract {turn:g} from those beyond (dataset.assign_coords), or write the "
        "CRS of the coordinates (dataset.rio.write_crs)."
    )


def _check_image(label: Hashable, raster: Any, grid: Grid) -> None:
    """Raise if an image is not a raster that overlaps the map."""
    rasterio = import_rasterio()
    if not isinstance(raster, str | os.PathLike):
        raise ValueError(f"images[{label!r}]={raster!r} must be the path of a raster.")
    try:
        with rasterio.open(raster) as file:
            crs, bounds = file.crs, file.bounds
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"images[{label!r}]: {str(raster)!r} cannot be opened: {error}") from error
    if crs and grid.crs:
        bounds = rasterio.warp.transform_bounds(crs, grid.crs, *bounds)
    west, south, east, north = bounds
    if east < grid.x.min() or west > grid.x.max() or north < grid.y.min() or south > grid.y.max():
        raise ValueError(
            f"images[{label!r}]: {str(raster)!r} covers no cell of the map; check its CRS."
        )


def _shorten_crs(reference: SpatialReference | None) -> str:
    return "unknown too" if reference is None or reference.crs is None else reference.crs[:60]


def _category_levels(
    bands: Mapping[Hashable, Hashable],
    covariates: CovariateStack,
    inputs: ModelInputs,
    given: Mapping[Hashable, Any],
) -> dict[Hashable, dict[Any, Any]]:
    """Return the levels by code of the categories that are stored as numbers."""
    levels_by_column = {}
    for label, name in bands.items():
        if label in given:
            numeric = covariates.dataset[name].dtype.kind in "biuf"
            levels_by_column[label] = _levels_by_code(label, given[label], numeric)
            names = [level_name(level) for level in levels_by_column[label].values()]
            known = inputs.levels.get(label)
            if known is not None and not set(names) & set(known):
                raise ValueError(
                    f"categories[{label!r}] has the levels {names[:10]}, and the estimator was "
                    f"fitted with {list(known)[:10]}."
                )
        elif label in inputs.levels and covariates.dataset[name].dtype.kind in "biuf":
            known = inputs.levels[label]
            codes = pd.to_numeric(pd.Series(known), errors="coerce")
            if codes.isna().all():
                raise ValueError(
                    f"column {label!r} is a category with the levels {list(known)[:10]}, and the "
                    f"map holds numbers: pass categories={{{label!r}: {{1: {known[0]!r}, ...}}}}."
                )
    return levels_by_column


def _level_of_constant(label: Hashable, value: Any, levels: Any) -> Any:
    """Return the level of the one code of all cells; text that is a level already is kept."""
    by_code = _levels_by_code(label, levels, numeric=not isinstance(value, str))
    if value in by_code:
        return by_code[value]
    if level_name(value) in {level_name(level) for level in by_code.values()}:
        return value
    raise ValueError(f"categories[{label!r}] has no level for {value!r}, the value of all cells.")


def _levels_by_code(label: Hashable, levels: Any, numeric: bool) -> dict[Any, Any]:
    """Return given levels by the values of a raster, which holds numbers or text."""
    if isinstance(levels, str):
        raise ValueError(
            f"categories[{label!r}]={levels!r} must map numbers of the raster to levels, or list "
            "the levels of 0, 1, 2, ..."
        )
    by_code: dict[Any, Any] = {}
    for key, level in levels.items() if isinstance(levels, Mapping) else enumerate(levels):
        code = _to_number(key) if numeric else level_name(key)
        if code is None:
            raise ValueError(
                f"categories[{label!r}] has the key {key!r}, and the raster holds numbers: use the "
                "numbers of the raster as keys."
            )
        if code in by_code and level_name(by_code[code]) != level_name(level):
            raise ValueError(
                f"categories[{label!r}] has two levels for {code!r}: {by_code[code]!r} and "
                f"{level!r}."
            )
        by_code[code] = level
    return by_code


def _to_number(key: Any) -> float | None:
    """Return a number, also from text; whole ones as int. None if it is no finite number."""
    try:
        number = float(key)
    except (TypeError, ValueError, OverflowError):
        return None
    if not np.isfinite(number):
        return None
    return int(number) if number == int(number) else number
