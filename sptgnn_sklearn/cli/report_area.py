"""Cells of a map, and the area of applicability over them."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ..applicability.area_of_applicability import AreaOfApplicability
from ..baseline import XGBoostBaseline
from ..maps.covariate_stack import decode_band, import_xarray, nodata_values, stack_from_dataset
from ..maps.grid import Grid, cell_centers
from ..spatial.crs import resolve_crs, transform_coordinates
from ..spatial.distances import chord_to_distance, to_metric_coordinates
from ..table.infer_roles import TableError
from .figures import open_map_file
from .rasters import add_raster_columns, read_rasters
from .survey import as_classes

if TYPE_CHECKING:
    from .survey import Survey

__all__ = ["MapArea", "MapCells", "distance_rows", "fit_area", "read_cells"]

_MAX_AREA_CELLS = 40_000
_N_TREES = 100


@dataclass(frozen=True)
class MapCells:
    """Cells of a map, thinned to some ten thousand.

    Attributes
    ----------
    frame : DataFrame
        Coordinates in the CRS of the survey, and columns of the rasters.
    grid : Grid
        Grid of the map.
    shape : tuple of int
        Rows and columns of the thinned grid.
    step : int
        Every step-th row and column is used.
    columns : list of str
        Covariates of the model with a raster.
    """

    frame: pd.DataFrame
    grid: Grid
    shape: tuple[int, int]
    step: int
    columns: list[str]


@dataclass(frozen=True)
class MapArea:
    """Area of applicability of a map.

    Attributes
    ----------
    dataset : xarray.Dataset
        The layers aoa and dissimilarity.
    samples : ndarray of shape (n, 2)
        Coordinates of the samples in the CRS of the map.
    share_inside : float
    threshold, largest : float
        Threshold and largest value of the dissimilarity index.
    columns : list of str
        Columns of the index.
    left_out : list of str
        Covariates without a raster.
    """

    dataset: Any
    samples: np.ndarray
    share_inside: float
    threshold: float
    largest: float
    columns: list[str]
    left_out: list[str]


def read_cells(survey: Survey, options: argparse.Namespace) -> MapCells | None:
    """Return the cells of the map file, or of the first raster; None without both.

    Raises
    ------
    ValueError
        If a file cannot be read.
    """
    path = options.map or _first_path(options.rasters)
    if path is None:
        return None
    dataset = open_map_file(Path(path))
    grid = stack_from_dataset(dataset, str(path)).grid
    step = max(1, int(np.ceil(np.sqrt(grid.shape[0] * grid.shape[1] / _MAX_AREA_CELLS))))
    x, y = np.meshgrid(grid.x[::step], grid.y[::step])
    xy = cell_centers(x.ravel(), y.ravel(), grid.crs, survey.reference)
    first = dataset[next(iter(dataset.data_vars))]
    values = first.transpose(*grid.dims)[::step, ::step]
    known = ~pd.isna(decode_band(values.to_numpy(), nodata_values(first))).ravel()
    pair = survey.roles.coordinates
    frame = pd.DataFrame(np.where(known[:, None], xy, np.nan), columns=list(pair))
    columns: list[str] = []
    if options.rasters:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # cells outside of a raster
            frame = add_raster_columns(
                frame, options.rasters, pair, survey.reference.crs, options.mask_and_scale
            )
        columns = [label for label in survey.roles.covariates if label in frame]
    for label in columns:
        if isinstance(survey.X[label].dtype, pd.CategoricalDtype):
            frame[label] = as_classes(frame[label])
    return MapCells(frame, grid, x.shape, step, columns)


def _first_path(entries: Sequence[str]) -> str | None:
    for raster in read_rasters(entries):
        for source in raster.bands.values():
            if not isinstance(source, float):
                return source[0] if isinstance(source, tuple) else source
    return None


def fit_area(survey: Survey, cells: MapCells, fold: np.ndarray, seed: int) -> MapArea:
    """Return the area of applicability over the cells.

    Covariates are weighted by the permutation importance of XGBoost on held-out folds.

    Parameters
    ----------
    survey : Survey
    cells : MapCells
    fold : ndarray of shape (n,) of int
        Fold of each row of the survey.
    seed : int

    Raises
    ------
    TableError
        If no cell or sample has all covariates.
    """
    columns = [*survey.roles.coordinates, *cells.columns]
    complete = survey.X[columns].notna().all(axis=1).to_numpy()
    known = cells.frame[columns].notna().all(axis=1).to_numpy()
    if not complete.any() or not known.any():
        raise TableError("--rasters: no sample or no cell has values of all rasters.")
    elevation = survey.roles.elevation if survey.roles.elevation in columns else None
    trees = XGBoostBaseline(
        coordinates=survey.roles.coordinates,
        crs=survey.crs,
        elevation=elevation,
        n_estimators=_N_TREES,
        random_state=seed,
    )
    area = AreaOfApplicability(
        columns=columns,
        estimator=trees,
        importance="held_out",
        cv=fold[complete],
        n_repeats=2,
        random_state=seed,
    )
    area.fit(survey.X.loc[complete, columns], survey.y[complete])
    index = np.full(len(known), np.nan)
    index[known] = area.dissimilarity_index(cells.frame.loc[known, columns])
    inside = np.where(known, (index <= area.threshold_).astype(float), np.nan)
    left_out = [label for label in survey.roles.covariates if label not in columns]
    return MapArea(
        _as_dataset(cells, {"aoa": inside, "dissimilarity": index}),
        _samples_on_map(survey, cells.grid),
        float(inside[known].mean()),
        float(area.threshold_),
        float(np.nanmax(index)),
        columns,
        left_out,
    )


def _as_dataset(cells: MapCells, layers: dict[str, np.ndarray]) -> Any:
    names = {
        "aoa": "1 inside the area of applicability, 0 outside",
        "dissimilarity": "dissimilarity index",
    }
    grid, step = cells.grid, cells.step
    dataset = import_xarray().Dataset(
        {
            name: (grid.dims, values.reshape(cells.shape), {"long_name": names[name]})
            for name, values in layers.items()
        },
        coords={grid.dims[0]: grid.y[::step], grid.dims[1]: grid.x[::step]},
    )
    return dataset if grid.crs is None else dataset.rio.write_crs(grid.crs)


def _samples_on_map(survey: Survey, grid: Grid) -> np.ndarray:
    xy = survey.X[list(survey.roles.coordinates)].to_numpy(dtype=float)
    if survey.reference.crs is None or grid.crs is None:
        return xy
    return transform_coordinates(xy, survey.reference.crs, resolve_crs(grid.crs, []))


def distance_rows(
    survey: Survey, splits: dict[str, Any], cells: MapCells | None
) -> list[tuple[str, float, float]]:
    """Return names, medians and 95 % quantiles of distances to the nearest sample.

    Parameters
    ----------
    survey : Survey
    splits : dict of str to list of pairs of ndarray
    cells : MapCells or None
    """
    reference, pair = survey.reference, list(survey.roles.coordinates)
    points = to_metric_coordinates(survey.X[pair].to_numpy(dtype=float), reference)
    sets = {
        f"held-out rows, {kind} folds": np.concatenate(
            [cKDTree(points[train]).query(points[test])[0] for train, test in folds]
        )
        for kind, folds in splits.items()
    }
    if cells is not None:
        targets = cells.frame[pair].dropna().to_numpy(dtype=float)
        if len(targets):
            sets["cells of the map"] = cKDTree(points).query(
                to_metric_coordinates(targets, reference)
            )[0]
    rows = []
    for name, chord in sets.items():
        distance = chord_to_distance(chord, reference)
        rows.append((name, float(np.median(distance)), float(np.quantile(distance, 0.95))))
    return rows
