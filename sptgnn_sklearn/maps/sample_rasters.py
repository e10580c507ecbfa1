"""`sample_rasters`: covariates of sampling points from rasters."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from ..images.geotiff_writer import import_rasterio
from ..images.raster import array_transform
from ..spatial.crs import SpatialReference, resolve_crs, same_crs
from ..table.coordinate_columns import as_dataframe, locate_coordinates
from ..table.geo_frames import is_geo_frame
from .covariate_stack import ignore_affine_warnings, import_xarray, nodata_values, spatial_dims
from .grid import cell_centers
from .open_rasters import check_unique_names, find_band, open_raster_file, split_bands
from .point_sampling import RasterBand, SampledBand, Window2D, sample_band

__all__ = ["sample_rasters"]

_CRS_ATTRIBUTES = {"crs_wkt", "grid_mapping_name", "spatial_ref"}
_SAMPLING_METHODS = ("nearest", "bilinear", "mean")
_MAX_CATEGORIES = 30  # elevations and reflectances in integers have more values


def sample_rasters(
    points: Any,
    rasters: Any,
    *,
    method: str | Mapping[Hashable, str] = "nearest",
    window: int = 3,
    window_m: float | None = None,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    mask_and_scale: bool = False,
    overwrite: bool = False,
    verbose: int = 0,
) -> Any:
    """Add the values of rasters at points to a table, one column for each band.

    Points are transformed to the CRS of each raster; rasters may have different grids and CRSs.
    Only the stored tiles or dask chunks that contain points are read. With ``method="nearest"`` the
    columns hold the values that `predict_map` reads for the same cells.

    Parameters
    ----------
    points : DataFrame, GeoDataFrame or array-like of shape (n_samples, n_features)
        Table of pandas, geopandas, polars or dask with coordinates. The CRS of a GeoDataFrame is
        that of its points.
    rasters : mapping, sequence, path, xarray.DataArray or xarray.Dataset
        - A mapping of columns to a path, a pair (path, band), a DataArray, or a number for all
          rows.
        - A sequence of paths, DataArrays and Datasets, or one of them. Bands of files are named by
          their descriptions, else by the file name; arrays and variables by their own names.

        Arrays have the CRS of rioxarray and may consist of dask arrays. Grids may be south-up and
        rotated.
    method : {"nearest", "bilinear", "mean"} or mapping of column to these, default="nearest"
        - "nearest": the cell that contains the point; on an edge that to the right or below.
        - "bilinear": interpolation between the centers of the four cells around the point.
        - "mean": mean of the cells of a window around the point, see `window` and `window_m`.

        Columns that a mapping does not name are sampled by "nearest".
    window : int, default=3
        Odd number of rows and columns of the window of "mean", around the cell of the point.
    window_m : float, default=None
        Side of a square around the point in meters, in place of `window`. The cell of the point and
        all cells with their center in the square are averaged.
    coordinates : pair of labels or positions, default=None
        As in `SpTGNNRegressor`: None uses recognized names, such as lon and lat, or else the first
        two columns.
    crs : anything pyproj accepts, default=None
        CRS of the coordinates. None is longitude and latitude for columns of these names, that of
        the geometry of a GeoDataFrame, or else that of the rasters, with a warning.
    mask_and_scale : bool, default=False
        Whether scale and offset tags of files are applied. Pass the same value to `predict_map`.
    overwrite : bool, default=False
        Whether columns of these names are replaced.
    verbose : int, default=0
        1 for a progress bar.

    Returns
    -------
    DataFrame or GeoDataFrame
        A copy of `points` with the new columns, with the same rows and index. Numbers of files are
        floats, those of arrays keep their data type unless a value is missing, and "bilinear" and
        "mean" give float64.

    Raises
    ------
    ImportError
        If xarray, rioxarray or rasterio are not installed.
    ValueError
        If a column exists, a raster cannot be opened or is not georeferenced, a band is ambiguous,
        or categories are interpolated.
    TypeError
        If `rasters` has another type.
    OSError
        If a raster cannot be read.

    Warns
    -----
    UserWarning
        With the number of points outside of rasters or in cells without data, if integers that look
        like categories are averaged, if a CRS is assumed, or if scale and offset tags are not
        applied.

    Notes
    -----
    A value is missing (NaN) where the cell that contains the point has no data, by any method;
    around it, cells without data are left out. Points on the outer edge of a raster are inside.
    Longitudes may be -180 to 180 or 0 to 360 in table and raster, and a raster of the whole earth
    continues at its edge.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import rioxarray
    >>> import xarray as xr
    >>> from sptgnn_sklearn import sample_rasters
    >>> dem = xr.DataArray(
    ...     [[10.0, 20.0], [30.0, 40.0]],
    ...     coords={"y": [5_000_075.0, 5_000_025.0], "x": [500_025.0, 500_075.0]},
    ...     name="elevation",
    ... ).rio.write_crs("EPSG:32636")
    >>> points = pd.DataFrame({"x": [500_030.0, 500_075.0], "y": [5_000_070.0, 5_000_050.0]})
    >>> sample_rasters(points, dem, crs="EPSG:32636")["elevation"].tolist()
    [10.0, 40.0]
    >>> sample_rasters(points, dem, method="bilinear", crs="EPSG:32636")["elevation"].tolist()
    [13.0, 30.0]
    """
    from tqdm.auto import tqdm

    size = _check_window(window, window_m)
    table = points if is_geo_frame(points) else as_dataframe(points)
    xy, reference, _ = locate_coordinates(points, coordinates, crs)
    bands, constants = _open_bands(rasters, mask_and_scale)
    names = [*(band.name for band in bands), *constants]
    _check_names(names, table, overwrite)
    methods = _check_methods(method, names, bands)
    if not mask_and_scale:
        _warn_scaled(bands)
    reference = _resolve_reference(reference, bands)
    result = table.copy()
    for label, value in constants.items():
        result[label] = value
    sampled = {}
    for band in tqdm(bands, desc="rasters", unit="band", disable=not verbose):
        located = _to_band_crs(xy, reference, band)
        found = sample_band(band, located, methods[band.name], size)
        sampled[band.name] = found
        result[band.name] = pd.Series(found.values, index=result.index)
    _warn_categories(bands, sampled, methods)
    _warn_missing(sampled, len(xy))
    return result


@dataclass(frozen=True)
class _Source:
    """A raster before it is opened: its name in messages, and the chosen band if any."""

    origin: str
    raster: Any
    label: Hashable | None = None
    band: int | str | None = None


def _open_bands(rasters: Any, mask_and_scale: bool) -> tuple[list[RasterBand], dict[Hashable, Any]]:
    xarray = import_xarray()
    constants: dict[Hashable, Any] = {}
    sources: list[_Source] = []
    single = isinstance(rasters, str | os.PathLike | xarray.DataArray | xarray.Dataset)
    if isinstance(rasters, Mapping) and not single:  # a Dataset is a mapping too
        for label, value in rasters.items():
            if isinstance(value, Number):
                constants[label] = value
                continue
            raster, band = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
            sources.append(_Source(f"rasters[{label!r}]", raster, label, band))
    elif single or (isinstance(rasters, Sequence) and not isinstance(rasters, str)):
        several = [rasters] if single else list(rasters)
        places = ["rasters"] if single else [f"rasters[{i}]" for i in range(len(several))]
        sources = [_Source(*pair) for pair in zip(places, several, strict=True)]
    else:
        raise TypeError(
            "rasters must be a mapping or sequence of paths of GeoTIFFs, xarray.DataArrays or "
            f"xarray.Datasets; found {type(rasters).__name__}."
        )
    if not sources and not constants:
        raise ValueError("rasters is empty: pass at least one raster.")
    bands = []
    for source in sources:
        bands += _open_source(source, constants, mask_and_scale)
    check_unique_names([*(band.name for band in bands), *constants], "rasters")
    return bands, constants


def _open_source(
    source: _Source, constants: dict[Hashable, Any], mask_and_scale: bool
) -> list[RasterBand]:
    xarray = import_xarray()
    raster, path = source.raster, None
    if isinstance(raster, str | os.PathLike):
        path = os.fspath(raster)
        origin = repr(path)
        dataset = open_raster_file(path, mask_and_scale=mask_and_scale)
    elif isinstance(raster, xarray.DataArray):
        if raster.name is None and source.label is None:
            raise ValueError(
                f"{source.origin} is a DataArray without a name: pass a mapping "
                "{column: array}, or name it by array.rename(...)."
            )
        origin = source.origin
        dataset = split_bands(raster, str(raster.name if source.label is None else source.label))
    elif isinstance(raster, xarray.Dataset):
        # NetCDF files opened without decode_coords="all" have their CRS in a variable.
        mappings = [
            name for name, stored in raster.data_vars.items() if _CRS_ATTRIBUTES & {*stored.attrs}
        ]
        origin, dataset = source.origin, raster.set_coords(mappings)
    else:
        raise TypeError(
            f"{source.origin} must be a path, a pair (path, band), an xarray.DataArray or Dataset, "
            f"or in a mapping a number; found {type(raster).__name__}."
        )
    bands = {}
    for label, stored in dataset.data_vars.items():
        if stored.ndim == 0:
            if source.label is None:
                constants[label] = stored.item()
            continue
        bands[label] = stored
    if not bands and source.label is None:
        if not constants:
            raise ValueError(f"{source.origin} has no variables.")
        return []
    if source.label is not None:
        chosen = find_band(xarray.Dataset(bands), source.band, path or origin, source.label)
        bands = {source.label: bands[chosen]}
    crs = dataset.rio.crs
    return [_describe_band(label, origin, array, crs, path) for label, array in bands.items()]


@ignore_affine_warnings()
def _describe_band(
    label: Hashable, origin: str, stored: Any, dataset_crs: Any, path: str | None
) -> RasterBand:
    dims = spatial_dims(stored)
    if not dims:
        raise ValueError(
            f"raster {origin} has the dimensions {tuple(stored.dims)}, and none are recognized as "
            "rows and columns: rename them to 'y' and 'x'."
        )
    single = [dim for dim in stored.dims if dim not in dims and stored.sizes[dim] == 1]
    array = stored.isel(dict.fromkeys(single, 0), drop=True) if single else stored
    if set(array.dims) != set(dims):
        raise ValueError(
            f"variable {label!r} of raster {origin} has the dimensions {tuple(array.dims)}; only "
            f"{dims} can be sampled. Select one index along the others, or drop the variable."
        )
    array = array.transpose(*dims)
    transform = array_transform(array.rio.set_spatial_dims(dims[1], dims[0]), dims[1], dims[0])
    coefficients = tuple(float(number) for number in transform[:6])
    a, b, _, d, e, _ = coefficients
    if list(coefficients) == [1, 0, 0, 0, 1, 0] or not a * e - b * d or not np.isfinite(a * e):
        raise ValueError(
            f"raster {origin} is not georeferenced: it has no transform from cells to coordinates. "
            "Warp rasters with ground control points or curved grids first (gdalwarp)."
        )
    crs = array.rio.crs or dataset_crs
    wkt = crs.to_wkt(version="WKT2_2019") if crs else resolve_crs(None, dims[::-1]).crs
    reference = None if wkt is None else resolve_crs(wkt, [])
    fill = nodata_values(stored)
    return RasterBand(label, origin, array, coefficients, reference, fill or None, path)


def _check_window(window: Any, window_m: Any) -> Window2D:
    if window_m is not None:
        valid = isinstance(window_m, Number) and not isinstance(window_m, bool)
        if not valid or not 0 < float(window_m) < np.inf:
            raise ValueError(f"window_m={window_m!r} must be a positive number of meters.")
        return Window2D(None, float(window_m))
    whole = isinstance(window, int | np.integer) and not isinstance(window, bool)
    if not whole or window < 1 or window % 2 == 0:
        raise ValueError(
            f"window={window!r} must be an odd number of cells, such as 3; pass window_m for a "
            "size in meters."
        )
    return Window2D(int(window))


def _check_names(names: Sequence[Hashable], table: pd.DataFrame, overwrite: bool) -> None:
    existing = [name for name in names if name in table.columns]
    geometry = table.geometry.name if is_geo_frame(table) else None
    if geometry is not None and geometry in existing:
        raise ValueError(
            f"rasters has a band named {geometry!r}, the geometry of points: rename it."
        )
    if existing and not overwrite:
        raise ValueError(
            f"points has the columns {existing} already: rename the bands by a mapping "
            "{column: raster}, drop the columns, or pass overwrite=True."
        )


def _check_methods(
    method: Any, names: Sequence[Hashable], bands: Sequence[RasterBand]
) -> dict[Hashable, str]:
    methods = dict.fromkeys(names, "nearest")
    if isinstance(method, Mapping):
        unknown = [name for name in method if name not in methods]
        if unknown:
            raise ValueError(
                f"method names the columns {unknown}, which no raster has; there are "
                f"{list(names)[:20]}."
            )
        methods |= method
    else:
        methods = dict.fromkeys(names, method)
    for name, chosen in methods.items():
        if chosen not in _SAMPLING_METHODS:
            raise ValueError(
                f"method={chosen!r} of column {name!r} must be one of {list(_SAMPLING_METHODS)}."
            )
    for band in bands:
        reason = None if methods[band.name] == "nearest" else _reason_for_nearest(band)
        if reason is not None:
            raise ValueError(
                f"method={methods[band.name]!r} cannot be used for column {band.name!r}, because "
                f"raster {band.origin} {reason}: pass method={{..., {band.name!r}: 'nearest'}}."
            )
    return methods


def _reason_for_nearest(band: RasterBand) -> str | None:
    """Return why the values of a band have no mean, or None."""
    if band.array.dtype.kind not in "biuf":
        return f"holds {band.array.dtype}"
    if band.path is None:
        return None
    rasterio = import_rasterio()
    with rasterio.open(band.path) as file:
        palette = rasterio.enums.ColorInterp.palette in file.colorinterp
    return "holds classes with a color table" if palette else None


def _warn_scaled(bands: Sequence[RasterBand]) -> None:
    scaled = [
        band.name
        for band in bands
        if band.path is not None
        and (band.array.attrs.get("scale_factor", 1.0), band.array.attrs.get("add_offset", 0.0))
        != (1.0, 0.0)
    ]
    if scaled:
        warnings.warn(
            f"The rasters of the columns {scaled} have scale and offset tags, and values are used "
            "as stored. Pass mask_and_scale=True here and to predict_map to apply the tags.",
            UserWarning,
            stacklevel=3,
        )


def _resolve_reference(
    reference: SpatialReference, bands: Sequence[RasterBand]
) -> SpatialReference:
    """Return the CRS of the points: their own, or else the one of all rasters."""
    if reference.crs is not None:
        without = [band.name for band in bands if band.reference is None]
        if without:
            warnings.warn(
                f"The rasters of the columns {without} have no CRS; that of the points is assumed "
                f"({reference.crs[:40]}). Write one into the raster (dataset.rio.write_crs).",
                UserWarning,
                stacklevel=3,
            )
        return reference
    known = [band.reference for band in bands if band.reference is not None]
    if not known:
        return reference
    first = known[0]
    for other in known[1:]:
        if not same_crs(str(first.crs), str(other.crs), known_datum=False):
            raise ValueError(
                "the CRS of the points is unknown, and the rasters have different ones "
                f"({str(first.crs)[:40]}, {str(other.crs)[:40]}): pass crs."
            )
    warnings.warn(
        "The CRS of the points is unknown; that of the rasters is assumed "
        f"({str(first.crs)[:40]}). Pass crs.",
        UserWarning,
        stacklevel=3,
    )
    return first


def _to_band_crs(xy: np.ndarray, reference: SpatialReference, band: RasterBand) -> np.ndarray:
    try:
        return cell_centers(xy[:, 0], xy[:, 1], reference.crs, band.reference)
    except ValueError as error:
        raise ValueError(f"raster {band.origin}: {error}") from error


def _warn_categories(
    bands: Sequence[RasterBand],
    sampled: Mapping[Hashable, SampledBand],
    methods: Mapping[Hashable, str],
) -> None:
    suspect = [
        band.name
        for band in bands
        if methods[band.name] != "nearest"
        and _stored_dtype(band.array).kind in "iu"
        and sampled[band.name].n_distinct <= _MAX_CATEGORIES
        and (~sampled[band.name].missing & sampled[band.name].inside).sum() > 2 * _MAX_CATEGORIES
    ]
    if suspect:
        warnings.warn(
            f"The rasters of the columns {suspect} hold few different integers, which may be codes "
            "of categories, and means of codes have no meaning: if so, pass "
            f"method={{{suspect[0]!r}: 'nearest', ...}}.",
            UserWarning,
            stacklevel=3,
        )


def _stored_dtype(array: Any) -> np.dtype:
    """Return the data type of the file, whose integers become floats if they have nodata values."""
    stored = array.encoding.get("rasterio_dtype", array.encoding.get("dtype", array.dtype))
    return np.dtype(stored)


def _warn_missing(sampled: Mapping[Hashable, SampledBand], n_points: int) -> None:
    outside = {name: int((~band.inside).sum()) for name, band in sampled.items()}
    empty = {name: int(band.missing.sum()) for name, band in sampled.items()}
    parts = []
    for counts, where in ((outside, "outside of the rasters"), (empty, "in cells without data")):
        found = {name: count for name, count in counts.items() if count}
        if found:
            listed = ", ".join(f"{name!r}: {count}" for name, count in [*found.items()][:10])
            parts.append(f"{max(found.values())} of {n_points} points lie {where} ({listed})")
    if not parts:
        return
    hint = ""
    if any(count == n_points for count in outside.values()):
        hint = " No point lies in some raster: check crs and the coordinate columns."
    warnings.warn(f"{'; '.join(parts)}: their values are missing.{hint}", UserWarning, stacklevel=3)
