"""`predict_map`: prediction maps from a fitted regressor and covariate rasters."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..images.raster import Window
from ..utils.distribution_columns import check_coverage
from ..utils.validation import require_count
from .block_files import BlockFiles
from .covariate_stack import CovariateStack, import_xarray
from .grid import block_edges, block_windows
from .layers import BlockPredictor, choose_layers
from .map_metadata import MapMetadata, describe_map
from .map_path import check_map_path, check_map_size, check_path_is_no_input
from .match_columns import match_columns
from .model_inputs import fitted_columns, inspect_inputs
from .open_rasters import Alignment, open_covariates
from .parts_folder import PartsFolder
from .resampling import check_resample
from .scheduling import active_client, lazy_layers, predict_blocks
from .writers import WRITERS, layers_dataset, open_map

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
    resample: str | Mapping[Hashable, str] | None = None,
    like: Any = None,
    mask_and_scale: bool = False,
    skip_nodata: bool = True,
    nodata_output: float = np.nan,
    target: str | None = None,
    units: str | None = None,
    tags: Mapping[str, Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    block_size: int | None = None,
    verbose: int = 1,
) -> Any:
    """Predict every cell of a raster with a fitted regressor, block by block.

    Every cell is a row of X: covariates come from the rasters, coordinates from the cell center, in
    the CRS of the regressor. A prediction depends on its own row and the training rows only, so the
    map does not depend on the blocks. Memory use depends on the block size and, with `path`, not on
    the size of the map.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor`, or any regressor of scikit-learn with the same columns, alone or inside
        Pipelines, searches and TransformedTargetRegressors.
    source : xarray.Dataset, or mapping or sequence of paths
        Covariates, named like their columns of X.

        - A Dataset of numpy or dask arrays on one grid (y, x) with the CRS of rioxarray. A variable
          without dimensions holds for all cells.
        - A mapping of columns to a path, a pair (path, band), or a number for all cells.
        - A sequence of paths. Bands are named by their descriptions, else by the file name.
    layers : sequence of str, default=None
        Any of

        - "mean"; "std", if the regressor predicts it;
        - "aleatoric", "epistemic": the components of std, see `predict_uncertainty`;
        - "lower", "upper": limits of `predict_interval`;
        - "q05", "q50", "q97.5", ...: quantiles in percent, as of `predict_quantiles`;
        - "p<2.0", "p>3.5", ...: probabilities below or above a limit in the unit of the target, as
          of `predict_probability`;
        - "aoa": 1 inside the area of applicability and 0 outside, and "dissimilarity": its index.

        All come from one pass of the model. None is mean, std if available, and aoa if `area` is
        given.
    coverage : float, default=0.9
        Nominal coverage of the interval from lower to upper.
    area : AreaOfApplicability, default=None
        Fitted on the rows of the regressor. Its layers are nodata in cells that lack one of its
        columns.
    date : date, ISO text or year, default=None
        Date of the map, for the time column of the regressor, read like that column. None is the
        covariate of that name, else an unknown date.
    images : mapping of label to path, default=None
        Raster from which a chip is extracted around each cell, by column of chip paths; see
        `extract_chips`. Chips are written to a temporary folder and removed. Embeddings of an
        encoder that is not fine-tuned are cached in its `cache_dir`.
    chip_size : int, default=None
        Height and width of these chips in pixels. None is the input size of the encoder.
    categories : mapping of label to mapping or sequence, default=None
        Levels of categories that a raster holds as numbers, by column: a mapping of number (or its
        text) to level, or the levels of 0, 1, 2, ... A number without a level is nodata. Not needed
        if the levels are numbers.
    coordinates : pair of labels, default=None
        Coordinate columns of a regressor that has no such parameter. None infers them from common
        names.
    crs : anything pyproj accepts, default=None
        CRS of the regressor's coordinates, if it was fitted without.
    resample : {"nearest", "bilinear", "average"} or mapping of column to these, default=None
        Resampling of raster files that are on another grid or in another CRS than the first one, or
        `like`; by GDAL, lazily. "bilinear" interpolates between four cells; "average" is the mean
        of the cells of a finer raster. One method for all leaves categorical columns at "nearest".
        None raises if rasters do not align.
    like : path, xarray.DataArray or xarray.Dataset, default=None
        Raster with the grid of the map. None is the first raster.
    mask_and_scale : bool, default=False
        Whether scale and offset tags of files are applied, as in `sample_rasters`.
    skip_nodata : bool, default=True
        Whether a cell that lacks any covariate is nodata. If False, a cell with at least one
        covariate is predicted if the regressor accepts missing values. Images, dates and columns
        that were constant in training may always be missing.
    nodata_output : float, default=nan
        Value of nodata cells in all layers.
    target : str, default=None
        Name of the target, for the descriptions of the layers and the title of the map. Regressors
        do not store the name of y.
    units : str, default=None
        Unit of the target, such as "g/kg". Probabilities and indices have the unit "1".
    tags : mapping of str to value, default=None
        Properties to store in the map, such as ``{"model_file": "soc.safetensors"}``, beside those
        under Notes.
    path : path-like, default=None
        Cloud-optimized GeoTIFF (``.tif``, one band per layer), NetCDF file (``.nc``) or Zarr store
        (``.zarr``) to write. A NetCDF file is joined in memory, and its layers have at most 500
        million cells.
    overwrite : bool, default=False
        Whether to replace an existing map, and to delete the finished blocks of an interrupted run
        with other arguments or data.
    block_size : int, default=None
        Approximate height and width of a block in cells; blocks consist of whole tiles of the
        raster. None is about 512, or full rows of a raster that is stored in rows. Chunks of dask
        arrays are used as blocks, and should hold at least 50,000 cells.
    verbose : int, default=1
        0 for no progress bar.

    Returns
    -------
    xarray.Dataset
        One variable of single precision for each layer, on the grid of the source. With `path` it
        is read lazily from that file. Without `path`, dask arrays give lazy dask arrays. Each
        variable has the attributes long_name and, if known, units.

    Raises
    ------
    ImportError
        If xarray, rioxarray, rasterio or dask are not installed.
    ValueError
        If rasters do not align and are not resampled, a column has no covariate, an argument is
        invalid, or `path` is one of the inputs.
    FileExistsError
        If there is a map at `path` and `overwrite` is False, or a folder that is no map.
    BlockingIOError
        If another call is writing the same map.
    OSError
        If a raster cannot be read or the map cannot be written, for example because the disk is
        full. Finished blocks are kept, and the same call resumes from them.
    KeyboardInterrupt
        On Ctrl-C; finished blocks are kept as well.

    Warns
    -----
    UserWarning
        If the CRS of the source or of the regressor is unknown, or the regressor was fitted with
        dates or images and the map has none.

    Notes
    -----
    While a map is written, each finished block is a GeoTIFF in the folder ``path + ".parts"``. The
    same call resumes from them after any interruption, including a crash of the machine: it
    compares arguments, files, and digests of the model and of the inputs of each finished block
    with the stored ones, and raises if they differ. Only files of this package are removed.
    A map has the tags or attributes title, source (version of this package and class of the
    regressor), model (a digest of the fitted regressor, equal for a saved and loaded one), target,
    date, coverage and crs_name, where they apply. No time of writing is stored: the same call, also
    when resumed, writes the same bytes.
    With an active client of dask.distributed, blocks of files and of dask arrays are computed by
    its workers, which need access to the files.

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
    >>> values = np.array([[0.1, 0.2, np.nan], [0.4, 0.5, 0.6]])
    >>> covariates = xr.Dataset(
    ...     {"cov_0": (("y", "x"), values)},
    ...     coords={"y": [5_000_250.0, 4_999_750.0], "x": [499_500.0, 500_000.0, 500_500.0]},
    ... ).rio.write_crs("EPSG:32636")
    >>> soil = predict_map(model, covariates, crs="EPSG:32636", verbose=0)
    >>> list(soil), np.isnan(soil["mean"].to_numpy()).sum()
    (['mean', 'std'], np.int64(1))
    """
    xarray = import_xarray()
    output = None if path is None else check_map_path(path, overwrite)
    nodata = _check_nodata(nodata_output)
    if block_size is not None:
        require_count("block_size", block_size)
    inputs = inspect_inputs(estimator).with_coordinates(coordinates, crs)
    names = choose_layers(estimator, layers, area)
    coverage = check_coverage(coverage)
    check_resample(resample)
    categorical = frozenset({*inputs.levels, *(categories or {})})
    alignment = Alignment(resample, like, categorical, mask_and_scale)
    opened = open_covariates(source, alignment)
    if output is not None:
        check_path_is_no_input(output, opened, images)
        check_map_size(output, opened.grid.shape)
    table = match_columns(
        inputs,
        opened,
        date=date,
        images=images,
        chip_size=chip_size,
        categories=categories,
        skip_nodata=skip_nodata,
        extra_columns=[] if area is None else fitted_columns(area) or [],
    )
    predictor = BlockPredictor(estimator, table, names, coverage, area, nodata)
    metadata = describe_map(predictor, target=target, units=units, date=date, tags=tags)
    covariates = opened.select(list(table.bands.values()))
    lazy = any(array.chunks is not None for array in covariates.dataset.data_vars.values())
    # Workers of a cluster can open files; a Dataset in memory would have to be sent to them.
    on_cluster = not isinstance(source, xarray.Dataset | xarray.DataArray) and active_client()
    covariates, edges = _choose_blocks(covariates, block_size, bool(on_cluster))
    blocks = block_windows(*edges)
    if output is not None:
        _write_map(predictor, covariates, blocks, output, metadata, overwrite, verbose)
        return open_map(output, metadata)
    if lazy:
        dask_layers = lazy_layers(predictor, covariates, edges)
        return layers_dataset(dask_layers, metadata, covariates.grid, nodata)
    out = np.empty((len(names), *covariates.grid.shape), dtype=np.float32)
    with _progress_bar(len(blocks), 0, verbose) as progress:
        for block, predicted, _ in predict_blocks(predictor, covariates, blocks):
            top, bottom, left, right = block
            out[:, top:bottom, left:right] = predicted
            progress.update()
    return layers_dataset(out, metadata, covariates.grid, nodata)


def _choose_blocks(
    covariates: CovariateStack, block_size: int | None, on_cluster: bool
) -> tuple[CovariateStack, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the covariates, chunked by blocks if dask computes them, and the block edges."""
    edges = block_edges(covariates.grid.shape, covariates.tile, block_size)
    arrays = covariates.dataset.data_vars.values()
    if not on_cluster and all(array.chunks is None for array in arrays):
        return covariates, edges
    if any(array.chunks is not None for array in arrays) and block_size is None:
        chunks = covariates.dataset.unify_chunks().chunks
        rows, columns = ((0, *np.cumsum(chunks[dim]).tolist()) for dim in covariates.grid.dims)
        edges = (rows, columns)
    sizes = {
        dim: tuple(np.diff(edge).tolist())
        for dim, edge in zip(covariates.grid.dims, edges, strict=True)
    }
    return replace(covariates, dataset=covariates.dataset.chunk(sizes)), edges


def _write_map(
    predictor: BlockPredictor,
    covariates: CovariateStack,
    blocks: list[Window],
    path: Path,
    metadata: MapMetadata,
    overwrite: bool,
    verbose: int,
) -> None:
    parts = PartsFolder(path)
    with parts.hold():
        check_map_path(path, overwrite)  # another process may have written it meanwhile
        block_files = BlockFiles.create_or_resume(parts, predictor, covariates, blocks, overwrite)
        try:
            _write_blocks(block_files, predictor, covariates, verbose)
            WRITERS[path.suffix.lower()](block_files, path, metadata)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Stopped: {block_files.progress()}") from None
        except OSError as error:
            text = f"{error.strerror or error}: {block_files.progress()}"
            raise OSError(error.errno, text) from error
        parts.remove()


def _write_blocks(
    block_files: BlockFiles, predictor: BlockPredictor, covariates: CovariateStack, verbose: int
) -> None:
    blocks, unfinished = block_files.blocks, block_files.unfinished
    with _progress_bar(len(blocks), len(blocks) - len(unfinished), verbose) as progress:
        for block, layers, digest in predict_blocks(predictor, covariates, unfinished):
            block_files.write(block, layers, digest)
            progress.update()


def _check_nodata(nodata: float) -> float:
    number = float(nodata)
    if not np.isnan(number) and abs(number) > _MAX_NODATA:
        raise ValueError(
            f"nodata_output={nodata!r} must be NaN or within the range of single precision."
        )
    return number


def _progress_bar(n_blocks: int, n_finished: int, verbose: int) -> Any:
    return tqdm(total=n_blocks, initial=n_finished, desc="map", unit="block", disable=not verbose)
