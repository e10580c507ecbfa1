from .area_of_applicability import AreaOfApplicability

__all__ = [
    "AreaOfApplicability",
]
