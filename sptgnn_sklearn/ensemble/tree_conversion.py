"""Conversion of a forest of scikit-learn to XGBoost, so that one format serves all trees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor
    from xgboost import XGBRegressor

__all__ = ["forest_to_xgboost"]

_PARENT_OF_ROOT = 2**31 - 1  # of a root


def forest_to_xgboost(forest: ExtraTreesRegressor) -> XGBRegressor:
    """Return a fitted forest as an XGBRegressor with the same predictions, up to rounding.

    XGBoost predicts faster than scikit-learn, and its trees are saved without code.

    Parameters
    ----------
    forest : fitted ExtraTreesRegressor
        Of one output.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> from sptgnn_sklearn.ensemble.tree_conversion import forest_to_xgboost
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> forest = ExtraTreesRegressor(10, random_state=0).fit(X, X[:, 0] ** 2)
    >>> forest_to_xgboost(forest).predict(X).round(3)
    array([0., 1., 4., 9.], dtype=float32)
    """
    from xgboost import XGBRegressor

    n_trees, n_features = len(forest.estimators_), forest.n_features_in_
    # A model of one tree gives the format of the installed version.
    settings = {"n_estimators": 1, "max_depth": 1, "base_score": 0.0, "n_jobs": 1}
    template = XGBRegressor(**settings, num_parallel_tree=n_trees)
    template.fit(np.zeros((2, n_features)), np.zeros(2))
    content = json.loads(bytes(template.get_booster().save_raw("json")))
    model = content["learner"]["gradient_booster"]["model"]
    model["trees"] = [
        {**template_tree, **_convert_tree(tree.tree_, n_trees, template_tree["tree_param"])}
        for template_tree, tree in zip(model["trees"], forest.estimators_, strict=True)
    ]
    template.load_model(bytearray(json.dumps(content).encode()))
    return template


def _convert_tree(tree: Any, n_trees: int, parameters: dict[str, str]) -> dict[str, Any]:
    """Return the arrays of a tree of scikit-learn in XGBoost's JSON format."""
    nodes = tree.__getstate__()["nodes"]
    order, left, right, parent = _breadth_first(nodes["left_child"], nodes["right_child"])
    nodes, values = nodes[order], tree.value[order, 0, 0] / n_trees
    is_leaf = left < 0
    # scikit-learn compares single precision x with x <= threshold, XGBoost with x < condition.
    conditions = _next_above(nodes["threshold"])
    n = len(order)
    zeros = [0] * n
    return {
        "base_weights": values.tolist(),
        "default_left": np.where(is_leaf, 0, nodes["missing_go_to_left"]).tolist(),
        "left_children": left.tolist(),
        "right_children": right.tolist(),
        "parents": parent.tolist(),
        "split_conditions": np.where(is_leaf, values, conditions).tolist(),
        "split_indices": np.where(is_leaf, 0, nodes["feature"]).tolist(),
        "split_type": zeros,
        "loss_changes": [0.0] * n,
        "sum_hessian": nodes["weighted_n_node_samples"].tolist(),
        "tree_param": {**parameters, "num_nodes": str(n), "num_deleted": "0"},
    }


def _breadth_first(
    left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return an order of the nodes with adjacent siblings, and their new children and parents."""
    order, new_left = [0], np.full(len(left), -1)
    parent = np.full(len(left), _PARENT_OF_ROOT)
    for position, node in enumerate(order):
        if left[node] >= 0:
            new_left[position] = len(order)
            parent[len(order) : len(order) + 2] = position
            order += [left[node], right[node]]
    new_right = np.where(new_left >= 0, new_left + 1, -1)
    return np.array(order), new_left, new_right, parent


def _next_above(threshold: np.ndarray) -> np.ndarray:
    """Return the smallest number of single precision above each threshold."""
    single = threshold.astype(np.float32)
    above = np.nextafter(single, np.float32(np.inf))
    return np.where(single > threshold, single, above).astype(np.float64)
