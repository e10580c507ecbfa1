"""Out-of-fold predictions of a fitted ensemble, from training rows or from groups of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..ensemble.base_models import base_inputs
from ..ensemble.fitted import Ensemble, spatial_distance, to_moments
from ..ensemble.member_folds import N_FOLDS
from ..network.config import Neighborhood
from ..network.inference import build_neighborhood, predict_encoded
from ..uncertainty.postprocessing import MemberPredictions, OutOfFoldPredictions
from .anonymize import GroupedRows, with_groups

__all__ = ["HeldOutPredictions", "held_out_from_groups", "restore_held_out"]

_MOST_ROWS = 5000  # predicted, of surveys with more rows

# Source nodes and neighbors (m, R, K) of rows (m,) that a member holds out.
_FindNeighbors = Callable[[int, np.ndarray], tuple[Ensemble, np.ndarray]]


@dataclass(frozen=True)
class HeldOutPredictions:
    """Predictions of training rows by members that held them out, as after fitting.

    Attributes
    ----------
    predictions : OutOfFoldPredictions of n rows
        The count is 0 for rows that were not predicted.
    distance : ndarray of shape (n,) or None
        Mean distance to a row's spatial neighbors outside its fold; None without that relation.
    kriged : ndarray of shape (n,) or None
        Target kriged from groups of rows outside the fold; None if there are no groups.
    """

    predictions: OutOfFoldPredictions
    distance: np.ndarray | None
    kriged: np.ndarray | None = None


def restore_held_out(complete: Ensemble) -> HeldOutPredictions:
    """Return the predictions from which the ensemble was blended and calibrated.

    An ensemble keeps blended predictions and those of the base models. Those of the network are
    computed again.

    Parameters
    ----------
    complete : Ensemble
        With training rows, on the CPU.
    """
    rounds = complete.require_training_rows().folds.member
    by_round = [complete.knn_graph.knn(complete.n_neighbors, folds) for folds in rounds]

    def find_neighbors(member: int, chosen: np.ndarray) -> tuple[Ensemble, np.ndarray]:
        return complete, by_round[member // N_FOLDS][chosen]

    base = complete.require_training_rows().base
    return _predict_held_out(complete, complete.knn_graph.spaces, find_neighbors, base)


def held_out_from_groups(
    complete: Ensemble, reduced: Ensemble, rows: GroupedRows, base: np.ndarray | None
) -> HeldOutPredictions:
    """Predict held-out rows from groups of the rows outside their fold.

    Half of the blocks of a survey are held out as a whole and locations of the others one by one,
    so that errors represent predictions near the groups and away from them.

    Parameters
    ----------
    complete, reduced : Ensemble
        Before and after `drop_training_rows`, on the CPU.
    rows : GroupedRows
    base : ndarray of shape (k, n) or None
        Out-of-fold predictions of the base models.
    """
    spaces = complete.features.relation_spaces(rows.table)
    folds = complete.require_training_rows().folds
    inputs, kriged = (
        base_inputs(complete.features, rows.table, spaces),
        np.zeros(len(folds.location)),
    )
    base = None if base is None else base.copy()

    def find_neighbors(member: int, chosen: np.ndarray) -> tuple[Ensemble, np.ndarray]:
        sources = with_groups(reduced, rows.take(np.flatnonzero(~folds.held_out(member))))
        queries = {name: space[chosen] for name, space in spaces.items()}
        models = sources.base
        if models is not None and base is not None and member < N_FOLDS:  # as in the fit
            if models.kriging is not None:
                kriged[chosen] = models.kriging.predict(inputs.positions[chosen], None)
            if models.process is not None:
                base[-1, chosen] = models.process.predict(*inputs.take(chosen)[1:])
        return sources, sources.knn_graph.query(queries, sources.n_neighbors)

    found = _predict_held_out(complete, spaces, find_neighbors, base)
    return replace(found, kriged=kriged)


def _predict_held_out(
    complete: Ensemble,
    spaces: dict[str, np.ndarray],
    find_neighbors: _FindNeighbors,
    base: np.ndarray | None,
) -> HeldOutPredictions:
    """Predict the rows that each member holds out, by all members."""
    folds, n = complete.require_training_rows().folds, len(complete.context.targets)
    sampled = np.arange(n) % -(-n // _MOST_ROWS) == 0
    own = np.full((2, complete.n_members, n), np.nan)
    others = np.zeros_like(own)
    distance = np.zeros(n) if "spatial" in complete.relations else None
    for member in range(complete.n_members):
        chosen = np.flatnonzero(folds.held_out(member) & sampled)
        if not len(chosen):
            continue
        sources, neighbors = find_neighbors(member, chosen)
        moments = _predict(complete, sources, neighbors, chosen)
        others[:, :, chosen] = moments.mean, moments.variance
        own[:, member, chosen] = others[:, member, chosen]
        if distance is not None and member < N_FOLDS:  # as in the fit
            queries = {name: space[chosen] for name, space in spaces.items()}
            distance[chosen] = spatial_distance(queries, sources.knn_graph.spaces, neighbors)
    predictions = OutOfFoldPredictions.from_members(own[0], own[1], others[0], others[1], base)
    return HeldOutPredictions(predictions, distance)


def _predict(
    complete: Ensemble, sources: Ensemble, neighbors: np.ndarray, chosen: np.ndarray
) -> MemberPredictions:
    """Predict encoded rows (m,) of the complete ensemble from source nodes of either."""
    network = complete.network
    targets = {name: values[chosen] for name, values in complete.edge_inputs.items()}
    source_index = torch.from_numpy(np.ascontiguousarray(neighbors))
    index = torch.from_numpy(chosen).expand(network.shape.n_members, -1)

    def neighborhood(part: slice) -> Neighborhood:
        own = {name: values[part] for name, values in targets.items()}
        return build_neighborhood(network, own, source_index[part], sources.edge_inputs)

    with torch.no_grad():
        moments = predict_encoded(
            network, complete.context, sources.source_features, index, neighborhood
        )
    return MemberPredictions(*to_moments(*moments))
