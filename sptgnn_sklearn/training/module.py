"""The network being trained, and the training rows around it.

Which rows may send to which depends on the member (no row that it holds out sends) and on the
variant (true neighbours, or neighbours from other blocks only). Candidates and what their edges
carry are the same for all members and are kept once; a member's list is a few bytes for each
neighbour that say where among the candidates it stands.
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

_AVERAGE_DECAY = 0.99
_BANK_BATCH = 64  # rows that are encoded at once
_EDGE_ROWS = 4096  # rows whose edges are described at a time
_SCALE_ROWS = 50_000  # rows whose edges say on which scale distances are read


class EnsembleModule(nn.Module):
    """The network being trained, its running average, and the training rows around them.

    The average of the weights plays three parts: it encodes the context (a slowly moving memory,
    computed once an epoch), it is what held-out rows are judged by, and it is the result.
    """

    def __init__(self, network: SpTGNN, data: TrainingSet, augment: bool = True):
        super().__init__()
        if network.shape.relations:
            network.edge_scale.fit(_training_distances(data))
        self.network = network
        self.augment = augment
        self.ema_network = copy.deepcopy(network).eval().requires_grad_(False)
        self.data = data
        self.steps = 0
        self.context: SourceNodes | None = None
        self.source_features: list[SourceFeatures] = []
        everyone, member = np.arange(len(data.targets)), np.arange(len(data.held_out))[:, None]
        held_index = _pad_lists([np.flatnonzero(held) for held in data.held_out])
        held_source_index = data.held_source_index[data.rounds[member], held_index]  # (M, H, R, K)
        tensors = {
            "slots": torch.from_numpy(
                np.stack(
                    [
                        [allowed_slots(lists, held, data.n_neighbors) for lists in data.candidates]
                        for held in data.held_out
                    ]
                )
            ),
            # What joblib hands to a worker is a file that may not be written to.
            "source_index": torch.from_numpy(np.require(data.candidates, requirements="W")),
            "edges": torch.stack(
                [_scaled_edges(network, data, everyone, lists) for lists in data.candidates]
            ),
            "targets": torch.from_numpy(data.targets.astype(np.float32)),
            "held_index": torch.from_numpy(held_index),
            "held_source_index": torch.from_numpy(held_source_index),
            "held_edges": torch.stack(
                [
                    _scaled_edges(network, data, rows, lists)
                    for rows, lists in zip(held_index, held_source_index, strict=True)
                ]
            ),
            **{f"stream_{name}": values for name, values in data.rows.streams.items()},
            **self._image_bank(),
        }
        for name, values in tensors.items():
            self.register_buffer(name, values, persistent=False)

    def _image_bank(self) -> dict[str, Tensor]:
        """All rows' images as each member sees them; at first, as the frozen encoder does."""
        if self.data.fine_tuning is None:
            return {}
        members = self.network.shape.n_members
        start = self.data.rows.streams[IMAGERY]
        return {f"stream_{IMAGERY}": start.expand(members, -1, -1).clone()}

    @cached_property
    def _parameter_pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """The averaged and the trained parameters, side by side."""
        return list(self.ema_network.parameters()), list(self.network.parameters())

    @property
    def rows(self) -> NodeTensors:
        """The streams of the training rows, on the device of the module."""
        streams = self.data.rows.streams
        return NodeTensors({name: self.get_buffer(f"stream_{name}") for name in streams}, {})

    def train(self, mode: bool = True) -> EnsembleModule:
        """Set the mode of the network being trained; the average always is in evaluation mode."""
        if mode != self.network.training:  # asked for at each step
            super().train(mode)
            self.ema_network.eval()
        return self

    @torch.no_grad()
    def update_context(self) -> None:
        """Encode the images of all rows anew, and then the context."""
        if self.data.fine_tuning is not None and self.ema_network.image_encoders is not None:
            bank = self.get_buffer(f"stream_{IMAGERY}")
            for start in range(0, bank.shape[1], _BANK_BATCH):
                part = np.arange(start, min(start + _BANK_BATCH, bank.shape[1]))
                groups = self.data.fine_tuning.chips.groups(part)
                encoded = self.ema_network.image_encoders.encode_for_all(groups, len(part))
                bank[:, part] = encoded
        self.context = build_context(
            self.ema_network, self.rows, self._true_neighborhood, self.get_buffer("targets")
        )
        self.source_features = self.ema_network.source_features(self.context)

    def forward(self, rows: Tensor, variant: Tensor) -> NodePredictions:
        """Predict a batch: row positions (M, B), and which variant of their lists they see."""
        streams = self.rows.gather_streams(rows)
        if self.data.fine_tuning is not None and self.network.image_encoders is not None:
            chips, generators = self.data.fine_tuning.chips, self.network.generators or ()
            own = [
                self._augment(chips.groups(places.cpu().numpy()), generator, len(places))
                for places, generator in zip(rows, generators, strict=True)
            ]
            streams[IMAGERY] = self.network.image_encoders(own, rows.shape[1])
        return self.network(streams, self.neighborhood(rows, variant), self.source_features)

    def neighborhood(self, rows: Tensor, variant: Tensor) -> Neighborhood:
        """Neighbours of rows (M, B) in the lists of a variant (M, B)."""
        slots, source_index = self.get_buffer("slots"), self.get_buffer("source_index")
        edges = self.get_buffer("edges")
        members, variants, n_rows, n_relations, k = slots.shape
        n_candidates = source_index.shape[-1]
        list_at = variant * n_rows + rows  # among the lists of all variants
        first = torch.arange(members, device=rows.device)[:, None] * (variants * n_rows)
        lists = slots.view(members * variants * n_rows, n_relations * k)
        chosen = lists.index_select(0, (first + list_at).flatten())
        chosen = chosen.view(*rows.shape, n_relations, k).transpose(1, 2)  # (M, R, B, K)
        relation = torch.arange(n_relations, device=rows.device)[:, None, None]
        start = (list_at[:, None, :, None] * n_relations + relation) * n_candidates
        edge = (start + chosen.clamp(min=0)).flatten()
        found = source_index.view(-1).index_select(0, edge).view(chosen.shape)
        carried = edges.view(-1, edges.shape[-1]).index_select(0, edge)
        return Neighborhood(
            torch.where(chosen < 0, -1, found).long(),
            carried.view(*chosen.shape, edges.shape[-1]).to(self.get_buffer("targets").dtype),
        )

    def _true_neighborhood(self, part: slice) -> Neighborhood:
        """Neighbours of the rows of a slice in their true lists."""
        device = self.get_buffer("targets").device
        rows = torch.arange(part.start, part.stop, device=device)
        rows = rows.expand(len(self.data.held_out), -1)
        return self.neighborhood(rows, torch.zeros_like(rows))

    def _augment(self, groups: Groups, generator: torch.Generator, n_rows: int) -> Groups:
        """Turn and mirror the chips of a member's rows as it draws."""
        if not (self.training and self.augment):
            return groups
        ways = torch.randint(8, (n_rows,), generator=generator, device=generator.device).cpu()
        return [
            (places, {name: apply_dihedral(values, ways[places]) for name, values in chips.items()})
            for places, chips in groups
        ]

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move the running average one step; early steps count less, as they are soon outdated."""
        self.steps += 1
        decay = min(_AVERAGE_DECAY, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(*self._parameter_pairs, 1 - decay)

    def predict_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Predict each member's held-out rows; (M, n) each, NaN where a member trained."""
        shape = self.data.held_out.shape
        found = np.full(shape, np.nan), np.full(shape, np.nan)
        index = self.get_buffer("held_index")
        if index.shape[1]:
            if self.context is None:
                raise RuntimeError("refresh() encodes the context before anything is predicted.")
            predicted = predict_encoded(
                self.ema_network,
                self.context,
                self.source_features,
                index,
                self._held_out_neighborhood,
            )
            member = np.arange(shape[0])[:, None]
            for target, values in zip(found, predicted, strict=True):
                target[member, index.cpu().numpy()] = values.cpu().numpy()
                target[~self.data.held_out] = np.nan  # padding of shorter lists
        return found

    def _held_out_neighborhood(self, part: slice) -> Neighborhood:
        """Neighbours of a slice of each member's held-out rows."""
        source_index = self.get_buffer("held_source_index")[:, part].transpose(1, 2).long()
        edges = self.get_buffer("held_edges")[:, part].transpose(1, 2)
        return Neighborhood(source_index, edges.to(self.get_buffer("targets").dtype))


