"""Sums over neighbours against the plain formula, and their derivatives against differences."""

import pytest
import torch

from sptgnn_sklearn.network import message_passing as aggregation
from sptgnn_sklearn.network.message_passing import (
    DistanceLogits,
    SourceFeatures,
    aggregate,
    distance_grid,
)

M, R, N, B, K, H, D, P, F = 2, 2, 9, 6, 3, 4, 8, 2, 2


def inputs(seed=0, dtype=torch.float64):
    """Random arguments of `aggregate`, with some neighbours missing."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    source_index = torch.randint(N, (M, R, B, K), generator=generator)
    source_index[:, 0, 0, 1:] = -1
    source_index[:, 1, 1] = -1  # a row without any neighbour
    values = normal(M, R, F, len(distance_grid(normal(1))), H).cumsum(3) * 0.1
    return {
        "query": normal(M, R, B, H),
        "sender": normal(M, R, D, H),
        "table": DistanceLogits(values),
        "sent": SourceFeatures.from_nodes(normal(M, N, D), normal(M, N, P)),
        "source_index": source_index,
        "edges": 2 * normal(M, R, B, K, F),
        "keep": source_index >= 0,
    }


def plain(query, sender, table, source_features, source_index, edges, keep):
    """The same formula edge by edge; nothing but indexing and sums."""
    states, carried = source_features.rows[..., :D], source_features.rows[..., D : D + P]
    places = distance_grid(query)
    weights = torch.zeros(M, R, B, K, H, dtype=query.dtype)
    received = torch.zeros(M, R, B, D, dtype=query.dtype)
    sums = torch.zeros(M, R, B, H, 1 + P + F, dtype=query.dtype)
    for m in range(M):
        for r in range(R):
            for b in range(B):
                there = [k for k in range(K) if keep[m, r, b, k]]
                logits = [torch.zeros(H, dtype=query.dtype)]  # nobody
                for k in there:
                    pair = query[m, r, b] + states[m, source_index[m, r, b, k]] @ sender[m, r]
                    logit = torch.nn.functional.leaky_relu(pair, 0.2)
                    for f in range(F):
                        x = edges[m, r, b, k, f]
                        low = int(torch.searchsorted(places, x).clamp(1, len(places) - 1)) - 1
                        share = (x - places[low]) / (places[low + 1] - places[low])
                        two = table.values[m, r, f, low : low + 2]
                        logit = logit + (1 - share) * two[0] + share * two[1]
                    logits.append(logit)
                found = torch.stack(logits).softmax(0)[1:]
                for weight, k in zip(found, there, strict=True):
                    j = source_index[m, r, b, k]
                    weights[m, r, b, k] = weight
                    heads = states[m, j].view(H, -1)
                    received[m, r, b] += (weight[:, None] * heads).flatten()
                    load = torch.cat([query.new_ones(1), carried[m, j], edges[m, r, b, k]])
                    sums[m, r, b] += weight[:, None] * load[None]
    return weights, received, sums


def test_sums_equal_the_plain_formula():
    """Weights, states and sums are those of a loop over edges."""
    given = inputs()
    fast = aggregate(**given, messages=True)
    slow = plain(**given)
    for found, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(found, expected)
    assert (fast.sums[:, 1, 1] == 0).all()


@pytest.mark.parametrize("learnt", ["query", "sender", "table"])
def test_derivatives_equal_those_of_the_plain_formula(learnt):
    """The derivative that is written out is that of the formula."""
    given = inputs(seed=1)
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(v.shape, generator=generator).double() for v in plain(**given)[1:]]

    def slope(function, **options):
        value = given[learnt].values if learnt == "table" else given[learnt]
        value = value.clone().requires_grad_()
        changed = {learnt: DistanceLogits(value) if learnt == "table" else value}
        _, received, sums = function(**{**given, **changed}, **options)
        total = (received * directions[0]).sum() + (sums * directions[1]).sum()
        return torch.autograd.grad(total, value)[0]

    torch.testing.assert_close(slope(aggregate, messages=True), slope(plain))


def test_without_messages_only_loads_are_summed():
    """Switching messages off changes neither weights nor sums, and gives no states."""
    given = inputs()
    bare, full = aggregate(**given, messages=False), aggregate(**given, messages=True)
    assert bare.states is None
    torch.testing.assert_close(bare.sums, full.sums)
    torch.testing.assert_close(bare.weights, full.weights)


def test_nothing_carried_leaves_trust_and_edges():
    """Without loads the sums are the weights and the mean edge features."""
    given = inputs()
    given["sent"] = SourceFeatures.from_nodes(given["sent"].rows[..., :D])
    found = aggregate(**given, messages=True)
    assert found.sums.shape[-1] == 1 + F
    torch.testing.assert_close(found.sums[..., 0], found.weights.sum(3))


def test_compiled_loops_equal_tensor_operations(monkeypatch):
    """What a processor does edge by edge is what a GPU does at once, derivatives included."""
    given = inputs(dtype=torch.float32)

    def run():
        query = given["query"].clone().requires_grad_()
        sender = given["sender"].clone().requires_grad_()
        values = given["table"].values.clone().requires_grad_()
        learnt = {"query": query, "sender": sender, "table": DistanceLogits(values)}
        found = aggregate(**{**given, **learnt}, messages=True)
        (found.states.square().sum() + found.sums.square().sum()).backward()
        return [*found, query.grad, sender.grad, values.grad]

    compiled = run()
    monkeypatch.setattr(aggregation, "_way", lambda like: aggregation._Tensors)
    for one, other in zip(compiled, run(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_a_bit(threads):
    """Each thread writes to places of its own, so their number is nothing to the result."""
    given = inputs(dtype=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = aggregate(**given, messages=True)
        torch.set_num_threads(threads)
        together = aggregate(**given, messages=True)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_that_are_known_change_nothing(dtype):
    """Products with weights that stay are taken for each sender, and not for each edge."""
    given = inputs(dtype=dtype)
    cached = given["sent"].with_cached_projections(given["sender"], given["table"])
    assert cached.table is given["table"]
    learning = aggregate(**given, messages=True)
    with torch.no_grad():
        bare = aggregate(**given, messages=True)
        known = aggregate(**{**given, "sent": cached}, messages=True)
    for one, two, three in zip(learning, bare, known, strict=True):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(one, three)


@pytest.mark.parametrize("neighbors", [1, 5, 7])
def test_sums_of_any_number_of_neighbours(neighbors):
    """Neighbours are summed up in groups, of which the last may not be full."""
    given = inputs(dtype=torch.float32)
    first = torch.randint(N, (M, R, B, neighbors), generator=torch.Generator().manual_seed(3))
    given |= {
        "source_index": first,
        "edges": torch.zeros(M, R, B, neighbors, F),
        "keep": torch.rand(first.shape, generator=torch.Generator().manual_seed(4)) < 0.7,
    }
    found = aggregate(**given, messages=True)
    expected = aggregation._Tensors.forward(
        given["query"],
        given["sender"],
        given["table"].values,
        aggregation._Fixed(
            *(given["sent"].rows, first, given["edges"], given["keep"], P, -1),
            messages=True,
            learning=True,
        ),
    )
    for one, other in zip(found, (expected[0], *expected[2:]), strict=True):
        torch.testing.assert_close(one, other)


def test_a_distance_that_is_no_number_reads_within_the_table():
    """Whatever edges hold, no place beyond the table is read."""
    given = inputs(dtype=torch.float32)
    given["edges"] = given["edges"].clone()
    given["edges"][0, 0, 0] = torch.nan
    given["edges"][0, 0, 1] = 1e30
    found = aggregate(**given, messages=True)
    assert torch.isnan(found.sums[0, 0, 0]).any()
    assert torch.isfinite(found.sums[1]).all()
