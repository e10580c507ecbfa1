"""Attention, experts, groups of columns, local Moran's I, ablation."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.inspection import ablation, grouped_permutation_importance, local_morans_i
from sptgnn_sklearn.inspection.ablation import INGREDIENTS
from sptgnn_sklearn.metrics import morans_i


def small(**parameters):
    settings = {"n_members": 2, "max_epochs": 30, "base": None, "random_state": 0}
    return SpTGNNRegressor(**{**settings, **parameters})


@pytest.fixture(scope="module")
def survey():
    return make_soil_survey(n_samples=150, random_state=0)


@pytest.fixture(scope="module")
def model(survey):
    return small(time="date", elevation="elevation", n_neighbors=5).fit(survey.data, survey.target)


def test_attention_names_the_neighbours(model, survey):
    """Its neighbours are those of kneighbors, with their distances; weights sum to one."""
    X = survey.data.head(20).assign(lon=survey.data["lon"] + 0.01)
    looks = model.attention(X)
    assert list(looks.columns) == ["row", "relation", "neighbor", "weight", "distance"]
    sums = looks.groupby(["row", "relation"])["weight"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-6)
    assert len(sums) == 20 * 3
    for relation in model.relations_:
        distances, indices = model.kneighbors(X, relation=relation)
        found = looks[(looks["relation"] == relation) & (looks["neighbor"] >= 0)]
        np.testing.assert_array_equal(found["neighbor"].to_numpy().reshape(20, 5), indices)
        np.testing.assert_allclose(found["distance"].to_numpy().reshape(20, 5), distances)
        assert (found["weight"] > 0).all()
    again = model.attention(X.iloc[[7]])
    one = looks[looks["row"] == 7].assign(row=0).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, one, atol=1e-6)


def test_attention_is_what_the_prediction_uses(model, survey):
    """The mean trust that the last layer hands to the targets is one minus nobody's share."""
    X = survey.data.iloc[:6]
    seen = []
    network = model.ensemble_.network
    hook = network.attention[-1].register_forward_hook(lambda *parts: seen.append(parts[2]))
    for row in range(len(X)):  # together they are predicted in another order
        model.predict(X.iloc[[row]])
    hook.remove()
    weights = torch.cat([found.weights for found in seen], dim=2)  # (M, R, B, K, H)
    weights = weights.mean(dim=(0, -1)).transpose(0, 1)  # (B, R, K)
    looks = model.attention(X)
    found = looks.loc[looks["neighbor"] >= 0, "weight"].to_numpy().reshape(weights.shape)
    np.testing.assert_allclose(found, weights.to(torch.float64).numpy(), atol=1e-6)


def test_experts_serve_rows_in_pairs(model, survey):
    """Shares of each member sum to one, of top_k experts at most."""
    shares = model.expert_weights(survey.data)
    assert shares.shape == (150, 8)
    assert shares.index.equals(survey.data.index)
    for member in range(2):
        np.testing.assert_allclose(shares[member].sum(axis=1), 1.0, atol=1e-6)
        assert ((shares[member] > 0).sum(axis=1) <= 2).all()


def test_what_is_switched_off_is_said(survey):
    """Without a graph there is no attention, without a mixture no experts."""
    off = small(time="date", relations=(), n_experts=0, max_epochs=1).fit(
        survey.data, survey.target
    )
    with pytest.raises(ValueError, match="no attention without a graph"):
        off.attention(survey.data)
    with pytest.raises(ValueError, match="n_experts=0"):
        off.expert_weights(survey.data)


def test_groups_of_a_fitted_network(model, survey):
    """Streams are the groups, through wrappers too; the loss is that of shuffled columns."""
    new = make_soil_survey(n_samples=150, random_state=0)
    found = grouped_permutation_importance(model, new.data, new.target, random_state=0)
    assert set(found.index) == {"position", "covariates", "time"}
    assert found.loc["position", "columns"] == ["lon", "lat"]
    assert found["mean"].is_monotonic_decreasing
    assert found.loc["covariates", "mean"] > 0.1
    pipe = make_pipeline("passthrough", small(time="date", max_epochs=1))
    search = GridSearchCV(pipe, {"sptgnnregressor__beta": [0.5]}, cv=2)
    search.fit(survey.data, survey.target)
    through = grouped_permutation_importance(search, new.data, new.target, n_repeats=1)
    assert set(through.index) == set(found.index)


