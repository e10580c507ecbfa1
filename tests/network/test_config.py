"""Parameters of the network and the shape that a table gives it."""

import pytest
from sklearn.base import clone

from sptgnn_sklearn.network.config import NetworkConfig, NetworkShape


def test_parameters_are_those_of_an_estimator():
    """Parameters can be read, set and cloned; the repr lists those changed from the default."""
    config = NetworkConfig(hidden_size=32)
    copy = clone(config).set_params(n_experts=0)
    assert (copy.hidden_size, copy.n_experts, config.n_experts) == (32, 0, 4)
    assert repr(copy) == "NetworkConfig(hidden_size=32, n_experts=0)"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 30, "n_heads": 4}, "hidden_size=30.*n_heads=4"),
        ({"dropout": 1.0}, "dropout"),
        ({"top_k": 0}, "top_k"),
        ({"messages": "yes"}, "messages"),
    ],
)
def test_invalid_parameters_are_named(settings, message):
    """The error names the parameter and the value found."""
    NetworkConfig().validate()
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**settings).validate()


def test_shape_combines_config_and_table():
    """Fields that both have come from the config, the rest from the table."""
    table = {
        "streams": {"covariates": 3},
        "relations": ("spatial",),
        "edge_features": ("distance",),
        "own_feature": (0,),
        "n_members": 7,
    }
    shape = NetworkShape.from_config(NetworkConfig(hidden_size=16, beta=1.0), **table)
    assert shape == NetworkShape(**table, hidden_size=16)
