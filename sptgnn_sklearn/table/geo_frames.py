"""Point geometry of GeoDataFrames as coordinate columns, and results with the geometry of X."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..spatial.crs import same_crs

__all__ = ["GEOMETRY_LABELS", "frame_like", "geometry_crs", "is_geo_frame", "split_geometry"]

GEOMETRY_LABELS = ("geometry.x", "geometry.y")
_CRS_KEY = "sptgnn_sklearn.geometry_crs"


def is_geo_frame(X: Any) -> bool:
    """Return whether X is a GeoDataFrame, without importing geopandas."""
    return isinstance(X, pd.DataFrame) and hasattr(type(X), "to_crs")


def split_geometry(X: Any) -> pd.DataFrame:
    """Return a GeoDataFrame as a DataFrame with two coordinate columns in front.

    Parameters
    ----------
    X : GeoDataFrame
        With an active geometry of points. Its CRS is kept for `geometry_crs`.

    Raises
    ------
    ValueError
        If there is no active geometry, or a row has no point.
    """
    try:
        points = X.geometry
    except AttributeError as error:
        raise ValueError(f"X is a GeoDataFrame without a geometry: {error}") from error
    other = points.geom_type.ne("Point") | points.is_empty
    if other.any():
        row = int(other.to_numpy().argmax())
        raise ValueError(
            f"Column {points.name!r} must hold points; found {points.iloc[row]!s:.40} at row "
            f"position {row} ({int(other.sum())} such rows): use X.geometry.centroid or "
            "representative_point(), or drop these rows."
        )
    frame = pd.DataFrame(X.drop(columns=points.name))
    for position, (label, values) in enumerate(
        zip(GEOMETRY_LABELS, (points.x, points.y), strict=True)
    ):
        frame.insert(position, label, values.to_numpy(dtype=float))
    frame.attrs[_CRS_KEY] = None if points.crs is None else points.crs.to_wkt()
    return frame


def geometry_crs(frame: pd.DataFrame, pair: tuple[Any, Any], crs: Any) -> Any:
    """Return the CRS of the coordinate columns: that of the geometry, or else the parameter `crs`.

    Parameters
    ----------
    frame : DataFrame
        Result of `split_geometry`, or any other table.
    pair : tuple of two labels
        The coordinate columns.
    crs : input of ``pyproj.CRS.from_user_input`` or None

    Raises
    ------
    ValueError
        If both are given and differ.
    """
    stored = frame.attrs.get(_CRS_KEY) if tuple(pair) == GEOMETRY_LABELS else None
    if stored is not None and crs is not None and not same_crs(stored, str(crs)):
        raise ValueError(
            f"crs={crs!r} differs from the CRS of the geometry of X: use X.to_crs(...), or leave "
            "crs out."
        )
    return stored if crs is None else crs


def frame_like(columns: dict[str, Any], X: Any) -> pd.DataFrame:
    """Return columns as a DataFrame with the index of X, and with its geometry if it has one."""
    frame = pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)
    return type(X)(frame, geometry=X.geometry) if is_geo_frame(X) else frame
