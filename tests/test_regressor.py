"""The estimator as its users meet it: invariances, uncertainty, composition with scikit-learn."""

import pickle
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch_geometric.data import HeteroData

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.baseline import XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.ensemble.fitted import mean_neighbor_distance
from sptgnn_sklearn.metrics import neg_abs_residual_morans_i_scorer
from sptgnn_sklearn.model_selection import SpatialBlockKFold, spatial_blocks
from sptgnn_sklearn.uncertainty.blending import Blend

SMALL = {
    "time": "date",
    "elevation": "elevation",
    "base": None,
    "n_members": 2,
    "hidden_size": 16,
    "n_experts": 2,
    "n_neighbors": 5,
    "max_epochs": 5,
    "random_state": 0,
}


def small(**changes):
    """An estimator that fits in a second."""
    return SpTGNNRegressor(**{**SMALL, **changes})


@pytest.fixture(scope="module")
def survey():
    """A survey of 150 places with dates, heights, gaps and land use."""
    return make_soil_survey(150, missing=0.05, random_state=0)


@pytest.fixture(scope="module")
def fitted(survey):
    """A small model of the survey."""
    return small().fit(survey.data, survey.target)


def test_a_row_is_predicted_alone(fitted, survey):
    """Predictions do not depend on the other rows, their order or how they are batched."""
    X = survey.data
    whole = fitted.predict_uncertainty(X)
    order = np.random.RandomState(0).permutation(len(X))
    shuffled = fitted.predict_uncertainty(X.iloc[order])
    pd.testing.assert_frame_equal(shuffled.loc[X.index], whole, atol=1e-5, rtol=1e-5)
    single = pd.concat([fitted.predict_uncertainty(X.iloc[[i]]) for i in range(10)])
    pd.testing.assert_frame_equal(single, whole.head(10), atol=1e-5, rtol=1e-5)


def test_fit_does_not_depend_on_row_order(fitted, survey):
    """The same table in another order gives the same model to the last bit."""
    order = np.random.RandomState(1).permutation(len(survey.data))
    again = small().fit(survey.data.iloc[order], survey.target.iloc[order])
    np.testing.assert_array_equal(again.predict(survey.data), fitted.predict(survey.data))
    np.testing.assert_array_equal(again.oob_prediction_, fitted.oob_prediction_[order])


def test_same_seed_same_bits(fitted, survey):
    """The same seed repeats a fit exactly; another seed does not."""
    again = small().fit(survey.data, survey.target).predict(survey.data)
    other = small(random_state=1).fit(survey.data, survey.target).predict(survey.data)
    np.testing.assert_array_equal(again, fitted.predict(survey.data))
    assert not np.array_equal(again, other)


def test_a_weight_is_a_repetition(survey):
    """Weight two is the row twice and weight zero is the row absent, base included."""
    X, y = survey.data.head(60), survey.target.head(60)
    weight = np.random.RandomState(0).randint(0, 3, 60)
    repeated = np.repeat(np.arange(60), weight)
    model = small(base="xgboost")
    weighted = clone(model).fit(X, y, sample_weight=weight)
    plain = clone(model).fit(X.iloc[repeated], y.iloc[repeated])
    np.testing.assert_array_equal(weighted.predict(X), plain.predict(X))
    assert np.isnan(weighted.oob_prediction_[weight == 0]).all()
    assert np.isfinite(weighted.oob_prediction_[weight > 0]).all()


def test_rows_of_weight_zero_teach_nothing(survey):
    """A column or level that only absent rows have is as if it were not there."""
    X = survey.data.head(60).assign(tillage="ploughed")
    X.loc[X.index[40:], "tillage"] = "none"
    weight = np.repeat([1.0, 0.0], [40, 20])
    with pytest.warns(UserWarning, match="tillage"):
        weighted = small().fit(X, survey.target.head(60), sample_weight=weight)
    with pytest.warns(UserWarning, match="tillage"):
        absent = small().fit(X.head(40), survey.target.head(40))
    np.testing.assert_array_equal(
        weighted.predict(X.drop(columns="tillage").assign(tillage="ploughed")),
        absent.predict(X.drop(columns="tillage").assign(tillage="ploughed")),
    )


@pytest.mark.parametrize("target_transform", [None, "log1p"])
def test_variance_is_taken_apart_without_rest(survey, target_transform):
    """Total variance is aleatoric plus epistemic, in the unit of y and in X's own index."""
    X = survey.data.set_index(np.arange(len(survey.data)) + 1000)
    model = small(target_transform=target_transform).fit(X, survey.target.to_numpy().clip(0))
    table = model.predict_uncertainty(X)
    assert table.columns.tolist() == ["mean", "std", "aleatoric", "epistemic"]
    assert table.index.equals(X.index)
    np.testing.assert_allclose(table["std"] ** 2, table.aleatoric**2 + table.epistemic**2)
    assert (table[["aleatoric", "epistemic"]] > 0).all(axis=None)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, table["mean"], rtol=1e-5)
    np.testing.assert_allclose(std, table["std"], rtol=1e-5)


