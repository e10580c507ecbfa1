"""Cross-validation splitters and model comparison for spatial data.

The splitters keep neighboring samples in the same fold. They read the coordinates from columns of
X, so they work in `cross_validate`, `GridSearchCV` and nested cross-validation.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
