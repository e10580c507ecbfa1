"""Coordinate columns of X: lookup by name or position, and parsing."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from ..spatial.coordinate_checks import check_coordinates
from ..spatial.crs import SpatialReference, resolve_crs
from ..spatial.longitudes import wrap_longitudes
from ..utils.messages import did_you_mean
from .column_parsing import to_float
from .geo_frames import GEOMETRY_LABELS, geometry_crs, is_geo_frame, split_geometry

__all__ = ["as_dataframe", "as_rows", "find_column", "locate_coordinates"]

# Recognized names, by priority: if a table has both planar and geographic coordinates, the planar
# ones are used, which need no conversion.
_RECOGNIZED_PAIRS = (
    GEOMETRY_LABELS,
    ("x", "y"),
    ("easting", "northing"),
    ("eastings", "northings"),
    ("utm_x", "utm_y"),
    ("x_coord", "y_coord"),
    ("coord_x", "coord_y"),
    ("xcoord", "ycoord"),
    ("lon", "lat"),
    ("longitude", "latitude"),
    ("long", "lat"),
    ("lng", "lat"),
    ("decimallongitude", "decimallatitude"),
    ("lon_wgs84", "lat_wgs84"),
    ("longitude_wgs84", "latitude_wgs84"),
)
# Standardized numbers are rarely beyond 3; latitudes of a survey are far from zero for their range.
_MIN_ROWS_TO_DETECT_COVARIATES = 10
_MAX_SCALED, _MIN_RELATIVE_ORIGIN = 3.0, 5.0
# Squared distances must not overflow in single precision.
_MAX_COORDINATE = 1e15


def locate_coordinates(
    X: Any, coordinates: Sequence[Hashable] | None = None, crs: Any = None
) -> tuple[np.ndarray, SpatialReference, tuple[Hashable, Hashable]]:
    """Read the coordinates from X by name or position.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
    coordinates : pair of labels or positions, default=None
        None uses recognized names, such as lon and lat, or else the first two columns.
    crs : input of ``pyproj.CRS.from_user_input``, default=None

    Returns
    -------
    xy : ndarray of shape (n_samples, 2)
        With one longitude per location: those beyond 180 are -180 to 180 if the table has both.
    reference : SpatialReference
    labels : tuple
        Labels of the two columns.

    Raises
    ------
    ValueError
        If the columns do not exist or do not hold coordinates.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.coordinate_columns import locate_coordinates
    >>> xy, reference, labels = locate_coordinates(pd.DataFrame({"lat": [52.0], "lon": [5.0]}))
    >>> xy.tolist(), reference.unit, labels
    ([[5.0, 52.0]], 'km', ('lon', 'lat'))
    """
    frame = as_dataframe(X)
    pair = coordinate_labels(frame, coordinates)
    reference = resolve_crs(geometry_crs(frame, pair, crs), [str(label) for label in pair])
    xy = coordinate_values(frame, pair)
    check_coordinates(xy, reference, pair, fitting=False)
    return wrap_longitudes(xy, reference), reference, pair


def as_dataframe(X: Any) -> pd.DataFrame:
    """Return X as a DataFrame with unique column labels; an array is labeled by positions.

    Parameters
    ----------
    X : DataFrame, array-like of shape (n_samples, n_features) or object with `to_pandas`
        Lazy tables of dask and polars are computed; points of a GeoDataFrame become two columns.

    Raises
    ------
    TypeError
        If X is a sparse matrix or an xarray Dataset.
    ValueError
        If X is a Series, column names are duplicated, or `to_pandas` fails.

    Examples
    --------
    >>> from sptgnn_sklearn.table.coordinate_columns import as_dataframe
    >>> as_dataframe([[5.0, 52.0, 0.1]]).columns.tolist()
    [0, 1, 2]
    """
    X = as_rows(X)
    if issparse(X):
        raise TypeError("X is a sparse matrix, but dense data is required: pass X.toarray().")
    if not isinstance(X, pd.DataFrame):
        X = _to_pandas(X) if hasattr(X, "to_pandas") else pd.DataFrame(np.asarray(X))
    if is_geo_frame(X):
        X = split_geometry(X)
    if not X.columns.is_unique:
        repeated = list(dict.fromkeys(X.columns[X.columns.duplicated()]))
        raise ValueError(f"X has duplicated column names: {repeated}. Rename or drop them.")
    # Pandas cannot take rows of columns in a non-native byte order.
    native = {
        label: dtype.newbyteorder("=")
        for label, dtype in X.dtypes.items()
        if isinstance(dtype, np.dtype) and not dtype.isnative
    }
    return X.astype(native) if native else X


def as_rows(X: Any) -> Any:
    """Return a table whose rows are in memory; a table or array that has them is unchanged.

    Parameters
    ----------
    X : table or array-like of shape (n_samples, n_features)
        Lazy tables of dask and polars are computed.

    Raises
    ------
    TypeError
        If X is an xarray Dataset.
    ValueError
        If X is a Series.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.coordinate_columns import as_rows
    >>> as_rows(pd.DataFrame({"clay": [0.1, 0.2]}).iloc[0])
    Traceback (most recent call last):
        ...
    ValueError: Expected a 2-dimensional container, but X is a Series: pass one row as ...
    """
    if isinstance(X, pd.Series):
        raise ValueError(
            "Expected a 2-dimensional container, but X is a Series: pass one row as X.iloc[[0]], "
            "one column as X[['clay']]."
        )
    if hasattr(type(X), "data_vars"):
        raise TypeError(
            "X is an xarray Dataset: pass a Dataset of samples as X.to_dataframe().reset_index(), "
            "and predict the cells of a raster by predict_map."
        )
    # On the type, because polars warns when the columns of a lazy table are read.
    if not isinstance(X, pd.DataFrame) and hasattr(type(X), "columns"):
        for method in ("compute", "collect"):
            if hasattr(type(X), method):
                return getattr(X, method)()
    return X


def _to_pandas(X: Any) -> pd.DataFrame:
    try:
        return X.to_pandas()
    # The errors of unsupported column types differ between libraries.
    except Exception as error:
        raise ValueError(
            f"X cannot be converted to a pandas DataFrame ({error}): drop columns of unsupported "
            "types, or convert X first."
        ) from error


def find_column(frame: pd.DataFrame, label: Any, role: str) -> Hashable:
    """Return the label of the column that a role names by label or position.

    Parameters
    ----------
    frame : DataFrame
    label : label or position
    role : str
        Parameter name in messages.

    Raises
    ------
    ValueError
        If the column does not exist.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.coordinate_columns import find_column
    >>> find_column(pd.DataFrame({"lon": [5.0], "lat": [52.0]}), 1, "elevation")
    'lat'
    """
    if pd.api.types.is_hashable(label) and not isinstance(label, bool):
        if label in frame.columns:
            return label
        if isinstance(label, int | np.integer) and -frame.shape[1] <= label < frame.shape[1]:
            return frame.columns[int(label)]
    hint = did_you_mean(label, frame.columns)
    raise ValueError(
        f"{role}={label!r} is not a column of X; its columns are {list(frame.columns)[:20]}{hint}"
    )


def find_columns(frame: pd.DataFrame, labels: Sequence[Hashable], role: str) -> list[Hashable]:
    """Return the distinct labels of the columns that a role names."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise ValueError(f"{role} must be a sequence of columns; found {labels!r}.")
    return list(dict.fromkeys(find_column(frame, label, role) for label in labels))


