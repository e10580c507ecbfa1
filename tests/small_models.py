"""Small, fast regressors for tests."""

from dataclasses import fields

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, TerraMindImages

NETWORK = {field.name for field in fields(NetworkConfig)}
IMAGES = {field.name for field in fields(TerraMindImages)} - {"columns"}


def regressor_parameters(parameters):
    """Sort flat parameters into those of the regressor, of the network and of the images.

    Parameters of TerraMindImages that the regressor has too (learning_rate) carry the prefix
    ``images__``.
    """
    regressor, network, images = {}, {}, {}
    for name, value in parameters.items():
        if name in NETWORK:
            network[name] = value
        elif name.startswith("images__"):
            images[name.removeprefix("images__")] = value
        elif name in IMAGES - {"learning_rate"}:
            images[name] = value
        else:
            regressor[name] = value
    if network:
        regressor["network"] = NetworkConfig(**network)
    if images and regressor.get("images") is not None:
        regressor["images"] = TerraMindImages(regressor["images"], **images)
    return regressor


def make_regressor(**parameters):
    """Return a regressor; parameters of the network and of the images may be given flat."""
    return SpTGNNRegressor(**regressor_parameters(parameters))
