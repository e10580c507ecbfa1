"""Options of the ensemble: parameter checks and the objects made from them."""

from __future__ import annotations

RELATIONS = ("spatial", "spectral", "elevation")
STREAMS = ("imagery", "covariates", "position", "time")
