"""Boosted trees in XGBoost's JSON format, validated before XGBoost reads them.

XGBoost does not check node indices when it loads a model, and reads beyond the end of a tree.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
from xgboost import XGBRegressor

from ..utils.safe_file import FileError

__all__ = ["booster_from_json", "booster_to_json", "pack_booster", "unpack_booster"]

# Bounds on the memory of a small file that decompresses to a large one: JSON text of trees is
# compressed to about a quarter, that of many equal trees to a fiftieth.
_FREE_JSON_BYTES, _MAX_COMPRESSION = 2**25, 32
_BRACKETS, _BRACKETS_PER_TREE = 2**12, 64
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_NODE_FIELDS = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "split_type",
    "default_left",
    "base_weights",
    "loss_changes",
    "sum_hessian",
)
_FINITE = ("split_conditions", "base_weights")
_NUMBERS = (*_FINITE, "loss_changes", "sum_hessian", "default_left")
_MAX_FEATURES = 2**24
_CATEGORY_FIELDS = (
    "categories",
    "categories_nodes",
    "categories_segments",
    "categories_sizes",
)
_NO_PARENT = _DELETED_FEATURE = 2**31 - 1
# Keys that XGBoost 3 writes. "attributes" is written by early stopping.
_LEARNER_KEYS = {
    *("attributes", "feature_names", "feature_types", "gradient_booster"),
    *("learner_model_param", "objective"),
}
_BOOSTER_KEYS = {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}
_TREE_KEYS = {*_NODE_FIELDS, *_CATEGORY_FIELDS, "id", "tree_param"}
# Types of the parameters that are not only numbers; others are numbers or texts.
_NUMBER_TYPES = (bool, int, float, np.number, np.bool_)
_TEXT_PARAMS = dict.fromkeys(
    (
        *("booster", "device", "grow_policy", "importance_type", "multi_strategy"),
        *("objective", "sampling_method", "tree_method"),
    ),
    (str,),
)
_PARAM_TYPES: dict[str, tuple[type, ...]] = {
    **_TEXT_PARAMS,
    "base_score": (*_NUMBER_TYPES, list, str),
    "eval_metric": (str, list),
    "feature_types": (list, tuple),
    "feature_weights": (list, np.ndarray),
    "interaction_constraints": (str, list, tuple),
    "monotone_constraints": (str, tuple, dict),
    "random_state": (*_NUMBER_TYPES, np.random.RandomState),
}
_TREE_KEY = b'"tree_param"'


def pack_booster(model: XGBRegressor) -> dict[str, Any]:
    """Return parameters and compressed trees of a regressor, fitted or not."""
    fitted = model.__sklearn_is_fitted__()
    content = zlib.compress(json.dumps(booster_to_json(model)).encode()) if fitted else b""
    return {"params": model.get_params(), "booster": np.frombuffer(content, np.uint8)}


def unpack_booster(packed: dict[str, Any]) -> XGBRegressor:
    """Return the regressor that `pack_booster` packed.

    Raises
    ------
    FileError
        If its trees are truncated or invalid.
    """
    _check_param_types(packed["params"])
    model = XGBRegressor(**packed["params"])
    content = packed["booster"].tobytes()
    if not content:
        return model
    limit = max(_FREE_JSON_BYTES, _MAX_COMPRESSION * len(content))
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(content, limit)
    if not decompressor.eof:
        reason = f"more than {limit} bytes" if len(text) == limit else "truncated trees"
        raise FileError(f"Corrupt XGBoost model: {reason}.")
    # An empty list of two characters takes 64 bytes of memory.
    if text.count(b"[") + text.count(b"{") > _BRACKETS + _BRACKETS_PER_TREE * text.count(_TREE_KEY):
        raise FileError("Corrupt XGBoost model: more lists than trees have.")
    return booster_from_json(model, json.loads(text))


def _check_param_types(params: dict[str, Any]) -> None:
    """Raise a FileError for values that XGBoost converts without a check of their type."""
    for name, value in params.items():
        if value is not None and not isinstance(
            value, _PARAM_TYPES.get(name, (*_NUMBER_TYPES, str))
        ):
            raise FileError(f"Corrupt XGBoost model: parameter {name} is a {type(value).__name__}.")


def booster_to_json(model: XGBRegressor) -> dict[str, Any]:
    """Return the trees of a fitted regressor in XGBoost's JSON format."""
    return json.loads(bytes(model.get_booster().save_raw("json")))


def booster_from_json(model: XGBRegressor, content: dict[str, Any]) -> XGBRegressor:
    """Load trees in XGBoost's JSON format into a regressor.

    Raises
    ------
    FileError
        If a tree is invalid.
    """
    _check_booster(content)
    model.load_model(bytearray(json.dumps(content).encode()))
    return model


