"""Colors, axes, limits and labels shared by all figures; matplotlib is imported only to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Both can be read in gray and with the common color vision deficiencies.
VALUE_COLORMAP = "viridis"
UNCERTAINTY_COLORMAP = "magma_r"
# Okabe and Ito (2008): distinct with the common color vision deficiencies.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
LINE_COLOR = "#444444"
_TICK_DIGITS = ((1, 3), (1, 2, 5), (1, 2, 5, 3, 7, 1.5))
_MIN_LOG_TICKS = 5
_FULL_SIZE = 3.0  # inches; on smaller axes markers are smaller


class BaseDisplay:
    """Base class of displays: the axes and the figure of the last drawing."""

    ax_: Axes
    figure_: Figure

    def _set_axes(self, ax: Axes) -> None:
        figure: Any = ax.get_figure()
        # A subfigure belongs to a figure; matplotlib 3.10 has get_figure(root=True) for that.
        while figure is not figure.figure:
            figure = figure.figure
        self.ax_, self.figure_ = ax, figure


def new_axes() -> Axes:
    """Return the axes of a new figure."""
    # "constrained" clips legends and color bars beside axes of fixed aspect.
    return import_pyplot().subplots(layout="compressed")[1]


def import_pyplot() -> Any:
    """Import pyplot, or raise an ImportError that names the extra to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Figures need matplotlib. Install it with: pip install "sptgnn-sklearn[plot]"'
        ) from error
    return plt


def add_legend_above(ax: Axes, **options: Any) -> None:
    """Add a legend above the axes, where it hides no points."""
    ax.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
        columnspacing=1.0,
        borderaxespad=0.1,
        **{"ncols": 3, **options},
    )


def point_area(n_points: int, ax: Axes) -> float:
    """Return the area of a marker in square points, smaller for more points and on small axes."""
    figure: Any = ax.get_figure()
    side = min(ax.bbox.width, ax.bbox.height) / figure.dpi
    return float(np.clip(6000 / max(n_points, 1), 3, 40) * min(1.0, side / _FULL_SIZE) ** 2)


def padded_limits(values: np.ndarray, log1p: bool) -> tuple[float, float]:
    """Return limits of an axis that shows all values with a margin of 4 %."""
    transform, inverse = (log1p_scale, np.expm1) if log1p else (float, float)
    lowest, highest = transform(values.min()), transform(values.max())
    margin = 0.04 * (highest - lowest) or 1.0
    return float(inverse(lowest - margin)), float(inverse(highest + margin))


def log1p_scale(values: np.ndarray) -> np.ndarray:
    """Return log(1 + value), with values clipped just above -1."""
    # Limits of intervals may lie below -1, far outside the axes.
    return np.log1p(np.maximum(values, -1 + 1e-9))


def log1p_ticks(lowest: float, highest: float) -> list[float]:
    """Return round ticks inside an axis that have room for their labels: 0, 1, 3, 10, 30, ...

    Axes of a short range have ticks at more digits, so that there are five where possible.
    """
    ticks: list[float] = []
    for digits in _TICK_DIGITS:
        ticks = _spaced_ticks(lowest, highest, digits)
        if len(ticks) >= _MIN_LOG_TICKS:
            break
    return ticks


def _spaced_ticks(lowest: float, highest: float, digits: tuple[float, ...]) -> list[float]:
    """Return 0 and multiples of powers of ten; those of the first digits come first."""
    spacing = 0.1 * (np.log1p(highest) - np.log1p(max(lowest, 0.0)))
    powers = [10.0**k for k in range(8, -4, -1)]
    ticks: list[float] = []
    for tick in [0.0, *(digit * power for digit in digits for power in powers)]:
        gaps = np.abs(np.log1p(tick) - np.log1p(ticks))
        if lowest <= tick <= highest and (gaps >= spacing).all():
            ticks.append(tick)
    return sorted(ticks)


def with_unit(text: str, unit: str) -> str:
    """Return a label followed by its unit in parentheses, if there is a unit."""
    return f"{text} ({unit})" if unit else text


def three_digits(value: float) -> str:
    """Return a positive number with three significant digits, and with all digits above 100."""
    decimals = 2 - int(np.floor(np.log10(value))) if value > 0 else 0
    return f"{value:.{max(decimals, 0)}f}"
