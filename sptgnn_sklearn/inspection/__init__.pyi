from .ablation import ablation
from .coverage_table import CoverageTable, coverage_table
from .local_moran import local_morans_i
from .permutation_importance import grouped_permutation_importance

__all__ = [
    "CoverageTable",
    "ablation",
    "coverage_table",
    "grouped_permutation_importance",
    "local_morans_i",
]
