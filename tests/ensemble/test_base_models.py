"""Base models: names, automatic choice, kriged covariate and out-of-fold predictions."""

import pickle
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from xgboost import XGBRegressor

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.ensemble.base_models import (
    BASE_MODELS,
    BaseInputs,
    LinearScore,
    UnfittedBaseModels,
    base_inputs,
    make_base_models,
    uses_kriging,
    with_kriged,
)
from sptgnn_sklearn.ensemble.base_regressor import boosted_forests, boosted_trees, extra_trees
from sptgnn_sklearn.spatial.gaussian_process import GaussianProcess
from sptgnn_sklearn.table.features import FeatureEncoder
from sptgnn_sklearn.table.schema import SampleTable, TableSchema

N = 60
SMALL_SURVEY = ("kriging_boosting", "kriging_extra_trees", "gaussian_process")
fold_of = np.arange(N) % 5
FIXED = np.log([0.5, 0.8, 0.2])
FIXED_COMPLETE = np.log([0.4, 0.8, 0.4, 0.7, 0.2, 0.2])


def make_table(n, n_locations=None, n_columns=3, site=None):
    rng = np.random.default_rng(0)
    xy = rng.uniform(size=(n, 2))
    if n_locations is not None:
        xy = xy[np.arange(n) % n_locations]
    categories = np.zeros((n, 0), dtype=int)
    return SampleTable(xy, rng.normal(size=(n, n_columns)), categories, site=site)


def names(base, table=None):
    made = make_base_models(base, make_table(60) if table is None else table, 0, None)
    return tuple(made.regressors) + ("gaussian_process",) * made.process


@pytest.fixture
def data():
    """Inputs, standardized targets and weights; features have missing values."""
    rng = np.random.default_rng(0)
    positions, covariates = rng.uniform(size=(N, 2)), rng.normal(size=(N, 2))
    y = np.sin(5 * positions[:, 0]) + covariates[:, 0] + 0.1 * rng.normal(size=N)
    features = np.column_stack([positions, covariates])
    features[::7, 3] = np.nan
    inputs = BaseInputs(features, positions, covariates)
    return inputs, (y - y.mean()) / y.std(), rng.uniform(0.5, 2, N)


@pytest.fixture
def fixed_parameters(monkeypatch):
    """Processes with the same parameters for all targets."""

    def fix_parameters(process, starts, random_state):
        parameters = FIXED if process.covariates is None else FIXED_COMPLETE
        return replace(process, parameters=parameters)

    monkeypatch.setattr(GaussianProcess, "_with_best_parameters", fix_parameters)


def small_regressors(*chosen):
    """Return few trees for each chosen name."""
    few = {
        "xgboost": boosted_trees(0, n_estimators=3),
        "kriging_boosting": boosted_forests(0).set_params(n_estimators=3),
        "kriging_extra_trees": extra_trees(0).set_params(n_estimators=3),
        "ridge": LinearRegression(),
    }
    return {name: few[name] for name in chosen}


def test_none_gives_no_base_models():
    assert make_base_models(None, make_table(60), 0, None) is None


@pytest.mark.parametrize("name", BASE_MODELS)
def test_each_name_is_one_base_model(name):
    assert names(name) == names([name]) == (name,)


def test_settings_are_those_of_base_regressor():
    """With the given seed, for the number of columns of the table."""
    for n_columns in (3, 80):
        made = make_base_models(BASE_MODELS, make_table(60, n_columns=n_columns), 7, None)
        expected = {
            "xgboost": boosted_trees(7, n_columns=n_columns),
            "kriging_boosting": boosted_forests(7, n_columns=n_columns),
            "kriging_extra_trees": extra_trees(7, n_columns=n_columns),
        }
        assert made.random_state == 7
        assert list(made.regressors) == list(expected)
        for name, regressor in expected.items():
            assert made.regressors[name].get_params() == regressor.get_params()


@pytest.mark.parametrize(
    ("n", "n_locations", "expected"),
    [
        (1000, None, SMALL_SURVEY),
        (1001, None, ("xgboost",)),
        (10, None, SMALL_SURVEY),
        (9, None, ("xgboost",)),
        (100, 9, ("xgboost",)),
        (100, 10, SMALL_SURVEY),
    ],
)
def test_auto_chooses_by_rows_and_locations(n, n_locations, expected):
    """Several models up to 1,000 rows; a covariance function needs 10 locations."""
    assert names("auto", make_table(n, n_locations)) == expected


