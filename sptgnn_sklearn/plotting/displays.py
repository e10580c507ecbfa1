"""Figures in scikit-learn's form: objects that keep what was computed and can be drawn again.

Each draws by the function of its kind, so that both look the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted

from ..meta_estimators import (
    innermost_estimator,
    predict_interval,
    predict_mean_std,
    predict_quantiles,
)
from ..model_selection.splits import read_folds
from .folds import plot_folds
from .predictions import plot_calibration, plot_observed_predicted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FoldsDisplay", "ObservedPredictedDisplay", "ReliabilityDisplay"]

_DISPLAY_LEVELS = 99  # from 1 to 99 %


class _Display:
    """The attributes that all displays have once they are drawn."""

    ax_: Axes
    figure_: Figure

    def _drawn(self, ax: Axes) -> None:
        self.ax_ = ax
        figure = ax.get_figure(root=True)
        assert figure is not None  # axes that were drawn on are on a figure
        self.figure_ = figure


class ObservedPredictedDisplay(_Display):
    """Observed against predicted values, with intervals.

    Make it by `from_estimator` or `from_predictions`. Drawn as by `plot_observed_predicted`.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed values.
    mean : array-like of shape (n_samples,)
        Predicted values.
    lower, upper : array-like of shape (n_samples,), default=None
        Limits of intervals.
    level : float, default=None
        Nominal coverage of the intervals.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on last.
    figure_ : matplotlib.figure.Figure
        Its figure.

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
        level: float | None = None,
    ):
        self.y = y
        self.mean = mean
        self.lower = lower
        self.upper = upper
        self.level = level

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        coverage: float | None = 0.9,
        ax: Axes | None = None,
        **settings: Any,
    ) -> ObservedPredictedDisplay:
        """Predict rows, which should be held out, and draw them.

        Parameters
        ----------
        estimator : fitted regressor
            Any of scikit-learn's kind.
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Observed values.
        coverage : float, default=0.9
            Nominal coverage of the intervals; None draws none. An estimator without
            ``predict_interval``, itself or within wrappers, has none.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **settings
            ``unit``, ``limits`` and ``log1p`` of `plot_observed_predicted`.

        Returns
        -------
        ObservedPredictedDisplay
        """
        check_is_fitted(estimator)
        mean = estimator.predict(X)
        if coverage is None or not hasattr(innermost_estimator(estimator), "predict_interval"):
            return cls.from_predictions(y, mean, ax=ax, **settings)
        lower, upper = predict_interval(estimator, X, coverage).T
        return cls.from_predictions(y, mean, lower, upper, level=coverage, ax=ax, **settings)

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        mean: Any,
        lower: Any = None,
        upper: Any = None,
        *,
        level: float | None = None,
        ax: Axes | None = None,
        **settings: Any,
    ) -> ObservedPredictedDisplay:
        """Draw predictions that are there already.

        Parameters
        ----------
        y, mean, lower, upper, level
            As in the class.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **settings
            ``unit``, ``limits`` and ``log1p`` of `plot_observed_predicted`.

        Returns
        -------
        ObservedPredictedDisplay
        """
        return cls(y, mean, lower, upper, level=level).plot(ax, **settings)

    def plot(self, ax: Axes | None = None, **settings: Any) -> ObservedPredictedDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **settings
            ``unit``, ``limits`` and ``log1p`` of `plot_observed_predicted`.

        Returns
        -------
        self
        """
        self._drawn(
            plot_observed_predicted(
                self.y, self.mean, self.lower, self.upper, level=self.level, ax=ax, **settings
            )
        )
        return self


class ReliabilityDisplay(_Display):
    """How often targets lie in central intervals, against how often they should.

    Make it by `from_estimator` or `from_predictions`. Drawn as by `plot_calibration`; several
    models may share axes. scikit-learn's ``CalibrationDisplay`` is for classifiers.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Observed values of held-out rows.
    quantiles : array-like of shape (n_samples, n_levels)
        Predicted quantiles.
    levels : array-like of shape (n_levels,)
        Their levels, symmetric around 0.5 and rising.
    name : str, default=""
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on last.
    figure_ : matplotlib.figure.Figure
        Its figure.

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
        """Predict the quantiles of rows, which should be held out, and draw what they cover.

        Parameters
        ----------
        estimator : fitted regressor
            One that states quantiles by ``predict_quantiles``, or a standard deviation by
            ``predict(X, return_std=True)``, which is read as that of a normal distribution, itself
            or within Pipelines, searches and TransformedTargetRegressors.
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Observed values.
        levels : int, default=99
            Number of quantiles, ``p = i / (levels + 1)``, i = 1 to `levels`; at least 2.
        name : str, default=None
            For the legend; None is the name of the class of the estimator within all wrappers.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TypeError
            If the estimator states no uncertainty.
        """
        check_is_fitted(estimator)
        if levels < 2:
            raise ValueError(f"levels must be at least 2; found {levels!r}.")
        at = np.arange(1, levels + 1) / (levels + 1)
        quantiles = predict_quantiles(estimator, X, at.tolist())
        if quantiles is None:
            mean, std = predict_mean_std(estimator, X)
            quantiles = np.asarray(mean)[:, None] + np.asarray(std)[:, None] * ndtri(at)
        name = type(innermost_estimator(estimator)).__name__ if name is None else name
        return cls.from_predictions(y, quantiles, at, name=name, ax=ax)

    @classmethod
    def from_predictions(
        cls, y: Any, quantiles: Any, levels: Any, *, name: str = "", ax: Axes | None = None
    ) -> ReliabilityDisplay:
        """Draw what quantiles cover that are there already.

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
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on, perhaps with the lines of other models; None makes a new figure.

        Returns
        -------
        self
        """
        self._drawn(plot_calibration(self.y, self.quantiles, self.levels, ax=ax, label=self.name))
        return self


class FoldsDisplay(_Display):
    """Which rows each fold tests.

    Make it by `from_cv`. Drawn as by `plot_folds`. It keeps the folds, so that one drawing is like
    the other where a splitter draws at random.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table that holds the coordinates.
    splits : list of (train, test)
        Rows of each fold.
    coordinates, crs
        As in `SpatialBlockKFold`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on last.
    figure_ : matplotlib.figure.Figure
        Its figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.model_selection import SpatialBlockKFold
    >>> from sptgnn_sklearn.plotting import FoldsDisplay
    >>> meuse = load_meuse()
    >>> display = FoldsDisplay.from_cv(meuse.data, SpatialBlockKFold(3), crs=meuse.crs)
    >>> len(display.splits)
    3
    """

    def __init__(
        self,
        X: Any,
        splits: list[tuple[np.ndarray, np.ndarray]],
        *,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
    ):
        self.X = X
        self.splits = splits
        self.coordinates = coordinates
        self.crs = crs

    @classmethod
    def from_cv(
        cls,
        X: Any,
        cv: Any,
        *,
        y: Any = None,
        groups: Any = None,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        ax: Axes | None = None,
    ) -> FoldsDisplay:
        """Split a table and draw its folds.

        Parameters
        ----------
        X, cv, y, groups, coordinates, crs, ax
            As in `plot_folds`.

        Returns
        -------
        FoldsDisplay
        """
        return cls(X, read_folds(cv, X, y, groups), coordinates=coordinates, crs=crs).plot(ax)

    def plot(self, ax: Axes | None = None) -> FoldsDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        self
        """
        places = {"coordinates": self.coordinates, "crs": self.crs}
        self._drawn(plot_folds(self.X, self.splits, **places, ax=ax))
        return self
