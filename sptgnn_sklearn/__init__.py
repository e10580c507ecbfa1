"""Spatio-temporal graph neural networks for soil tables, as a scikit-learn estimator."""

from .applicability import AreaOfApplicability
from .baseline import XGBoostBaseline
from .delegation import predict_interval, predict_uncertainty
from .images.extraction import extract_chips
from .images.transformer import TerraMindEmbedder
from .maps.mapping import predict_map
from .regressor import SpTGNNRegressor

__version__ = "0.1.0"

__all__ = [
    "AreaOfApplicability",
    "SpTGNNRegressor",
    "TerraMindEmbedder",
    "XGBoostBaseline",
    "extract_chips",
    "predict_interval",
    "predict_map",
    "predict_uncertainty",
]
