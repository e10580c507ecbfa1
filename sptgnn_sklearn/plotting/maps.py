"""Maps of point values, of groups of points, of polygons and of layers of rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..maps.covariate_stack import stack_from_dataset
from ..maps.open_rasters import split_bands
from ..metrics.validation import aligned_vectors
from ..spatial.crs import SpatialReference, resolve_crs, same_crs
from ..table.coordinate_columns import find_column, locate_coordinates
from ..table.geo_frames import GEOMETRY_LABELS, is_geo_frame
from .color_scale import (
    TWO_CLASSES,
    class_colors,
    has_unit_range,
    layer_colormap,
    thinning_step,
)
from .drawing import (
    COLORS,
    LINE_COLOR,
    VALUE_COLORMAP,
    new_axes,
    point_area,
    with_unit,
)
from .map_elements import METERS_PER_KM, MapElements, border_segments

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.legend import Legend

__all__ = [
    "ColorScale",
    "add_legend_beside",
    "describe_map_layer",
    "draw_groups",
    "draw_map",
    "format_map_axes",
    "map_aspect",
    "plot_map",
    "select_layer",
]

_MARKERS = "os^Dv<>P"
_MAX_LATITUDE = 89.0  # a degree of longitude has no length at the poles


@dataclass(frozen=True)
class ColorScale:
    """Colors of the values of a map.

    Attributes
    ----------
    label : str or None
        Label of the color bar; None is the description of the layer.
    cmap : str or None
    vmin, vmax : float or None
    norm : matplotlib.colors.Normalize or None
    colorbar : bool
    """

    label: str | None = None
    cmap: str | None = None
    vmin: float | None = None
    vmax: float | None = None
    norm: Normalize | None = None
    colorbar: bool = True

    @property
    def limits(self) -> dict[str, Any]:
        """Keyword arguments of drawing functions of matplotlib."""
        if self.norm is not None:
            return {"norm": self.norm}
        return {"vmin": self.vmin, "vmax": self.vmax}


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
    norm: Normalize | None = None,
    colorbar: bool = True,
    size: float | None = None,
    scale_bar: bool = True,
    north_arrow: bool = False,
    outline: Any = None,
) -> Axes:
    """Draw values at points or of polygons, or a layer of a raster, as a map with a color bar.

    Parameters
    ----------
    coordinates : array-like of shape (n_samples, 2), DataFrame, GeoDataFrame, xarray.Dataset or \
