"""Prediction of blocks one after another, or on dask."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np

from ..images.raster import Window
from .covariate_stack import CovariateStack, decode_band, values_digest
from .layers import BlockPredictor

__all__ = ["active_client", "lazy_layers", "predict_blocks"]

_QUEUED_BLOCKS = 2  # submitted blocks for each thread of a cluster
_FAR_ROWS = "Most rows of X are far"  # of a block; for a map it counts if most blocks are far
_WARNING_PREFIX = 40  # characters that identify a warning; later ones contain row counts


def predict_blocks(
    predictor: BlockPredictor, covariates: CovariateStack, blocks: Sequence[Window]
) -> Iterator[tuple[Window, np.ndarray, str]]:
    """Predict blocks lazily one after another; on a cluster several at a time, in any order.

    Parameters
    ----------
    predictor : BlockPredictor
    covariates : CovariateStack
    blocks : sequence of Window

    Yields
    ------
    block : Window
    layers : ndarray of shape (n_layers, h, w)
    digest : str
        Digest of the covariates.
    """
    client = active_client()
    if client is None or not _is_dask(covariates):
        with _repeated_warnings_ignored() as filtered:
            for block in blocks:
                top, bottom, left, right = block
                x, y = covariates.grid.x[left:right], covariates.grid.y[top:bottom]
                with filtered():
                    values = covariates.read(block)
                    layers = predictor(values, x, y)
                yield block, layers, values_digest(values)
        return
    yield from _predict_on_cluster(client, predictor, covariates, blocks)


def lazy_layers(
    predictor: BlockPredictor,
    covariates: CovariateStack,
    edges: tuple[Sequence[int], Sequence[int]],
) -> Any:
    """Return layers (n_layers, h, w) as a dask array with a chunk for each block.

    Parameters
    ----------
    predictor : BlockPredictor
    covariates : CovariateStack
        Of dask arrays.
    edges : pair of sequences of int
        Edges of the blocks along rows and columns.
    """
    import dask.array

    delayed = _DelayedBlocks(predictor, covariates)
    chunks = [
        [
            dask.array.from_delayed(
                delayed.predict((top, bottom, left, right)),
                (len(predictor.layers), bottom - top, right - left),
                dtype=np.float32,
            )
            for left, right in pairwise(edges[1])
        ]
        for top, bottom in pairwise(edges[0])
    ]
    return dask.array.block(chunks)


def active_client() -> Any:
    """Return the active client of dask.distributed, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:  # a client exists only after the import
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def _is_dask(covariates: CovariateStack) -> bool:
    return all(variable.chunks is not None for variable in covariates.dataset.data_vars.values())


def _predict_on_cluster(
    client: Any, predictor: BlockPredictor, covariates: CovariateStack, blocks: Sequence[Window]
) -> Iterator[tuple[Window, np.ndarray, str]]:
    """Submit a limited number of blocks at a time, so that results do not pile up in memory."""
    import distributed

    delayed = _DelayedBlocks(predictor, covariates)
    # Transferred once; unlike scattered data it is recomputed when a worker is lost.
    delayed.predictor = client.persist(delayed.predictor)
    max_queued = _QUEUED_BLOCKS * max(1, sum(client.nthreads().values()))
    queued: dict[Any, Window] = {}
    completed = distributed.as_completed()
    try:
        for block in blocks:
            future = client.compute(delayed.predict_with_digest(block))
            queued[future] = block
            completed.add(future)
            if len(queued) < max_queued:
                continue
            done = next(completed)
            yield queued.pop(done), *done.result()
            del done, future
        while queued:
            done = next(completed)
            yield queued.pop(done), *done.result()
    finally:
        client.cancel(list(queued))


class _DelayedBlocks:
    """Delayed predictions of blocks that share one node with the model.

    `xarray.map_blocks` would hash the model, and store it in the task of every block.
    """

    def __init__(self, predictor: BlockPredictor, covariates: CovariateStack) -> None:
        import dask

        self.covariates = covariates
        self.predictor = dask.delayed(predictor, name=f"predictor-{uuid4().hex}", traverse=False)
        self.names: list[Hashable] = list(covariates.dataset.data_vars)

    def predict(self, block: Window) -> Any:
        """Return the delayed layers of a block."""
        return self._apply(_predict_arrays, block)

    def predict_with_digest(self, block: Window) -> Any:
        """Return the delayed layers of a block and the digest of its covariates."""
        return self._apply(_predict_arrays_with_digest, block)

    def _apply(self, function: Callable[..., Any], block: Window) -> Any:
        import dask

        top, bottom, left, right = block
        grid, dataset = self.covariates.grid, self.covariates.dataset
        rows, columns = grid.dims
        part = dataset.isel({rows: slice(top, bottom), columns: slice(left, right)})
        # Each variable in one chunk, whatever its own chunks are.
        arrays = [part[name].data.rechunk(-1).to_delayed().item() for name in self.names]
        fills = [self.covariates.fills.get(name) for name in self.names]
        x, y = grid.x[left:right], grid.y[top:bottom]
        return dask.delayed(function)(self.predictor, self.names, fills, x, y, arrays)


def _predict_arrays(
    predictor: BlockPredictor,
    names: Iterable[Hashable],
    fills: Iterable[tuple[float, ...] | None],
    x: np.ndarray,
    y: np.ndarray,
    arrays: Iterable[np.ndarray],
) -> np.ndarray:
    return _predict_arrays_with_digest(predictor, names, fills, x, y, arrays)[0]


def _predict_arrays_with_digest(
    predictor: BlockPredictor,
    names: Iterable[Hashable],
    fills: Iterable[tuple[float, ...] | None],
    x: np.ndarray,
    y: np.ndarray,
    arrays: Iterable[np.ndarray],
) -> tuple[np.ndarray, str]:
    values = {
        name: decode_band(array, fill)
        for name, fill, array in zip(names, fills, arrays, strict=True)
    }
    return predictor(values, x, y), values_digest(values)


@contextmanager
def _repeated_warnings_ignored() -> Iterator[Any]:
    """Yield a context manager for each block that issues only warnings not issued before."""
    issued: set[tuple[type, str]] = set()
    far: list[warnings.WarningMessage] = []
    n_blocks = 0

    @contextmanager
    def filtered() -> Iterator[None]:
        nonlocal n_blocks
        with warnings.catch_warnings(record=True) as caught:
            yield
        n_blocks += 1
        far.extend(item for item in caught if str(item.message).startswith(_FAR_ROWS))
        for warning in caught:
            if warning in far:
                continue
            key = (warning.category, str(warning.message)[:_WARNING_PREFIX])
            if key not in issued:
                issued.add(key)
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    yield filtered
    if 2 * len(far) > n_blocks:
        warnings.warn_explicit(far[0].message, far[0].category, far[0].filename, far[0].lineno)
