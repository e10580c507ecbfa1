"""Fitted ensemble: networks, base models and the training nodes that predictions use."""

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
from ..spatial.distances import chord_to_distance
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable
from ..uncertainty.local_scale import CalibrationInputs
from ..uncertainty.postprocessing import MemberPredictions, Postprocessor
from .base_models import BaseModels, base_inputs
from .member_folds import MemberFolds

# Rows per chunk of a prediction, between these limits for this many input features: larger chunks
# put rows with equal neighbors closer together, and need more memory.
_QUERY_ROWS = (20_000, 100_000)
_QUERY_FEATURES = 5_000_000
_CHIP_CHUNK = 64  # rows whose chips are read and encoded at a time


@dataclass(frozen=True)
class Explanation:
    """Attention weights and expert gates of some rows.

    Attributes
    ----------
    neighbors : ndarray of shape (n, R, K)
        Training rows by relation.
    attention : ndarray of shape (n, R, K)
        Attention weights, averaged over members and heads. The rest up to 1 is unassigned.
    gates : ndarray of shape (n, M, E)
        Gate weights of the experts of each member.
    """

    neighbors: np.ndarray
    attention: np.ndarray
    gates: np.ndarray


@dataclass(frozen=True)
class TrainingRows:
    """Data of the training rows that predictions of new rows do not need.

    Attributes
    ----------
    node_features : ndarray of shape (n, f)
        Concatenated input streams.
    folds : MemberFolds
    neighbors : ndarray of shape (n, R, K)
    held_out : MemberPredictions
        Calibrated predictions (1, n) without a row's own target, by the members that held the row
        out where there are any. Known measurement errors are not part of them.
    base : ndarray of shape (k, n) or None
        Out-of-fold predictions of the base models, before they are blended.
    gains : dict of str to float
        R2 on held-out rows that is lost without the graph, the network or a base model.
    noise : ndarray of shape (n,) or None
        Variances of measurement errors, in standardized units; None without any.
    """

    node_features: np.ndarray
    folds: MemberFolds
    neighbors: np.ndarray
    held_out: MemberPredictions
    base: np.ndarray | None
    gains: dict[str, float]
    noise: np.ndarray | None = None


