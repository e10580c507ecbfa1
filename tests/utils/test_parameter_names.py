"""Similar names for unknown parameters."""

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sptgnn_sklearn import (
    AreaOfApplicability,
    NetworkConfig,
    SpTGNNRegressor,
    TerraMindEmbedder,
    TerraMindImages,
    XGBoostBaseline,
)
from sptgnn_sklearn.utils.parameter_names import _SYNONYMS


@pytest.mark.parametrize(
    ("estimator", "name", "message"),
    [
        (SpTGNNRegressor(), "n_member", "'n_member' .*did you mean 'n_estimators' or"),
        (SpTGNNRegressor(), "lr", "did you mean 'learning_rate'"),
        (SpTGNNRegressor(), "n_neighbours", "did you mean 'n_neighbors'"),
        (SpTGNNRegressor(), "network__hiden_size", "'hiden_size' for estimator NetworkConfig; did"),
        (SpTGNNRegressor(), "netwrk__hidden_size", "'netwrk' .*did you mean 'network'"),
        (SpTGNNRegressor(images={"DEM": "p"}), "images__finetune", "did you mean 'fine_tune'"),
        (XGBoostBaseline(), "max_dept", "did you mean 'max_depth'"),
        (NetworkConfig(), "head", "did you mean 'n_heads'"),
        (TerraMindImages({"DEM": "p"}), "finetune", "did you mean 'fine_tune'"),
        (AreaOfApplicability(), "column", "did you mean 'columns'"),
        (TerraMindEmbedder({"DEM": "p"}), "devices", "did you mean 'device'"),
        (SpTGNNRegressor(), "qqq", r"for estimator SpTGNNRegressor\. Valid parameters are: \['"),
    ],
)
def test_unknown_parameters_raise_with_the_nearest(estimator, name, message):
    """Also nested ones, in a search, and with all names if none is near."""
    with pytest.raises(ValueError, match=f"^Invalid parameter .*{message}"):
        clone(estimator).set_params(**{name: 1})
    if not hasattr(estimator, "score"):
        return
    with pytest.raises(ValueError, match=message):
        GridSearchCV(estimator, {name: [1]}, cv=2).fit([[0.0, 0.0]] * 6, range(6))


def test_known_parameters_are_set():
    """Returns the estimator, as scikit-learn does; nothing is set without parameters."""
    model = XGBoostBaseline()
    assert model.set_params() is model
    assert model.set_params(max_depth=3) is model
    assert model.max_depth == 3


def test_synonyms_are_parameters():
    """Each synonym stands for a parameter of an estimator or of the network."""
    names = {*SpTGNNRegressor().get_params(), *NetworkConfig().get_params()}
    assert set(_SYNONYMS.values()) <= names
    assert not set(_SYNONYMS) & names
