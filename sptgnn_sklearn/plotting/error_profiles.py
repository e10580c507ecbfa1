"""Display of error profiles: expected error by dissimilarity, with the windows behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .drawing import (
    COLORS,
    LINE_COLOR,
    BaseDisplay,
    new_axes,
    point_area,
    three_digits,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ErrorProfileDisplay"]

_N_GRID_POINTS = 200


class ErrorProfileDisplay(BaseDisplay):
    """Expected error by dissimilarity: the profile, and the RMSE of moving windows.

    Create it by `from_profile`. Several profiles, such as those of two models, may share the axes.

    Parameters
    ----------
    dissimilarity, rmse : array-like of shape (n_points,)
        Points of the profile.
    windows : DataFrame
        Windows with the columns dissimilarity and rmse.
    overall : float
        RMSE of all rows.
    threshold : float, default=None
        Threshold of the area of applicability, drawn as a vertical line.
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
    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability import ErrorProfile
    >>> from sptgnn_sklearn.plotting import ErrorProfileDisplay
    >>> rng = np.random.default_rng(0)
    >>> distance = rng.uniform(0, 10, 300)
    >>> profile = ErrorProfile().fit(distance, rng.normal(scale=1 + distance))
    >>> display = ErrorProfileDisplay.from_profile(profile, label="distance (km)", unit="%")
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('distance (km)', 'RMSE (%)')
    """

    def __init__(
        self,
        dissimilarity: Any,
        rmse: Any,
        windows: Any,
        overall: float,
        *,
        threshold: float | None = None,
        name: str = "",
    ):
        self.dissimilarity = dissimilarity
        self.rmse = rmse
        self.windows = windows
        self.overall = overall
        self.threshold = threshold
        self.name = name

    @classmethod
    def from_profile(
        cls,
        profile: Any,
        *,
        threshold: float | None = None,
        name: str = "",
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> ErrorProfileDisplay:
        """Evaluate a profile over its range and draw the display.

        Parameters
        ----------
        profile : ErrorProfile
            A fitted profile.
        threshold, name
            As in the class; ``threshold=area.threshold_`` for an `AreaOfApplicability`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **plot_options
            Options of `plot`.

        Returns
        -------
        ErrorProfileDisplay
        """
        check_is_fitted(profile)
        lower, upper = profile.range_
        grid = np.linspace(lower, upper, _N_GRID_POINTS)
        display = cls(
            grid,
            profile.predict(grid),
            profile.table_,
            profile.rmse_,
            threshold=threshold,
            name=name,
        )
        return display.plot(ax, **plot_options)

    def plot(
        self, ax: Axes | None = None, *, label: str = "dissimilarity index", unit: str = ""
    ) -> ErrorProfileDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on, which may have profiles of other models; None makes a new figure.
        label : str, default="dissimilarity index"
            Label of the horizontal axis, with its unit.
        unit : str, default=""
            Unit of the errors.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = ax if ax is not None else new_axes()
        number = sum(line.get_gid() == "profile" for line in ax.lines)
        color = COLORS[number % len(COLORS)]
        prefix = f"{self.name}: " if self.name else ""
        ax.scatter(
            self.windows["dissimilarity"],
            self.windows["rmse"],
            s=point_area(len(self.windows), ax) / 2,
            color=color,
            alpha=0.5,
            linewidth=0,
            label=f"{prefix}windows of {self.windows['n'].max()} rows",
        )
        ax.plot(self.dissimilarity, self.rmse, color=color, label=f"{prefix}profile", gid="profile")
        ax.axhline(
            self.overall,
            color=color,
            linestyle=":",
            linewidth=1,
            label=f"{prefix}all rows, RMSE {three_digits(self.overall)} {unit}".rstrip(),
        )
        if self.threshold is not None:
            ax.axvline(
                self.threshold,
                color=LINE_COLOR,
                linestyle="--",
                linewidth=1,
                label="threshold of the area",
            )
        ax.set(xlabel=label, ylabel=with_unit("RMSE", unit))
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False, fontsize="small")
        self._set_axes(ax)
        return self
