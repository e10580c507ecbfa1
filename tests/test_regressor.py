"""Tests of SpTGNNRegressor: invariances, uncertainty, and use within scikit-learn."""

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
from small_models import make_regressor
from torch_geometric.data import HeteroData

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.baseline import XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.ensemble.base_models import base_inputs
from sptgnn_sklearn.metrics import neg_abs_residual_morans_i_scorer
from sptgnn_sklearn.model_selection import SpatialBlockKFold, spatial_blocks
from sptgnn_sklearn.uncertainty.blending import Blend

SMALL = {
    "time": "date",
    "elevation": "elevation",
    "base_estimator": None,
    "n_estimators": 2,
    "hidden_size": 16,
    "n_experts": 2,
    "n_neighbors": 5,
    "max_epochs": 5,
    "random_state": 0,
}


def small(**changes):
    """Return an estimator that fits in a second."""
    return make_regressor(**{**SMALL, **changes})


class NoPrediction(Ridge):
    """A base estimator that predicts NaN."""

    def predict(self, X):
        return np.full(len(X), np.nan)


@pytest.fixture(scope="module")
def survey():
    """A survey of 150 locations with dates, elevation, missing values and land use."""
    return make_soil_survey(150, missing=0.05, random_state=0)


@pytest.fixture(scope="module")
def fitted(survey):
    """A small fitted model."""
    return small().fit(survey.data, survey.target)


def test_predictions_are_independent_of_other_rows(fitted, survey):
    """Predictions do not depend on the other rows, their order or the batch size."""
    X = survey.data
    whole = fitted.predict_uncertainty(X)
    order = np.random.RandomState(0).permutation(len(X))
    shuffled = fitted.predict_uncertainty(X.iloc[order])
    pd.testing.assert_frame_equal(shuffled.loc[X.index], whole, atol=1e-5, rtol=1e-5)
    single = pd.concat([fitted.predict_uncertainty(X.iloc[[i]]) for i in range(10)])
    pd.testing.assert_frame_equal(single, whole.head(10), atol=1e-5, rtol=1e-5)


def test_fit_does_not_depend_on_row_order(fitted, survey):
    """Another row order gives a bitwise identical model."""
    order = np.random.RandomState(1).permutation(len(survey.data))
    again = small().fit(survey.data.iloc[order], survey.target.iloc[order])
    np.testing.assert_array_equal(again.predict(survey.data), fitted.predict(survey.data))
    np.testing.assert_array_equal(again.oob_prediction_, fitted.oob_prediction_[order])


def test_same_seed_gives_identical_fit(fitted, survey):
    """Equal seeds give bitwise identical fits; other seeds do not."""
    again = small().fit(survey.data, survey.target).predict(survey.data)
    other = small(random_state=1).fit(survey.data, survey.target).predict(survey.data)
    np.testing.assert_array_equal(again, fitted.predict(survey.data))
    assert not np.array_equal(again, other)


def test_sample_weight_equals_repetition(survey):
    """A weight of 2 equals a repeated row, 0 a dropped one, also for the base estimator."""
    X, y = survey.data.head(60), survey.target.head(60)
    weight = np.random.RandomState(0).randint(0, 3, 60)
    repeated = np.repeat(np.arange(60), weight)
    model = small(base_estimator="xgboost")
    weighted = clone(model).fit(X, y, sample_weight=weight)
    plain = clone(model).fit(X.iloc[repeated], y.iloc[repeated])
    np.testing.assert_array_equal(weighted.predict(X), plain.predict(X))
    assert np.isnan(weighted.oob_prediction_[weight == 0]).all()
    assert np.isfinite(weighted.oob_prediction_[weight > 0]).all()


def test_rows_of_weight_zero_are_ignored(survey):
    """Columns and categories that occur in rows of weight zero only are ignored."""
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
def test_total_variance_is_aleatoric_plus_epistemic(survey, target_transform):
    """The decomposition is exact, in the unit of y, with the index of X."""
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


@pytest.mark.parametrize("rows", [5, 8, 10])
def test_few_rows_warn(survey, rows):
    """A handful of rows is fitted, with a warning about scores and intervals."""
    with pytest.warns(UserWarning, match="fewer than about 50 locations are hardly reliable"):
        small(n_neighbors=10).fit(survey.data.head(rows), survey.target.head(rows))


def test_one_row_is_a_table(fitted, survey):
    """A Series is refused with the way to pass one row, by every prediction method."""
    for method in (fitted.predict, fitted.predict_interval, fitted.kneighbors):
        with pytest.raises(ValueError, match=r"pass one row as X\.iloc\[\[0\]\]"):
            method(survey.data.iloc[0])
    assert fitted.predict(survey.data.iloc[[0]]).shape == (1,)


