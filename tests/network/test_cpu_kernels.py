"""Compiled loops over edges against tensor operations."""

import pytest
import torch
from small_aggregation import B, F, M, N, P, R, aggregation_arguments

from sptgnn_sklearn.network import message_passing
from sptgnn_sklearn.network.message_passing import DistanceLogits, aggregate


def test_compiled_loops_equal_tensor_operations(monkeypatch):
    """Both backends give the same sums and gradients."""
    given = aggregation_arguments(dtype=torch.float32)

    def sums_and_gradients():
        query = given["query"].clone().requires_grad_()
        key = given["key"].clone().requires_grad_()
        values = given["distance_logits"].values.clone().requires_grad_()
        learned = {"query": query, "key": key, "distance_logits": DistanceLogits(values)}
        result = aggregate(**{**given, **learned}, messages=True)
        (result.states.square().sum() + result.sums.square().sum()).backward()
        return [*result, query.grad, key.grad, values.grad]

    compiled = sums_and_gradients()
    monkeypatch.setattr(message_passing, "_backend", lambda like: message_passing._TensorBackend)
    for one, other in zip(compiled, sums_and_gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_neighbors", [1, 5, 7])
def test_any_number_of_neighbors(n_neighbors):
    """Neighbors are summed in groups of five, of which the last may be incomplete."""
    given = aggregation_arguments(dtype=torch.float32)
    shape = (M, R, B, n_neighbors)
    source_index = torch.randint(N, shape, generator=torch.Generator().manual_seed(3))
    given |= {
        "source_index": source_index,
        "edges": torch.zeros(*shape, F),
        "keep": torch.rand(shape, generator=torch.Generator().manual_seed(4)) < 0.7,
    }
    result = aggregate(**given, messages=True)
    weights, _, states, sums = message_passing._TensorBackend.forward(
        given["query"],
        given["key"],
        given["distance_logits"].values,
        message_passing._Constants(
            *(given["source_features"].rows, source_index, given["edges"], given["keep"], P, -1),
            messages=True,
            needs_grad=True,
        ),
    )
    for one, other in zip(result, (weights, states, sums), strict=True):
        torch.testing.assert_close(one, other)


def test_extreme_edge_features_stay_within_the_grid():
    """NaN and huge edge features read no memory beyond the grid and affect their row only."""
    given = aggregation_arguments(dtype=torch.float32)
    given["edges"] = given["edges"].clone()
    given["edges"][0, 0, 0] = torch.nan
    given["edges"][0, 0, 1] = 1e30
    result = aggregate(**given, messages=True)
    assert torch.isnan(result.sums[0, 0, 0]).any()
    assert torch.isfinite(result.sums[0, 0, 2:]).all() and torch.isfinite(result.sums[1]).all()
