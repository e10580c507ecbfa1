"""Compiled CPU loops over the edges of one member and relation.

They compute the sums that `message_passing` defines, row by row: the features of a row's neighbors
are gathered into a contiguous buffer first, so that all further reads hit the nearest cache and no
array over all edges and state units is written. The loops release the interpreter lock and run in
threads. Arrays are C-contiguous and of single precision; letters in shape comments are those of
`message_passing`.

`lanes` is a tuple with one entry per head. Its length is part of its type, so that the number of
heads is known at compile time and loops over heads are unrolled.
"""

from __future__ import annotations

import math

import numpy as np

from ..utils.jit import compiled

__all__ = ["CACHE_LINE_FLOATS", "aggregate_backward", "aggregate_forward"]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
CACHE_LINE_FLOATS = 16  # single-precision numbers in a cache line
_GROUP = 5  # neighbors summed at a time


@compiled
def _gather_neighbors(source_features, source_index, edges, keep, b, kept, neighbors, values):
    """Copy the states and values of a row's neighbors to buffers; return their number.

    The values of an edge are 1, the extra columns of the source node and the edge features.
    """
    width, n_features = neighbors.shape[1], edges.shape[2]
    n_extras = values.shape[1] - 1 - n_features
    n = 0
    for k in range(keep.shape[1]):
        if keep[b, k]:
            kept[n] = k
            n += 1
    for i in range(n):
        j = source_index[b, kept[i]]
        for d in range(width):
            neighbors[i, d] = source_features[j, d]
        for p in range(n_extras):
            values[i, 1 + p] = source_features[j, width + p]
    for i in range(n):
        values[i, 0] = _ONE
        for f in range(n_features):
            values[i, 1 + n_extras + f] = edges[b, kept[i], f]
    return n


@compiled
def _pad_group(n, values):
    """Set the rows after the first n to zero up to a whole group; return its end."""
    end = n
    while end % _GROUP:
        for h in range(values.shape[1]):
            values[end, h] = _ZERO
        end += 1
    return end


@compiled
def _add_weighted_group(out, weights, values, i, h, first, last):
    """Add columns first to last - 1 of the group that starts at i, weighted for one head."""
    a, b, c = weights[i, h], weights[i + 1, h], weights[i + 2, h]
    e, f = weights[i + 3, h], weights[i + 4, h]
    for d in range(first, last):
        out[d] += (
            a * values[i, d]
            + b * values[i + 1, d]
            + c * values[i + 2, d]
            + e * values[i + 3, d]
            + f * values[i + 4, d]
        )


@compiled
def _project(lanes, neighbors, i, key, out):
    """Write the projections of one state by the key weights, four heads at a time."""
    n_heads, width = len(lanes), key.shape[1]
    h = 0
    while h + 4 <= n_heads:
        a = b = c = e = _ZERO
        for d in range(width):
            s = neighbors[i, d]
            a += s * key[h, d]
            b += s * key[h + 1, d]
            c += s * key[h + 2, d]
            e += s * key[h + 3, d]
        out[i, h], out[i, h + 1], out[i, h + 2], out[i, h + 3] = a, b, c, e
        h += 4
    while h < n_heads:
        a = _ZERO
        for d in range(width):
            a += neighbors[i, d] * key[h, d]
        out[i, h] = a
        h += 1


@compiled
def _grid_position(x, grid_start, steps_per_unit, n_points):
    """Return the grid point below x, and the share of the way to the next one."""
    position = (x - grid_start) * steps_per_unit
    # Beyond the grid the share is below 0 or above 1: linear extrapolation.
    below = np.int32(min(max(position, _ZERO), np.float32(n_points - 2)))
    below = min(max(below, np.int32(0)), np.int32(n_points - 2))  # NaN casts to any integer
    return below, position - np.float32(below)


