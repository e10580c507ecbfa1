"""Layers of an interactive map as JSON: images with values of cells, and features in GeoJSON."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..maps.covariate_stack import ignore_affine_warnings, import_xarray, stack_from_dataset
from ..spatial.crs import WGS84, resolve_crs, same_crs, transform_coordinates
from ..table.coordinate_columns import as_dataframe, locate_coordinates
from ..table.geo_frames import is_geo_frame
from .color_scale import TWO_CLASSES, class_colors, layer_colormap, shared_limits
from .drawing import import_pyplot, with_unit
from .map_elements import geometry_lines
from .maps import describe_map_layer

__all__ = ["feature_layers", "outline_feature", "raster_layers"]

_WEB_MERCATOR = "EPSG:3857"
_MAX_LATITUDE_OF_MERCATOR = 85.0
_MAX_IMAGE_SIDE = 1000  # rows and columns of an image
_SMALL_IMAGE_SIDE, _MAX_FACTOR = 300, 2  # smaller rasters have several pixels for a cell
_N_COLORS = 255
_MISSING_CODE = 65_535
_N_LEGEND_COLORS = 32
_MAX_TICKS, _LONG_TICK = 6, 4  # fewer ticks if they have more characters


def raster_layers(
    soil: Any, names: Sequence[str], labels: Mapping[str, str], crs: Any
) -> dict[str, Any]:
    """Return the layers of a map in Web Mercator, and its extent.

    Parameters
    ----------
    soil : xarray.Dataset
    names : sequence of str
    labels : mapping of str to str
        Labels that replace those of the attributes.
    crs : input of ``pyproj.CRS.from_user_input`` or None
        CRS of a Dataset without one.

    Raises
    ------
    ValueError
        If the map has no CRS, or a layer no values.
    """
    projected = _to_web_mercator(soil[list(names)], crs)
    arrays = {name: np.asarray(projected[name].to_numpy(), dtype=float) for name in names}
    for name, values in arrays.items():
        if not np.isfinite(values).any():
            raise ValueError(f"layer {name!r} has no values to draw.")
    with ignore_affine_warnings():
        west, south, east, north = projected.rio.bounds()
    corners = np.array([[west, south], [east, north]])
    degrees = transform_coordinates(corners, _WEB_MERCATOR, resolve_crs(WGS84, []))
    limits = shared_limits(arrays)
    layers = []
    for name, values in arrays.items():
        layer = _legend(name, labels.get(name, _layer_label(soil[name])), limits[name], values)
        layers.append(layer | _image(name, values, layer["limits"]))
    height, width = next(iter(arrays.values())).shape
    return {
        "bounds": degrees.ravel().tolist(),
        "grid": {"width": width, "height": height, "mercator": [west, south, east, north]},
        "layers": layers,
    }


def feature_layers(
    table: Any, names: Sequence[str] | None, labels: Mapping[str, str], crs: Any
) -> dict[str, Any]:
    """Return columns of a table as properties of GeoJSON features, and their extent.

    Parameters
    ----------
    table : DataFrame or GeoDataFrame
        A GeoDataFrame may have polygons.
    names : sequence of str or None
        None is all columns of numbers but the coordinates.
    labels : mapping of str to str
    crs : input of ``pyproj.CRS.from_user_input`` or None

    Raises
    ------
    ValueError
        If the table has no CRS, no such column, or no numbers.
    """
    geometries, bounds, columns = _geometries(table, crs)
    numeric = [str(name) for name in columns if pd.api.types.is_numeric_dtype(columns[name])]
    names = numeric if names is None else list(names)
    missing = [name for name in names if name not in numeric]
    if missing or not names:
        raise ValueError(f"layers={missing} must be columns of numbers, of {numeric[:20]}.")
    arrays = {name: columns[name].to_numpy(dtype=float, na_value=np.nan) for name in names}
    for name, values in arrays.items():
        if not np.isfinite(values).any():
            raise ValueError(f"column {name!r} has no values to draw.")
    limits = shared_limits(arrays)
    features = [
        {
            "type": "Feature",
            "geometry": geometry,
            "properties": {
                name: float(f"{values[row]:.6g}")
                for name, values in arrays.items()
                if np.isfinite(values[row])
            },
        }
        for row, geometry in enumerate(geometries)
    ]
    return {
        "bounds": bounds,
        "features": {"type": "FeatureCollection", "features": features},
        "layers": [
            _legend(name, labels.get(name, name), limits[name], values)
            for name, values in arrays.items()
        ],
    }


def outline_feature(outline: Any) -> dict[str, Any]:
    """Return the lines of a GeoDataFrame or GeoSeries as one GeoJSON feature."""
    if not hasattr(type(outline), "to_crs"):
        raise TypeError(f"outline must be a GeoDataFrame; found {type(outline).__name__}.")
    if outline.crs is None:
        raise ValueError("outline has no CRS: set it by set_crs(...).")
    lines = [line.round(6).tolist() for line in geometry_lines(outline.to_crs(WGS84).geometry)]
    return {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "MultiLineString", "coordinates": lines},
    }


@ignore_affine_warnings()
def _to_web_mercator(soil: Any, crs: Any) -> Any:
    xarray = import_xarray()
    stack = stack_from_dataset(soil, "the map")
    grid = stack.grid
    if grid.crs is None and crs is None:
        raise ValueError("the map has no CRS: pass crs, such as crs='EPSG:32636'.")
    if grid.crs is not None and crs is not None and not same_crs(grid.crs, str(crs)):
        raise ValueError(f"crs={crs!r} differs from the CRS of the map: leave crs out.")
    reference = resolve_crs(crs if grid.crs is None else grid.crs, ["x", "y"])
    step = max(1, -(-max(grid.shape) // _MAX_IMAGE_SIDE))
    rows, columns = np.arange(len(grid.y))[::step], np.arange(len(grid.x))[::step]
    if reference.geographic:
        rows = rows[np.abs(grid.y[rows]) <= _MAX_LATITUDE_OF_MERCATOR]
    part = stack.dataset.isel({grid.dims[0]: rows, grid.dims[1]: columns})
    values = type(stack)(part, grid, fills=stack.fills).read((0, len(rows), 0, len(columns)))
    a, _, left, _, e, top = grid.transform
    # Thinned cells stand for the cells that follow them.
    x = left + a * (columns + step / 2)
    y = top + e * (rows + step / 2)
    thinned = xarray.Dataset(
        {name: (("y", "x"), np.asarray(array, dtype="float32")) for name, array in values.items()},
        coords={"y": y, "x": x},
    )
    thinned = thinned.rio.write_crs(reference.crs)
    for name in thinned.data_vars:
        thinned[name] = thinned[name].rio.write_nodata(np.nan)
    projected = thinned.rio.reproject(_WEB_MERCATOR)
    factor = min(_MAX_FACTOR, _SMALL_IMAGE_SIDE // max(len(rows), len(columns)))
    if factor < 2:
        return projected
    # Nearest neighbors move the edges of cells by up to half a pixel.
    resolution = tuple(abs(side) / factor for side in projected.rio.resolution())
    return thinned.rio.reproject(_WEB_MERCATOR, resolution=resolution)


def _geometries(table: Any, crs: Any) -> tuple[list[dict[str, Any]], list[float], pd.DataFrame]:
    """Return the geometries in degrees, their bounds, and the other columns of a table."""
    if is_geo_frame(table) and not table.geometry.geom_type.eq("Point").all():
        stored = table.geometry.crs
        if stored is None and crs is None:
            raise ValueError("the GeoDataFrame has no CRS: pass crs, or set it by set_crs(...).")
        geometry = (table.geometry if stored is not None else table.geometry.set_crs(crs)).to_crs(
            WGS84
        )
        parsed = json.loads(geometry.to_json(drop_id=True))["features"]
        columns = pd.DataFrame(table.drop(columns=table.geometry.name))
        return (
            [feature["geometry"] for feature in parsed],
            geometry.total_bounds.tolist(),
            columns,
        )
    xy, reference, names = locate_coordinates(table, None, crs)
    if reference.crs is None:
        raise ValueError("the coordinates have no CRS: pass crs, such as crs='EPSG:32636'.")
    degrees = transform_coordinates(xy, reference.crs, resolve_crs(WGS84, [])).round(6)
    points = [{"type": "Point", "coordinates": point} for point in degrees.tolist()]
    frame = as_dataframe(table)
    bounds = [*degrees.min(axis=0).tolist(), *degrees.max(axis=0).tolist()]
    return points, bounds, frame.drop(columns=list(names))


def _layer_label(array: Any) -> str:
    classes = TWO_CLASSES.get(str(array.name))
    return classes.label if classes else with_unit(*describe_map_layer(array))


def _legend(
    name: str, label: str, limits: tuple[float | None, float | None], values: np.ndarray
) -> dict[str, Any]:
    """Return name, label, limits, colors and ticks of a layer."""
    plt = import_pyplot()
    finite = values[np.isfinite(values)]
    low, high = (
        float(end) if limit is None else limit
        for limit, end in zip(limits, (finite.min(), finite.max()), strict=True)
    )
    classes = TWO_CLASSES.get(name)
    if classes:
        colors, ticks = list(class_colors()), []
    else:
        if low == high:
            low, high = low - 0.5, high + 0.5
        colormap = plt.get_cmap(layer_colormap(name))
        colors = [
            plt.matplotlib.colors.to_hex(color)
            for color in colormap(np.linspace(0, 1, _N_LEGEND_COLORS))
        ]
        ticks = _legend_ticks(low, high)
    return {
        "name": name,
        "label": label,
        "limits": [low, high],
        "colors": colors,
        "ticks": ticks,
        "classes": list(classes.names) if classes else [],
    }


def _legend_ticks(low: float, high: float) -> list[float]:
    """Return round ticks whose labels have room below a color bar."""
    ticks: list[float] = []
    for n_ticks in (_MAX_TICKS, _MAX_TICKS // 2):
        locator = import_pyplot().MaxNLocator(n_ticks, steps=[1, 2, 2.5, 5, 10])
        found = locator.tick_values(low, high)
        ticks = [float(f"{tick:.6g}") for tick in found if low <= tick <= high]
        if max((len(f"{tick:g}") for tick in ticks), default=0) <= _LONG_TICK:
            break
    return ticks


def _image(name: str, values: np.ndarray, limits: Sequence[float]) -> dict[str, Any]:
    """Return a PNG image of a layer, and its values as 16-bit codes."""
    plt = import_pyplot()
    from PIL import Image

    finite = np.isfinite(values)
    low, high = limits
    share = np.clip((np.where(finite, values, low) - low) / (high - low), 0, 1)
    # The last color of the palette is transparent.
    index = np.where(finite, np.round(share * (_N_COLORS - 1)), _N_COLORS).astype(np.uint8)
    if name in TWO_CLASSES:
        colors = plt.matplotlib.colors.ListedColormap(class_colors())
    else:
        colors = plt.get_cmap(layer_colormap(name))
    palette = (255 * colors(np.linspace(0, 1, _N_COLORS))[:, :3]).round().astype(np.uint8)
    image = Image.frombytes("P", index.shape[::-1], index.tobytes())
    image.putpalette([*palette.ravel().tolist(), 0, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=_N_COLORS, optimize=True)
    lowest, highest = float(values[finite].min()), float(values[finite].max())
    step = (highest - lowest) / (_MISSING_CODE - 1) or 1.0
    steps = np.round((np.where(finite, values, lowest) - lowest) / step)
    codes = np.where(finite, steps, _MISSING_CODE)
    return {
        "image": "data:image/png;base64," + b64encode(buffer.getvalue()).decode(),
        "codes": b64encode(codes.astype("<u2").tobytes()).decode(),
        "offset": lowest,
        "step": step,
    }
