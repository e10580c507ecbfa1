"""Ablation variants of SpTGNN: the default model with one parameter changed."""

from typing import Any

from sptgnn_sklearn.inspection.ablation import INGREDIENTS

# Changed parameters by variant. The first variant is the default, the reference of the others.
VARIANTS: dict[str, dict[str, Any]] = {"default": {}, **INGREDIENTS}
