"""Splitters for samples that have a place: neighbours in space are not split into train and test.

They read the coordinates from columns of X, so that they serve in `cross_validate`,
`GridSearchCV` and nested cross-validation as any splitter of scikit-learn does.
"""

from .block_kfold import SpatialBlockKFold, spatial_blocks
from .block_size import suggest_block_size
from .environmental import EnvironmentalBlockKFold
from .knndm import KNNDMKFold
from .leave_out import BufferedLeaveOneOut, LeaveLocationAndTimeOut

__all__ = [
    "BufferedLeaveOneOut",
    "EnvironmentalBlockKFold",
    "KNNDMKFold",
    "LeaveLocationAndTimeOut",
    "SpatialBlockKFold",
    "spatial_blocks",
    "suggest_block_size",
]