def test_rows_of_a_site_are_one_location():
    """Also if their coordinates differ."""
    site = np.array([f"site {i % 9}" for i in range(40)], dtype=object)
    assert names("auto", make_table(40, site=site)) == ("xgboost",)


def test_sequences_may_have_names_and_regressors():
    """Regressors are named by their position; the process is the last model."""
    regressor = Ridge()
    base = ("gaussian_process", regressor, "xgboost", Ridge(alpha=2))
    assert names(base) == ("regressor_1", "xgboost", "regressor_3", "gaussian_process")
    made = make_base_models(base, make_table(60), 5, None)
    # Cloned, and preceded by imputation of missing values.
    assert made.regressors["regressor_1"].named_steps["ridge"] is not regressor
    assert made.regressors["regressor_3"].named_steps["ridge"].alpha == 2
    assert made.regressors["regressor_1"].named_steps["ridge"].random_state == 5
    assert names(Ridge()) == ("regressor_0",)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (["xgboost", "xgboost"], r"base_estimator has \['xgboost'\] more than once"),
        (("gaussian_process",) * 2, r"base_estimator has \['gaussian_process'\] more than once"),
        ("lightgbm", "base_estimator='lightgbm'"),
        (["xgboost", "kriging"], r"base_estimator=\['xgboost', 'kriging'\] .*'gaussian_process'"),
        (["auto"], r"base_estimator=\['auto'\]"),
        ([Ridge(), LogisticRegression()], r"base_estimator=LogisticRegression\(\)"),
        ([Ridge], "base_estimator=<class"),
        (3, "base_estimator=3"),
        ([[Ridge()]], "base_estimator="),
        ([], r"base_estimator=\[\]"),
        ([None, "xgboost"], r"base_estimator=\[None"),
    ],
    ids=str,
)
def test_invalid_values_raise(base, message):
    with pytest.raises(ValueError, match=message):
        make_base_models(base, make_table(60), 0, None)


