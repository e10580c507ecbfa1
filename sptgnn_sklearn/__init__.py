"""Spatio-temporal graph neural networks for soil tables, as a scikit-learn estimator."""

import lazy_loader

__version__ = "0.1.0"

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