def _check_booster(content: dict[str, Any]) -> None:
    learner = content["learner"]
    _check_keys(content, {"learner", "version"})
    _check_keys(learner, _LEARNER_KEYS)
    _check_keys(learner["gradient_booster"], {"model", "name"})
    parameters = learner["learner_model_param"]
    n_features = _parse_int(parameters["num_feature"])
    if not 0 <= n_features <= _MAX_FEATURES:
        raise FileError(f"Corrupt XGBoost model: {n_features} features.")
    n_outputs = _parse_int(parameters["num_class"]), _parse_int(parameters.get("num_target", 1))
    if n_outputs != (0, 1):
        raise FileError(f"Unsupported XGBoost model: {n_outputs} classes and targets, not (0, 1).")
    if not all(abs(score) <= _MAX_FLOAT32 for score in _base_scores(parameters["base_score"])):
        raise FileError(f"Corrupt XGBoost model: base_score {parameters['base_score']!r}.")
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise FileError(f"Unsupported XGBoost model: booster {booster['name']!r}, not 'gbtree'.")
    trees, groups = booster["model"]["trees"], booster["model"]["tree_info"]
    n_trees = _parse_int(booster["model"]["gbtree_model_param"]["num_trees"])
    n_parallel = _parse_int(booster["model"]["gbtree_model_param"]["num_parallel_tree"])
    if not 1 <= n_parallel <= max(n_trees, 1):
        raise FileError(f"Corrupt XGBoost model: {n_parallel} trees in each of {n_trees} rounds.")
    if not len(trees) == len(groups) == n_trees:
        raise FileError(f"Corrupt XGBoost model: {len(trees)} trees, {n_trees} declared.")
    if any(group != 0 for group in groups):
        raise FileError("Unsupported XGBoost model: more than one output group.")
    rounds = booster["model"]["iteration_indptr"]
    if rounds != sorted(rounds) or not set(rounds) <= set(range(len(trees) + 1)):
        raise FileError("Corrupt XGBoost model: boosting round out of range.")
    _check_keys(booster["model"], _BOOSTER_KEYS)
    if any(booster["model"].get("cats", {}).values()):
        raise FileError("Unsupported XGBoost model: categories.")
    for name in ("feature_names", "feature_types"):
        labels = learner.get(name, [])
        if len(labels) not in (0, n_features) or not all(isinstance(v, str) for v in labels):
            raise FileError(f"Corrupt XGBoost model: {name} are no texts, one for each feature.")
    best = learner.get("attributes", {}).get("best_iteration")
    if best is not None and not 0 <= _parse_int(best) < max(len(rounds) - 1, 1):
        raise FileError("Corrupt XGBoost model: best_iteration out of range.")
    for position, tree in enumerate(trees):
        # XGBoost stores each tree at the position of its id, and leaves the others undefined.
        if type(tree["id"]) is not int or tree["id"] != position:
            raise FileError(f"Corrupt XGBoost model: tree {position} has the id {tree['id']!r}.")
        _check_tree(tree, n_features)


def _check_keys(content: dict[str, Any], known: set[str]) -> None:
    """Raise a FileError if a part has keys that XGBoost might read without a check."""
    if unknown := set(content) - known:
        raise FileError(f"Unsupported XGBoost model: unknown fields {sorted(unknown)}.")


def _check_tree(tree: dict[str, Any], n_features: int) -> None:
    _check_keys(tree, _TREE_KEYS)
    n = len(tree["left_children"])
    sizes = {len(tree[name]) for name in _NODE_FIELDS}
    sizes.add(_parse_int(tree["tree_param"]["num_nodes"]))
    if n == 0 or sizes != {n} or any(tree[name] for name in _CATEGORY_FIELDS):
        raise FileError("Corrupt XGBoost model: arrays of a tree differ in length.")
    leaf_size = _parse_int(tree["tree_param"]["size_leaf_vector"])
    if leaf_size not in (0, 1):
        raise FileError(f"Unsupported XGBoost model: size_leaf_vector is {leaf_size}, not 0 or 1.")
    n_deleted = _parse_int(tree["tree_param"]["num_deleted"])
    if not 0 <= n_deleted < n:
        raise FileError("Corrupt XGBoost model: num_deleted of a tree out of range.")
    if _parse_int(tree["tree_param"]["num_feature"]) != n_features:
        raise FileError("Corrupt XGBoost model: trees with other features than the model.")
    for name in _NUMBERS:
        values = np.asarray(tree[name])
        if values.ndim != 1 or values.dtype.kind not in "if":
            raise FileError(f"Corrupt XGBoost model: {name} of a tree are not numbers.")
        if name in _FINITE and not (np.abs(values.astype(float)) <= _MAX_FLOAT32).all():
            raise FileError(f"Corrupt XGBoost model: {name} of a tree are not finite.")
    left, right, feature, kind, parent = (
        np.asarray(tree[name])
        for name in ("left_children", "right_children", "split_indices", "split_type", "parents")
    )
    integers = (left, right, feature, kind, parent)
    if any(values.ndim != 1 or values.dtype.kind != "i" for values in integers):
        raise FileError("Corrupt XGBoost model: indices are not integers.")
    nodes, has_children = np.arange(n), left != -1
    # Nodes that tree_method="exact" pruned. They stay in the arrays.
    deleted = (feature == _DELETED_FEATURE) & ~has_children
    # Children have larger indices than their parents, so that no path through a tree is endless.
    valid = (
        (has_children == (right != -1)).all()
        and (left[has_children] > nodes[has_children]).all()
        and (right == left + 1)[has_children].all()  # XGBoost only reads the left index
        and (np.maximum(left, right) < n).all()
        and (deleted | ((feature >= 0) & (feature < max(n_features, 1)))).all()
        and deleted.sum() == n_deleted
        and (kind == 0).all()
        and ((parent >= 0) & ((parent < n) | (parent == _NO_PARENT))).all()
    )
    if not valid:
        raise FileError("Corrupt XGBoost model: node or feature index out of range.")


def _parse_int(text: Any) -> int:
    """Return an integer that XGBoost stores as text."""
    return int(str(text))


def _base_scores(text: Any) -> list[float]:
    """Return the base score, which XGBoost 3 stores as the text of a list of one number."""
    values = [float(value) for value in str(text).strip("[]").split(",")]
    if len(values) != 1:
        raise FileError(f"Unsupported XGBoost model: {len(values)} base scores.")
    return values
