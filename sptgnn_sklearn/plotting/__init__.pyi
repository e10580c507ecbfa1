from .color_scale import shared_norm
from .comparison import plot_comparison
from .coverage import CoverageDisplay
from .error_profiles import ErrorProfileDisplay
from .figure_style import style
from .folds import FoldsDisplay, plot_fold_distances
from .interactive_map import write_interactive_map
from .maps import plot_map
from .model import plot_experts, plot_graph, plot_training
from .predictions import ObservedPredictedDisplay, ReliabilityDisplay

__all__ = [
    "CoverageDisplay",
    "ErrorProfileDisplay",
    "FoldsDisplay",
    "ObservedPredictedDisplay",
    "ReliabilityDisplay",
    "plot_comparison",
    "plot_experts",
    "plot_fold_distances",
    "plot_graph",
    "plot_map",
    "plot_training",
    "shared_norm",
    "style",
    "write_interactive_map",
]
