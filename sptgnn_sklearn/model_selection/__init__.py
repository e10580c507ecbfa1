"""Cross-validation splitters and model comparison for spatial data.

The splitters keep neighboring samples in the same fold. They read the coordinates from columns of
X, so they work in `cross_validate`, `GridSearchCV` and nested cross-validation.
"""

from .block_kfold import SpatialBlockKFold, spatial_blocks
from .block_size import suggest_block_size
from .comparison import ComparisonResult, compare_models
from .environmental import EnvironmentalBlockKFold
from .knndm import KNNDMKFold
from .leave_out import BufferedLeaveOneOut, LeaveLocationAndTimeOut

__all__ = [
    "BufferedLeaveOneOut",
    "ComparisonResult",
    "EnvironmentalBlockKFold",
    "KNNDMKFold",
    "LeaveLocationAndTimeOut",
    "SpatialBlockKFold",
    "compare_models",
    "spatial_blocks",
    "suggest_block_size",
]
