"""Ablation variants of SpTGNN: the default model with one parameter changed."""

from typing import Any

from sptgnn_sklearn.inspection.ablation import INGREDIENTS

# Base models of tables of up to 1,000 rows, one left out at a time.
SMALL_SURVEYS: dict[str, dict[str, Any]] = {
    "no boosted forests": {"base_estimator": ("kriging_extra_trees", "gaussian_process")},
    "no extra-trees": {"base_estimator": ("kriging_boosting", "gaussian_process")},
    "no Gaussian process": {"base_estimator": ("kriging_boosting", "kriging_extra_trees")},
}
# Changed parameters by variant. The first variant is the default, the reference of the others.
VARIANTS: dict[str, dict[str, Any]] = {"default": {}, **INGREDIENTS, **SMALL_SURVEYS}
