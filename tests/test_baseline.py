"""Tests of XGBoostBaseline: features, column roles and sample weights."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small_models import make_regressor

from sptgnn_sklearn.baseline import XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.table.measurement_error import noise_weight


def table(n=300, seed=0):
    """Return a planar table whose target is a formula of a number, a category and the easting."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "x": rng.uniform(0, 100, n),
            "y": rng.uniform(0, 100, n),
            "ndvi": rng.uniform(0, 1, n),
            "landuse": rng.choice(["crop", "wood"], n),
        }
    )
    return X, 3 * X["ndvi"] + 2.0 * (X["landuse"] == "wood") + X["x"] / 50


def make_baseline(**settings):
    return XGBoostBaseline(n_estimators=40, learning_rate=0.2, random_state=0, **settings)


def test_recovers_formula_of_all_features():
    """A formula of number, category and easting is recovered on new rows."""
    X, y = table(600)
    assert make_baseline().fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.95


def test_use_coordinates_false_ignores_location():
    """Predictions do not change with the coordinates."""
    X, y = table(600)
    model = make_baseline(use_coordinates=False).fit(X[:400], y[:400])
    moved = X[400:].assign(x=0.0, y=0.0)
    np.testing.assert_array_equal(model.predict(moved), model.predict(X[400:]))
    assert model.score(X[400:], y[400:]) < 0.9


def test_no_features_raises():
    """Without coordinates and covariates there are no features."""
    X, y = table(30)
    with pytest.raises(ValueError, match="use_coordinates=False"):
        make_baseline(use_coordinates=False).fit(X[["x", "y"]], y)


@pytest.mark.filterwarnings("ignore:Column 'site' of X equals the target")
def test_site_is_not_a_covariate():
    """A site id that determines the target is not used."""
    X, _ = table(200)
    noise = pd.Series(np.random.default_rng(1).normal(size=200))
    X = X[["x", "y"]].assign(site=noise)
    assert make_baseline(site="site").fit(X[:100], noise[:100]).score(X[100:], noise[100:]) < 0.3
    assert make_baseline().fit(X[:100], noise[:100]).score(X[100:], noise[100:]) > 0.6


def test_dates_are_numeric_and_may_be_missing():
    """A trend is fitted to dates given as text, some of them missing."""
    survey = make_soil_survey(
        600, covariate_sd=0, field_sd=0, elevation_sd=0, season_sd=0, trend_sd=5, noise_sd=0.1,
        random_state=0,
    )  # fmt: skip
    X = survey.data.assign(date=survey.data["date"].dt.strftime("%Y-%m-%d"))
    X.loc[:20, "date"] = None
    model = make_baseline(time="date").fit(X[:400], survey.target[:400])
    assert model.score(X[400:], survey.target[400:]) > 0.9


def test_sample_weight_equals_repetition_in_any_order():
    """Repetitions, weights and row orders give bitwise identical trees."""
    X, y = table(120)
    weight = np.random.default_rng(0).integers(0, 3, 120)
    copies = np.repeat(np.arange(120), weight)
    shuffled = np.random.default_rng(1).permutation(copies)
    expected = make_baseline(target_transform="log1p").fit(X, y, sample_weight=weight).predict(X)
    for rows in (copies, shuffled):
        result = make_baseline(target_transform="log1p").fit(X.iloc[rows], y.iloc[rows]).predict(X)
        np.testing.assert_array_equal(result, expected)


