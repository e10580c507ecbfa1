"""Displays of predictions: observed against predicted values, and reliability of uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.utils.validation import check_is_fitted

from ..meta_estimators import (
    innermost_estimator,
    predict_interval,
    predict_mean_std,
    predict_quantiles,
)
from ..metrics.validation import aligned_vectors
from .drawing import (
    COLORS,
    LINE_COLOR,
    BaseDisplay,
    add_legend_above,
    log1p_scale,
    log1p_ticks,
    new_axes,
    padded_limits,
    point_area,
    three_digits,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ObservedPredictedDisplay", "ReliabilityDisplay", "observed_predicted_limits"]

_INSIDE_COLOR, _OUTSIDE_COLOR, _INTERVAL_COLOR = "#08519c", "#d95f02", "#c6dbef"
_DISPLAY_LEVELS = 99  # from 1 to 99 %


class ObservedPredictedDisplay(BaseDisplay):
    """Observed against predicted values, with intervals, the 1:1 line, R2 and RMSE.

    Create it by `from_estimator` or `from_predictions`. Predicted values are on the horizontal
    axis, so that predictions without conditional bias scatter around the 1:1 line.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed values.
    mean : array-like of shape (n_samples,)
        Predicted values.
    lower, upper : array-like of shape (n_samples,), default=None
        Limits of intervals, drawn as vertical bars. Rows inside and outside have different colors,
        and the legend has their shares.
    coverage : float, default=None
        Nominal coverage of the intervals, for the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the last drawing.
    figure_ : matplotlib.figure.Figure
        Figure of the last drawing.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import ObservedPredictedDisplay
    >>> meuse = load_meuse()
    >>> X = meuse.data[["x", "y", "elev", "dist"]]
    >>> model = BayesianRidge().fit(X[:100], meuse.target[:100])
    >>> display = ObservedPredictedDisplay.from_estimator(
    ...     model, X[100:], meuse.target[100:], unit="%"
    ... )
    >>> display.ax_.get_ylabel()
    'observed (%)'
    """

    def __init__(
        self,
        y: Any,
        mean: Any,
        lower: Any = None,
        upper: Any = None,
        *,
        coverage: float | None = None,
    ):
        self.y = y
        self.mean = mean
        self.lower = lower
        self.upper = upper
        self.coverage = coverage

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        coverage: float | None = 0.9,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> ObservedPredictedDisplay:
        """Predict rows, which should be held out from the fit, and draw the display.

        Parameters
        ----------
        estimator : fitted regressor
            Any regressor of scikit-learn's interface.
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Observed values.
        coverage : float, default=0.9
            Nominal coverage of the intervals; None draws none. Intervals need an estimator with
            ``predict_interval``, which may be wrapped in other estimators.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **plot_options
            ``unit``, ``limits`` and ``log1p`` of `plot`.

        Returns
        -------
        ObservedPredictedDisplay
        """
        check_is_fitted(estimator)
        mean = estimator.predict(X)
        if coverage is None or not hasattr(innermost_estimator(estimator), "predict_interval"):
            return cls.from_predictions(y, mean, ax=ax, **plot_options)
        lower, upper = predict_interval(estimator, X, coverage).T
        return cls.from_predictions(y, mean, lower, upper, coverage=coverage, ax=ax, **plot_options)

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        mean: Any,
        lower: Any = None,
        upper: Any = None,
        *,
        coverage: float | None = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> ObservedPredictedDisplay:
        """Draw the display of given predictions.

        Parameters
        ----------
        y, mean, lower, upper, coverage
            As in the class.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **plot_options
            ``unit``, ``limits`` and ``log1p`` of `plot`.

        Returns
        -------
        ObservedPredictedDisplay
        """
        return cls(y, mean, lower, upper, coverage=coverage).plot(ax, **plot_options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        unit: str = "",
        limits: Sequence[float] | None = None,
        log1p: bool = False,
    ) -> ObservedPredictedDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        unit : str, default=""
            Unit of the values.
        limits : pair of float, default=None
            Range of both axes; None shows all observed and predicted values and all intervals.
            Infinite limits of intervals end at the edge.
        log1p : bool, default=False
            Whether the axes are scaled by log(1 + value), for a skewed nonnegative target.
            Intervals that begin below the lowest value and below 0 are cut there.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If lengths differ, a value is not finite, or only one of `lower` and `upper` is given.
        """
        y, mean = aligned_vectors(y=self.y, mean=self.mean)
        if (self.lower is None) != (self.upper is None):
            raise ValueError("Only one of lower and upper is given; give both or neither.")
        ax = ax if ax is not None else new_axes()
        inside = np.ones(len(y), dtype=bool)
        interval: list[np.ndarray] = []
        if self.lower is not None:
            interval = aligned_vectors(
                may_be_infinite=("lower", "upper"), y=y, lower=self.lower, upper=self.upper
            )[1:]
            inside = (interval[0] <= y) & (y <= interval[1])
        lowest, highest = limits or observed_predicted_limits(y, mean, *interval, log1p=log1p)
        if interval:
            ends = np.clip(interval, *_beyond(lowest, highest, log1p))
            ax.vlines(mean, *ends, color=_INTERVAL_COLOR, linewidth=1.5, zorder=1)
        ax.plot([lowest, highest], [lowest, highest], color=LINE_COLOR, linewidth=1, zorder=2)
        area = point_area(len(y), ax) / 2
        percent = 100 * inside.mean()
        label = "inside" if self.coverage is None else f"in {100 * self.coverage:g} % interval"
        for rows, color, text in (
            (inside, _INSIDE_COLOR, f"{label}: {percent:.0f} %"),
            (~inside, _OUTSIDE_COLOR, f"outside: {100 - percent:.0f} %"),
        ):
            ax.scatter(mean[rows], y[rows], s=area, color=color, linewidths=0, zorder=3, label=text)
        if self.lower is not None:
            add_legend_above(ax, ncols=2, handletextpad=0.1, markerscale=np.sqrt(20 / area))
        if log1p:
            for set_scale in (ax.set_xscale, ax.set_yscale):
                set_scale("function", functions=(log1p_scale, np.expm1))
            ax.set_xticks(log1p_ticks(lowest, highest))
        # Ticks are set between the limits, because ticks outside would extend the axis.
        ax.set_xlim(lowest, highest)
        ax.set_yticks(ax.get_xticks())
        ax.set_ylim(lowest, highest)
        ax.set_box_aspect(1)
        scale = ", log scale" if log1p else ""
        ax.set(
            xlabel=with_unit("predicted", unit) + scale, ylabel=with_unit("observed", unit) + scale
        )
        rmse = f"RMSE {three_digits(root_mean_squared_error(y, mean))} {unit}".rstrip()
        # High predictions of low values are rare, so the lower right corner is the emptiest.
        ax.text(
            0.96,
            0.04,
            f"R² {r2_score(y, mean):.2f}\n{rmse}",
            transform=ax.transAxes,
            horizontalalignment="right",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
        )
        self._set_axes(ax)
        return self


