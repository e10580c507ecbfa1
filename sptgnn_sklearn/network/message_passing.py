"""The sums over neighbours that relational attention takes, with little memory traffic.

The plain form makes several arrays with an entry for each member, relation, row, neighbour and
unit of the state, and spends most of its time moving them. Here the derivative is written out, so
that the backward pass gathers again what it would have to keep, and what a distance adds to the
logit is read from a table. On a processor the loops over edges are compiled (`kernels`) and run in
as many threads as torch has; elsewhere, and in double precision, they are a few tensor operations.
`tests/test_aggregation.py` holds both against the plain form.

Letters in shape comments: S slices (members times relations), B rows, K neighbours, H heads, D
width of a state, F edge features, T places of the table, P columns of what is carried.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import cpu_kernels as kernels

__all__ = ["AggregatedMessages", "DistanceLogits", "SourceFeatures", "aggregate", "distance_grid"]

_LEAK = 0.2  # slope of the leaky rectifier below zero
_GRID_REACH = 5.0  # the table goes so far, in standard deviations of the log distance
_GRID_STEPS = 16  # places of the table for each standard deviation


class DistanceLogits(NamedTuple):
    """What distances add to the logits, at evenly spaced places and straight between them."""

    values: Tensor  # (M, R, F, T, H)


class SourceFeatures(NamedTuple):
    """What the rows of a context send in one layer.

    A row's state, what it carries beside, and, where weights no longer change, the products of its
    state with the heads stand side by side, so that a neighbour is one place in memory.
    """

    rows: Tensor  # (M, N, D + P + products + padding), takes no gradient
    n_carried: int = 0  # P
    product: int = -1  # place of the first product (R H); < 0: they are taken edge by edge
    table: DistanceLogits | None = (
        None  # what distances add to the logits, where weights no longer change
    )

    @classmethod
    def from_nodes(cls, states: Tensor, carried: Tensor | None = None) -> SourceFeatures:
        """Put states (M, N, D) and carried values (M, N, P) side by side."""
        parts = [states] if carried is None else [states, carried]
        n_carried = 0 if carried is None else carried.shape[-1]
        return cls(_side_by_side(parts), n_carried)

    @torch.no_grad()
    def with_cached_projections(self, sender: Tensor, table: DistanceLogits) -> SourceFeatures:
        """Add what follows from weights that no longer change.

        Parameters
        ----------
        sender : Tensor of shape (M, R, D, H)
        table : Table
        """
        if _way(self.rows) is not _Compiled:
            return self._replace(table=table)
        width = sender.shape[2]
        known = self.rows[..., : width + self.n_carried]
        heads = sender.permute(0, 2, 1, 3).flatten(2)  # (M, D, R H)
        products = known[..., :width] @ heads
        return self._replace(
            rows=_side_by_side([known, products]), product=known.shape[-1], table=table
        )


def _side_by_side(parts: list[Tensor]) -> Tensor:
    """Join columns (M, N, width); on a processor rows fill cache lines."""
    width = sum(part.shape[-1] for part in parts)
    missing = -width % kernels.CACHE_LINE_FLOATS if _way(parts[0]) is _Compiled else 0
    return torch.cat([*parts, parts[0].new_zeros((*parts[0].shape[:2], missing))], dim=-1)


class AggregatedMessages(NamedTuple):
    """What rows receive in one layer."""

    weights: Tensor  # (M, R, B, K, H), without gradient
    states: Tensor | None  # (M, R, B, D), each head with its own slice of the senders' states
    sums: Tensor  # (M, R, B, H, 1 + P + F): weights; carried values; edge features


def distance_grid(like: Tensor) -> Tensor:
    """Return the places (T,) at which a `Table` has values, in standardised log distances."""
    n = int(2 * _GRID_REACH * _GRID_STEPS) + 1
    return torch.linspace(-_GRID_REACH, _GRID_REACH, n, dtype=like.dtype, device=like.device)


def aggregate(
    query: Tensor,
    sender: Tensor,
    table: DistanceLogits,
    source_features: SourceFeatures,
    source_index: Tensor,
    edges: Tensor,
    keep: Tensor,
    *,
    messages: bool,
) -> AggregatedMessages:
    """Weigh the neighbours of each row and sum up what they send.

    ``logit_ij = LeakyReLU(query_i + states_j sender) + sum_f table_f(edges_ijf)``, a softmax over
    the neighbours j and a "nobody" of logit 0. Edge features beyond the table are extrapolated.

    Parameters
    ----------
    query : Tensor of shape (M, R, B, H)
    sender : Tensor of shape (M, R, D, H)
    table : Table
    sent : Sent
        By the context.
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
    fixed = _Fixed(
        *(source_features.rows, source_index, edges, keep),
        n_carried=source_features.n_carried,
        product=source_features.product,
        messages=messages,
        learning=torch.is_grad_enabled(),
    )
    weights, received, sums = _Aggregate.apply(query, sender, table.values, *fixed)
    return AggregatedMessages(weights, received if messages else None, sums)


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
        *arguments: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        fixed = _Fixed(*arguments)
        weights, slopes, received, sums = _way(query).forward(query, sender, table, fixed)
        ctx.save_for_backward(sender, table, weights, slopes, *fixed[:4])
        ctx.others = fixed[4:]
        ctx.mark_non_differentiable(weights)
        return weights, received, sums

    @staticmethod
    def backward(
        ctx: Any, _: Tensor, d_received: Tensor, d_sums: Tensor
    ) -> tuple[Tensor | None, ...]:
        sender, table, weights, slopes, *tensors = ctx.saved_tensors
        fixed = _Fixed(*tensors, *ctx.others)
        found = _way(weights).backward(sender, table, fixed, weights, slopes, d_received, d_sums)
        return *found, *(None for _ in fixed)