def test_log1p_predicts_means():
    """The prediction of a log-normal target is its mean, not its median."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.uniform(size=4000), "y": rng.uniform(size=4000)})
    y = np.expm1(1.0 + rng.normal(scale=0.8, size=4000))
    model = XGBoostBaseline(
        target_transform="log1p", n_estimators=20, max_depth=2, random_state=0
    ).fit(X, y)
    truth = np.exp(1.0 + 0.8**2 / 2) - 1
    assert model.smearing_ == pytest.approx(np.exp(0.8**2 / 2), rel=0.08)
    assert model.predict(X).mean() == pytest.approx(truth, rel=0.08)


def test_auto_transforms_skewed_targets_only():
    """Without log1p the smearing factor is 1 and targets may be negative."""
    X, y = table(100)
    skewed = np.exp(2 * np.random.default_rng(0).normal(size=100))
    assert make_baseline(target_transform="auto").fit(X, skewed).target_.function == "log1p"
    model = make_baseline(target_transform="auto").fit(X, y - 5)
    assert model.target_.function is None
    assert model.smearing_ == 1.0


def test_random_state_determines_fit():
    """Equal seeds give equal models."""
    X, y = table(100)
    first, same = (make_baseline().fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, same)
    assert (make_baseline().set_params(random_state=1).fit(X, y).predict(X) != first).any()


def test_grid_search_over_baseline_and_model():
    """Both take the same table with the same roles in one grid search."""
    survey = make_soil_survey(80, random_state=0)
    roles = {"time": "date", "elevation": "elevation"}
    trees = make_baseline(**roles)
    network = make_regressor(
        base_estimator=None,
        n_estimators=1,
        max_epochs=2,
        hidden_size=8,
        n_neighbors=3,
        random_state=0,
        **roles,
    )
    search = GridSearchCV(Pipeline([("model", trees)]), {"model": [clone(trees), network]}, cv=2)
    search.fit(survey.data, survey.target)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "setting", [{"n_estimators": 0}, {"subsample": 1.5}, {"target_transform": "sqrt"}]
)
def test_invalid_parameters_raise(setting):
    """Parameters out of range are named."""
    X, y = table(30)
    with pytest.raises(ValueError, match=next(iter(setting))):
        make_baseline().set_params(**setting).fit(X, y)


def test_rows_with_measurement_errors_count_less():
    """The column is no feature, and the fit is that of weights; predictions do not use it."""
    survey = make_soil_survey(200, random_state=0)
    noise_std = np.where(np.arange(200) % 2, 0.0, 0.8 * survey.target.std())
    X = survey.data.assign(lab_sd=noise_std)
    settings = {"time": "date", "n_estimators": 20, "random_state": 0}
    model = XGBoostBaseline(noise_std="lab_sd", **settings).fit(X, survey.target)
    plain = XGBoostBaseline(**settings).fit(survey.data, survey.target)
    noise = model.target_.noise_variance(noise_std, survey.target)
    weighted = XGBoostBaseline(**settings).fit(
        survey.data, survey.target, sample_weight=noise_weight(noise, np.ones(200))
    )
    predicted = model.predict(X)
    np.testing.assert_array_equal(predicted, model.predict(X.assign(lab_sd=np.nan)))
    assert np.abs(predicted - plain.predict(survey.data)).max() > 0.1
    # Weights also change the scale of the target.
    assert np.corrcoef(predicted, weighted.predict(survey.data))[0, 1] > 0.97
    without = XGBoostBaseline(noise_std="lab_sd", **settings)
    without.fit(X.assign(lab_sd=0.0), survey.target)
    np.testing.assert_array_equal(without.predict(X), plain.predict(survey.data))


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_measurement_errors_keep_the_mean(transform):
    """Noisy rows bias neither the mean nor the smearing factor."""
    survey = make_soil_survey(600, distribution="lognormal", random_state=0)
    rng = np.random.default_rng(0)
    noise_std = np.where(np.arange(600) % 2, 0.0, 0.15 * (1 + survey.target))
    measured = survey.target + noise_std * rng.normal(size=600)
    X = survey.data.assign(lab_sd=noise_std)
    model = XGBoostBaseline(
        time="date", noise_std="lab_sd", target_transform=transform, random_state=0
    )
    predicted = model.fit(X, measured).predict(X)
    assert predicted.mean() == pytest.approx(survey.target.mean(), rel=0.03)
