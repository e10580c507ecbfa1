"""The sums over neighbours that relational attention takes, with little memory traffic.

The plain form makes several arrays with an entry for each member, relation, row, neighbour and
unit of the state, and spends most of its time moving them. Here one member and relation is worked
through at a time, so that what is between gathering states and their weighted sum stays near the
processor, and the backward pass gathers again what it would have to keep. What a distance adds to
the logit is read from a table. `tests/test_aggregation.py` holds this against the plain form.

Letters in shape comments: S slices (members times relations), B rows, K neighbours, H heads, D
width of a state, F edge features, T places of the table, P columns of what is carried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Received", "Table", "aggregate", "table_places"]

_LEAK = 0.2  # slope of the leaky rectifier below zero
_REACH = 5.0  # the table goes so far, in standard deviations of the log distance
_STEPS = 16  # places of the table for each standard deviation


class Table(NamedTuple):
    """What distances add to the logits, at evenly spaced places and straight between them."""

    values: Tensor  # (M, R, F, T, H)


class Received(NamedTuple):
    """What rows receive in one layer."""

    weights: Tensor  # (M, R, B, K, H), without gradient
    states: Tensor | None  # (M, R, B, D), each head with its own slice of the senders' states
    sums: Tensor  # (M, R, B, H, 1 + P + F): weights; carried values; edge features


def table_places(like: Tensor) -> Tensor:
    """Return the places (T,) at which a `Table` has values, in standardised log distances."""
    n = int(2 * _REACH * _STEPS) + 1
    return torch.linspace(-_REACH, _REACH, n, dtype=like.dtype, device=like.device)


def aggregate(
    query: Tensor,
    sender: Tensor,
    table: Table,
    states: Tensor,
    carried: Tensor | None,
    senders: Tensor,
    edges: Tensor,
    keep: Tensor,
    *,
    messages: bool,
) -> Received:
    """Weigh the neighbours of each row and sum up what they send.

    ``logit_ij = LeakyReLU(query_i + states_j sender) + sum_f table_f(edges_ijf)``, a softmax over
    the neighbours j and a "nobody" of logit 0. Edge features beyond the table are extrapolated.

    Parameters
    ----------
    query : Tensor of shape (M, R, B, H)
    sender : Tensor of shape (M, R, D, H)
    table : Table
    states : Tensor of shape (M, N, D)
        Of the context; takes no gradient.
    carried : Tensor of shape (M, N, P) or None
        What context rows carry beside their state; takes no gradient.
    senders : Tensor of shape (M, R, B, K)
        Positions in the context; those below zero count as zero, and should not be kept.
    edges : Tensor of shape (M, R, B, K, F)
        Standardised log distances; take no gradient.
    keep : Tensor of shape (M, R, B, K), bool
        Neighbours that are there.
    messages : bool
        Whether states are summed up too.

    Returns
    -------
    Received
    """
    weights, received, sums = _Aggregate.apply(
        query, sender, table.values, states, carried, senders, edges, keep, messages
    )
    return Received(weights, received if messages else None, sums)


class _Slice(NamedTuple):
    """What one or several members and relations read, without what the network learns."""

    sent: Tensor  # (S, B, K, D)
    loads: Tensor  # (S, B, K, 1 + P + F)
    places: Tensor  # (S, B K, 2 F), rows of the slice's tables laid end to end
    shares: Tensor  # (S, B K, 2 F), how much each place counts


class _Aggregate(torch.autograd.Function):
    """`aggregate` with its derivative written out.

    With weights w, their derivatives g, and "nobody" whose load is zero, the derivative of the
    logits is ``w (g - sum_k w_k g_k)``; all else follows by the chain rule.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        sender: Tensor,
        table: Tensor,
        states: Tensor,
        carried: Tensor | None,
        senders: Tensor,
        edges: Tensor,
        keep: Tensor,
        messages: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        members, relations, n_rows, n_heads = query.shape
        k, width = senders.shape[-1], states.shape[-1]
        n_loads = 1 + (0 if carried is None else carried.shape[-1]) + edges.shape[-1]
        shape = (members, relations, n_rows)
        weights = query.new_empty((*shape, k, n_heads))
        received = query.new_empty((*shape, width) if messages else (0,))
        sums = query.new_empty((*shape, n_heads, n_loads))
        positive = torch.empty((*shape, k, n_heads), dtype=torch.bool, device=query.device)
        for at in _slices(query):
            part = _read(at, states, carried, senders, edges, table)
            key = part.sent.flatten(1, 2) @ sender[at].flatten(0, -3)
            logits = query[at].flatten(0, -3).unsqueeze(2) + key.unflatten(1, (n_rows, k))
            positive[at] = (logits > 0).view_as(positive[at])
            logits = F.leaky_relu(logits, _LEAK, inplace=True)
            logits += _look_up(table[at], part).view_as(logits)
            logits.masked_fill_(~keep[at].flatten(0, -3).unsqueeze(-1), -torch.inf)
            w = _softmax_with_nobody(logits)  # (S, B, K, H)
            weights[at] = w.view_as(weights[at])
            sums[at] = (w.transpose(2, 3) @ part.loads).view_as(sums[at])
            if messages:
                heads = part.sent.unflatten(-1, (n_heads, -1))  # (S, B, K, H, D / H)
                received[at] = (w.unsqueeze(-1) * heads).sum(2).view_as(received[at])
        ctx.save_for_backward(
            sender, table, states, carried, senders, edges, weights, positive
        )
        ctx.messages = messages
        ctx.mark_non_differentiable(weights)
        return weights, received, sums

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, _: Tensor, d_received: Tensor, d_sums: Tensor
    ) -> tuple[Tensor | None, ...]:
        sender, table, states, carried, senders, edges, weights, positive = ctx.saved_tensors
        n_rows, k, n_heads = weights.shape[2:]
        d_query = weights.new_empty((*weights.shape[:3], n_heads))
        d_sender, d_table = torch.empty_like(sender), torch.empty_like(table)
        for at in _slices(d_query):
            part = _read(at, states, carried, senders, edges, table)
            w = weights[at].flatten(0, -4)
            g = part.loads @ d_sums[at].flatten(0, -4).transpose(2, 3)  # (S, B, K, H)
            if ctx.messages:
                heads = part.sent.unflatten(-1, (n_heads, -1))
                up = d_received[at].flatten(0, -3).unflatten(-1, (n_heads, -1))
                g += (heads * up.unsqueeze(2)).sum(-1)
            g -= (w * g).sum(2, keepdim=True)
            g *= w
            d_table[at] = _look_up_backward(table[at], part, g).view_as(d_table[at])
            g *= torch.where(positive[at].view_as(g), 1.0, _LEAK)
            d_query[at] = g.sum(2).view_as(d_query[at])
            by_head = g.flatten(1, 2).transpose(1, 2).contiguous()  # (S, H, B K)
            d_sender[at] = (by_head @ part.sent.flatten(1, 2)).transpose(1, 2).view_as(d_sender[at])
        return d_query, d_sender, d_table, None, None, None, None, None, None


