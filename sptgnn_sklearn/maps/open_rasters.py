"""Rasters to covariates: a Dataset as it is, GeoTIFFs opened as one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

from ..images.geotiff import check_band_count, import_rasterio
from .covariate_stack import CovariateStack, import_xarray, quiet_transforms, stack_of
from .grid import describe_difference

__all__ = ["name_bands", "open_raster_file", "open_source"]


def open_source(source: Any) -> CovariateStack:
    """Open covariates.

    Parameters
    ----------
    source : xarray.Dataset, xarray.DataArray, mapping or sequence of paths, or path
        Of a mapping the values are a path, a pair (path, number or name of a band), or a number,
        which is the same in all cells. Of other paths each band is a covariate, by its description
        or else the name of the file, with the band's number where there are several.

    Raises
    ------
    ValueError
        If a raster cannot be opened, has no place on the ground, does not have the grid of the
        others, or two covariates have one name.
    TypeError
        If the source is none of these.
    """
    xarray = import_xarray()
    if isinstance(source, xarray.DataArray):
        source = name_bands(source, str(source.name or "band"))
    if isinstance(source, xarray.Dataset):
        return stack_of(source, "the Dataset")
    if isinstance(source, str | os.PathLike):
        source = [source]
    if isinstance(source, Mapping):
        return _of_mapping(source)
    if isinstance(source, Sequence):
        return _of_files(source)
    raise TypeError(
        "source must be an xarray.Dataset, or a mapping or sequence of paths of GeoTIFFs; found "
        f"{type(source).__name__}."
    )


def name_bands(array: Any, stem: str) -> Any:
    """Turn a DataArray of bands into a Dataset of one variable for each.

    Parameters
    ----------
    array : xarray.DataArray
        Of two dimensions, or three of which the first is that of bands. Their names are texts in
        the coordinate of that dimension, or a tuple in the attribute "long_name".
    stem : str
        What bands without a name are called: the stem alone where there is one band, else with the
        number of the band, as in "stem_2".
    """
    if array.ndim == 2:
        return array.to_dataset(name=stem)
    dim = array.dims[0]
    told = array.attrs.get("long_name")
    labels = array.coords[dim].to_numpy().tolist() if dim in array.coords else []
    if labels and all(isinstance(label, str) for label in labels):
        told = labels
    told = [told] if isinstance(told, str) else told
    count = array.sizes[dim]
    told = list(told) if isinstance(told, list | tuple) and len(told) == count else [None] * count
    plain = [stem] if count == 1 else [f"{stem}_{i + 1}" for i in range(count)]
    names = [name or other for name, other in zip(told, plain, strict=True)]
    _check_unique_names(names, f"the bands of {stem}")
    bands = {}
    for i, name in enumerate(names):
        band = array.isel({dim: i}, drop=True)
        band.attrs.pop("long_name", None)
        bands[name] = band
    return import_xarray().Dataset(bands)


@quiet_transforms()
def open_raster_file(path: Any, stem: str | None = None, masked: bool = True) -> Any:
    """Open a raster file as a Dataset of one variable for each band; nothing is read yet.

    Parameters
    ----------
    path : path
    stem : str, default=None
        See `name_bands`; None is the file's name.
    masked : bool, default=True
        Whether cells without data are NaN.

    Raises
    ------
    ValueError
        If the file cannot be opened.
    """
    import_xarray()
    import rioxarray

    text = os.fspath(path)
    try:
        with warnings.catch_warnings():  # a raster without a place is refused, and named, later
            missing = import_rasterio().errors.NotGeoreferencedWarning
            warnings.simplefilter("ignore", missing)
            array = rioxarray.open_rasterio(text, masked=masked, cache=False)
    except Exception as error:  # of rasterio, or of the operating system
        raise ValueError(f"raster {text!r} cannot be opened: {error}") from error
    if isinstance(array, list) or not hasattr(array, "dims") or hasattr(array, "data_vars"):
        raise ValueError(f"raster {text!r} has no bands of its own; give one of its parts.")
    check_band_count(array.sizes["band"], repr(text))
    return name_bands(array, stem or Path(text).stem)


def _of_mapping(source: Mapping[Hashable, Any]) -> CovariateStack:
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
        opened.append((os.fspath(path), {label: bands[_band(bands, band, os.fspath(path), label)]}))
    return _joined(opened, constants)


def _band(bands: Any, wanted: int | str | None, path: str, label: Hashable) -> Hashable:
    names = list(bands.data_vars)
    if wanted is None and len(names) == 1:
        return names[0]
    if isinstance(wanted, int | np.integer) and 1 <= wanted <= len(names):
        return names[int(wanted) - 1]
    if wanted in names:
        return wanted
    found = "has" if wanted is None else f"has no band {wanted!r} but"
    raise ValueError(
        f"raster {path!r} {found} the bands 1 to {len(names)}, named {names[:20]}: say which is "
        f"{label!r}, by {{{label!r}: (path, band)}}."
    )


def _of_files(paths: Sequence[Any]) -> CovariateStack:
    opened = []
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"source holds {path!r}, which is no path.")
        opened.append((os.fspath(path), dict(open_raster_file(path).data_vars)))
    return _joined(opened, {})


def _joined(
    opened: list[tuple[str, dict[Hashable, Any]]], constants: dict[Hashable, Any]
) -> CovariateStack:
    if not opened:
        raise ValueError("source names no raster: the cells of a map come from one at least.")
    _check_unique_names([name for _, bands in opened for name in bands], "source")
    xarray = import_xarray()
    first_path, first = opened[0]
    base = stack_of(xarray.Dataset(first), f"raster {first_path!r}")
    variables, files, crs = dict(base.dataset.data_vars), dict.fromkeys(first, first_path), None
    for path, bands in opened[1:]:
        other = stack_of(xarray.Dataset(bands), f"raster {path!r}")
        difference = describe_difference(base.grid, other.grid)
        if difference:
            raise ValueError(
                f"rasters {first_path!r} and {path!r} do not align: {difference}. Bring one to the "
                "grid of the other first, for example by rioxarray's reproject_match or gdalwarp."
            )
        crs = crs or other.grid.crs
        # The same up to rounding, and exactly so from here on.
        own = {dim: base.dataset.coords[dim] for dim in base.grid.dims}
        variables |= dict(other.dataset.assign_coords(own).data_vars)
        files |= dict.fromkeys(bands, path)
    grid = base.grid
    if grid.crs is None and crs is not None:
        grid = replace(grid, crs=crs)
    real = {name: os.path.abspath(path) for name, path in files.items() if os.path.exists(path)}
    return CovariateStack(xarray.Dataset(variables), grid, constants, files=real)


def _check_unique_names(names: Sequence[Hashable], where: str) -> None:
    twice = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if twice:
        raise ValueError(
            f"{where} has several bands named {twice}: give a mapping of columns to (path, band)."
        )
