"""Checks of the path of a map before the first block is predicted."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..images.geotiff_writer import import_rasterio
from .covariate_stack import CovariateStack
from .parts_folder import PartsFolder
from .writers import MAX_NETCDF_CELLS, WRITERS

__all__ = ["check_map_path", "check_map_size", "check_path_is_no_input"]

_STORE_FILES = ("zarr.json", ".zgroup", ".zarray")


def check_map_path(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return the absolute path of a map that can be written.

    Raises
    ------
    ValueError
        If no writer has its suffix.
    ImportError
        If the library of the writer is not installed.
    FileExistsError
        If there is a map and `overwrite` is False, or anything else that is not a map.
    FileNotFoundError, NotADirectoryError, PermissionError
        If the folder does not exist or is not writable.
    """
    target = Path(os.path.abspath(path))
    suffix = target.suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f"path={str(target)!r} must end in one of {sorted(WRITERS)}.")
    if suffix == ".zarr":
        try:
            import zarr  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "A map in .zarr needs zarr: pip install 'sptgnn-sklearn[maps]'."
            ) from error
    elif suffix != ".nc" and not _has_cog_driver():
        raise ImportError(
            f"path={str(target)!r} needs GDAL's driver COG, which this rasterio lacks: write to a "
            "path in .zarr, or install rasterio from PyPI."
        )
    _check_folder(target)
    _check_existing(target, overwrite)
    return target


def check_map_size(path: Path, shape: tuple[int, int]) -> None:
    """Raise ValueError if a map has too many cells for the format of its path."""
    if path.suffix.lower() == ".nc" and shape[0] * shape[1] > MAX_NETCDF_CELLS:
        raise ValueError(
            f"path={str(path)!r}: a layer of {shape[0]} x {shape[1]} cells is too large for a "
            "NetCDF file in the classic format; write to a path in .tif or .zarr."
        )


def check_path_is_no_input(
    path: Path, covariates: CovariateStack, images: Mapping[Hashable, Any] | None
) -> None:
    """Raise ValueError if a map would replace one of its inputs, whatever its spelling.

    Parameters
    ----------
    path : Path
    covariates : CovariateStack
        Including variables that are not used.
    images : mapping of label to path, or None
    """
    rasters = [os.fspath(raster) for raster in (images or {}).values()]
    origins = {*covariates.files.values(), *covariates.sources, *rasters}
    removed = (path, PartsFolder(path).path)
    for origin in sorted(origins):
        for file in (origin, *_files_of(origin)):
            if any(_is_inside(file, place) for place in removed):
                raise ValueError(
                    f"path={str(path)!r} would replace {file!r}, an input of the map: choose "
                    "another path."
                )


def _has_cog_driver() -> bool:
    with import_rasterio().Env() as environment:
        return "COG" in environment.drivers()


def _check_folder(target: Path) -> None:
    folder = target.parent
    if not folder.exists():
        raise FileNotFoundError(
            f"path={str(target)!r}: the folder {str(folder)!r} does not exist; create it."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"path={str(target)!r}: {str(folder)!r} is not a folder; choose another path."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(
            f"path={str(target)!r}: the folder {str(folder)!r} is not writable; choose another "
            "path, or change its permissions."
        )


def _check_existing(target: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise FileExistsError(
            f"path={str(target)!r} exists: choose another path, or pass overwrite=True."
        )
    if target.is_symlink():  # the link is replaced, and what it points to is kept
        return
    is_store = target.suffix.lower() == ".zarr"
    if is_store:
        files = [file.name for file in target.iterdir()] if target.is_dir() else None
        replaceable = files is not None and (not files or bool(set(files) & set(_STORE_FILES)))
    else:
        replaceable = target.is_file()
    if not replaceable:
        raise FileExistsError(
            f"path={str(target)!r} is no {'Zarr store' if is_store else 'file'}, so overwrite=True "
            "does not replace it: choose another path."
        )


def _files_of(origin: str) -> Iterable[str]:
    """Return the files that GDAL reads for a raster, such as the sources of a virtual raster."""
    rasterio = import_rasterio()
    if os.path.isdir(origin):
        return ()
    try:
        with rasterio.open(origin) as file:
            return list(file.files)
    except rasterio.errors.RasterioError:
        return ()


def _is_inside(file: str, place: Path) -> bool:
    """Return whether a file is at a place or in a folder there."""
    if not (os.path.exists(file) and place.exists()):
        return False
    if os.path.samefile(file, place):
        return True
    inner, outer = Path(os.path.realpath(file)), Path(os.path.realpath(place))
    return outer.is_dir() and outer in inner.parents