def test_one_member_has_no_epistemic_part(survey):
    """A single member disagrees with nobody."""
    model = small(n_members=1).fit(survey.data, survey.target)
    assert (model.predict_uncertainty(survey.data).epistemic == 0).all()


def test_quantiles_never_cross_and_keep_their_share(fitted, survey):
    """Quantiles rise with their level, and the median lies near the mean."""
    quantiles = fitted.predict_quantiles(survey.data, (0.05, 0.25, 0.5, 0.75, 0.95))
    assert quantiles.shape == (150, 5)
    assert (np.diff(quantiles, axis=1) > 0).all()
    mean, std = fitted.predict(survey.data, return_std=True)
    assert (np.abs(quantiles[:, 2] - mean) < 0.2 * std).all()
    with pytest.raises(ValueError, match="quantiles"):
        fitted.predict_quantiles(survey.data, (0.5, 1.0))


def test_target_transform_gives_means_in_the_unit_of_y(survey):
    """With logarithms inside, the mean of a skewed target is not its median."""
    y = np.exp(survey.target / 15)
    model = small(target_transform="auto", max_epochs=15).fit(survey.data, y)
    assert model.target_.function == "log1p"
    mean = model.predict(survey.data)
    median = model.predict_quantiles(survey.data, (0.5,))[:, 0]
    assert (mean > median).all()
    assert mean.mean() == pytest.approx(y.mean(), rel=0.25)


def test_target_bounds_limit_means_and_quantiles(survey):
    """No mean or quantile passes the bounds."""
    low, high = np.quantile(survey.target, [0.3, 0.7])
    model = small(target_bounds=(low, high)).fit(survey.data, survey.target)
    mean = model.predict(survey.data)
    assert mean.min() >= np.float32(low) and mean.max() <= np.float32(high)
    quantiles = model.predict_quantiles(survey.data)
    assert quantiles.min() >= low and quantiles.max() <= high


def test_out_of_bag_prediction_did_not_use_its_own_target(survey):
    """With five members every row is left out by one of them, and its prediction is honest."""
    model = small(n_members=5, max_epochs=20).fit(survey.data, survey.target)
    held = np.array([model.ensemble_.training.folds.held_out(m) for m in range(5)])
    assert (held.sum(0) == 1).all()
    own = np.corrcoef(model.predict(survey.data), survey.target)[0, 1]
    honest = np.corrcoef(model.oob_prediction_, survey.target)[0, 1]
    assert 0.2 < honest < own


def test_base_out_of_fold_prediction_never_saw_the_row(survey):
    """A base that remembers its rows gives every held-out row what it never saw."""

    model = small(base=_Memory(), n_members=5, max_epochs=1).fit(survey.data, survey.target)
    # The base answers 1 for a row that it was fitted on and 0 for any other: the whole base knows
    # all training rows, the copies behind the blend knew none of those they predicted.
    tabular = model.ensemble_.features.tree_features(model.columns_.transform(survey.data))
    assert (model.ensemble_.base.predict(tabular) == 1).all()
    assert _Memory.answers == {0.0}


class _Memory(Ridge):
    """Answers 1 for rows seen in fit and 0 for others; remembers its answers to others."""

    answers: ClassVar[set] = set()

    def fit(self, X, y, sample_weight=None):
        self.seen_ = {row.tobytes() for row in np.nan_to_num(X)}
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        answer = np.array([float(row.tobytes() in self.seen_) for row in np.nan_to_num(X)])
        if not answer.all():
            _Memory.answers |= set(answer)
        return answer