def test_single_member_has_no_epistemic_uncertainty(survey):
    """A single member has no spread: the column is NaN, the total deviation is finite."""
    model = small(n_estimators=1).fit(survey.data, survey.target)
    table = model.predict_uncertainty(survey.data)
    assert table["epistemic"].isna().all()
    np.testing.assert_array_equal(table["std"], table["aleatoric"])
    np.testing.assert_array_equal(table["std"], model.predict(survey.data, return_std=True)[1])


def test_quantiles_increase_and_reach_their_levels(fitted, survey):
    """Quantiles increase with their levels, and the median is close to the mean."""
    quantiles = fitted.predict_quantiles(survey.data, (0.05, 0.25, 0.5, 0.75, 0.95))
    assert quantiles.shape == (150, 5)
    assert (np.diff(quantiles, axis=1) > 0).all()
    mean, std = fitted.predict(survey.data, return_std=True)
    assert (np.abs(quantiles[:, 2] - mean) < 0.2 * std).all()
    with pytest.raises(ValueError, match="quantiles"):
        fitted.predict_quantiles(survey.data, (0.5, 1.0))


def test_log1p_predicts_means_in_the_unit_of_y(survey):
    """The predicted mean of a skewed target differs from its median."""
    y = np.exp(survey.target / 15)
    model = small(target_transform="auto", max_epochs=15).fit(survey.data, y)
    assert model.target_.function == "log1p"
    mean = model.predict(survey.data)
    median = model.predict_quantiles(survey.data, (0.5,))[:, 0]
    assert (mean > median).all()
    assert mean.mean() == pytest.approx(y.mean(), rel=0.25)


def test_target_bounds_limit_means_and_quantiles(survey):
    """Means and quantiles stay within the bounds."""
    low, high = np.quantile(survey.target, [0.3, 0.7])
    model = small(target_bounds=(low, high)).fit(survey.data, survey.target)
    mean = model.predict(survey.data)
    assert mean.min() >= np.float32(low) and mean.max() <= np.float32(high)
    quantiles = model.predict_quantiles(survey.data)
    assert quantiles.min() >= low and quantiles.max() <= high


def test_oob_prediction_excludes_own_target(survey):
    """With five members each row is held out by one, and its prediction does not use its target."""
    model = small(n_estimators=5, max_epochs=20).fit(survey.data, survey.target)
    held = np.array([model.ensemble_.training.folds.held_out(m) for m in range(5)])
    assert (held.sum(0) == 1).all()
    own = np.corrcoef(model.predict(survey.data), survey.target)[0, 1]
    honest = np.corrcoef(model.oob_prediction_, survey.target)[0, 1]
    assert 0.2 < honest < own


def test_base_predictions_are_out_of_fold(survey):
    """A base estimator that memorizes rows predicts held-out rows without their targets."""

    model = small(base_estimator=_Memory(), n_estimators=5, max_epochs=1).fit(
        survey.data, survey.target
    )
    # The base fitted on all rows predicts 1 for each of them; the cross-fitted clones were not
    # fitted on the rows that they predict, and predict 0.
    assert (predict_base(model, survey.data) == 1).all()
    assert _Memory.answers == {0.0}


class _Memory(Ridge):
    """Regressor that predicts 1 for rows of fit and 0 for others, and records the others."""

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


def predict_base(model, X):
    """Return the predictions (k, n) of the base models."""
    features, table = model.ensemble_.features, model.columns_.transform(X)
    return model.ensemble_.base.predict(
        base_inputs(features, table, features.relation_spaces(table))
    )


@pytest.mark.parametrize("base", ["xgboost", Ridge(), ("gaussian_process", Ridge())])
def test_blend_lies_between_base_models_and_network(survey, base):
    """The mean is the weighted mean of network and base models, shrunk toward the target's."""
    model = small(base_estimator=base).fit(survey.data, survey.target)
    ensemble = model.ensemble_
    postprocessor, kept = ensemble.postprocessor, ensemble.postprocessor.blend
    assert 0 < kept.network_weight < 1
    blended = model.predict(survey.data)
    parts = []
    for alone in np.eye(len(kept.weights)):
        ensemble.postprocessor = replace(postprocessor, blend=Blend(tuple(alone)))
        parts.append(model.predict(survey.data))
    alone = [model.target_.inverse_transform(part) for part in predict_base(model, survey.data)]
    np.testing.assert_allclose(parts[1:], alone, rtol=1e-4)
    joined = np.average(parts, axis=0, weights=kept.weights)
    expected = survey.target.mean() + kept.shrinkage * (joined - survey.target.mean())
    np.testing.assert_allclose(blended, expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(parts[0], parts[1], rtol=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_bounds": (5, 1)}, "target_bounds"),
        ({"target_bounds": (1, 2, 3)}, "target_bounds"),
        ({"target_bounds": ("a", None)}, "target_bounds"),
        ({"callbacks": [3]}, "callbacks="),
        ({"device": "abacus"}, "device='abacus'"),
        ({"streams": ("soil",)}, "streams .*soil"),
        ({"time": None, "streams": ("time",)}, "streams="),
        ({"relations": ("spatial", "lineage")}, "relations .*lineage"),
        ({"hidden_size": 18}, "multiple of n_heads"),
        ({"target_transform": "sqrt"}, "target_transform"),
    ],
)
def test_invalid_parameters_raise(survey, changes, message):
    """Invalid parameters are named before training."""
    with pytest.raises(ValueError, match=message):
        small(**changes).fit(survey.data, survey.target)


