"""Removal of training data and exact coordinates from a model that is shared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from xgboost import XGBRegressor

from ..ensemble.fitted import Ensemble
from ..graph.knn_graph import KNNGraph
from ..spatial.crs import SpatialReference
from .xgboost_json import booster_from_json, booster_to_json

__all__ = ["drop_training_rows"]

_DEGREES, _METERS = 0.01, 1000.0  # default cell sizes, about a kilometer
_N_COORDINATES = 2  # the first features of the tabular base model


def drop_training_rows(
    ensemble: Ensemble, reference: SpatialReference, grid: float | None = None
) -> Ensemble:
    """Return an ensemble without training rows, with coordinates rounded to a grid.

    Parameters
    ----------
    ensemble : Ensemble
    reference : SpatialReference
        That of the coordinates.
    grid : float, default=None
        Cell size in the unit of the coordinates. None is 0.01 degrees or 1000 meters.

    Returns
    -------
    Ensemble
        With the same network and node states. Locations are cell centers in the neighbor search
        and in the edge features; splits of the base model by coordinates lie on cell edges.

    Raises
    ------
    ValueError
        If the grid is not positive, or missing for coordinates of unknown unit, or if the base
        model may contain training rows.
    """
    side = _cell_size(reference, grid)
    base = ensemble.base
    if base is not None and type(base) is not XGBRegressor:
        raise ValueError(
            f"training_data=False is not supported for base_estimator={base!r}, which may contain "
            "training rows: fit with base_estimator='xgboost' or None, or save with "
            "training_data=True."
        )
    spaces = ensemble.knn_graph.spaces
    plane = ensemble.edge_inputs["distance"].cpu().numpy().astype(np.float64)
    rounded = _round_to_centers(ensemble.features.coordinates(plane), side)
    moved = ensemble.features.with_coordinates({"spatial": plane, **spaces}, rounded)
    distance = torch.from_numpy(moved["spatial"].astype(np.float32))
    return replace(
        ensemble,
        knn_graph=KNNGraph({name: moved[name] for name in spaces}, ensemble.knn_graph.workers),
        edge_inputs={
            **ensemble.edge_inputs,
            "distance": distance.to(ensemble.edge_inputs["distance"].device),
        },
        base=None if base is None else _round_splits(base, side),
        training=None,
    )


def _cell_size(reference: SpatialReference, grid: float | None) -> float:
    if grid is not None:
        if not (np.isfinite(grid) and grid > 0):
            raise ValueError(f"coordinate_grid={grid!r} must be a positive number.")
        return float(grid)
    if reference.geographic:
        return _DEGREES
    if reference.unit in ("metre", "meter"):
        return _METERS
    raise ValueError(
        f"coordinate_grid has no default for coordinates in unit {reference.unit!r}: fit with crs, "
        "or pass coordinate_grid, the cell size in that unit."
    )


def _round_to_centers(values: np.ndarray, side: float) -> np.ndarray:
    return (np.floor(values / side) + 0.5) * side


def _round_splits(base: XGBRegressor, side: float) -> XGBRegressor:
    """Return trees whose splits by coordinates are rounded to cell edges.

    A split lies between the values of two rows, so that exact splits would reveal coordinates.
    """
    model = booster_to_json(base)
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        has_children = [left >= 0 for left in tree["left_children"]]
        for node, feature in enumerate(tree["split_indices"]):
            if has_children[node] and feature < _N_COORDINATES:
                split = tree["split_conditions"][node]
                tree["split_conditions"][node] = float(np.round(split / side) * side)
    return booster_from_json(XGBRegressor(**base.get_params()), model)
