"""What fills each column of X on a map: decided once, before anything is predicted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..images.geotiff import import_rasterio
from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference
from .cell_table import CellTable
from .covariate_stack import CovariateStack
from .grid import Grid
from .model_inputs import ModelInputs

__all__ = ["plan_cells"]


def plan_cells(
    expected: ModelInputs,
    source: CovariateStack,
    *,
    date: Any = None,
    images: Mapping[Hashable, Any] | None = None,
    chip_size: int | None = None,
    categories: Mapping[Hashable, Any] | None = None,
    skip_nodata: bool = True,
    also: Sequence[Hashable] = (),
) -> CellTable:
    """Decide what fills each column of X.

    Parameters
    ----------
    expected : Expectation
    source : Source
    date : date, text or year, default=None
    images : mapping of label to raster, default=None
    chip_size : int, default=None
    categories : mapping of label to mapping or sequence, default=None
    skip_nodata : bool, default=True
        All as in `predict_map`.
    also : sequence of labels, default=()
        Columns that are not the estimator's and are wanted too; a cell may lack them.

    Raises
    ------
    ValueError
        If a column has nothing that fills it, or what is given fits no column.

    Warns
    -----
    UserWarning
        If the reference system of grid or model is not known, and if the model has dates or images
        and the map none.
    """
    rasters = _known_labels("images", images, expected)
    mapped = _known_labels("categories", categories, expected)
    own = {*(expected.coordinates or ()), *rasters, *expected.images}
    if date is not None:
        if expected.time is None:
            raise ValueError(
                f"date={date!r} is given, and the estimator knows no column of time. Where it has "
                "one that it takes for a covariate, give it with the covariates."
            )
        own.add(expected.time)
    wanted = [label for label in expected.labels if label not in own]
    more = [label for label in also if label not in expected.labels]
    if expected.named:
        bands = _match([*wanted, *more], source, expected)
    else:
        bands = _by_position(wanted, source, expected)
    same = source.constants
    constants = {label: same[name] for label, name in bands.items() if name in same}
    bands = {label: name for label, name in bands.items() if label not in constants}
    for label in wanted:
        if label not in bands and label not in constants:
            constants[label] = None
    if date is not None:
        constants[expected.time] = _date(date)
    elif expected.time is not None and constants.get(expected.time, 0) is None:
        warnings.warn(
            f"The estimator was fitted with dates in {expected.time!r}, and the map has none: it "
            "is predicted for an unknown date. Give date.",
            UserWarning,
            stacklevel=3,
        )
    unseen = [label for label in expected.images if label not in rasters]
    constants |= dict.fromkeys(unseen)
    if unseen and expected.chip_size is not None:  # trees leave images out
        warnings.warn(
            f"The estimator was fitted with images in {unseen}, and the map has none: give "
            "images={column: raster}.",
            UserWarning,
            stacklevel=3,
        )
    _check_grid(source.grid, expected)
    size = chip_size or expected.chip_size
    if rasters and size is None:
        raise ValueError("images are given, and the size of their chips is not known: chip_size.")
    for label, raster in rasters.items():
        _check_image(label, raster, source.grid)
    optional = {*expected.optional, expected.time, *more}
    return CellTable(
        expected,
        source.grid.crs,
        bands,
        required=tuple(label for label in bands if label not in optional),
        constants=constants,
        levels=_levels(bands, source, expected, mapped),
        rasters=rasters,
        chip_size=size,
        skip_nodata=skip_nodata,
    )


def _known_labels(
    what: str, given: Mapping[Hashable, Any] | None, expected: ModelInputs
) -> dict[Hashable, Any]:
    given = dict(given or {})
    odd = [label for label in given if label not in expected.labels]
    if odd:
        raise ValueError(
            f"{what} names {odd}, which are no columns of the estimator; it was fitted with "
            f"{list(expected.labels)[:20]}."
        )
    return given


def _match(
    wanted: Sequence[Hashable], source: CovariateStack, expected: ModelInputs
) -> dict[Hashable, Hashable]:
    names = set(source.names)
    free = {*expected.optional, expected.time}
    missing = [label for label in wanted if label not in names and label not in free]
    if missing:
        raise ValueError(
            f"the estimator was fitted with the columns {missing}, and no covariate of the map has "
            f"that name; there are {source.names[:20]}. Rename a variable, or give a mapping of "
            "columns to paths."
        )
    return {label: label for label in wanted if label in names}


def _by_position(
    wanted: Sequence[Hashable], source: CovariateStack, expected: ModelInputs
) -> dict[Hashable, Hashable]:
    spoken = [label for label in wanted if label not in {*expected.optional, expected.time}]
    if len(wanted) != len(source.names) == len(spoken):
        wanted = spoken
    if len(wanted) != len(source.names):
        raise ValueError(
            f"the estimator was fitted without column names on {len(expected.labels)} columns, of "
            f"which {len(wanted)} are covariates; the map has {len(source.names)}: "
            f"{source.names[:20]}. Give so many, in the order of fit, or fit on a DataFrame."
        )
    return dict(zip(wanted, source.names, strict=True))


def _date(date: Any) -> Any:
    return date if isinstance(date, int | float | np.number) else pd.Timestamp(date)


def _check_grid(grid: Grid, expected: ModelInputs) -> None:
    """Warn of systems that are not known, and refuse a grid that cannot be in the model's."""
    if expected.coordinates is None:
        return
    frame = expected.reference
    if grid.crs is None:
        warnings.warn(
            "The covariates have no CRS; their coordinates are taken to be in that of the "
            f"estimator ({_called(frame)}). Write it into the raster, or call "
            "dataset.rio.write_crs.",
            UserWarning,
            stacklevel=4,
        )
        corners = np.array([[x, y] for x in grid.x[[0, -1]] for y in grid.y[[0, -1]]])
        if frame is not None:
            try:
                check_coordinates(corners, frame, expected.coordinates, fitting=False)
            except ValueError as error:
                raise ValueError(
                    f"the covariates have no CRS, and their coordinates are none in {frame.crs}: "
                    "write the CRS into the raster, or call dataset.rio.write_crs."
                ) from error
    elif frame is None or frame.crs is None:
        warnings.warn(
            f"The CRS of the estimator's coordinates {expected.coordinates} is not known; centres "
            "of cells are given in that of the covariates. Give crs to the estimator or here.",
            UserWarning,
            stacklevel=4,
        )


