"""Running a network over many rows in bounded memory: the context once, then any queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .edges import NAMES, differences
from .network import Context, Neighbourhood, SpTGNN

_CHUNK = 1024  # rows at a time: activations of all members then stay near the processor's caches


@dataclass
class Rows:
    """Tensors of some rows, training or query.

    Attributes
    ----------
    streams : dict of str to Tensor of shape (n, width) or (M, n, width)
        The latter where members read differently.
    description : dict of str to Tensor of shape (n, d)
        What edge features are taken from.
    """

    streams: dict[str, Tensor]
    description: dict[str, Tensor]

    def __len__(self) -> int:
        return next(iter(self.streams.values())).shape[-2]

    def to(self, device: torch.device | str) -> Rows:
        """Return the rows on a device."""
        return Rows(
            {name: values.to(device) for name, values in self.streams.items()},
            {name: values.to(device) for name, values in self.description.items()},
        )


def read(
    network: SpTGNN,
    rows: Rows,
    index: Tensor,
    senders: Tensor,
    context: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], Neighbourhood]:
    """Streams and edges of the rows at (M or 1, B) positions with senders (M or 1, B, R, K)."""
    streams = {name: _pick(values, index) for name, values in rows.streams.items()}
    senders = senders.transpose(1, 2).long()  # relations before rows: (M or 1, R, B, K)
    distances = edge_distances(rows, index, senders, context)
    return streams, Neighbourhood(senders, network.edge_scale(distances))


def edge_distances(
    rows: Rows, index: Tensor, senders: Tensor, context: Mapping[str, Tensor]
) -> Tensor:
    """Distances (M or 1, R, B, K, F) to senders (M or 1, R, B, K); NaN is not known."""
    places = senders.clamp(min=0)
    distances = differences(
        {name: values[index][:, None, :, None, :] for name, values in rows.description.items()},
        {name: values[places] for name, values in context.items()},
    )
    return torch.stack([distances[name] for name in NAMES if name in distances], dim=-1)


@torch.no_grad()
def build_context(
    network: SpTGNN, rows: Rows, senders: Tensor, targets: Tensor, chunk: int = _CHUNK
) -> Context:
    """States of the training rows at each layer, and their baseline.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    rows : Rows
        Training rows.
    senders : Tensor of shape (M or 1, n, R, K)
        Their neighbours, never themselves.
    targets : Tensor of shape (n,)
        Standardised targets.
    """
    members = network.architecture.n_members
    parts = list(_parts(len(rows), chunk))
    encoded = [
        network.encode(_for_members({k: _part(v, part) for k, v in rows.streams.items()}, members))
        for part in parts
    ]
    baseline = torch.cat([base for _, base, *_ in encoded], dim=1)
    if not network.architecture.relations:
        return Context([], baseline, targets)
    states = [torch.cat([state for state, *_ in encoded], dim=1)]
    for layer in range(network.architecture.n_layers - 1):
        changed = []
        for part in parts:
            index = torch.arange(part.start, part.stop, device=targets.device)[None]
            _, around = read(network, rows, index, senders[:, part], rows.description)
            around = _spread(around, members)
            changed.append(network.propagate(layer, states[-1][:, part], states[-1], around)[0])
        states.append(torch.cat(changed, dim=1))
    return Context(states, baseline, targets)


@torch.no_grad()
def run(
    network: SpTGNN,
    rows: Rows,
    index: Tensor,
    senders: Tensor,
    context: Context,
    context_description: Mapping[str, Tensor],
    chunk: int = _CHUNK,
) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (M, n) of rows that receive from the context.

    A row's result depends on the row and the context alone, not on the other rows.

    Parameters
    ----------
    network : SpTGNN
        In evaluation mode.
    rows : Rows
    index : Tensor of shape (M or 1, n)
        Which rows; one list for all members or one for each.
    senders : Tensor of shape (M or 1, n, R, K)
    context : Context
    context_description : mapping of str to Tensor
        `Rows.description` of the training rows.
    """
    members = network.architecture.n_members
    means, log_variances = [], []
    for part in _parts(index.shape[1], chunk):
        streams, around = read(network, rows, index[:, part], senders[:, part], context_description)
        output = network(_for_members(streams, members), _spread(around, members), context)
        means.append(output.mean)
        log_variances.append(output.log_variance)
    return torch.cat(means, dim=1), torch.cat(log_variances, dim=1)


@torch.no_grad()
def look(
    network: SpTGNN,
    rows: Rows,
    index: Tensor,
    senders: Tensor,
    context: Context,
    context_description: Mapping[str, Tensor],
    chunk: int = _CHUNK,
) -> tuple[Tensor, Tensor]:
    """Return gates (M, n, E) and attention (M, R, n, K) of rows; arguments are those of `run`."""
    members = network.architecture.n_members
    found = []
    for part in _parts(index.shape[1], chunk):
        streams, around = read(network, rows, index[:, part], senders[:, part], context_description)
        around = _spread(around, members)
        found.append(network.look(_for_members(streams, members), around, context))
    gates, weights = zip(*found, strict=True)
    return torch.cat(gates, dim=1), torch.cat(weights, dim=2)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Rows at (M or 1, B) positions of values (n, width) or (M, n, width)."""
    if values.dim() == 2:
        return values[index]
    return values[torch.arange(len(values), device=index.device)[:, None], index]


def _part(values: Tensor, part: slice) -> Tensor:
    return values[None, part] if values.dim() == 2 else values[:, part]


def _parts(n: int, chunk: int) -> Iterator[slice]:
    return (slice(start, min(start + chunk, n)) for start in range(0, n, chunk))


def _for_members(streams: Mapping[str, Tensor], members: int) -> dict[str, Tensor]:
    return {name: values.expand(members, -1, -1) for name, values in streams.items()}


def _spread(around: Neighbourhood, members: int) -> Neighbourhood:
    return Neighbourhood(*(values.expand(members, *values.shape[1:]) for values in around))
