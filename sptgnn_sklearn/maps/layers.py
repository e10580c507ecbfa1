"""What is predicted for the cells of a block: the layers of a map, from one pass of the model."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..meta_estimators import innermost_estimator, predict_mean_std, predict_uncertainty
from .cell_table import Cells, CellTable
from .model_inputs import columns_seen

__all__ = ["LAYERS", "BlockPredictor", "choose_layers"]

LAYERS = {
    "mean": "predicted mean",
    "std": "standard deviation of the prediction",
    "aleatoric": "standard deviation by noise",
    "epistemic": "standard deviation between members",
    "lower": "lower limit of the interval",
    "upper": "upper limit of the interval",
    "aoa": "1 inside the area of applicability, 0 outside",
    "dissimilarity": "dissimilarity index",
}
_PARTS = ("aleatoric", "epistemic")
_LIMIT_LAYERS = ("lower", "upper")
_OF_AREA = ("aoa", "dissimilarity")
_ROWS = 2**18  # that the model is given at a time
_ROWS_WITH_CHIPS = 1024  # whose chips are on disk at a time


def choose_layers(estimator: Any, layers: Sequence[str] | None, area: Any) -> tuple[str, ...]:
    """Check the wanted layers, or choose those that there are at no price.

    Parameters
    ----------
    estimator : fitted regressor
    layers : sequence of str or None
        None is mean, std where the estimator tells it, and aoa where there is an area.
    area : AreaOfApplicability or None

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        If a layer is not known, is named twice, or cannot be had from this estimator.

    Examples
    --------
    >>> from sklearn.linear_model import BayesianRidge, LinearRegression
    >>> from sptgnn_sklearn.maps.layers import choose_layers
    >>> choose_layers(LinearRegression(), None, None), choose_layers(BayesianRidge(), None, None)
    (('mean',), ('mean', 'std'))
    """
    inner = innermost_estimator(estimator)
    apart = hasattr(inner, "predict_uncertainty")
    spread = apart or "return_std" in inspect.signature(inner.predict).parameters
    there = ["mean", *(["std"] if spread else []), *([*_PARTS, *_LIMIT_LAYERS] if apart else [])]
    there += _OF_AREA if area is not None else ()
    if layers is None:
        return tuple(name for name in ("mean", "std", "aoa") if name in there)
    layers = [layers] if isinstance(layers, str) else list(layers)
    odd = [name for name in layers if name not in LAYERS]
    if odd or not layers or len(set(layers)) < len(layers):
        raise ValueError(f"layers={layers!r} must name some of {list(LAYERS)}, each once.")
    for name in layers:
        if name in _OF_AREA and area is None:
            raise ValueError(f"the layer {name!r} needs area=AreaOfApplicability(...).fit(...).")
        if name not in there:
            raise ValueError(
                f"{type(inner).__name__} does not give the layer {name!r}; it gives {there}."
            )
    return tuple(layers)


@dataclass(frozen=True)
class BlockPredictor:
    """A model and all that turns the covariates of a block into layers.

    Attributes
    ----------
    estimator : fitted regressor
    table : CellTable
    layers : tuple of str
    coverage : float
        Of lower and upper.
    area : AreaOfApplicability or None
    nodata : float
        What cells hold that are not predicted.
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
        cells = self.table.cells(values, x, y)
        if len(cells):
            out[:, cells.position] = self.predict(cells)
        return out.reshape(len(self.layers), len(y), len(x))

    def predict(self, cells: Cells) -> np.ndarray:
        """Predict cells: layers (n_layers, n), some rows at a time."""
        step = _ROWS_WITH_CHIPS if self.table.rasters else _ROWS
        parts = []
        for start in range(0, len(cells), step):
            some = cells.take(np.arange(start, min(start + step, len(cells))))
            with _chip_folder(bool(self.table.rasters)) as folder:
                parts.append(self._layers_of(self.table.reference(some, folder)))
        return np.concatenate(parts, axis=1)

    def _layers_of(self, frame: pd.DataFrame) -> np.ndarray:
        found = self._predicted(self.table.expected.table(frame))
        if set(self.layers) & set(_OF_AREA):
            index = self._dissimilarity(frame)
            inside = np.where(np.isnan(index), np.nan, index <= self.area.threshold_)
            found |= {"dissimilarity": index, "aoa": inside}
        layers = np.stack([_single(name, found[name]) for name in self.layers])
        return np.where(np.isnan(layers), np.float32(self.nodata), layers)

    def _predicted(self, X: Any) -> dict[str, Any]:
        wanted = set(self.layers)
        if wanted & {*_PARTS, *_LIMIT_LAYERS}:
            coverage = self.coverage if wanted & set(_LIMIT_LAYERS) else None
            return dict(predict_uncertainty(self.estimator, X, coverage=coverage))
        if "std" in wanted:
            return dict(zip(("mean", "std"), predict_mean_std(self.estimator, X), strict=True))
        if "mean" not in wanted:
            return {}
        mean = np.asarray(self.estimator.predict(X))
        if mean.ndim > 1 and mean.shape[1] > 1:
            raise ValueError(
                f"{type(self.estimator).__name__} predicts {mean.shape[1]} targets, and a map has "
                "one: fit one estimator for each."
            )
        return {"mean": mean.ravel()}

    def _dissimilarity(self, frame: pd.DataFrame) -> np.ndarray:
        """Dissimilarity index (n,); NaN for rows with gaps in what it is measured by."""
        labels = columns_seen(self.area)
        own = frame[list(self.table.expected.labels if labels is None else labels)]
        gaps = own[self.area.columns_] if labels is not None else own.iloc[:, self.area.columns_]
        there = gaps.notna().all(axis=1).to_numpy()
        index = np.full(len(frame), np.nan)
        if there.any():
            rows = own[there] if labels is not None else own[there].to_numpy()
            index[there] = self.area.dissimilarity_index(rows)
        return index


def _single(layer: str, values: Any) -> np.ndarray:
    """Return the values of a layer in single precision, if that can hold them."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    lost = np.isinf(single) & np.isfinite(values)
    if lost.any():
        raise ValueError(
            f"layer {layer!r} holds {values[lost][0]:g} in {int(lost.sum())} cells, which is "
            "beyond what maps can hold: look for extreme values in the covariates."
        )
    return single


@contextmanager
def _chip_folder(needed: bool) -> Iterator[str | None]:
    if not needed:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sptgnn-chips-") as folder:
        yield folder
