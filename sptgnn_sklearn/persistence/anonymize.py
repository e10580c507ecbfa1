"""Replacement of the training rows of a model that is shared by means of groups of locations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from xgboost import XGBRegressor

from ..ensemble.base_models import BaseInputs, BaseModels, base_inputs, with_kriged
from ..ensemble.fitted import Ensemble, make_node_tensors
from ..ensemble.member_folds import MemberFolds
from ..graph.knn_graph import KNNGraph
from ..network.config import Neighborhood
from ..network.inference import build_context, build_neighborhood
from ..spatial.distances import EARTH_RADIUS_KM, radians_per_unit
from ..spatial.gaussian_process import GaussianProcess
from ..table.categories import MISSING_CODE
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable, TableSchema
from ..uncertainty.postprocessing import Postprocessor
from .coarse_trees import coarsen_trees
from .microaggregation import (
    LocationGroups,
    coarse_quantiles,
    group_locations,
    group_table,
    usual_diameter,
)
from .training_table import restore_training_table, row_positions

__all__ = ["GroupedRows", "drop_training_rows", "with_groups", "without_row_order"]

_MOST_KNOTS = 1000  # of the kriged target
_LARGEST_LOG_NOISE = 7.0  # of a Gaussian process
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
        Standardized.
    residuals : ndarray of shape (n,)
        Standardized targets minus the mean of the members' predictions without neighbors.
    quantiles : ndarray of shape (n_quantiles, p)
        Exact quantiles of the numeric covariates.
    groups : LocationGroups
    noise : ndarray of shape (n,) or None
        Variances of measurement errors, in standardized units; None without any.
    """

    table: SampleTable
    positions: np.ndarray
    targets: np.ndarray
    residuals: np.ndarray
    quantiles: np.ndarray
    groups: LocationGroups
    noise: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> GroupedRows:
        """Return some of the rows."""
        return replace(
            self,
            table=self.table.take(rows),
            positions=self.positions[rows],
            targets=self.targets[rows],
            residuals=self.residuals[rows],
            groups=self.groups.take(rows),
            noise=None if self.noise is None else self.noise[rows],
        )


