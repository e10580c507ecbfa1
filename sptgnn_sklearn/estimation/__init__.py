"""Estimates of means and totals of a region, with standard errors and confidence intervals.

The functions here are design-based: they need a probability sample, and no model has to be right.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
