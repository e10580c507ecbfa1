"""Weighted sums over neighbors for relational attention, with a hand-written backward pass.

The plain form of these sums writes arrays over members, relations, rows, neighbors and state units,
and spends most of its time on memory traffic. Here the backward pass gathers the neighbors again
instead of keeping them, and the logits of distances are interpolated on a grid. On a CPU the loops
over edges are compiled (`cpu_kernels`) and run in torch's number of threads; on other devices, and
in double precision, the same sums are tensor operations.

Letters in shape comments: M members, N source nodes, R relations, B rows, K neighbors, H heads, D
width of a state, F edge features, T grid points, P extra columns.
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

_LEAKY_SLOPE = 0.2  # of the leaky ReLU
_GRID_LIMIT = 5.0  # last grid point, in standard deviations of the log distance
_GRID_STEPS = 16  # grid steps for each standard deviation


class DistanceLogits(NamedTuple):
    """Logits of edge features on the distance grid, interpolated linearly between grid points."""

    values: Tensor  # (M, R, F, T, H)


class SourceFeatures(NamedTuple):
    """Features of the source nodes in one attention layer.

    The state of a node, its extra columns and, for fixed weights, the projections of its state by
    the key weights are adjacent in memory, so that a neighbor is read from one location.
    """

    rows: Tensor  # (M, N, D + P + projections + padding), without gradient
    n_extras: int = 0  # P
    projection_start: int = -1  # first column of the projections (R H); < 0: computed by edge
    distance_logits: DistanceLogits | None = None  # for fixed weights

    @classmethod
    def from_nodes(cls, states: Tensor, extras: Tensor | None = None) -> SourceFeatures:
        """Concatenate states (M, N, D) and extra columns (M, N, P)."""
        parts = [states] if extras is None else [states, extras]
        n_extras = 0 if extras is None else extras.shape[-1]
        return cls(_concatenate_columns(parts), n_extras)

    @torch.no_grad()
    def with_cached_projections(
        self, key: Tensor, distance_logits: DistanceLogits
    ) -> SourceFeatures:
        """Add the projections of the states, for fixed weights.

        Parameters
        ----------
        key : Tensor of shape (M, R, D, H)
        distance_logits : DistanceLogits
        """
        if _backend(self.rows) is not _CompiledBackend:
            return self._replace(distance_logits=distance_logits)
        width = key.shape[2]
        features = self.rows[..., : width + self.n_extras]
        heads = key.permute(0, 2, 1, 3).flatten(2)  # (M, D, R H)
        projections = features[..., :width] @ heads
        return self._replace(
            rows=_concatenate_columns([features, projections]),
            projection_start=features.shape[-1],
            distance_logits=distance_logits,
        )


def _concatenate_columns(parts: list[Tensor]) -> Tensor:
    """Concatenate columns (M, N, width), padded on a CPU to whole cache lines."""
    width = sum(part.shape[-1] for part in parts)
    compiled = _backend(parts[0]) is _CompiledBackend
    n_padding = -width % kernels.CACHE_LINE_FLOATS if compiled else 0
    return torch.cat([*parts, parts[0].new_zeros((*parts[0].shape[:2], n_padding))], dim=-1)


class AggregatedMessages(NamedTuple):
    """Sums over the neighbors of each row in one attention layer."""

    weights: Tensor  # (M, R, B, K, H), attention weights without gradient
    states: Tensor | None  # (M, R, B, D), each head with its own slice of the source states
    sums: Tensor  # (M, R, B, H, 1 + P + F): of ones, extra columns and edge features


def distance_grid(like: Tensor) -> Tensor:
    """Return the grid points (T,) of `DistanceLogits`, in standardized log distances."""
    n = int(2 * _GRID_LIMIT * _GRID_STEPS) + 1
    return torch.linspace(-_GRID_LIMIT, _GRID_LIMIT, n, dtype=like.dtype, device=like.device)


def aggregate(
    query: Tensor,
    key: Tensor,
    distance_logits: DistanceLogits,
    source_features: SourceFeatures,
    source_index: Tensor,
    edges: Tensor,
    keep: Tensor,
    *,
    messages: bool,
) -> AggregatedMessages:
    """Compute attention weights and the weighted sums over the neighbors of each row.

    ``logit_ij = LeakyReLU(query_i + states_j key) + sum_f distance_logits_f(edges_ijf)``, with a
    softmax over the neighbors j and one unassigned entry of logit 0. Edge features beyond the grid
    are extrapolated.

    Parameters
    ----------
    query : Tensor of shape (M, R, B, H)
    key : Tensor of shape (M, R, D, H)
    distance_logits : DistanceLogits
    source_features : SourceFeatures
    source_index : Tensor of shape (M, R, B, K)
        Indices of source nodes; negative ones are read as 0 and must not be kept.
    edges : Tensor of shape (M, R, B, K, F)
        Standardized log distances, without gradient.
    keep : Tensor of shape (M, R, B, K), bool
        False for padding and dropped neighbors.
    messages : bool
        Whether to aggregate the states, too.

    Returns
    -------
    AggregatedMessages
    """
    constants = _Constants(
        *(source_features.rows, source_index, edges, keep),
        n_extras=source_features.n_extras,
        projection_start=source_features.projection_start,
        messages=messages,
        needs_grad=torch.is_grad_enabled(),
    )
    weights, states, sums = _Aggregate.apply(query, key, distance_logits.values, *constants)
    return AggregatedMessages(weights, states if messages else None, sums)


class _Aggregate(torch.autograd.Function):
    """`aggregate` with its derivative.

    With weights w and their derivatives g, where the unassigned entry has g = 0, the derivative of
    the logits is ``w (g - sum_k w_k g_k)``; the rest is the chain rule.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        grid_logits: Tensor,
        *arguments: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        constants = _Constants(*arguments)
        forward = _backend(query).forward
        weights, slopes, states, sums = forward(query, key, grid_logits, constants)
        ctx.save_for_backward(key, grid_logits, weights, slopes, *constants[:4])
        ctx.options = constants[4:]
        ctx.mark_non_differentiable(weights)
        return weights, states, sums

    @staticmethod
    def backward(
        ctx: Any, _: Tensor, d_states: Tensor, d_sums: Tensor
    ) -> tuple[Tensor | None, ...]:
        key, grid_logits, weights, slopes, *tensors = ctx.saved_tensors
        constants = _Constants(*tensors, *ctx.options)
        backward = _backend(weights).backward
        gradients = backward(key, grid_logits, constants, weights, slopes, d_states, d_sums)
        return *gradients, *(None for _ in constants)