def drop_training_rows(
    ensemble: Ensemble,
    weight: np.ndarray,
    min_group_size: int = 5,
    coordinate_grid: float | None = None,
) -> tuple[Ensemble, GroupedRows]:
    """Return an ensemble whose training rows are replaced by means of groups of locations.

    Everything that is stored of rows is computed from one mean row per group. Quantiles of the
    covariates and split values of the trees become means of several rows as well. Levels of
    categories at fewer locations lose their name.

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
        contain training rows, an image encoder is fine-tuned, or the ensemble was saved without
        rows.
    """
    _check_parameters(min_group_size, coordinate_grid)
    base = ensemble.base
    if ensemble.network.image_encoders is not None:
        raise ValueError(
            "training_data=False is not supported with fine-tuned image encoders, because features "
            "of the training chips by the tuned encoders are not kept: fit with fine_tune=False, "
            "or save with training_data=True."
        )
    regressors = {} if base is None else base.regressors
    if others := [model for model in regressors.values() if type(model) is not XGBRegressor]:
        raise ValueError(
            f"training_data=False is not supported for base_estimator={others[0]!r}, which may "
            "contain training rows: fit with base_estimator='auto' or None, or save with "
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
    quantiles = _coarse_table(ensemble, table, min_group_size)
    schema, table = _merge_rare_levels(ensemble, table, min_group_size)
    targets = ensemble.standardized_targets
    residuals = targets - _baseline(ensemble)
    noise = ensemble.require_training_rows().noise
    rows = GroupedRows(table, positions, targets, residuals, features.quantiles, groups, noise)
    reduced = replace(
        ensemble,
        features=replace(features, schema=schema, quantiles=quantiles),
        training=None,
    )
    if base is not None:
        knots = _split_knots(reduced.features, table, location, min_group_size, side)
        inputs = features.tree_features(table)
        folds = ensemble.require_training_rows().folds
        reduced.base = _coarsen_base(base, inputs, folds, weight, min_group_size, knots)
    reduced.postprocessor = without_row_order(ensemble.postprocessor)
    return with_groups(reduced, rows), rows


def without_row_order(postprocessor: Postprocessor) -> Postprocessor:
    """Return a postprocessor with sorted standardized errors and without means of few rows.

    In the order of the rows, the errors of the rows of each group would be known. The centers of
    a local calibration are means of few rows, and so may be those of campaigns, whose shifts become
    shifts of years.
    """
    calibration = postprocessor.calibration
    calibration = replace(calibration, scores=np.sort(calibration.scores), local=None)
    correlation = postprocessor.correlation
    if correlation.campaigns is not None:
        correlation = replace(correlation, campaigns=None, year_share=correlation.campaign_share)
    return replace(postprocessor, calibration=calibration, correlation=correlation)


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

    with torch.no_grad():
        context = build_context(ensemble.network, nodes, neighborhood, torch.zeros(len(table)))
    base = ensemble.base
    if base is not None:
        base = _group_base(base, base_inputs(features, table, spaces), rows)
    grouped = replace(
        ensemble,
        base=base,
        knn_graph=graph,
        context=context,
        edge_inputs=nodes.edge_inputs,
        n_neighbors=n_neighbors,
    )
    # The prediction for a mean row is not the mean prediction: targets that keep the mean residual
    # keep what neighbors contribute.
    targets = _baseline(grouped) + rows.groups.mean(rows.residuals)
    grouped.context = context._replace(targets=torch.from_numpy(targets.astype(np.float32)))
    return grouped


def _baseline(ensemble: Ensemble) -> np.ndarray:
    """Mean of the members' predictions (n,) of the source nodes without neighbors."""
    return ensemble.context.baseline.double().mean(0).numpy()


def _coarsen_base(
    base: BaseModels,
    inputs: np.ndarray,
    folds: MemberFolds,
    weight: np.ndarray,
    size: int,
    knots: list[np.ndarray | float | None],
) -> BaseModels:
    """Coarsen the trees of all base models, and the known noise of processes."""
    kriged, kriged_knots = None, []
    if base.kriging is not None:
        kriged = base.kriging.predict_left_out(folds.member[0])
        n_knots = max(min(len(inputs), _MOST_KNOTS), 2)
        kriged_knots = [np.unique(coarse_quantiles(kriged, folds.location, size, n_knots))]
    regressors = {
        name: coarsen_trees(
            regressor,
            with_kriged(name, inputs, kriged),
            folds.location,
            weight,
            size,
            [*knots, *kriged_knots],
        )
        for name, regressor in base.regressors.items()
    }
    return replace(
        base,
        regressors=regressors,
        kriging=_with_mean_noise(base.kriging),
        process=_with_mean_noise(base.process),
    )


def _with_mean_noise(process: GaussianProcess | None) -> GaussianProcess | None:
    """Add the mean of known noise variances to that of the process, for all rows alike.

    A group of which all rows are exact, or one is not, would tell the noise of these rows.
    """
    if process is None or process.known_noise is None:
        return process
    parameters = process.parameters.copy()
    total = np.exp(parameters[-1]) + process.known_noise.mean()
    parameters[-1] = min(np.log(total), _LARGEST_LOG_NOISE)
    return replace(process, parameters=parameters, known_noise=None)


def _group_base(base: BaseModels, inputs: BaseInputs, rows: GroupedRows) -> BaseModels:
    """Return base models whose processes know the means of groups, with the same parameters."""
    values = rows.groups.mean(rows.targets)
    # The mean of a group has the noise of as many rows.
    size = np.bincount(rows.groups.group).astype(np.float64)

    def group(process: GaussianProcess | None) -> GaussianProcess | None:
        if process is None:
            return None
        covariates = None if process.covariates is None else inputs.covariates
        return replace(
            process,
            positions=inputs.positions,
            covariates=covariates,
            values=values,
            weight=size,
        )

    return replace(base, kriging=group(base.kriging), process=group(base.process))


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


def _merge_rare_levels(
    ensemble: Ensemble, table: SampleTable, size: int
) -> tuple[TableSchema, SampleTable]:
    """Replace the names of levels at few locations, and their codes by that of missing entries.

    Levels without a column of their own are the same to the model as unseen ones. Their names are
    replaced as well, because their locations are not known.
    """
    schema, codes = ensemble.features.schema, table.categories.copy()
    categorical = dict(schema.categorical)
    counts = _count_locations(ensemble, table)
    for column, (label, names) in enumerate(schema.categorical.items()):
        rare = np.flatnonzero(counts[column] < size)
        codes[np.isin(codes[:, column], rare), column] = MISSING_CODE
        # Codes are positions, so that each name keeps its place.
        merged = {code: f"(level {code + 1} at few locations)" for code in rare.tolist()}
        categorical[label] = tuple(merged.get(code, name) for code, name in enumerate(names))
    return replace(schema, categorical=categorical), replace(table, categories=codes)


def _count_locations(ensemble: Ensemble, table: SampleTable) -> list[np.ndarray]:
    """Return lower limits of the numbers of locations of all levels, by column."""
    features = ensemble.features
    location = ensemble.require_training_rows().folds.location
    counts = [np.zeros(len(names), dtype=int) for names in features.schema.categorical.values()]
    start = len(features.schema.numeric) + int(features.has_missing.sum())
    axes = None if features.schema.spectral_positions else features.covariate_axes
    for column, levels in enumerate(features.levels):
        if "covariates" in ensemble.streams:
            for code in levels:
                found = location[table.categories[:, column] == code]
                counts[column][code] = len(np.unique(found))
        elif axes is not None:  # codes are not known exactly, but their frequencies are
            n_rows = np.rint(axes[0][start : start + len(levels)] * len(location)).astype(int)
            counts[column][levels] = n_rows // np.bincount(location).max()
        start += len(levels)
    return counts


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
