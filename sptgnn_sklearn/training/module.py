"""Torch module of the training loop: the network, its moving average and the training graph.

Neighbor lists depend on the member, whose held-out rows are no source nodes, and on the graph
variant (nearest rows, or nearest rows of other blocks). Candidates and their edge features are
shared by all members; the list of a member stores one or two bytes for each neighbor, its position
among the candidates.
"""

from __future__ import annotations

import copy
from functools import cached_property

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor, nn

from ..encoders.finetuning import Groups, apply_dihedral
from ..graph.knn_graph import allowed_slots
from ..network.config import IMAGERY, Neighborhood, NodePredictions, SourceNodes
from ..network.inference import NodeTensors, build_context, gather_edge_distances, predict_encoded
from ..network.message_passing import SourceFeatures
from ..network.sptgnn import SpTGNN
from .dataset import TrainingSet

_EMA_DECAY = 0.99
_IMAGE_BATCH = 64  # rows whose images are encoded at a time
_EDGE_ROWS = 4096  # rows whose edge features are computed at a time
_SCALE_ROWS = 50_000  # rows whose edges determine the scale of edge features


class EnsembleModule(nn.Module):
    """Trained network, exponential moving average of its weights, and training graph.

    The averaged network encodes the source nodes once per epoch, predicts the held-out rows, and is
    the result of training.
    """

    def __init__(self, network: SpTGNN, data: TrainingSet, augment: bool = True):
        super().__init__()
        if network.shape.relations:
            network.edge_scale.fit(_training_distances(data))
        self.network = network
        self.augment = augment
        self.ema_network = copy.deepcopy(network).eval().requires_grad_(False)
        self.data = data
        self.n_steps = 0
        self.context: SourceNodes | None = None
        self.source_features: list[SourceFeatures] = []
        all_rows, member = np.arange(len(data.targets)), np.arange(len(data.held_out))[:, None]
        held_out_rows = _pad_lists([np.flatnonzero(mask) for mask in data.held_out])  # (M, H)
        held_out_neighbors = data.held_out_neighbors[data.rounds[member], held_out_rows]
        tensors = {
            "slots": torch.from_numpy(
                np.stack(
                    [
                        [allowed_slots(lists, mask, data.n_neighbors) for lists in data.candidates]
                        for mask in data.held_out
                    ]
                )
            ),
            # joblib passes read-only memory maps to its workers.
            "candidates": torch.from_numpy(np.require(data.candidates, requirements="W")),
            "edges": torch.stack(
                [_scaled_edges(network, data, all_rows, lists) for lists in data.candidates]
            ),
            "targets": torch.from_numpy(data.targets.astype(np.float32)),
            "held_out_rows": torch.from_numpy(held_out_rows),
            "held_out_neighbors": torch.from_numpy(held_out_neighbors),
            "held_out_edges": torch.stack(
                [
                    _scaled_edges(network, data, rows, lists)
                    for rows, lists in zip(held_out_rows, held_out_neighbors, strict=True)
                ]
            ),
            **{f"stream_{name}": values for name, values in data.rows.streams.items()},
            **self._image_bank(),
        }
        for name, values in tensors.items():
            self.register_buffer(name, values, persistent=False)

    def _image_bank(self) -> dict[str, Tensor]:
        """Return the initial image features of each member, from the frozen encoder."""
        if self.data.fine_tuning is None:
            return {}
        initial = self.data.rows.streams[IMAGERY]
        n_members = self.network.shape.n_members
        return {f"stream_{IMAGERY}": initial.expand(n_members, -1, -1).clone()}

    @cached_property
    def _parameter_pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """The averaged and the trained parameters."""
        return list(self.ema_network.parameters()), list(self.network.parameters())

    @property
    def rows(self) -> NodeTensors:
        """Input streams of the training rows, on the device of the module."""
        streams = self.data.rows.streams
        return NodeTensors({name: self.get_buffer(f"stream_{name}") for name in streams}, {})

    def train(self, mode: bool = True) -> EnsembleModule:
        """Set the mode of the trained network; the average stays in evaluation mode."""
        if mode != self.network.training:  # skorch sets the mode in each step
            super().train(mode)
            self.ema_network.eval()
        return self

    @torch.no_grad()
    def update_context(self) -> None:
        """Encode the images of all rows and the source nodes with the averaged weights."""
        if self.data.fine_tuning is not None and self.ema_network.image_encoders is not None:
            bank = self.get_buffer(f"stream_{IMAGERY}")
            for part in gen_batches(bank.shape[1], _IMAGE_BATCH):
                rows = np.arange(part.start, part.stop)
                groups = self.data.fine_tuning.chips.groups(rows)
                encoded = self.ema_network.image_encoders.encode_for_all(groups, len(rows))
                bank[:, rows] = encoded
        self.context = build_context(
            self.ema_network, self.rows, self._nearest_neighborhood, self.get_buffer("targets")
        )
        self.source_features = self.ema_network.source_features(self.context)

    def forward(self, rows: Tensor, variant: Tensor) -> NodePredictions:
        """Predict a batch of rows (M, B) with their neighbors in graph variants (M, B)."""
        streams = self.rows.gather_streams(rows)
        if self.data.fine_tuning is not None and self.network.image_encoders is not None:
            chips, generators = self.data.fine_tuning.chips, self.network.generators or ()
            groups = [
                self._augment(chips.groups(own_rows.cpu().numpy()), generator, len(own_rows))
                for own_rows, generator in zip(rows, generators, strict=True)
            ]
            streams[IMAGERY] = self.network.image_encoders(groups, rows.shape[1])
        return self.network(streams, self.neighborhood(rows, variant), self.source_features)

    def neighborhood(self, rows: Tensor, variant: Tensor) -> Neighborhood:
        """Return the neighborhood of rows (M, B) in graph variants (M, B)."""
        slots, candidates = self.get_buffer("slots"), self.get_buffer("candidates")
        edges = self.get_buffer("edges")
        n_members, n_variants, n_rows, n_relations, k = slots.shape
        n_candidates = candidates.shape[-1]
        # Indices into the flattened buffers.
        list_index = variant * n_rows + rows
        first = torch.arange(n_members, device=rows.device)[:, None] * (n_variants * n_rows)
        lists = slots.view(n_members * n_variants * n_rows, n_relations * k)
        chosen = lists.index_select(0, (first + list_index).flatten())
        chosen = chosen.view(*rows.shape, n_relations, k).transpose(1, 2)  # (M, R, B, K)
        relation = torch.arange(n_relations, device=rows.device)[:, None, None]
        start = (list_index[:, None, :, None] * n_relations + relation) * n_candidates
        edge_index = (start + chosen.clamp(min=0)).flatten()
        source_index = candidates.view(-1).index_select(0, edge_index).view(chosen.shape)
        found = edges.view(-1, edges.shape[-1]).index_select(0, edge_index)
        return Neighborhood(
            torch.where(chosen < 0, -1, source_index).long(),
            found.view(*chosen.shape, edges.shape[-1]).to(self.get_buffer("targets").dtype),
        )

    def _nearest_neighborhood(self, part: slice) -> Neighborhood:
        """Return the neighborhood of a slice of rows in the variant of nearest rows."""
        device = self.get_buffer("targets").device
        rows = torch.arange(part.start, part.stop, device=device)
        rows = rows.expand(len(self.data.held_out), -1)
        return self.neighborhood(rows, torch.zeros_like(rows))

    def _augment(self, groups: Groups, generator: torch.Generator, n_rows: int) -> Groups:
        """Rotate and flip the chips of a member's rows at random, in training mode."""
        if not (self.training and self.augment):
            return groups
        turns = torch.randint(8, (n_rows,), generator=generator, device=generator.device).cpu()
        return [
            (rows, {name: apply_dihedral(values, turns[rows]) for name, values in chips.items()})
            for rows, chips in groups
        ]

    @torch.no_grad()
    def update_ema(self) -> None:
        """Update the exponential moving average, with a smaller decay in early steps."""
        # Not torch's AveragedModel: it starts from the first step's weights, which changes results.
        self.n_steps += 1
        decay = min(_EMA_DECAY, (1 + self.n_steps) / (10 + self.n_steps))
        torch._foreach_lerp_(*self._parameter_pairs, 1 - decay)

    def predict_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and log-variance (M, n) of each member's held-out rows; NaN elsewhere."""
        shape = self.data.held_out.shape
        found = np.full(shape, np.nan), np.full(shape, np.nan)
        index = self.get_buffer("held_out_rows")
        if index.shape[1]:
            if self.context is None:
                raise RuntimeError("Source nodes are not encoded: call update_context first.")
            predicted = predict_encoded(
                self.ema_network,
                self.context,
                self.source_features,
                index,
                self._held_out_neighborhood,
            )
            member = np.arange(shape[0])[:, None]
            for filled, values in zip(found, predicted, strict=True):
                filled[member, index.cpu().numpy()] = values.cpu().numpy()
                filled[~self.data.held_out] = np.nan  # padding of shorter lists
        return found

    def _held_out_neighborhood(self, part: slice) -> Neighborhood:
        """Return the neighborhood of a slice of each member's held-out rows."""
        source_index = self.get_buffer("held_out_neighbors")[:, part].transpose(1, 2).long()
        edges = self.get_buffer("held_out_edges")[:, part].transpose(1, 2)
        return Neighborhood(source_index, edges.to(self.get_buffer("targets").dtype))


