"""Tables of attention weights and expert weights."""

import numpy as np
import pandas as pd
import pytest
import torch

from sptgnn_sklearn import NetworkConfig
from sptgnn_sklearn.inspection.attention import attention_table, expert_table


def test_attention_table_of_known_weights():
    """The unassigned attention follows the neighbors of each row and relation."""
    neighbors = np.array([[[4, 2], [3, -1]], [[-1, -1], [1, 0]]])
    weights = np.array([[[0.5, 0.25], [1.0, 0.0]], [[0.0, 0.0], [0.25, 0.5]]])
    distances = np.where(neighbors < 0, np.inf, 1.0)
    table = attention_table(["spatial", "spectral"], neighbors, weights, distances)
    assert table["row"].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert (
        table["relation"].tolist()
        == ["spatial"] * 3 + ["spectral"] * 2 + ["spatial"] + ["spectral"] * 3
    )
    assert table["neighbor"].tolist() == [4, 2, -1, 3, -1, -1, 1, 0, -1]
    assert table["weight"].tolist() == [0.5, 0.25, 0.25, 1.0, 0.0, 1.0, 0.25, 0.5, 0.25]
    assert table["distance"].isna().tolist() == (table["neighbor"] == -1).tolist()


def test_expert_table_has_a_column_per_member_and_expert():
    """Values keep their member and expert, and rows their index."""
    gates = np.arange(12.0).reshape(2, 3, 2)
    table = expert_table(gates, pd.Index(["a", "b"]))
    assert table.columns.names == ["member", "expert"]
    assert table.loc["b", (2, 1)] == 11.0
    assert table.loc["a", (1, 0)] == 2.0


def test_attention_is_on_the_neighbors(model, survey):
    """Neighbors and distances equal those of kneighbors, and weights sum to one."""
    X = survey.data.head(20).assign(lon=survey.data["lon"] + 0.01)
    table = model.attention_weights(X)
    assert list(table.columns) == ["row", "relation", "neighbor", "weight", "distance"]
    sums = table.groupby(["row", "relation"])["weight"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-6)
    assert len(sums) == 20 * 3
    for relation in model.relations_:
        distances, indices = model.kneighbors(X, relation=relation)
        result = table[(table["relation"] == relation) & (table["neighbor"] >= 0)]
        np.testing.assert_array_equal(result["neighbor"].to_numpy().reshape(20, 5), indices)
        np.testing.assert_allclose(result["distance"].to_numpy().reshape(20, 5), distances)
        assert (result["weight"] > 0).all()
    again = model.attention_weights(X.iloc[[7]])
    one = table[table["row"] == 7].assign(row=0).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, one, atol=1e-6)


def test_attention_is_that_of_the_last_layer(model, survey):
    """Weights are the mean over members and heads of the attention used for the prediction."""
    X = survey.data.iloc[:6]
    outputs = []
    network = model.ensemble_.network
    hook = network.attention[-1].register_forward_hook(lambda *parts: outputs.append(parts[2]))
    for row in range(len(X)):  # a batch of rows is predicted in another order
        model.predict(X.iloc[[row]])
    hook.remove()
    weights = torch.cat([result.weights for result in outputs], dim=2)  # (M, R, B, K, H)
    weights = weights.mean(dim=(0, -1)).transpose(0, 1)  # (B, R, K)
    table = model.attention_weights(X)
    result = table.loc[table["neighbor"] >= 0, "weight"].to_numpy().reshape(weights.shape)
    np.testing.assert_allclose(result, weights.to(torch.float64).numpy(), atol=1e-6)


def test_expert_weights_of_a_fitted_model(model, survey):
    """Weights of each ensemble member sum to one over at most top_k=2 experts."""
    weights = model.expert_weights(survey.data)
    assert weights.shape == (150, 8)
    assert weights.index.equals(survey.data.index)
    for member in range(2):
        np.testing.assert_allclose(weights[member].sum(axis=1), 1.0, atol=1e-6)
        assert ((weights[member] > 0).sum(axis=1) <= 2).all()


def test_missing_graph_and_experts_raise(survey, make_model):
    """Without relations there is no attention, and without a mixture there are no experts."""
    config = NetworkConfig(n_experts=0)
    model = make_model(time="date", relations=(), network=config, max_epochs=1)
    model.fit(survey.data, survey.target)
    with pytest.raises(ValueError, match=r"relations"):
        model.attention_weights(survey.data)
    with pytest.raises(ValueError, match=r"n_experts"):
        model.expert_weights(survey.data)
