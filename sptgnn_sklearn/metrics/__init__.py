"""Metrics for soil maps: accuracy, calibration of uncertainty, and spatial autocorrelation.

Most functions return a float; their docstrings name the best value. Objects whose name ends in
``_scorer`` are for scikit-learn's ``scoring`` parameters, where greater is always better.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