def test_failed_fit_keeps_the_last_one(survey):
    """A fit that raises at its end, over predictions that are not finite, changes nothing."""
    model = small(base_estimator="xgboost", max_epochs=2).fit(survey.data, survey.target)
    expected = model.predict_uncertainty(survey.data)
    with pytest.raises(ValueError, match="no finite prediction"):
        model.set_params(base_estimator=NoPrediction()).fit(survey.data, survey.target + 100)
    pd.testing.assert_frame_equal(model.predict_uncertainty(survey.data), expected)


def test_relations_may_be_an_array(fitted, survey):
    """As any sequence, with the same predictions."""
    model = small(relations=np.array(fitted.relations_)).fit(survey.data, survey.target)
    np.testing.assert_array_equal(model.predict(survey.data), fitted.predict(survey.data))


def test_invalid_base_estimator_raises(survey):
    """A base estimator that is not a regressor is named."""
    with pytest.raises(ValueError, match="base_estimator='forest'"):
        small(base_estimator="forest").fit(survey.data, survey.target)


def test_kneighbors_match_haversine_search(fitted, survey):
    """Spatial neighbors and distances in km equal those of scikit-learn's haversine search."""
    X = survey.data
    radians = np.radians(X[["lat", "lon"]])
    search = NearestNeighbors(n_neighbors=4, metric="haversine").fit(radians)
    distances, indices = fitted.kneighbors(X.head(20), n_neighbors=4)
    expected, places = search.kneighbors(radians.head(20))
    np.testing.assert_array_equal(indices, places)
    np.testing.assert_allclose(distances, expected * 6371.0088, atol=1e-6)
    # Training rows are not their own neighbors.
    _, indices = fitted.kneighbors(n_neighbors=3)
    assert indices.shape == (150, 3)
    np.testing.assert_array_equal(indices, search.kneighbors(radians)[1][:, 1:])
    assert fitted.kneighbors(X.head(3), return_distance=False, relation="spectral").shape == (3, 5)
    with pytest.raises(ValueError, match="relation='soil'"):
        fitted.kneighbors(X, relation="soil")
    for n_neighbors in (0, -2, 1.5):
        with pytest.raises(ValueError, match=f"n_neighbors must .* found {n_neighbors}"):
            fitted.kneighbors(X, n_neighbors=n_neighbors)


def test_to_hetero_data_is_valid(fitted):
    """One edge type per relation, without self-loops."""
    data = fitted.to_hetero_data()
    assert isinstance(data, HeteroData)
    data.validate(raise_on_error=True)
    assert [edge[1] for edge in data.edge_types] == list(fitted.relations_)
    for edge in data.edge_types:
        index = data[edge].edge_index
        assert index.shape == (2, 150 * 5)
        assert (index[0] != index[1]).all()
        assert len(data[edge].edge_attr_names) == data[edge].edge_attr.shape[1] == 4


def test_relations_without_columns_are_dropped(survey):
    """No elevation relation without elevation; no graph without relations."""
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
def test_each_option_changes_predictions(fitted, survey, changes):
    """Each option has an effect."""
    model = small(**changes).fit(survey.data, survey.target)
    new, old = model.predict_uncertainty(survey.data), fitted.predict_uncertainty(survey.data)
    assert np.isfinite(new).all(axis=None)
    assert not np.allclose(new["std"], old["std"])


@pytest.mark.slow
def test_member_groups_equal_single_pass(fitted, survey):
    """Members trained in two worker processes equal those of one batched pass."""
    model = small(n_member_groups=2, n_jobs=2).fit(survey.data, survey.target)
    np.testing.assert_allclose(
        model.predict(survey.data), fitted.predict(survey.data), atol=0.05, rtol=1e-3
    )


