"""Figures: maps, observed against predicted values, reliability, folds, and fitted networks.

Functions draw on the axes given, or on new ones, and return them. Displays follow scikit-learn's
convention of ``from_estimator`` and ``from_predictions``. Figures need matplotlib:
``pip install "sptgnn-sklearn[plot]"``.
"""

from .comparison import plot_comparison
from .folds import FoldsDisplay, plot_fold_distances
from .maps import plot_map
from .model import plot_experts, plot_graph, plot_training
from .predictions import ObservedPredictedDisplay, ReliabilityDisplay

__all__ = [
    "FoldsDisplay",
    "ObservedPredictedDisplay",
    "ReliabilityDisplay",
    "plot_comparison",
    "plot_experts",
    "plot_fold_distances",
    "plot_graph",
    "plot_map",
    "plot_training",
]
