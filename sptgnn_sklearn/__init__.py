"""Spatio-temporal graph neural networks for soil tables, as a scikit-learn estimator."""

from .baseline import XGBoostBaseline
from .regressor import SpTGNNRegressor

__version__ = "0.1.0"

__all__ = ["SpTGNNRegressor", "XGBoostBaseline"]
