"""Tests of the tabular base model: construction, sample weights and cross-fitting."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sptgnn_sklearn.ensemble.base_regressor import (
    boosted_trees,
    fit_base,
    make_base,
    out_of_fold,
)
from sptgnn_sklearn.table.measurement_error import noise_weight

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=40)
ONES = np.ones(40)
fold_of = np.arange(40) % 5


def test_none_gives_no_base_model():
    """None disables the base model."""
    assert make_base(None, 0, None) is None


def test_default_base_model_is_xgboost():
    """ "xgboost" has the given seed and threads and the settings of the baseline."""
    base = make_base("xgboost", 7, 1)
    assert base.get_params() == boosted_trees(7, 1).get_params()
    assert (base.random_state, base.n_jobs) == (7, 1)
    assert boosted_trees(n_estimators=3).n_estimators == 3


def test_small_tables_use_fewer_threads():
    """A thread needs enough cells of the table, and the trees do not depend on their number."""
    threads = [make_base("xgboost", 7, 4, shape).n_jobs for shape in ((150, 10), (2000, 60))]
    assert threads == [1, 2]
    assert make_base("xgboost", 7, 4, (10**6, 10)).n_jobs == 4
    assert make_base("xgboost", 7, None, (10**6, 10)).n_jobs == 1
    fitted = [
        boosted_trees(0, 2, n_estimators=20, n_cells=n_cells).fit(X, Y) for n_cells in (None, 120)
    ]
    np.testing.assert_array_equal(*(trees.predict(X) for trees in fitted))


def test_regressors_are_cloned_and_seeded():
    """The caller's object and its seed are unchanged."""
    regressor = RandomForestRegressor()
    clone = make_base(regressor, 7, None)
    assert clone is not regressor
    assert clone.random_state == 7
    assert regressor.random_state is None
    assert make_base(RandomForestRegressor(random_state=3), 7, None).random_state == 3


def test_nested_random_states_are_set():
    """Random states that are None are set at any depth."""
    nested = make_pipeline(StandardScaler(), make_pipeline(RandomForestRegressor()))
    clone = make_base(nested, 7, None)
    seeds = {value for name, value in clone.get_params().items() if name.endswith("random_state")}
    assert seeds == {7}


def test_missing_values_are_imputed_if_unsupported():
    """Medians are imputed unless the regressor supports missing values."""
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    gaps[:, 2] = np.nan
    base = make_base(LinearRegression(), 0, None)
    filled = np.where(np.isnan(gaps), np.nanmedian(gaps[:, 1]), gaps)
    filled[:, 2] = 0
    expected = LinearRegression().fit(filled, Y).predict(filled)
    np.testing.assert_allclose(fit_base(base, gaps, Y, ONES).predict(gaps), expected)
    native = HistGradientBoostingRegressor()
    assert isinstance(make_base(native, 0, None), HistGradientBoostingRegressor)


@pytest.mark.parametrize(
    "base", ["lightgbm", 3, Ridge, LogisticRegression(), StandardScaler(), lambda X: X]
)
def test_non_regressors_raise(base):
    """The error lists valid values."""
    with pytest.raises(ValueError, match=r"base_estimator=.*pass None, 'xgboost' or a scikit"):
        make_base(base, 0, None)


@pytest.mark.parametrize(
    "base",
    [
        LinearRegression(),
        make_pipeline(StandardScaler(with_mean=False, with_std=False), LinearRegression()),
        make_pipeline(make_pipeline(LinearRegression())),
        KNeighborsRegressor(3),
        make_pipeline(KNeighborsRegressor(3)),
    ],
    ids=["plain", "pipeline", "nested", "no weights", "no weights in a pipeline"],
)
def test_integer_weights_equal_repetition(base):
    """With or without support for sample weights."""
    weight = np.random.default_rng(1).integers(1, 4, 40)
    weighted = fit_base(base, X, Y, weight.astype(float))
    repeated = fit_base(
        base, np.repeat(X, weight, axis=0), np.repeat(Y, weight), np.ones(weight.sum())
    )
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X))
    unweighted = fit_base(base, X, Y, ONES)
    assert np.abs(weighted.predict(X) - unweighted.predict(X)).max() > 1e-3
    assert not hasattr(base, "n_features_in_")


