"""Figure of the held-out predictions of `compare_models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..model_selection.comparison import ComparisonResult
from ..spatial.crs import SpatialReference
from .drawing import UNCERTAINTY_COLORMAP, VALUE_COLORMAP, import_pyplot, with_unit
from .maps import ColorScale, draw_map, map_aspect
from .predictions import ObservedPredictedDisplay, observed_predicted_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]

_CLIPPED_SHARE = 0.01  # of values at each end of a color bar, so that outliers do not stretch it


def plot_comparison(
    result: ComparisonResult,
    model: str,
    folds: str | Sequence[str] | None = None,
    *,
    name: str = "",
    unit: str = "",
    title: str | None = None,
    log1p: bool = False,
) -> Figure:
    """Draw held-out predictions of a model: maps of mean and std, and observed against predicted.

    Parameters
    ----------
    result : ComparisonResult
        Result of `sptgnn_sklearn.model_selection.compare_models`.
    model : str
        Name of a model in the comparison.
    folds : str or sequence of str, default=None
        Kinds of folds, drawn in one row of the figure each; None draws all.
    name : str, default=""
        Name of the target, for labels.
    unit : str, default=""
        Unit of the target.
    title : str, default=None
        Title of the figure; None takes the names of the model and the target.
    log1p : bool, default=False
        Whether observed and predicted values are scaled by log(1 + value), for a skewed target.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure of pyplot; close it with ``plt.close(figure)``. All rows share colors and ranges.
        There is no map of the standard deviation for models that predict none.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the comparison has no such model or kind of folds.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.model_selection import compare_models
    >>> from sptgnn_sklearn.plotting import plot_comparison
    >>> meuse = load_meuse()
    >>> result = compare_models(
    ...     {"line": BayesianRidge()},
    ...     meuse.data[["x", "y", "elev", "dist"]],
    ...     meuse.target,
    ...     {"random": KFold(3)},
    ...     crs=meuse.crs,
    ...     progress=False,
    ... )
    >>> figure = plot_comparison(result, "line", name="organic matter", unit="%")
    >>> figure.axes[0].get_title()
    'random folds'
    """
    if folds is None:
        folds = result.predictions["folds"].unique().tolist()
    kinds = [folds] if isinstance(folds, str) else list(folds)
    rows = [result.select(kind, model) for kind in kinds]
    pooled = pd.concat(rows)
    columns = pooled[["observed", "mean", "lower", "upper"]].to_numpy(dtype=float)
    limits = observed_predicted_limits(*columns.T, log1p=log1p)
    maps = {"mean": (name or "predicted", VALUE_COLORMAP)}
    if pooled["std"].notna().all():
        maps["std"] = ("standard deviation", UNCERTAINTY_COLORMAP)
    figure, axes = _panels(pooled, result.reference, len(rows), len(maps))
    figure.suptitle(title if title is not None else ", ".join(filter(None, [model, name])))
    for kind, predictions, panels in zip(kinds, rows, axes, strict=True):
        for ax, (column, (label, cmap)) in zip(panels, maps.items(), strict=False):
            draw_map(
                predictions[["x", "y"]].to_numpy(),
                result.reference,
                result.axes,
                predictions[column].to_numpy(),
                ColorScale(
                    with_unit(label, unit),
                    cmap,
                    vmin=float(pooled[column].quantile(_CLIPPED_SHARE)),
                    vmax=float(pooled[column].quantile(1 - _CLIPPED_SHARE)),
                ),
                ax=ax,
            )
        has_interval = predictions["lower"].notna().all()
        interval = (predictions["lower"], predictions["upper"]) if has_interval else (None, None)
        ObservedPredictedDisplay.from_predictions(
            predictions["observed"],
            predictions["mean"],
            *interval,
            coverage=result.coverage,
            ax=panels[-1],
            unit=unit,
            limits=limits,
            log1p=log1p,
        )
        panels[0].set_title(f"{kind} folds")
        if not has_interval:
            panels[-1].set_title("held-out rows")
    return figure


def _panels(
    predictions: pd.DataFrame,
    reference: SpatialReference,
    n_rows: int,
    n_maps: int,
    height: float = 3.6,
) -> tuple[Figure, np.ndarray]:
    """Make a figure with panels of the aspect of the map, and square ones on the right."""
    plt = import_pyplot()
    xy = np.asarray(predictions[["x", "y"]])
    extent = np.ptp(xy, axis=0)
    aspect = extent[1] * map_aspect(xy, reference) / extent[0] if extent.all() else 1.0
    widths = [float(np.clip(1 / aspect, 0.5, 2.2))] * n_maps + [1.0]
    figure, axes = plt.subplots(
        n_rows,
        len(widths),
        figsize=(height * sum(widths) + 1.2 * n_maps + 0.6, height * n_rows + 0.6),
        width_ratios=widths,
        layout="compressed",  # "constrained" leaves gaps beside panels of fixed aspect
        squeeze=False,
    )
    # The layout takes no account of color bars inset beside the panels.
    figure.get_layout_engine().set(wspace=0.06, w_pad=0.02)
    return figure, axes
