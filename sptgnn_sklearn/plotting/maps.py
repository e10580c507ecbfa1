"""Maps of point values, of groups of points and of layers of rasters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..maps.covariate_stack import stack_from_dataset
from ..maps.open_rasters import split_bands
from ..metrics.validation import aligned_vectors
from ..spatial.crs import SpatialReference, resolve_crs, same_crs
from ..table.coordinate_columns import locate_coordinates
from .style import (
    COLORS,
    LINE_COLOR,
    UNCERTAINTY_COLORMAP,
    VALUE_COLORMAP,
    new_axes,
    point_area,
    with_unit,
)

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
_MAX_CELLS = 2000  # rows and columns that are drawn; figures have fewer pixels
_UNCERTAINTY_LAYERS = ("std", "aleatoric", "epistemic", "dissimilarity")
_MAX_LATITUDE = 89.0  # a degree of longitude has no length at the poles


def plot_map(
    coordinates: Any,
    values: Any = None,
    *,
    crs: Any = None,
    ax: Axes | None = None,
    label: str | None = None,
    cmap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    size: float | None = None,
) -> Axes:
    """Draw values at points, or a layer of a raster, as a map with a color bar.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2), DataFrame, xarray.Dataset or DataArray
        Longitude and latitude, or easting and northing. In a DataFrame, columns with a usual name
        are used, or else the first two. A Dataset is a map of `predict_map`, or any raster that it
        accepts.
    values : array-like of shape (n_samples,) or str, default=None
        Of a Dataset the name of a layer, such as "std"; None is its first layer.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None is that of a raster; for points it means longitude and
        latitude if the columns are so named, and planar coordinates of unknown unit otherwise.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.
    label : str, default=None
        Label of the color bar, with the unit of the values. None is empty for points, and the
        description of a layer with its unit.
    cmap : str, default=None
        Colormap. None is "viridis", and "magma_r" for layers of standard deviations.
    vmin, vmax : float, default=None
        Values at the ends of the color bar; None takes the minimum and the maximum, of layers of
        probabilities 0 and 1.
    size : float, default=None
        Area of the marker of a point in square points; None makes it smaller for more points.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Axes with equal scales in both directions; for longitude and latitude the scales are equal
        in the middle of the map. Coordinates in meters have labels in kilometers. Cells without
        data are transparent; of rasters with more than 2000 rows or columns, every second, third,
        ... is drawn.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If there are no values for points, or `size` is given for a raster.
    ValueError
        If lengths differ, a value or coordinate of points is not finite, or there is no such layer.

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
        if size is not None:
            raise TypeError("size is the area of markers of points; a raster has none.")
        return _draw_raster(
            coordinates, values, crs=crs, ax=ax, label=label, cmap=cmap, vmin=vmin, vmax=vmax
        )
    if values is None:
        raise TypeError("values are missing: pass plot_map(coordinates, values).")
    xy, reference, names = locate_coordinates(coordinates, None, crs)
    _, values = aligned_vectors(coordinates=xy[:, 0], values=values)
    return draw_map(
        xy,
        reference,
        names,
        values,
        ax=ax,
        label=label or "",
        cmap=cmap or VALUE_COLORMAP,
        vmin=vmin,
        vmax=vmax,
        size=size,
    )


