"""Learning rates and weight decays of the parameter groups."""

import numpy as np
import pytest
from small_encoder import WIDTH, small_stages

from sptgnn_sklearn.encoders.finetuning import MemberEncoders
from sptgnn_sklearn.network.config import NetworkShape
from sptgnn_sklearn.network.sptgnn import SpTGNN
from sptgnn_sklearn.training.optimizer import parameter_groups, split_parameters

RATES = {
    "learning_rate": 2e-3,
    "weight_decay": 0.1,
    "encoder_learning_rate": 1e-4,
    "layer_decay": 0.5,
}


def make_network(fine_tuning=True):
    encoders = MemberEncoders(small_stages(), 2, fine_tuning, np.zeros(WIDTH), np.ones(WIDTH))
    streams = {"imagery": WIDTH + 1, "position": 3}
    shape = NetworkShape(streams, ("spatial",), ("distance",), (0,), n_members=2, hidden_size=8)
    return SpTGNN(shape, encoders)


@pytest.mark.parametrize("fine_tuning", [True, 2])
def test_every_parameter_is_in_one_group(fine_tuning):
    """The groups contain every parameter exactly once."""
    network = make_network(fine_tuning)
    groups = parameter_groups(network, **RATES)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in network.parameters()}


def test_learning_rate_decays_with_the_depth_of_the_stage():
    """Each encoder stage has half the rate of the next one; the network has its own rate."""
    network = make_network()
    rate = {
        id(p): group["lr"] for group in parameter_groups(network, **RATES) for p in group["params"]
    }
    graph_network, encoders = split_parameters(network)
    assert {rate[id(p)] for _, p in graph_network} == {2e-3}
    for name, parameter in encoders:
        stage = int(name.split(".")[2])  # patches, three blocks, pooling
        assert rate[id(parameter)] == pytest.approx(1e-4 * 0.5 ** (4 - stage))


def test_biases_and_norms_have_no_weight_decay():
    """Weight decay acts on the matrices of the network and of the encoders."""
    network = make_network()
    decay = {
        id(p): group["weight_decay"]
        for group in parameter_groups(network, **RATES)
        for p in group["params"]
    }
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "gain", "offset")) or "norm" in name:
            assert decay[id(parameter)] == 0, name
        elif name.endswith("weight"):
            assert decay[id(parameter)] > 0, name
