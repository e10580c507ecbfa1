"""Figures: values on a map, observed against predicted, folds, models, and what is inside of one.

Functions draw on the axes they are given, or on new ones, and return them; displays do the same in
scikit-learn's form and keep what they drew. matplotlib is imported when a figure is drawn:
``pip install "sptgnn-sklearn[plot]"``.
"""

from .comparison import plot_comparison
from .displays import FoldsDisplay, ObservedPredictedDisplay, ReliabilityDisplay
from .folds import plot_fold_distances, plot_folds
from .maps import plot_map
from .model import plot_experts, plot_graph, plot_training
from .predictions import plot_calibration, plot_observed_predicted

__all__ = [
    "FoldsDisplay",
    "ObservedPredictedDisplay",
    "ReliabilityDisplay",
    "plot_calibration",
    "plot_comparison",
    "plot_experts",
    "plot_fold_distances",
    "plot_folds",
    "plot_graph",
    "plot_map",
    "plot_observed_predicted",
    "plot_training",
]