class _Fixed(NamedTuple):
    """What takes no gradient; see `aggregate`."""

    rows: Tensor
    source_index: Tensor
    edges: Tensor
    keep: Tensor
    n_carried: int
    product: int
    messages: bool
    learning: bool  # whether there is a way back


class _Compiled:
    """Edge by edge in compiled loops; a thread works on one member and relation at a time."""

    @staticmethod
    def forward(
        query: Tensor, sender: Tensor, table: Tensor, fixed: _Fixed
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        members, relations, n_rows, n_heads = query.shape
        shape, k, width = (
            (members, relations, n_rows),
            fixed.source_index.shape[-1],
            sender.shape[2],
        )
        n_loads = 1 + fixed.n_carried + fixed.edges.shape[-1]
        weights = query.new_empty((*shape, k, n_heads))
        slopes = weights if fixed.learning else weights[:, :, :0]
        slopes = torch.empty_like(slopes, memory_format=torch.contiguous_format)
        received = query.new_empty((*shape, width if fixed.messages else 0))
        sums = query.new_empty((*shape, n_heads, n_loads))
        learnt = [_array(query), _array(sender.transpose(2, 3)), _array(table)]
        lanes = (0,) * n_heads
        edges, out = (
            _edge_reader(fixed),
            [_array(values) for values in (weights, slopes, received, sums)],
        )

        def work(m: int, r: int) -> None:
            query_, heads, table_ = (values[m, r] for values in learnt)
            kernels.aggregate_forward(
                lanes,
                query_,
                heads,
                fixed.product + r * n_heads if fixed.product >= 0 else -1,
                table_,
                *_TABLE,
                *edges(m, r),
                np.float32(_LEAK),
                fixed.messages,
                *(values[m, r] for values in out),
            )

        _each(work, members, relations)
        return weights, slopes, received, sums

    @staticmethod
    def backward(
        sender: Tensor,
        table: Tensor,
        fixed: _Fixed,
        weights: Tensor,
        slopes: Tensor,
        d_received: Tensor,
        d_sums: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        members, relations, n_rows, _, n_heads = weights.shape
        d_query = weights.new_empty((members, relations, n_rows, n_heads))
        d_sender = torch.empty_like(sender.transpose(2, 3), memory_format=torch.contiguous_format)
        d_table = torch.empty_like(table, memory_format=torch.contiguous_format)
        lanes = (0,) * n_heads
        heads, edges = _array(sender.transpose(2, 3)), _edge_reader(fixed)
        given = [_array(values) for values in (weights, slopes, d_received, d_sums)]
        out = [_array(values) for values in (d_query, d_sender, d_table)]

        def work(m: int, r: int) -> None:
            kernels.aggregate_backward(
                lanes,
                heads[m, r],
                *_TABLE,
                *edges(m, r),
                fixed.messages,
                *(values[m, r] for values in given),
                *(values[m, r] for values in out),
            )

        _each(work, members, relations)
        return d_query, d_sender.transpose(2, 3), d_table


def _array(values: Tensor) -> np.ndarray:
    return values.detach().contiguous().numpy()


def _edge_reader(fixed: _Fixed) -> Callable[[int, int], tuple[np.ndarray, ...]]:
    """Context and edges of one member and relation, in the order in which kernels take them."""
    source_features = fixed.rows.contiguous().numpy()
    # What all members share is one array that each of them reads; it is not copied for each.
    each = [values.numpy() for values in (fixed.source_index, fixed.edges, fixed.keep)]

    def edges_of(m: int, r: int) -> tuple[np.ndarray, ...]:
        lists = (np.ascontiguousarray(values[m, r]) for values in each)
        return source_features[m], *lists

    return edges_of


def _each(work: Callable[[int, int], None], members: int, relations: int) -> None:
    """Call for all members and relations; each writes to places of its own."""
    threads = min(torch.get_num_threads(), members * relations)
    if threads < 2:
        for m, r in product(range(members), range(relations)):
            work(m, r)
        return
    # Threads are made anew: those of a pool that is kept would be missing after a fork.
    with ThreadPoolExecutor(threads) as pool:
        for future in [
            pool.submit(work, m, r) for m, r in product(range(members), range(relations))
        ]:
            future.result()


class _Tensors:
    """All members and relations at once, in tensor operations.

    Letters in shape comments: S slices, members times relations.
    """

    @staticmethod
    def forward(
        query: Tensor, sender: Tensor, table: Tensor, fixed: _Fixed
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        members, relations, n_rows, n_heads = query.shape
        source_features, loads, places, shares = _Tensors._read(fixed, sender, table)
        key = source_features.flatten(2, 3) @ sender
        pair = query.unsqueeze(3) + key.unflatten(2, (n_rows, -1))  # (M, R, B, K, H)
        logits = F.leaky_relu(pair, _LEAK)
        logits = logits + _Tensors._look_up(table, places, shares).view_as(logits)
        logits = logits.masked_fill(~fixed.keep.unsqueeze(-1), -torch.inf)
        nobody = torch.zeros_like(logits[..., :1, :])
        weights = torch.cat([logits, nobody], dim=3).softmax(3)[..., :-1, :].contiguous()
        sums = weights.transpose(3, 4) @ loads
        received = source_features.new_empty((members, relations, n_rows, 0))
        if fixed.messages:
            heads = source_features.unflatten(-1, (n_heads, -1))  # (M, R, B, K, H, D / H)
            received = (weights.unsqueeze(-1) * heads).sum(3).flatten(3)
        return weights, torch.where(pair > 0, 1.0, _LEAK), received, sums

    @staticmethod
    def backward(
        sender: Tensor,
        table: Tensor,
        fixed: _Fixed,
        weights: Tensor,
        slopes: Tensor,
        d_received: Tensor,
        d_sums: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_heads = weights.shape[-1]
        source_features, loads, places, shares = _Tensors._read(fixed, sender, table)
        change = loads @ d_sums.transpose(3, 4)  # (M, R, B, K, H)
        if fixed.messages:
            heads = source_features.unflatten(-1, (n_heads, -1))
            change = change + (heads * d_received.unflatten(-1, (n_heads, -1)).unsqueeze(3)).sum(-1)
        change = weights * (change - (weights * change).sum(3, keepdim=True))
        d_table = _Tensors._look_up_backward(table, places, shares, change)
        change = change * slopes
        d_sender = source_features.flatten(2, 3).transpose(2, 3) @ change.flatten(2, 3)
        return change.sum(3), d_sender, d_table

    @staticmethod
    def _read(
        fixed: _Fixed, sender: Tensor, table: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States (M, R, B, K, D) and loads of senders; places and shares (S B K, 2 F)."""
        index, x, width = fixed.source_index.clamp(min=0), fixed.edges, sender.shape[2]
        found = _Tensors._gather(fixed.rows, index)
        source_features, carried = found[..., :width], found[..., width : width + fixed.n_carried]
        loads = torch.cat([torch.ones_like(x[..., :1]), carried, x], dim=-1)
        n_features, n_places = table.shape[2:4]
        position = (x + _GRID_REACH) * _GRID_STEPS
        below = position.floor().clamp(0, n_places - 2)
        share = position - below  # below 0 or above 1 beyond the table: its ends go on straight
        first = n_places * torch.arange(table[..., 0, 0].numel(), device=x.device)
        first = first.view(*table.shape[:2], 1, 1, n_features)
        low = (below.long() + first).flatten(0, 3)
        share = share.flatten(0, 3)
        places = torch.cat([low, low + 1], dim=-1)
        return source_features, loads, places, torch.cat([1 - share, share], dim=-1)

    @staticmethod
    def _gather(values: Tensor, index: Tensor) -> Tensor:
        """Rows (M, R, B, K, width) of values (M, N, width)."""
        members, n, width = values.shape
        offset = n * torch.arange(members, device=index.device).view(-1, 1, 1, 1)
        found = values.reshape(members * n, width).index_select(0, (index + offset).flatten())
        return found.view(*index.shape, width)

    @staticmethod
    def _look_up(table: Tensor, places: Tensor, shares: Tensor) -> Tensor:
        """Sum of all features' tables for each edge, (S B K, H)."""
        flat = table.reshape(-1, table.shape[-1])
        return F.embedding_bag(places, flat, per_sample_weights=shares, mode="sum")

    @staticmethod
    def _look_up_backward(
        table: Tensor, places: Tensor, shares: Tensor, d_logits: Tensor
    ) -> Tensor:
        n_heads = table.shape[-1]
        source = (d_logits.reshape(-1, 1, n_heads) * shares.unsqueeze(-1)).flatten(0, 1)
        found = table.new_zeros((table[..., 0].numel(), n_heads))
        return found.index_add_(0, places.flatten(), source).view_as(table)


_TABLE = (np.float32(-_GRID_REACH), np.float32(_GRID_STEPS))


def _way(like: Tensor) -> type[_Compiled] | type[_Tensors]:
    """Choose how edges are worked through."""
    compiled = like.device.type == "cpu" and like.dtype == torch.float32
    return _Compiled if compiled else _Tensors
