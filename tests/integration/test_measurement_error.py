"""Known measurement errors of a simulated survey, from fit to predictions."""

import numpy as np
import pandas as pd
import pytest
from small_models import make_regressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.metrics import interval_coverage

N, M = 500, 400
NATURAL_SD = 0.6
LAB_SD = 1.2
SMALL = {
    "base_estimator": None,
    "n_estimators": 5,
    "hidden_size": 16,
    "n_experts": 0,
    "n_neighbors": 5,
    "random_state": 0,
}


def simulate(n, seed):
    """Return X with lab_sd of 0 or 1.2 by row, and true and measured values.

    The true values are a smooth function of coordinates and covariates, plus natural noise.
    """
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["clay", "slope"])
    X[["x", "y"]] = rng.uniform(0, 100, (n, 2))
    smooth = np.sin(1.5 * X["clay"]) + 0.8 * X["slope"] + np.sin(X["x"] / 15)
    true = smooth + NATURAL_SD * rng.normal(size=n)
    X["lab_sd"] = np.where(rng.uniform(size=n) < 0.5, LAB_SD, 0.0)
    return X, true.to_numpy(), (true + X["lab_sd"] * rng.normal(size=n)).to_numpy()


@pytest.fixture(scope="module")
def survey():
    return simulate(N, 0)


@pytest.fixture(scope="module")
def new():
    return simulate(M, 1)


@pytest.fixture(scope="module")
def model(survey):
    X, _, measured = survey
    return make_regressor(**SMALL, noise_std="lab_sd").fit(X, measured)


@pytest.fixture(scope="module")
def without(survey):
    """The model that does not know the measurement errors."""
    X, _, measured = survey
    return make_regressor(**SMALL).fit(X.drop(columns="lab_sd"), measured)


def test_std_is_that_of_true_values(model, without, new):
    """The predicted std is near the RMSE against true values; without the role it is too large."""
    X, true, _ = new
    mean, std = model.predict(X.assign(lab_sd=0.0), return_std=True)
    rmse = np.sqrt(np.mean((mean - true) ** 2))
    assert np.sqrt(np.mean(std**2)) == pytest.approx(rmse, rel=0.2)
    assert rmse > NATURAL_SD
    other, wide = without.predict(X.drop(columns="lab_sd"), return_std=True)
    assert np.sqrt(np.mean(wide**2)) > 1.3 * np.sqrt(np.mean((other - true) ** 2))
    assert rmse < np.sqrt(np.mean((other - true) ** 2))


def test_intervals_cover_true_values(model, without, new):
    """90 % intervals of rows without error contain 90 % of true values, not 98 %."""
    X, true, _ = new
    for method, argument in (("predict_interval", 0.9), ("predict_quantiles", (0.05, 0.95))):
        limits = getattr(model, method)(X.assign(lab_sd=0.0), argument)
        assert interval_coverage(true, *limits.T) == pytest.approx(0.9, abs=0.05)
        wide = getattr(without, method)(X.drop(columns="lab_sd"), argument)
        assert interval_coverage(true, *wide.T) > 0.96


def test_intervals_with_errors_cover_measurements(model, new):
    """Intervals of rows with their error contain 90 % of the measurements, noisy or not."""
    X, _, measured = new
    limits = model.predict_interval(X, 0.9)
    for rows in (X["lab_sd"] > 0, X["lab_sd"] == 0):
        coverage = interval_coverage(measured[rows], *limits[rows].T)
        assert coverage == pytest.approx(0.9, abs=0.06)
    narrow = model.predict_interval(X.assign(lab_sd=0.0), 0.9)[X["lab_sd"] > 0]
    assert interval_coverage(measured[X["lab_sd"] > 0], *narrow.T) < 0.75


def test_predictions_add_the_error_to_all_but_the_mean(model, new):
    """Variances add up; the mean is the same bit for bit, and missing is zero."""
    X, _, _ = new
    true, measured, missing = (
        model.predict_uncertainty(X.assign(lab_sd=value)) for value in (0.0, 2.0, np.nan)
    )
    pd.testing.assert_frame_equal(true, missing)
    for name in ("std", "aleatoric"):
        np.testing.assert_allclose(measured[name] ** 2, true[name] ** 2 + 4)
    np.testing.assert_allclose(measured["epistemic"], true["epistemic"])
    np.testing.assert_array_equal(measured["mean"], true["mean"])
    np.testing.assert_array_equal(measured["mean"], model.predict(X))
    below = model.predict_probability(X.assign(lab_sd=2.0), below=-3.0)
    assert (below > model.predict_probability(X.assign(lab_sd=0.0), below=-3.0)).mean() > 0.95


def test_draws_have_independent_errors(model, new):
    """Errors widen the draws of each row; those of the mean over rows hardly widen."""
    X = new[0].head(100)
    true, measured = (
        model.sample_y(X.assign(lab_sd=value), 400, random_state=0) for value in (0.0, 2.0)
    )
    std = model.predict(X.assign(lab_sd=2.0), return_std=True)[1]
    np.testing.assert_allclose(measured.std(axis=1), std, rtol=0.25)
    wider = measured.mean(axis=0).var() - true.mean(axis=0).var()
    assert wider == pytest.approx(4 / 100, abs=0.03)