@pytest.mark.parametrize("base", ["xgboost", Ridge()])
def test_a_base_is_corrected(survey, base):
    """The mean lies between base and network, as far as the blend says."""
    model = small(base=base).fit(survey.data, survey.target)
    ensemble = model.ensemble_
    postprocessor, kept = ensemble.postprocessor, ensemble.postprocessor.blend
    assert 0 < kept.weight < 1
    blended = model.predict(survey.data)
    ensemble.postprocessor = replace(postprocessor, blend=Blend(0.0, 1.0))
    tabular = ensemble.features.tree_features(model.columns_.transform(survey.data))
    alone = model.target_.inverse_transform(ensemble.base.predict(tabular))
    np.testing.assert_allclose(model.predict(survey.data), alone, rtol=1e-4)
    ensemble.postprocessor = replace(postprocessor, blend=Blend(1.0, 1.0))
    network = model.predict(survey.data)
    joined = alone + kept.weight * (network - alone)
    expected = survey.target.mean() + kept.shrinkage * (joined - survey.target.mean())
    np.testing.assert_allclose(blended, expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(network, alone, rtol=0.01)


def test_the_mean_distance_leaves_out_who_is_not_there():
    """Nobody has no distance, and a row with nobody around it is infinitely far."""
    training = np.array([[0.0], [10.0], [20.0]])
    source_index = np.array([[0, 1], [2, -1], [-1, -1]])
    found = mean_neighbor_distance(np.array([[1.0], [1.0], [1.0]]), training, source_index)
    np.testing.assert_allclose(found, [5.0, 19.0, np.inf])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_bounds": (5, 1)}, "target_bounds"),
        ({"target_bounds": (1, 2, 3)}, "target_bounds"),
        ({"target_bounds": ("a", None)}, "target_bounds"),
        ({"callbacks": [3]}, "callbacks="),
        ({"device": "abacus"}, "device='abacus'"),
        ({"streams": ("soil",)}, "streams="),
        ({"time": None, "streams": ("time",)}, "nothing to read"),
        ({"relations": ("spatial", "lineage")}, "relations="),
        ({"hidden_size": 18}, "multiple of n_heads"),
        ({"target_transform": "sqrt"}, "target_transform"),
    ],
)
def test_unusable_parameters_are_named(survey, changes, message):
    """A parameter that cannot be used is named before anything is trained."""
    with pytest.raises(ValueError, match=message):
        small(**changes).fit(survey.data, survey.target)


def test_unknown_base_is_refused(survey):
    """A base that is no regressor is named in the error."""
    with pytest.raises(ValueError, match="base='forest'"):
        small(base="forest").fit(survey.data, survey.target)


def test_neighbours_are_the_nearest_rows(fitted, survey):
    """Spatial neighbours are those of scikit-learn's haversine search, in km."""
    X = survey.data
    radians = np.radians(X[["lat", "lon"]])
    search = NearestNeighbors(n_neighbors=4, metric="haversine").fit(radians)
    distances, indices = fitted.kneighbors(X.head(20), n_neighbors=4)
    expected, places = search.kneighbors(radians.head(20))
    np.testing.assert_array_equal(indices, places)
    np.testing.assert_allclose(distances, expected * 6371.0088, atol=1e-6)
    # Training rows are not their own neighbours.
    _, indices = fitted.kneighbors(n_neighbors=3)
    assert indices.shape == (150, 3)
    np.testing.assert_array_equal(indices, search.kneighbors(radians)[1][:, 1:])
    assert fitted.kneighbors(X.head(3), return_distance=False, relation="spectral").shape == (3, 5)
    with pytest.raises(ValueError, match="relation='soil'"):
        fitted.kneighbors(X, relation="soil")


def test_graph_as_hetero_data(fitted):
    """The training graph has one edge type for each relation and no edge from a row to itself."""
    data = fitted.to_hetero_data()
    assert isinstance(data, HeteroData)
    data.validate(raise_on_error=True)
    assert [edge[1] for edge in data.edge_types] == list(fitted.relations_)
    for edge in data.edge_types:
        index = data[edge].edge_index
        assert index.shape == (2, 150 * 5)
        assert (index[0] != index[1]).all()
        assert len(data[edge].edge_attr_names) == data[edge].edge_attr.shape[1] == 4


def test_relations_without_their_column_are_left_out(survey):
    """Without elevation there is no elevation relation, and with none the graph is off."""
    assert small(elevation=None).fit(survey.data, survey.target).relations_ == (
        "spatial",
        "spectral",
    )
    off = small(relations=()).fit(survey.data, survey.target)
    assert off.relations_ == ()
    assert np.isfinite(off.predict(survey.data)).all()
    assert not off.to_hetero_data().edge_types


@pytest.mark.parametrize(
    "changes",
    [
        {"n_layers": 2},
        {"n_experts": 0},
        {"messages": False},
        {"neighbor_targets": False},
        {"moran_weight": 0.1},
        {"streams": ("covariates",)},
        {"calibration": None},
        {"relations": ("spatial",)},
        {"beta": 0.0},
    ],
)
def test_every_switch_changes_the_result(fitted, survey, changes):
    """Each ingredient can be switched, and switching it does something."""
    model = small(**changes).fit(survey.data, survey.target)
    new, old = model.predict_uncertainty(survey.data), fitted.predict_uncertainty(survey.data)
    assert np.isfinite(new).all(axis=None)
    assert not np.allclose(new["std"], old["std"])


@pytest.mark.slow
def test_workers_give_the_same_members(fitted, survey):
    """Members trained in two worker processes equal those trained in one pass."""
    model = small(n_jobs=2).fit(survey.data, survey.target)
    np.testing.assert_allclose(
        model.predict(survey.data), fitted.predict(survey.data), atol=0.05, rtol=1e-3
    )