@dataclass
class Ensemble:
    """A fitted ensemble with the training nodes that predictions use.

    Attributes
    ----------
    features : FeatureEncoder
    network : SpTGNN
    knn_graph : KNNGraph
        Training rows in the space of each relation.
    context : SourceNodes
        Encoded training nodes.
    edge_inputs : dict of str to Tensor
        Inputs of the edge features of the training rows.
    base : BaseModels or None
    postprocessor : Postprocessor
        Blending and calibration, fitted on held-out rows.
    history : list of dict
    n_neighbors : int
    device : str
    chip_loader : ChipLoader or None
        Image reader of fine-tuned encoders; None without them.
    training : TrainingRows or None
        None in a model that was saved without training data.
    """

    features: FeatureEncoder
    network: SpTGNN
    knn_graph: KNNGraph
    context: SourceNodes
    edge_inputs: dict[str, torch.Tensor]
    base: BaseModels | None
    postprocessor: Postprocessor
    history: list[dict]
    n_neighbors: int
    device: str
    chip_loader: ChipLoader | None = None
    training: TrainingRows | None = None

    def __getstate__(self) -> dict[str, Any]:
        on_cpu = self.to("cpu")  # it may be unpickled on a machine without GPU
        return {field.name: getattr(on_cpu, field.name) for field in fields(self)}

    @property
    def n_members(self) -> int:
        """Number of ensemble members."""
        return self.network.shape.n_members

    @property
    def relations(self) -> tuple[str, ...]:
        """Relations in use."""
        return self.network.shape.relations

    @property
    def streams(self) -> tuple[str, ...]:
        """Input streams in use."""
        return tuple(self.network.shape.streams)

    @property
    def standardized_targets(self) -> np.ndarray:
        """Standardized targets (n,) of the training rows, in double precision."""
        return self.context.targets.cpu().numpy().astype(np.float64)

    @cached_property
    def source_features(self) -> list[SourceFeatures]:
        """Source features of the training nodes; computed on first use, not pickled."""
        return self.network.source_features(self.context, cached=True)

    @cached_property
    def _copies(self) -> dict[str, Ensemble]:
        """Copies on other devices."""
        return {}

    def to(self, device: str) -> Ensemble:
        """Return the ensemble on a device; the copy is kept for later predictions."""
        if device == self.device:
            return self
        if device not in self._copies:
            states, baseline, targets = self.context
            self._copies[device] = replace(
                self,
                network=copy.deepcopy(self.network).to(device),
                context=SourceNodes(
                    [state.to(device) for state in states], baseline.to(device), targets.to(device)
                ),
                edge_inputs={name: values.to(device) for name, values in self.edge_inputs.items()},
                device=device,
            )
        return self._copies[device]

    def require_training_rows(self) -> TrainingRows:
        """Return the data of the training rows.

        Raises
        ------
        ValueError
            If the ensemble was saved without them.
        """
        if self.training is None:
            raise ValueError(
                "This needs the training rows, but the model was saved with training_data=False: "
                "use the model that it was saved from."
            )
        return self.training

    def held_out_masks(self) -> np.ndarray:
        """Return the rows (M, n) that each member held out."""
        return self.require_training_rows().folds.masks(self.n_members)

    def predict(self, table: SampleTable) -> MemberPredictions:
        """Predict rows from their own columns and the training rows."""
        width = sum(self.network.shape.streams.values())
        chunk = int(np.clip(_QUERY_FEATURES // width, *_QUERY_ROWS))
        parts = [
            self._predict(table.take(np.arange(part.start, part.stop)))
            for part in gen_batches(len(table), chunk)
        ]
        return MemberPredictions.concatenate(parts)

    def explain(self, table: SampleTable) -> Explanation:
        """Return attention weights and expert gates of the rows of a table.

        Raises
        ------
        ValueError
            If a weight is not finite.
        """
        spaces = self.features.relation_spaces(table)
        neighbors = self.knn_graph.query(spaces, self.n_neighbors)
        source_index = torch.from_numpy(neighbors).to(self.device)
        rows = self._node_tensors(table, spaces)
        gates, weights = explain_nodes(
            self.network, rows, source_index, self.source_features, self.edge_inputs
        )
        found = Explanation(
            neighbors=neighbors,
            attention=weights.mean(0).transpose(0, 1).cpu().numpy().astype(np.float64),
            gates=gates.transpose(0, 1).cpu().numpy().astype(np.float64),
        )
        finite = np.isfinite(found.attention).all((1, 2)) & np.isfinite(found.gates).all((1, 2))
        odd = np.flatnonzero(~finite)
        if len(odd):
            raise ValueError(
                f"{len(odd)} of {len(table)} rows have no finite weights (row positions "
                f"{odd[:5].tolist()}): look for extreme values in their columns."
            )
        return found

    def training_neighbors(
        self, relation: str, n_neighbors: int | None, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and neighbors (m, k) of training rows (m,) in one relation."""
        neighbors = self.require_training_rows().neighbors[:, self.relations.index(relation)]
        lists = neighbors[rows, :n_neighbors]
        return self._distances(relation, self.knn_graph.spaces[relation][rows], lists), lists

    def query_neighbors(
        self, table: SampleTable, relation: str, n_neighbors: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and neighbors (n, k) of the rows of a table in one relation."""
        training = self.knn_graph.spaces[relation]
        points = self.features.relation_spaces(table)[relation]
        graph = KNNGraph({relation: training}, self.knn_graph.workers)
        k = min(n_neighbors or self.n_neighbors, len(training))
        lists = graph.query({relation: points}, k)[:, 0]
        return self._distances(relation, points, lists), lists

    def neighbor_distances(self, table: SampleTable, neighbors: np.ndarray) -> np.ndarray:
        """Return the distances (n, R, K) of rows to their neighbors in each relation."""
        spaces = self.features.relation_spaces(table)
        distances = [
            self._distances(name, spaces[name], neighbors[:, index])
            for index, name in enumerate(self.relations)
        ]
        return np.stack(distances, axis=1)

    def to_hetero_data(self):
        """Return the training graph as torch_geometric.data.HeteroData."""
        rows = self.require_training_rows()
        inputs = {name: values.cpu().numpy() for name, values in self.edge_inputs.items()}
        edges = pairwise_edge_distances(
            {name: values[:, None, None, :] for name, values in inputs.items()},
            {name: values[rows.neighbors] for name, values in inputs.items()},
        )
        targets = self.context.targets.cpu().numpy()
        return to_hetero_data(rows.neighbors, self.relations, edges, rows.node_features, targets)

    def _distances(self, relation: str, points: np.ndarray, lists: np.ndarray) -> np.ndarray:
        """Distances (n, K) of points (n, d) to training rows (n, K) in one relation."""
        training = self.knn_graph.spaces[relation]
        distances = np.linalg.norm(points[:, None] - training[lists], axis=-1)
        if relation == "spatial":
            distances = chord_to_distance(distances, self.features.schema.reference)
        return np.where(lists == NO_NEIGHBOR, np.inf, distances)

    def _predict(self, table: SampleTable) -> MemberPredictions:
        spaces = self.features.relation_spaces(table)
        base, around = None, CalibrationInputs()
        if self.base is not None or self.postprocessor.calibration.local is not None:
            inputs = base_inputs(self.features, table, spaces)
            base = None if self.base is None else self.base.predict(inputs)
            around = CalibrationInputs(None, inputs.positions, inputs.covariates)
        neighbors = self.knn_graph.query(spaces, self.n_neighbors)
        distance = spatial_distance(spaces, self.knn_graph.spaces, neighbors)
        order = self._spatial_order(neighbors)
        source_index = torch.from_numpy(neighbors[order]).to(self.device)
        rows = self._node_tensors(table, spaces).take(torch.from_numpy(order).to(self.device))
        found = to_moments(
            *predict_nodes(self.network, rows, source_index, self.source_features, self.edge_inputs)
        )
        back = np.argsort(order)
        predicted = MemberPredictions(found[0][:, back], found[1][:, back])
        return self.postprocessor.apply(predicted, base, around._replace(distance=distance))

    def _spatial_order(self, neighbors: np.ndarray) -> np.ndarray:
        """Order (n,) that groups rows with nearby neighbors (n, R, K), for cache locality."""
        if not self.relations:
            return np.arange(len(neighbors))
        rank = self.knn_graph.rank(self.relations[0])
        return np.argsort(rank[neighbors[:, 0, 0]], kind="stable")

    def _node_tensors(self, table: SampleTable, spaces: dict[str, np.ndarray]) -> NodeTensors:
        rows = make_node_tensors(self.features, table, self.streams, spaces).to(self.device)
        if self.chip_loader is not None and self.network.image_encoders is not None:
            encoders, workers = self.network.image_encoders, self.knn_graph.workers
            rows.streams[IMAGERY] = _encode_chips(encoders, self.chip_loader, table, workers)
        return rows


@torch.no_grad()
def _encode_chips(
    encoders: ImageEncoders, chip_loader: ChipLoader, table: SampleTable, workers: int
) -> torch.Tensor:
    """Image stream (M, n, d) of a table, by the encoders of the members."""
    parts = []
    for part in gen_batches(len(table), _CHIP_CHUNK):
        rows = np.arange(part.start, part.stop)
        groups = [
            (positions, {name: torch.from_numpy(values) for name, values in chips.items()})
            for positions, chips in chip_loader.chips(table.images, rows, workers=workers)
        ]
        parts.append(encoders.encode_for_all(groups, len(rows)))
    return torch.cat(parts, dim=1)


def make_node_tensors(
    features: FeatureEncoder,
    table: SampleTable,
    streams: Sequence[str],
    spaces: dict[str, np.ndarray],
) -> NodeTensors:
    """Return the input streams in use and the inputs of edge features as tensors."""
    found = features.node_features(table)
    values = {name: array for name, array in found.items() if name in streams}
    if not values:
        raise ValueError(
            f"streams={tuple(streams)} leaves no input for the network: X has {sorted(found)}."
        )
    return NodeTensors(
        {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in values.items()},
        {
            name: torch.from_numpy(array.astype(np.float32))
            for name, array in edge_inputs(features, table, spaces).items()
        },
    )


def to_moments(mean: torch.Tensor, log_variance: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance as arrays of double precision."""
    return (
        mean.cpu().numpy().astype(np.float64),
        np.exp(log_variance.cpu().numpy().astype(np.float64)),
    )


def spatial_distance(
    spaces: dict[str, np.ndarray], training: dict[str, np.ndarray], neighbors: np.ndarray
) -> np.ndarray | None:
    """Return the mean distance (n,) to the spatial neighbors; None without a spatial relation."""
    if "spatial" not in training:
        return None
    relation = list(training).index("spatial")
    return mean_neighbor_distance(spaces["spatial"], training["spatial"], neighbors[:, relation])


def mean_neighbor_distance(
    points: np.ndarray, training: np.ndarray, neighbors: np.ndarray
) -> np.ndarray:
    """Return the mean distance (n,) of points (n, d) to their neighbors (n, K) in (m, d).

    Infinite for points without neighbors.
    """
    assigned = neighbors != NO_NEIGHBOR
    distance = np.linalg.norm(points[:, None] - training[neighbors], axis=-1)
    count = assigned.sum(1)
    total = np.where(assigned, distance, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
