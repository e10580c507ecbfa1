"""What a model looks at, what its parts are worth, and where its errors lie together.

`SpTGNNRegressor.attention` and `SpTGNNRegressor.expert_weights` tell of single predictions.
"""

from .groups import grouped_permutation_importance
from .ingredients import ablation
from .local import local_morans_i

__all__ = ["ablation", "grouped_permutation_importance", "local_morans_i"]
