"""The network against plain, slow computations of the same formulas."""

import numpy as np
import pytest
import torch

from sptgnn_sklearn.network.attention import EdgeScale, RelationalGraphAttention
from sptgnn_sklearn.network.config import Neighborhood, NetworkShape, SourceNodes
from sptgnn_sklearn.network.inference import (
    NodeTensors,
    build_context,
    build_neighborhood,
    predict_encoded,
    predict_nodes,
)
from sptgnn_sklearn.network.message_passing import SourceFeatures
from sptgnn_sklearn.network.mixture_of_experts import MixtureOfExperts
from sptgnn_sklearn.network.sptgnn import SpTGNN

N, K = 12, 3


def shape(**changes):
    """A small network with two members and two relations."""
    settings = {
        "streams": {"covariates": 4, "position": 3},
        "relations": ("spatial", "spectral"),
        "edge_features": ("distance", "covariate_distance"),
        "own_feature": (0, 1),
        "n_members": 2,
        "hidden_size": 8,
        "n_heads": 4,
        "n_experts": 3,
    }
    return NetworkShape(**{**settings, **changes})


def random_network(seed=0, **changes):
    """A network in evaluation mode in which every parameter differs from zero."""
    a = shape(**changes)
    network = SpTGNN(a).reset_parameters(
        [torch.Generator().manual_seed(i) for i in range(a.n_members)]
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def graph(relations=2, seed=0):
    """Rows, neighbour lists without the row itself, and targets."""
    rng = np.random.RandomState(seed)
    rows = NodeTensors(
        {
            "covariates": torch.from_numpy(rng.normal(size=(N, 4)).astype(np.float32)),
            "position": torch.from_numpy(rng.normal(size=(N, 3)).astype(np.float32)),
        },
        {
            "distance": torch.from_numpy(rng.normal(size=(N, 2)).astype(np.float32)),
            "covariate_distance": torch.from_numpy(rng.normal(size=(N, 3)).astype(np.float32)),
        },
    )
    source_index = np.full((N, relations, K), -1)
    for i, r in np.ndindex(N, relations):
        source_index[i, r] = rng.choice(np.delete(np.arange(N), i), K, replace=False)
    source_index[0, :1, 1:] = -1  # a row with one neighbour only
    return rows, torch.from_numpy(source_index), torch.from_numpy(rng.normal(size=N)).float()


def neighborhood(network, rows, source_index):
    """The neighbourhood of a slice of rows, as inference asks for it."""

    def neighbors_of(part):
        target_nodes = {name: values[part] for name, values in rows.edge_inputs.items()}
        return build_neighborhood(network, target_nodes, source_index[part], rows.edge_inputs)

    return neighbors_of


def context_of(network, rows, source_index, targets, **options):
    """The context of rows that are each other's neighbours."""
    return build_context(
        network, rows, neighborhood(network, rows, source_index), targets, **options
    )


def test_attention_equals_a_dense_computation():
    """Weights over fixed lists equal a masked softmax over all pairs, relation by relation."""
    a = shape()
    attention = RelationalGraphAttention(a).requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    state = torch.randn(2, N, 8, generator=generator)
    _, lists, _ = graph()
    source_index = lists.transpose(0, 1).expand(2, -1, -1, -1)
    edges = torch.randn(2, 2, N, K, 2, generator=generator)
    spread = torch.tensor([0.7, 1.3])
    neighbourhood = Neighborhood(source_index, edges)
    found = attention(
        state, SourceFeatures.from_nodes(state), neighbourhood, spread, source_index >= 0
    )
    weights = found.weights

    gap = 5.0 / 7
    centers = torch.linspace(-2.5, 2.5, 8)
    for m, r, i, h in np.ndindex(2, 2, N, 4):
        query = state[m, i] @ attention.receiver.weight[m, :, 4 * r + h]
        query = query + attention.receiver.bias[m, 0, 4 * r + h]
        dense = torch.full((N,), -torch.inf)
        for k in range(K):
            j = int(source_index[m, r, i, k])
            if j < 0:
                continue
            pair = query + state[m, j] @ attention.sender[m, r, :, h]
            bases = torch.exp(-(((edges[m, r, i, k][:, None] - centers) / gap) ** 2)).flatten()
            slope = [0.0, 0.5, 1.0, 2.0][h] + 8.0 * attention.slope_change[m, r, h]
            dense[j] = (
                torch.nn.functional.leaky_relu(pair, 0.2)
                + bases @ attention.bases[m, r, :, h]
                + attention.level[m, r, h]
                - slope * edges[m, r, i, k, r] * spread[r]
            )
        expected = torch.cat([dense, torch.zeros(1)]).softmax(0)
        for k in range(K):
            j = int(source_index[m, r, i, k])
            wanted = expected[j] if j >= 0 else 0.0
            # Distances are read from a table, straight between its places.
            assert weights[m, r, i, k, h].item() == pytest.approx(float(wanted), abs=2e-3)


def test_nobody_takes_what_uninformative_neighbours_leave():
    """Weights sum to less than one, and a row without neighbours receives nothing."""
    network = random_network()
    rows, source_index, targets = graph()
    source_index = source_index.clone()
    source_index[1] = -1
    state = context_of(network, rows, source_index, targets).states[0]
    everyone = neighborhood(network, rows, source_index)(slice(0, N))
    total = network.propagate(0, state, SourceFeatures.from_nodes(state), everyone)[1].weights.sum(
        3
    )
    assert (total < 1).all()
    assert (total[:, :, 1] == 0).all()


def test_messages_carry_each_heads_slice_of_the_senders_states():
    """The product over all slices keeps the same values as a loop over heads."""
    network = random_network()
    rows, source_index, targets = graph()
    state = context_of(network, rows, source_index, targets).states[0]
    everyone = neighborhood(network, rows, source_index)(slice(0, N))
    changed, found = network.propagate(0, state, SourceFeatures.from_nodes(state), everyone)
    weights = found.weights
    member = torch.arange(2)[:, None, None, None]
    source_features = state[member, everyone.source_index.clamp(min=0)]
    received = torch.zeros(2, N, 2, 8)
    for h in range(4):
        part = slice(2 * h, 2 * h + 2)
        received[..., part] = (
            (weights[..., h, None] * source_features[..., part]).sum(3).transpose(1, 2)
        )
    expected = state + network.receive[0](received.flatten(2))
    torch.testing.assert_close(changed, expected)


def test_mixture_equals_a_loop_over_experts():
    """The masked product equals each row's chosen experts weighted by their gates."""
    mixture = MixtureOfExperts(2, 6, 5, 4, n_experts=3, top_k=2).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(2, 7, 6, generator=generator)
    gates, balance, z_loss = mixture.gates(x)
    torch.testing.assert_close(gates.sum(-1), torch.ones(2, 7))
    assert ((gates > 0).sum(-1) == 2).all()
    hidden = torch.nn.functional.silu(mixture.into(x)).view(2, 7, 3, 5)
    expected = mixture.out.bias.expand(2, 7, 4).clone()
    for e in range(3):
        out = mixture.out.weight[:, 5 * e : 5 * e + 5]
        expected = expected + gates[..., e, None] * (hidden[:, :, e] @ out)
    torch.testing.assert_close(mixture(x)[0], expected)
    assert (balance >= 0).all() and (z_loss >= 0).all()


def test_router_balance_is_one_when_experts_are_used_alike():
    """A router without preference has the smallest balance loss, one that picks one expert more."""
    mixture = MixtureOfExperts(1, 4, 4, 4, n_experts=4, top_k=1).requires_grad_(False)
    with torch.no_grad():
        mixture.router.weight.copy_(50 * torch.eye(4)[None])
    even = torch.eye(4)[None]
    one = torch.eye(4)[[0, 0, 0, 0]][None]
    assert float(mixture.gates(even)[1]) == pytest.approx(1.0, abs=1e-4)
    assert float(mixture.gates(one)[1]) == pytest.approx(4.0, abs=1e-4)


def test_members_share_nothing():
    """Changing one member's parameters leaves the other member's predictions as they were."""
    network = random_network()
    rows, source_index, targets = graph()

    def predict():
        context = context_of(network, rows, source_index, targets)
        return predict_nodes(
            network, rows, source_index, network.source_features(context), rows.edge_inputs
        )[0]

    before = predict()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[0] += 0.3
    after = predict()
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_no_row_sees_its_own_target(n_layers):
    """At any depth, changing y_i changes some prediction but not that of row i."""
    network = random_network(n_layers=n_layers)
    rows, source_index, targets = graph()

    def predict(targets):
        context = context_of(network, rows, source_index, targets)
        return predict_nodes(
            network, rows, source_index, network.source_features(context), rows.edge_inputs
        )

    before = predict(targets)
    for i in range(N):
        changed = targets.clone()
        changed[i] += 5.0
        after = predict(changed)
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[:, i], new[:, i])
        assert not torch.equal(before[0], after[0])


