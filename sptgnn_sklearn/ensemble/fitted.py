"""A fitted ensemble: the network, its base, and the training rows that it predicts from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..encoders.embedding import Imagery
from ..graph.box_tree import NOBODY
from ..graph.edge_features import describe, differences
from ..graph.knn_graph import Searcher, to_hetero_data
from ..network.config import IMAGERY, Context, ImageEncoders
from ..network.inference import Rows, look, run
from ..network.message_passing import Sent
from ..network.sptgnn import SpTGNN
from ..table.features import Features
from ..table.schema import Table
from ..uncertainty.postprocessing import Judgement, Predicted
from ..utils.batching import slices
from .member_folds import Partitions

# Rows whose graph is built at a time: the more, the nearer those that follow one another. They keep
# so many features in memory.
_QUERY_ROWS = (20_000, 100_000)
_QUERY_FEATURES = 5_000_000
_CHIP_CHUNK = 64  # rows whose chips are read and encoded at a time


@dataclass(frozen=True)
class Looked:
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

    neighbours: np.ndarray
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
    partitions: Partitions
    neighbours: np.ndarray
    held_out: Predicted


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

    features: Features
    network: SpTGNN
    relations: tuple[str, ...]
    streams: tuple[str, ...]
    searcher: Searcher
    context: Context
    description: dict[str, torch.Tensor]
    base: Any
    judgement: Judgement
    history: list[dict]
    n_neighbors: int
    device: str
    workers: int = 1
    imagery: Imagery | None = None
    training: TrainingRows | None = None

    def __getstate__(self) -> dict[str, Any]:
        there = self.to("cpu")  # it may be read back where there is no GPU
        return {field.name: getattr(there, field.name) for field in fields(self)}

    @cached_property
    def sent(self) -> list[Sent]:
        """What the training rows send; made when first predicted, and left out of pickles."""
        return self.network.sent(self.context, settled=True)

    def to(self, device: str) -> Ensemble:
        """Return the ensemble on a device."""
        if device == self.device:
            return self
        states, baseline, targets = self.context
        return replace(
            self,
            network=copy.deepcopy(self.network).to(device),
            context=Context(
                [state.to(device) for state in states], baseline.to(device), targets.to(device)
            ),
            description={name: values.to(device) for name, values in self.description.items()},
            device=device,
        )

    def known_training(self) -> TrainingRows:
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

    def predict(self, table: Table) -> Predicted:
        """Predict rows from the training rows and their own columns."""
        width = sum(self.network.architecture.streams.values())
        chunk = int(np.clip(_QUERY_FEATURES // width, *_QUERY_ROWS))
        parts = [
            self._predict(table.take(np.arange(part.start, part.stop)))
            for part in slices(len(table), chunk)
        ]
        return Predicted(
            np.concatenate([part.mean for part in parts], axis=1),
            np.concatenate([part.variance for part in parts], axis=1),
        )

    def to_hetero_data(self):
        """Return the training graph as torch_geometric.data.HeteroData."""
        rows = self.known_training()
        senders = rows.neighbours
        description = {name: values.cpu().numpy() for name, values in self.description.items()}
        edges = differences(
            {name: values[:, None, None, :] for name, values in description.items()},
            {name: values[senders] for name, values in description.items()},
        )
        return to_hetero_data(
            senders, self.relations, edges, rows.node_features, self.context.targets.cpu().numpy()
        )

    def look(self, table: Table) -> Looked:
        """Return what the network looks at when it predicts the rows of a table."""
        spaces = self.features.spaces(table)
        neighbours = self._neighbours(spaces)
        senders = torch.from_numpy(neighbours).to(self.device)
        rows = self._rows(table, spaces)
        gates, weights = look(self.network, rows, senders, self.sent, self.description)
        return Looked(
            neighbours=neighbours,
            attention=weights.mean(0).transpose(0, 1).cpu().numpy().astype(np.float64),
            gates=gates.transpose(0, 1).cpu().numpy().astype(np.float64),
        )

    def _neighbours(self, spaces: dict[str, np.ndarray]) -> np.ndarray:
        """Training rows (n, R, K) that send to rows in the space of each relation."""
        return self.searcher.extend(spaces, self.n_neighbors)

    def _predict(self, table: Table) -> Predicted:
        offset = None
        if self.base is not None:
            offset = self.base.predict(self.features.tabular(table)).astype(np.float64)
        spaces = self.features.spaces(table)
        neighbours = self._neighbours(spaces)
        distance = spatial_distance(spaces, self.searcher.spaces, neighbours)
        # Rows with the same neighbours one after another read them from the processor's caches.
        order = self._route(neighbours)
        senders = torch.from_numpy(neighbours[order]).to(self.device)
        rows = self._rows(table, spaces).take(torch.from_numpy(order).to(self.device))
        found = moments(*run(self.network, rows, senders, self.sent, self.description))
        back = np.argsort(order)
        predicted = Predicted(*(values[:, back] for values in found))
        return self.judgement.apply(predicted, offset, distance)

    def _route(self, neighbours: np.ndarray) -> np.ndarray:
        """Order (n,) in which rows with near neighbours (n, R, K) follow one another."""
        if not self.relations:
            return np.arange(len(neighbours))
        rank = self.searcher.rank(self.relations[0])
        return np.argsort(rank[neighbours[:, 0, 0]], kind="stable")

    def _rows(self, table: Table, spaces: dict[str, np.ndarray]) -> Rows:
        """Tensors of a table."""
        rows = make_rows(self.features, table, self.streams, spaces).to(self.device)
        if self.imagery is not None and self.network.image_encoders is not None:
            encoders = self.network.image_encoders
            rows.streams[IMAGERY] = _encode(encoders, self.imagery, table, self.workers)
        return rows


@torch.no_grad()
def _encode(encoders: ImageEncoders, imagery: Imagery, table: Table, workers: int) -> torch.Tensor:
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


def make_rows(
    features: Features, table: Table, streams: Sequence[str], spaces: dict[str, np.ndarray]
) -> Rows:
    """Tensors of a table: the wanted streams that it has, and what edges are taken from."""
    values = {name: array for name, array in features.streams(table).items() if name in streams}
    if not values:
        raise ValueError(
            f"streams={tuple(streams)} leaves the network nothing to read: X has "
            f"{sorted(features.streams(table))}."
        )
    return Rows(
        {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in values.items()},
        {
            name: torch.from_numpy(array.astype(np.float32))
            for name, array in describe(features, table, spaces).items()
        },
    )


def moments(mean: torch.Tensor, log_variance: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance as arrays of double precision."""
    return (
        mean.cpu().numpy().astype(np.float64),
        np.exp(log_variance.cpu().numpy().astype(np.float64)),
    )


def spatial_distance(
    spaces: dict[str, np.ndarray], training: dict[str, np.ndarray], senders: np.ndarray
) -> np.ndarray | None:
    """Mean distance (n,) to the senders (n, R, K) in space; None where no relation is spatial."""
    if "spatial" not in training:
        return None
    relation = list(training).index("spatial")
    return mean_distance(spaces["spatial"], training["spatial"], senders[:, relation])


def mean_distance(points: np.ndarray, training: np.ndarray, senders: np.ndarray) -> np.ndarray:
    """Mean distance (n,) of points (n, d) to their senders (n, K) among training rows (m, d).

    Infinite for points without any.
    """
    there = senders != NOBODY
    distance = np.linalg.norm(points[:, None] - training[senders], axis=-1)
    count = there.sum(1)
    total = np.where(there, distance, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
