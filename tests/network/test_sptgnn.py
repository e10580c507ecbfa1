"""The whole network: independence of members and of a row's own target, and switched-off parts."""

import pytest
import torch
from small_network import N, encode_context, network_shape, random_graph, random_network

from sptgnn_sklearn.network.config import SourceNodes
from sptgnn_sklearn.network.inference import predict_nodes
from sptgnn_sklearn.network.sptgnn import SpTGNN


def predict(network, rows, source_index, targets):
    context = encode_context(network, rows, source_index, targets)
    source_features = network.source_features(context)
    return predict_nodes(network, rows, source_index, source_features, rows.edge_inputs)


def test_members_share_no_parameters():
    """Changing one member's parameters leaves the other member's predictions unchanged."""
    network = random_network()
    before, _ = predict(network, *random_graph())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[0] += 0.3
    after, _ = predict(network, *random_graph())
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_prediction_does_not_depend_on_the_target_of_its_row(n_layers):
    """At any depth, changing y_i changes predictions of other rows but not that of row i."""
    network = random_network(n_layers=n_layers)
    rows, source_index, targets = random_graph()
    before = predict(network, rows, source_index, targets)
    for i in range(N):
        changed = targets.clone()
        changed[i] += 5.0
        after = predict(network, rows, source_index, changed)
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[:, i], new[:, i])
        assert not torch.equal(before[0], after[0])


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        (
            {"relations": (), "own_feature": ()},
            {"attention", "message_projection", "neighbor_target_head"},
        ),
        ({"messages": False}, {"message_projection"}),
        ({"neighbor_targets": False}, {"neighbor_target_head"}),
        ({"n_experts": 0}, {"mixture"}),
    ],
)
def test_switched_off_components_have_no_parameters(changes, absent):
    """A component that is switched off leaves no parameter, and predictions stay finite."""

    def components(network):
        return {name.split(".")[0] for name, _ in network.named_parameters()}

    network = random_network(**changes)
    assert components(network) & absent == set()
    assert components(random_network()) & absent == absent
    mean, log_variance = predict(network, *random_graph(len(network.shape.relations)))
    assert torch.isfinite(mean).all() and torch.isfinite(log_variance).all()


def test_neighbor_target_inputs_equal_their_definitions():
    """Centered target, residual, its variance and attention mass of one row with two neighbors."""
    w = torch.rand(2, generator=torch.Generator().manual_seed(1)) / 2
    context = SourceNodes(
        [torch.zeros(1, 3, 4)], torch.tensor([[0.5, 0.0, -1.0]]), torch.tensor([1.0, 9.0, 3.0])
    )
    (source_features,) = random_network().source_features(context)
    values = torch.cat(
        [torch.ones(2, 1), source_features.rows[0, [2, 0], 4:7], torch.zeros(2, 1)], dim=1
    )
    sums = (w[:, None] * values).sum(0).view(1, 1, 1, 1, 5)
    result = SpTGNN.neighbor_target_inputs(sums, torch.tensor([[0.25]]))
    centered_target, residual, variance, attention_mass, edge = result[0, 0]
    y, m = torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 0.5])
    assert float(attention_mass) == pytest.approx(float(w.sum()))
    assert float(centered_target) == pytest.approx(float((w * y).sum() - w.sum() * 0.25))
    assert float(residual) == pytest.approx(float((w * (y - m)).sum()))
    assert float(variance) == pytest.approx(
        float((w * (y - m) ** 2).sum() - (w * (y - m)).sum() ** 2)
    )
    assert float(edge) == 0


def test_dropout_needs_generators():
    """Without generators the network does not draw from torch's global one."""
    network = SpTGNN(network_shape()).train()
    with pytest.raises(RuntimeError, match="reset_parameters"):
        network.dropout(torch.ones(2, 3, 4), 0.5)


def test_images_are_dropped_in_training_only():
    """A share of the rows gets the missing image; all others stay unchanged."""
    network = random_network(streams={"imagery": 4, "position": 3}, image_dropout=0.4)
    network.generators = [torch.Generator().manual_seed(i) for i in range(2)]
    stream = torch.randn(2, 500, 4)
    stream[..., -1] = 0.0
    assert torch.equal(network.drop_images("imagery", stream), stream)
    network.train()
    assert torch.equal(network.drop_images("position", stream), stream)
    result = network.drop_images("imagery", stream)
    dropped = result[..., -1] == 1
    assert 0.3 < dropped.float().mean() < 0.5
    assert not torch.equal(dropped[0], dropped[1])
    assert (result[dropped] == torch.tensor([0.0, 0, 0, 1])).all()
    assert torch.equal(result[~dropped], stream[~dropped])
