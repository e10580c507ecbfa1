"""Compiled loops over edges for one member and relation, on a processor.

They compute what `aggregation` defines, row by row: what a row's senders send is copied side by
side first, and that of the next row is asked for meanwhile, so that the processor waits for memory
as little as it can; all that follows reads the nearest cache, and nothing of the size of all edges
and units is ever written. They hold no lock of the interpreter, so that several run at once in
threads. Arrays are C-contiguous and of single precision; letters in shape comments are those of
`aggregation`.

`lanes` is a tuple with an entry for each head. Its length is part of its type, so that the compiler
knows the number of heads and works on all of them at once.
"""

from __future__ import annotations

import math

import numpy as np

from ..utils.jit import compiled, prefetch

__all__ = ["CACHE_LINE_FLOATS", "aggregate_backward", "aggregate_forward"]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
CACHE_LINE_FLOATS = 16  # numbers of a cache line
_GROUP = 5  # neighbours that are summed up at a time


@compiled
def _prefetch_rows(source_features, source_index, b):
    """Ask for what the senders of a row send, which is worked on next."""
    if b < len(source_index):
        for k in range(source_index.shape[1]):
            j = max(source_index[b, k], 0)
            for place in range(0, source_features.shape[1], CACHE_LINE_FLOATS):
                prefetch(source_features, j, place)


@compiled
def _gather(source_features, source_index, edges, keep, b, kept, near, load, n_carried):
    """Copy the states of a row's neighbours and what its edges carry; return how many there are.

    An edge carries one, the sender's carried values, and its own features.
    """
    width, n_features = near.shape[1], edges.shape[2]
    n = 0
    for k in range(keep.shape[1]):
        if keep[b, k]:
            kept[n] = k
            n += 1
    for i in range(n):
        j = source_index[b, kept[i]]
        for d in range(width):
            near[i, d] = source_features[j, d]
        for p in range(n_carried):
            load[i, 1 + p] = source_features[j, width + p]
    for i in range(n):
        load[i, 0] = _ONE
        for f in range(n_features):
            load[i, 1 + n_carried + f] = edges[b, kept[i], f]
    return n


@compiled
def _fill_up(n, values):
    """Make the rows of the last group that are beyond the first n zero; return the end of it."""
    end = n
    while end % _GROUP:
        for h in range(values.shape[1]):
            values[end, h] = _ZERO
        end += 1
    return end


@compiled
def _add_group(out, shares, values, i, h, first, last):
    """Add the shares of a head of the values of a group, which starts at i, between two columns."""
    a, b, c = shares[i, h], shares[i + 1, h], shares[i + 2, h]
    e, f = shares[i + 3, h], shares[i + 4, h]
    for d in range(first, last):
        out[d] += (
            a * values[i, d]
            + b * values[i + 1, d]
            + c * values[i + 2, d]
            + e * values[i + 3, d]
            + f * values[i + 4, d]
        )


@compiled
def _products(lanes, near, i, sender, out):
    """Write the products of one state with the weights of all heads, four heads at a time."""
    n_heads, width = len(lanes), sender.shape[1]
    h = 0
    while h + 4 <= n_heads:
        a = b = c = e = _ZERO
        for d in range(width):
            s = near[i, d]
            a += s * sender[h, d]
            b += s * sender[h + 1, d]
            c += s * sender[h + 2, d]
            e += s * sender[h + 3, d]
        out[i, h], out[i, h + 1], out[i, h + 2], out[i, h + 3] = a, b, c, e
        h += 4
    while h < n_heads:
        a = _ZERO
        for d in range(width):
            a += near[i, d] * sender[h, d]
        out[i, h] = a
        h += 1


@compiled
def _grid_position(x, start, per_unit, n_places):
    """Return the place of a table below x, and how far x is on the way to the next one."""
    position = (x - start) * per_unit
    # Beyond the table the share is below 0 or above 1: its ends go on straight.
    below = np.int32(min(max(position, _ZERO), np.float32(n_places - 2)))
    below = min(max(below, np.int32(0)), np.int32(n_places - 2))  # what is no number is no place
    return below, position - np.float32(below)


