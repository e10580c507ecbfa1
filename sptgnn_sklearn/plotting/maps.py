"""Maps of point values and of groups of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics.validation import aligned_vectors
from ..spatial.crs import SpatialReference
from ..table.coordinate_columns import locate_coordinates
from .style import COLORS, LINE_COLOR, VALUE_COLORMAP, new_axes, point_area, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

__all__ = [
    "add_legend_beside",
    "draw_groups",
    "draw_map",
    "format_map_axes",
    "map_aspect",
    "plot_map",
]

_MARKERS = "os^Dv<>P"
_METERS_PER_KM = 1000.0
_MAX_LATITUDE = 89.0  # a degree of longitude has no length at the poles


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
    """Draw values as colored points on a map with a color bar.

    The maps of `predict_map` are xarray rasters; draw them by ``soil["mean"].plot(ax=ax)``.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2) or DataFrame
        Longitude and latitude, or easting and northing. In a DataFrame, columns with a usual name
        are used, or else the first two.
    values : array-like of shape (n_samples,)
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None means longitude and latitude if the columns are so named,
        and planar coordinates of unknown unit otherwise.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.
    label : str, default=""
        Label of the color bar, with the unit of the values.
    cmap : str, default="viridis"
        Colormap.
    vmin, vmax : float, default=None
        Values at the ends of the color bar; None takes the minimum and the maximum.
    size : float, default=None
        Area of a marker in square points; None makes it smaller for more points.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Axes with equal scales in both directions; for longitude and latitude the scales are equal
        in the middle of the map. Coordinates in meters have labels in kilometers.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `coordinates` is a raster.
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
            "coordinates must hold the coordinates of points; found a raster of xarray. Draw it "
            'by soil["mean"].plot(ax=ax).'
        )
    xy, reference, names = locate_coordinates(coordinates, None, crs)
    _, values = aligned_vectors(coordinates=xy[:, 0], values=values)
    return draw_map(
        xy,
        reference,
        names,
        values,
        ax=ax,
        label=label,
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
        size=size,
    )


def draw_map(
    xy: np.ndarray,
    reference: SpatialReference,
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
    """Draw values at coordinates (n, 2); `plot_map` is the public function."""
    ax = ax if ax is not None else new_axes()
    area = size if size is not None else point_area(len(values))
    points = ax.scatter(
        xy[:, 0], xy[:, 1], c=values, s=area, cmap=cmap, vmin=vmin, vmax=vmax, linewidths=0
    )
    format_map_axes(ax, xy, reference, names)
    # Inset axes keep the height of the map for any aspect.
    bar = ax.inset_axes((1.04, 0.0, 0.05, 1.0))
    lowest, highest = points.get_clim()
    extensions = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = extensions.get((values.min() < lowest, values.max() > highest), "both")
    ax.figure.colorbar(points, cax=bar, label=label, extend=extend, extendfrac=0.03)
    return ax


def draw_groups(
    xy: np.ndarray,
    reference: SpatialReference,
    names: Sequence[Any],
    groups: Sequence[tuple[str, np.ndarray]],
    *,
    ax: Axes | None,
    title: str,
) -> Axes:
    """Draw groups of points with a color and marker each, and a legend with their sizes.

    Groups are (name, rows) with row positions in `xy` (n, 2). Colors are assigned in the order of
    groups, empty ones included.
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
            edgecolors=LINE_COLOR,  # makes yellow visible on white
            linewidths=0.3,
            label=f"{name}: {len(rows)} {'row' if len(rows) == 1 else 'rows'}",
        )
    format_map_axes(ax, xy, reference, names)
    add_legend_beside(ax, title, np.sqrt(30 / area))  # equal markers for any number of rows
    return ax


def add_legend_beside(ax: Axes, title: str, scale: float = 1.0) -> Legend:
    """Add a legend to the right of a map, where it hides no points."""
    return ax.legend(
        title=title,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        markerscale=scale,
    )


def format_map_axes(
    ax: Axes, xy: np.ndarray, reference: SpatialReference, names: Sequence[Any]
) -> None:
    """Set the aspect, axis labels and units of a map."""
    ax.set_aspect(map_aspect(xy, reference))
    ax.margins(0.06)
    ax.locator_params(nbins=5, steps=[1, 2, 5, 10])
    if reference.geographic:
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
    else:
        unit = {"metre": "km", "unit": ""}.get(reference.unit, reference.unit)
        ax.set(xlabel=with_unit(str(names[0]), unit), ylabel=with_unit(str(names[1]), unit))
    ax.ticklabel_format(style="plain", useOffset=False)
    if reference.unit == "metre":
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value / _METERS_PER_KM:g}")


def map_aspect(xy: np.ndarray, reference: SpatialReference) -> float:
    """Return the drawn length of a unit of the second coordinate, in units of the first."""
    if not reference.geographic:
        return 1.0
    middle = (xy[:, 1].min() + xy[:, 1].max()) / 2
    return float(1 / np.cos(np.radians(np.clip(middle, -_MAX_LATITUDE, _MAX_LATITUDE))))