@compiled
def aggregate_forward(
    lanes,
    query,  # (B, H)
    key,  # (H, D)
    projection_start,  # column of the cached projections in the source features; < 0: none
    grid_logits,  # (F, T, H)
    grid_start,
    steps_per_unit,
    source_features,  # (N, D + P + ...)
    source_index,  # (B, K)
    edges,  # (B, K, F)
    keep,  # (B, K)
    leaky_slope,
    messages,
    weights,  # out: (B, K, H)
    slopes,  # out: (B, K, H), of the leaky ReLU; empty without gradient
    states,  # out: (B, D) with messages
    sums,  # out: (B, H, 1 + P + F)
):
    """Compute attention weights and weighted sums over the neighbors of each row."""
    n_rows, n_neighbors = source_index.shape
    n_heads, width = len(lanes), key.shape[1]
    n_features, n_points = grid_logits.shape[0], grid_logits.shape[1]
    n_values, head_width = sums.shape[2], width // n_heads
    first_feature = n_values - n_features
    n_buffer, needs_grad = n_neighbors + _GROUP - 1, len(slopes) > 0
    kept = np.empty(n_neighbors, np.int64)
    neighbors = np.zeros((n_buffer, width), np.float32)
    values = np.zeros((n_buffer, n_values), np.float32)
    logits = np.empty((n_buffer, n_heads), np.float32)
    max_logit = np.empty(n_heads, np.float32)
    total = np.empty(n_heads, np.float32)
    for b in range(n_rows):
        n_kept = _gather_neighbors(
            source_features, source_index, edges, keep, b, kept, neighbors, values
        )
        for h in range(n_heads):
            max_logit[h] = _ZERO  # the unassigned entry
        weights[b] = _ZERO
        for i in range(n_kept):
            k = kept[i]
            if projection_start < 0:
                _project(lanes, neighbors, i, key, logits)
            else:
                j = source_index[b, k]
                for h in range(n_heads):
                    logits[i, h] = source_features[j, projection_start + h]
            for h in range(n_heads):
                pair = logits[i, h] + query[b, h]
                slope = _ONE if pair > 0 else leaky_slope
                logits[i, h] = pair * slope
                if needs_grad:
                    slopes[b, k, h] = slope
            for f in range(n_features):
                below, share = _grid_position(
                    values[i, first_feature + f], grid_start, steps_per_unit, n_points
                )
                for h in range(n_heads):
                    low = grid_logits[f, below, h]
                    logits[i, h] += low + share * (grid_logits[f, below + 1, h] - low)
            for h in range(n_heads):
                max_logit[h] = max(max_logit[h], logits[i, h])
        for h in range(n_heads):
            total[h] = math.exp(-max_logit[h])
        for i in range(n_kept):
            for h in range(n_heads):
                logits[i, h] = math.exp(logits[i, h] - max_logit[h])
                total[h] += logits[i, h]
        for h in range(n_heads):
            total[h] = _ONE / total[h]
        for i in range(n_kept):
            for h in range(n_heads):
                logits[i, h] *= total[h]
                weights[b, kept[i], h] = logits[i, h]
        end = _pad_group(n_kept, logits)
        sums[b] = _ZERO
        states[b] = _ZERO
        for i in range(0, end, _GROUP):
            for h in range(n_heads):
                _add_weighted_group(sums[b, h], logits, values, i, h, 0, n_values)
                if messages:
                    first = h * head_width
                    last = first + head_width
                    _add_weighted_group(states[b], logits, neighbors, i, h, first, last)


@compiled
def aggregate_backward(
    lanes,
    key,  # (H, D)
    grid_start,
    steps_per_unit,
    source_features,  # (N, D + P + ...)
    source_index,  # (B, K)
    edges,  # (B, K, F)
    keep,  # (B, K)
    messages,
    weights,  # (B, K, H)
    slopes,  # (B, K, H)
    d_states,  # (B, D) with messages
    d_sums,  # (B, H, 1 + P + F)
    d_query,  # out: (B, H)
    d_key,  # out: (H, D)
    d_grid_logits,  # out: (F, T, H)
):
    """Write the gradients of query, key and grid logits."""
    n_rows, n_neighbors = source_index.shape
    n_heads, width = len(lanes), key.shape[1]
    n_features, n_points = d_grid_logits.shape[0], d_grid_logits.shape[1]
    n_values, head_width = d_sums.shape[2], width // n_heads
    first_feature = n_values - n_features
    n_buffer = n_neighbors + _GROUP - 1
    kept = np.empty(n_neighbors, np.int64)
    neighbors = np.zeros((n_buffer, width), np.float32)
    values = np.empty((n_buffer, n_values), np.float32)
    d_logits = np.empty((n_buffer, n_heads), np.float32)
    mean = np.empty(n_heads, np.float32)
    d_key[:] = _ZERO
    d_grid_logits[:] = _ZERO
    for b in range(n_rows):
        n_kept = _gather_neighbors(
            source_features, source_index, edges, keep, b, kept, neighbors, values
        )
        for h in range(n_heads):
            mean[h] = d_query[b, h] = _ZERO
        for i in range(n_kept):
            for h in range(n_heads):
                d_weight = _ZERO
                for column in range(n_values):
                    d_weight += d_sums[b, h, column] * values[i, column]
                if messages:
                    first = h * head_width
                    for d in range(first, first + head_width):
                        d_weight += d_states[b, d] * neighbors[i, d]
                d_logits[i, h] = d_weight
                mean[h] += weights[b, kept[i], h] * d_weight
        for i in range(n_kept):
            k = kept[i]
            for h in range(n_heads):
                d_logits[i, h] = weights[b, k, h] * (d_logits[i, h] - mean[h])
            for f in range(n_features):
                below, share = _grid_position(
                    values[i, first_feature + f], grid_start, steps_per_unit, n_points
                )
                for h in range(n_heads):
                    above = share * d_logits[i, h]
                    d_grid_logits[f, below, h] += d_logits[i, h] - above
                    d_grid_logits[f, below + 1, h] += above
            for h in range(n_heads):
                d_logits[i, h] *= slopes[b, k, h]
                d_query[b, h] += d_logits[i, h]
        end = _pad_group(n_kept, d_logits)
        for i in range(0, end, _GROUP):
            for h in range(n_heads):
                _add_weighted_group(d_key[h], d_logits, neighbors, i, h, 0, width)