@pytest.mark.parametrize("weight", [np.linspace(0.5, 2, 40), np.linspace(1, 999, 40).round()])
def test_unsupported_weights_raise(weight):
    """Fractional weights cannot be replaced by repetition, nor can very large ones."""
    with pytest.raises(
        ValueError, match=r"sample_weight differs .* base_estimator=KNeighbors.* does not support"
    ):
        fit_base(KNeighborsRegressor(), X, Y, weight)
    fit_base(KNeighborsRegressor(), X, Y, np.full(40, 0.5))
    fit_base(LinearRegression(), X, Y, weight)


def test_weights_are_passed_to_the_last_pipeline_step():
    """Also in nested pipelines."""
    weight = np.linspace(0.5, 2, 40)
    expected = LinearRegression().fit(X, Y, sample_weight=weight).predict(X)
    for base in (
        make_pipeline(LinearRegression()),
        make_pipeline(make_pipeline(LinearRegression())),
    ):
        np.testing.assert_allclose(fit_base(base, X, Y, weight).predict(X), expected)


def test_out_of_fold_equals_fits_without_the_fold():
    """Each fold is predicted by a fit to the others, with weights."""
    weight = np.linspace(0.5, 2, 40)
    result = out_of_fold(LinearRegression(), X, Y, weight, fold_of)
    for row in range(40):
        others = fold_of != fold_of[row]
        model = LinearRegression().fit(X[others], Y[others], sample_weight=weight[others])
        assert result[row] == pytest.approx(model.predict(X[[row]])[0])


@pytest.mark.parametrize(
    "base",
    [DecisionTreeRegressor(random_state=0), boosted_trees(0, 1, n_estimators=5), Ridge()],
    ids=["tree", "boosted", "ridge"],
)
def test_out_of_fold_excludes_own_target(base):
    """Changing the targets of a fold changes the predictions of the other folds only."""
    before = out_of_fold(base, X, Y, ONES, fold_of)
    for fold in range(5):
        inside = fold_of == fold
        after = out_of_fold(base, X, Y + 100.0 * inside, ONES, fold_of)
        np.testing.assert_array_equal(after[inside], before[inside])
        assert (after[~inside] != before[~inside]).mean() > 0.5


def test_single_fold_predicts_the_mean():
    """With one fold all predictions are the weighted mean."""
    result = out_of_fold(Ridge(), X, Y, fold_of + 1.0, np.zeros(40))
    np.testing.assert_allclose(result, np.average(Y, weights=fold_of + 1.0))


def test_known_noise_reduces_sample_weights():
    """A linear fit is that of weights times `noise_weight`."""
    noise, weight = np.where(np.arange(40) % 2, 1.5, 0.0), RNG.uniform(0.5, 2, 40)
    fitted = fit_base(LinearRegression(), X, Y, weight, noise)
    expected = LinearRegression().fit(X, Y, weight * noise_weight(noise, weight))
    np.testing.assert_allclose(fitted.coef_, expected.coef_)
    held_out = out_of_fold(LinearRegression(), X, Y, weight, fold_of, noise)
    inside = fold_of == 3
    part = fit_base(LinearRegression(), X[~inside], Y[~inside], weight[~inside], noise[~inside])
    np.testing.assert_allclose(held_out[inside], part.predict(X[inside]))


def test_known_noise_is_not_used_without_sample_weights():
    """A regressor without sample weights is fitted as before."""
    noise = np.where(np.arange(40) % 2, 1.5, 0.0)
    fitted, plain = (
        fit_base(KNeighborsRegressor(), X, Y, ONES, values).predict(X) for values in (noise, None)
    )
    np.testing.assert_array_equal(fitted, plain)