def test_kriged_target_is_the_last_feature():
    """Of the models with kriging in their name."""
    features, kriged = np.zeros((3, 2)), np.arange(3.0)
    for name in BASE_MODELS:
        assert uses_kriging(name) == ("kriging" in name)
    expected = [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    np.testing.assert_array_equal(with_kriged("kriging_boosting", features, kriged), expected)
    assert with_kriged("xgboost", features, kriged) is features
    assert with_kriged("kriging_boosting", features, None) is features


def test_predictions_have_a_row_for_each_model(data):
    """In the order of the names, and out-of-fold predictions too."""
    inputs, y, weight = data
    regressors = small_regressors("ridge", "kriging_extra_trees")
    regressors["ridge"] = DummyRegressor(strategy="constant", constant=3.0)
    models, held_out = UnfittedBaseModels(regressors, True, 0).fit(inputs, y, weight, fold_of)
    assert models.names == ("ridge", "kriging_extra_trees", "gaussian_process")
    predicted = models.predict(inputs)
    assert predicted.shape == held_out.shape == (3, N)
    assert predicted.dtype == held_out.dtype == np.float64
    np.testing.assert_array_equal(predicted[0], 3.0)
    np.testing.assert_array_equal(held_out[0], 3.0)
    expected = models.process.predict(inputs.positions, inputs.covariates)
    np.testing.assert_array_equal(predicted[2], expected)
    np.testing.assert_allclose(models.predict(inputs.take(np.array([5])))[:, 0], predicted[:, 5])


def test_processes_are_fitted_only_if_they_are_used(data):
    inputs, y, weight = data
    for chosen, process in ((("xgboost",), False), (("kriging_boosting",), False), ((), True)):
        unfitted = UnfittedBaseModels(small_regressors(*chosen), process, 0)
        models, _ = unfitted.fit(inputs, y, weight, fold_of)
        assert (models.kriging is not None) == ("kriging_boosting" in chosen)
        assert (models.process is not None) == process
        assert models.kriging is None or models.kriging.covariates is None


def test_forests_are_converted(data):
    """All regressors of "auto" are XGBoost models when fitted, which are saved without code."""
    inputs, y, weight = data
    regressors = small_regressors("kriging_boosting", "kriging_extra_trees")
    models, _ = UnfittedBaseModels(regressors, False, 0).fit(inputs, y, weight, fold_of)
    for regressor in models.regressors.values():
        assert type(regressor) is XGBRegressor
        assert regressor.n_features_in_ == 5
    kriged = models.kriging.predict_left_out(fold_of)
    forest = extra_trees(0).set_params(n_estimators=3)
    forest.fit(np.column_stack([inputs.features, kriged]), y, weight)
    new = models.kriging.predict(inputs.positions, None)
    expected = forest.predict(np.column_stack([inputs.features, new]))
    np.testing.assert_allclose(models.predict(inputs)[1], expected, atol=1e-5)


class Recorder(LinearRegression):
    """A regressor that records the arrays it is fitted on and predicts for."""

    fits: ClassVar[list] = []
    predictions: ClassVar[list] = []

    def fit(self, X, y, sample_weight=None):
        self.fits.append((X.copy(), y.copy(), sample_weight.copy()))
        return super().fit(np.nan_to_num(X), y, sample_weight)

    def predict(self, X):
        self.predictions.append(X.copy())
        return super().predict(np.nan_to_num(X))


def test_kriged_target_of_training_rows_is_left_out_by_fold(data, fixed_parameters):
    """In the fit to all rows, and in that without a fold."""
    inputs, y, weight = data
    Recorder.fits.clear()
    Recorder.predictions.clear()
    models, _ = UnfittedBaseModels({"kriging_boosting": Recorder()}, False, 0).fit(
        inputs, y, weight, fold_of
    )
    whole = models.kriging
    np.testing.assert_array_equal(Recorder.fits[0][0][:, -1], whole.predict_left_out(fold_of))
    assert len(Recorder.fits) == 6
    for fold in range(5):
        rows, inside = np.flatnonzero(fold_of != fold), fold_of == fold
        part = whole.take(rows)
        X, target, weights = Recorder.fits[1 + fold]
        np.testing.assert_array_equal(X[:, :-1], inputs.features[rows])
        np.testing.assert_array_equal(X[:, -1], part.predict_left_out(fold_of[rows]))
        np.testing.assert_array_equal(target, y[rows])
        np.testing.assert_array_equal(weights, weight[rows])
        kriged = Recorder.predictions[fold][:, -1]
        np.testing.assert_array_equal(kriged, part.predict(inputs.positions[inside], None))


@pytest.mark.parametrize(
    "chosen", [("xgboost",), ("kriging_boosting", "kriging_extra_trees"), ("ridge",), ()], ids=str
)
def test_out_of_fold_predictions_exclude_targets_of_the_fold(data, fixed_parameters, chosen):
    """Targets of a fold change the predictions of the other folds only."""
    inputs, y, weight = data
    inputs = inputs._replace(features=np.nan_to_num(inputs.features))
    unfitted = UnfittedBaseModels(small_regressors(*chosen), "ridge" not in chosen, 0)
    _, before = unfitted.fit(inputs, y, weight, fold_of)
    inside = fold_of == 2
    _, after = unfitted.fit(inputs, y + 10.0 * inside, weight, fold_of)
    np.testing.assert_array_equal(after[:, inside], before[:, inside])
    assert (after[:, ~inside] != before[:, ~inside]).mean() > 0.5


def test_processes_are_fitted_without_the_fold(data):
    """A large change of the targets of a fold hardly changes their own predictions."""
    inputs, y, weight = data
    unfitted, inside = UnfittedBaseModels({}, True, 0), fold_of == 2
    _, before = unfitted.fit(inputs, y, weight, fold_of)
    _, after = unfitted.fit(inputs, y + 3.0 * inside, weight, fold_of)
    np.testing.assert_allclose(after[:, inside], before[:, inside], atol=0.02)


def test_out_of_fold_predictions_are_close_to_the_truth(data):
    """Models that explain the target predict rows of other folds."""
    inputs, y, weight = data
    unfitted = make_base_models("auto", make_table(N), 0, None)
    _, held_out = unfitted.fit(inputs, y, weight, fold_of)
    for predicted in held_out:
        assert np.corrcoef(predicted, y)[0, 1] > 0.7


def test_single_folds_predict_the_mean(data):
    """All models have the weighted mean, and the kriged target is constant."""
    inputs, y, weight = data
    unfitted = UnfittedBaseModels(small_regressors("kriging_boosting"), True, 0)
    _, held_out = unfitted.fit(inputs, y, weight, np.zeros(N))
    np.testing.assert_allclose(held_out, np.average(y, weights=weight))


def test_fits_are_reproducible(data):
    """The seed determines the trees and the sample of large tables."""
    inputs, y, weight = data
    unfitted = UnfittedBaseModels(small_regressors(*SMALL_SURVEY[:2]), True, 0)
    first, second = (unfitted.fit(inputs, y, weight, fold_of) for _ in range(2))
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[0].predict(inputs), second[0].predict(inputs))
    again = pickle.loads(pickle.dumps(first[0]))
    np.testing.assert_array_equal(again.predict(inputs), first[0].predict(inputs))


