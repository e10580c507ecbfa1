"""A fitted ensemble: the network, its base, and the training rows that it predicts from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..encoders.embedding import ChipLoader
from ..graph.box_tree import NO_NEIGHBOR
from ..graph.edge_features import edge_inputs, pairwise_edge_distances
from ..graph.knn_graph import KNNGraph, to_hetero_data
from ..network.config import IMAGERY, ImageEncoders, SourceNodes
from ..network.inference import NodeTensors, explain_nodes, predict_nodes
from ..network.message_passing import SourceFeatures
from ..network.sptgnn import SpTGNN
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable
from ..uncertainty.postprocessing import MemberPredictions, Postprocessor
from .member_folds import MemberFolds

# Rows whose graph is built at a time: the more, the nearer those that follow one another. They keep
# so many features in memory.
_QUERY_ROWS = (20_000, 100_000)
_QUERY_FEATURES = 5_000_000
_CHIP_CHUNK = 64  # rows whose chips are read and encoded at a time


@dataclass(frozen=True)
class Explanation:
    """What the network looks at when it predicts rows.

    Attributes
    ----------
    neighbours : ndarray of shape (n, R, K)
        Training rows by relation.
    attention : ndarray of shape (n, R, K)
        Their weights, mean of members and heads; what is missing to 1 is left to "nobody".
    gates : ndarray of shape (n, M, E)
        Shares of the experts of each member.
    """

    neighbors: np.ndarray
    attention: np.ndarray
    gates: np.ndarray


@dataclass(frozen=True)
class TrainingRows:
    """What is known of the training rows beyond what predictions need.

    Attributes
    ----------
    node_features : ndarray of shape (n, f)
        All streams side by side.
    partitions : Partitions
    neighbours : ndarray of shape (n, R, K)
    held_out : Predicted
        Predictions (1, n) that used neither a row's target nor a member trained on it, where there
        is such a member; calibrated.
    """

    node_features: np.ndarray
    folds: MemberFolds
    neighbors: np.ndarray
    held_out: MemberPredictions


@dataclass
class Ensemble:
    """A fitted ensemble with the training rows that it predicts from.

    Attributes
    ----------
    features : Features
    network : SpTGNN
    relations : tuple of str
        Relations that are in use.
    streams : tuple of str
        Streams that are in use.
    searcher : Searcher
        Training rows in the space of each relation.
    context : Context
    description : dict of str to Tensor
        What edge features are taken from, training rows.
    base : fitted regressor or None
    judgement : Judgement
        How network and base are used, learnt on held-out rows.
    history : list of dict
    n_neighbors : int
    device : str
    workers : int
    imagery : Imagery or None
        How chips are read for the network's own encoders; None where there are none.
    training : TrainingRows or None
        None where the ensemble was saved without.
    """

    features: FeatureEncoder
    network: SpTGNN
    relations: tuple[str, ...]
    streams: tuple[str, ...]
    knn_graph: KNNGraph
    context: SourceNodes
    edge_inputs: dict[str, torch.Tensor]
    base: Any
    postprocessor: Postprocessor
    history: list[dict]
    n_neighbors: int
    device: str
    workers: int = 1
    imagery: ChipLoader | None = None
    training: TrainingRows | None = None

    def __getstate__(self) -> dict[str, Any]:
        there = self.to("cpu")  # it may be read back where there is no GPU
        return {field.name: getattr(there, field.name) for field in fields(self)}

    @cached_property
    def source_features(self) -> list[SourceFeatures]:
        """What the training rows send; made when first predicted, and left out of pickles."""
        return self.network.source_features(self.context, cached=True)

    def to(self, device: str) -> Ensemble:
        """Return the ensemble on a device."""
        if device == self.device:
            return self
        states, baseline, targets = self.context
        return replace(
            self,
            network=copy.deepcopy(self.network).to(device),
            context=SourceNodes(
                [state.to(device) for state in states], baseline.to(device), targets.to(device)
            ),
            edge_inputs={name: values.to(device) for name, values in self.edge_inputs.items()},
            device=device,
        )

    def require_training_rows(self) -> TrainingRows:
        """Return what is known of the training rows.

        Raises
        ------
        ValueError
            If the ensemble was saved without.
        """
        if self.training is None:
            raise ValueError(
                "This needs the training rows, and the model was saved with training_data=False: "
                "use the model it was saved from."
            )
        return self.training

    def predict(self, table: SampleTable) -> MemberPredictions:
        """Predict rows from the training rows and their own columns."""
        width = sum(self.network.shape.streams.values())
        chunk = int(np.clip(_QUERY_FEATURES // width, *_QUERY_ROWS))
        parts = [
            self._predict(table.take(np.arange(part.start, part.stop)))
            for part in gen_batches(len(table), chunk)
        ]
        return MemberPredictions(
            np.concatenate([part.mean for part in parts], axis=1),
            np.concatenate([part.variance for part in parts], axis=1),
        )

    def to_hetero_data(self):
        """Return the training graph as torch_geometric.data.HeteroData."""
        rows = self.require_training_rows()
        source_index = rows.neighbors
        edge_inputs = {name: values.cpu().numpy() for name, values in self.edge_inputs.items()}
        edges = pairwise_edge_distances(
            {name: values[:, None, None, :] for name, values in edge_inputs.items()},
            {name: values[source_index] for name, values in edge_inputs.items()},
        )
        return to_hetero_data(
            source_index,
            self.relations,
            edges,
            rows.node_features,
            self.context.targets.cpu().numpy(),
        )

    def explain(self, table: SampleTable) -> Explanation:
        """Return what the network looks at when it predicts the rows of a table."""
        spaces = self.features.relation_spaces(table)
        neighbors = self._neighbors(spaces)
        source_index = torch.from_numpy(neighbors).to(self.device)
        rows = self._rows(table, spaces)
        gates, weights = explain_nodes(
            self.network, rows, source_index, self.source_features, self.edge_inputs
        )
        return Explanation(
            neighbors=neighbors,
            attention=weights.mean(0).transpose(0, 1).cpu().numpy().astype(np.float64),
            gates=gates.transpose(0, 1).cpu().numpy().astype(np.float64),
        )

    def _neighbors(self, spaces: dict[str, np.ndarray]) -> np.ndarray:
        """Training rows (n, R, K) that send to rows in the space of each relation."""
        return self.knn_graph.query(spaces, self.n_neighbors)

    def _predict(self, table: SampleTable) -> MemberPredictions:
        offset = None
        if self.base is not None:
            offset = self.base.predict(self.features.tree_features(table)).astype(np.float64)
        spaces = self.features.relation_spaces(table)
        neighbors = self._neighbors(spaces)
        distance = spatial_distance(spaces, self.knn_graph.spaces, neighbors)
        # Rows with the same neighbours one after another read them from the processor's caches.
        order = self._route(neighbors)
        source_index = torch.from_numpy(neighbors[order]).to(self.device)
        rows = self._rows(table, spaces).take(torch.from_numpy(order).to(self.device))
        found = to_moments(
            *predict_nodes(self.network, rows, source_index, self.source_features, self.edge_inputs)
        )
        back = np.argsort(order)
        predicted = MemberPredictions(*(values[:, back] for values in found))
        return self.postprocessor.apply(predicted, offset, distance)

    def _route(self, neighbors: np.ndarray) -> np.ndarray:
        """Order (n,) in which rows with near neighbours (n, R, K) follow one another."""
        if not self.relations:
            return np.arange(len(neighbors))
        rank = self.knn_graph.rank(self.relations[0])
        return np.argsort(rank[neighbors[:, 0, 0]], kind="stable")

    def _rows(self, table: SampleTable, spaces: dict[str, np.ndarray]) -> NodeTensors:
        """Tensors of a table."""
        rows = make_node_tensors(self.features, table, self.streams, spaces).to(self.device)
        if self.imagery is not None and self.network.image_encoders is not None:
            encoders = self.network.image_encoders
            rows.streams[IMAGERY] = _encode_chips(encoders, self.imagery, table, self.workers)
        return rows


@torch.no_grad()
def _encode_chips(
    encoders: ImageEncoders, imagery: ChipLoader, table: SampleTable, workers: int
) -> torch.Tensor:
    """Image stream (M, n, d) of a table by the encoders of the members."""
    parts = []
    for start in range(0, len(table), _CHIP_CHUNK):
        part = np.arange(start, min(start + _CHIP_CHUNK, len(table)))
        groups = [
            (places, {name: torch.from_numpy(values) for name, values in chips.items()})
            for places, chips in imagery.chips(table.images, part, workers=workers)
        ]
        parts.append(encoders.encode_for_all(groups, len(part)))
    return torch.cat(parts, dim=1)


def make_node_tensors(
    features: FeatureEncoder,
    table: SampleTable,
    streams: Sequence[str],
    spaces: dict[str, np.ndarray],
) -> NodeTensors:
    """Tensors of a table: the wanted streams that it has, and what edges are taken from."""
    values = {
        name: array for name, array in features.node_features(table).items() if name in streams
    }
    if not values:
        raise ValueError(
            f"streams={tuple(streams)} leaves the network nothing to read: X has "
            f"{sorted(features.node_features(table))}."
        )
    return NodeTensors(
        {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in values.items()},
        {
            name: torch.from_numpy(array.astype(np.float32))
            for name, array in edge_inputs(features, table, spaces).items()
        },
    )


def to_moments(mean: torch.Tensor, log_variance: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance as arrays of double precision."""
    return (
        mean.cpu().numpy().astype(np.float64),
        np.exp(log_variance.cpu().numpy().astype(np.float64)),
    )


def spatial_distance(
    spaces: dict[str, np.ndarray], training: dict[str, np.ndarray], source_index: np.ndarray
) -> np.ndarray | None:
    """Mean distance (n,) to the senders (n, R, K) in space; None where no relation is spatial."""
    if "spatial" not in training:
        return None
    relation = list(training).index("spatial")
    return mean_neighbor_distance(spaces["spatial"], training["spatial"], source_index[:, relation])


def mean_neighbor_distance(
    points: np.ndarray, training: np.ndarray, source_index: np.ndarray
) -> np.ndarray:
    """Mean distance (n,) of points (n, d) to their senders (n, K) among training rows (m, d).

    Infinite for points without any.
    """
    there = source_index != NO_NEIGHBOR
    distance = np.linalg.norm(points[:, None] - training[source_index], axis=-1)
    count = there.sum(1)
    total = np.where(there, distance, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