DataArray
        Longitude and latitude, or easting and northing. In a DataFrame, columns with a usual name
        are used, or else the first two. A GeoDataFrame has points or polygons. A Dataset is a map
        of `predict_map`, or any raster that it accepts.
    values : array-like of shape (n_samples,) or str, default=None
        Of a table the values or the name of a column. Of a Dataset the name of a layer, such as
        "std"; None is its first layer.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None is that of a raster or GeoDataFrame; for other points it
        means longitude and latitude if the columns are so named, and planar coordinates of unknown
        unit otherwise.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.
    label : str, default=None
        Label of the color bar, with the unit of the values. None is the name of a column, the
        description of a layer with its unit, and empty for arrays.
    cmap : str, default=None
        Colormap. None is "viridis", "magma_r" for layers of standard deviations, and two colors
        for the area of applicability.
    vmin, vmax : float, default=None
        Values at the ends of the color bar; None takes the minimum and the maximum, of layers of
        probabilities 0 and 1.
    norm : matplotlib.colors.Normalize, default=None
        Color scale instead of `vmin` and `vmax`, such as one of `shared_norm` for several maps.
    colorbar : bool, default=True
        Whether to draw a color bar.
    size : float, default=None
        Area of the marker of a point in square points; None makes it smaller for more points.
    scale_bar : bool, default=True
        Whether to draw a scale bar. Its length is that on the ground in the middle of the map.
        Coordinates of an unknown unit have none.
    north_arrow : bool, default=False
        Whether to draw an arrow to true north.
    outline : GeoDataFrame, GeoSeries, xarray.DataArray or True, default=None
        Lines on top of the map: polygons or lines, which are converted to the CRS of the map; the
        border of the cells of a mask that are not 0, such as the layer "aoa"; or, if True, the
        border of the cells of a raster with data.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Axes with equal scales in both directions; for longitude and latitude the scales are equal
        in the middle of the map. Coordinates in meters have labels in kilometers. Cells without
        data are transparent; of rasters with more than 2000 rows or columns, every second, third,
        ... is drawn. Scale bar and north arrow are in the corners with the least data.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If there are no values for points, or `size` is given for a raster or polygons.
    ValueError
        If lengths differ, a value or coordinate of points is not finite, there is no such layer or
        column, `norm` is given with `vmin` or `vmax`, or CRSs differ.

    See Also
    --------
    shared_norm : One color scale for several maps.
    write_interactive_map : HTML page with all layers of a map.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import plot_map
    >>> meuse = load_meuse()
    >>> ax = plot_map(meuse.data, meuse.target, crs=meuse.crs, label="organic matter (%)")
    >>> ax.get_xlabel()
    'x (km)'
    """
    if norm is not None and (vmin is not None or vmax is not None):
        raise ValueError(f"vmin={vmin!r} and vmax={vmax!r} are limits of norm: leave them out.")
    scale = ColorScale(label, cmap, vmin, vmax, norm, colorbar)
    elements = MapElements(scale_bar, north_arrow, outline)
    if hasattr(coordinates, "dims"):  # of xarray
        if size is not None:
            raise TypeError("size is the area of markers of points; a raster has none.")
        return _draw_raster(coordinates, values, scale, elements, crs=crs, ax=ax)
    if values is None:
        raise TypeError("values are missing: pass plot_map(coordinates, values).")
    if isinstance(values, str):
        if not isinstance(coordinates, pd.DataFrame):
            raise TypeError(
                f"values={values!r} names a column, and coordinates is no DataFrame: pass the "
                "values."
            )
        column = find_column(coordinates, values, "values")
        label, values = values if label is None else label, coordinates[column]
    scale = ColorScale(label or "", cmap or VALUE_COLORMAP, vmin, vmax, norm, colorbar)
    if is_geo_frame(coordinates) and _has_polygons(coordinates):
        if size is not None:
            raise TypeError("size is the area of markers of points; polygons have none.")
        return _draw_polygons(coordinates, values, scale, elements, crs=crs, ax=ax)
    xy, reference, names = locate_coordinates(coordinates, None, crs)
    _, values = aligned_vectors(coordinates=xy[:, 0], values=values)
    names = ("x", "y") if tuple(names) == GEOMETRY_LABELS else names
    return draw_map(xy, reference, names, values, scale, elements, ax=ax, size=size)


def _draw_raster(
    raster: Any, layer: Any, scale: ColorScale, elements: MapElements, *, crs: Any, ax: Axes | None
) -> Axes:
    name, dataset = select_layer(raster, layer)
    stack = stack_from_dataset(dataset, "the map")
    grid, (rows, columns) = stack.grid, stack.grid.dims
    step = thinning_step(*grid.shape)
    part = stack.dataset.isel({rows: slice(None, None, step), columns: slice(None, None, step)})
    thinned = type(stack)(part, grid, fills=stack.fills)
    values = thinned.read((0, *part[name].shape[:1], 0, *part[name].shape[1:]))[name]
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(f"layer {name!r} has no values to draw.")
    classes = TWO_CLASSES.get(name) if scale.cmap is None and scale.norm is None else None
    limits = scale.limits
    if has_unit_range(name) and "norm" not in limits:
        limits = {
            "vmin": 0.0 if scale.vmin is None else scale.vmin,
            "vmax": 1.0 if scale.vmax is None else scale.vmax,
        }
    a, _, left, _, e, top = grid.transform
    right, bottom = left + a * step * values.shape[1], top + e * step * values.shape[0]
    ax = ax if ax is not None else new_axes()
    image = ax.imshow(
        values,
        extent=(left, right, bottom, top),
        origin="upper",
        interpolation="nearest",
        cmap=_two_colors() if classes else scale.cmap or layer_colormap(name),
        **limits,
    )
    # The first row is drawn at `top`, which is the lower end of the axis in a south-up raster.
    ax.set_xlim(min(left, right), max(left, right))
    ax.set_ylim(min(bottom, top), max(bottom, top))
    reference = _reference_of(grid.crs, crs)
    format_map_axes(ax, np.array([[left, bottom], [right, top]]), reference, (columns, rows))
    ax.margins(0)
    if scale.colorbar:
        automatic = classes.label if classes else with_unit(*describe_map_layer(dataset[name]))
        label = automatic if scale.label is None else scale.label
        bar = _add_color_bar(ax, image, values[finite], label)
        if classes:
            bar.set_ticks([0.25, 0.75], labels=list(classes.names))
    drawn = np.argwhere(finite)[:, ::-1] + 0.5
    cells = drawn * [a * step, e * step] + [left, top]
    border = border_segments(finite, grid, step) if elements.outline is True else None
    elements.draw(ax, reference, cells, border)
    return ax


def _two_colors() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(class_colors())


def describe_map_layer(array: Any) -> tuple[str, str]:
    """Return the description of a layer and its unit, from its attributes.

    Parameters
    ----------
    array : xarray.DataArray

    Examples
    --------
    >>> import xarray
    >>> from sptgnn_sklearn.plotting.maps import describe_map_layer
    >>> attributes = {"long_name": "predicted mean of clay", "units": "%"}
    >>> describe_map_layer(xarray.DataArray([1.0], attrs=attributes, name="mean"))
    ('mean of clay', '%')
    """
    unit = str(array.attrs.get("units", ""))
    text = str(array.attrs.get("long_name", array.name)).removeprefix("predicted ")
    return text, "" if unit == "1" else unit


def select_layer(raster: Any, layer: Any) -> tuple[str, Any]:
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


def _has_polygons(frame: Any) -> bool:
    return bool(frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"]).all())


def _draw_polygons(
    frame: Any, values: Any, scale: ColorScale, elements: MapElements, *, crs: Any, ax: Axes | None
) -> Axes:
    from matplotlib.collections import PathCollection

    geometry = frame.geometry
    _, values = aligned_vectors(coordinates=np.zeros(len(geometry)), values=values)
    stored = None if geometry.crs is None else geometry.crs.to_wkt()
    if stored is not None and crs is not None and not same_crs(stored, str(crs)):
        raise ValueError(
            f"crs={crs!r} differs from the CRS of the geometry: use to_crs(...), or leave crs out."
        )
    reference = resolve_crs(crs if stored is None else stored, ["x", "y"])
    ax = ax if ax is not None else new_axes()
    polygons = PathCollection(
        [_polygon_path(polygon) for polygon in geometry],
        array=values,
        cmap=scale.cmap,
        edgecolors="white",
        linewidths=0.5,
        norm=scale.norm,
    )
    if scale.norm is None:
        polygons.set_clim(
            values.min() if scale.vmin is None else scale.vmin,
            values.max() if scale.vmax is None else scale.vmax,
        )
    ax.add_collection(polygons)
    corners = geometry.total_bounds.reshape(2, 2)
    format_map_axes(ax, corners, reference, ("x", "y"))
    ax.update_datalim(corners)
    ax.autoscale_view()
    if scale.colorbar:
        _add_color_bar(ax, polygons, values, scale.label or "")
    vertices = np.concatenate([path.vertices for path in polygons.get_paths()])
    elements.draw(ax, reference, vertices, None)
    return ax


def _polygon_path(polygon: Any) -> Any:
    """Return the path of a polygon with holes, or of several."""
    from matplotlib.path import Path
    from shapely.geometry.polygon import orient

    # Rings of holes have to run the other way round.
    parts = [orient(part) for part in getattr(polygon, "geoms", [polygon])]
    rings = [ring for part in parts for ring in (part.exterior, *part.interiors)]
    return Path.make_compound_path(
        *(Path(np.asarray(ring.coords)[:, :2], closed=True) for ring in rings)
    )


def draw_map(
    xy: np.ndarray,
    reference: SpatialReference,
    names: Sequence[Any],
    values: np.ndarray,
    scale: ColorScale,
    elements: MapElements | None = None,
    *,
    ax: Axes | None,
    size: float | None = None,
) -> Axes:
    """Draw values at coordinates (n, 2); `plot_map` is the public function."""
    ax = ax if ax is not None else new_axes()
    area = size if size is not None else point_area(len(values), ax)
    points = ax.scatter(
        xy[:, 0], xy[:, 1], c=values, s=area, cmap=scale.cmap, linewidths=0, **scale.limits
    )
    format_map_axes(ax, xy, reference, names)
    if scale.colorbar:
        _add_color_bar(ax, points, values, scale.label or "")
    (elements or MapElements(scale_bar=True)).draw(ax, reference, xy, None)
    return ax


def _add_color_bar(ax: Axes, drawn: Any, values: np.ndarray, label: str) -> Any:
    # Inset axes keep the height of the map for any aspect.
    bar = ax.inset_axes((1.04, 0.0, 0.05, 1.0))
    lowest, highest = drawn.get_clim()
    extensions = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    extend = extensions.get((values.min() < lowest, values.max() > highest), "both")
    return ax.figure.colorbar(drawn, cax=bar, label=label, extend=extend, extendfrac=0.03)


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
    area = point_area(len(xy), ax)
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
        axis.set_major_formatter(_kilometer_formatter(axis))


def _kilometer_formatter(axis: Any) -> Any:
    """Return a formatter of meters as kilometers, with the decimals that distinguish the ticks."""
    from matplotlib.ticker import FuncFormatter

    def to_text(value: float, _: Any) -> str:
        ticks = np.unique(axis.get_majorticklocs()) / METERS_PER_KM
        step = np.diff(ticks).min() if len(ticks) > 1 else 1.0
        decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
        return f"{value / METERS_PER_KM:.{decimals}f}"

    return FuncFormatter(to_text)


def map_aspect(xy: np.ndarray, reference: SpatialReference) -> float:
    """Return the drawn length of a unit of the second coordinate, in units of the first."""
    if not reference.geographic:
        return 1.0
    middle = (xy[:, 1].min() + xy[:, 1].max()) / 2
    return float(1 / np.cos(np.radians(np.clip(middle, -_MAX_LATITUDE, _MAX_LATITUDE))))