def test_site_holds_rows_together(survey):
    """Rows of one site are never each other's neighbours and are left out together."""
    X = survey.data.assign(profile=np.arange(150) // 3)
    model = small(site="profile").fit(X, survey.target)
    _, indices = model.kneighbors()
    assert (X.profile.to_numpy()[indices] != X.profile.to_numpy()[:, None]).all()


def test_pickle_and_clone(fitted, survey):
    """A pickled model predicts the same; a clone is unfitted with the same parameters."""
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(survey.data), fitted.predict(survey.data))
    assert clone(fitted).get_params() == fitted.get_params()


def test_what_is_made_ready_for_predictions_is_kept_but_not_pickled(fitted, survey):
    """It is made once, and a copy makes it anew."""
    fitted.predict(survey.data)
    ready = fitted.ensemble_.source_features
    fitted.predict(survey.data)
    assert fitted.ensemble_.source_features is ready
    loaded = pickle.loads(pickle.dumps(fitted))
    assert "sent" not in vars(loaded.ensemble_)
    loaded.predict(survey.data)
    assert "sent" in vars(loaded.ensemble_)


def test_grid_search_holds_both_models(survey):
    """One search over spatial blocks chooses between SpTGNN and the XGBoost baseline."""
    pipe = make_pipeline(small())
    baseline = XGBoostBaseline(time="date", elevation="elevation", n_estimators=20, random_state=0)
    search = GridSearchCV(
        pipe,
        [
            {"sptgnnregressor__n_neighbors": [3, 6]},
            {"sptgnnregressor": [baseline]},
        ],
        cv=SpatialBlockKFold(2),
        scoring={"r2": "r2", "moran": neg_abs_residual_morans_i_scorer},
        refit="r2",
        error_score="raise",
    ).fit(survey.data, survey.target)
    assert len(search.cv_results_["params"]) == 3
    assert np.isfinite(search.cv_results_["mean_test_moran"]).all()
    assert search.predict(survey.data).shape == (150,)


def test_nested_cross_validation(survey):
    """A search inside cross-validation with spatial folds inside and outside."""
    search = GridSearchCV(small(max_epochs=2), {"n_neighbors": [3, 5]}, cv=SpatialBlockKFold(2))
    labels = spatial_blocks(survey.data)
    scores = cross_validate(
        search,
        survey.data,
        survey.target,
        groups=labels,
        cv=GroupKFold(2),
        error_score="raise",
    )
    assert np.isfinite(scores["test_score"]).all()


def test_pipeline_that_reorders_columns(survey):
    """A ColumnTransformer may move columns, as roles are found by name."""
    scaled = ["cov_0", "cov_1"]
    pipe = make_pipeline(
        ColumnTransformer(
            [("scale", StandardScaler(), scaled)],
            remainder="passthrough",
            verbose_feature_names_out=False,
        ).set_output(transform="pandas"),
        small(coordinates=("lon", "lat")),
    )
    pipe.fit(survey.data, survey.target)
    assert pipe[-1].feature_names_in_[0] == "cov_0"
    assert pipe[-1].columns_.coordinates == ("lon", "lat")
    mean, std = pipe.predict(survey.data, return_std=True)
    assert np.isfinite(mean).all() and (std > 0).all()


def test_held_out_skill_follows_neighbours():
    """With a spatial field the graph is worth 0.05 of R2 and SpTGNN beats the XGBoost baseline."""
    survey = make_soil_survey(1000, random_state=0)
    X, y = survey.data, survey.target.to_numpy()
    roles = {"time": "date", "elevation": "elevation", "random_state": 0}
    models = {
        "graph": SpTGNNRegressor(base=None, n_members=2, **roles),
        "off": SpTGNNRegressor(base=None, n_members=2, relations=(), **roles),
        "baseline": XGBoostBaseline(**roles),
    }
    train, test = next(KFold(4, shuffle=True, random_state=0).split(X))
    score = {
        name: model.fit(X.iloc[train], y[train]).score(X.iloc[test], y[test])
        for name, model in models.items()
    }
    assert score["graph"] > score["off"] + 0.05
    assert score["graph"] > score["baseline"]


def test_the_device_may_be_chosen_after_the_fit(survey):
    """A fitted estimator moves to the device that is asked for."""
    X = survey.data
    model = small(max_epochs=1).fit(X, survey.target)
    expected = model.predict(X)
    elsewhere = model.ensemble_.to("meta")
    assert elsewhere.device == "meta" and elsewhere.context.baseline.device.type == "meta"
    assert next(elsewhere.network.parameters()).device.type == "meta"
    model.set_params(device="cpu")
    np.testing.assert_array_equal(model.predict(X), expected)
    with pytest.raises(ValueError, match="device='nowhere' cannot be used here"):
        model.set_params(device="nowhere").predict(X)