def _slices(like: Tensor) -> Iterator[Any]:
    """Index single (member, relation) pairs on a processor; on a GPU, which has room, all."""
    if like.device.type != "cpu":
        yield ...
        return
    for member in range(like.shape[0]):
        for relation in range(like.shape[1]):
            yield slice(member, member + 1), slice(relation, relation + 1)


def _read(
    at: Any,
    states: Tensor,
    carried: Tensor | None,
    senders: Tensor,
    edges: Tensor,
    table: Tensor,
) -> _Slice:
    index = senders[at].clamp(min=0)
    x = edges[at].flatten(0, 1)  # (S, B, K, F)
    loads = [torch.ones_like(x[..., :1])]
    if carried is not None:
        loads.append(_gather(at, carried, index))
    places, shares = _places(x, table.shape[-2])
    return _Slice(
        sent=_gather(at, states, index),
        loads=torch.cat([*loads, x], dim=-1),
        places=places,
        shares=shares,
    )


def _gather(at: Any, values: Tensor, index: Tensor) -> Tensor:
    """Rows (S, B, K, width) of values (M, N, width) for the members of an index (m, r, B, K)."""
    if at is not ...:  # one member
        found = values[at[0]].squeeze(0).index_select(0, index.flatten())
    else:
        members, n, width = values.shape
        offset = n * torch.arange(members, device=index.device).view(-1, 1, 1, 1)
        found = values.reshape(members * n, width).index_select(0, (index + offset).flatten())
    return found.view(-1, *index.shape[-2:], values.shape[-1])


def _places(x: Tensor, n_places: int) -> tuple[Tensor, Tensor]:
    """Places (S, B K, 2 F) of the tables on either side of x (S, B, K, F), and their shares."""
    n_slices, n_features = x.shape[0], x.shape[-1]
    position = ((x + _REACH) * _STEPS).reshape(n_slices, -1, n_features)
    below = position.floor().clamp_(0, n_places - 2)
    share = position - below  # below 0 or above 1 beyond the table: its ends go on straight
    feature = torch.arange(n_features, device=x.device) * n_places
    low = below.long() + feature
    return torch.cat([low, low + 1], dim=-1), torch.cat([1 - share, share], dim=-1)


def _look_up(table: Tensor, part: _Slice) -> Tensor:
    """Sum of all features' tables (.., F, T, H) for each edge, (S, B K, H)."""
    flat = table.flatten(-3, -2).flatten(0, -3)  # (S, F T, H)
    n_slices, n_places, n_heads = flat.shape
    places = part.places
    if n_slices > 1:
        places = places + n_places * torch.arange(n_slices, device=places.device).view(-1, 1, 1)
    return F.embedding_bag(
        places.flatten(0, 1),
        flat.reshape(-1, n_heads),
        per_sample_weights=part.shares.flatten(0, 1),
        mode="sum",
    )


def _look_up_backward(table: Tensor, part: _Slice, d_logits: Tensor) -> Tensor:
    """Derivative of the tables, (S, F T, H) turned to the shape of the table."""
    n_slices, n_heads = d_logits.shape[0], d_logits.shape[-1]
    d_edges = d_logits.flatten(1, 2).transpose(1, 2)  # (S, H, B K)
    source = (d_edges.unsqueeze(-1) * part.shares.unsqueeze(1)).flatten(2)  # (S, H, B K 2 F)
    found = d_logits.new_zeros((n_slices, n_heads, table.shape[-3] * table.shape[-2]))
    found.scatter_add_(2, part.places.flatten(1).unsqueeze(1).expand(-1, n_heads, -1), source)
    return found.transpose(1, 2)


def _softmax_with_nobody(logits: Tensor) -> Tensor:
    """Softmax over K of (S, B, K, H) beside a logit of zero, in place."""
    top = logits.amax(2, keepdim=True).clamp_(min=0)
    logits.sub_(top).exp_()
    return logits.div_(logits.sum(2, keepdim=True) + (-top).exp_())
