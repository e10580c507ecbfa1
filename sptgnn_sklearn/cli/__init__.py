"""Command line ``sptgnn``: check a table, compare models, fit one, map and report."""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
