"""Random arguments of `aggregate` with a few nodes, and the plain formula as a loop over edges."""

import torch

from sptgnn_sklearn.network.message_passing import DistanceLogits, SourceFeatures, distance_grid

M, R, N, B, K, H, D, P, F = 2, 2, 9, 6, 3, 4, 8, 2, 2


def aggregation_arguments(seed=0, dtype=torch.float64):
    """Return random arguments in which some neighbors are padding."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    source_index = torch.randint(N, (M, R, B, K), generator=generator)
    source_index[:, 0, 0, 1:] = -1
    source_index[:, 1, 1] = -1  # a row without neighbors
    values = normal(M, R, F, len(distance_grid(normal(1))), H).cumsum(3) * 0.1
    return {
        "query": normal(M, R, B, H),
        "key": normal(M, R, D, H),
        "distance_logits": DistanceLogits(values),
        "source_features": SourceFeatures.from_nodes(normal(M, N, D), normal(M, N, P)),
        "source_index": source_index,
        "edges": 2 * normal(M, R, B, K, F),
        "keep": source_index >= 0,
    }


def plain_aggregate(query, key, distance_logits, source_features, source_index, edges, keep):
    """Return weights, states and sums, computed edge by edge."""
    states, extras = source_features.rows[..., :D], source_features.rows[..., D : D + P]
    grid = distance_grid(query)
    weights = torch.zeros(M, R, B, K, H, dtype=query.dtype)
    messages = torch.zeros(M, R, B, D, dtype=query.dtype)
    sums = torch.zeros(M, R, B, H, 1 + P + F, dtype=query.dtype)
    for m in range(M):
        for r in range(R):
            for b in range(B):
                kept = [k for k in range(K) if keep[m, r, b, k]]
                logits = [torch.zeros(H, dtype=query.dtype)]  # the unassigned entry
                for k in kept:
                    pair = query[m, r, b] + states[m, source_index[m, r, b, k]] @ key[m, r]
                    logit = torch.nn.functional.leaky_relu(pair, 0.2)
                    for f in range(F):
                        x = edges[m, r, b, k, f]
                        low = int(torch.searchsorted(grid, x).clamp(1, len(grid) - 1)) - 1
                        share = (x - grid[low]) / (grid[low + 1] - grid[low])
                        two = distance_logits.values[m, r, f, low : low + 2]
                        logit = logit + (1 - share) * two[0] + share * two[1]
                    logits.append(logit)
                softmax = torch.stack(logits).softmax(0)[1:]
                for weight, k in zip(softmax, kept, strict=True):
                    j = source_index[m, r, b, k]
                    weights[m, r, b, k] = weight
                    heads = states[m, j].view(H, -1)
                    messages[m, r, b] += (weight[:, None] * heads).flatten()
                    values = torch.cat([query.new_ones(1), extras[m, j], edges[m, r, b, k]])
                    sums[m, r, b] += weight[:, None] * values[None]
    return weights, messages, sums