def _scaled_edges(
    network: SpTGNN, data: TrainingSet, rows: np.ndarray, lists: np.ndarray
) -> Tensor:
    """Return edge features (B, R, C, F) of rows (B,) and their lists, in half precision."""
    edge_inputs = data.rows.edge_inputs
    edges = torch.empty((*lists.shape, len(network.shape.edge_features)), dtype=torch.float16)
    for part in gen_batches(len(rows), _EDGE_ROWS):
        index = torch.from_numpy(rows[part])
        target_inputs = {name: values[index] for name, values in edge_inputs.items()}
        distances = gather_edge_distances(target_inputs, torch.from_numpy(lists[part]), edge_inputs)
        edges[part] = network.edge_scale(distances)
    return edges


def _training_distances(data: TrainingSet) -> Tensor:
    """Return the distances (n_edges, F) of the edges between nearest rows, for `EdgeScale.fit`."""
    edge_inputs = data.rows.edge_inputs
    n_rows = data.candidates.shape[1]
    rows = np.arange(0, n_rows, -(-n_rows // _SCALE_ROWS))
    source_index = torch.from_numpy(data.candidates[0, rows, :, : data.n_neighbors])
    target_inputs = {name: values[torch.from_numpy(rows)] for name, values in edge_inputs.items()}
    return gather_edge_distances(target_inputs, source_index, edge_inputs)[source_index >= 0]


def _pad_lists(lists: list[np.ndarray]) -> np.ndarray:
    """Return lists of indices as one array; shorter lists repeat their first entry."""
    length = max(len(index) for index in lists)
    return np.array(
        [
            np.pad(index, (0, length - len(index)), constant_values=index[:1].sum())
            for index in lists
        ]
    )
