"""Colormaps and color limits of map layers, and color scales shared by several maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..maps.covariate_stack import decode_band, nodata_values, spatial_dims
from ..maps.layers import LAYERS, has_target_unit
from ..utils.distribution_columns import parse_column
from .drawing import COLORS, UNCERTAINTY_COLORMAP, VALUE_COLORMAP, import_pyplot

if TYPE_CHECKING:
    from matplotlib.colors import Normalize

__all__ = [
    "TWO_CLASSES",
    "TwoClasses",
    "class_colors",
    "drawn_values",
    "has_unit_range",
    "layer_colormap",
    "layer_limits",
    "shared_limits",
    "shared_norm",
    "thinning_step",
]

_MAX_DRAWN = 2000  # rows and columns that are drawn; figures have fewer pixels
_SPREAD_LAYERS = ("std", "aleatoric", "epistemic")  # in the unit of the target, but not its values
_UNCERTAINTY_LAYERS = (*_SPREAD_LAYERS, "dissimilarity")


class TwoClasses(NamedTuple):
    """Label and names of the values 0 and 1 of a layer."""

    label: str
    names: tuple[str, str]


TWO_CLASSES = {
    "aoa": TwoClasses("area of applicability", ("outside", "inside")),
    "certified": TwoClasses("interval", ("not certified", "certified")),
}


def class_colors() -> tuple[str, str]:
    """Return the colors of the values 0 and 1 of layers with two classes."""
    return COLORS[1], COLORS[4]


def layer_colormap(name: str) -> str:
    """Return the colormap of a layer of a map, another one for uncertainty than for values.

    Examples
    --------
    >>> from sptgnn_sklearn.plotting.color_scale import layer_colormap
    >>> layer_colormap("mean"), layer_colormap("std")
    ('viridis', 'magma_r')
    """
    return UNCERTAINTY_COLORMAP if name in _UNCERTAINTY_LAYERS else VALUE_COLORMAP


def layer_limits(soil: Any) -> dict[str, tuple[float | None, float | None]]:
    """Return the color limits of each layer: one pair for the mean, limits and quantiles.

    Parameters
    ----------
    soil : xarray.Dataset
        Map of `predict_map`.

    Returns
    -------
    dict of str to pair
        None where a layer has its own range.
    """
    return shared_limits({str(name): drawn_values(soil[name]) for name in soil.data_vars})


def shared_limits(
    values: Mapping[str, np.ndarray],
) -> dict[str, tuple[float | None, float | None]]:
    """Return the color limits of each layer: one pair for the mean, limits and quantiles.

    Parameters
    ----------
    values : mapping of str to ndarray
        Values by the names of layers of `predict_map`, or any others.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.plotting.color_scale import shared_limits
    >>> shared_limits({"mean": np.array([1.0, 2.0]), "q95": np.array([3.0]), "aoa": np.ones(1)})
    {'mean': (1.0, 3.0), 'q95': (1.0, 3.0), 'aoa': (0.0, 1.0)}
    """
    limits: dict[str, tuple[float | None, float | None]] = {
        name: (0.0, 1.0) if has_unit_range(name) else (None, None) for name in values
    }
    shared = [name for name in values if _is_target_value(name)]
    if "mean" in shared:
        finite = np.concatenate([values[name][np.isfinite(values[name])] for name in shared])
        if finite.size:
            limits |= dict.fromkeys(shared, (float(finite.min()), float(finite.max())))
    return limits


def has_unit_range(name: str) -> bool:
    """Return whether the values of a layer are colored from 0 to 1: probabilities and classes."""
    return name in TWO_CLASSES or name.startswith(("p<", "p>"))


def _is_target_value(name: str) -> bool:
    """Return whether a layer has values of the target: its mean, limits and quantiles."""
    if name in _SPREAD_LAYERS or not has_target_unit(name):
        return False
    try:
        return name in LAYERS or parse_column(name) is not None
    except ValueError:  # a column such as "q200" of a table
        return False


def shared_norm(
    *values: Any, vmin: float | None = None, vmax: float | None = None, log: bool = False
) -> Normalize:
    """Return one color scale for several maps, so that their colors can be compared.

    Parameters
    ----------
    *values : array-like, xarray.DataArray or xarray.Dataset
        Values of each map; all layers of a Dataset. Missing values are ignored.
    vmin, vmax : float, default=None
        Values at the ends of the scale; None takes the least and the greatest of all values.
    log : bool, default=False
        Whether the scale is logarithmic.

    Returns
    -------
    norm : matplotlib.colors.Normalize
        For the parameter ``norm`` of `plot_map` and of functions of matplotlib.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are no values, `vmin` is not less than `vmax`, or a logarithmic scale does not
        start above zero.

    Examples
    --------
    >>> from sptgnn_sklearn.plotting import shared_norm
    >>> norm = shared_norm([1.0, 4.0], [2.0, 9.0])
    >>> float(norm.vmin), float(norm.vmax)
    (1.0, 9.0)
    """
    colors = import_pyplot().matplotlib.colors
    arrays = [array for value in values for array in _arrays_of(value)]
    finite = np.concatenate([part[np.isfinite(part)] for part in arrays] or [np.empty(0)])
    if log and vmin is None:
        finite = finite[finite > 0]
    if not finite.size and (vmin is None or vmax is None):
        raise ValueError(
            "values has no finite number: pass the values of the maps, or both limits."
        )
    lowest = float(finite.min()) if vmin is None else float(vmin)
    highest = float(finite.max()) if vmax is None else float(vmax)
    if lowest > highest or (lowest == highest and vmin is not None and vmax is not None):
        raise ValueError(f"vmin={lowest:g} must be less than vmax={highest:g}.")
    if log and lowest <= 0:
        raise ValueError(f"vmin={lowest:g} must be positive for a logarithmic scale.")
    return (colors.LogNorm if log else colors.Normalize)(lowest, highest)


def thinning_step(n_rows: int, n_columns: int) -> int:
    """Return the step at which rows and columns of a raster are drawn."""
    return max(1, -(-max(n_rows, n_columns) // _MAX_DRAWN))


def drawn_values(array: Any) -> np.ndarray:
    """Return the values of a layer that are drawn, with NaN for missing ones.

    Parameters
    ----------
    array : xarray.DataArray
    """
    dims = spatial_dims(array)
    step = thinning_step(*(array.sizes[dim] for dim in dims)) if dims else 1
    part = array.isel({dim: slice(None, None, step) for dim in dims})
    return np.asarray(decode_band(part.to_numpy(), nodata_values(array)), dtype=float)


def _arrays_of(values: Any) -> list[np.ndarray]:
    if hasattr(values, "data_vars"):
        return [drawn_values(array).ravel() for array in values.data_vars.values()]
    if hasattr(values, "dims"):
        return [drawn_values(values).ravel()]
    return [np.ravel(np.asarray(values, dtype=float))]
