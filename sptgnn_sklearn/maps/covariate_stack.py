"""Covariates on one grid, read window by window."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from ..images.raster import Window, transform_of
from ..spatial.crs import resolve_crs
from .grid import Grid

__all__ = [
    "CovariateStack",
    "decode_band",
    "file_state",
    "import_xarray",
    "quiet_transforms",
    "stack_of",
]

_FAR_OUTSIDE = (
    1e30  # no measurement is larger: what is left of -3.4e38 where nodata was not declared
)
_PAIRS = (("lat", "lon"), ("latitude", "longitude"), ("northing", "easting"), ("Y", "X"))
_KINDS = "biufMOUT"


@dataclass(frozen=True)
class CovariateStack:
    """Covariates on a grid.

    Attributes
    ----------
    dataset : xarray.Dataset
        Variables of the dimensions of the grid.
    grid : Grid
    constants : dict of label to value
        Covariates that are the same in all cells.
    fills : dict of label to float
        Numbers that stand for missing values in the variables that have one.
    files : dict of label to str
        Path of the file that a variable is read from, where it was opened here.
    """

    dataset: Any
    grid: Grid
    constants: dict[Hashable, Any] = field(default_factory=dict)
    fills: dict[Hashable, float] = field(default_factory=dict)
    files: dict[Hashable, str] = field(default_factory=dict)

    @property
    def names(self) -> list[Hashable]:
        """Names of variables and constants."""
        return [*self.dataset.data_vars, *self.constants]

    @property
    def tile(self) -> tuple[int, int] | None:
        """Rows and columns of a tile as the first variable is stored; None is not known."""
        for variable in self.dataset.data_vars.values():
            stored = variable.encoding.get("preferred_chunks") or {}
            if set(self.grid.dims) <= set(stored):
                return stored[self.grid.dims[0]], stored[self.grid.dims[1]]
        return None

    def only(self, names: Sequence[Hashable]) -> CovariateStack:
        """Return the source with those variables; without one, the first stays for its grid."""
        kept = [name for name in self.dataset.data_vars if name in set(names)]
        dataset = self.dataset[kept or list(self.dataset.data_vars)[:1]]
        return CovariateStack(dataset, self.grid, self.constants, self.fills, self.files)

    def read(self, window: Window) -> dict[Hashable, np.ndarray]:
        """Read all variables of a window, missing values decoded.

        Raises
        ------
        OSError
            If a file cannot be read.
        """
        top, bottom, left, right = window
        rows, columns = self.grid.dims
        part = self.dataset.isel({rows: slice(top, bottom), columns: slice(left, right)})
        try:
            part = part.compute()
        except Exception as error:  # what is raised depends on what the variables are read by
            if not type(error).__module__.startswith("rasterio"):
                raise
            raise OSError(
                f"the covariates cannot be read in rows {top} to {bottom - 1}, columns {left} to "
                f"{right - 1}: {error}"
            ) from error
        return {
            name: decode_band(part[name].to_numpy(), self.fills.get(name))
            for name in part.data_vars
        }

    def identity(self, blocks: Sequence[Window]) -> dict[str, str]:
        """Say which data these are: by their files, or by content where they are held here.

        Of variables that dask computes only the names are told.
        """
        found: dict[str, str] = {}
        digests = {}
        for name, variable in self.dataset.data_vars.items():
            if name in self.files:
                found[str(name)] = file_state(self.files[name])
            elif variable.chunks is not None:
                found[str(name)] = "dask"
            else:
                digests[name] = blake2b(str(variable.dtype).encode(), digest_size=16)
        if digests:
            held = self.only(list(digests))
            for window in blocks:
                for name, values in held.read(window).items():
                    plain = values.astype(str) if values.dtype == object else values
                    digests[name].update(np.ascontiguousarray(plain).tobytes())
        found |= {str(name): digest.hexdigest() for name, digest in digests.items()}
        return found | {str(name): repr(value) for name, value in self.constants.items()}


def file_state(path: str | os.PathLike[str]) -> str:
    """Say which file this is, and in what state: path, bytes and time of change."""
    state = os.stat(path)
    return f"{os.path.abspath(path)} {state.st_size} {state.st_mtime_ns}"


def decode_band(values: np.ndarray, fill: float | None) -> np.ndarray:
    """Turn what stands for missing values into NaN.

    Parameters
    ----------
    values : ndarray
    fill : float or None

    Returns
    -------
    ndarray of the same shape
        Whole numbers that have a fill value become floats. Infinities, and numbers beyond 1e30 in
        magnitude, which no measurement reaches, are missing too.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.covariate_stack import decode_band
    >>> decode(np.array([3, 255], dtype="uint8"), 255).tolist()
    [3.0, nan]
    >>> decode(np.array([1.5, -3.4e38]), None).tolist()
    [1.5, nan]
    """
    if values.dtype.kind in "iu":
        return values if fill is None else np.where(values == fill, np.nan, values)
    if values.dtype.kind != "f":
        return values
    missing = ~(np.abs(values) <= _FAR_OUTSIDE)  # NaN is not, either
    if fill is not None:
        missing |= values == values.dtype.type(fill)
    return np.where(missing, values.dtype.type(np.nan), values)


def import_xarray() -> Any:
    """Import xarray with rioxarray, or say what to install.

    Raises
    ------
    ImportError
        If either is not installed.
    """
    try:
        import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)
        import xarray
    except ImportError as error:
        raise ImportError(
            "Maps need xarray, rioxarray, rasterio and dask: pip install 'sptgnn-sklearn[maps]'."
        ) from error
    return xarray


@contextmanager
def quiet_transforms() -> Iterator[None]:
    """Hide what rioxarray's arithmetic with transforms makes affine announce."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Use .@. matmul", PendingDeprecationWarning)
        yield