def test_chunks_do_not_matter():
    """A row's prediction is the same whatever rows are computed beside it."""
    network = random_network(n_layers=2)
    rows, source_index, targets = graph()
    context = context_of(network, rows, source_index, targets, chunk=5)
    whole = context_of(network, rows, source_index, targets)
    for part, full in zip(context.states, whole.states, strict=True):
        torch.testing.assert_close(part, full, atol=1e-5, rtol=1e-5)
    few = predict_nodes(
        network, rows, source_index, network.source_features(context), rows.edge_inputs, chunk=2
    )
    many = predict_nodes(
        network, rows, source_index, network.source_features(context), rows.edge_inputs
    )
    torch.testing.assert_close(few, many, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"relations": (), "own_feature": ()}, ("attention", "receive", "inject")),
        ({"messages": False}, ("receive",)),
        ({"neighbor_targets": False}, ("inject",)),
        ({"n_experts": 0}, ("mixture",)),
    ],
)
def test_a_switch_removes_its_ingredient(changes, absent):
    """An ingredient that is switched off leaves no parameter, and the rest still predicts."""
    network = random_network(**changes)
    names = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert not names & set(absent)
    rows, source_index, targets = graph(relations=len(network.shape.relations))
    context = context_of(network, rows, source_index, targets)
    mean, log_variance = predict_nodes(
        network,
        rows,
        source_index,
        network.source_features(context),
        rows.edge_inputs,
    )
    assert torch.isfinite(mean).all() and torch.isfinite(log_variance).all()


