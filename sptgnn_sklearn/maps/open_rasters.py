"""Covariates from a Dataset or from raster files, opened lazily."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

from ..images.geotiff_writer import check_band_count, import_rasterio
from .covariate_stack import (
    CovariateStack,
    ignore_affine_warnings,
    import_xarray,
    spatial_dims,
    stack_from_dataset,
)
from .grid import describe_difference

__all__ = ["check_unique_names", "find_band", "open_covariates", "open_raster_file", "split_bands"]


def open_covariates(source: Any) -> CovariateStack:
    """Open covariates.

    Parameters
    ----------
    source : xarray.Dataset, xarray.DataArray, mapping or sequence of paths, or path
        The values of a mapping are a path, a pair (path, number or name of a band), or a number
        for all cells. In other files each band is a covariate, named by its description, or else
        by the file name and, if there are several bands, their number.

    Raises
    ------
    ValueError
        If a raster cannot be opened, is not georeferenced or has another grid than the first, or
        two covariates have the same name.
    TypeError
        If `source` has another type.
    """
    xarray = import_xarray()
    if isinstance(source, xarray.DataArray):
        source = split_bands(source, str(source.name or "band"))
    if isinstance(source, xarray.Dataset):
        return stack_from_dataset(source, "the Dataset")
    if isinstance(source, str | os.PathLike):
        source = [source]
    if isinstance(source, Mapping):
        return _open_mapping(source)
    if isinstance(source, Sequence):
        return _open_files(source)
    raise TypeError(
        "source must be an xarray.Dataset, or a mapping or sequence of paths of GeoTIFFs; found "
        f"{type(source).__name__}."
    )


def split_bands(array: Any, stem: str) -> Any:
    """Return a Dataset with one variable for each band of a DataArray.

    Parameters
    ----------
    array : xarray.DataArray
        Of rows, columns and one other dimension, that of the bands, in any order; dimensions of
        length 1 do not count. Names of bands are the text coordinates of that dimension, or a tuple
        in the attribute "long_name".
    stem : str
        Name of unnamed bands: the stem itself if there is one band, else the stem with the number
        of the band, as in "stem_2".
    """
    with suppress(Exception):  # rioxarray rejects a value that the data type cannot hold
        nodata = array.rio.nodata
        if nodata is not None and not np.isnan(nodata):  # the accessor is lost with a copy
            array = array.assign_attrs(_FillValue=nodata)
    spatial = spatial_dims(array)
    other = [dim for dim in array.dims if dim not in spatial]
    several = [dim for dim in other if array.sizes[dim] > 1] or other[:1]
    single = [dim for dim in other if dim not in several]
    array = array.isel(dict.fromkeys(single, 0), drop=True)
    if len(several) > 1:
        raise ValueError(
            f"source has the dimensions {tuple(array.dims)}; rows, columns and one more can be "
            "mapped. Select one index along the others."
        )
    if not several:
        return array.to_dataset(name=stem)
    dim = several[0]
    given = array.attrs.get("long_name")
    labels = array.coords[dim].to_numpy().tolist() if dim in array.coords else []
    if labels and all(isinstance(label, str) for label in labels):
        given = labels
    given = [given] if isinstance(given, str) else given
    count = array.sizes[dim]
    if not isinstance(given, list | tuple) or len(given) != count:
        given = [None] * count
    default = [stem] if count == 1 else [f"{stem}_{i + 1}" for i in range(count)]
    names = [name or other for name, other in zip(given, default, strict=True)]
    check_unique_names(names, f"the bands of {stem}")
    bands = {}
    for i, name in enumerate(names):
        band = array.isel({dim: i}, drop=True)
        band.attrs.pop("long_name", None)
        bands[name] = band
    return import_xarray().Dataset(bands)


@ignore_affine_warnings()
def open_raster_file(path: Any, masked: bool = True, mask_and_scale: bool = False) -> Any:
    """Open a raster file lazily as a Dataset with one variable for each band.

    Parameters
    ----------
    path : path-like
    masked : bool, default=True
        Whether cells without data are NaN.
    mask_and_scale : bool, default=False
        Whether scale and offset tags are applied as well.

    Raises
    ------
    ValueError
        If the file cannot be opened.
    """
    import_xarray()
    import rioxarray

    text = os.fspath(path)
    try:
        with warnings.catch_warnings():  # a raster without a transform raises a named error later
            no_transform = import_rasterio().errors.NotGeoreferencedWarning
            warnings.simplefilter("ignore", no_transform)
            array = rioxarray.open_rasterio(
                text, masked=masked, mask_and_scale=mask_and_scale, cache=False
            )
    except Exception as error:  # from rasterio or the operating system
        raise ValueError(f"raster {text!r} cannot be opened: {error}") from error
    if isinstance(array, list) or not hasattr(array, "dims") or hasattr(array, "data_vars"):
        raise ValueError(f"raster {text!r} has only subdatasets: pass one of them.")
    check_band_count(array.sizes["band"], repr(text))
    return split_bands(array, Path(text).stem)


def _open_mapping(source: Mapping[Hashable, Any]) -> CovariateStack:
    constants: dict[Hashable, Any] = {}
    opened: list[tuple[str, dict[Hashable, Any]]] = []
    for label, value in source.items():
        if isinstance(value, Number):
            constants[label] = value
            continue
        path, band = value if isinstance(value, tuple) else (value, None)
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"source[{label!r}]={value!r} must be a path, a pair (path, band), or a number."
            )
        bands = open_raster_file(path)
        name = find_band(bands, band, os.fspath(path), label)
        opened.append((os.fspath(path), {label: bands[name]}))
    return _stack_files(opened, constants)


def find_band(bands: Any, band: int | str | None, path: str, label: Hashable) -> Hashable:
    """Return the name of the band of a Dataset that is given by number, name, or as the only one.

    Raises
    ------
    ValueError
        If there is no such band, or several and none is given.
    """
    names = list(bands.data_vars)
    if band is None and len(names) == 1:
        return names[0]
    if isinstance(band, int | np.integer) and 1 <= band <= len(names):
        return names[int(band) - 1]
    if band in names:
        return band
    reason = "has" if band is None else f"has no band {band!r} but"
    raise ValueError(
        f"raster {path!r} {reason} the bands 1 to {len(names)}, named {names[:20]}: choose one for "
        f"{label!r} with {{{label!r}: (path, band)}}."
    )


def _open_files(paths: Sequence[Any]) -> CovariateStack:
    opened = []
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"source holds {path!r}, which is not a path.")
        opened.append((os.fspath(path), dict(open_raster_file(path).data_vars)))
    return _stack_files(opened, {})


def _stack_files(
    opened: list[tuple[str, dict[Hashable, Any]]], constants: dict[Hashable, Any]
) -> CovariateStack:
    if not opened:
        raise ValueError("source has no raster: a map needs at least one for its cells.")
    check_unique_names([name for _, bands in opened for name in bands], "source")
    xarray = import_xarray()
    first_path, first_bands = opened[0]
    first = stack_from_dataset(xarray.Dataset(first_bands), f"raster {first_path!r}")
    variables = dict(first.dataset.data_vars)
    files, crs = dict.fromkeys(first_bands, first_path), None
    for path, bands in opened[1:]:
        other = stack_from_dataset(xarray.Dataset(bands), f"raster {path!r}")
        difference = describe_difference(first.grid, other.grid)
        if difference:
            raise ValueError(
                f"rasters {first_path!r} and {path!r} do not align: {difference}. Resample one to "
                "the grid of the other first, for example with rioxarray's reproject_match or "
                "gdalwarp."
            )
        crs = crs or other.grid.crs
        # Coordinates that differ by rounding would not align in a Dataset.
        coordinates = {dim: first.dataset.coords[dim] for dim in first.grid.dims}
        variables |= dict(other.dataset.assign_coords(coordinates).data_vars)
        files |= dict.fromkeys(bands, path)
    grid = first.grid
    if grid.crs is None and crs is not None:
        grid = replace(grid, crs=crs)
    local = {name: os.path.abspath(path) for name, path in files.items() if os.path.exists(path)}
    return CovariateStack(xarray.Dataset(variables), grid, constants, files=local)


def check_unique_names(names: Sequence[Hashable], where: str) -> None:
    """Raise ValueError if two bands have one name."""
    repeated = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if repeated:
        raise ValueError(
            f"{where} has several bands named {repeated}: pass {{column: (path, band)}}."
        )
