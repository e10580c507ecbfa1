"""Observed against predicted values, and observed against nominal coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import r2_score, root_mean_squared_error

from ..metrics.validation import aligned_vectors
from .style import (
    BAR,
    COLORS,
    INSIDE,
    LINE_STYLE,
    OUTSIDE,
    legend_above,
    log1p_scale,
    log1p_ticks,
    new_axes,
    point_area,
    three_digits,
    with_margin,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_calibration", "plot_observed_predicted"]


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
    ax = ax if ax is not None else new_axes()
    inside = np.ones(len(y), dtype=bool)
    if lower is not None:
        lower, upper = aligned_vectors(lower=lower, upper=upper)
        inside = (lower <= y) & (y <= upper)
        ax.vlines(mean, lower, upper, color=BAR, linewidth=1.5, zorder=1)
    least, most = limits or with_margin(np.concatenate([y, mean]), log1p)
    ax.plot([least, most], [least, most], color=LINE_STYLE, linewidth=1, zorder=2)
    area = point_area(len(y)) / 2
    share = 100 * inside.mean()
    held = "inside" if level is None else f"in {100 * level:g} % interval"
    for rows, color, label in (
        (inside, INSIDE, f"{held}: {share:.0f} %"),
        (~inside, OUTSIDE, f"outside: {100 - share:.0f} %"),
    ):
        ax.scatter(mean[rows], y[rows], s=area, color=color, linewidths=0, zorder=3, label=label)
    if lower is not None:
        legend_above(ax, ncols=2, handletextpad=0.1, markerscale=np.sqrt(20 / area))
    if log1p:
        for scale in (ax.set_xscale, ax.set_yscale):
            scale("function", functions=(log1p_scale, np.expm1))
        ax.set_xticks(log1p_ticks(least, most))
    # Both axes show the same range, so they show the same ticks; ticks beyond it would widen it.
    ax.set_xlim(least, most)
    ax.set_yticks(ax.get_xticks())
    ax.set_ylim(least, most)
    ax.set_box_aspect(1)
    ax.set(xlabel=with_unit("predicted", unit), ylabel=with_unit("observed", unit))
    error = f"RMSE {three_digits(root_mean_squared_error(y, mean))} {unit}".rstrip()
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


def plot_calibration(
    y: Any, quantiles: Any, levels: Any, *, ax: Axes | None = None, label: str = ""
) -> Axes:
    """Draw how often targets lie in central intervals, against how often they should.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed values of held-out rows.
    quantiles : array-like of shape (n_samples, n_levels)
        Predicted quantiles, such as of `predict_quantiles`.
    levels : array-like of shape (n_levels,)
        Their levels, symmetric around 0.5 and rising.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure. Several models may be drawn on the same.
    label : str, default=""
        Name of the model, for the legend.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Above the diagonal intervals are too wide, below it too narrow.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If shapes differ, or levels are not symmetric.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> from sptgnn_sklearn.plotting import plot_calibration
    >>> levels = np.linspace(0.05, 0.95, 19)
    >>> quantiles = np.tile(norm.ppf(levels), (100, 1))
    >>> ax = plot_calibration(np.random.default_rng(0).normal(size=100), quantiles, levels)
    >>> ax.get_xlabel()
    'nominal coverage'
    """
    (y,) = aligned_vectors(y=y)
    levels = np.asarray(levels, dtype=float)
    quantiles = np.asarray(quantiles, dtype=float)
    if quantiles.shape != (len(y), len(levels)):
        raise ValueError(
            f"quantiles must have a row for each of {len(y)} values and a column for each of "
            f"{len(levels)} levels; found shape {quantiles.shape}."
        )
    if not np.allclose(levels, 1 - levels[::-1]) or (np.diff(levels) <= 0).any():
        raise ValueError(f"levels must rise and be symmetric around 0.5; found {levels}.")
    half = len(levels) // 2
    nominal = (levels[::-1] - levels)[:half][::-1]
    inside = (quantiles[:, :half] <= y[:, None]) & (y[:, None] <= quantiles[:, ::-1][:, :half])
    observed = inside.mean(axis=0)[::-1]
    ax = ax if ax is not None else new_axes()
    if not ax.lines:
        ax.plot([0, 1], [0, 1], color=LINE_STYLE, linewidth=1, zorder=1)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="observed coverage")
        ax.set_box_aspect(1)
    gap = np.abs(observed - nominal).mean()
    name = f"{label}: " if label else ""
    ax.plot(
        np.r_[0, nominal, 1],
        np.r_[0, observed, 1],
        color=COLORS[(len(ax.lines) - 1) % len(COLORS)],
        linestyle=("-", "--", "-.", ":")[(len(ax.lines) - 1) % 4],
        label=f"{name}mean gap {gap:.3f}",
        zorder=2,
    )
    ax.legend(loc="upper left", frameon=False)
    return ax
