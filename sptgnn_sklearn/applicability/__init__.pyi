from .area_of_applicability import AreaOfApplicability
from .error_profile import ErrorProfile
from .sample_distances import sample_distance

__all__ = [
    "AreaOfApplicability",
    "ErrorProfile",
    "sample_distance",
]
