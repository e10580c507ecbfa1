"""Covariates on one grid, read window by window."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from ..images.geotiff_writer import import_rasterio
from ..images.raster import Window, array_transform
from ..spatial.crs import resolve_crs
from .grid import Grid

__all__ = [
    "CovariateStack",
    "decode_band",
    "file_state",
    "ignore_affine_warnings",
    "import_xarray",
    "nodata_values",
    "spatial_dims",
    "stack_from_dataset",
    "values_digest",
]

# Larger magnitudes are undeclared nodata values such as -3.4e38.
_MAX_MAGNITUDE = 1e30
# GDAL warps large windows at once otherwise, and rounding then depends on the window.
_WHOLE_WARP_BLOCKS = {"GDAL_VRT_WARP_USE_DATASET_RASTERIO": "NO"}
_SPATIAL_DIMS = (("lat", "lon"), ("latitude", "longitude"), ("northing", "easting"), ("Y", "X"))
_DTYPE_KINDS = "biufMOUT"
_NODATA_ATTRIBUTES = ("_FillValue", "missing_value", "fill_value", "nodata", "nodatavals")


@dataclass(frozen=True)
class CovariateStack:
    """Covariates on a grid.

    Attributes
    ----------
    dataset : xarray.Dataset
        Variables with the dimensions of the grid.
    grid : Grid
    constants : dict of label to value
        Covariates with one value for all cells.
    fills : dict of label to tuple of numbers
        Nodata values of each variable that has any.
    files : dict of label to str
        File of each variable that was opened from a path.
    sources : frozenset of str
        Files that xarray names as the origin of a Dataset.
    resampling : dict of label to str
        Method of each variable that is resampled from another grid.
    """

    dataset: Any
    grid: Grid
    constants: dict[Hashable, Any] = field(default_factory=dict)
    fills: dict[Hashable, tuple[float, ...]] = field(default_factory=dict)
    files: dict[Hashable, str] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()
    resampling: dict[Hashable, str] = field(default_factory=dict)

    @property
    def names(self) -> list[Hashable]:
        """Names of variables and constants."""
        return [*self.dataset.data_vars, *self.constants]

    @property
    def tile(self) -> tuple[int, int] | None:
        """Rows and columns of a tile of the first stored variable; None if unknown."""
        for variable in self.dataset.data_vars.values():
            stored = variable.encoding.get("preferred_chunks") or {}
            if set(self.grid.dims) <= set(stored):
                return stored[self.grid.dims[0]], stored[self.grid.dims[1]]
        return None

    def select(self, names: Sequence[Hashable]) -> CovariateStack:
        """Return the stack of some variables; of none, the first is kept for its grid."""
        kept = [name for name in self.dataset.data_vars if name in set(names)]
        dataset = self.dataset[kept or list(self.dataset.data_vars)[:1]]
        return replace(self, dataset=dataset)

    def read(self, window: Window) -> dict[Hashable, np.ndarray]:
        """Read all variables of a window, with NaN for missing values.

        Raises
        ------
        OSError
            If a file cannot be read.
        """
        top, bottom, left, right = window
        rows, columns = self.grid.dims
        part = self.dataset.isel({rows: slice(top, bottom), columns: slice(left, right)})
        try:
            with import_rasterio().Env(**_WHOLE_WARP_BLOCKS):
                part = part.compute()
        except Exception as error:  # the class depends on the library that reads the variables
            if not type(error).__module__.startswith("rasterio"):
                raise
            raise OSError(
                f"the covariates cannot be read in rows {top} to {bottom - 1}, columns {left} to "
                f"{right - 1}: {error}"
            ) from error
        return {name: decode_band(part[name].data, self.fills.get(name)) for name in part.data_vars}

    def headers(self) -> dict[str, str]:
        """Return data type, nodata values and resampling of each variable as text."""
        return {
            str(name): f"{variable.dtype}, nodata {list(self.fills.get(name, ()))}"
            + (f", {self.resampling[name]} resampling" if name in self.resampling else "")
            for name, variable in self.dataset.data_vars.items()
        }

    def fingerprints(self, blocks: Sequence[Window]) -> dict[str, str]:
        """Return a text for each covariate that changes with its data.

        A variable from a file has the state of the file, one in memory a digest of its values, and
        one of dask the text "dask".
        """
        texts: dict[str, str] = {}
        digests = {}
        for name, variable in self.dataset.data_vars.items():
            if name in self.files:
                texts[str(name)] = file_state(self.files[name])
            elif variable.chunks is not None:
                texts[str(name)] = "dask"
            else:
                digests[name] = blake2b(str(variable.dtype).encode(), digest_size=16)
        if digests:
            in_memory = self.select(list(digests))
            for window in blocks:
                for name, values in in_memory.read(window).items():
                    digests[name].update(_comparable_bytes(values))
        texts |= {str(name): digest.hexdigest() for name, digest in digests.items()}
        return texts | {str(name): repr(value) for name, value in self.constants.items()}


def file_state(path: str | os.PathLike[str]) -> str:
    """Return path, size in bytes and modification time of a file as text."""
    state = os.stat(path)
    return f"{os.path.abspath(path)} {state.st_size} {state.st_mtime_ns}"


def values_digest(values: Mapping[Hashable, np.ndarray]) -> str:
    """Return a digest of the covariates of a block.

    Parameters
    ----------
    values : mapping of label to ndarray of shape (h, w)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.covariate_stack import values_digest
    >>> digest = values_digest({"clay": np.zeros((2, 3))})
    >>> digest == values_digest({"clay": np.zeros((3, 2))})
    False
    """
    digest = blake2b(digest_size=16)
    for label in sorted(values, key=str):
        array = values[label]
        digest.update(f"{label!r} {array.dtype} {array.shape} ".encode())
        digest.update(_comparable_bytes(array))
    return digest.hexdigest()


def _comparable_bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values.astype(str) if values.dtype == object else values).tobytes()


def decode_band(values: np.ndarray, fill: float | Sequence[float] | None) -> np.ndarray:
    """Replace nodata values by NaN.

    Parameters
    ----------
    values : ndarray or masked array
        Masked entries are missing.
    fill : number, sequence of numbers or None
        Nodata values.

    Returns
    -------
    ndarray of the same shape
        Integers with a nodata value become floats. Infinities and magnitudes above 1e30, which no
        measurement reaches, become NaN too.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.covariate_stack import decode_band
    >>> decode_band(np.array([3, 255], dtype="uint8"), 255).tolist()
    [3.0, nan]
    >>> decode_band(np.array([1.5, -3.4e38]), None).tolist()
    [1.5, nan]
    """
    fills = np.ravel([] if fill is None else fill).tolist()
    if isinstance(values, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(values)
        values = np.asarray(values.data)
    else:
        masked, values = None, np.asarray(values)
    if values.dtype.kind not in "iuf":
        if masked is None or not masked.any():
            return values
        with_gaps = values.astype(object)
        with_gaps[masked] = None
        return with_gaps
    is_float = values.dtype.kind == "f"
    if not is_float and not fills and masked is None:
        return values
    missing = np.full(values.shape, False) if masked is None else masked
    if is_float:
        missing = missing | ~(np.abs(values) <= _MAX_MAGNITUDE)  # also true for NaN
    for number in fills:
        missing = missing | (values == (values.dtype.type(number) if is_float else number))
    return np.where(missing, values.dtype.type(np.nan) if is_float else np.nan, values)


def import_xarray() -> Any:
    """Return xarray, with the accessor of rioxarray registered.

    Raises
    ------
    ImportError
        If either is not installed; the message names the extra to install.
    """
    try:
        import rioxarray  # noqa: F401  (registers the accessor `rio`)
        import xarray
    except ImportError as error:
        raise ImportError(
            "Maps need xarray, rioxarray, rasterio and dask: pip install 'sptgnn-sklearn[maps]'."
        ) from error
    return xarray


@contextmanager
def ignore_affine_warnings() -> Iterator[None]:
    """Ignore the deprecation warning of affine for the way in which rioxarray multiplies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Use .@. matmul", PendingDeprecationWarning)
        yield


