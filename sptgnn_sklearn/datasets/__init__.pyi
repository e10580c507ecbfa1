from .meuse import load_meuse
from .soil_survey import make_soil_survey

__all__ = [
    "load_meuse",
    "make_soil_survey",
]
