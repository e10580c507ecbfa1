"""Variants of SpTGNN in the study of its ingredients: the default with one thing changed."""

from typing import Any

# Name: what is changed. The first is the default, with which the others are compared.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no base": {"base": None},
    "no graph": {"relations": ()},
    "spatial relation only": {"relations": ("spatial",)},
    "no spatial relation": {"relations": ("spectral", "elevation")},
    "no spectral relation": {"relations": ("spatial", "elevation")},
    "no elevation relation": {"relations": ("spatial", "spectral")},
    "no messages": {"messages": False},
    "no neighbour targets": {"neighbor_targets": False},
    "no mixture of experts": {"n_experts": 0},
    "no Moran penalty": {"moran_weight": 0.0},
    "no position": {"streams": ("covariates", "time", "imagery")},
    "no time": {"streams": ("covariates", "position", "imagery")},
    "squared errors (beta=1)": {"beta": 1.0},
    "one member": {"n_members": 1},
    "ten members": {"n_members": 10},
    "two layers": {"n_layers": 2},
    "last epoch kept": {"early_stopping": False},
}