def test_inputs_are_features_of_the_table():
    """Tree features keep missing values, scores have none, positions are metric."""
    survey = make_soil_survey(30, missing=0.1, random_state=0)
    schema, table = TableSchema.fit_transform(survey.data, elevation="elevation", time="date")
    features = FeatureEncoder.fit(schema, table)
    spaces = features.relation_spaces(table)
    inputs = base_inputs(features, table, spaces)
    np.testing.assert_array_equal(inputs.features, features.tree_features(table))
    np.testing.assert_array_equal(inputs.positions, spaces["spatial"])
    assert np.isnan(inputs.features).any()
    assert np.isfinite(inputs.covariates).all()
    part = inputs.take(np.array([4, 2]))
    for values, whole in zip(part, inputs, strict=True):
        np.testing.assert_array_equal(values, whole[[4, 2]])


def test_linear_score_is_the_last_covariate_of_projected_tables(data):
    """It is the prediction of new rows, and the out-of-fold prediction of training rows."""
    inputs, y, weight = data
    table = make_table(60, n_columns=4)
    made = make_base_models("auto", table, 0, None, projected=True)
    assert tuple(made.regressors) == ("kriging_boosting", "kriging_extra_trees", "linear_score")
    assert made.regressors["linear_score"] == LinearScore(column=5)  # after two coordinates
    large = make_base_models("auto", make_table(1001), 0, None, projected=True)
    assert tuple(large.regressors) == ("xgboost", "linear_score")
    unfitted = UnfittedBaseModels({"linear_score": LinearScore(2)}, False, 0)
    models, held_out = unfitted.fit(inputs, y, weight, fold_of)
    np.testing.assert_array_equal(held_out, inputs.features[:, 2][None])
    np.testing.assert_array_equal(models.predict(inputs), inputs.features[:, 2][None])


def test_linear_score_needs_a_projection():
    with pytest.raises(ValueError, match=r"'linear_score' needs more .*; found 3 of 60 rows"):
        make_base_models(["xgboost", "linear_score"], make_table(60), 0, None)


def test_known_noise_reaches_all_base_models(data):
    """Noise changes each model and its out-of-fold predictions; noise of zero changes none."""
    inputs, y, weight = data
    unfitted = UnfittedBaseModels(
        {"kriging_boosting": boosted_forests(0), "regressor_1": Ridge()},
        process=True,
        random_state=0,
    )
    inputs = inputs._replace(features=np.nan_to_num(inputs.features))
    noise = np.where(np.arange(N) % 2, 2.0, 0.0)
    plain, zero, noisy = (
        unfitted.fit(inputs, y, weight, fold_of, values) for values in (None, 0 * noise, noise)
    )
    np.testing.assert_allclose(zero[1], plain[1], atol=1e-3)
    change = np.abs(noisy[1] - plain[1]).max(axis=1)
    assert (change > 0.01).all()
    for process in (noisy[0].kriging, noisy[0].process):
        np.testing.assert_array_equal(process.known_noise, noise)
