from . import (
    applicability,
    datasets,
    estimation,
    inspection,
    maps,
    metrics,
    model_selection,
    plotting,
    readers,
)
from .applicability.area_of_applicability import AreaOfApplicability
from .baseline import XGBoostBaseline
from .encoders.terramind_images import TerraMindImages
from .encoders.transformer import TerraMindEmbedder
from .images.extraction import extract_chips
from .maps.predict_map import predict_map
from .maps.sample_rasters import sample_rasters
from .meta_estimators import (
    predict_interval,
    predict_probability,
    predict_uncertainty,
    sample_y,
)
from .model_selection.comparison import compare_models
from .network.config import NetworkConfig
from .regressor import SpTGNNRegressor
from .table.image_columns import ImageColumn

__version__: str

__all__ = [
    "AreaOfApplicability",
    "ImageColumn",
    "NetworkConfig",
    "SpTGNNRegressor",
    "TerraMindEmbedder",
    "TerraMindImages",
    "XGBoostBaseline",
    "applicability",
    "compare_models",
    "datasets",
    "estimation",
    "extract_chips",
    "inspection",
    "maps",
    "metrics",
    "model_selection",
    "plotting",
    "predict_interval",
    "predict_map",
    "predict_probability",
    "predict_uncertainty",
    "readers",
    "sample_rasters",
    "sample_y",
]
