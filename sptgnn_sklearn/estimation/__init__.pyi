from .change import estimate_change
from .design_based import design_estimate
from .estimates import DesignEstimate, ModelAssistedEstimate
from .model_assisted import model_assisted_estimate
from .model_based import estimate
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
    "model_assisted_estimate",
    "soil_mass",
    "stock",
]
