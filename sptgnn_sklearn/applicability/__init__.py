"""Area of applicability: where the training data support predictions."""

from .area_of_applicability import AreaOfApplicability

__all__ = ["AreaOfApplicability"]
