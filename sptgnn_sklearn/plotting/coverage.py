"""Display of the coverage of prediction intervals in groups of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..inspection.coverage_groups import KNOWN_GROUPS
from ..inspection.coverage_table import CoverageTable, coverage_table
from ..utils.distribution_columns import check_coverage
from .drawing import LINE_COLOR, BaseDisplay, add_legend_above, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CoverageDisplay"]

_COLUMNS = ("by", "group", "n", "coverage", "low", "high")
# Shapes and colors differ, for prints in gray.
_KIND_MARKERS: dict[str, dict[str, Any]] = {
    "consistent": {"marker": "o", "color": "#444444", "markerfacecolor": "#444444"},
    "too low": {"marker": "v", "color": "#D55E00", "markerfacecolor": "#D55E00"},
    "too high": {"marker": "^", "color": "#0072B2", "markerfacecolor": "white"},
}
_DOT_STYLE: dict[str, Any] = {"linestyle": "none", "markersize": 5, "zorder": 3, "clip_on": False}
_SPACE = 0.6  # above a heading, in rows
_NUMBER_GAP, _DIGIT_WIDTH = 8.0, 0.64  # points; width of a digit in font sizes
_FEWEST_TO_SCALE = 10  # groups of fewer rows do not extend the axis, as their limits are far apart
_LARGEST_GAP = 0.06  # between the lowest limit and the left end of the axis


class CoverageDisplay(BaseDisplay):
    """Coverage of prediction intervals by groups: a dot with binomial limits for each group.

    Create it by `from_estimator`, `from_predictions` or `from_table`. Groups below a heading share
    what the rows are grouped by. The vertical line is the nominal coverage. A group whose limits do
    not contain it has a triangle that points down where the coverage is too low, and an open one
    that points up where it is too high. A group of few rows beyond the axis is an arrow at its end.

    Parameters
    ----------
    table : DataFrame
        With the columns by, group, n, coverage, low and high of `CoverageTable`.
    coverage : float
        Nominal coverage of the intervals.
    confidence : float, default=0.95
        Confidence of the limits, for the label of the axis.

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
    >>> from sptgnn_sklearn.plotting import CoverageDisplay
    >>> meuse = load_meuse()
    >>> X = meuse.data[["x", "y", "elev", "dist"]]
    >>> model = BayesianRidge().fit(X[:75], meuse.target[:75])
    >>> display = CoverageDisplay.from_estimator(
    ...     model, X[75:], meuse.target[75:], ["std", "elev"], n_groups=2
    ... )
    >>> display.table["by"].tolist()
    ['all', 'std', 'std', 'elev', 'elev']
    """

    def __init__(self, table: pd.DataFrame, *, coverage: float, confidence: float = 0.95):
        self.table = table
        self.coverage = coverage
        self.confidence = confidence

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        by: Any = KNOWN_GROUPS,
        *,
        coverage: float = 0.9,
        ax: Axes | None = None,
        **table_options: Any,
    ) -> CoverageDisplay:
        """Predict rows, which should be held out from the fit, and draw the display.

        Parameters
        ----------
        estimator, X, y, by, coverage
            As ``model`` and others in `sptgnn_sklearn.inspection.coverage_table`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **table_options
            Other parameters of `sptgnn_sklearn.inspection.coverage_table`, such as ``n_groups`` and
            ``training_coordinates``.

        Returns
        -------
        CoverageDisplay
        """
        if isinstance(estimator, BaseEstimator):  # those of MAPIE are not
            check_is_fitted(estimator)
        table = coverage_table(estimator, X, y, by, coverage=coverage, **table_options)
        return cls.from_table(table, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        lower: Any,
        upper: Any,
        by: Any,
        *,
        coverage: float = 0.9,
        ax: Axes | None = None,
        **table_options: Any,
    ) -> CoverageDisplay:
        """Draw the display of given intervals.

        Parameters
        ----------
        y, lower, upper, by, coverage
            As in `sptgnn_sklearn.inspection.CoverageTable.from_predictions`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.
        **table_options
            Other parameters of `sptgnn_sklearn.inspection.CoverageTable.from_predictions`, such as
            ``std`` and ``X``.

        Returns
        -------
        CoverageDisplay
        """
        table = CoverageTable.from_predictions(
            y, lower, upper, by, coverage=coverage, **table_options
        )
        return cls.from_table(table, ax=ax)

    @classmethod
    def from_table(cls, table: CoverageTable, *, ax: Axes | None = None) -> CoverageDisplay:
        """Draw the display of a table.

        Parameters
        ----------
        table : CoverageTable
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        CoverageDisplay
        """
        return cls(table.table, coverage=table.coverage, confidence=table.confidence).plot(ax)

    def plot(self, ax: Axes | None = None) -> CoverageDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure, whose height fits the number of groups.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the table lacks a column or has no rows.
        """
        missing = [name for name in _COLUMNS if name not in self.table]
        if missing or not len(self.table):
            raise ValueError(
                f"table must have rows, with the columns {', '.join(_COLUMNS)}; found "
                f"{len(self.table)} rows, without {missing}."
            )
        nominal = check_coverage(self.coverage)
        positions, headings = _group_positions(self.table["by"])
        ax = ax if ax is not None else _tall_axes(positions[-1] + 1)
        ax.axvline(nominal, color=LINE_COLOR, linewidth=1, zorder=1)
        left, kinds = _draw_groups(ax, self.table, positions, nominal)
        ax.set(
            xlabel=(
                f"observed coverage of {100 * nominal:g} % intervals, "
                f"{100 * self.confidence:g} % limits"
            ),
            xlim=(left, 1.0),
            ylim=(positions[-1] + 0.7, positions[0] - 0.7),
        )
        _label_rows(ax, self.table, positions, headings)
        if len(kinds) > 1:
            line = import_pyplot().Line2D
            styles = {kind: _DOT_STYLE | _KIND_MARKERS[kind] for kind in kinds}
            handles = [line([], [], label=kind, **style) for kind, style in styles.items()]
            add_legend_above(ax, handles=handles, handletextpad=0.1)
        self._set_axes(ax)
        return self


