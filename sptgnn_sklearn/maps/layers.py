"""Layers of a map: predictions for the cells of a block from one pass of the model."""

from __future__ import annotations

import difflib
import inspect
import tempfile
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, QuantileTransformer
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from ..meta_estimators import (
    innermost_estimator,
    predict_interval,
    predict_mean_std,
    predict_probability,
    predict_quantiles,
    predict_uncertainty,
    wrapped_estimator,
)
from ..utils.distribution_columns import parse_column, probability_column, quantile_column
from .cell_table import Cells, CellTable
from .model_digest import estimator_digest
from .model_inputs import fitted_columns

__all__ = [
    "AREA_LAYERS",
    "LAYERS",
    "BlockPredictor",
    "choose_layers",
    "describe_layer",
    "has_target_unit",
]

LAYERS = {
    "mean": "predicted mean",
    "std": "predicted standard deviation",
    "aleatoric": "standard deviation of the noise",
    "epistemic": "standard deviation between ensemble members",
    "lower": "lower limit of the interval",
    "upper": "upper limit of the interval",
    "n_effective": "effective number of held-out errors around a cell",
    "certified": "1 where enough errors lie around a cell to certify the interval, else 0",
    "aoa": "1 inside the area of applicability, 0 outside",
    "dissimilarity": "dissimilarity index",
}
_STD_COMPONENTS = ("aleatoric", "epistemic")
_LIMIT_LAYERS = ("lower", "upper")
_SUPPORT_LAYERS = ("n_effective", "certified")
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
        Quantiles and probabilities have one spelling: "q5" is "q05", and "p<2" is "p<2.0".

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
    _check_area(area)
    inner = innermost_estimator(estimator)
    has_components = hasattr(inner, "predict_uncertainty")
    has_std = has_components or "return_std" in inspect.signature(inner.predict).parameters
    available = ["mean", *(["std"] if has_std else [])]
    available += [*_STD_COMPONENTS, *_LIMIT_LAYERS] if has_components else []
    if getattr(inner, "_is_calibrated_locally", False) and not _transforms_target(estimator):
        available += _SUPPORT_LAYERS
    available += AREA_LAYERS if area is not None else ()
    if layers is None:
        return tuple(name for name in ("mean", "std", "aoa") if name in available)
    layers = [layers] if isinstance(layers, str) else list(layers)
    names = [_layer_name(name) for name in layers]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"layers={layers!r} must be one or more distinct names.")
    added = has_components and _has_quantiles(inner)
    for name in names:
        if name in AREA_LAYERS and area is None:
            raise ValueError(f"the layer {name!r} needs area=AreaOfApplicability(...).fit(...).")
        if name not in available and not (added and name not in LAYERS):
            examples = [*available, *(["q05", "p<2.0", "p>2.0"] if added else [])]
            raise ValueError(
                f"the layer {name!r} is not available from {type(inner).__name__}; choose from "
                f"{examples}."
            )
    _check_transforms(estimator, names)
    return tuple(names)


def describe_layer(name: str, coverage: float, target: str | None = None) -> str:
    """Return a description of a layer.

    Parameters
    ----------
    name : str
    coverage : float
        Nominal coverage of the interval from lower to upper.
    target : str, default=None
        Name of the target.

    Examples
    --------
    >>> from sptgnn_sklearn.maps.layers import describe_layer
    >>> describe_layer("lower", 0.9, "organic carbon"), describe_layer("p<2.0", 0.9)
    ('lower limit of the 90 % interval of organic carbon', 'probability below 2')
    """
    parsed = None if name in LAYERS else parse_column(name)
    if parsed is not None:
        parameter, value = parsed
        if parameter == "quantiles":
            text = f"{100 * value:.10g} % quantile"
        else:
            limit = f"{parameter} {value:.10g}"
            return f"probability of {target} {limit}" if target else f"probability {limit}"
    elif name in _LIMIT_LAYERS:
        text = f"{name} limit of the {100 * coverage:.10g} % interval"
    else:
        text = LAYERS[name]
    return (
        text
        if target is None or name in (*AREA_LAYERS, *_SUPPORT_LAYERS)
        else f"{text} of {target}"
    )


def has_target_unit(name: str) -> bool:
    """Return whether a layer has the unit of the target; others have no unit.

    Examples
    --------
    >>> from sptgnn_sklearn.maps.layers import has_target_unit
    >>> [name for name in ("mean", "q05", "p<2.0", "aoa") if has_target_unit(name)]
    ['mean', 'q05']
    """
    return name not in (*AREA_LAYERS, *_SUPPORT_LAYERS) and not name.startswith(("p<", "p>"))


