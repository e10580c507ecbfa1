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

_MAX_JSON_BYTES = 2**31  # bounds the memory of a small file that decompresses to a large one
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
_CATEGORY_FIELDS = (
    "categories",
    "categories_nodes",
    "categories_segments",
    "categories_sizes",
)
_NO_PARENT = 2**31 - 1


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
    model = XGBRegressor(**packed["params"])
    content = packed["booster"].tobytes()
    if not content:
        return model
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(content, _MAX_JSON_BYTES)
    if not decompressor.eof:
        raise FileError("Corrupt XGBoost model: truncated trees.")
    return booster_from_json(model, json.loads(text))


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
    n_features = _parse_int(learner["learner_model_param"]["num_feature"])
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise FileError(f"Unsupported XGBoost model: booster {booster['name']!r}, not 'gbtree'.")
    trees, groups = booster["model"]["trees"], booster["model"]["tree_info"]
    n_trees = _parse_int(booster["model"]["gbtree_model_param"]["num_trees"])
    if not len(trees) == len(groups) == n_trees:
        raise FileError(f"Corrupt XGBoost model: {len(trees)} trees, {n_trees} declared.")
    if any(group != 0 for group in groups):
        raise FileError("Unsupported XGBoost model: more than one output group.")
    rounds = booster["model"]["iteration_indptr"]
    if rounds != sorted(rounds) or not set(rounds) <= set(range(len(trees) + 1)):
        raise FileError("Corrupt XGBoost model: boosting round out of range.")
    for tree in trees:
        _check_tree(tree, n_features)


def _check_tree(tree: dict[str, Any], n_features: int) -> None:
    n = len(tree["left_children"])
    sizes = {len(tree[name]) for name in _NODE_FIELDS}
    sizes.add(_parse_int(tree["tree_param"]["num_nodes"]))
    if n == 0 or sizes != {n} or any(tree[name] for name in _CATEGORY_FIELDS):
        raise FileError("Corrupt XGBoost model: arrays of a tree differ in length.")
    if _parse_int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise FileError("Unsupported XGBoost model: leaves with more than one value.")
    left, right, feature, kind, parent = (
        np.asarray(tree[name])
        for name in ("left_children", "right_children", "split_indices", "split_type", "parents")
    )
    if any(values.dtype.kind != "i" for values in (left, right, feature, kind, parent)):
        raise FileError("Corrupt XGBoost model: indices are not integers.")
    nodes, has_children = np.arange(n), left != -1
    # Children have larger indices than their parents, so that no path through a tree is endless.
    valid = (
        (has_children == (right != -1)).all()
        and (left[has_children] > nodes[has_children]).all()
        and (right[has_children] > nodes[has_children]).all()
        and (np.maximum(left, right) < n).all()
        and ((feature >= 0) & (feature < max(n_features, 1))).all()
        and (kind == 0).all()
        and ((parent >= 0) & ((parent < n) | (parent == _NO_PARENT))).all()
    )
    if not valid:
        raise FileError("Corrupt XGBoost model: node or feature index out of range.")


def _parse_int(text: Any) -> int:
    """Return an integer that XGBoost stores as text."""
    return int(str(text))
