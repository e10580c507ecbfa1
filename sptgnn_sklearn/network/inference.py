"""Inference in row chunks: encode the source nodes once, then predict any rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph.edge_features import EDGE_FEATURES, pairwise_edge_distances
from ..utils.batching import map_row_chunks
from .config import Neighborhood, SourceNodes
from .message_passing import SourceFeatures
from .sptgnn import SpTGNN


@dataclass
class NodeTensors:
    """Network inputs of training or query rows.

    Attributes
    ----------
    streams : dict of str to Tensor of shape (n, width) or (M, n, width)
        Input streams; with a member axis where each member has its own image encoder.
    edge_inputs : dict of str to Tensor of shape (n, d)
        Coordinates between which edge features are distances.
    """

    streams: dict[str, Tensor]
    edge_inputs: dict[str, Tensor]

    def __len__(self) -> int:
        return next(iter(self.streams.values())).shape[-2]

    def to(self, device: torch.device | str) -> NodeTensors:
        """Return the rows on a device."""
        return NodeTensors(
            {name: values.to(device) for name, values in self.streams.items()},
            {name: values.to(device) for name, values in self.edge_inputs.items()},
        )

    def take(self, index: Tensor) -> NodeTensors:
        """Return the rows at indices (m,)."""
        return NodeTensors(
            {name: values.index_select(-2, index) for name, values in self.streams.items()},
            {name: values.index_select(0, index) for name, values in self.edge_inputs.items()},
        )

    def gather_streams(self, index: Tensor) -> dict[str, Tensor]:
        """Return streams (M, B, width) of each member's own rows at indices (M, B)."""
        return {name: _take_by_member(values, index) for name, values in self.streams.items()}

    def expand_streams(self, part: slice, n_members: int) -> dict[str, Tensor]:
        """Return streams (M, B, width) of a slice of rows, which are the same for all members."""
        return {
            name: values[..., part, :].expand(n_members, -1, -1)
            for name, values in self.streams.items()
        }


def gather_edge_distances(
    target_inputs: Mapping[str, Tensor], source_index: Tensor, source_inputs: Mapping[str, Tensor]
) -> Tensor:
    """Return the distances (B, R, K, F) between rows and their neighbors; NaN where missing.

    Parameters
    ----------
    target_inputs : mapping of str to Tensor of shape (B, d)
        `NodeTensors.edge_inputs` of the rows.
    source_index : Tensor of shape (B, R, K)
        Indices of source nodes; -1 gives the distance to the first one.
    source_inputs : mapping of str to Tensor of shape (N, d)
        `NodeTensors.edge_inputs` of the source nodes.
    """
    index = source_index.clamp(min=0).long()
    distances = pairwise_edge_distances(
        {name: values[:, None, None, :] for name, values in target_inputs.items()},
        {name: _take_rows(values, index) for name, values in source_inputs.items()},
    )
    return torch.stack([distances[name] for name in EDGE_FEATURES if name in distances], dim=-1)


def build_neighborhood(
    network: SpTGNN,
    target_inputs: Mapping[str, Tensor],
    source_index: Tensor,
    source_inputs: Mapping[str, Tensor],
) -> Neighborhood:
    """Return a neighborhood that all members share; arguments as in `gather_edge_distances`."""
    n_members = network.shape.n_members
    edges = network.edge_scale(gather_edge_distances(target_inputs, source_index, source_inputs))
    shared = source_index.transpose(0, 1).long(), edges.transpose(0, 1)  # (R, B, K, ...)
    return Neighborhood(*(values.expand(n_members, *values.shape) for values in shared))


def build_context(
    network: SpTGNN,
    rows: NodeTensors,
    neighborhood: Callable[[slice], Neighborhood],
    targets: Tensor,
    chunk: int | None = None,
) -> SourceNodes:
    """Encode the training rows as source nodes.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    rows : NodeTensors
        Training rows.
    neighborhood : function of a slice of rows
        Their neighbors, without themselves; called only for more than one attention layer.
    targets : Tensor of shape (n,)
        Standardized targets.
    chunk : int, default=None
        Rows per chunk, as in `map_row_chunks`.
    """
    a = network.shape
    state = targets.new_empty((a.n_members, len(rows), a.hidden_size))
    baseline = targets.new_empty((a.n_members, len(rows)))

    def encode(part: slice) -> None:
        encoded = network.encode(rows.expand_streams(part, a.n_members))
        state[:, part], baseline[:, part] = encoded.state, encoded.baseline

    def propagate(part: slice) -> None:
        next_state[:, part] = network.propagate(
            layer, states[-1][:, part], source_features, neighborhood(part)
        )[0]

    map_row_chunks(encode, len(rows), targets.device, chunk)
    states = [state]
    for layer in range(a.n_layers - 1 if a.relations else 0):
        source_features = network.cache_projections(layer, SourceFeatures.from_nodes(states[-1]))
        next_state = torch.empty_like(state)
        map_row_chunks(propagate, len(rows), targets.device, chunk)
        states.append(next_state)
    return SourceNodes(states, baseline, targets)


