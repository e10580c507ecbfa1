"""Figures: values on a map, observed against predicted, and a comparison of models.

Functions draw on the axes they are given, or on new ones, and return them. matplotlib is imported
when a figure is drawn: ``pip install "sptgnn-sklearn[plot]"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score, root_mean_squared_error

from .autocorrelation import aligned_vectors
from .columns import locate_coordinates
from .comparison import ComparisonResult
from .geography import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison", "plot_map", "plot_observed_predicted"]

# Both are readable with every common colour vision deficiency, and in grey.
VALUE_COLORMAP = "viridis"
UNCERTAINTY_COLORMAP = "magma_r"
_INSIDE, _OUTSIDE, _BAR, _LINE = "#08519c", "#d95f02", "#c6dbef", "#444444"
_TAIL = 0.01  # of the values share the colour of the end, so that a few do not hide the rest
_METRES_PER_KM = 1000.0
_DEGREES_OF_POLE = 89.0  # the scale of longitudes vanishes at the poles


def plot_map(
    coordinates: Any,
    values: Any,
    *,
    crs: Any = None,
    ax: Axes | None = None,
    label: str = "",
    cmap: str = VALUE_COLORMAP,
    vmin: float | None = None,
    vmax: float | None = None,
    size: float | None = None,
) -> Axes:
    """Draw values as coloured points on a map with a colour bar.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2) or DataFrame
        Longitude and latitude, or easting and northing. In a DataFrame they are found by their
        usual names, else they are the first two columns.
    values : array-like of shape (n_samples,)
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None: longitude and latitude if the columns are so named, else
        a plane of unknown unit.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.
    label : str, default=""
        What the values are, with their unit, for the colour bar.
    cmap : str, default="viridis"
        Colour map.
    vmin, vmax : float, default=None
        Values at the ends of the colour bar; None takes the least and the greatest value.
    size : float, default=None
        Area of a point in square points; None makes points smaller where there are more.

    Returns
    -------
    ax : matplotlib.axes.Axes
        A kilometre is equally long in both directions, for longitude and latitude in the middle of
        the map. Coordinates in metres are labelled in kilometres.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If lengths differ, or a value or coordinate is not finite.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import plot_map
    >>> meuse = load_meuse()
    >>> ax = plot_map(meuse.data, meuse.target, crs=meuse.crs, label="organic matter, %")
    >>> ax.get_xlabel()
    'x (km)'
    """
    xy, frame, names = locate_coordinates(coordinates, None, crs)
    _, values = aligned_vectors(coordinates=xy[:, 0], values=values)
    return _draw_map(
        xy, frame, names, values, ax=ax, label=label, cmap=cmap, vmin=vmin, vmax=vmax, size=size
    )


def plot_observed_predicted(
    y: Any,
    mean: Any,
    lower: Any = None,
    upper: Any = None,
    *,
    ax: Axes | None = None,
    unit: str = "",
    level: float | None = None,
    limits: Sequence[float] | None = None,
    log1p: bool = False,
) -> Axes:
    """Draw observed against predicted values, with intervals, the 1:1 line, R2 and RMSE.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed values.
    mean : array-like of shape (n_samples,)
        Predicted values.
    lower, upper : array-like of shape (n_samples,), default=None
        Limits of intervals, drawn as bars around the 1:1 line; rows inside and outside have
        different colours, and a legend says how many they are.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.
    unit : str, default=""
        Unit of the values.
    level : float, default=None
        Nominal coverage of the intervals, for the legend.
    limits : pair of float, default=None
        Range of both axes; None shows all observed and predicted values, but cuts intervals that
        reach far beyond.
    log1p : bool, default=False
        Whether axes show log(1 + value), for a skewed target that is not negative.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Predicted values are on the horizontal axis, so that the 1:1 line is what a model without
        conditional bias scatters around.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If lengths differ, a value is not finite, or only one of `lower` and `upper` is given.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.plotting import plot_observed_predicted
    >>> ax = plot_observed_predicted([1.0, 2.0, 3.0], [1.5, 2.0, 2.5], unit="g/kg")
    >>> ax.get_ylabel()
    'observed (g/kg)'
    """
    y, mean = aligned_vectors(y=y, mean=mean)
    if (lower is None) != (upper is None):
        raise ValueError("An interval has two limits: give both lower and upper, or neither.")
    ax = ax if ax is not None else _new_axes()
    inside = np.ones(len(y), dtype=bool)
    if lower is not None:
        lower, upper = aligned_vectors(lower=lower, upper=upper)
        inside = (lower <= y) & (y <= upper)
        ax.vlines(mean, lower, upper, color=_BAR, linewidth=1.5, zorder=1)
    least, most = limits or _with_margin(np.concatenate([y, mean]), log1p)
    ax.plot([least, most], [least, most], color=_LINE, linewidth=1, zorder=2)
    area = _area(len(y)) / 2
    share = 100 * inside.mean()
    held = "inside" if level is None else f"in {100 * level:g} % interval"
    for rows, colour, label in (
        (inside, _INSIDE, f"{held}: {share:.0f} %"),
        (~inside, _OUTSIDE, f"outside: {100 - share:.0f} %"),
    ):
        ax.scatter(mean[rows], y[rows], s=area, color=colour, linewidths=0, zorder=3, label=label)
    if lower is not None:
        # Above the panel, because anywhere within it some table has points.
        ax.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
            frameon=False,
            handletextpad=0.1,
            columnspacing=1.0,
            borderaxespad=0.1,
            markerscale=np.sqrt(20 / area),
        )
    if log1p:
        for scale in (ax.set_xscale, ax.set_yscale):
            scale("function", functions=(_log1p, np.expm1))
        ax.set_xticks(_log1p_ticks(least, most))
    # Both axes show the same range, so they show the same ticks; ticks beyond it would widen it.
    ax.set_xlim(least, most)
    ax.set_yticks(ax.get_xticks())
    ax.set_ylim(least, most)
    ax.set_box_aspect(1)
    ax.set(xlabel=_with_unit("predicted", unit), ylabel=_with_unit("observed", unit))
    error = f"RMSE {_three_digits(root_mean_squared_error(y, mean))} {unit}".rstrip()
    # High predictions of low values are rarest, so this corner is the emptiest.
    ax.text(
        0.96,
        0.04,
        f"R² {r2_score(y, mean):.2f}\n{error}",
        transform=ax.transAxes,
        horizontalalignment="right",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )
    return ax


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
        What `sptgnn_sklearn.comparison.compare` returned.
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
    >>> from sptgnn_sklearn.comparison import compare
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import plot_comparison
    >>> meuse = load_meuse()
    >>> result = compare(
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
    limits = _with_margin(together[["observed", "mean"]].to_numpy(), log1p)
    maps = {"mean": (name or "predicted", VALUE_COLORMAP)}
    if together["std"].notna().all():
        maps["std"] = ("standard deviation", UNCERTAINTY_COLORMAP)
    figure, axes = _panels(together, result.frame, len(rows), len(maps))
    figure.suptitle(title if title is not None else ", ".join(filter(None, [model, name])))
    for kind, found, line in zip(kinds, rows, axes, strict=True):
        for ax, (column, (label, cmap)) in zip(line, maps.items(), strict=False):
            _draw_map(
                found[["x", "y"]].to_numpy(),
                result.frame,
                result.axes,
                found[column].to_numpy(),
                ax=ax,
                label=_with_unit(label, unit),
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
            level=result.level,
            limits=limits,
            log1p=log1p,
        )
        line[0].set_title(f"{kind} folds: prediction")
        if not stated:
            line[-1].set_title("held-out rows")
        if len(maps) > 1:
            line[1].set_title("its standard deviation")
    return figure


def _draw_map(
    xy: np.ndarray,
    frame: Frame,
    names: Sequence[Any],
    values: np.ndarray,
    *,
    ax: Axes | None,
    label: str,
    cmap: str,
    vmin: float | None,
    vmax: float | None,
    size: float | None = None,
) -> Axes:
    ax = ax if ax is not None else _new_axes()
    area = size if size is not None else _area(len(values))
    points = ax.scatter(
        xy[:, 0], xy[:, 1], c=values, s=area, cmap=cmap, vmin=vmin, vmax=vmax, linewidths=0
    )
    ax.set_aspect(_aspect(xy, frame))
    ax.margins(0.06)
    ax.locator_params(nbins=5, steps=[1, 2, 5, 10])
    if frame.geographic:
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
    else:
        unit = {"metre": "km", "unit": ""}.get(frame.unit, frame.unit)
        ax.set(xlabel=_with_unit(str(names[0]), unit), ylabel=_with_unit(str(names[1]), unit))
    ax.ticklabel_format(style="plain", useOffset=False)
    if frame.unit == "metre":
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value / _METRES_PER_KM:g}")
    # Inset, so that the bar is as tall as the map whatever the aspect makes of the axes.
    bar = ax.inset_axes((1.04, 0.0, 0.05, 1.0))
    least, most = points.get_clim()
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = beyond.get((values.min() < least, values.max() > most), "both")
    ax.figure.colorbar(points, cax=bar, label=label, extend=extend, extendfrac=0.03)
    return ax


def _panels(
    found: Any, frame: Frame, n_rows: int, n_maps: int, height: float = 3.6
) -> tuple[Figure, np.ndarray]:
    """Make a figure whose panels have the shape of the map, and of a square for the scatter."""
    plt = _pyplot()
    xy = np.asarray(found[["x", "y"]])
    extent = np.ptp(xy, axis=0)
    tall = extent[1] * _aspect(xy, frame) / extent[0] if extent.all() else 1.0
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


def _aspect(xy: np.ndarray, frame: Frame) -> float:
    """Return how much longer a unit of the second axis is drawn than one of the first."""
    if not frame.geographic:
        return 1.0
    middle = (xy[:, 1].min() + xy[:, 1].max()) / 2
    return float(1 / np.cos(np.radians(np.clip(middle, -_DEGREES_OF_POLE, _DEGREES_OF_POLE))))


def _area(n_points: int) -> float:
    """Return the area of a point, in square points, that leaves so many of them apart."""
    return float(np.clip(6000 / max(n_points, 1), 3, 40))


def _with_margin(values: np.ndarray, log1p: bool) -> tuple[float, float]:
    there, back = (_log1p, np.expm1) if log1p else (float, float)
    least, most = there(values.min()), there(values.max())
    margin = 0.04 * (most - least) or 1.0
    return float(back(least - margin)), float(back(most + margin))


def _log1p(values: np.ndarray) -> np.ndarray:
    # A bar of an interval may reach below -1, where there is no logarithm: far beyond the axes.
    return np.log1p(np.maximum(values, -1 + 1e-9))


def _log1p_ticks(least: float, most: float) -> list[float]:
    """Return 0, 1, 3, 10, 30 and so on where they are neither outside the axis nor crowded."""
    apart = 0.1 * (np.log1p(most) - np.log1p(max(least, 0.0)))
    ticks: list[float] = []
    for tick in sorted([0.0, *(m * 10.0**k for k in range(-3, 9) for m in (1, 3))]):
        if least <= tick <= most and (not ticks or np.log1p(tick) >= np.log1p(ticks[-1]) + apart):
            ticks.append(tick)
    return ticks


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit else text


def _three_digits(value: float) -> str:
    decimals = 2 - int(np.floor(np.log10(value))) if value > 0 else 0
    return f"{value:.{max(decimals, 0)}f}"


def _new_axes() -> Axes:
    return _pyplot().subplots(layout="constrained")[1]


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Figures need matplotlib. Install it with: pip install "sptgnn-sklearn[plot]"'
        ) from error
    return plt
