"""Values at places, drawn as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics.validation import aligned_vectors
from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import locate_coordinates
from .style import COLORS, LINE_STYLE, VALUE_COLORMAP, new_axes, point_area, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

__all__ = ["aspect", "draw_groups", "draw_map", "dress_map", "legend_beside", "plot_map"]

_MARKERS = "os^Dv<>P"
_METERS_PER_KM = 1000.0
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

    Maps of `predict_map` are rasters of xarray and draw themselves: ``soil["mean"].plot(ax=ax)``.

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
    TypeError
        If given a raster.
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
    if hasattr(coordinates, "dims"):  # of xarray
        raise TypeError(
            "plot_map draws samples: coordinates, then a value for each. A raster draws itself: "
            'soil["mean"].plot(ax=ax).'
        )
    xy, frame, names = locate_coordinates(coordinates, None, crs)
    _, values = aligned_vectors(coordinates=xy[:, 0], values=values)
    return draw_map(
        xy, frame, names, values, ax=ax, label=label, cmap=cmap, vmin=vmin, vmax=vmax, size=size
    )


def draw_map(
    xy: np.ndarray,
    frame: SpatialReference,
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
    """Draw values at places (n, 2); `plot_map` reads them from a table."""
    ax = ax if ax is not None else new_axes()
    area = size if size is not None else point_area(len(values))
    points = ax.scatter(
        xy[:, 0], xy[:, 1], c=values, s=area, cmap=cmap, vmin=vmin, vmax=vmax, linewidths=0
    )
    dress_map(ax, xy, frame, names)
    # Inset, so that the bar is as tall as the map whatever the aspect makes of the axes.
    bar = ax.inset_axes((1.04, 0.0, 0.05, 1.0))
    least, most = points.get_clim()
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = beyond.get((values.min() < least, values.max() > most), "both")
    ax.figure.colorbar(points, cax=bar, label=label, extend=extend, extendfrac=0.03)
    return ax


def draw_groups(
    xy: np.ndarray,
    frame: SpatialReference,
    names: Sequence[Any],
    groups: Sequence[tuple[str, np.ndarray]],
    *,
    ax: Axes | None,
    title: str,
) -> Axes:
    """Draw groups of places (n, 2), each with its colour and marker; a legend counts its rows.

    Groups are (name, rows): their order says which colour they get, whether they have rows or not.
    """
    ax = ax if ax is not None else new_axes()
    area = point_area(len(xy))
    for number, (name, rows) in enumerate(groups):
        ax.scatter(
            xy[rows, 0],
            xy[rows, 1],
            s=area,
            color=COLORS[number % len(COLORS)],
            marker=_MARKERS[(number + number // len(COLORS)) % len(_MARKERS)],
            edgecolors=LINE_STYLE,  # without it yellow is lost on white
            linewidths=0.3,
            label=f"{name}: {len(rows)} {'row' if len(rows) == 1 else 'rows'}",
        )
    dress_map(ax, xy, frame, names)
    legend_beside(ax, title, np.sqrt(30 / area))  # its markers are of one size, however many rows
    return ax


def legend_beside(ax: Axes, title: str, scale: float = 1.0) -> Legend:
    """Explain a map to its right, where no table has points."""
    return ax.legend(
        title=title,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        markerscale=scale,
    )


def dress_map(ax: Axes, xy: np.ndarray, frame: SpatialReference, names: Sequence[Any]) -> None:
    """Give axes with places the shape of a map, and their units."""
    ax.set_aspect(aspect(xy, frame))
    ax.margins(0.06)
    ax.locator_params(nbins=5, steps=[1, 2, 5, 10])
    if frame.geographic:
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
    else:
        unit = {"metre": "km", "unit": ""}.get(frame.unit, frame.unit)
        ax.set(xlabel=with_unit(str(names[0]), unit), ylabel=with_unit(str(names[1]), unit))
    ax.ticklabel_format(style="plain", useOffset=False)
    if frame.unit == "metre":
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value / _METERS_PER_KM:g}")


def aspect(xy: np.ndarray, frame: SpatialReference) -> float:
    """Return how much longer a unit of the second axis is drawn than one of the first."""
    if not frame.geographic:
        return 1.0
    middle = (xy[:, 1].min() + xy[:, 1].max()) / 2
    return float(1 / np.cos(np.radians(np.clip(middle, -_DEGREES_OF_POLE, _DEGREES_OF_POLE))))
