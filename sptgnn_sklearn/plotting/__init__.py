"""Figures: values on a map, observed against predicted, folds, and a comparison of models.

Functions draw on the axes they are given, or on new ones, and return them. matplotlib is imported
when a figure is drawn: ``pip install "sptgnn-sklearn[plot]"``.
"""

from .agreement import plot_calibration, plot_observed_predicted
from .folds import plot_fold_distances, plot_folds
from .maps import plot_map
from .models import plot_comparison

__all__ = [
    "plot_calibration",
    "plot_comparison",
    "plot_fold_distances",
    "plot_folds",
    "plot_map",
    "plot_observed_predicted",
]
