"""Running a network over many rows in bounded memory: the context once, then any queries."""

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
    """Tensors of some rows, training or query.

    Attributes
    ----------
    streams : dict of str to Tensor of shape (n, width) or (M, n, width)
        The latter where members read differently.
    description : dict of str to Tensor of shape (n, d)
        What edge features are taken from.
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
        """Return the rows at some positions (m,)."""
        return NodeTensors(
            {name: values.index_select(-2, index) for name, values in self.streams.items()},
            {name: values.index_select(0, index) for name, values in self.edge_inputs.items()},
        )

    def streams_at(self, index: Tensor) -> dict[str, Tensor]:
        """Streams (M, B, width) of each member's rows at (M, B) positions."""
        return {name: _pick(values, index) for name, values in self.streams.items()}

    def streams_of(self, part: slice, members: int) -> dict[str, Tensor]:
        """Streams (M, B, width) of the rows of a slice, the same ones for all members."""
        return {
            name: values[..., part, :].expand(members, -1, -1)
            for name, values in self.streams.items()
        }


def gather_edge_distances(
    target_nodes: Mapping[str, Tensor], source_index: Tensor, context: Mapping[str, Tensor]
) -> Tensor:
    """Distances (B, R, K, F) of rows to their senders; NaN is not known.

    Parameters
    ----------
    receivers : mapping of str to Tensor of shape (B, d)
        `Rows.description` of the rows.
    senders : Tensor of shape (B, R, K)
        Positions in the context; nobody counts as the first.
    context : mapping of str to Tensor of shape (N, d)
        `Rows.description` of the context.
    """
    places = source_index.clamp(min=0).long()
    distances = pairwise_edge_distances(
        {name: values[:, None, None, :] for name, values in target_nodes.items()},
        {name: _at(values, places) for name, values in context.items()},
    )
    return torch.stack([distances[name] for name in EDGE_FEATURES if name in distances], dim=-1)


def build_neighborhood(
    network: SpTGNN,
    target_nodes: Mapping[str, Tensor],
    source_index: Tensor,
    context: Mapping[str, Tensor],
) -> Neighborhood:
    """Neighbourhood of rows that send to all members alike; arguments as in `edge_distances`."""
    members = network.shape.n_members
    edges = network.edge_scale(gather_edge_distances(target_nodes, source_index, context))
    neighborhood = (
        source_index.transpose(0, 1).long(),
        edges.transpose(0, 1),
    )  # relations before rows
    return Neighborhood(*(values.expand(members, *values.shape) for values in neighborhood))


def build_context(
    network: SpTGNN,
    rows: NodeTensors,
    neighborhood: Callable[[slice], Neighborhood],
    targets: Tensor,
    chunk: int | None = None,
) -> SourceNodes:
    """States of the training rows at each layer, and their baseline.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    rows : Rows
        Training rows.
    around : function of a slice of rows
        Their neighbours, never themselves; asked for if there is more than one layer.
    targets : Tensor of shape (n,)
        Standardised targets.
    """
    a = network.shape
    state = targets.new_empty((a.n_members, len(rows), a.hidden_size))
    baseline = targets.new_empty((a.n_members, len(rows)))

    def encode(part: slice) -> None:
        encoded = network.encode(rows.streams_of(part, a.n_members))
        state[:, part], baseline[:, part] = encoded.state, encoded.baseline

    def propagate(part: slice) -> None:
        above[:, part] = network.propagate(
            layer, states[-1][:, part], source_features, neighborhood(part)
        )[0]

    map_row_chunks(encode, len(rows), targets.device, chunk)
    states = [state]
    for layer in range(a.n_layers - 1 if a.relations else 0):
        source_features, above = (
            network.cache_projections(layer, SourceFeatures.from_nodes(states[-1])),
            torch.empty_like(state),
        )
        map_row_chunks(propagate, len(rows), targets.device, chunk)
        states.append(above)
    return SourceNodes(states, baseline, targets)


def predict_nodes(
    network: SpTGNN,
    rows: NodeTensors,
    source_index: Tensor,
    source_features: Sequence[SourceFeatures],
    context: Mapping[str, Tensor],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (M, n) of rows that receive from the context.

    A row's result depends on the row and the context alone, not on the other rows.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    rows : Rows
    senders : Tensor of shape (n, R, K)
    sent : sequence of Sent
        By the context, in each layer.
    context : mapping of str to Tensor
        `Rows.description` of the context.
    """
    members = network.shape.n_members
    mean = torch.empty((members, len(rows)), device=source_index.device)
    log_variance = torch.empty_like(mean)

    def work(part: slice) -> None:
        neighborhood = _neighborhood(network, rows, source_index, part, context)
        output = network(rows.streams_of(part, members), neighborhood, source_features)
        mean[:, part], log_variance[:, part] = output.mean, output.log_variance

    map_row_chunks(work, len(rows), mean.device, chunk)
    return mean, log_variance


def predict_encoded(
    network: SpTGNN,
    context: SourceNodes,
    source_features: Sequence[SourceFeatures],
    index: Tensor,
    neighborhood: Callable[[slice], Neighborhood],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (M, n) of rows of the context, whose states are known.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    context : Context
    sent : sequence of Sent
        By the context, in each layer.
    index : Tensor of shape (M, n)
        Each member's rows.
    around : function of a slice of the index
        Their neighbours.
    """
    mean = context.targets.new_empty(index.shape)
    log_variance = torch.empty_like(mean)

    def work(part: slice) -> None:
        at = index[:, part]
        state = context.states[0].gather(1, at.unsqueeze(-1).expand(-1, -1, network.width))
        found = network.attend(
            state, context.baseline.gather(1, at), neighborhood(part), source_features
        )
        mean[:, part], log_variance[:, part] = found

    map_row_chunks(work, index.shape[1], mean.device, chunk)
    return mean, log_variance


def explain_nodes(
    network: SpTGNN,
    rows: NodeTensors,
    source_index: Tensor,
    source_features: Sequence[SourceFeatures],
    context: Mapping[str, Tensor],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return gates (M, n, E) and attention (M, R, n, K) of rows; arguments are those of `run`."""
    a, k = network.shape, source_index.shape[-1]
    gates = torch.empty((a.n_members, len(rows), a.n_experts), device=source_index.device)
    weights = gates.new_empty((a.n_members, len(a.relations), len(rows), k))

    def work(part: slice) -> None:
        neighborhood = _neighborhood(network, rows, source_index, part, context)
        streams = rows.streams_of(part, a.n_members)
        gates[:, part], weights[:, :, part] = network.explain(
            streams, neighborhood, source_features
        )

    map_row_chunks(work, len(rows), gates.device, chunk)
    return gates, weights


def _neighborhood(
    network: SpTGNN,
    rows: NodeTensors,
    source_index: Tensor,
    part: slice,
    context: Mapping[str, Tensor],
) -> Neighborhood:
    target_nodes = {name: values[part] for name, values in rows.edge_inputs.items()}
    return build_neighborhood(network, target_nodes, source_index[part], context)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """Rows (*places, d) of values (n, d)."""
    return values.index_select(0, places.flatten()).view(*places.shape, values.shape[-1])


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Rows at (M, B) positions of values (n, width) or (M, n, width)."""
    if values.dim() == 2:
        return values.index_select(0, index.flatten()).view(*index.shape, -1)
    return values[torch.arange(len(values), device=index.device)[:, None], index]
