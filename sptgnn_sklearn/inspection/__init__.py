"""Fitted models: importance of columns, ablation, coverage by groups and local Moran's I.

For single predictions see `SpTGNNRegressor.attention_weights` and `SpTGNNRegressor.expert_weights`.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
