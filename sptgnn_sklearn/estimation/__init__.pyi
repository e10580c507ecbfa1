from .design_based import design_estimate
from .estimates import DesignEstimate, ModelAssistedEstimate
from .model_assisted import model_assisted_estimate

__all__ = [
    "DesignEstimate",
    "ModelAssistedEstimate",
    "design_estimate",
    "model_assisted_estimate",
]
