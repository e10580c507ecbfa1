"""Forests of scikit-learn as XGBoost models: equal predictions, also at thresholds and for NaN."""

import json

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from xgboost import XGBRegressor

from sptgnn_sklearn.ensemble.tree_conversion import forest_to_xgboost
from sptgnn_sklearn.persistence.xgboost_json import pack_booster, unpack_booster

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * RNG.normal(size=80)
NEW = RNG.normal(size=(500, 4))


def with_gaps(values, share=0.2):
    gaps = values.copy()
    gaps[np.random.default_rng(1).random(values.shape) < share] = np.nan
    return gaps


def fit_forest(X, y=Y, sample_weight=None, **settings):
    settings = {"n_estimators": 12, "random_state": 0} | settings
    return ExtraTreesRegressor(**settings).fit(X, y, sample_weight)


def assert_same_predictions(forest, rows):
    result = forest_to_xgboost(forest).predict(rows)
    np.testing.assert_allclose(result, forest.predict(rows), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "settings",
    [{}, {"min_samples_leaf": 5}, {"max_depth": 1}, {"n_estimators": 1}, {"max_features": 1}],
    ids=str,
)
def test_predictions_are_equal(settings):
    forest = fit_forest(X, **settings)
    assert_same_predictions(forest, X)
    assert_same_predictions(forest, NEW)


def test_missing_values_follow_the_same_branches():
    """Those of columns with and without missing values in training."""
    gaps = with_gaps(X)
    gaps[:, 3] = X[:, 3]
    forest = fit_forest(gaps)
    for rows in (gaps, NEW, with_gaps(NEW), np.full((1, 4), np.nan)):
        assert_same_predictions(forest, rows)


def test_missing_values_that_training_had_not():
    forest = fit_forest(X)
    for rows in (with_gaps(NEW), np.full((1, 4), np.nan)):
        assert_same_predictions(forest, rows)


def test_rows_at_a_threshold_go_left():
    """scikit-learn compares with <=, XGBoost with <: integers and halves are often equal."""
    coarse = RNG.integers(0, 4, (80, 4)).astype(float)
    forest = fit_forest(coarse, coarse.sum(axis=1), bootstrap=False)
    for tree in forest.estimators_:
        threshold = tree.tree_.threshold
        # Exactly at each threshold, and next to it in single precision.
        tree.tree_.__setstate__(
            {**tree.tree_.__getstate__(), "nodes": rounded_thresholds(tree.tree_)}
        )
        assert (threshold == np.rint(threshold)).all()
    assert_same_predictions(forest, coarse)
    for direction in (-np.inf, np.inf):
        near = np.nextafter(coarse.astype(np.float32), np.float32(direction))
        assert_same_predictions(forest, near)


def rounded_thresholds(tree):
    nodes = tree.__getstate__()["nodes"].copy()
    nodes["threshold"] = np.rint(nodes["threshold"])
    return nodes


def test_rows_at_thresholds_of_double_precision():
    """A threshold between two numbers of single precision separates these."""
    forest = fit_forest(X)
    thresholds = np.concatenate([tree.tree_.threshold for tree in forest.estimators_])
    single = thresholds.astype(np.float32)
    rows = np.concatenate(
        [single, *(np.nextafter(single, np.float32(d)) for d in (-np.inf, np.inf))]
    )
    assert_same_predictions(forest, np.repeat(rows[:, None], 4, axis=1))


def test_weighted_forests_are_equal():
    """Leaves are weighted means, and nodes have the weight of their rows."""
    weight = RNG.uniform(0.5, 3, 80)
    forest = fit_forest(X, sample_weight=weight, min_samples_leaf=4)
    assert_same_predictions(forest, NEW)
    converted = forest_to_xgboost(forest)
    content = json.loads(bytes(converted.get_booster().save_raw("json")))
    trees = content["learner"]["gradient_booster"]["model"]["trees"]
    assert len(trees) == 12
    for tree in trees:
        assert tree["sum_hessian"][0] == pytest.approx(weight.sum())


def test_single_leaves_are_converted():
    """Constant targets give trees without splits."""
    forest = fit_forest(X, np.full(80, 2.5))
    assert forest.estimators_[0].tree_.node_count == 1
    np.testing.assert_allclose(forest_to_xgboost(forest).predict(NEW[:3]), 2.5)


def test_converted_forests_are_saved(tmp_path):
    """The checks of model files accept them, and predictions are equal bit for bit."""
    converted = forest_to_xgboost(fit_forest(with_gaps(X)))
    assert type(converted) is XGBRegressor
    again = unpack_booster(pack_booster(converted))
    rows = with_gaps(NEW)
    np.testing.assert_array_equal(again.predict(rows), converted.predict(rows))
    assert again.n_features_in_ == 4


def test_siblings_are_adjacent_and_know_their_parent():
    """The form that XGBoost reads."""
    content = json.loads(bytes(forest_to_xgboost(fit_forest(X)).get_booster().save_raw("json")))
    for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        inner = np.flatnonzero(left >= 0)
        np.testing.assert_array_equal(right[inner], left[inner] + 1)
        np.testing.assert_array_equal(np.array(tree["parents"])[left[inner]], inner)
        np.testing.assert_array_equal(np.array(tree["parents"])[right[inner]], inner)