@ignore_affine_warnings()
def stack_from_dataset(dataset: Any, name: str) -> CovariateStack:
    """Return the variables of a Dataset that lie on its grid.

    Parameters
    ----------
    dataset : xarray.Dataset
    name : str
        Name of the Dataset in messages.

    Raises
    ------
    ValueError
        If its grid is not georeferenced, or a variable has other dimensions or no numbers.
    """
    if not dataset.data_vars:
        raise ValueError(f"{name} has no variables.")
    dims = _require_spatial_dims(dataset, name)
    constants, variables, fills = {}, {}, {}
    for label, stored in dataset.data_vars.items():
        single = [dim for dim in stored.dims if dim not in dims and stored.sizes[dim] == 1]
        variable = stored.isel(dict.fromkeys(single, 0), drop=True) if single else stored
        if variable.ndim == 0:
            constants[label] = variable.item()
            continue
        if set(variable.dims) != set(dims):
            raise ValueError(
                f"variable {label!r} of {name} has the dimensions {tuple(variable.dims)}; only "
                f"{dims} can be mapped. Select one index along the others, or drop the variable."
            )
        if variable.dtype.kind not in _DTYPE_KINDS:
            raise ValueError(f"variable {label!r} of {name} holds {variable.dtype}, not numbers.")
        variables[label] = variable.transpose(*dims)
        fill = nodata_values(stored)
        if fill:
            fills[label] = fill
    if not variables:
        raise ValueError(f"{name} has no variable on the grid {dims}.")
    stacked = import_xarray().Dataset(variables)
    origins = [dataset, *dataset.data_vars.values()]
    sources = frozenset(
        str(origin.encoding["source"]) for origin in origins if origin.encoding.get("source")
    )
    grid = _grid_of(dataset.assign(variables), dims, name)
    return CovariateStack(stacked, grid, constants, fills, sources=sources)


