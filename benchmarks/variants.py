"""Variants of SpTGNN in the study of its ingredients: the default with one thing changed."""

from typing import Any

from sptgnn_sklearn.inspection.ablation import INGREDIENTS

# Name: what is changed. The first is the default, with which the others are compared.
VARIANTS: dict[str, dict[str, Any]] = {"default": {}, **INGREDIENTS}