def _scaled_edges(
    network: SpTGNN, data: TrainingSet, rows: np.ndarray, lists: np.ndarray
) -> Tensor:
    """Standardised edge features (B, R, C, F) of rows (B,) and their lists, in half precision."""
    edge_inputs = data.rows.edge_inputs
    found = torch.empty((*lists.shape, len(network.shape.edge_features)), dtype=torch.float16)
    for part in gen_batches(len(rows), _EDGE_ROWS):
        at = torch.from_numpy(rows[part])
        target_nodes = {name: values[at] for name, values in edge_inputs.items()}
        distances = gather_edge_distances(target_nodes, torch.from_numpy(lists[part]), edge_inputs)
        found[part] = network.edge_scale(distances)
    return found


def _training_distances(data: TrainingSet) -> Tensor:
    """Edge features (n_edges, F) of the true lists, for the scale of distances."""
    edge_inputs = data.rows.edge_inputs
    n_rows = data.candidates.shape[1]
    at = np.arange(0, n_rows, -(-n_rows // _SCALE_ROWS))
    source_index = torch.from_numpy(data.candidates[0, at, :, : data.n_neighbors])
    target_nodes = {name: values[torch.from_numpy(at)] for name, values in edge_inputs.items()}
    return gather_edge_distances(target_nodes, source_index, edge_inputs)[source_index >= 0]


def _pad_lists(lists: list[np.ndarray]) -> np.ndarray:
    """Return lists of positions as one array; shorter lists repeat their first entry."""
    length = max(len(positions) for positions in lists)
    return np.array(
        [
            np.pad(positions, (0, length - len(positions)), constant_values=positions[:1].sum())
            for positions in lists
        ]
    )
