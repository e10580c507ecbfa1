"""Estimates of means, totals and change of a region, with standard errors and intervals.

Design-based ones need a probability sample, and no model has to be right. Model-based ones need
joint draws of a model, which has to be.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
