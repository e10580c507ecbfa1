"""Names, units and provenance that are stored in a map."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from ..meta_estimators import innermost_estimator
from ..spatial.crs import resolve_crs
from .layers import BlockPredictor, describe_layer, has_target_unit

__all__ = ["MapMetadata", "describe_map"]

_LIMITS = {"lower", "upper"}
_MAX_CRS_TEXT = 200


@dataclass(frozen=True)
class MapMetadata:
    """Description of a map; it contains no time of writing, so that equal maps are equal files.

    Attributes
    ----------
    long_names : dict of str to str
        Description of each layer.
    units : dict of str to str
        Unit of each layer, "1" for probabilities and indices; layers of unknown unit are left out.
    tags : dict of str to str
        Properties of the whole map, by the names of CF where it has one.
    """

    long_names: dict[str, str]
    units: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in their order."""
        return tuple(self.long_names)

    def attributes(self, layer: str) -> dict[str, str]:
        """Return the attributes of a layer, long_name and units."""
        units = {"units": self.units[layer]} if layer in self.units else {}
        return {"long_name": self.long_names[layer]} | units


def describe_map(
    predictor: BlockPredictor,
    *,
    target: str | None = None,
    units: str | None = None,
    date: Any = None,
    tags: Any = None,
) -> MapMetadata:
    """Return the description of a map.

    Parameters
    ----------
    predictor : BlockPredictor
    target : str, default=None
        Name of the target.
    units : str, default=None
        Unit of the target.
    date : date, text or year, default=None
        Date of the map.
    tags : mapping of str to value, default=None
        Further properties, which replace those of this function.

    Raises
    ------
    ValueError
        If a name is not text.
    """
    target, units = (_check_text(*item) for item in (("target", target), ("units", units)))
    given = {} if tags is None else tags
    if not isinstance(given, Mapping) or not all(isinstance(key, str) and key for key in given):
        raise ValueError(f"tags={tags!r} must map names to values.")
    layers = predictor.layers
    crs = predictor.table.grid_crs
    estimator = type(innermost_estimator(predictor.estimator)).__name__
    found = {
        "title": f"Prediction map of {target}" if target else "Prediction map",
        "source": f"{_software()}, {estimator}",
        "model": predictor.digest,
        "target": target,
        "date": None if date is None else _format_date(date),
        "coverage": f"{predictor.coverage:.10g}" if _LIMITS & set(layers) else None,
        # rioxarray removes an attribute named crs.
        "crs_name": None if crs is None else str(resolve_crs(crs, []).crs)[:_MAX_CRS_TEXT],
    }
    stored = {name: value for name, value in found.items() if value is not None}
    known = {name: units if has_target_unit(name) else "1" for name in layers}
    return MapMetadata(
        {name: describe_layer(name, predictor.coverage, target) for name in layers},
        {name: unit for name, unit in known.items() if unit is not None},
        stored | {name: str(value) for name, value in given.items()},
    )


def _check_text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ValueError(f"{name}={value!r} must be text, such as 'organic carbon' or '%'.")
    return value


def _software() -> str:
    try:
        return f"sptgnn_sklearn {version('sptgnn-sklearn')}"
    except PackageNotFoundError:  # imported from a source folder
        return "sptgnn_sklearn"


def _format_date(date: Any) -> str:
    if isinstance(date, np.datetime64 | pd.Timestamp | datetime.date):
        stamp = pd.Timestamp(date)
        return stamp.date().isoformat() if stamp == stamp.normalize() else stamp.isoformat()
    return str(date)