def _draw_groups(
    ax: Axes, table: pd.DataFrame, positions: np.ndarray, nominal: float
) -> tuple[float, list[str]]:
    """Draw dots and limits; return the left end of the axis and the kinds of markers."""
    values, n_rows = table[["coverage", "low", "high"]].to_numpy(dtype=float), table["n"].to_numpy()
    large = n_rows >= min(_FEWEST_TO_SCALE, n_rows.max())
    left = max(0.0, min(values[large, 1].min(), nominal) - _LARGEST_GAP)
    kinds = set()
    for position, (share, low, high) in zip(positions, values, strict=True):
        kind = "too low" if high < nominal else "too high" if low > nominal else "consistent"
        style = _KIND_MARKERS[kind]
        kinds.add(kind)
        ax.plot([low, high], [position] * 2, color=style["color"], linewidth=1.2, zorder=2)
        # An arrow at the end of the axis for a group beyond it.
        beyond = {"marker": "<"} if share < left else {}
        ax.plot(max(share, left), position, **(_DOT_STYLE | style | beyond))
    return left, [kind for kind in _KIND_MARKERS if kind in kinds]


def _group_positions(by: pd.Series) -> tuple[np.ndarray, dict[str, float]]:
    """Return the vertical position of each row, and of the heading above each kind of groups."""
    positions: list[float] = []
    headings: dict[str, float] = {}
    position, previous = 0.0, None
    for name in by:
        if name != previous and name != "all":
            position += _SPACE if positions else 0.0
            headings[name] = position
            position += 1
        positions.append(position)
        position, previous = position + 1, name
    return np.array(positions), headings


def _label_rows(
    ax: Axes, table: pd.DataFrame, positions: np.ndarray, headings: dict[str, float]
) -> None:
    """Write headings and groups on the left, and numbers of rows on the right."""
    names = [
        "all rows" if by == "all" else str(group) for by, group in table[["by", "group"]].values
    ]
    ax.set_yticks([*positions, *headings.values()], [*names, *headings])
    ax.tick_params(axis="y", length=0, pad=6)
    for label in ax.get_yticklabels()[len(names) :]:
        label.set_fontweight("bold")
    ax.spines[["top", "right", "left"]].set_visible(False)
    size = float(ax.get_yticklabels()[0].get_fontsize())
    numbers = [str(number) for number in table["n"]]
    end = _NUMBER_GAP + _DIGIT_WIDTH * size * max(map(len, numbers))
    for position, number in zip([positions[0] - 1, *positions], ["n", *numbers], strict=True):
        ax.annotate(
            number,
            (1, position),
            (end, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="center_baseline",
            fontsize=size,
            style="italic" if number == "n" else "normal",
            annotation_clip=False,
        )


def _tall_axes(n_rows: float) -> Axes:
    """Return the axes of a new figure with room for some rows."""
    return import_pyplot().subplots(figsize=(5.2, 1.1 + 0.24 * n_rows), layout="compressed")[1]
