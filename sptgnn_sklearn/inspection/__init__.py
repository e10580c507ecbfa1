"""Explanations of fitted models: importance of columns, ablation and local Moran's I.

For single predictions see `SpTGNNRegressor.attention_weights` and `SpTGNNRegressor.expert_weights`.
"""

from .ablation import ablation
from .local_moran import local_morans_i
from .permutation_importance import grouped_permutation_importance

__all__ = ["ablation", "grouped_permutation_importance", "local_morans_i"]
