"""Layers of a map: predictions for the cells of a block from one pass of the model."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.utils import gen_batches

from ..meta_estimators import (
    innermost_estimator,
    predict_interval,
    predict_mean_std,
    predict_uncertainty,
    wrapped_estimator,
)
from .cell_table import Cells, CellTable
from .model_inputs import fitted_columns

__all__ = ["AREA_LAYERS", "LAYERS", "BlockPredictor", "choose_layers"]

LAYERS = {
    "mean": "predicted mean",
    "std": "standard deviation of the prediction",
    "aleatoric": "standard deviation of the noise",
    "epistemic": "standard deviation between ensemble members",
    "lower": "lower limit of the interval",
    "upper": "upper limit of the interval",
    "aoa": "1 inside the area of applicability, 0 outside",
    "dissimilarity": "dissimilarity index",
}
_STD_COMPONENTS = ("aleatoric", "epistemic")
_LIMIT_LAYERS = ("lower", "upper")
AREA_LAYERS = ("aoa", "dissimilarity")
_BATCH_ROWS = 2**18
_BATCH_ROWS_WITH_CHIPS = 1024  # the chips of a batch are on disk at the same time


def choose_layers(estimator: Any, layers: Sequence[str] | None, area: Any) -> tuple[str, ...]:
    """Return the requested layers, or the default ones.

    Parameters
    ----------
    estimator : fitted regressor
    layers : sequence of str or None
        None is mean, std if the estimator predicts it, and aoa if there is an area.
    area : AreaOfApplicability or None

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        If a layer is unknown, is repeated, or is not available from this estimator.

    Examples
    --------
    >>> from sklearn.linear_model import BayesianRidge, LinearRegression
    >>> from sptgnn_sklearn.maps.layers import choose_layers
    >>> choose_layers(LinearRegression(), None, None), choose_layers(BayesianRidge(), None, None)
    (('mean',), ('mean', 'std'))
    """
    inner = innermost_estimator(estimator)
    has_components = hasattr(inner, "predict_uncertainty")
    has_std = has_components or "return_std" in inspect.signature(inner.predict).parameters
    available = ["mean", *(["std"] if has_std else [])]
    available += [*_STD_COMPONENTS, *_LIMIT_LAYERS] if has_components else []
    available += AREA_LAYERS if area is not None else ()
    if layers is None:
        return tuple(name for name in ("mean", "std", "aoa") if name in available)
    layers = [layers] if isinstance(layers, str) else list(layers)
    unknown = [name for name in layers if name not in LAYERS]
    if unknown or not layers or len(set(layers)) < len(layers):
        raise ValueError(f"layers={layers!r} must be distinct names from {list(LAYERS)}.")
    for name in layers:
        if name in AREA_LAYERS and area is None:
            raise ValueError(f"the layer {name!r} needs area=AreaOfApplicability(...).fit(...).")
        if name not in available:
            raise ValueError(
                f"the layer {name!r} is not available from {type(inner).__name__}; choose from "
                f"{available}."
            )
    return tuple(layers)


@dataclass(frozen=True)
class BlockPredictor:
    """A fitted regressor with the steps from the covariates of a block to layers.

    Attributes
    ----------
    estimator : fitted regressor
    table : CellTable
    layers : tuple of str
    coverage : float
        Nominal coverage of the interval from lower to upper.
    area : AreaOfApplicability or None
    nodata : float
        Value of cells that are not predicted.
    """

    estimator: Any
    table: CellTable
    layers: tuple[str, ...]
    coverage: float
    area: Any
    nodata: float

    def __call__(
        self, values: Mapping[Hashable, np.ndarray], x: np.ndarray, y: np.ndarray
    ) -> np.ndarray:
        """Predict a block.

        Parameters
        ----------
        values : mapping of label to ndarray of shape (h, w)
        x, y : ndarray of shape (w,), (h,)

        Returns
        -------
        ndarray of shape (n_layers, h, w) of float32
        """
        out = np.full((len(self.layers), len(y) * len(x)), self.nodata, dtype=np.float32)
        cells = self.table.select_cells(values, x, y)
        if len(cells):
            out[:, cells.flat_index] = self.predict(cells)
        return out.reshape(len(self.layers), len(y), len(x))

    def predict(self, cells: Cells) -> np.ndarray:
        """Return the layers (n_layers, n) of cells, predicted in batches."""
        has_chips = bool(self.table.rasters)
        parts = []
        for batch in gen_batches(len(cells), _BATCH_ROWS_WITH_CHIPS if has_chips else _BATCH_ROWS):
            with _chip_folder(has_chips) as folder:
                frame = self.table.to_frame(cells.take(batch), folder)
                parts.append(self._predict_layers(frame))
        return np.concatenate(parts, axis=1)

    def _predict_layers(self, frame: pd.DataFrame) -> np.ndarray:
        values = self._predict_distribution(self.table.inputs.to_model_input(frame))
        if set(self.layers) & set(AREA_LAYERS):
            index = self._dissimilarity(frame)
            inside = np.where(np.isnan(index), np.nan, index <= self.area.threshold_)
            values |= {"dissimilarity": index, "aoa": inside}
        layers = np.stack([_to_float32(name, values[name]) for name in self.layers])
        return np.where(np.isnan(layers), np.float32(self.nodata), layers)

    def _predict_distribution(self, X: Any) -> dict[str, Any]:
        requested = set(self.layers)
        if _transforms_target(self.estimator) and not requested & {"std", *_STD_COMPONENTS}:
            # Limits can be transformed back by any monotone function, standard deviations cannot.
            return self._predict_limits(X)
        if requested & {*_STD_COMPONENTS, *_LIMIT_LAYERS}:
            coverage = self.coverage if requested & set(_LIMIT_LAYERS) else None
            return dict(predict_uncertainty(self.estimator, X, coverage=coverage))
        if "std" in requested:
            return dict(zip(("mean", "std"), predict_mean_std(self.estimator, X), strict=True))
        return self._predict_mean(X) if "mean" in requested else {}

    def _predict_limits(self, X: Any) -> dict[str, Any]:
        values = self._predict_mean(X) if "mean" in self.layers else {}
        if set(self.layers) & set(_LIMIT_LAYERS):
            limits = predict_interval(self.estimator, X, coverage=self.coverage)
            values |= dict(zip(_LIMIT_LAYERS, limits.T, strict=True))
        return values

    def _predict_mean(self, X: Any) -> dict[str, Any]:
        mean = np.asarray(self.estimator.predict(X))
        if mean.ndim > 1 and mean.shape[1] > 1:
            raise ValueError(
                f"{type(self.estimator).__name__} predicts {mean.shape[1]} targets, and a map "
                "shows one: fit one estimator for each target."
            )
        return {"mean": mean.ravel()}

    def _dissimilarity(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the dissimilarity index (n,); NaN for rows that lack a column of the area."""
        labels = fitted_columns(self.area)
        columns = frame[list(self.table.inputs.labels if labels is None else labels)]
        used = (
            columns[self.area.columns_]
            if labels is not None
            else columns.iloc[:, self.area.columns_]
        )
        complete = used.notna().all(axis=1).to_numpy()
        index = np.full(len(frame), np.nan)
        if complete.any():
            rows = columns[complete] if labels is not None else columns[complete].to_numpy()
            index[complete] = self.area.dissimilarity_index(rows)
        return index


def _transforms_target(estimator: Any) -> bool:
    """Return whether a TransformedTargetRegressor is among the nested estimators."""
    while estimator is not None:
        if isinstance(estimator, TransformedTargetRegressor):
            return True
        estimator = wrapped_estimator(estimator)
    return False


def _to_float32(layer: str, values: Any) -> np.ndarray:
    """Return the values of a layer in single precision, or raise if they overflow."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    overflow = np.isinf(single) & np.isfinite(values)
    if overflow.any():
        raise ValueError(
            f"layer {layer!r} has {values[overflow][0]:g} in {int(overflow.sum())} cells, which "
            "overflows single precision: check the covariates for extreme values."
        )
    return single


@contextmanager
def _chip_folder(needed: bool) -> Iterator[str | None]:
    if not needed:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sptgnn-chips-") as folder:
        yield folder