@compiled
def aggregate_forward(
    lanes,
    query,  # (B, H)
    sender,  # (H, D)
    product,  # where in a row of what is sent its products with the heads are; < 0: not there
    table,  # (F, T, H)
    start,  # of the table, and its places for each unit
    per_unit,
    source_features,  # (N, D + P + ...)
    source_index,  # (B, K)
    edges,  # (B, K, F)
    keep,  # (B, K)
    leak,
    messages,
    weights,  # out: (B, K, H)
    slopes,  # out: (B, K, H), of the leaky rectifier, or none
    received,  # out: (B, D) with messages
    sums,  # out: (B, H, 1 + P + F)
):
    """Weigh the neighbours of each row, and sum up what they send."""
    n_rows, n_neighbors = source_index.shape
    n_heads, width = len(lanes), sender.shape[1]
    n_features, n_places = table.shape[0], table.shape[1]
    n_loads, part = sums.shape[2], width // n_heads
    first_feature = n_loads - n_features
    places, learning = n_neighbors + _GROUP - 1, len(slopes) > 0
    kept = np.empty(n_neighbors, np.int64)
    near = np.zeros((places, width), np.float32)
    load = np.zeros((places, n_loads), np.float32)
    logits = np.empty((places, n_heads), np.float32)
    top = np.empty(n_heads, np.float32)
    total = np.empty(n_heads, np.float32)
    _prefetch_rows(source_features, source_index, 0)
    for b in range(n_rows):
        _prefetch_rows(source_features, source_index, b + 1)
        n_kept = _gather(
            source_features, source_index, edges, keep, b, kept, near, load, first_feature - 1
        )
        for h in range(n_heads):
            top[h] = _ZERO  # the logit of nobody
        weights[b] = _ZERO
        for i in range(n_kept):
            k = kept[i]
            if product < 0:
                _products(lanes, near, i, sender, logits)
            else:
                j = source_index[b, k]
                for h in range(n_heads):
                    logits[i, h] = source_features[j, product + h]
            for h in range(n_heads):
                pair = logits[i, h] + query[b, h]
                slope = _ONE if pair > 0 else leak
                logits[i, h] = pair * slope
                if learning:
                    slopes[b, k, h] = slope
            for f in range(n_features):
                below, share = _grid_position(load[i, first_feature + f], start, per_unit, n_places)
                for h in range(n_heads):
                    low = table[f, below, h]
                    logits[i, h] += low + share * (table[f, below + 1, h] - low)
            for h in range(n_heads):
                top[h] = max(top[h], logits[i, h])
        for h in range(n_heads):
            total[h] = math.exp(-top[h])
        for i in range(n_kept):
            for h in range(n_heads):
                logits[i, h] = math.exp(logits[i, h] - top[h])
                total[h] += logits[i, h]
        for h in range(n_heads):
            total[h] = _ONE / total[h]
        for i in range(n_kept):
            for h in range(n_heads):
                logits[i, h] *= total[h]
                weights[b, kept[i], h] = logits[i, h]
        end = _fill_up(n_kept, logits)
        sums[b] = _ZERO
        received[b] = _ZERO
        for i in range(0, end, _GROUP):
            for h in range(n_heads):
                _add_group(sums[b, h], logits, load, i, h, 0, n_loads)
                if messages:
                    _add_group(received[b], logits, near, i, h, h * part, h * part + part)


@compiled
def aggregate_backward(
    lanes,
    sender,  # (H, D)
    start,
    per_unit,
    source_features,  # (N, D + P + ...)
    source_index,  # (B, K)
    edges,  # (B, K, F)
    keep,  # (B, K)
    messages,
    weights,  # (B, K, H)
    slopes,  # (B, K, H)
    d_received,  # (B, D) with messages
    d_sums,  # (B, H, 1 + P + F)
    d_query,  # out: (B, H)
    d_sender,  # out: (H, D)
    d_table,  # out: (F, T, H)
):
    """Return the derivatives by what is learnt, from those by what was received."""
    n_rows, n_neighbors = source_index.shape
    n_heads, width = len(lanes), sender.shape[1]
    n_features, n_places = d_table.shape[0], d_table.shape[1]
    n_loads, part = d_sums.shape[2], width // n_heads
    first_feature = n_loads - n_features
    places = n_neighbors + _GROUP - 1
    kept = np.empty(n_neighbors, np.int64)
    near = np.zeros((places, width), np.float32)
    load = np.empty((places, n_loads), np.float32)
    change = np.empty((places, n_heads), np.float32)
    mean = np.empty(n_heads, np.float32)
    d_sender[:] = _ZERO
    d_table[:] = _ZERO
    _prefetch_rows(source_features, source_index, 0)
    for b in range(n_rows):
        _prefetch_rows(source_features, source_index, b + 1)
        n_kept = _gather(
            source_features, source_index, edges, keep, b, kept, near, load, first_feature - 1
        )
        for h in range(n_heads):
            mean[h] = d_query[b, h] = _ZERO
        for i in range(n_kept):
            for h in range(n_heads):
                found = _ZERO
                for place in range(n_loads):
                    found += d_sums[b, h, place] * load[i, place]
                if messages:
                    first = h * part
                    for d in range(first, first + part):
                        found += d_received[b, d] * near[i, d]
                change[i, h] = found
                mean[h] += weights[b, kept[i], h] * found
        for i in range(n_kept):
            k = kept[i]
            for h in range(n_heads):
                change[i, h] = weights[b, k, h] * (change[i, h] - mean[h])
            for f in range(n_features):
                below, share = _grid_position(load[i, first_feature + f], start, per_unit, n_places)
                for h in range(n_heads):
                    above = share * change[i, h]
                    d_table[f, below, h] += change[i, h] - above
                    d_table[f, below + 1, h] += above
            for h in range(n_heads):
                change[i, h] *= slopes[b, k, h]
                d_query[b, h] += change[i, h]
        end = _fill_up(n_kept, change)
        for i in range(0, end, _GROUP):
            for h in range(n_heads):
                _add_group(d_sender[h], change, near, i, h, 0, width)
