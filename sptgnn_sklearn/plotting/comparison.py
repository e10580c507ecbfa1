"""What models said of held-out rows, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..model_selection.comparison import ComparisonResult
from ..spatial.crs import SpatialReference
from .maps import aspect, draw_map
from .predictions import plot_observed_predicted
from .style import UNCERTAINTY_COLORMAP, VALUE_COLORMAP, import_pyplot, with_margin, with_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]

_TAIL = 0.01  # of the values share the colour of the end, so that a few do not hide the rest


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
    """Draw what one model predicted for held-out rows: maps of mean and spread, and a scatter.

    Parameters
    ----------
    result : ComparisonResult
        What `sptgnn_sklearn.model_selection.comparison.compare_models` returned.
    model : str
        Name of a model in the comparison.
    folds : str or sequence of str, default=None
        Kinds of folds, one row of the figure each; None draws all.
    name : str, default=""
        What was predicted, for labels.
    unit : str, default=""
        Unit of the target.
    title : str, default=None
        Title of the figure; None is the name of the model and what was predicted.
    log1p : bool, default=False
        Whether axes of observed and predicted values show log(1 + value), for a skewed target.

    Returns
    -------
    figure : matplotlib.figure.Figure
        All rows share their colours and ranges. The map of the standard deviation is left out for
        a model that states none. The figure is pyplot's: close it with ``plt.close(figure)``.

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
    >>> from sptgnn_sklearn.model_selection.comparison import compare_models
    >>> from sptgnn_sklearn.datasets import load_meuse
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
    >>> [axes.get_title() for axes in figure.axes][:2]
    ['random folds: prediction', 'its standard deviation']
    """
    if folds is None:
        folds = result.predictions["folds"].unique().tolist()
    kinds = [folds] if isinstance(folds, str) else list(folds)
    rows = [result.select(kind, model) for kind in kinds]
    together = pd.concat(rows)
    limits = with_margin(together[["observed", "mean"]].to_numpy(), log1p)
    maps = {"mean": (name or "predicted", VALUE_COLORMAP)}
    if together["std"].notna().all():
        maps["std"] = ("standard deviation", UNCERTAINTY_COLORMAP)
    figure, axes = _panels(together, result.reference, len(rows), len(maps))
    figure.suptitle(title if title is not None else ", ".join(filter(None, [model, name])))
    for kind, found, line in zip(kinds, rows, axes, strict=True):
        for ax, (column, (label, cmap)) in zip(line, maps.items(), strict=False):
            draw_map(
                found[["x", "y"]].to_numpy(),
                result.reference,
                result.axes,
                found[column].to_numpy(),
                ax=ax,
                label=with_unit(label, unit),
                cmap=cmap,
                vmin=float(together[column].quantile(_TAIL)),
                vmax=float(together[column].quantile(1 - _TAIL)),
            )
        stated = found["lower"].notna().all()
        interval = (found["lower"], found["upper"]) if stated else (None, None)
        plot_observed_predicted(
            found["observed"],
            found["mean"],
            *interval,
            ax=line[-1],
            unit=unit,
            level=result.coverage,
            limits=limits,
            log1p=log1p,
        )
        line[0].set_title(f"{kind} folds: prediction")
        if not stated:
            line[-1].set_title("held-out rows")
        if len(maps) > 1:
            line[1].set_title("its standard deviation")
    return figure


def _panels(
    found: Any, frame: SpatialReference, n_rows: int, n_maps: int, height: float = 3.6
) -> tuple[Figure, np.ndarray]:
    """Make a figure whose panels have the shape of the map, and of a square for the scatter."""
    plt = import_pyplot()
    xy = np.asarray(found[["x", "y"]])
    extent = np.ptp(xy, axis=0)
    tall = extent[1] * aspect(xy, frame) / extent[0] if extent.all() else 1.0
    shapes = [float(np.clip(1 / tall, 0.5, 2.2))] * n_maps + [1.0]
    figure, axes = plt.subplots(
        n_rows,
        len(shapes),
        figsize=(height * sum(shapes) + 1.2 * n_maps + 0.6, height * n_rows + 0.6),
        width_ratios=shapes,
        layout="compressed",  # "constrained" leaves gaps beside panels of fixed shape
        squeeze=False,
    )
    # Colour bars are part of the panels on their left, so the space between is to be asked for.
    figure.get_layout_engine().set(wspace=0.06, w_pad=0.02)
    return figure, axes