def _layer_name(name: Any) -> str:
    """Return the one spelling of a layer's name, or raise ValueError."""
    if isinstance(name, str) and name in LAYERS:
        return name
    parsed = parse_column(name) if isinstance(name, str) else None
    if parsed is None:
        close = difflib.get_close_matches(str(name).lower(), LAYERS, 1, 0.6)
        hint = f"did you mean {close[0]!r}? There are" if close else "choose from"
        raise ValueError(
            f"layers has {name!r}, which is not the name of a layer: {hint} {list(LAYERS)}, "
            "quantiles such as 'q05', and probabilities such as 'p<2.0' and 'p>2.0'."
        )
    parameter, value = parsed
    if parameter == "quantiles":
        return quantile_column(value)
    return probability_column(value, above=parameter == "above")


def _has_quantiles(inner: Any) -> bool:
    accepted = inspect.signature(inner.predict_uncertainty).parameters
    return {"quantiles", "below", "above"} <= set(accepted)


def _check_area(area: Any) -> None:
    if area is None:
        return
    if not hasattr(area, "dissimilarity_index"):
        raise ValueError(f"area={area!r} must be a fitted AreaOfApplicability.")
    check_is_fitted(area)


def _check_transforms(estimator: Any, names: Sequence[str]) -> None:
    """Raise ValueError if a transform of the target has no such layers, before any prediction."""
    parsed = {name: parse_column(name) for name in names if name not in LAYERS}
    limits = {name: pair[1] for name, pair in parsed.items() if pair and pair[0] != "quantiles"}
    moments = [name for name in names if name in ("std", *_STD_COMPONENTS)]
    while estimator is not None:
        if isinstance(estimator, TransformedTargetRegressor):
            transformer = estimator.transformer_
            if moments and _is_nonlinear(transformer):
                raise ValueError(
                    f"the layer {moments[0]!r} has no value through the nonlinear transform of the "
                    f"target {transformer}: use 'lower' and 'upper' or quantiles such as 'q05', or "
                    "SpTGNNRegressor(target_transform='log1p') without the wrapper."
                )
            for name, value in limits.items():
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    limits[name] = float(np.ravel(transformer.transform([[value]]))[0])
                if np.isnan(limits[name]):
                    raise ValueError(
                        f"the layer {name!r} has no value: the transform of the target "
                        f"{transformer} is not defined at its limit."
                    )
        estimator = wrapped_estimator(estimator)


def _is_nonlinear(transformer: Any) -> bool:
    """Return whether a transform of the target is known to be nonlinear."""
    if isinstance(transformer, PowerTransformer | QuantileTransformer):
        return True
    # Other functions may be linear in the range of the predictions only, so those are not probed.
    known = isinstance(transformer, FunctionTransformer) and isinstance(
        transformer.inverse_func, np.ufunc
    )
    if not known:
        return False
    low, middle, high = np.ravel(transformer.inverse_transform([[0.25], [0.5], [0.75]]))
    return not np.isclose(middle - low, high - middle)


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

    @cached_property
    def digest(self) -> str:
        """Digest of the estimator."""
        return estimator_digest(self.estimator)

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
        added = self._added_columns()
        if _transforms_target(self.estimator) and not requested & {"std", *_STD_COMPONENTS}:
            # Limits can be transformed back by any monotone function, standard deviations cannot.
            return self._predict_transformed(X, added)
        if added or requested & {*_STD_COMPONENTS, *_LIMIT_LAYERS, *_SUPPORT_LAYERS}:
            settings: dict[str, Any] = {
                name: [*columns.values()] for name, columns in added.items()
            }
            if requested & {*_LIMIT_LAYERS, *_SUPPORT_LAYERS}:
                settings["coverage"] = self.coverage
            return dict(predict_uncertainty(self.estimator, X, **settings))
        if "std" in requested:
            return dict(zip(("mean", "std"), predict_mean_std(self.estimator, X), strict=True))
        return self._predict_mean(X) if "mean" in requested else {}

    def _added_columns(self) -> dict[str, dict[str, float]]:
        """Return values by layer, of quantiles, limits below and limits above."""
        added: dict[str, dict[str, float]] = {}
        for name in self.layers:
            parsed = None if name in LAYERS else parse_column(name)
            if parsed is not None:
                added.setdefault(parsed[0], {})[name] = parsed[1]
        return added

    def _predict_transformed(
        self, X: Any, added: Mapping[str, Mapping[str, float]]
    ) -> dict[str, Any]:
        values = self._predict_mean(X) if "mean" in self.layers else {}
        if set(self.layers) & set(_LIMIT_LAYERS):
            limits = predict_interval(self.estimator, X, coverage=self.coverage)
            values |= dict(zip(_LIMIT_LAYERS, limits.T, strict=True))
        for parameter, columns in added.items():
            requested = [*columns.values()]
            if parameter == "quantiles":
                # A decreasing transform needs the opposite levels as well.
                levels = sorted({round(q, 12) for p in requested for q in (p, 1 - p)})
                found = predict_quantiles(self.estimator, X, levels)
                assert found is not None  # choose_layers has checked it
                found = found[:, [levels.index(round(p, 12)) for p in requested]]
            else:
                found = predict_probability(self.estimator, X, **{parameter: requested})
            values |= dict(zip(columns, found.T, strict=True))
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
