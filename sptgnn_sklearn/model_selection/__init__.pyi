from .block_kfold import SpatialBlockKFold, spatial_blocks
from .block_size import suggest_block_size
from .comparison import ComparisonResult, compare_models
from .environmental import EnvironmentalBlockKFold
from .forward_selection import ForwardSelection
from .knndm import KNNDMKFold
from .leave_out import BufferedLeaveOneOut, LeaveLocationAndTimeOut
from .sampling_intensity import inverse_intensity_weights
from .score_errors import score_differences, score_intervals

__all__ = [
    "BufferedLeaveOneOut",
    "ComparisonResult",
    "EnvironmentalBlockKFold",
    "ForwardSelection",
    "KNNDMKFold",
    "LeaveLocationAndTimeOut",
    "SpatialBlockKFold",
    "compare_models",
    "inverse_intensity_weights",
    "score_differences",
    "score_intervals",
    "spatial_blocks",
    "suggest_block_size",
]
