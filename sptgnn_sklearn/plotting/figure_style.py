"""Figure styles: widths of journal columns, font sizes, resolution and embedded fonts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from .drawing import import_pyplot

__all__ = ["style"]

_MM_PER_INCH = 25.4
_WIDTHS = {"single": 84.0, "double": 174.0}  # mm; one and two columns of a journal page
_ASPECT = 0.75
_FONTS = ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"]  # the first one installed
_PAPER: dict[str, Any] = {
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "font.family": "sans-serif",
    "font.sans-serif": _FONTS,
    "font.size": 8,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "patch.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    **{f"{axis}tick.major.size": 2.5 for axis in "xy"},
    **{f"{axis}tick.major.width": 0.6 for axis in "xy"},
    **{f"{axis}tick.minor.size": 1.5 for axis in "xy"},
    **{f"{axis}tick.minor.width": 0.5 for axis in "xy"},
    # TrueType fonts stay text that can be searched and edited; journals reject Type 3.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.bbox": "standard",  # "tight" would change the width of the column
    "savefig.dpi": 300,
}
_STYLES = {"paper": _PAPER}


def style(
    name: str = "paper", *, width: str | float = "single", height: float | None = None
) -> AbstractContextManager[None]:
    """Set sizes, fonts and resolution of figures, as a context manager or a decorator.

    Figures have to be made and saved inside the context. On exit the settings of matplotlib are as
    before.

    Parameters
    ----------
    name : {"paper"}, default="paper"
        "paper" has text of 7 to 8 points, thin lines, 300 dpi, and TrueType fonts embedded in PDF
        files.
    width : {"single", "double"} or float, default="single"
        Width of new figures: one column of 84 mm, two columns of 174 mm, or a number of mm.
    height : float, default=None
        Height of new figures in mm; None is three quarters of the width of one column, and half of
        the width of two columns.

    Returns
    -------
    context manager
        Of ``matplotlib.rc_context``. An explicit ``figsize`` of a figure overrides the width.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such style, or a width or height is not positive.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import plot_map, style
    >>> meuse = load_meuse()
    >>> with style("paper", width="single"):
    ...     ax = plot_map(meuse.data, meuse.target, crs=meuse.crs, label="organic matter (%)")
    >>> [round(25.4 * float(inches)) for inches in ax.figure.get_size_inches()]
    [84, 63]
    """
    if name not in _STYLES:
        raise ValueError(f"name={name!r} is not a style; choose from {sorted(_STYLES)}.")
    width_mm = _WIDTHS.get(width) if isinstance(width, str) else width
    if width_mm is None:
        raise ValueError(f"width={width!r} must be one of {list(_WIDTHS)}, or a number of mm.")
    if height is None:
        # Wide figures have panels side by side.
        height = width_mm * (_ASPECT if width_mm < 2 * _WIDTHS["single"] else 0.5)
    for label, value in (("width", width_mm), ("height", height)):
        if not value > 0:
            raise ValueError(f"{label}={value!r} must be a positive number of mm.")
    size = (width_mm / _MM_PER_INCH, height / _MM_PER_INCH)
    return import_pyplot().rc_context({**_STYLES[name], "figure.figsize": size})
