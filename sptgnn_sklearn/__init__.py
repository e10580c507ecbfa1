"""Spatio-temporal graph neural networks for soil tables, as a scikit-learn estimator."""

from .applicability.area_of_applicability import AreaOfApplicability
from .baseline import XGBoostBaseline
from .encoders.terramind_images import TerraMindImages
from .encoders.transformer import TerraMindEmbedder
from .images.extraction import extract_chips
from .maps.predict_map import predict_map
from .meta_estimators import predict_interval, predict_uncertainty
from .model_selection.comparison import compare_models
from .network.config import NetworkConfig
from .regressor import SpTGNNRegressor
from .table.image_columns import ImageColumn

__version__ = "0.1.0"

__all__ = [
    "AreaOfApplicability",
    "ImageColumn",
    "NetworkConfig",
    "SpTGNNRegressor",
    "TerraMindEmbedder",
    "TerraMindImages",
    "XGBoostBaseline",
    "compare_models",
    "extract_chips",
    "predict_interval",
    "predict_map",
    "predict_uncertainty",
]
