"""The tabular base: made, fitted with weights, and predicting what it never saw."""

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

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=40)
ONES = np.ones(40)
fold_of = np.arange(40) % 5


def test_no_base_is_no_base():
    """None switches the base off."""
    assert make_base(None, 0, None) is None


def test_the_default_base_is_boosted_trees():
    """By name, with seed and threads, and the settings of the baseline."""
    base = make_base("xgboost", 7, 1)
    assert base.get_params() == boosted_trees(7, 1).get_params()
    assert (base.random_state, base.n_jobs) == (7, 1)
    assert boosted_trees(n_estimators=3).n_estimators == 3


def test_a_regressor_is_copied_and_seeded():
    """The caller's object stays as it is; a seed that was given stays too."""
    mine = RandomForestRegressor()
    made = make_base(mine, 7, None)
    assert made is not mine
    assert made.random_state == 7
    assert mine.random_state is None
    assert make_base(RandomForestRegressor(random_state=3), 7, None).random_state == 3


def test_seeds_reach_into_pipelines():
    """Any random state that is None is set, at any depth, so that fits can be repeated."""
    nested = make_pipeline(StandardScaler(), make_pipeline(RandomForestRegressor()))
    made = make_base(nested, 7, None)
    seeds = {value for name, value in made.get_params().items() if name.endswith("random_state")}
    assert seeds == {7}


def test_gaps_are_filled_for_a_base_that_cannot_take_them():
    """Medians stand in for gaps; a base that knows gaps gets them."""
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
def test_what_is_no_regressor_is_refused(base):
    """The error says what may be passed."""
    with pytest.raises(ValueError, match=r"base=.* is not known; pass None, 'xgboost' or a scikit"):
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
def test_a_weight_is_a_repetition(base):
    """Whole weights and repeated rows give one fit, whether or not the base takes weights."""
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
def test_weights_that_the_base_cannot_take_are_refused(weight):
    """Fractions cannot be repeated, and hundreds of copies are no help."""
    with pytest.raises(ValueError, match=r"sample_weight differs .* base=KNeighbors.* takes none"):
        fit_base(KNeighborsRegressor(), X, Y, weight)
    fit_base(KNeighborsRegressor(), X, Y, np.full(40, 0.5))
    fit_base(LinearRegression(), X, Y, weight)


def test_fractional_weights_reach_the_last_step_of_a_pipeline():
    """A base in a pipeline, also in one inside another, is fitted as it would be alone."""
    weight = np.linspace(0.5, 2, 40)
    expected = LinearRegression().fit(X, Y, sample_weight=weight).predict(X)
    for base in (
        make_pipeline(LinearRegression()),
        make_pipeline(make_pipeline(LinearRegression())),
    ):
        np.testing.assert_allclose(fit_base(base, X, Y, weight).predict(X), expected)


def test_out_of_fold_predictions_are_those_of_copies_fitted_without_the_fold():
    """Each fold is predicted by a fit to all the others, weights included."""
    weight = np.linspace(0.5, 2, 40)
    found = out_of_fold(LinearRegression(), X, Y, weight, fold_of)
    for row in range(40):
        others = fold_of != fold_of[row]
        model = LinearRegression().fit(X[others], Y[others], sample_weight=weight[others])
        assert found[row] == pytest.approx(model.predict(X[[row]])[0])


@pytest.mark.parametrize(
    "base",
    [DecisionTreeRegressor(random_state=0), boosted_trees(0, 1, n_estimators=5), Ridge()],
    ids=["tree", "boosted", "ridge"],
)
def test_out_of_fold_predictions_never_saw_their_target(base):
    """Whatever the targets of a fold are, its predictions stay, and those of others move."""
    before = out_of_fold(base, X, Y, ONES, fold_of)
    for fold in range(5):
        inside = fold_of == fold
        after = out_of_fold(base, X, Y + 100.0 * inside, ONES, fold_of)
        np.testing.assert_array_equal(after[inside], before[inside])
        assert (after[~inside] != before[~inside]).mean() > 0.5


def test_one_fold_gets_the_mean():
    """Where nothing is left to learn from, the weighted mean is all that can be said."""
    found = out_of_fold(Ridge(), X, Y, fold_of + 1.0, np.zeros(40))
    np.testing.assert_allclose(found, np.average(Y, weights=fold_of + 1.0))
