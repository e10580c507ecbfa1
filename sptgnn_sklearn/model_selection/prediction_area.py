"""Places of the area that is going to be predicted: from points, a polygon or a raster."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import Any

import numpy as np

from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, transform_coordinates
from ..table.coordinate_columns import locate_coordinates
from .locations import SampleLocations

__all__ = ["prediction_places"]

_LEAST_PLACES = 1


def prediction_places(area: Any, survey: SampleLocations, n_points: int) -> np.ndarray:
    """Return coordinates (n, 2) of places to be predicted, in the system of the survey.

    Parameters
    ----------
    area : array-like of shape (n, 2), DataFrame, geometry or path of a raster
        As `KNNDMKFold` takes it.
    survey : Survey
    n_points : int
        About so many places are taken from a polygon or a raster, on a regular grid.

    Raises
    ------
    ImportError
        For a raster without rasterio, or a geometry without shapely.
    ValueError
        If it holds no place, or its system is known and that of the survey is not.
    """
    if isinstance(area, str | PathLike):
        places = _of_raster(area, survey.reference, n_points)
    elif hasattr(area, "__geo_interface__") and not _holds_points(area):
        places = _of_geometry(area, survey.reference, n_points)
    elif hasattr(area, "geometry"):
        points = _in_frame(area, survey.reference).geometry
        places = np.column_stack([points.x, points.y])
    else:
        places = _of_table(area, survey)
    if len(places) < _LEAST_PLACES:
        raise ValueError("prediction_points holds no place.")
    check_coordinates(places, survey.reference, survey.names, fitting=False)
    return places


def _of_table(area: Any, survey: SampleLocations) -> np.ndarray:
    columns = getattr(area, "columns", None)
    named = columns is not None and set(survey.names) <= set(columns)
    pair = list(survey.names) if named else None
    return locate_coordinates(area, pair, survey.reference.crs)[0]


def _holds_points(area: Any) -> bool:
    kinds = getattr(area, "geom_type", None)
    return hasattr(area, "geometry") and kinds is not None and bool(np.all(kinds == "Point"))


def _in_frame(area: Any, reference: SpatialReference) -> Any:
    """Return a geopandas object in the survey's system; others know none and stay."""
    known = getattr(area, "crs", None)
    if known is None:
        return area
    _require_crs(reference, known)
    return area.to_crs(reference.crs)


def _require_crs(reference: SpatialReference, known: Any) -> None:
    if reference.crs is None:
        raise ValueError(
            f"prediction_points are in {known}, and the system of the coordinates of X is not "
            "known: set crs."
        )


def _of_geometry(area: Any, reference: SpatialReference, n_points: int) -> np.ndarray:
    try:
        import shapely
    except ImportError as error:
        raise ImportError("A polygon as prediction_points needs shapely.") from error
    area = _in_frame(area, reference)
    geometry = area.union_all() if hasattr(area, "union_all") else _as_geometry(area)
    if geometry.area == 0:
        raise ValueError(
            f"prediction_points is a {geometry.geom_type} without area: give a polygon, or points "
            "as an array of two columns."
        )
    west, south, east, north = geometry.bounds
    share = geometry.area / ((east - west) * (north - south))
    # Cells are square in the coordinates; so many in the box leave n_points in the polygon.
    size = np.sqrt((east - west) * (north - south) * share / n_points)
    x = np.arange(west + size / 2, east, size)
    y = np.arange(south + size / 2, north, size)
    grid = np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
    inside = shapely.contains_xy(geometry, grid[:, 0], grid[:, 1])
    if not inside.any():  # narrower than the grid
        point = geometry.representative_point()
        return np.array([[point.x, point.y]])
    return grid[inside]


def _as_geometry(area: Any) -> Any:
    import shapely
    from shapely.geometry import shape

    read = area.__geo_interface__
    if read.get("type") == "FeatureCollection":
        return shapely.union_all([shape(part["geometry"]) for part in read["features"]])
    return shape(read.get("geometry", read))


def _of_raster(path: Any, reference: SpatialReference, n_points: int) -> np.ndarray:
    try:
        import rasterio
    except ImportError as error:
        raise ImportError(
            'A raster as prediction_points needs rasterio: pip install "sptgnn-sklearn[maps]".'
        ) from error
    unplaced = rasterio.errors.NotGeoreferencedWarning
    try:
        with warnings.catch_warnings(action="error", category=unplaced):
            source = rasterio.open(path)
        with source:
            # At no more than the resolution that is needed, whatever the size of the raster.
            step = max(1, int(np.sqrt(source.width * source.height / (4 * n_points))))
            shape = (max(1, source.height // step), max(1, source.width // step))
            mask = source.dataset_mask(out_shape=shape)
            (height, width), to_map, crs = source.shape, source.transform, source.crs
    except unplaced as error:
        raise ValueError(f"prediction_points={str(path)!r} has no place on the ground.") from error
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"prediction_points={str(path)!r} cannot be read: {error}") from error
    rows, columns = np.nonzero(mask)
    thin = max(1, len(rows) // n_points)
    rows, columns = rows[::thin], columns[::thin]
    right = (columns + 0.5) * width / shape[1]
    down = (rows + 0.5) * height / shape[0]
    places = np.column_stack(
        [
            to_map.a * right + to_map.b * down + to_map.c,
            to_map.d * right + to_map.e * down + to_map.f,
        ]
    )
    if crs is not None:
        _require_crs(reference, crs)
        places = transform_coordinates(places, crs, reference)
    return places