def nodata_values(variable: Any) -> tuple[float, ...]:
    """Return the numbers that stand for missing values, those of rioxarray and of CF."""
    found = [variable.attrs.get(key) for key in _NODATA_ATTRIBUTES]
    if not {"scale_factor", "add_offset"} & set(variable.encoding):
        # Values that were scaled when they were decoded are no longer those of the file.
        found += [variable.encoding.get(key) for key in _NODATA_ATTRIBUTES[:2]]
    with suppress(Exception):  # rioxarray rejects a value that the data type cannot hold
        found.append(variable.rio.nodata)
    fills = []
    for value in found:
        numbers = np.ravel([] if value is None else value)
        if numbers.dtype.kind in "iuf":
            fills += [number for number in numbers.tolist() if not np.isnan(number)]
    return tuple(dict.fromkeys(fills))


def spatial_dims(data: Any) -> tuple[str, str] | tuple[()]:
    """Return the dimensions of rows and columns of a Dataset or DataArray, if recognized."""
    for rows, columns in _SPATIAL_DIMS:
        if {rows, columns} <= set(data.dims):
            return rows, columns
    try:
        return str(data.rio.y_dim), str(data.rio.x_dim)
    except Exception:  # rioxarray's errors have no common base class
        return ()


def _require_spatial_dims(dataset: Any, name: str) -> tuple[str, str]:
    dims = spatial_dims(dataset)
    if not dims:
        raise ValueError(
            f"{name} has the dimensions {tuple(dataset.dims)}, and none are recognized as rows "
            "and columns: rename them to 'y' and 'x'."
        )
    return dims


def _grid_of(dataset: Any, dims: tuple[str, str], name: str) -> Grid:
    missing = [dim for dim in dims if dim not in dataset.coords]
    if missing:
        raise ValueError(
            f"{name} has no coordinates along {missing}. Warp rasters that are rotated or "
            "referenced by ground control points first (gdalwarp)."
        )
    first = next(array for array in dataset.data_vars.values() if set(array.dims) == set(dims))
    first = first.transpose(*dims)
    transform = array_transform(first.rio.set_spatial_dims(dims[1], dims[0]), dims[1], dims[0])
    _, b, _, d, _, _ = transform[:6]
    if b or d or tuple(transform[:6]) == (1, 0, 0, 0, 1, 0):
        raise ValueError(
            f"{name} is not georeferenced, or it is rotated, so that its rows and columns do not "
            "follow the coordinate axes. Warp it first (gdalwarp)."
        )
    crs = dataset.rio.crs or first.rio.crs
    # Without a CRS, dimensions such as lon and lat imply one by their names.
    wkt = crs.to_wkt(version="WKT2_2019") if crs else resolve_crs(None, dims[::-1]).crs
    x, y = (dataset.coords[dim].to_numpy().astype(np.float64) for dim in dims[::-1])
    return Grid(x, y, tuple(float(number) for number in transform[:6]), wkt, dims)