class _Constants(NamedTuple):
    """Arguments without gradient; see `aggregate`."""

    rows: Tensor
    source_index: Tensor
    edges: Tensor
    keep: Tensor
    n_extras: int
    projection_start: int
    messages: bool
    needs_grad: bool


# 2.8 times as fast as the tensor backend forward and 3.1 times with the backward pass (one thread,
# 5 members, 3 relations, 256 rows, 10 neighbors).
class _CompiledBackend:
    """Compiled loops over edges; each thread computes one member and relation at a time."""

    @staticmethod
    def forward(
        query: Tensor, key: Tensor, grid_logits: Tensor, constants: _Constants
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        _check_shapes(query, key, grid_logits, constants)
        n_members, n_relations, n_rows, n_heads = query.shape
        shape, k = (n_members, n_relations, n_rows), constants.source_index.shape[-1]
        n_values = 1 + constants.n_extras + constants.edges.shape[-1]
        weights = query.new_empty((*shape, k, n_heads))
        slopes = weights if constants.needs_grad else weights[:, :, :0]
        slopes = torch.empty_like(slopes, memory_format=torch.contiguous_format)
        states = query.new_empty((*shape, key.shape[2] if constants.messages else 0))
        sums = query.new_empty((*shape, n_heads, n_values))
        learned = [_as_numpy(query), _as_numpy(key.transpose(2, 3)), _as_numpy(grid_logits)]
        lanes = (0,) * n_heads
        edges = _edge_reader(constants)
        out = [_as_numpy(values) for values in (weights, slopes, states, sums)]
        first = constants.projection_start

        def run_kernel(m: int, r: int) -> None:
            query_, heads, grid_logits_ = (values[m, r] for values in learned)
            kernels.aggregate_forward(
                lanes,
                query_,
                heads,
                first + r * n_heads if first >= 0 else -1,
                grid_logits_,
                *_GRID,
                *edges(m, r),
                np.float32(_LEAKY_SLOPE),
                constants.messages,
                *(values[m, r] for values in out),
            )

        _for_each_relation(run_kernel, n_members, n_relations)
        return weights, slopes, states, sums

    @staticmethod
    def backward(
        key: Tensor,
        grid_logits: Tensor,
        constants: _Constants,
        weights: Tensor,
        slopes: Tensor,
        d_states: Tensor,
        d_sums: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_members, n_relations, n_rows, _, n_heads = weights.shape
        d_query = weights.new_empty((n_members, n_relations, n_rows, n_heads))
        d_key = torch.empty_like(key.transpose(2, 3), memory_format=torch.contiguous_format)
        d_grid_logits = torch.empty_like(grid_logits, memory_format=torch.contiguous_format)
        lanes = (0,) * n_heads
        heads, edges = _as_numpy(key.transpose(2, 3)), _edge_reader(constants)
        given = [_as_numpy(values) for values in (weights, slopes, d_states, d_sums)]
        out = [_as_numpy(values) for values in (d_query, d_key, d_grid_logits)]

        def run_kernel(m: int, r: int) -> None:
            kernels.aggregate_backward(
                lanes,
                heads[m, r],
                *_GRID,
                *edges(m, r),
                constants.messages,
                *(values[m, r] for values in given),
                *(values[m, r] for values in out),
            )

        _for_each_relation(run_kernel, n_members, n_relations)
        return d_query, d_key.transpose(2, 3), d_grid_logits


def _check_shapes(query: Tensor, key: Tensor, grid_logits: Tensor, constants: _Constants) -> None:
    """Raise ValueError if arrays do not match, because the kernels do not check bounds."""
    m, r, b, h = query.shape
    k, f, width = constants.source_index.shape[-1], constants.edges.shape[-1], key.shape[2]
    first = constants.projection_start
    used = width + constants.n_extras if first < 0 else first + r * h
    n_members, n_nodes, n_columns = constants.rows.shape
    matching = (
        constants.source_index.shape == constants.keep.shape == (m, r, b, k)
        and constants.edges.shape == (m, r, b, k, f)
        and key.shape == (m, r, width, h)
        and grid_logits.shape == (m, r, f, grid_logits.shape[3], h)
        and grid_logits.shape[3] == round(2 * _GRID_LIMIT * _GRID_STEPS) + 1
        and (n_members == m and n_columns >= used >= width + constants.n_extras)
        and (width % h == 0 or not constants.messages)
    )
    if not matching:
        raise ValueError("Source nodes, edges and attention weights differ in shape.")
    # Index -1 pads short lists.
    index = constants.source_index
    if index.numel() and (int(index.min()) < -1 or int(index.max()) >= n_nodes):
        raise ValueError(f"Neighbor lists have indices beyond the {n_nodes} source nodes.")


def _as_numpy(values: Tensor) -> np.ndarray:
    return values.detach().contiguous().numpy()


def _edge_reader(constants: _Constants) -> Callable[[int, int], tuple[np.ndarray, ...]]:
    """Return a function from member and relation to source features and edges, for the kernels."""
    source_features = constants.rows.contiguous().numpy()
    # Arrays shared by all members are expanded views, which are not copied here.
    lists = [values.numpy() for values in (constants.source_index, constants.edges, constants.keep)]

    def edges_of(m: int, r: int) -> tuple[np.ndarray, ...]:
        return source_features[m], *(np.ascontiguousarray(values[m, r]) for values in lists)

    return edges_of


def _for_each_relation(work: Callable[[int, int], None], n_members: int, n_relations: int) -> None:
    """Call a function for all members and relations, in threads; each call has its own output."""
    n_threads = min(torch.get_num_threads(), n_members * n_relations)
    pairs = product(range(n_members), range(n_relations))
    if n_threads < 2:
        for m, r in pairs:
            work(m, r)
        return
    # A pool is made for each call, because the threads of a lasting pool do not survive a fork.
    with ThreadPoolExecutor(n_threads) as pool:
        for future in [pool.submit(work, m, r) for m, r in pairs]:
            future.result()


class _TensorBackend:
    """Tensor operations over all members and relations at once."""

    @staticmethod
    def forward(
        query: Tensor, key: Tensor, grid_logits: Tensor, constants: _Constants
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        n_members, n_relations, n_rows, n_heads = query.shape
        neighbors, values, points, shares = _TensorBackend._gather_edges(
            constants, key, grid_logits
        )
        projections = neighbors.flatten(2, 3) @ key
        pair = query.unsqueeze(3) + projections.unflatten(2, (n_rows, -1))  # (M, R, B, K, H)
        logits = F.leaky_relu(pair, _LEAKY_SLOPE)
        logits = logits + _TensorBackend._interpolate(grid_logits, points, shares).view_as(logits)
        logits = logits.masked_fill(~constants.keep.unsqueeze(-1), -torch.inf)
        unassigned = torch.zeros_like(logits[..., :1, :])
        weights = torch.cat([logits, unassigned], dim=3).softmax(3)[..., :-1, :].contiguous()
        sums = weights.transpose(3, 4) @ values
        states = neighbors.new_empty((n_members, n_relations, n_rows, 0))
        if constants.messages:
            heads = neighbors.unflatten(-1, (n_heads, -1))  # (M, R, B, K, H, D / H)
            states = (weights.unsqueeze(-1) * heads).sum(3).flatten(3)
        return weights, torch.where(pair > 0, 1.0, _LEAKY_SLOPE), states, sums

    @staticmethod
    def backward(
        key: Tensor,
        grid_logits: Tensor,
        constants: _Constants,
        weights: Tensor,
        slopes: Tensor,
        d_states: Tensor,
        d_sums: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_heads = weights.shape[-1]
        neighbors, values, points, shares = _TensorBackend._gather_edges(
            constants, key, grid_logits
        )
        d_logits = values @ d_sums.transpose(3, 4)  # (M, R, B, K, H)
        if constants.messages:
            heads = neighbors.unflatten(-1, (n_heads, -1))
            d_heads = d_states.unflatten(-1, (n_heads, -1)).unsqueeze(3)
            d_logits = d_logits + (heads * d_heads).sum(-1)
        d_logits = weights * (d_logits - (weights * d_logits).sum(3, keepdim=True))
        d_grid_logits = _TensorBackend._interpolate_backward(grid_logits, points, shares, d_logits)
        d_logits = d_logits * slopes
        d_key = neighbors.flatten(2, 3).transpose(2, 3) @ d_logits.flatten(2, 3)
        return d_logits.sum(3), d_key, d_grid_logits

    @staticmethod
    def _gather_edges(
        constants: _Constants, key: Tensor, grid_logits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return states and values of neighbors, grid points and shares (edges, 2 F)."""
        index, x, width = constants.source_index.clamp(min=0), constants.edges, key.shape[2]
        features = _TensorBackend._gather(constants.rows, index)
        neighbors, extras = features[..., :width], features[..., width : width + constants.n_extras]
        values = torch.cat([torch.ones_like(x[..., :1]), extras, x], dim=-1)
        n_features, n_points = grid_logits.shape[2:4]
        position = (x + _GRID_LIMIT) * _GRID_STEPS
        below = position.floor().clamp(0, n_points - 2)
        share = position - below  # below 0 or above 1 beyond the grid: linear extrapolation
        first = n_points * torch.arange(grid_logits[..., 0, 0].numel(), device=x.device)
        first = first.view(*grid_logits.shape[:2], 1, 1, n_features)
        low = (below.long() + first).flatten(0, 3)
        share = share.flatten(0, 3)
        points = torch.cat([low, low + 1], dim=-1)
        return neighbors, values, points, torch.cat([1 - share, share], dim=-1)

    @staticmethod
    def _gather(values: Tensor, index: Tensor) -> Tensor:
        """Return rows (M, R, B, K, width) of values (M, N, width)."""
        n_members, n, width = values.shape
        offset = n * torch.arange(n_members, device=index.device).view(-1, 1, 1, 1)
        gathered = values.reshape(n_members * n, width).index_select(0, (index + offset).flatten())
        return gathered.view(*index.shape, width)

    @staticmethod
    def _interpolate(grid_logits: Tensor, points: Tensor, shares: Tensor) -> Tensor:
        """Return the sum (edges, H) of the interpolated logits of all edge features."""
        flat = grid_logits.reshape(-1, grid_logits.shape[-1])
        return F.embedding_bag(points, flat, per_sample_weights=shares, mode="sum")

    @staticmethod
    def _interpolate_backward(
        grid_logits: Tensor, points: Tensor, shares: Tensor, d_logits: Tensor
    ) -> Tensor:
        n_heads = grid_logits.shape[-1]
        source = (d_logits.reshape(-1, 1, n_heads) * shares.unsqueeze(-1)).flatten(0, 1)
        gradient = grid_logits.new_zeros((grid_logits[..., 0].numel(), n_heads))
        return gradient.index_add_(0, points.flatten(), source).view_as(grid_logits)


_GRID = (np.float32(-_GRID_LIMIT), np.float32(_GRID_STEPS))


def _backend(like: Tensor) -> type[_CompiledBackend] | type[_TensorBackend]:
    """Return the backend for the device and dtype of a tensor."""
    compiled = like.device.type == "cpu" and like.dtype == torch.float32
    return _CompiledBackend if compiled else _TensorBackend