def predict_nodes(
    network: SpTGNN,
    rows: NodeTensors,
    source_index: Tensor,
    source_features: Sequence[SourceFeatures],
    source_inputs: Mapping[str, Tensor],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance (M, n) of rows.

    The prediction of a row does not depend on the other rows.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    rows : NodeTensors
    source_index : Tensor of shape (n, R, K)
    source_features : sequence of SourceFeatures
        Of each attention layer.
    source_inputs : mapping of str to Tensor
        `NodeTensors.edge_inputs` of the source nodes.
    chunk : int, default=None
        Rows per chunk, as in `map_row_chunks`.
    """
    n_members = network.shape.n_members
    mean = torch.empty((n_members, len(rows)), device=source_index.device)
    log_variance = torch.empty_like(mean)

    def predict_chunk(part: slice) -> None:
        neighborhood = _slice_neighborhood(network, rows, source_index, part, source_inputs)
        output = network(rows.expand_streams(part, n_members), neighborhood, source_features)
        mean[:, part], log_variance[:, part] = output.mean, output.log_variance

    map_row_chunks(predict_chunk, len(rows), mean.device, chunk)
    return mean, log_variance


def predict_encoded(
    network: SpTGNN,
    context: SourceNodes,
    source_features: Sequence[SourceFeatures],
    index: Tensor,
    neighborhood: Callable[[slice], Neighborhood],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance (M, n) of source nodes, whose states are encoded already.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    context : SourceNodes
    source_features : sequence of SourceFeatures
        Of each attention layer.
    index : Tensor of shape (M, n)
        Indices of each member's rows.
    neighborhood : function of a slice of the index
        Neighbors of these rows.
    chunk : int, default=None
        Rows per chunk, as in `map_row_chunks`.
    """
    mean = context.targets.new_empty(index.shape)
    log_variance = torch.empty_like(mean)

    def predict_chunk(part: slice) -> None:
        rows = index[:, part]
        state = context.states[0].gather(1, rows.unsqueeze(-1).expand(-1, -1, network.width))
        baseline = context.baseline.gather(1, rows)
        moments = network.decode(state, baseline, neighborhood(part), source_features)
        mean[:, part], log_variance[:, part] = moments

    map_row_chunks(predict_chunk, index.shape[1], mean.device, chunk)
    return mean, log_variance


def explain_nodes(
    network: SpTGNN,
    rows: NodeTensors,
    source_index: Tensor,
    source_features: Sequence[SourceFeatures],
    source_inputs: Mapping[str, Tensor],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return gates (M, n, E) and attention weights (M, R, n, K); see `predict_nodes`."""
    a, k = network.shape, source_index.shape[-1]
    gates = torch.empty((a.n_members, len(rows), a.n_experts), device=source_index.device)
    weights = gates.new_empty((a.n_members, len(a.relations), len(rows), k))

    def explain_chunk(part: slice) -> None:
        neighborhood = _slice_neighborhood(network, rows, source_index, part, source_inputs)
        streams = rows.expand_streams(part, a.n_members)
        gates[:, part], weights[:, :, part] = network.explain(
            streams, neighborhood, source_features
        )

    map_row_chunks(explain_chunk, len(rows), gates.device, chunk)
    return gates, weights


def _slice_neighborhood(
    network: SpTGNN,
    rows: NodeTensors,
    source_index: Tensor,
    part: slice,
    source_inputs: Mapping[str, Tensor],
) -> Neighborhood:
    target_inputs = {name: values[part] for name, values in rows.edge_inputs.items()}
    return build_neighborhood(network, target_inputs, source_index[part], source_inputs)


def _take_rows(values: Tensor, index: Tensor) -> Tensor:
    """Return rows (*index, d) of values (n, d)."""
    return values.index_select(0, index.flatten()).view(*index.shape, values.shape[-1])


def _take_by_member(values: Tensor, index: Tensor) -> Tensor:
    """Return rows at indices (M, B) of values (n, width) or (M, n, width)."""
    if values.dim() == 2:
        return values.index_select(0, index.flatten()).view(*index.shape, -1)
    return values[torch.arange(len(values), device=index.device)[:, None], index]
