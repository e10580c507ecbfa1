"""Trees of XGBoost: restored as they were, and invalid ones rejected before they are loaded."""

import copy
import zlib

import numpy as np
import pytest
from xgboost import XGBRegressor

from sptgnn_sklearn.persistence.xgboost_json import (
    booster_from_json,
    booster_to_json,
    pack_booster,
    unpack_booster,
)
from sptgnn_sklearn.utils.safe_file import FileError


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(60, 3))


@pytest.fixture(scope="module")
def stumps(points):
    return XGBRegressor(n_estimators=2, max_depth=2).fit(points, points.sum(1))


def test_trees_are_restored(stumps, points):
    again = unpack_booster(pack_booster(stumps))
    np.testing.assert_array_equal(again.predict(points), stumps.predict(points))
    assert again.max_depth == 2


@pytest.mark.parametrize("gamma", [0.5, 2.0, 1e9])
def test_pruned_trees_are_restored(points, gamma):
    """The exact method keeps the nodes that it pruned in the arrays of a tree."""
    model = XGBRegressor(n_estimators=3, max_depth=4, tree_method="exact", gamma=gamma)
    model.fit(points, points[:, 0] + np.sin(9 * points[:, 1]))
    trees = booster_to_json(model)["learner"]["gradient_booster"]["model"]["trees"]
    assert any(int(tree["tree_param"]["num_deleted"]) for tree in trees)
    again = unpack_booster(pack_booster(model))
    np.testing.assert_array_equal(again.predict(points), model.predict(points))


def test_unfitted_regressors_are_restored_unfitted():
    again = unpack_booster(pack_booster(XGBRegressor(max_depth=3)))
    assert not again.__sklearn_is_fitted__()
    assert again.max_depth == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", {}),
        ("verbosity", []),
        ("max_depth", (3,)),
        ("n_jobs", set()),
        ("monotone_constraints", 1.5),
        ("eval_metric", 3),
        ("device", float("nan")),
    ],
)
def test_parameters_of_odd_types_raise(stumps, name, value):
    packed = pack_booster(stumps)
    with pytest.raises(FileError, match=f"parameter {name} is a {type(value).__name__}"):
        unpack_booster({**packed, "params": {**packed["params"], name: value}})


def test_parameters_of_constraints_are_restored(points):
    model = XGBRegressor(
        n_estimators=2,
        monotone_constraints=(1, 0, 0),
        interaction_constraints="[[0, 1], [2]]",
        eval_metric=["rmse", "mae"],
    )
    again = unpack_booster(pack_booster(model.fit(points, points.sum(1))))
    assert again.get_params()["monotone_constraints"] == (1, 0, 0)
    np.testing.assert_array_equal(again.predict(points), model.predict(points))


def test_truncated_trees_raise(stumps):
    packed = pack_booster(stumps)
    with pytest.raises(FileError, match="truncated"):
        unpack_booster({**packed, "booster": packed["booster"][:-20]})


OUT_OF_RANGE, LENGTH = "out of range", "differ in length"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("left_children", lambda old: [len(old) + 5, *old[1:]], OUT_OF_RANGE),
        ("left_children", lambda old: [0, *old[1:]], OUT_OF_RANGE),  # an endless path
        ("right_children", lambda old: [-1] * len(old), OUT_OF_RANGE),
        ("right_children", lambda old: [1, *old[1:]], OUT_OF_RANGE),  # not next to the left child
        ("split_indices", lambda old: [77, *old[1:]], OUT_OF_RANGE),
        ("parents", lambda old: [len(old) + 1, *old[1:]], OUT_OF_RANGE),
        ("split_type", lambda old: [1] * len(old), OUT_OF_RANGE),
        ("base_weights", lambda old: old[1:], LENGTH),
        ("categories", lambda old: [1], LENGTH),
        ("left_children", lambda old: [0.5] * len(old), "not integers"),
        ("tree_param", lambda old: {**old, "size_leaf_vector": "3"}, "leaf_vector is 3"),
    ],
)
def test_invalid_trees_raise(stumps, name, change, message):
    """XGBoost would follow their indices beyond the end of a tree."""
    content = booster_to_json(stumps)
    tree = content["learner"]["gradient_booster"]["model"]["trees"][1]
    tree[name] = change(tree[name])
    with pytest.raises(FileError, match=message):
        booster_from_json(XGBRegressor(), content)


