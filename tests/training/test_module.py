"""Neighborhoods of the training graph, held-out predictions and the average of the weights."""

import numpy as np
import pytest
import torch
from small_training import K, N, training_config, training_set, training_shape

from sptgnn_sklearn.network.sptgnn import SpTGNN
from sptgnn_sklearn.training.dataset import TrainingSet
from sptgnn_sklearn.training.loop import train_members
from sptgnn_sklearn.training.module import EnsembleModule


@pytest.fixture(scope="module")
def network():
    return train_members(
        training_shape(), training_set(), training_config(max_epochs=1), [0, 1]
    ).network


def test_neighbors_are_the_nearest_rows_that_are_not_held_out(network):
    """Neighbors and edge features are those of the first allowed candidates of the variant."""
    data = training_set()
    variant = torch.arange(N) % 2
    rows = torch.arange(N).expand(2, -1)
    result = EnsembleModule(network, data).neighborhood(rows, variant.expand(2, -1))
    position = data.rows.edge_inputs["distance"]
    for member, held_out in enumerate(data.held_out):
        for i in range(N):
            allowed = [j for j in data.candidates[variant[i], i, 0] if j >= 0 and not held_out[j]]
            expected = (allowed + K * [-1])[:K]
            assert result.source_index[member, 0, i].tolist() == expected
            for k, j in enumerate(expected):
                if j >= 0:
                    distance = (position[i] - position[j]).square().sum().sqrt()
                    edge = float(network.edge_scale(distance[None, None]))
                    assert float(result.edges[member, 0, i, k, 0]) == pytest.approx(edge, abs=2e-3)


def test_held_out_rows_are_no_source_nodes_of_their_member(network):
    """The neighbors of held-out rows are not held out themselves."""
    data = training_set()
    module = EnsembleModule(network, data)
    for member, held_out in enumerate(data.held_out):
        source_index = module.held_out_neighbors[member].numpy()
        assert not held_out[source_index[source_index >= 0]].any()


def test_held_out_predictions_do_not_depend_on_own_targets():
    """With fixed weights, changing y_i changes no prediction of the fold of row i."""
    data = training_set()
    trained = train_members(training_shape(), data, training_config(), [0, 1])

    def predict(targets):
        changed = TrainingSet(**{**vars(data), "targets": targets})
        module = EnsembleModule(trained.network, changed)
        module.update_context()
        return module.predict_held_out()[0]

    before = predict(data.targets)
    assert (np.isnan(before) == ~data.held_out).all()
    n_changed = 0
    for i in np.flatnonzero(data.held_out[0]):
        targets = data.targets.copy()
        targets[i] += 10
        after = predict(targets)
        np.testing.assert_array_equal(before[0], after[0])
        n_changed += not np.array_equal(before[1], after[1], equal_nan=True)
    assert n_changed


def test_held_out_predictions_need_encoded_source_nodes(network):
    """Without update_context there are no source nodes to predict from."""
    with pytest.raises(RuntimeError, match="update_context"):
        EnsembleModule(network, training_set()).predict_held_out()


def test_average_of_the_weights():
    """The decay grows with the steps, from 2 / 11 to 0.99."""
    shape = training_shape()
    network = SpTGNN(shape).reset_parameters([torch.Generator().manual_seed(m) for m in (0, 1)])
    module = EnsembleModule(network, training_set())
    expected = network.mean_head[0].weight.detach().clone()
    generator = torch.Generator().manual_seed(2)
    for step in range(1, 4):
        with torch.no_grad():
            network.mean_head[0].weight.normal_(generator=generator)
        module.update_ema()
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * network.mean_head[0].weight.detach()
        torch.testing.assert_close(module.ema_network.mean_head[0].weight.detach(), expected)
    module.n_steps = 10_000
    module.update_ema()
    expected = 0.99 * expected + 0.01 * network.mean_head[0].weight.detach()
    torch.testing.assert_close(module.ema_network.mean_head[0].weight.detach(), expected)