def test_neighbour_targets_are_what_their_names_say():
    """Level, surprise, spread and trust equal their definitions for one row."""
    w = torch.rand(2, generator=torch.Generator().manual_seed(1)) / 2
    context = SourceNodes(
        [torch.zeros(1, 3, 4)], torch.tensor([[0.5, 0.0, -1.0]]), torch.tensor([1.0, 9.0, 3.0])
    )
    (source_features,) = random_network().source_features(context)
    loads = torch.cat(
        [torch.ones(2, 1), source_features.rows[0, [2, 0], 4:7], torch.zeros(2, 1)], dim=1
    )
    sums = (w[:, None] * loads).sum(0).view(1, 1, 1, 1, 5)
    found = SpTGNN.neighbor_target_inputs(sums, torch.tensor([[0.25]]))
    level, surprise, spread, trust, edge = found[0, 0]
    y, m = torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 0.5])
    assert float(trust) == pytest.approx(float(w.sum()))
    assert float(level) == pytest.approx(float((w * y).sum() - w.sum() * 0.25))
    assert float(surprise) == pytest.approx(float((w * (y - m)).sum()))
    assert float(spread) == pytest.approx(
        float((w * (y - m) ** 2).sum() - (w * (y - m)).sum() ** 2)
    )
    assert float(edge) == 0


def test_edge_scale_is_finite_for_coincident_rows():
    """Distances of zero get a finite logarithm, and the training scale is standard."""
    scale = EdgeScale(2)
    distances = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 100
    distances[:50] = 0
    distances[:, 1] = 0
    scale.fit(distances)
    logs = scale(distances)
    assert torch.isfinite(logs).all()
    assert float(logs[:, 0].mean()) == pytest.approx(0, abs=1e-4)
    assert float(logs[:, 0].std()) == pytest.approx(1, abs=1e-3)


