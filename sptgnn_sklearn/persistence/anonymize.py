"""What a model keeps when it is given away: what predictions need, and no exact place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from xgboost import XGBRegressor

from ..ensemble.fitted import Ensemble
from ..graph.knn_graph import KNNGraph
from ..spatial.crs import SpatialReference
from .xgboost_json import as_text, from_text

__all__ = ["drop_training_rows"]

_CELL_DEGREES, _METRES = 0.01, 1000.0  # of the grid, where none is given: about a kilometre
_COORDINATES = 2  # the first columns of what the base reads


def drop_training_rows(
    ensemble: Ensemble, reference: SpatialReference, grid: float | None = None
) -> Ensemble:
    """Return an ensemble that predicts from node states at places on a coarse grid.

    Parameters
    ----------
    ensemble : Ensemble
    frame : Frame
        Of the coordinates.
    grid : float, default=None
        Side of a cell in the unit of the coordinates. None: 0.01 degrees, or 1000 metres.

    Returns
    -------
    Ensemble
        With the same network. Places are the middles of their cells, in the search, in the edges
        and in the splits of the base.

    Raises
    ------
    ValueError
        If the unit of the coordinates is not known and no grid is given, the grid is not positive,
        or the base may hold rows.
    """
    side = _cell_side(reference, grid)
    base = ensemble.base
    if base is not None and type(base) is not XGBRegressor:
        raise ValueError(
            f"training_data=False cannot answer for base={base!r}, which may hold training rows: "
            "fit with base='xgboost' or base=None, or save with training_data=True."
        )
    spaces = ensemble.knn_graph.spaces
    ground = ensemble.edge_inputs["distance"].cpu().numpy().astype(np.float64)
    places = _cell_centers(ensemble.features.coordinates(ground), side)
    moved = ensemble.features.moved({"spatial": ground, **spaces}, places)
    distance = torch.from_numpy(moved["spatial"].astype(np.float32))
    return replace(
        ensemble,
        knn_graph=KNNGraph({name: moved[name] for name in spaces}, ensemble.knn_graph.workers),
        edge_inputs={
            **ensemble.edge_inputs,
            "distance": distance.to(ensemble.edge_inputs["distance"].device),
        },
        base=None if base is None else _coarser_splits(base, side),
        training=None,
    )


def _cell_side(reference: SpatialReference, grid: float | None) -> float:
    if grid is not None:
        if not (np.isfinite(grid) and grid > 0):
            raise ValueError(f"coordinate_grid={grid!r} must be a positive number.")
        return float(grid)
    if reference.geographic:
        return _CELL_DEGREES
    if reference.unit in ("metre", "meter"):
        return _METRES
    raise ValueError(
        f"The unit of the coordinates ({reference.unit}) does not tell how far a kilometre is: fit "
        "with crs, or give coordinate_grid, the side of a cell in that unit."
    )


def _cell_centers(values: np.ndarray, side: float) -> np.ndarray:
    return (np.floor(values / side) + 0.5) * side


def _coarser_splits(base: XGBRegressor, side: float) -> XGBRegressor:
    """Return boosted trees whose splits of coordinates lie on the edges of cells.

    Splits lie between values of rows, so that each would tell a coordinate of some row.
    """
    model = as_text(base)
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        inner = [left >= 0 for left in tree["left_children"]]
        for node, column in enumerate(tree["split_indices"]):
            if inner[node] and column < _COORDINATES:
                split = tree["split_conditions"][node]
                tree["split_conditions"][node] = float(np.round(split / side) * side)
    return from_text(XGBRegressor(**base.get_params()), model)
