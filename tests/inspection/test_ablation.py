"""Ablation study: paired differences, applicable variants, and errors."""

from importlib import import_module

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import NetworkConfig
from sptgnn_sklearn.inspection import ablation
from sptgnn_sklearn.inspection.ablation import INGREDIENTS


@pytest.fixture
def tried(monkeypatch):
    """Return the list of models passed to cross_validate, which does not fit them."""
    models = []
    # The package has a function of the name of this module.
    monkeypatch.setattr(
        import_module("sptgnn_sklearn.inspection.ablation"),
        "cross_validate",
        lambda model, *_, **__: models.append(model) or {"test_score": np.zeros(5)},
    )
    return models


def test_differences_are_paired(survey, make_model):
    """All variants use the same folds, so an empty change makes no difference."""
    X = survey.data.drop(columns="date")
    result = ablation(
        make_pipeline("passthrough", make_model(max_epochs=3)),
        X,
        survey.target,
        cv=KFold(3, shuffle=True, random_state=None),
        ingredients={"same": {}, "no graph": {"relations": ()}},
    )
    assert result.index.tolist() == ["as given", "same", "no graph"]
    assert result.loc["same", "difference"] == 0
    assert result.loc["no graph", "difference"] != 0
    np.testing.assert_allclose(
        result["score"] - result.loc["as given", "score"], result["difference"], atol=1e-12
    )


def test_variants_of_unused_columns_are_skipped(survey, make_model, tried):
    """Without elevation its variant is not fitted; other estimators raise."""
    result = ablation(make_model(time="date"), survey.data, survey.target)
    assert set(result.index) == {"as given", *INGREDIENTS} - {"no elevation relation"}
    assert len(tried) == len(result)
    with pytest.raises(ValueError, match=r"one SpTGNNRegressor.*found 0 in RandomForest"):
        ablation(RandomForestRegressor(), survey.data, survey.target)


@pytest.mark.parametrize("network", [None, NetworkConfig(hidden_size=32)])
def test_parameters_of_the_network_are_changed(survey, make_model, tried, network):
    """Nested parameters are changed in a clone, also if `network` is None."""
    model = make_pipeline("passthrough", make_model(network=network))
    changes = {"no experts": {"network__n_experts": 0}}
    ablation(model, survey.data, survey.target, ingredients=changes)
    configs = [pipe[-1].network for pipe in tried]
    size = 64 if network is None else 32
    assert configs[1].get_params()["n_experts"] == 0
    assert configs[1].get_params()["hidden_size"] == size
    assert configs[0] is None or configs[0].n_experts == 4
    assert model[-1].network is network
