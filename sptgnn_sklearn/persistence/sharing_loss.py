"""Change of predictions by the grouping of training rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..ensemble.fitted import Ensemble, spatial_distance, to_moments
from ..network.config import Neighborhood
from ..network.inference import build_neighborhood, predict_encoded
from ..uncertainty.postprocessing import MemberPredictions
from .anonymize import GroupedRows, with_groups

__all__ = ["SharingLoss", "measure_sharing_loss"]

_ENOUGH_ROWS = 1000  # predicted


@dataclass(frozen=True)
class SharingLoss:
    """Effect of the grouping on predictions of locations without their own rows.

    Attributes
    ----------
    explained_variance : float
        Decrease of R2, in standardized units of the target.
    std_ratio : float
        Mean predicted standard deviation over that of the complete model.
    """

    explained_variance: float
    std_ratio: float


def measure_sharing_loss(complete: Ensemble, reduced: Ensemble, rows: GroupedRows) -> SharingLoss:
    """Predict training rows by both ensembles, from other locations only.

    One location after the other is left out of its group, so that groups are as near to a row as to
    any other location of the survey.

    Parameters
    ----------
    complete, reduced : Ensemble
        Before and after `drop_training_rows`, on the CPU.
    rows : GroupedRows
        From `drop_training_rows`.
    """
    order = _order_in_group(rows.groups.group)
    found: list[list[MemberPredictions]] = []
    predicted: list[np.ndarray] = []
    for turn in range(int(order.max()) + 1):
        left_out = (order == turn)[rows.groups.location]
        if left_out.all() or sum(map(len, predicted)) >= _ENOUGH_ROWS:
            break
        without = with_groups(reduced, rows.take(np.flatnonzero(~left_out)))
        chosen = np.flatnonzero(left_out)
        table = rows.table.take(chosen)
        queries = complete.features.relation_spaces(table)
        nearest = without.knn_graph.query(queries, without.n_neighbors)
        own = complete.require_training_rows().neighbors[chosen]
        sides = (complete, own), (replace(without, base=complete.base), nearest), (without, nearest)
        found.append([_predict(complete, *side, rows, chosen, queries) for side in sides])
        predicted.append(chosen)
    targets = complete.standardized_targets[np.concatenate(predicted)]
    (mean, std), (grouped, _), (shared, shared_std) = (
        np.concatenate([parts[side].total for parts in found], axis=1) for side in range(3)
    )
    variance = float(np.var(complete.standardized_targets))
    increase = float(np.mean((grouped - targets) ** 2) - np.mean((mean - targets) ** 2))
    # Trees fit their own training rows more closely than others, so that the error of the coarse
    # ones increases on training rows only; their change is counted instead.
    change = float(np.mean((shared - grouped) ** 2))
    return SharingLoss(
        explained_variance=(increase + change) / variance if variance > 0 else 0.0,
        std_ratio=float(shared_std.mean() / std.mean()),
    )


def _predict(
    complete: Ensemble,
    sources: Ensemble,
    neighbors: np.ndarray,
    rows: GroupedRows,
    chosen: np.ndarray,
    queries: dict[str, np.ndarray],
) -> MemberPredictions:
    """Predict encoded rows of the complete ensemble from source nodes of either."""
    network = complete.network
    targets = {name: values[chosen] for name, values in complete.edge_inputs.items()}
    source_index = torch.from_numpy(neighbors)
    index = torch.from_numpy(chosen).expand(network.shape.n_members, -1)

    def neighborhood(part: slice) -> Neighborhood:
        own = {name: values[part] for name, values in targets.items()}
        return build_neighborhood(network, own, source_index[part], sources.edge_inputs)

    with torch.no_grad():
        moments = predict_encoded(
            network, complete.context, sources.source_features, index, neighborhood
        )
    base = None
    if sources.base is not None:
        inputs = sources.features.tree_features(rows.table.take(chosen))
        base = sources.base.predict(inputs).astype(np.float64)
    distance = spatial_distance(queries, sources.knn_graph.spaces, neighbors)
    return sources.postprocessor.apply(MemberPredictions(*to_moments(*moments)), base, distance)


def _order_in_group(group: np.ndarray) -> np.ndarray:
    """Position of each location within its group."""
    by_group = np.argsort(group, kind="stable")
    first = np.searchsorted(group[by_group], group[by_group])
    order = np.empty(len(group), dtype=np.int64)
    order[by_group] = np.arange(len(group)) - first
    return order