def _draw_raster(
    raster: Any,
    layer: Any,
    *,
    crs: Any,
    ax: Axes | None,
    label: str | None,
    cmap: str | None,
    vmin: float | None,
    vmax: float | None,
) -> Axes:
    name, dataset = _select_layer(raster, layer)
    attributes = dataset[name].attrs
    stack = stack_from_dataset(dataset, "the map")
    grid, (rows, columns) = stack.grid, stack.grid.dims
    step = max(1, -(-max(grid.shape) // _MAX_CELLS))
    part = stack.dataset.isel({rows: slice(None, None, step), columns: slice(None, None, step)})
    thinned = type(stack)(part, grid, fills=stack.fills)
    values = thinned.read((0, *part[name].shape[:1], 0, *part[name].shape[1:]))[name]
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).any():
        raise ValueError(f"layer {name!r} has no values to draw.")
    if name == "aoa" or str(name).startswith(("p<", "p>")):
        vmin, vmax = 0.0 if vmin is None else vmin, 1.0 if vmax is None else vmax
    uncertain = str(name) in _UNCERTAINTY_LAYERS
    a, _, left, _, e, top = grid.transform
    right, bottom = left + a * step * values.shape[1], top + e * step * values.shape[0]
    ax = ax if ax is not None else new_axes()
    image = ax.imshow(
        values,
        extent=(left, right, bottom, top),
        origin="upper",
        interpolation="nearest",
        cmap=cmap or (UNCERTAINTY_COLORMAP if uncertain else VALUE_COLORMAP),
        vmin=vmin,
        vmax=vmax,
    )
    # The first row is drawn at `top`, which is the lower end of the axis in a south-up raster.
    ax.set_ylim(min(bottom, top), max(bottom, top))
    format_map_axes(
        ax, np.array([[left, bottom], [right, top]]), _reference_of(grid.crs, crs), (columns, rows)
    )
    ax.margins(0)
    unit = str(attributes.get("units", ""))
    text = str(attributes.get("long_name", name)).removeprefix("predicted ")
    automatic = with_unit(text, "" if unit == "1" else unit)
    _add_color_bar(ax, image, values[np.isfinite(values)], automatic if label is None else label)
    return ax


def _select_layer(raster: Any, layer: Any) -> tuple[Any, Any]:
    """Return the name of a layer, and a Dataset with it alone."""
    if not hasattr(raster, "data_vars"):
        if layer is not None:
            raise TypeError(
                f"values={layer!r} names a layer of a Dataset, and coordinates is one raster "
                "already: leave values out."
            )
        attributes = dict(raster.attrs)
        raster = split_bands(raster, str(raster.name or "values"))
        if len(raster.data_vars) == 1:
            (name,) = raster.data_vars
            raster[name].attrs |= {k: attributes[k] for k in ("long_name",) if k in attributes}
    layers = list(raster.data_vars)
    if layer is None and layers:
        layer = layers[0]
    if not isinstance(layer, str) or layer not in layers:
        raise ValueError(f"values={layer!r} must be one of the layers of the map, {layers[:20]}.")
    return layer, raster[[layer]]


def _reference_of(stored: str | None, crs: Any) -> SpatialReference:
    if stored is not None and crs is not None and not same_crs(stored, str(crs)):
        raise ValueError(
            f"crs={crs!r} differs from the CRS of the raster: leave crs out, or reproject the "
            "raster first."
        )
    return resolve_crs(crs if stored is None else stored, ["x", "y"])


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
    _add_color_bar(ax, points, values, label)
    return ax


def _add_color_bar(ax: Axes, drawn: Any, values: np.ndarray, label: str) -> None:
    # Inset axes keep the height of the map for any aspect.
    bar = ax.inset_axes((1.04, 0.0, 0.05, 1.0))
    lowest, highest = drawn.get_clim()
    extensions = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = extensions.get((values.min() < lowest, values.max() > highest), "both")
    ax.figure.colorbar(drawn, cax=bar, label=label, extend=extend, extendfrac=0.03)


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
    if reference.unit != "metre":
        ax.ticklabel_format(style="plain", useOffset=False)
        return
    for axis in (ax.xaxis, ax.yaxis):  # may be shared with a map that is drawn already
        axis.set_major_formatter(lambda value, _: f"{value / _METERS_PER_KM:g}")


def map_aspect(xy: np.ndarray, reference: SpatialReference) -> float:
    """Return the drawn length of a unit of the second coordinate, in units of the first."""
    if not reference.geographic:
        return 1.0
    middle = (xy[:, 1].min() + xy[:, 1].max()) / 2
    return float(1 / np.cos(np.radians(np.clip(middle, -_MAX_LATITUDE, _MAX_LATITUDE))))