def test_dropout_needs_generators():
    """A network that was never started refuses to draw from a global generator."""
    network = SpTGNN(shape()).train()
    with pytest.raises(RuntimeError, match="start"):
        network.drop(torch.ones(2, 3, 4), 0.5)


def test_images_are_taken_away_in_training_only():
    """A share of the rows becomes the row without image, all else stays as it is."""
    network = random_network(streams={"imagery": 4, "position": 3}, image_dropout=0.4)
    network.generators = [torch.Generator().manual_seed(i) for i in range(2)]
    stream = torch.randn(2, 500, 4)
    stream[..., -1] = 0.0
    assert torch.equal(network.hide_images("imagery", stream), stream)
    network.train()
    assert torch.equal(network.hide_images("position", stream), stream)
    hidden = network.hide_images("imagery", stream)
    gone = hidden[..., -1] == 1
    assert 0.3 < gone.float().mean() < 0.5
    assert not torch.equal(gone[0], gone[1])
    assert (hidden[gone] == torch.tensor([0.0, 0, 0, 1])).all()
    assert torch.equal(hidden[~gone], stream[~gone])


def test_distances_that_are_not_known_count_as_typical():
    """NaN neither moves the scale nor reaches the network."""
    known = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) + 0.1
    gaps = torch.cat([known, torch.stack([known[:50, 0], torch.full((50,), torch.nan)], 1)])
    scale, plain = EdgeScale(2), EdgeScale(2)
    scale.fit(gaps)
    plain.fit(known)
    for name in ("floor", "centre", "spread"):
        torch.testing.assert_close(getattr(scale, name)[1], getattr(plain, name)[1])
    scaled = scale(gaps)
    assert scaled.isfinite().all()
    assert (scaled[200:, 1] == 0).all()
    empty = EdgeScale(2)
    empty.fit(torch.full((10, 2), torch.nan))
    assert (empty(torch.full((3, 2), torch.nan)) == 0).all()


def test_streams_of_each_member_are_read_by_that_member():
    """A stream may differ from member to member, as encoders of their own make it."""
    network, rows, source_index, targets = random_network(), *graph()
    every = {name: values.expand(2, -1, -1) for name, values in rows.streams.items()}
    apart = NodeTensors(every, rows.edge_inputs)
    for given in (apart, rows):
        context = context_of(network, given, source_index, targets)
        mean, _ = predict_nodes(
            network, given, source_index, network.source_features(context), rows.edge_inputs
        )
        if given is apart:
            first = mean
    torch.testing.assert_close(first, mean)
    other = {name: torch.stack([values[0], values[1].flip(0)]) for name, values in every.items()}
    context = context_of(network, NodeTensors(other, rows.edge_inputs), source_index, targets)
    mean, _ = predict_nodes(
        network,
        NodeTensors(other, rows.edge_inputs),
        source_index,
        network.source_features(context),
        rows.edge_inputs,
    )
    assert torch.equal(mean[0], first[0])
    assert not torch.allclose(mean[1], first[1])


@pytest.mark.parametrize("n_layers", [1, 2])
def test_rows_of_the_context_need_not_be_encoded_again(n_layers):
    """Predictions from the states of the context are those from the rows themselves."""
    network = random_network(n_layers=n_layers)
    rows, source_index, targets = graph()
    context = context_of(network, rows, source_index, targets)
    index = torch.tensor([[3, 1, 4], [11, 0, 5]])
    lists = source_index[index].transpose(1, 2)

    def chosen(part):
        of_all = neighborhood(network, rows, source_index)(slice(0, N))
        member, at = torch.arange(2)[:, None], index[:, part]
        edges = of_all.edges.transpose(1, 2)[member, at].transpose(1, 2)
        return Neighborhood(lists[:, :, part], edges)

    found = predict_encoded(
        network, context, network.source_features(context), index, chosen, chunk=2
    )
    every = predict_nodes(
        network, rows, source_index, network.source_features(context), rows.edge_inputs
    )
    for some, all_rows in zip(found, every, strict=True):
        torch.testing.assert_close(some, all_rows.gather(1, index), atol=1e-5, rtol=1e-5)
