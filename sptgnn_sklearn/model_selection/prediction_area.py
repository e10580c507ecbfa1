"""Prediction locations from points, polygons or rasters."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import Any

import numpy as np

from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, transform_coordinates
from ..table.coordinate_columns import locate_coordinates
from .locations import SampleLocations

__all__ = ["prediction_locations"]


def prediction_locations(
    area: Any, samples: SampleLocations, n_points: int, name: str = "prediction_points"
) -> np.ndarray:
    """Return coordinates (n, 2) of prediction locations, in the CRS of the samples.

    Parameters
    ----------
    area : array-like of shape (n, 2), DataFrame, geometry or path of a raster
        The `prediction_points` of `KNNDMKFold`.
    samples : SampleLocations
    n_points : int
        Approximate number of points of a regular grid over a polygon or a raster.
    name : str, default="prediction_points"
        Name of the parameter in error messages.

    Raises
    ------
    ImportError
        If `area` is a raster without rasterio, or a geometry without shapely.
    ValueError
        If there are no points, or `area` has a CRS and the samples have none.
    """
    if isinstance(area, str | PathLike):
        points = _raster_points(area, samples.reference, n_points, name)
    elif hasattr(area, "__geo_interface__") and not _has_points(area):
        points = _polygon_points(area, samples.reference, n_points, name)
    elif hasattr(area, "geometry"):
        geometry = _to_crs(area, samples.reference, name).geometry
        points = np.column_stack([geometry.x, geometry.y])
    else:
        points = _table_points(area, samples)
    if not len(points):
        raise ValueError(f"{name} must hold at least one point; found none.")
    check_coordinates(points, samples.reference, samples.names, fitting=False)
    return points


def _table_points(area: Any, samples: SampleLocations) -> np.ndarray:
    columns = getattr(area, "columns", None)
    has_names = columns is not None and set(samples.names) <= set(columns)
    pair = list(samples.names) if has_names else None
    return locate_coordinates(area, pair, samples.reference.crs)[0]


def _has_points(area: Any) -> bool:
    kinds = getattr(area, "geom_type", None)
    return hasattr(area, "geometry") and kinds is not None and bool(np.all(kinds == "Point"))


def _to_crs(area: Any, reference: SpatialReference, name: str) -> Any:
    """Return a geopandas object in the CRS of the samples; objects without a CRS are unchanged."""
    crs = getattr(area, "crs", None)
    if crs is None:
        return area
    _require_crs(reference, crs, name)
    return area.to_crs(reference.crs)


def _require_crs(reference: SpatialReference, crs: Any, name: str) -> None:
    if reference.crs is None:
        raise ValueError(
            f"{name} {'are' if name.endswith('s') else 'is'} in {crs}, but the CRS of the "
            "coordinates of X is unknown: set crs."
        )


def _polygon_points(area: Any, reference: SpatialReference, n_points: int, name: str) -> np.ndarray:
    try:
        import shapely
    except ImportError as error:
        raise ImportError(f"A polygon as {name} needs shapely.") from error
    area = _to_crs(area, reference, name)
    geometry = area.union_all() if hasattr(area, "union_all") else _as_geometry(area)
    if geometry.area == 0:
        raise ValueError(
            f"{name} is a {geometry.geom_type} without area: pass a polygon, or points "
            "as an array of two columns."
        )
    west, south, east, north = geometry.bounds
    share = geometry.area / ((east - west) * (north - south))
    # Square cells of a grid over the bounding box, with about n_points cells in the polygon.
    size = np.sqrt((east - west) * (north - south) * share / n_points)
    x = np.arange(west + size / 2, east, size)
    y = np.arange(south + size / 2, north, size)
    grid = np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
    inside = shapely.contains_xy(geometry, grid[:, 0], grid[:, 1])
    if not inside.any():  # a polygon narrower than the cells
        point = geometry.representative_point()
        return np.array([[point.x, point.y]])
    return grid[inside]


def _as_geometry(area: Any) -> Any:
    import shapely
    from shapely.geometry import shape

    geojson = area.__geo_interface__
    if geojson.get("type") == "FeatureCollection":
        return shapely.union_all([shape(part["geometry"]) for part in geojson["features"]])
    return shape(geojson.get("geometry", geojson))


def _raster_points(path: Any, reference: SpatialReference, n_points: int, name: str) -> np.ndarray:
    try:
        import rasterio
    except ImportError as error:
        raise ImportError(
            f'A raster as {name} needs rasterio: pip install "sptgnn-sklearn[maps]".'
        ) from error
    not_georeferenced = rasterio.errors.NotGeoreferencedWarning
    try:
        with warnings.catch_warnings(action="error", category=not_georeferenced):
            source = rasterio.open(path)
        with source:
            # Rasters of any size are read at a resolution of about four cells per point.
            step = max(1, int(np.sqrt(source.width * source.height / (4 * n_points))))
            shape = (max(1, source.height // step), max(1, source.width // step))
            mask = source.dataset_mask(out_shape=shape)
            (height, width), transform, crs = source.shape, source.transform, source.crs
    except not_georeferenced as error:
        raise ValueError(
            f"{name}={str(path)!r} is not georeferenced: set its transform and CRS."
        ) from error
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{name}={str(path)!r} cannot be read: {error}") from error
    rows, columns = np.nonzero(mask)
    step = max(1, len(rows) // n_points)
    rows, columns = rows[::step], columns[::step]
    right = (columns + 0.5) * width / shape[1]
    down = (rows + 0.5) * height / shape[0]
    points = np.column_stack(
        [
            transform.a * right + transform.b * down + transform.c,
            transform.d * right + transform.e * down + transform.f,
        ]
    )
    if crs is not None:
        _require_crs(reference, crs, name)
        points = transform_coordinates(points, crs, reference)
    return points
