"""Tests of the options of the ensemble."""

import numpy as np
import pytest

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, TerraMindImages
from sptgnn_sklearn.ensemble.options import (
    check_parameters,
    reachable_neighbors,
    similarity_kind,
    training_config,
)
from sptgnn_sklearn.table.schema import TableSchema


def test_training_config_joins_three_sources():
    """Parameters of the regressor, of the network and of the images."""
    model = SpTGNNRegressor(
        network=NetworkConfig(weight_decay=0.3, beta=1.0, moran_weight=0.0),
        images=TerraMindImages({"DEM": "dem"}, weights=None, augment=False),
        learning_rate=0.01,
        n_iter_no_change=None,
    )
    result = training_config(model, *check_parameters(model))
    assert (result.weight_decay, result.beta, result.moran_weight) == (0.3, 1.0, 0.0)
    assert (result.learning_rate, result.n_iter_no_change) == (0.01, None)
    assert (result.encoder_learning_rate, result.layer_decay, result.augment) == (1e-3, 1.0, False)
    model.set_params(images__weights="pretrained")
    result = training_config(model, *check_parameters(model))
    assert (result.encoder_learning_rate, result.layer_decay) == (1e-4, 0.75)


def test_defaults_of_nested_parameters():
    """None and a mapping stand for the defaults of the nested objects."""
    network, images = check_parameters(SpTGNNRegressor(images={"DEM": "dem"}))
    assert repr(network) == "NetworkConfig()"
    assert (images.columns, images.fine_tune) == ({"DEM": "dem"}, False)
    assert check_parameters(SpTGNNRegressor())[1] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": NetworkConfig(n_heads=3)}, "hidden_size=64 .* n_heads=3"),
        ({"network": NetworkConfig(dropout=1.0)}, "'dropout' parameter of NetworkConfig .* 1.0"),
        ({"images": TerraMindImages({"DEM": 1}, chip_size=8)}, "'chip_size' .* TerraMindImages"),
        (
            {
                "images": TerraMindImages({"DEM": 1}, fine_tune=2),
                "network": NetworkConfig(streams=("time",)),
            },
            "fine_tune=2 .*imagery",
        ),
        ({"checkpoint_dir": "states"}, "checkpoint_dir .*random_state"),
    ],
)
def test_invalid_nested_parameters_raise(changes, message):
    """The error names the parameter, its object and the value."""
    with pytest.raises(ValueError, match=message):
        check_parameters(SpTGNNRegressor(**changes))


def test_reachable_neighbors_warns():
    """With four locations, a row has at most three neighbors."""
    xy = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 2, axis=0)
    _, table = TableSchema.fit_transform(np.column_stack([xy, np.arange(8.0)]))
    with pytest.warns(UserWarning, match="n_neighbors=5 .* n_neighbors=3"):
        assert reachable_neighbors(table, 5) == 3
    assert reachable_neighbors(table, 2) == 2


def test_named_columns_are_covariate_similarity():
    """A list of columns selects covariates; a name selects the kind."""
    assert similarity_kind(["red", "nir"]) == "covariates"
    assert similarity_kind("indices") == "indices"
    assert similarity_kind(None) is None
