"""Boosted trees without split values and leaves of single rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xgboost import XGBRegressor

from .xgboost_json import booster_from_json, booster_to_json

__all__ = ["coarsen_trees"]

_NO_PARENT_NODE = 2**31 - 1  # XGBoost's parent of a root
_LISTS = (
    "base_weights",
    "default_left",
    "left_children",
    "loss_changes",
    "parents",
    "right_children",
    "split_conditions",
    "split_indices",
    "split_type",
    "sum_hessian",
)


def coarsen_trees(
    base: XGBRegressor,
    inputs: np.ndarray,
    location: np.ndarray,
    weight: np.ndarray,
    size: int,
    knots: Sequence[np.ndarray | float | None],
) -> XGBRegressor:
    """Return trees with rounded splits, and without splits that separate few locations.

    Parameters
    ----------
    base : fitted XGBRegressor
    inputs : ndarray of shape (n, width)
        Training rows.
    location : ndarray of shape (n,) of int
    weight : ndarray of shape (n,)
        Positive weights of the rows.
    size : int
        Least number of locations on either side of a split.
    knots : sequence of ndarray, float or None
        For each column the values to which splits are rounded, or the side of a grid; None leaves
        them unchanged.

    Returns
    -------
    XGBRegressor
        A split with too few locations on one side is replaced by the subtree of its other side.
    """
    model = booster_to_json(base)
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    inputs = inputs.astype(np.float32)
    columns = np.ascontiguousarray(inputs.T)
    single = len(np.unique(location)) == len(location)
    for number, tree in enumerate(trees):
        builder = _TreeBuilder(tree, columns, location, single, size, float(weight.max()), knots)
        trees[number] = builder.build()
    return booster_from_json(XGBRegressor(**base.get_params()), model)


class _TreeBuilder:
    """Writer of one coarsened tree in XGBoost's JSON format."""

    def __init__(
        self,
        tree: dict[str, Any],
        columns: np.ndarray,
        location: np.ndarray,
        single: bool,
        size: int,
        max_weight: float,
        knots: Sequence[np.ndarray | float | None],
    ) -> None:
        self.tree, self.columns, self.location, self.single = tree, columns, location, single
        self.size, self.max_weight, self.knots = size, max_weight, knots
        self.nodes: list[dict[str, Any]] = []

    def build(self) -> dict[str, Any]:
        """Return the tree; siblings are adjacent, as XGBoost assumes, and follow their parent."""
        self.nodes = [{}]
        self._write(0, 0, np.arange(self.columns.shape[1]), _NO_PARENT_NODE)
        written = {name: [node[name] for node in self.nodes] for name in _LISTS}
        parameters = {**self.tree["tree_param"], "num_nodes": str(len(self.nodes))}
        return {**self.tree, **written, "tree_param": parameters}

    def _write(self, index: int, node: int, rows: np.ndarray, parent: int) -> None:
        """Write the subtree of a node of the original tree at an index of the new one."""
        tree = self.tree
        while tree["left_children"][node] >= 0:
            children = tree["left_children"][node], tree["right_children"][node]
            split = self._round(node)
            parts = self._divide(node, split, rows)
            large = [self._is_large(*pair) for pair in zip(children, parts, strict=True)]
            if all(large):
                self._write_split(index, node, split, children, parts, parent)
                return
            if not any(large):
                break
            node = children[large.index(True)]
        self._write_leaf(index, node, parent)

    def _round(self, node: int) -> float:
        split = self.tree["split_conditions"][node]
        knots = self.knots[self.tree["split_indices"][node]]
        if knots is None:
            return float(split)
        if isinstance(knots, float):
            return float(np.round(split / knots) * knots)
        return float(knots[np.abs(knots - split).argmin()])

    def _divide(self, node: int, split: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = self.columns[self.tree["split_indices"][node], rows]
        left = values < np.float32(split)
        if self.tree["default_left"][node]:
            left |= np.isnan(values)
        return rows[left], rows[~left]

    def _is_large(self, child: int, rows: np.ndarray) -> bool:
        # The sum of weights divided by the largest one is at most the number of rows in the sample
        # from which the values of the leaves were computed.
        if self.tree["sum_hessian"][child] < self.size * self.max_weight * (1 - 1e-6):
            return False
        found = len(rows) if self.single else len(np.unique(self.location[rows]))
        return found >= self.size

    def _write_split(
        self,
        index: int,
        node: int,
        split: float,
        children: tuple[int, int],
        parts: tuple[np.ndarray, np.ndarray],
        parent: int,
    ) -> None:
        tree, left = self.tree, len(self.nodes)
        self.nodes += [{}, {}]
        for offset, (child, rows) in enumerate(zip(children, parts, strict=True)):
            self._write(left + offset, child, rows, index)
        # Sums over the rows of a removed child would follow from exact values of its ancestors.
        self.nodes[index] = {
            "base_weights": 0.0,
            "default_left": tree["default_left"][node],
            "left_children": left,
            "loss_changes": float(f"{tree['loss_changes'][node]:.1g}"),
            "parents": parent,
            "right_children": left + 1,
            "split_conditions": split,
            "split_indices": tree["split_indices"][node],
            "split_type": tree["split_type"][node],
            "sum_hessian": sum(self.nodes[child]["sum_hessian"] for child in (left, left + 1)),
        }

    def _write_leaf(self, index: int, node: int, parent: int) -> None:
        value, hessian = self._leaf(node)
        self.nodes[index] = {
            "base_weights": value,
            "default_left": 0,
            "left_children": -1,
            "loss_changes": 0.0,
            "parents": parent,
            "right_children": -1,
            "split_conditions": value,
            "split_indices": 0,
            "split_type": 0,
            "sum_hessian": hessian,
        }

    def _leaf(self, node: int) -> tuple[float, float]:
        """Mean of the leaves below a node, weighted by the sums of weights, and their sum."""
        tree = self.tree
        if tree["left_children"][node] < 0:
            return float(tree["split_conditions"][node]), float(tree["sum_hessian"][node])
        (left, n_left), (right, n_right) = (
            self._leaf(tree[side][node]) for side in ("left_children", "right_children")
        )
        total = n_left + n_right
        return (left * n_left + right * n_right) / max(total, 1e-300), total