def test_rows_with_large_errors_count_less(survey, new):
    """A wrong row in a hundred moves predictions less if its error is known to be large."""
    X, _, measured = survey
    X, measured = X.head(150).assign(lab_sd=0.0), measured[:150].copy()
    settings = {**SMALL, "noise_std": "lab_sd", "max_epochs": 20, "n_iter_no_change": None}
    clean = make_regressor(**settings).fit(X, measured).predict(new[0])
    rows = np.arange(0, 150, 15)
    measured[rows] += 8
    change = []
    for value in (0.0, 8.0):
        X.loc[rows, "lab_sd"] = value
        predicted = make_regressor(**settings).fit(X, measured).predict(new[0])
        change.append(np.sqrt(np.mean((predicted - clean) ** 2)))
    assert change[1] < 0.6 * change[0]


def test_errors_of_zero_are_those_of_no_role(survey, new):
    """A column of zeros or missing values gives the model without it, bit for bit."""
    X, _, measured = survey
    settings = {**SMALL, "n_estimators": 2, "max_epochs": 2}
    query = new[0].drop(columns="lab_sd")
    plain = make_regressor(**settings).fit(X.drop(columns="lab_sd"), measured)
    expected = plain.predict_uncertainty(query, coverage=0.8)
    for value in (0.0, np.nan):
        known = make_regressor(**settings, noise_std="lab_sd")
        known.fit(X.assign(lab_sd=value), measured)
        found = known.predict_uncertainty(query.assign(lab_sd=value), coverage=0.8)
        pd.testing.assert_frame_equal(found, expected)
        assert known.ensemble_.training.noise is None
        np.testing.assert_array_equal(known.oob_prediction_, plain.oob_prediction_)


def test_log1p_with_small_relative_errors(survey):
    """With errors of a tenth of 1 + y, predictions of true values are near those of exact data."""
    X, true, _ = survey
    rng = np.random.default_rng(0)
    y = np.exp(0.5 * true) + 1
    X = X.assign(lab_sd=np.where(rng.uniform(size=N) < 0.5, 0.3 * (1 + y), 0.0))
    measured = np.maximum(y + X["lab_sd"] * rng.normal(size=N), 0.0)
    known, unknown = (
        make_regressor(**SMALL, target_transform="log1p", noise_std=role, max_epochs=12)
        for role in ("lab_sd", None)
    )
    query = X.assign(lab_sd=0.0)
    std = known.fit(X, measured).predict(query, return_std=True)[1]
    query = query.drop(columns="lab_sd")
    wide = unknown.fit(X.drop(columns="lab_sd"), measured).predict(query, return_std=True)[1]
    assert std.mean() < 0.95 * wide.mean()


def test_rows_with_equal_values_and_other_errors_are_both_used(survey):
    """Rows that differ in their error alone are not merged."""
    X, _, measured = survey
    X = X.head(20).assign(lab_sd=0.0)
    X = pd.concat([X, X.assign(lab_sd=1.0)], ignore_index=True)
    model = make_regressor(**SMALL, noise_std="lab_sd", max_epochs=1)
    model.fit(X, np.tile(measured[:20], 2))
    assert len(model._merged.rows) == 40


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.1, -0.2], r"row position 1, value -0.2"),
        ([0.1, np.inf], "row position 1"),
        ([0.1, "low"], "row position 1, value 'low'"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "predict"])
def test_invalid_errors_raise(model, survey, values, found, method):
    """The message names the column and the row, in fit and in predictions."""
    X, _, measured = survey
    column = pd.Series([0.0] * N, dtype=object)
    column.iloc[:2] = values
    with pytest.raises(ValueError, match=f"lab_sd.*{found}"):
        if method == "fit":
            SpTGNNRegressor(noise_std="lab_sd").fit(X.assign(lab_sd=column), measured)
        else:
            model.predict(X.assign(lab_sd=column))


def test_unknown_columns_raise(model, survey, new):
    """The column exists in fit and in predictions, as all columns of X."""
    X, _, measured = survey
    with pytest.raises(ValueError, match=r"noise_std='lab_std'.*'lab_sd'"):
        SpTGNNRegressor(noise_std="lab_std").fit(X, measured)
    with pytest.raises(ValueError, match="lab_sd"):
        model.predict(new[0].drop(columns="lab_sd"))


def test_errors_in_another_unit_warn(survey):
    """Errors larger than the spread of the target are in another unit."""
    X, _, measured = survey
    with pytest.warns(UserWarning, match=r"noise_std='lab_sd'.*unit of y") as caught:
        make_regressor(**SMALL, noise_std="lab_sd", max_epochs=1).fit(
            X.assign(lab_sd=100.0), measured
        )
    assert caught[0].filename == __file__


def test_arrays_have_the_role_by_position(survey, new):
    """Columns of an array are named by position."""
    X, _, measured = survey
    model = make_regressor(**SMALL, coordinates=(2, 3), noise_std=4, max_epochs=1)
    model.fit(X.to_numpy(), measured)
    assert model.columns_.noise_std == 4
    query = new[0].assign(lab_sd=1.0).to_numpy()
    wide, narrow = (
        model.predict(values, return_std=True)[1] for values in (query, query * [1, 1, 1, 1, 0])
    )
    np.testing.assert_allclose(wide**2, narrow**2 + 1)
