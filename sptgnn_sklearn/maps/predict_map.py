"""`predict_map`: from a fitted regressor and covariate rasters to a map."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..images.raster import Window
from .block_files import BlockFiles
from .covariate_stack import CovariateStack, import_xarray
from .grid import block_edges, windows
from .layers import BlockPredictor, choose_layers
from .match_columns import plan_cells
from .model_inputs import columns_seen, inspect_inputs
from .open_rasters import open_source
from .scheduling import active_client, lazy_layers, run_blocks
from .writers import WRITERS, layers_dataset, open_map, writer_of

__all__ = ["predict_map"]

_MAX_NODATA = float(np.finfo(np.float32).max)


def predict_map(
    estimator: Any,
    source: Any,
    *,
    layers: Sequence[str] | None = None,
    coverage: float = 0.9,
    area: Any = None,
    date: Any = None,
    images: Mapping[Hashable, Any] | None = None,
    chip_size: int | None = None,
    categories: Mapping[Hashable, Any] | None = None,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    skip_nodata: bool = True,
    nodata_output: float = np.nan,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    block_size: int | None = None,
    verbose: int = 1,
) -> Any:
    """Predict all cells of a raster by a fitted regressor, block by block.

    Every cell is a row: covariates come from the rasters, coordinates from the cell's centre, in
    the system that the regressor was fitted with. As a prediction depends on its own row and the
    training rows only, the map does not depend on the blocks. Memory goes by the block, and with
    `path` not by the size of the map.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor`, or any regressor of scikit-learn with the same columns, itself or within
        Pipelines, searches and TransformedTargetRegressors.
    source : xarray.Dataset, or mapping or sequence of paths
        Covariates by the names of their columns in X.

        - A Dataset of variables on one grid (y, x) with the CRS of rioxarray, held by numpy or
          dask. A variable without dimensions is the same in all cells.
        - A mapping of columns to a path, a pair (path, band), or a number for all cells.
        - A sequence of paths: bands are named by their descriptions, or by the file's name.
    layers : sequence of str, default=None
        Any of

        - "mean"; "std", where the regressor tells it;
        - "aleatoric", "epistemic": the parts of std, see `predict_uncertainty`;
        - "lower", "upper": limits of `predict_interval`;
        - "aoa": 1 inside the area of applicability and 0 outside, and "dissimilarity": its index.

        All come from one pass of the model. None: mean, std where there is one, and aoa where an
        `area` is given.
    coverage : float, default=0.9
        Of the interval between lower and upper.
    area : AreaOfApplicability, default=None
        Fitted on the rows of the regressor. It does not take gaps: there its layers are nodata.
    date : date, text or year, default=None
        For which the map is made, in the column that the regressor knows as time. None: what the
        source has under that name, else an unknown date.
    images : mapping of label to path, default=None
        Raster from which a chip is cut around each cell, by the column of X that holds paths of
        chips; see `extract_chips`. Chips are written to a temporary folder and removed; embeddings
        of an encoder that is not tuned are kept as its `cache_dir` says.
    chip_size : int, default=None
        Pixels on a side of these chips. None: what the encoder sees.
    categories : mapping of label to mapping or sequence, default=None
        What the numbers of a raster mean in a column of categories: level by number, or the levels
        of 0, 1, 2, ... A number without level is nodata. Not needed where levels are numbers.
    coordinates : pair of labels, default=None
        Columns of coordinates, for a regressor that does not know its own. None guesses by usual
        names.
    crs : anything pyproj knows, default=None
        System of the regressor's coordinates, where it does not know it itself.
    skip_nodata : bool, default=True
        Whether a cell that misses any covariate is nodata. False: cells are predicted as long as
        they have one covariate and the regressor takes gaps. Columns that were constant in training
        may be missing, and so may images and dates.
    nodata_output : float, default=nan
        What such cells hold in all layers.
    path : path, default=None
        Of a GeoTIFF (``.tif``; cloud-optimised, a band for each layer) or a Zarr store (``.zarr``)
        to write.
    overwrite : bool, default=False
        Whether to replace a map that exists, and to begin anew where a run of other arguments or
        data was stopped.
    block_size : int, default=None
        Cells on a side of a block, about: blocks hold whole tiles of the raster. None is about 512,
        or full rows where the raster is stored in rows. Chunks of dask are blocks as they are, and
        best hold 50,000 cells or more.
    verbose : int, default=1
        0 for no progress bar.

    Returns
    -------
    xarray.Dataset
        A variable for each layer, single precision, on the grid of the source. With `path` it is
        read from that file when values are needed. A source of dask arrays without `path` gives
        dask arrays: nothing is computed yet.

    Raises
    ------
    ImportError
        If xarray, rioxarray, rasterio or dask are not installed.
    ValueError
        If rasters do not align, a column has no covariate, or an argument cannot be used.
    FileExistsError
        If there is a map at `path` and `overwrite` is False.
    OSError
        If a raster cannot be read or the map not be written, as where the disk is full. Finished
        blocks stay, and the same call goes on from them.
    KeyboardInterrupt
        On Ctrl-C; as above.

    Warns
    -----
    UserWarning
        If the CRS of the source or of the regressor is not known, or dates or images are missing
        that it was fitted with.

    Notes
    -----
    While a map is written, finished blocks are in the folder ``path + ".parts"``, each a GeoTIFF.
    A call that is repeated after anything stopped it, a crash of the machine too, takes them up:
    it compares arguments, files and a few predictions with what is there, and refuses to go on
    with others. With a client of dask.distributed, blocks of files and of dask arrays are computed
    by its workers, which need to see the files.

    Examples
    --------
    >>> import numpy as np
    >>> import rioxarray
    >>> import xarray as xr
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn import predict_map
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(200, crs="EPSG:32636", random_state=0)
    >>> model = BayesianRidge().fit(survey.data[["x", "y", "cov_0"]], survey.target)
    >>> wet = np.array([[0.1, 0.2, np.nan], [0.4, 0.5, 0.6]])
    >>> covariates = xr.Dataset(
    ...     {"cov_0": (("y", "x"), wet)},
    ...     coords={"y": [5_000_250.0, 4_999_750.0], "x": [499_500.0, 500_000.0, 500_500.0]},
    ... ).rio.write_crs("EPSG:32636")
    >>> soil = predict_map(model, covariates, crs="EPSG:32636", verbose=0)
    >>> list(soil), np.isnan(soil["mean"].to_numpy()).sum()
    (['mean', 'std'], np.int64(1))
    """
    xarray = import_xarray()
    target = None if path is None else _output_target(path, overwrite)
    nodata = _check_nodata(nodata_output)
    _check_block_size(block_size)
    expected = inspect_inputs(estimator).given(coordinates, crs)
    names = choose_layers(estimator, layers, area)
    opened = open_source(source)
    table = plan_cells(
        expected,
        opened,
        date=date,
        images=images,
        chip_size=chip_size,
        categories=categories,
        skip_nodata=skip_nodata,
        also=[] if area is None else columns_seen(area) or [],
    )
    mapper = BlockPredictor(estimator, table, names, coverage, area, nodata)
    covariates = opened.only(list(table.bands.values()))
    lazy = any(array.chunks is not None for array in covariates.dataset.data_vars.values())
    # Workers of a cluster read files themselves; what is held here stays here.
    shared = not isinstance(source, xarray.Dataset | xarray.DataArray) and active_client()
    used, edges = _in_blocks(covariates, block_size, bool(shared))
    blocks = windows(*edges)
    if target is not None:
        _write_map(mapper, used, blocks, target, overwrite, verbose)
        return open_map(target, names, used.grid, nodata)
    if lazy:
        return layers_dataset(lazy_layers(mapper, used, edges), names, used.grid, nodata)
    made = np.empty((len(names), *used.grid.shape), dtype=np.float32)
    with _bar(blocks, blocks, verbose) as bar:
        for (top, bottom, left, right), found in run_blocks(mapper, used, blocks):
            made[:, top:bottom, left:right] = found
            bar.update()
    return layers_dataset(made, names, used.grid, nodata)


def _in_blocks(
    source: CovariateStack, block_size: int | None, on_cluster: bool
) -> tuple[CovariateStack, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Choose the blocks; chunks of dask decide where there are any."""
    edges = block_edges(source.grid.shape, source.tile, block_size)
    arrays = source.dataset.data_vars.values()
    if not on_cluster and all(array.chunks is None for array in arrays):
        return source, edges
    if any(array.chunks is not None for array in arrays) and block_size is None:
        chunks = source.dataset.unify_chunks().chunks
        rows, columns = ((0, *np.cumsum(chunks[dim]).tolist()) for dim in source.grid.dims)
        edges = (rows, columns)
    steps = {
        dim: tuple(np.diff(edge).tolist())
        for dim, edge in zip(source.grid.dims, edges, strict=True)
    }
    return replace(source, dataset=source.dataset.chunk(steps)), edges


def _write_map(
    mapper: BlockPredictor,
    source: CovariateStack,
    blocks: list[Window],
    path: Path,
    overwrite: bool,
    verbose: int,
) -> None:
    parts = None
    try:
        parts = BlockFiles.begin(_folder_of(path), mapper, source, blocks, overwrite)
        todo = parts.todo
        with _bar(blocks, todo, verbose) as bar:
            for block, layers in run_blocks(mapper, source, todo):
                parts.write(block, layers)
                bar.update()
        WRITERS[path.suffix.lower()](parts, path)
    except KeyboardInterrupt:
        if parts is None:
            raise
        raise KeyboardInterrupt(f"Stopped: {parts.how_far()}") from None
    except OSError as error:
        if parts is None:
            raise
        text = f"{error.strerror or error}: {parts.how_far()}"
        raise OSError(error.errno, text) from error
    parts.discard()


def _output_target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    target = Path(os.path.abspath(path))
    writer_of(target)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{str(target)!r} exists: choose another path, or overwrite=True.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} to write the map to.")
    return target


def _folder_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts")


def _check_nodata(nodata: float) -> float:
    number = float(nodata)
    if not np.isnan(number) and abs(number) > _MAX_NODATA:
        raise ValueError(f"nodata_output={nodata!r} is no number of single precision.")
    return number


def _check_block_size(size: Any) -> None:
    if size is not None and (not isinstance(size, int | np.integer) or size < 1):
        raise ValueError(f"block_size={size!r} must be a number of cells of 1 or more.")


def _bar(blocks: list[Window], todo: list[Window], verbose: int) -> Any:
    done = len(blocks) - len(todo)
    return tqdm(total=len(blocks), initial=done, desc="map", unit="block", disable=not verbose)