def test_groups_by_hand():
    """Columns move together: a sum of two equal columns loses as much as either would alone."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    X = np.column_stack([a, -a, rng.normal(size=400)])
    line = LinearRegression().fit(X, a)
    kept = X.copy()
    found = grouped_permutation_importance(
        line, X, a, groups={"signal": [0, 1], "noise": [2]}, n_repeats=30, random_state=0
    )
    np.testing.assert_array_equal(X, kept)
    # Predictions of a shuffled copy: 1 - R2 is 2 on average.
    assert found.loc["signal", "mean"] == pytest.approx(2.0, abs=0.1)
    assert found.loc["noise", "mean"] == pytest.approx(0.0, abs=1e-6)
    names = grouped_permutation_importance(line, X, a, n_repeats=1).index
    assert set(names) == {"position", "2"}


def test_odd_types_survive_shuffling():
    """Dates, categories and a strange index are shuffled as they are."""
    X = pd.DataFrame(
        {
            "x": np.arange(30.0),
            "y": 0.0,
            "kind": pd.Categorical(["a", "b", "c"] * 10),
            "day": pd.date_range("2020-01-01", periods=30),
        },
        index=np.repeat(np.arange(15), 2),
    )

    class Reads(LinearRegression):
        def predict(self, X):
            assert isinstance(X["kind"].dtype, pd.CategoricalDtype)
            assert X.index.tolist() == np.repeat(np.arange(15), 2).tolist()
            return X["x"].to_numpy() + X["day"].dt.day.to_numpy() * 0

    fitted = Reads().fit(X[["x"]], X["x"])
    found = grouped_permutation_importance(fitted, X, X["x"].to_numpy(), random_state=0)
    assert found.index[0] == "position"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": {"a": []}}, r"name no columns: \['a'\]"),
        ({"groups": {}}, "there is no group"),
        ({"groups": {"a": ["clay"]}}, "clay"),
        ({"n_repeats": 0}, "n_repeats must be"),
    ],
)
def test_impossible_groups(settings, message):
    """The error names the group or the parameter."""
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match=message):
        grouped_permutation_importance(LinearRegression().fit(X, X[:, 0]), X, X[:, 0], **settings)


def test_local_morans_i_finds_the_place():
    """A patch of high errors is found, and almost nothing in noise; the mean is global I."""
    rng = np.random.default_rng(1)
    places = pd.DataFrame(rng.uniform(size=(400, 2)), columns=["x", "y"], index=range(7, 407))
    noise = rng.normal(size=400)
    patch = np.hypot(places["x"] - 0.3, places["y"] - 0.3) < 0.15
    found = local_morans_i(noise + 4 * patch.to_numpy(), places)
    assert found.index.equals(places.index)
    inside = found.loc[patch & found["significant"], "quadrant"]
    assert (inside == "high-high").mean() > 0.9
    assert found.loc[patch, "significant"].mean() > 0.6
    assert found.loc[~patch, "significant"].mean() < 0.1
    quiet = local_morans_i(noise, places)
    assert quiet["significant"].mean() < 0.02
    assert quiet["local_i"].mean() * 400 / 399 == pytest.approx(morans_i(noise, places), rel=0.01)
    again = local_morans_i(noise, places)
    pd.testing.assert_frame_equal(quiet, again)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"values": np.zeros(30)}, "all equal"),
        ({"values": np.arange(29.0)}, "30 rows, values 29"),
        ({"alpha": 2.0}, "alpha must lie"),
        ({"n_neighbors": 0}, "n_neighbors must be"),
    ],
)
def test_impossible_local_morans_i(settings, message):
    """The error names what is wrong."""
    xy = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=message):
        local_morans_i(**{"values": np.arange(30.0), "coordinates": xy, **settings})


def test_ablation_is_paired(survey):
    """A change that changes nothing makes no difference; the graph's does, on the same folds."""
    X = survey.data.drop(columns="date")
    found = ablation(
        make_pipeline("passthrough", small(max_epochs=3)),
        X,
        survey.target,
        cv=KFold(3, shuffle=True, random_state=None),
        ingredients={"same": {}, "no graph": {"relations": ()}},
    )
    assert found.index.tolist() == ["as given", "same", "no graph"]
    assert found.loc["same", "difference"] == 0
    assert found.loc["no graph", "difference"] != 0
    np.testing.assert_allclose(
        found["score"] - found.loc["as given", "score"], found["difference"], atol=1e-12
    )


def test_ablation_leaves_out_what_is_not_there(survey, monkeypatch):
    """Without dates and heights their ingredients are not tried; other models are refused."""
    tried = []
    monkeypatch.setattr(
        "sptgnn_sklearn.inspection.ablation.cross_validate",
        lambda model, *_, **__: tried.append(model) or {"test_score": np.zeros(5)},
    )
    found = ablation(small(time="date"), survey.data, survey.target)
    assert set(found.index) == {"as given", *INGREDIENTS} - {"no elevation relation"}
    assert len(tried) == len(found)
    with pytest.raises(ValueError, match=r"one SpTGNNRegressor inside.*RandomForest"):
        ablation(RandomForestRegressor(), survey.data, survey.target)
