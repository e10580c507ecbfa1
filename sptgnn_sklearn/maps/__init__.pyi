from .predict_map import predict_map
from .sample_rasters import sample_rasters

__all__ = [
    "predict_map",
    "sample_rasters",
]
