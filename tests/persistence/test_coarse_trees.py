"""Trees with rounded splits and pruned leaves."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from xgboost import XGBRegressor

from sptgnn_sklearn.ensemble.tree_conversion import forest_to_xgboost
from sptgnn_sklearn.persistence.coarse_trees import coarsen_trees
from sptgnn_sklearn.persistence.xgboost_json import booster_to_json

RNG = np.random.RandomState(0)
INPUTS = RNG.normal(size=(200, 3))
INPUTS[::9, 1] = np.nan
TARGETS = INPUTS[:, 0] + np.sin(3 * INPUTS[:, 2]) + RNG.normal(scale=0.1, size=200)


def fit_trees(**settings):
    return XGBRegressor(n_estimators=30, max_depth=5, n_jobs=1, **settings).fit(INPUTS, TARGETS)


@pytest.mark.parametrize("per_location", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"subsample": 0.8, "min_child_weight": 3}], ids=str)
def test_leaves_hold_several_locations(per_location, settings):
    """In the sample of each tree, too."""
    location = np.arange(200) // per_location
    knots = [0.25, None, np.linspace(-2, 2, 17)]
    coarse = coarsen_trees(fit_trees(**settings), INPUTS, location, np.ones(200), 6, knots)
    for leaves in coarse.apply(INPUTS).T:
        pairs = np.unique(np.column_stack([leaves, location]), axis=0)
        assert np.unique(pairs[:, 0], return_counts=True)[1].min() >= 6
    booster = booster_to_json(coarse)["learner"]["gradient_booster"]["model"]
    for tree in booster["trees"]:
        assert min(tree["sum_hessian"]) >= 6 or len(tree["sum_hessian"]) == 1
        for left, column, split in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        ):
            if left >= 0 and column == 0:
                assert split % 0.25 == 0
            if left >= 0 and column == 2:
                assert np.abs(knots[2] - split).min() < 1e-6
    assert np.corrcoef(coarse.predict(INPUTS), TARGETS)[0, 1] > 0.9


def test_trees_without_small_leaves_do_not_change():
    """Splits that need no rounding and separate enough rows stay."""
    model = fit_trees(min_child_weight=12)
    same = coarsen_trees(model, INPUTS, np.arange(200), np.ones(200), 5, [None] * 3)
    np.testing.assert_array_equal(same.predict(INPUTS), model.predict(INPUTS))


def test_converted_forests_keep_their_scale():
    """Leaves of a forest of scikit-learn are means of targets, divided by the number of trees."""
    inputs = np.nan_to_num(INPUTS)
    forest = ExtraTreesRegressor(20, min_samples_leaf=2, random_state=0).fit(inputs, TARGETS)
    converted = forest_to_xgboost(forest)
    arguments = inputs, np.arange(200), np.ones(200)
    coarse = coarsen_trees(converted, *arguments, 6, [None] * 3)
    assert np.corrcoef(coarse.predict(inputs), TARGETS)[0, 1] > 0.8
    assert np.ptp(coarse.predict(inputs)) > 0.3 * np.ptp(forest.predict(inputs))
    single = coarsen_trees(converted, *arguments, 150, [None] * 3)
    assert np.ptp(single.predict(inputs)) == 0
    np.testing.assert_allclose(single.predict(inputs)[0], TARGETS.mean(), atol=0.2)
    same = coarsen_trees(converted, *arguments, 2, [None] * 3)
    np.testing.assert_allclose(same.predict(inputs), forest.predict(inputs), atol=1e-5)


def test_few_rows_give_single_leaves():
    """With a group as large as the survey no split is left, and the prediction is constant."""
    coarse = coarsen_trees(fit_trees(), INPUTS, np.arange(200), np.ones(200), 150, [None] * 3)
    assert np.ptp(coarse.predict(INPUTS)) == 0
    np.testing.assert_allclose(coarse.predict(INPUTS)[0], TARGETS.mean(), atol=0.2)
