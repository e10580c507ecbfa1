from .ablation import ablation
from .local_moran import local_morans_i
from .permutation_importance import grouped_permutation_importance

__all__ = [
    "ablation",
    "grouped_permutation_importance",
    "local_morans_i",
]
