"""Sums over neighbors and their gradients against the plain formula."""

import pytest
import torch
from small_aggregation import D, F, N, aggregation_arguments, plain_aggregate

from sptgnn_sklearn.network.message_passing import DistanceLogits, SourceFeatures, aggregate


def test_sums_equal_the_plain_formula():
    """Weights, states and sums are those of a loop over edges."""
    given = aggregation_arguments()
    result = aggregate(**given, messages=True)
    for one, other in zip(result, plain_aggregate(**given), strict=True):
        torch.testing.assert_close(one, other)
    assert (result.sums[:, 1, 1] == 0).all()


@pytest.mark.parametrize("learned", ["query", "key", "distance_logits"])
def test_gradients_equal_those_of_the_plain_formula(learned):
    """The hand-written backward pass equals automatic differentiation of the formula."""
    given = aggregation_arguments(seed=1)
    generator = torch.Generator().manual_seed(2)
    plain = plain_aggregate(**given)[1:]
    directions = [torch.randn(v.shape, generator=generator).double() for v in plain]
    wrap = DistanceLogits if learned == "distance_logits" else lambda value: value

    def gradient(function, **options):
        value = given[learned]
        value = value.values if isinstance(value, DistanceLogits) else value
        value = value.clone().requires_grad_()
        _, states, sums = function(**{**given, learned: wrap(value)}, **options)
        total = (states * directions[0]).sum() + (sums * directions[1]).sum()
        return torch.autograd.grad(total, value)[0]

    torch.testing.assert_close(gradient(aggregate, messages=True), gradient(plain_aggregate))


def test_without_messages_no_states_are_aggregated():
    """messages=False returns no states, and the same weights and sums."""
    given = aggregation_arguments()
    without, full = aggregate(**given, messages=False), aggregate(**given, messages=True)
    assert without.states is None
    torch.testing.assert_close(without.sums, full.sums)
    torch.testing.assert_close(without.weights, full.weights)


def test_sums_without_extra_columns():
    """Without extra columns the sums are the attention mass and the mean edge features."""
    given = aggregation_arguments()
    states = given["source_features"].rows[..., :D]
    given["source_features"] = SourceFeatures.from_nodes(states)
    result = aggregate(**given, messages=True)
    assert result.sums.shape[-1] == 1 + F
    torch.testing.assert_close(result.sums[..., 0], result.weights.sum(3))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_results_do_not_depend_on_threads(n_threads):
    """One and two threads give the same bits."""
    given = aggregation_arguments(dtype=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = aggregate(**given, messages=True)
        torch.set_num_threads(n_threads)
        together = aggregate(**given, messages=True)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cached_projections_give_the_same_sums(dtype):
    """Projections cached for each source node equal those computed for each edge."""
    given = aggregation_arguments(dtype=dtype)
    features, logits = given["source_features"], given["distance_logits"]
    cached = features.with_cached_projections(given["key"], logits)
    assert cached.distance_logits is logits
    assert (cached.projection_start >= 0) == (dtype == torch.float32)
    with_gradient = aggregate(**given, messages=True)
    with torch.no_grad():
        without_gradient = aggregate(**given, messages=True)
        from_cache = aggregate(**{**given, "source_features": cached}, messages=True)
    for one, two, three in zip(with_gradient, without_gradient, from_cache, strict=True):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(one, three)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("source_index", lambda index: index + N),
        ("source_index", lambda index: index - 10**9),
        ("key", lambda key: key[:, :, :, :2]),
        ("edges", lambda edges: edges[..., :1]),
        ("keep", lambda keep: keep[..., :1]),
        ("source_features", lambda features: features._replace(projection_start=99)),
        ("source_features", lambda features: features._replace(n_extras=99)),
    ],
    ids=["beyond", "below", "key", "edges", "keep", "projections", "extras"],
)
def test_kernels_get_arrays_that_match(name, change):
    """They do not check bounds."""
    arguments = aggregation_arguments(dtype=torch.float32)
    arguments[name] = change(arguments[name])
    with pytest.raises(ValueError, match=r"differ in shape|source nodes"):
        aggregate(**arguments, messages=True)