@quiet_transforms()
def stack_of(dataset: Any, name: str) -> CovariateStack:
    """Take the variables of a Dataset that are on its grid.

    Parameters
    ----------
    dataset : xarray.Dataset
    name : str
        What it is called in messages.

    Raises
    ------
    ValueError
        If it has no grid that has a place on the ground, or a variable is not on it.
    """
    if not dataset.data_vars:
        raise ValueError(f"{name} has no variables.")
    dims = _spatial_dims(dataset, name)
    constants, variables, fills = {}, {}, {}
    for label, variable in dataset.data_vars.items():
        if variable.ndim == 0:
            constants[label] = variable.item()
            continue
        if set(variable.dims) != set(dims):
            raise ValueError(
                f"variable {label!r} of {name} has the dimensions {tuple(variable.dims)}; only "
                f"{dims} can be mapped. Choose one place along the others, or drop it."
            )
        if variable.dtype.kind not in _KINDS:
            raise ValueError(f"variable {label!r} of {name} holds {variable.dtype}, not numbers.")
        variables[label] = variable.transpose(*dims)
        fill = _fill_of(variable)
        if fill is not None:
            fills[label] = fill
    if not variables:
        raise ValueError(f"{name} has no variable on the grid {dims}.")
    mapped = import_xarray().Dataset(variables)
    return CovariateStack(mapped, _grid_of(dataset, dims, name), constants, fills)


def _fill_of(variable: Any) -> float | None:
    for key in ("_FillValue", "missing_value", "nodata"):
        value = variable.attrs.get(key)
        if isinstance(value, int | float | np.number) and not np.isnan(value):
            return float(value)
    return None


def _spatial_dims(dataset: Any, name: str) -> tuple[str, str]:
    for rows, columns in _PAIRS:
        if {rows, columns} <= set(dataset.dims):
            return rows, columns
    try:
        return str(dataset.rio.y_dim), str(dataset.rio.x_dim)
    except Exception as error:  # rioxarray has no common class for what it raises
        raise ValueError(
            f"{name} has the dimensions {tuple(dataset.dims)}, of which none are known as rows "
            "and columns: name them 'y' and 'x'."
        ) from error


def _grid_of(dataset: Any, dims: tuple[str, str], name: str) -> Grid:
    missing = [dim for dim in dims if dim not in dataset.coords]
    if missing:
        raise ValueError(
            f"{name} has no coordinates along {missing}, so that its cells have no place. A raster "
            "that is turned, or placed by ground control points, has to be warped first (gdalwarp)."
        )
    first = next(array for array in dataset.data_vars.values() if set(array.dims) == set(dims))
    first = first.transpose(*dims)
    transform = transform_of(first.rio.set_spatial_dims(dims[1], dims[0]), dims[1], dims[0])
    _, b, _, d, _, _ = transform[:6]
    if b or d or tuple(transform[:6]) == (1, 0, 0, 0, 1, 0):
        raise ValueError(
            f"{name} is not georeferenced, or turned: there is no step from cell to cell along its "
            "axes. Warp it first (gdalwarp)."
        )
    crs = dataset.rio.crs or first.rio.crs
    # Longitudes and latitudes need no more than their names.
    told = crs.to_wkt(version="WKT2_2019") if crs else resolve_crs(None, dims[::-1]).crs
    x, y = (dataset.coords[dim].to_numpy().astype(np.float64) for dim in dims[::-1])
    return Grid(x, y, tuple(float(number) for number in transform[:6]), told, dims)
