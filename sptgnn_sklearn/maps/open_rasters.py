"""Covariates from a Dataset or from raster files, opened lazily."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
from .grid import Grid, describe_difference
from .resampling import choose_resampling, open_resampled

__all__ = [
    "Alignment",
    "check_unique_names",
    "find_band",
    "open_covariates",
    "open_raster_file",
    "split_bands",
]


@dataclass(frozen=True)
class Alignment:
    """How rasters are brought to one grid.

    Attributes
    ----------
    resample : str, mapping of label to str, or None
        Resampling of rasters on other grids, as in `predict_map`.
    like : path, xarray.DataArray, xarray.Dataset or None
        Raster with the grid; None is the first one.
    categorical : frozenset of labels
        Columns of categories.
    mask_and_scale : bool
        Whether scale and offset tags of files are applied.
    """

    resample: Any = None
    like: Any = None
    categorical: frozenset[Hashable] = frozenset()
    mask_and_scale: bool = False


def open_covariates(source: Any, alignment: Alignment | None = None) -> CovariateStack:
    """Open covariates.

    Parameters
    ----------
    source : xarray.Dataset, xarray.DataArray, mapping or sequence of paths, or path
        The values of a mapping are a path, a pair (path, number or name of a band), or a number
        for all cells. In other files each band is a covariate, named by its description, or else
        by the file name and, if there are several bands, their number.
    alignment : Alignment, default=None
        None resamples nothing.

    Raises
    ------
    ValueError
        If a raster cannot be opened, is not georeferenced or has another grid than the first and
        is not resampled, or two covariates have the same name.
    TypeError
        If `source` has another type.
    """
    xarray = import_xarray()
    alignment = alignment or Alignment()
    if isinstance(source, xarray.DataArray):
        source = split_bands(source, str(source.name or "band"))
    if isinstance(source, xarray.Dataset):
        return _check_dataset(stack_from_dataset(source, "the Dataset"), alignment)
    if isinstance(source, str | os.PathLike):
        source = [source]
    if isinstance(source, Mapping):
        return _open_mapping(source, alignment)
    if isinstance(source, Sequence):
        return _open_files(source, alignment)
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


@dataclass(frozen=True)
class _OpenedFile:
    """Bands of a file by column, and their numbers from 1."""

    path: str
    bands: dict[Hashable, Any]
    numbers: dict[Hashable, int] = field(default_factory=dict)


def _open_mapping(source: Mapping[Hashable, Any], alignment: Alignment) -> CovariateStack:
    constants: dict[Hashable, Any] = {}
    opened: list[_OpenedFile] = []
    for label, value in source.items():
        if isinstance(value, Number):
            constants[label] = value
            continue
        path, band = value if isinstance(value, tuple) else (value, None)
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"source[{label!r}]={value!r} must be a path, a pair (path, band), or a number."
            )
        bands = open_raster_file(path, mask_and_scale=alignment.mask_and_scale)
        name = find_band(bands, band, os.fspath(path), label)
        number = list(bands.data_vars).index(name) + 1
        opened.append(_OpenedFile(os.fspath(path), {label: bands[name]}, {label: number}))
    return _stack_files(opened, constants, alignment)


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


def _open_files(paths: Sequence[Any], alignment: Alignment) -> CovariateStack:
    opened = []
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"source holds {path!r}, which is not a path.")
        bands = dict(open_raster_file(path, mask_and_scale=alignment.mask_and_scale).data_vars)
        numbers = {name: number for number, name in enumerate(bands, 1)}
        opened.append(_OpenedFile(os.fspath(path), bands, numbers))
    return _stack_files(opened, {}, alignment)


def _stack_files(
    opened: list[_OpenedFile], constants: dict[Hashable, Any], alignment: Alignment
) -> CovariateStack:
    if not opened:
        raise ValueError("source has no raster: a map needs at least one for its cells.")
    names = [name for file in opened for name in file.bands]
    check_unique_names(names, "source")
    _check_columns(alignment.resample, names)
    xarray = import_xarray()
    first_path = opened[0].path
    stacks = [
        stack_from_dataset(xarray.Dataset(file.bands), f"raster {file.path!r}") for file in opened
    ]
    reference, grid = f"raster {first_path!r}", stacks[0].grid
    if alignment.like is not None:
        reference, grid = "like", _grid_like(alignment.like)
    # Coordinates that differ by rounding would not align in a Dataset.
    coordinates = dict(zip(grid.dims, (grid.y, grid.x), strict=True))
    if alignment.like is None:
        coordinates = {dim: stacks[0].dataset.coords[dim] for dim in grid.dims}
    variables: dict[Hashable, Any] = {}
    fills: dict[Hashable, tuple[float, ...]] = {}
    files: dict[Hashable, str] = {}
    resampling: dict[Hashable, str] = {}
    crs = None
    for file, stack in zip(opened, stacks, strict=True):
        difference = describe_difference(grid, stack.grid)
        if difference is None:
            crs = crs or stack.grid.crs
            dims = dict(zip(stack.grid.dims, grid.dims, strict=True))
            renamed = stack.dataset.rename({a: b for a, b in dims.items() if a != b})
            variables |= dict(renamed.assign_coords(coordinates).data_vars)
            fills |= stack.fills
        else:
            _check_resampled(file, difference, reference, alignment)
            for label, number in file.numbers.items():
                method = choose_resampling(alignment.resample, label, alignment.categorical)
                assert method is not None
                (band,) = open_resampled(
                    file.path, [number], grid, method, alignment.mask_and_scale
                )
                variables[label] = band
                resampling[label] = method
        files |= dict.fromkeys(file.bands, file.path)
    if grid.crs is None and crs is not None:
        grid = replace(grid, crs=crs)
    local = {name: os.path.abspath(path) for name, path in files.items() if os.path.exists(path)}
    dataset = xarray.Dataset(variables)
    path = alignment.like if isinstance(alignment.like, str | os.PathLike) else None
    sources = frozenset() if path is None else frozenset({os.fspath(path)})
    return CovariateStack(dataset, grid, constants, fills, local, sources, resampling)


def _check_resampled(
    file: _OpenedFile, difference: str, reference: str, alignment: Alignment
) -> None:
    """Raise ValueError if a raster on another grid is not to be resampled."""
    without = [
        label
        for label in file.bands
        if choose_resampling(alignment.resample, label, alignment.categorical) is None
    ]
    if without:
        raise ValueError(
            f"{reference} and raster {file.path!r} do not align: {difference}. Pass "
            f"resample={{{without[0]!r}: 'bilinear'}}, or 'nearest' for categories and 'average' "
            "for finer rasters, to predict_map, or resample the raster first."
        )


def _check_columns(resample: Any, names: Sequence[Hashable]) -> None:
    given = resample if isinstance(resample, Mapping) else {}
    unknown = [label for label in given if label not in names]
    if unknown:
        raise ValueError(
            f"resample names the columns {unknown}, which no raster has; there are "
            f"{list(names)[:20]}."
        )


def _check_dataset(stack: CovariateStack, alignment: Alignment) -> CovariateStack:
    """Raise ValueError if a Dataset, which has one grid, is to be resampled."""
    difference = None
    if alignment.like is not None:
        difference = describe_difference(_grid_like(alignment.like), stack.grid)
    if alignment.resample is not None or difference is not None:
        reason = (
            f"its grid differs from that of like: {difference}" if difference else "has one grid"
        )
        raise ValueError(
            f"resample and like are for raster files, and source is a Dataset ({reason}): call "
            "dataset.rio.reproject_match(other) first."
        )
    return stack


def _grid_like(like: Any) -> Grid:
    xarray = import_xarray()
    name = "like"
    if isinstance(like, str | os.PathLike):
        name, like = f"raster {os.fspath(like)!r}", open_raster_file(like)
    elif isinstance(like, xarray.DataArray):
        like = split_bands(like, str(like.name or "band"))
    elif not isinstance(like, xarray.Dataset):
        raise TypeError(
            "like must be the path of a raster, an xarray.DataArray or an xarray.Dataset; found "
            f"{type(like).__name__}."
        )
    return stack_from_dataset(like, name).grid


def check_unique_names(names: Sequence[Hashable], where: str) -> None:
    """Raise ValueError if two bands have one name."""
    repeated = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if repeated:
        raise ValueError(
            f"{where} has several bands named {repeated}: pass {{column: (path, band)}}."
        )
