"""Boosted trees as text that is looked through before XGBoost reads it.

XGBoost trusts what it reads: places of nodes beyond the end of a tree are read all the same. So
trees are kept in its JSON format, and every place is checked first.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
from xgboost import XGBRegressor

from ..utils.safe_file import FileError

__all__ = ["as_text", "from_text", "pack_booster", "unpack_booster"]

_MOST_TEXT = 2**31  # bytes of a model, so that a small file cannot fill the memory
_BY_NODE = (
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
_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def pack_booster(model: XGBRegressor) -> dict[str, Any]:
    """Take a regressor, fitted or not, apart."""
    fitted = model.__sklearn_is_fitted__()
    text = zlib.compress(json.dumps(as_text(model)).encode()) if fitted else b""
    return {"params": model.get_params(), "booster": np.frombuffer(text, np.uint8)}


def unpack_booster(given: dict[str, Any]) -> XGBRegressor:
    """Put a regressor together again.

    Raises
    ------
    FileError
        If its trees are none.
    """
    model = XGBRegressor(**given["params"])
    packed = given["booster"].tobytes()
    if not packed:
        return model
    reader = zlib.decompressobj()
    text = reader.decompress(packed, _MOST_TEXT)
    if not reader.eof:
        raise FileError("The trees of the base are cut.")
    return from_text(model, json.loads(text))


def as_text(model: XGBRegressor) -> dict[str, Any]:
    """Return the trees of a fitted regressor in XGBoost's JSON format."""
    return json.loads(bytes(model.get_booster().save_raw("json")))


def from_text(model: XGBRegressor, trees: dict[str, Any]) -> XGBRegressor:
    """Give trees in XGBoost's JSON format to a regressor.

    Raises
    ------
    FileError
        If a tree has places that are not there.
    """
    _check_booster(trees)
    model.load_model(bytearray(json.dumps(trees).encode()))
    return model


def _check_booster(model: dict[str, Any]) -> None:
    learner = model["learner"]
    n_columns = _is_integer(learner["learner_model_param"]["num_feature"])
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise FileError(f"The base is a {booster['name']!r} booster; trees are expected.")
    trees = booster["model"]["trees"]
    if len(trees) != len(booster["model"]["tree_info"]):
        raise FileError("The base lacks trees.")
    if _is_integer(booster["model"]["gbtree_model_param"]["num_trees"]) != len(trees):
        raise FileError("The base lacks trees.")
    if any(group != 0 for group in booster["model"]["tree_info"]):
        raise FileError("Trees of the base belong to groups of which there is one only.")
    steps = booster["model"]["iteration_indptr"]
    if steps != sorted(steps) or not set(steps) <= set(range(len(trees) + 1)):
        raise FileError("Rounds of the base name trees that are not there.")
    for tree in trees:
        _check_tree(tree, n_columns)


def _check_tree(tree: dict[str, Any], n_columns: int) -> None:
    n = len(tree["left_children"])
    sizes = {len(tree[name]) for name in _BY_NODE} | {_is_integer(tree["tree_param"]["num_nodes"])}
    if n == 0 or sizes != {n} or any(tree[name] for name in _CATEGORIES):
        raise FileError("A tree of the base lacks nodes.")
    if _is_integer(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise FileError("Leaves of the base have more than one value.")
    left, right, column, kind, parent = (
        np.asarray(tree[name])
        for name in ("left_children", "right_children", "split_indices", "split_type", "parents")
    )
    if any(values.dtype.kind != "i" for values in (left, right, column, kind, parent)):
        raise FileError("Nodes of the base are not told by whole numbers.")
    nodes, inner = np.arange(n), left != -1
    # Children come after their parents, so that no way through a tree goes on for ever.
    sound = (
        (inner == (right != -1)).all()
        and (left[inner] > nodes[inner]).all()
        and (right[inner] > nodes[inner]).all()
        and (np.maximum(left, right) < n).all()
        and ((column >= 0) & (column < max(n_columns, 1))).all()
        and (kind == 0).all()
        and ((parent >= 0) & ((parent < n) | (parent == 2**31 - 1))).all()
    )
    if not sound:
        raise FileError("Nodes of the base lead to places that are not there.")


def _is_integer(text: Any) -> int:
    """Return a whole number that XGBoost keeps as text."""
    return int(str(text))