def observed_predicted_limits(
    y: np.ndarray,
    mean: np.ndarray,
    lower: np.ndarray | None = None,
    upper: np.ndarray | None = None,
    *,
    log1p: bool,
) -> tuple[float, float]:
    """Return limits of both axes that show all values and all intervals.

    Limits of intervals that are infinite or missing have no influence.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.plotting.predictions import observed_predicted_limits
    >>> y, mean = np.array([1.0, 3.0]), np.array([2.0, 2.0])
    >>> observed_predicted_limits(y, mean, mean - 2, mean + np.inf, log1p=False)
    (-0.12, 3.12)
    """
    values = np.concatenate([y, mean])
    ends = np.concatenate([end for end in (lower, upper) if end is not None] or [values])
    ends = ends[np.isfinite(ends)]
    if log1p:  # the logarithm would stretch the axis for limits near -1
        ends = np.maximum(ends, min(values.min(), 0.0))
    return padded_limits(np.concatenate([values, ends]), log1p)


def _beyond(lowest: float, highest: float, log1p: bool) -> tuple[float, float]:
    """Return finite values outside the axes, at which lines to infinity end."""
    margin = highest - lowest
    return (-1.0 if log1p else lowest - margin), highest + margin


class ReliabilityDisplay(BaseDisplay):
    """Reliability diagram: observed against nominal coverage of central prediction intervals.

    Create it by `from_estimator` or `from_predictions`. Intervals are too wide where the line is
    above the diagonal, and too narrow where it is below. Several models may share the axes.
    scikit-learn's ``CalibrationDisplay`` is for classifiers.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed values of held-out rows.
    quantiles : array-like of shape (n_samples, n_levels)
        Predicted quantiles.
    levels : array-like of shape (n_levels,)
        Levels of the quantiles, increasing and symmetric around 0.5.
    name : str, default=""
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the last drawing.
    figure_ : matplotlib.figure.Figure
        Figure of the last drawing.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import ReliabilityDisplay
    >>> meuse = load_meuse()
    >>> X = meuse.data[["x", "y", "elev", "dist"]]
    >>> model = BayesianRidge().fit(X[:100], meuse.target[:100])
    >>> display = ReliabilityDisplay.from_estimator(model, X[100:], meuse.target[100:])
    >>> display.name, display.quantiles.shape
    ('BayesianRidge', (53, 99))
    """

    def __init__(self, y: Any, quantiles: Any, levels: Any, *, name: str = ""):
        self.y = y
        self.quantiles = quantiles
        self.levels = levels
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        levels: int = _DISPLAY_LEVELS,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> ReliabilityDisplay:
        """Predict quantiles of rows, which should be held out from the fit, and draw the display.

        Parameters
        ----------
        estimator : fitted regressor
            One with ``predict_quantiles``, ``predict_uncertainty`` or
            ``predict(X, return_std=True)``, which may be wrapped in Pipelines, searches and
            TransformedTargetRegressors. Standard deviations are taken as those of normal
            distributions.
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Observed values.
        levels : int, default=99
            Number of quantiles, ``p = i / (levels + 1)``, i = 1 to `levels`; at least 2.
        name : str, default=None
            Name for the legend; None takes the class name of the innermost estimator.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TypeError
            If the estimator predicts no uncertainty.
        ValueError
            If `levels` is less than 2.
        """
        check_is_fitted(estimator)
        if levels < 2:
            raise ValueError(f"levels must be at least 2; found {levels!r}.")
        nominal = np.arange(1, levels + 1) / (levels + 1)
        quantiles = predict_quantiles(estimator, X, nominal.tolist())
        if quantiles is None:
            mean, std = predict_mean_std(estimator, X)
            quantiles = np.asarray(mean)[:, None] + np.asarray(std)[:, None] * ndtri(nominal)
        name = type(innermost_estimator(estimator)).__name__ if name is None else name
        return cls.from_predictions(y, quantiles, nominal, name=name, ax=ax)

    @classmethod
    def from_predictions(
        cls, y: Any, quantiles: Any, levels: Any, *, name: str = "", ax: Axes | None = None
    ) -> ReliabilityDisplay:
        """Draw the display of given quantiles.

        Parameters
        ----------
        y, quantiles, levels, name
            As in the class.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        ReliabilityDisplay
        """
        return cls(y, quantiles, levels, name=name).plot(ax)

    def plot(self, ax: Axes | None = None) -> ReliabilityDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on, which may have lines of other models; None makes a new figure.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If shapes differ, or levels are not increasing and symmetric.
        """
        (y,) = aligned_vectors(y=self.y)
        levels = np.asarray(self.levels, dtype=float)
        quantiles = np.asarray(self.quantiles, dtype=float)
        if quantiles.shape != (len(y), len(levels)):
            raise ValueError(
                f"quantiles must have a row for each of {len(y)} values and a column for each of "
                f"{len(levels)} levels; found shape {quantiles.shape}."
            )
        if not np.allclose(levels, 1 - levels[::-1]) or (np.diff(levels) <= 0).any():
            raise ValueError(f"levels must increase and be symmetric around 0.5; found {levels}.")
        half = len(levels) // 2
        nominal = (levels[::-1] - levels)[:half][::-1]
        inside = (quantiles[:, :half] <= y[:, None]) & (y[:, None] <= quantiles[:, ::-1][:, :half])
        observed = inside.mean(axis=0)[::-1]
        ax = ax if ax is not None else new_axes()
        if not ax.lines:
            ax.plot([0, 1], [0, 1], color=LINE_COLOR, linewidth=1, zorder=1)
            ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="observed coverage")
            ax.set_box_aspect(1)
        gap = np.abs(observed - nominal).mean()
        prefix = f"{self.name}: " if self.name else ""
        number = len(ax.lines) - 1  # the first line is the diagonal
        ax.plot(
            np.r_[0, nominal, 1],
            np.r_[0, observed, 1],
            color=COLORS[number % len(COLORS)],
            linestyle=("-", "--", "-.", ":")[number % 4],
            label=f"{prefix}mean gap {gap:.3f}",
            zorder=2,
        )
        ax.legend(loc="upper left", frameon=False)
        self._set_axes(ax)
        return self
