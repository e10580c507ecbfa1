"""Compiled loops over edges for one member and relation, on a processor.

They compute what `aggregation` defines, row by row: the states of a row's senders are copied side
by side first, so that the processor waits for memory once for a row and not once for a sender, and
all that follows reads the nearest cache; nothing of the size of all edges and units is ever
written. They hold no lock of the interpreter, so that several run at once in threads. Arrays are
C-contiguous and of single precision; letters in shape comments are those of `aggregation`.

`lanes` is a tuple with an entry for each head. Its length is part of its type, so that the compiler
knows the number of heads and works on all of them at once.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import compiled

__all__ = ["backward", "forward"]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@compiled
def _gather(states, carried, senders, edges, keep, b, kept, near, load):
    """Copy the states of a row's neighbours and what its edges carry; return how many there are.

    An edge carries one, the sender's carried values, and its own features.
    """
    n_carried, n_features = carried.shape[1], edges.shape[2]
    n = 0
    for k in range(keep.shape[1]):
        if keep[b, k]:
            kept[n] = k
            n += 1
    for i in range(n):
        j = senders[b, kept[i]]
        for d in range(states.shape[1]):
            near[i, d] = states[j, d]
        for p in range(n_carried):
            load[i, 1 + p] = carried[j, p]
    for i in range(n):
        load[i, 0] = _ONE
        for f in range(n_features):
            load[i, 1 + n_carried + f] = edges[b, kept[i], f]
    return n


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
def _place(x, start, per_unit, n_places):
    """Return the place of a table below x, and how far x is on the way to the next one."""
    position = (x - start) * per_unit
    # Beyond the table the share is below 0 or above 1: its ends go on straight.
    below = min(max(math.floor(position), 0), n_places - 2)
    return below, np.float32(position - np.float32(below))


@compiled
def forward(
    lanes,
    query,  # (B, H)
    sender,  # (H, D)
    table,  # (F, T, H)
    start,  # of the table, and its places for each unit
    per_unit,
    states,  # (N, D)
    carried,  # (N, P)
    senders,  # (B, K)
    edges,  # (B, K, F)
    keep,  # (B, K)
    leak,
    messages,
    weights,  # out: (B, K, H)
    slopes,  # out: (B, K, H), of the leaky rectifier
    received,  # out: (B, D) with messages
    sums,  # out: (B, H, 1 + P + F)
):
    """Weigh the neighbours of each row, and sum up what they send."""
    n_rows, n_neighbours = senders.shape
    n_heads, width = len(lanes), sender.shape[1]
    n_features, n_places = table.shape[0], table.shape[1]
    n_loads, part = sums.shape[2], width // n_heads
    first_feature = n_loads - n_features
    kept = np.empty(n_neighbours, np.int64)
    near = np.empty((n_neighbours, width), np.float32)
    load = np.empty((n_neighbours, n_loads), np.float32)
    logits = np.empty((n_neighbours, n_heads), np.float32)
    top = np.empty(n_heads, np.float32)
    total = np.empty(n_heads, np.float32)
    gathered = np.empty(width, np.float32)
    for b in range(n_rows):
        n_kept = _gather(states, carried, senders, edges, keep, b, kept, near, load)
        for h in range(n_heads):
            top[h] = _ZERO  # the logit of nobody
        weights[b] = _ZERO
        for i in range(n_kept):
            _products(lanes, near, i, sender, logits)
            k = kept[i]
            for h in range(n_heads):
                pair = logits[i, h] + query[b, h]
                slope = _ONE if pair > 0 else leak
                slopes[b, k, h] = slope
                logits[i, h] = pair * slope
            for f in range(n_features):
                below, share = _place(load[i, first_feature + f], start, per_unit, n_places)
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
        for h in range(n_heads):
            for place in range(n_loads):
                found = _ZERO
                for i in range(n_kept):
                    found += logits[i, h] * load[i, place]
                sums[b, h, place] = found
        if messages:
            for d in range(width):
                gathered[d] = _ZERO
            for i in range(n_kept):
                for h in range(n_heads):
                    weight = logits[i, h]
                    for d in range(h * part, h * part + part):
                        gathered[d] += weight * near[i, d]
            for d in range(width):
                received[b, d] = gathered[d]


@compiled
def backward(
    lanes,
    sender,  # (H, D)
    start,
    per_unit,
    states,  # (N, D)
    carried,  # (N, P)
    senders,  # (B, K)
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
    n_rows, n_neighbours = senders.shape
    n_heads, width = len(lanes), sender.shape[1]
    n_features, n_places = d_table.shape[0], d_table.shape[1]
    n_loads, part = d_sums.shape[2], width // n_heads
    first_feature = n_loads - n_features
    kept = np.empty(n_neighbours, np.int64)
    near = np.empty((n_neighbours, width), np.float32)
    load = np.empty((n_neighbours, n_loads), np.float32)
    change = np.empty((n_neighbours, n_heads), np.float32)
    mean = np.empty(n_heads, np.float32)
    d_sender[:] = _ZERO
    d_table[:] = _ZERO
    for b in range(n_rows):
        n_kept = _gather(states, carried, senders, edges, keep, b, kept, near, load)
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
                below, share = _place(load[i, first_feature + f], start, per_unit, n_places)
                for h in range(n_heads):
                    above = share * change[i, h]
                    d_table[f, below, h] += change[i, h] - above
                    d_table[f, below + 1, h] += above
            for h in range(n_heads):
                change[i, h] *= slopes[b, k, h]
                d_query[b, h] += change[i, h]
        for i in range(n_kept):
            for h in range(n_heads):
                through = change[i, h]
                for d in range(width):
                    d_sender[h, d] += through * near[i, d]
