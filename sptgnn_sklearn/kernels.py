"""Compiled loops over edges for one member and relation, on a processor.

They compute what `aggregation` defines, row by row: the states of a row's senders are read into
the nearest cache once and used from there, and nothing of the size of all edges and units is ever
written. They hold no lock of the interpreter, so that several run at once in threads. Arrays are
C-contiguous and of single precision; letters in shape comments are those of `aggregation`.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import compiled

__all__ = ["backward", "forward"]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@compiled
def _products(states, j, sender, out, k):
    """Write the products of one state with the weights of all heads to out[k], four at a time."""
    n_heads, width = sender.shape
    h = 0
    while h + 4 <= n_heads:
        a = b = c = e = _ZERO
        for d in range(width):
            s = states[j, d]
            a += s * sender[h, d]
            b += s * sender[h + 1, d]
            c += s * sender[h + 2, d]
            e += s * sender[h + 3, d]
        out[k, h], out[k, h + 1], out[k, h + 2], out[k, h + 3] = a, b, c, e
        h += 4
    while h < n_heads:
        a = _ZERO
        for d in range(width):
            a += states[j, d] * sender[h, d]
        out[k, h] = a
        h += 1


@compiled
def _place(x, start, per_unit, n_places):
    """Return the place of a table below x, and how far x is on the way to the next one."""
    position = (x - start) * per_unit
    # Beyond the table the share is below 0 or above 1: its ends go on straight.
    below = min(max(math.floor(position), 0), n_places - 2)
    return below, np.float32(position - np.float32(below))


@compiled
def _kept(keep, b, kept):
    """Write which neighbours of a row are there to the front of `kept`; return how many."""
    n = 0
    for k in range(keep.shape[1]):
        kept[n] = k
        n += keep[b, k]
    return n


@compiled
def _load(carried, j, edges, b, k, load):
    """Write what the edge carries: one, the sender's carried values, the edge's features."""
    n_carried, n_features = carried.shape[1], edges.shape[2]
    load[0] = 1.0
    for p in range(n_carried):
        load[1 + p] = carried[j, p]
    for f in range(n_features):
        load[1 + n_carried + f] = edges[b, k, f]


@compiled
def forward(
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
    n_heads, width = sender.shape
    n_features, n_places = table.shape[0], table.shape[1]
    n_loads, part = sums.shape[2], width // n_heads
    kept = np.empty(n_neighbours + 1, np.int64)
    logits = np.empty((n_neighbours, n_heads), np.float32)
    top = np.empty(n_heads, np.float32)
    total = np.empty(n_heads, np.float32)
    load = np.empty(n_loads, np.float32)
    gathered = np.empty(part, np.float32)
    for b in range(n_rows):
        n_kept = _kept(keep, b, kept)
        for h in range(n_heads):
            top[h] = _ZERO  # the logit of nobody
            for k in range(n_neighbours):
                weights[b, k, h] = _ZERO
            for place in range(n_loads):
                sums[b, h, place] = _ZERO
        for i in range(n_kept):
            k = kept[i]
            _products(states, senders[b, k], sender, logits, i)
            for h in range(n_heads):
                pair = logits[i, h] + query[b, h]
                slopes[b, k, h] = _ONE if pair > 0 else leak
                logits[i, h] = pair * slopes[b, k, h]
            for f in range(n_features):
                below, share = _place(edges[b, k, f], start, per_unit, n_places)
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
            k = kept[i]
            _load(carried, senders[b, k], edges, b, k, load)
            for h in range(n_heads):
                weight = logits[i, h] * total[h]
                weights[b, k, h] = weight
                for place in range(n_loads):
                    sums[b, h, place] += weight * load[place]
        if messages:
            for h in range(n_heads):
                first = h * part
                for d in range(part):
                    gathered[d] = _ZERO
                for i in range(n_kept):
                    j, weight = senders[b, kept[i]], weights[b, kept[i], h]
                    for d in range(part):
                        gathered[d] += weight * states[j, first + d]
                for d in range(part):
                    received[b, first + d] = gathered[d]


@compiled
def backward(
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
    n_heads, width = sender.shape
    n_features, n_places = d_table.shape[0], d_table.shape[1]
    n_loads, part = d_sums.shape[2], width // n_heads
    kept = np.empty(n_neighbours + 1, np.int64)
    change = np.empty((n_neighbours, n_heads), np.float32)
    mean = np.empty(n_heads, np.float32)
    load = np.empty(n_loads, np.float32)
    d_sender[:] = _ZERO
    d_table[:] = _ZERO
    for b in range(n_rows):
        n_kept = _kept(keep, b, kept)
        for h in range(n_heads):
            mean[h] = d_query[b, h] = _ZERO
        for i in range(n_kept):
            k = kept[i]
            j = senders[b, k]
            _load(carried, j, edges, b, k, load)
            for h in range(n_heads):
                found = _ZERO
                for place in range(n_loads):
                    found += d_sums[b, h, place] * load[place]
                if messages:
                    first = h * part
                    for d in range(part):
                        found += d_received[b, first + d] * states[j, first + d]
                change[i, h] = found
                mean[h] += weights[b, k, h] * found
        for i in range(n_kept):
            k = kept[i]
            for h in range(n_heads):
                change[i, h] = weights[b, k, h] * (change[i, h] - mean[h])
            for f in range(n_features):
                below, share = _place(edges[b, k, f], start, per_unit, n_places)
                for h in range(n_heads):
                    above = share * change[i, h]
                    d_table[f, below, h] += change[i, h] - above
                    d_table[f, below + 1, h] += above
            j = senders[b, k]
            for h in range(n_heads):
                through = slopes[b, k, h] * change[i, h]
                d_query[b, h] += through
                for d in range(width):
                    d_sender[h, d] += through * states[j, d]
