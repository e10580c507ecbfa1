"""What all figures share: axes, colours, margins and labels; matplotlib is imported here, late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
# Both are readable with every common colour vision deficiency, and in grey.
VALUE_COLORMAP = "viridis"
UNCERTAINTY_COLORMAP = "magma_r"
# Okabe and Ito (2008): apart for every common colour vision deficiency.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
INSIDE, OUTSIDE, BAR, LINE_STYLE = "#08519c", "#d95f02", "#c6dbef", "#444444"


def new_axes() -> Axes:
    """Return the axes of a new figure."""
    # "constrained" cuts what stands beside axes of fixed shape, such as the legend of a map.
    return import_pyplot().subplots(layout="compressed")[1]


def import_pyplot() -> Any:
    """Return pyplot, or say how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Figures need matplotlib. Install it with: pip install "sptgnn-sklearn[plot]"'
        ) from error
    return plt


def legend_above(ax: Axes, **settings: Any) -> None:
    """Explain a panel above it, because anywhere within it some table has points."""
    ax.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
        columnspacing=1.0,
        borderaxespad=0.1,
        **{"ncols": 3, **settings},
    )


def point_area(n_points: int) -> float:
    """Return the area of a point, in square points, that leaves so many of them apart."""
    return float(np.clip(6000 / max(n_points, 1), 3, 40))


def with_margin(values: np.ndarray, log1p: bool) -> tuple[float, float]:
    """Return limits of an axis that shows all values, a little apart from its ends."""
    there, back = (log1p_scale, np.expm1) if log1p else (float, float)
    least, most = there(values.min()), there(values.max())
    margin = 0.04 * (most - least) or 1.0
    return float(back(least - margin)), float(back(most + margin))


def log1p_scale(values: np.ndarray) -> np.ndarray:
    """Return log(1 + value), or that of almost -1 for what is below."""
    # A bar of an interval may reach below -1, where there is no logarithm: far beyond the axes.
    return np.log1p(np.maximum(values, -1 + 1e-9))


def log1p_ticks(least: float, most: float) -> list[float]:
    """Return 0, 1, 3, 10, 30 and so on where they are neither outside the axis nor crowded."""
    apart = 0.1 * (np.log1p(most) - np.log1p(max(least, 0.0)))
    ticks: list[float] = []
    for tick in sorted([0.0, *(m * 10.0**k for k in range(-3, 9) for m in (1, 3))]):
        if least <= tick <= most and (not ticks or np.log1p(tick) >= np.log1p(ticks[-1]) + apart):
            ticks.append(tick)
    return ticks


def with_unit(text: str, unit: str) -> str:
    """Return a label with the unit in brackets, if there is one."""
    return f"{text} ({unit})" if unit else text


def three_digits(value: float) -> str:
    """Return a positive number with three digits, but all before the point."""
    decimals = 2 - int(np.floor(np.log10(value))) if value > 0 else 0
    return f"{value:.{max(decimals, 0)}f}"
