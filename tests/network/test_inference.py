"""Inference in chunks, by member, and from encoded source nodes."""

import pytest
import torch
from small_network import N, encode_context, neighborhood, random_graph, random_network

from sptgnn_sklearn.network.config import Neighborhood
from sptgnn_sklearn.network.inference import (
    NodeTensors,
    explain_nodes,
    gather_edge_distances,
    predict_encoded,
    predict_nodes,
)


def predict(network, rows, source_index, context, **options):
    source_features = network.source_features(context)
    return predict_nodes(network, rows, source_index, source_features, rows.edge_inputs, **options)


def test_predictions_do_not_depend_on_chunks():
    """A row's prediction is the same in chunks of two rows and in one chunk."""
    network = random_network(n_layers=2)
    rows, source_index, targets = random_graph()
    context = encode_context(network, rows, source_index, targets, chunk=5)
    in_one_chunk = encode_context(network, rows, source_index, targets)
    for part, whole in zip(context.states, in_one_chunk.states, strict=True):
        torch.testing.assert_close(part, whole, atol=1e-5, rtol=1e-5)
    in_two_row_chunks = predict(network, rows, source_index, context, chunk=2)
    in_one_chunk = predict(network, rows, source_index, context)
    torch.testing.assert_close(in_two_row_chunks, in_one_chunk, atol=1e-5, rtol=1e-5)


def test_streams_with_a_member_axis_are_used_by_member():
    """A stream may differ between members, as with one image encoder per member."""
    network = random_network()
    rows, source_index, targets = random_graph()
    expanded = {name: values.expand(2, -1, -1) for name, values in rows.streams.items()}
    changed = {name: torch.stack([v[0], v[1].flip(0)]) for name, v in expanded.items()}
    predictions = []
    for streams in (rows.streams, expanded, changed):
        nodes = NodeTensors(streams, rows.edge_inputs)
        context = encode_context(network, nodes, source_index, targets)
        predictions.append(predict(network, nodes, source_index, context)[0])
    torch.testing.assert_close(predictions[0], predictions[1])
    assert torch.equal(predictions[2][0], predictions[1][0])
    assert not torch.allclose(predictions[2][1], predictions[1][1])


@pytest.mark.parametrize("n_layers", [1, 2])
def test_encoded_source_nodes_are_predicted_like_rows(n_layers):
    """Predictions from the states of the source nodes equal those from the rows themselves."""
    network = random_network(n_layers=n_layers)
    rows, source_index, targets = random_graph()
    context = encode_context(network, rows, source_index, targets)
    index = torch.tensor([[3, 1, 4], [11, 0, 5]])
    lists = source_index[index].transpose(1, 2)

    def neighborhood_of(part):
        all_rows = neighborhood(network, rows, source_index)(slice(0, N))
        member, own_rows = torch.arange(2)[:, None], index[:, part]
        edges = all_rows.edges.transpose(1, 2)[member, own_rows].transpose(1, 2)
        return Neighborhood(lists[:, :, part], edges)

    source_features = network.source_features(context)
    predicted = predict_encoded(network, context, source_features, index, neighborhood_of, chunk=2)
    expected = predict(network, rows, source_index, context)
    for some, all_rows in zip(predicted, expected, strict=True):
        torch.testing.assert_close(some, all_rows.gather(1, index), atol=1e-5, rtol=1e-5)


def test_gates_and_attention_weights_of_rows():
    """Gates sum to one, attention to at most one, and padding has no weight."""
    network = random_network()
    rows, source_index, targets = random_graph()
    source_features = network.source_features(encode_context(network, rows, source_index, targets))
    gates, weights = explain_nodes(
        network, rows, source_index, source_features, rows.edge_inputs, chunk=5
    )
    torch.testing.assert_close(gates.sum(-1), torch.ones(2, N))
    assert (weights.sum(-1) < 1).all()
    padding = (source_index < 0).transpose(0, 1).expand(2, -1, -1, -1)
    assert (weights[padding] == 0).all() and (weights[~padding] > 0).all()


def test_edge_distances_are_those_of_the_neighbors():
    """The edge features of one edge equal the norms of the differences of its rows."""
    rows, source_index, _ = random_graph()
    distances = gather_edge_distances(rows.edge_inputs, source_index, rows.edge_inputs)
    j = source_index[4, 1, 2]
    for feature, values in enumerate(rows.edge_inputs.values()):
        expected = (values[4] - values[j]).norm()
        torch.testing.assert_close(distances[4, 1, 2, feature], expected)
