"""Replacement of the training rows of a model that is shared by means of groups of locations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from xgboost import XGBRegressor

from ..ensemble.fitted import Ensemble, make_node_tensors
from ..graph.knn_graph import KNNGraph
from ..network.config import Neighborhood
from ..network.inference import build_context, build_neighborhood
from ..spatial.distances import EARTH_RADIUS_KM, radians_per_unit
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable
from .coarse_trees import coarsen_trees
from .microaggregation import (
    LocationGroups,
    coarse_quantiles,
    group_locations,
    group_table,
    usual_diameter,
)
from .training_table import restore_training_table, row_positions

__all__ = ["GroupedRows", "drop_training_rows", "with_groups"]

_N_COORDINATES = 2  # the first features of the tabular base model


@dataclass(frozen=True)
class GroupedRows:
    """Training rows and their groups.

    Attributes
    ----------
    table : SampleTable of n rows
    positions : ndarray of shape (n, d)
        The rows in the "spatial" space.
    targets : ndarray of shape (n,)
        Standardized targets.
    quantiles : ndarray of shape (n_quantiles, p)
        Exact quantiles of the numeric covariates.
    groups : LocationGroups
    """

    table: SampleTable
    positions: np.ndarray
    targets: np.ndarray
    quantiles: np.ndarray
    groups: LocationGroups

    def take(self, rows: np.ndarray) -> GroupedRows:
        """Return some of the rows."""
        return replace(
            self,
            table=self.table.take(rows),
            positions=self.positions[rows],
            targets=self.targets[rows],
            groups=self.groups.take(rows),
        )


def drop_training_rows(
    ensemble: Ensemble,
    weight: np.ndarray,
    min_group_size: int = 5,
    coordinate_grid: float | None = None,
) -> tuple[Ensemble, GroupedRows]:
    """Return an ensemble whose training rows are replaced by means of groups of locations.

    Everything that is stored of rows is computed from one mean row per group. Quantiles of the
    covariates and split values of the trees become means of several rows as well.

    Parameters
    ----------
    ensemble : Ensemble
        On the CPU.
    weight : ndarray of shape (n,)
        Sample weights.
    min_group_size : int, default=5
        Least number of distinct locations in a group.
    coordinate_grid : float, default=None
        Least diameter of a group and grid of the splits by coordinates, in the unit of the
        coordinates. None is the median distance to the location that completes a group.

    Returns
    -------
    Ensemble
    GroupedRows
        The rows that were replaced.

    Raises
    ------
    ValueError
        If a parameter is invalid, there are fewer locations than a group needs, the base model may
        contain training rows, or the ensemble was saved without rows.
    """
    _check_parameters(min_group_size, coordinate_grid)
    base = ensemble.base
    if base is not None and type(base) is not XGBRegressor:
        raise ValueError(
            f"training_data=False is not supported for base_estimator={base!r}, which may contain "
            "training rows: fit with base_estimator='xgboost' or None, or save with "
            "training_data=True."
        )
    location = ensemble.require_training_rows().folds.location
    n_locations = len(np.unique(location))
    if n_locations < min_group_size:
        raise ValueError(
            f"min_group_size={min_group_size} needs as many locations; found {n_locations}. Use a "
            "smaller group size or training_data=True."
        )
    features, table = ensemble.features, restore_training_table(ensemble)
    reference, positions = features.schema.reference, row_positions(ensemble)
    places = LocationGroups(location, np.arange(n_locations)).mean(positions)
    unit = EARTH_RADIUS_KM * radians_per_unit(reference.crs) if reference.geographic else 1.0
    side = usual_diameter(places, min_group_size) / unit
    side = side if coordinate_grid is None else float(coordinate_grid)
    groups = LocationGroups(location, group_locations(places, min_group_size, side * unit))
    rows = GroupedRows(
        table,
        positions,
        ensemble.standardized_targets,
        features.quantiles,
        groups,
    )
    quantiles = _coarse_table(ensemble, table, min_group_size)
    reduced = replace(
        ensemble,
        features=replace(features, quantiles=quantiles),
        # Fewer neighbors, because each one covers several locations.
        n_neighbors=int(np.ceil(ensemble.n_neighbors / np.sqrt(min_group_size))),
        training=None,
    )
    if base is not None:
        knots = _split_knots(reduced.features, table, location, min_group_size, side)
        reduced.base = coarsen_trees(
            base, features.tree_features(table), location, weight, min_group_size, knots
        )
    post = ensemble.postprocessor
    # In the order of the rows, the errors of the groups' rows would be known.
    scores = np.sort(post.calibration.scores)
    reduced.postprocessor = replace(post, calibration=replace(post.calibration, scores=scores))
    return with_groups(reduced, rows), rows


def with_groups(ensemble: Ensemble, rows: GroupedRows) -> Ensemble:
    """Return an ensemble whose source nodes are the mean rows of groups."""
    features, schema = ensemble.features, ensemble.features.schema
    column = None if schema.elevation is None else schema.numeric.index(schema.elevation)
    table = group_table(rows.table, rows.groups, rows.quantiles, features.quantiles, column)
    table = replace(table, coordinates=features.coordinates(rows.groups.mean(rows.positions)))
    spaces = features.relation_spaces(table)
    nodes = make_node_tensors(features, table, ensemble.streams, spaces)
    graph = KNNGraph(
        {name: spaces[name] for name in ensemble.relations}, ensemble.knn_graph.workers
    )
    n_neighbors = min(ensemble.n_neighbors, len(table))
    # Without itself; with the neighbors of a single group, lists are empty.
    neighbors = torch.from_numpy(graph.knn(n_neighbors, np.arange(len(table))))

    def neighborhood(part: slice) -> Neighborhood:
        target_nodes = {name: values[part] for name, values in nodes.edge_inputs.items()}
        return build_neighborhood(
            ensemble.network, target_nodes, neighbors[part], nodes.edge_inputs
        )

    targets = torch.from_numpy(rows.groups.mean(rows.targets).astype(np.float32))
    with torch.no_grad():
        context = build_context(ensemble.network, nodes, neighborhood, targets)
    return replace(
        ensemble,
        knn_graph=graph,
        context=context,
        edge_inputs=nodes.edge_inputs,
        n_neighbors=n_neighbors,
    )


def _check_parameters(min_group_size: Any, coordinate_grid: Any) -> None:
    if not isinstance(min_group_size, Integral) or min_group_size < 2:
        raise ValueError(f"min_group_size={min_group_size!r} must be an integer of at least 2.")
    if coordinate_grid is not None and not (np.isfinite(coordinate_grid) and coordinate_grid > 0):
        raise ValueError(f"coordinate_grid={coordinate_grid!r} must be a positive number.")


def _coarse_table(ensemble: Ensemble, table: SampleTable, size: int) -> np.ndarray:
    """Coarsen the quantiles of all numeric covariates."""
    values, location = table.numeric, ensemble.require_training_rows().folds.location
    quantiles = ensemble.features.quantiles
    if "covariates" not in ensemble.streams:
        # The rows are not known exactly; each quantile is the value of one row or between two.
        values, most = quantiles, int(np.bincount(location).max())
        location = np.arange(len(quantiles)) // most
    columns = [coarse_quantiles(column, location, size, len(quantiles)) for column in values.T]
    return np.column_stack(columns) if columns else quantiles


def _split_knots(
    features: FeatureEncoder, table: SampleTable, location: np.ndarray, size: int, side: float
) -> list[np.ndarray | float | None]:
    """Values to which splits of each tree feature are rounded."""
    knots: list[np.ndarray | float | None] = [side] * _N_COORDINATES
    knots += [np.unique(column) for column in features.quantiles.T]
    knots += [None] * sum(len(levels) for levels in features.levels)
    if features.time_scale is not None and table.time is not None:
        dates = [table.time, table.time % 1] if features.seasonal else [table.time]
        n_knots = max(len(features.quantiles), 2)
        knots += [np.unique(coarse_quantiles(v, location, size, n_knots)) for v in dates]
    return knots