def coordinate_labels(
    frame: pd.DataFrame, coordinates: Sequence[Hashable] | None, *, stacklevel: int = 4
) -> tuple[Hashable, Hashable]:
    """Return the labels of the coordinate columns, named or recognized; else the first two."""
    if coordinates is not None:
        labels = find_columns(frame, coordinates, "coordinates")
        if len(labels) != 2 or len(coordinates) != 2:
            raise ValueError(
                "coordinates must be two columns, (x, y) or (longitude, latitude); "
                f"found {coordinates!r}."
            )
        return labels[0], labels[1]
    if frame.shape[1] < 2:
        raise ValueError(
            f"X has {frame.shape[1]} feature(s) (shape={frame.shape}) while a minimum of 2 is "
            "required for the coordinates."
        )
    by_name = {str(label).strip().lower(): label for label in frame.columns}
    for first, second in _RECOGNIZED_PAIRS:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    pair = frame.columns[0], frame.columns[1]
    if frame.shape[1] > 2 and any(isinstance(label, str) for label in pair):
        warnings.warn(
            f"No columns have recognized coordinate names; the first two, {pair[0]!r} and "
            f"{pair[1]!r}, are used as coordinates. Set coordinates=(x_column, y_column).",
            UserWarning,
            stacklevel=stacklevel,
        )
    elif _are_scaled_covariates(frame):
        warnings.warn(
            f"X has no column names, so its first two columns, {pair[0]} and {pair[1]}, are used "
            "as coordinates, but they look like scaled covariates, and later columns do not: set "
            "coordinates=(x_position, y_position), such as (-2, -1), or keep the names by "
            "ColumnTransformer(...).set_output(transform='pandas').",
            UserWarning,
            stacklevel=stacklevel,
        )
    return pair


def _are_scaled_covariates(frame: pd.DataFrame) -> bool:
    """Return whether the first two columns of an array look scaled and two later ones do not."""
    if len(frame) < _MIN_ROWS_TO_DETECT_COVARIATES or frame.shape[1] < 4:
        return False
    if not all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in frame.dtypes):
        return False
    values = frame.to_numpy(dtype=np.float64)
    if np.isinf(values).any():
        return False
    first, later = values[:, :2], values[:, 2:]
    scaled = np.nanquantile(np.abs(first), 0.9, axis=0) < _MAX_SCALED
    # As coordinates: a wide range, or far from zero for their range.
    spread = np.nanstd(later, axis=0)
    distant = np.abs(np.nanmean(later, axis=0)) > _MIN_RELATIVE_ORIGIN * spread
    unscaled = (np.isfinite(later).all(axis=0)) & (spread > 0) & ((spread > _MAX_SCALED) | distant)
    return bool(scaled.all() and unscaled.sum() >= 2)


def coordinate_values(frame: pd.DataFrame, pair: tuple[Hashable, Hashable]) -> np.ndarray:
    """Return the coordinates (n_samples, 2) in float64."""
    return np.column_stack([to_float(frame[label], label, _MAX_COORDINATE) for label in pair])