@pytest.mark.parametrize("ids", [[0, 0], [1, 1], [1, 0], [0, 2], [-1, 1], [0, True], [0, "1"]])
def test_trees_have_consecutive_ids(stumps, ids):
    """XGBoost leaves trees whose id is missing undefined and crashes in predictions."""
    content = booster_to_json(stumps)
    for tree, number in zip(
        content["learner"]["gradient_booster"]["model"]["trees"], ids, strict=True
    ):
        tree["id"] = number
    with pytest.raises(FileError, match="has the id"):
        booster_from_json(XGBRegressor(), content)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ((), {"config": {}}),
        (("learner",), {"feature_names": ["a"]}),
        (("learner",), {"feature_types": [1, 2, 3]}),
        (("learner",), {"attributes": {"best_iteration": "7"}}),
        (("learner",), {"attributes": {"best_iteration": "-1"}}),
        (("learner", "gradient_booster"), {"gbtree": {}}),
        (("learner", "gradient_booster", "model"), {"cats": {"enc": [1]}}),
        (("learner", "gradient_booster", "model"), {"weight_drop": [1.0]}),
    ],
)
def test_unknown_or_odd_fields_raise(stumps, part, change):
    """Fields that are not checked do not reach XGBoost."""
    content = booster_to_json(stumps)
    node = content
    for key in part:
        node = node[key]
    node.update(change)
    with pytest.raises(FileError, match="XGBoost model"):
        booster_from_json(XGBRegressor(), content)


def test_early_stopping_is_restored(points):
    model = XGBRegressor(n_estimators=20, max_depth=2, early_stopping_rounds=2)
    model.fit(points[:30], points[:30, 0], eval_set=[(points[30:], -points[30:, 1])], verbose=False)
    again = unpack_booster(pack_booster(model))
    assert again.best_iteration == model.best_iteration < 19
    np.testing.assert_array_equal(again.predict(points), model.predict(points))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("name",), "dart", "'dart'"),
        (("model", "tree_info"), [0], "2 trees, 2 declared"),
        (("model", "tree_info"), [0, 9], "group"),
        (("model", "gbtree_model_param", "num_trees"), "9", "2 trees, 9 declared"),
        (("model", "iteration_indptr"), [0, 1, 9], "round out of range"),
    ],
)
def test_invalid_boosters_raise(stumps, path, value, message):
    """Trees, groups and boosting rounds must match."""
    content = copy.deepcopy(booster_to_json(stumps))
    target = content["learner"]["gradient_booster"]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(FileError, match=message):
        booster_from_json(XGBRegressor(), content)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_class", "1000000000"),
        ("num_class", "-1"),
        ("num_target", "7"),
        ("num_feature", "-1"),
        ("base_score", "nan"),
        ("base_score", "[-1e39]"),
        ("base_score", "[1,2,3]"),
    ],
)
def test_invalid_learners_raise(stumps, name, value):
    """One output of single precision; XGBoost would allocate memory for every class."""
    content = booster_to_json(stumps)
    content["learner"]["learner_model_param"][name] = value
    with pytest.raises(FileError):
        booster_from_json(XGBRegressor(), content)


@pytest.mark.parametrize("size", ["-3", "-1", "2"])
def test_leaf_sizes_are_zero_or_one(stumps, size):
    content = booster_to_json(stumps)
    tree = content["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["tree_param"]["size_leaf_vector"] = size
    with pytest.raises(FileError, match=f"size_leaf_vector is {size}"):
        booster_from_json(XGBRegressor(), content)


@pytest.mark.parametrize(
    "text",
    [
        b'{"learner":[' + b"[]," * 100_000 + b"[]]}",
        b'{"learner":[' + b"{}," * 100_000 + b"{}]}",
        b'{"learner":[' + b"0," * 20_000_000 + b"0]}",
    ],
    ids=["lists", "dictionaries", "numbers"],
)
def test_small_files_of_large_texts_raise(stumps, text):
    """They would take gigabytes before the trees are found to be invalid."""
    packed = {**pack_booster(stumps), "booster": np.frombuffer(zlib.compress(text), np.uint8)}
    with pytest.raises(FileError, match=r"more than|more lists"):
        unpack_booster(packed)


def test_many_equal_trees_are_restored():
    """They are compressed most of all."""
    model = XGBRegressor(n_estimators=200).fit(np.zeros((9, 1)), np.ones(9))
    assert len(booster_to_json(unpack_booster(pack_booster(model)))) > 0