def _check_image(label: Hashable, raster: Any, grid: Grid) -> None:
    """Refuse an image that has nothing to do with the map."""
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
            f"images[{label!r}]: {str(raster)!r} covers no cell of the map. Is its CRS right?"
        )


def _called(frame: SpatialReference | None) -> str:
    return "not known either" if frame is None or frame.crs is None else frame.crs[:60]


def _levels(
    bands: Mapping[Hashable, Hashable],
    source: CovariateStack,
    expected: ModelInputs,
    mapped: Mapping[Hashable, Any],
) -> dict[Hashable, dict[Any, Any]]:
    """Codes and levels of the categories that the source holds as numbers."""
    found = {}
    for label, name in bands.items():
        if label in mapped:
            given = mapped[label]
            pairs = given.items() if isinstance(given, Mapping) else enumerate(given)
            found[label] = dict(pairs)
            unknown = [str(level) for level in found[label].values()]
            known = expected.levels.get(label)
            if known is not None and not set(unknown) & set(known):
                raise ValueError(
                    f"categories[{label!r}] has the levels {unknown[:10]}, and the estimator was "
                    f"fitted with {list(known)[:10]}."
                )
        elif label in expected.levels and source.dataset[name].dtype.kind in "biuf":
            levels = expected.levels[label]
            codes = pd.to_numeric(pd.Series(levels), errors="coerce")
            if codes.isna().all():
                raise ValueError(
                    f"column {label!r} is a category with the levels {list(levels)[:10]}, and the "
                    f"map holds numbers: say what they mean, by categories={{{label!r}: {{1: "
                    f"{levels[0]!r}, ...}}}}."
                )
    return found
