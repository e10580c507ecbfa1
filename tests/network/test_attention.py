"""Relational attention against a dense computation, and the scale of edge features."""

import pytest
import torch
from small_network import (
    K,
    N,
    encode_context,
    neighborhood,
    network_shape,
    random_graph,
    random_network,
)

from sptgnn_sklearn.network.attention import EdgeScale, RelationalGraphAttention
from sptgnn_sklearn.network.config import Neighborhood
from sptgnn_sklearn.network.message_passing import SourceFeatures


def test_attention_equals_a_dense_computation():
    """Weights over neighbor lists equal a masked softmax over all pairs in each relation."""
    attention = RelationalGraphAttention(network_shape()).requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    state = torch.randn(2, N, 8, generator=generator)
    _, lists, _ = random_graph()
    source_index = lists.transpose(0, 1).expand(2, -1, -1, -1)
    edges = torch.randn(2, 2, N, K, 2, generator=generator)
    spread = torch.tensor([0.7, 1.3])
    source_features = SourceFeatures.from_nodes(state)
    weights = attention(
        state, source_features, Neighborhood(source_index, edges), spread, source_index >= 0
    ).weights

    gap = 5.0 / 7
    centers = torch.linspace(-2.5, 2.5, 8)
    query = state @ attention.query.weight + attention.query.bias  # (M, B, R H)
    for m in range(2):
        for r in range(2):
            for i in range(N):
                for h in range(4):
                    dense = torch.full((N,), -torch.inf)
                    for k in range(K):
                        j = int(source_index[m, r, i, k])
                        if j < 0:
                            continue
                        pair = query[m, i, 4 * r + h] + state[m, j] @ attention.key[m, r, :, h]
                        x = edges[m, r, i, k]
                        bases = torch.exp(-(((x[:, None] - centers) / gap) ** 2)).flatten()
                        slope = [0.0, 0.5, 1.0, 2.0][h] + 8.0 * attention.slope_change[m, r, h]
                        dense[j] = (
                            torch.nn.functional.leaky_relu(pair, 0.2)
                            + bases @ attention.bases[m, r, :, h]
                            + attention.bias[m, r, h]
                            - slope * x[r] * spread[r]
                        )
                    expected = torch.cat([dense, torch.zeros(1)]).softmax(0)
                    for k in range(K):
                        j = int(source_index[m, r, i, k])
                        wanted = float(expected[j]) if j >= 0 else 0.0
                        # The tolerance covers the interpolation on the distance grid.
                        assert weights[m, r, i, k, h].item() == pytest.approx(wanted, abs=2e-3)


def test_attention_may_stay_unassigned():
    """Weights sum to less than one, and to zero in a row without neighbors."""
    network = random_network()
    rows, source_index, targets = random_graph()
    source_index = source_index.clone()
    source_index[1] = -1
    state = encode_context(network, rows, source_index, targets).states[0]
    all_rows = neighborhood(network, rows, source_index)(slice(0, N))
    _, messages = network.propagate(0, state, SourceFeatures.from_nodes(state), all_rows)
    total = messages.weights.sum(3)
    assert (total < 1).all()
    assert (total[:, :, 1] == 0).all()


def test_each_head_aggregates_its_slice_of_the_states():
    """Messages equal a loop over heads."""
    network = random_network()
    rows, source_index, targets = random_graph()
    state = encode_context(network, rows, source_index, targets).states[0]
    all_rows = neighborhood(network, rows, source_index)(slice(0, N))
    updated, messages = network.propagate(0, state, SourceFeatures.from_nodes(state), all_rows)
    member = torch.arange(2)[:, None, None, None]
    neighbors = state[member, all_rows.source_index.clamp(min=0)]
    expected = torch.zeros(2, N, 2, 8)
    for h in range(4):
        part = slice(2 * h, 2 * h + 2)
        weighted = messages.weights[..., h, None] * neighbors[..., part]
        expected[..., part] = weighted.sum(3).transpose(1, 2)
    expected = state + network.message_projection[0](expected.flatten(2))
    torch.testing.assert_close(updated, expected)


def test_edge_scale_is_finite_for_coincident_rows():
    """Zero distances have finite logarithms, and the training edges are standardized."""
    scale = EdgeScale(2)
    distances = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 100
    distances[:50] = 0
    distances[:, 1] = 0
    scale.fit(distances)
    logs = scale(distances)
    assert torch.isfinite(logs).all()
    assert float(logs[:, 0].mean()) == pytest.approx(0, abs=1e-4)
    assert float(logs[:, 0].std()) == pytest.approx(1, abs=1e-3)


def test_missing_distances_become_the_mean():
    """NaN does not change the scale, and is mapped to 0."""
    known = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) + 0.1
    gaps = torch.cat([known, torch.stack([known[:50, 0], torch.full((50,), torch.nan)], 1)])
    scale, without_gaps = EdgeScale(2), EdgeScale(2)
    scale.fit(gaps)
    without_gaps.fit(known)
    for name in ("floor", "center", "spread"):
        torch.testing.assert_close(getattr(scale, name)[1], getattr(without_gaps, name)[1])
    scaled = scale(gaps)
    assert scaled.isfinite().all()
    assert (scaled[200:, 1] == 0).all()
    all_missing = EdgeScale(2)
    all_missing.fit(torch.full((10, 2), torch.nan))
    assert (all_missing(torch.full((3, 2), torch.nan)) == 0).all()
