from .change import estimate_change
from .design_based import design_estimate
from .detectable_change import minimum_detectable_change
from .estimates import DesignEstimate, ModelAssistedEstimate
from .model_assisted import model_assisted_estimate
from .model_based import estimate
from .sample_proposals import propose_samples
from .stock_estimates import estimate_stock, estimate_stock_change
from .stocks import UncertainValue, equivalent_thickness, soil_mass, stock

__all__ = [
    "DesignEstimate",
    "ModelAssistedEstimate",
    "UncertainValue",
    "design_estimate",
    "equivalent_thickness",
    "estimate",
    "estimate_change",
    "estimate_stock",
    "estimate_stock_change",
    "minimum_detectable_change",
    "model_assisted_estimate",
    "propose_samples",
    "soil_mass",
    "stock",
]
