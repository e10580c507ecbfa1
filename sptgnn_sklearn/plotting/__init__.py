"""Figures: maps, observed against predicted values, reliability, folds, and fitted networks.

Functions draw on the axes given, or on new ones, and return them. Displays follow scikit-learn's
convention of ``from_estimator`` and ``from_predictions``. Figures need matplotlib:
``pip install "sptgnn-sklearn[plot]"``.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