def test_rows_of_one_site_are_one_location(survey):
    """Rows of one site are not neighbors and are held out together."""
    X = survey.data.assign(profile=np.arange(150) // 3)
    model = small(site="profile").fit(X, survey.target)
    _, indices = model.kneighbors()
    assert (X.profile.to_numpy()[indices] != X.profile.to_numpy()[:, None]).all()


def test_pickle_and_clone(fitted, survey):
    """A pickled model predicts the same; a clone is unfitted with the same parameters."""
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(survey.data), fitted.predict(survey.data))
    parameters, expected = clone(fitted).get_params(), fitted.get_params()
    assert repr(parameters.pop("network")) == repr(expected.pop("network"))
    assert parameters == expected


def test_grid_search_over_model_and_baseline(survey):
    """One search over spatial blocks compares SpTGNN with the XGBoost baseline."""
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


def test_grid_search_reaches_nested_parameters(survey):
    """Parameters of the network and the base estimator are searched together."""
    model = SpTGNNRegressor(
        time="date",
        network=NetworkConfig(n_experts=0),
        n_estimators=1,
        max_epochs=1,
        random_state=0,
    )
    grid = {"network__hidden_size": [4, 8], "base_estimator": [None, Ridge()]}
    search = GridSearchCV(model, grid, cv=2).fit(survey.data, survey.target)
    assert search.best_estimator_.network.n_experts == 0
    assert {p["network__hidden_size"] for p in search.cv_results_["params"]} == {4, 8}
    assert (
        search.best_estimator_.ensemble_.network.width
        == search.best_params_["network__hidden_size"]
    )
    assert model.network.hidden_size == 64


def test_set_params_creates_nested_objects():
    """Nested parameters are reached from the defaults, and unknown ones are named."""
    model = SpTGNNRegressor(images={"DEM": "dem"})
    model.set_params(network__n_heads=2, images__fine_tune=True)
    assert model.network.n_heads == 2
    assert (model.images.columns, model.images.fine_tune) == ({"DEM": "dem"}, True)
    with pytest.raises(ValueError, match=r"'heads' .* NetworkConfig"):
        SpTGNNRegressor().set_params(network__heads=2)
    model.set_params(network=None, network__n_heads=8, images={"DEM": "d"}, images__fine_tune=2)
    assert (model.network.n_heads, model.images.columns) == (8, {"DEM": "d"})
    with pytest.raises(ValueError, match="images=None"):
        model.set_params(images=None, images__fine_tune=True)


def test_predict_equals_the_mean_bit_for_bit(survey):
    """Also for a target with a large offset; predict assigns no attribute."""
    model = small(base_estimator="xgboost").fit(survey.data, survey.target + 1e7)
    before = dict(vars(model))
    mean = model.predict(survey.data)
    assert vars(model) == before
    np.testing.assert_array_equal(mean, model.predict_uncertainty(survey.data)["mean"])
    assert len(np.unique(mean)) == len(mean)


def test_nested_cross_validation(survey):
    """Inner search and outer evaluation with spatial folds."""
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


def test_column_transformer_may_reorder_columns(survey):
    """Roles are found by name after a ColumnTransformer."""
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


def test_graph_improves_held_out_r2():
    """With a spatial field the graph adds 0.05 of R2, and SpTGNN beats the XGBoost baseline."""
    survey = make_soil_survey(1000, random_state=0)
    X, y = survey.data, survey.target.to_numpy()
    roles = {"time": "date", "elevation": "elevation", "random_state": 0}
    models = {
        "graph": SpTGNNRegressor(base_estimator=None, n_estimators=2, **roles),
        "off": SpTGNNRegressor(base_estimator=None, n_estimators=2, relations=(), **roles),
        "baseline": XGBoostBaseline(**roles),
    }
    train, test = next(KFold(4, shuffle=True, random_state=0).split(X))
    score = {
        name: model.fit(X.iloc[train], y[train]).score(X.iloc[test], y[test])
        for name, model in models.items()
    }
    assert score["graph"] > score["off"] + 0.05
    assert score["graph"] > score["baseline"]


def test_device_may_change_after_fit(survey):
    """A fitted estimator predicts on the device that is set."""
    X = survey.data
    model = small(max_epochs=1).fit(X, survey.target)
    expected = model.predict(X)
    elsewhere = model.ensemble_.to("meta")
    assert elsewhere.device == "meta" and elsewhere.context.baseline.device.type == "meta"
    assert next(elsewhere.network.parameters()).device.type == "meta"
    model.set_params(device="cpu")
    np.testing.assert_array_equal(model.predict(X), expected)
    with pytest.raises(ValueError, match="device='nowhere'"):
        model.set_params(device="nowhere").predict(X)
