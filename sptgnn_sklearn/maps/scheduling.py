"""Blocks one after another, or on dask."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np

from ..images.raster import Window
from .covariate_stack import CovariateStack, decode_band
from .layers import BlockPredictor

__all__ = ["active_client", "lazy_layers", "run_blocks"]

_WAITING = 2  # blocks for each thread of a cluster that are on their way
_VARYING = 40  # letters of a warning by which it is known again: further on it counts rows


def run_blocks(
    mapper: BlockPredictor, source: CovariateStack, blocks: Sequence[Window]
) -> Iterator[tuple[Window, np.ndarray]]:
    """Predict blocks, each when it is asked for; on a cluster several at a time, in any order.

    Parameters
    ----------
    mapper : Mapper
    source : Source
    blocks : sequence of Window

    Yields
    ------
    block : Window
    layers : ndarray of shape (n_layers, h, w)
    """
    client = active_client()
    if client is None or not _is_dask(source):
        with _each_warning_once() as quiet:
            for block in blocks:
                top, bottom, left, right = block
                x, y = source.grid.x[left:right], source.grid.y[top:bottom]
                with quiet():
                    layers = mapper(source.read(block), x, y)
                yield block, layers
        return
    yield from _on_cluster(client, mapper, source, blocks)


def lazy_layers(
    mapper: BlockPredictor, source: CovariateStack, edges: tuple[Sequence[int], Sequence[int]]
) -> Any:
    """Return layers (n_layers, h, w) as a dask array, of a block for each block of the source.

    Parameters
    ----------
    mapper : Mapper
    source : Source
        Of dask arrays.
    edges : pair of sequences of int
        Of its blocks.
    """
    import dask.array

    delayed = _Delayed(mapper, source)
    rows = [
        [
            dask.array.from_delayed(
                delayed.block((top, bottom, left, right)),
                (len(mapper.layers), bottom - top, right - left),
                dtype=np.float32,
            )
            for left, right in pairwise(edges[1])
        ]
        for top, bottom in pairwise(edges[0])
    ]
    return dask.array.block(rows)


def active_client() -> Any:
    """Return the client of dask.distributed that is active, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:  # nobody can have made a client
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def _is_dask(source: CovariateStack) -> bool:
    return all(variable.chunks is not None for variable in source.dataset.data_vars.values())


def _on_cluster(
    client: Any, mapper: BlockPredictor, source: CovariateStack, blocks: Sequence[Window]
) -> Iterator[tuple[Window, np.ndarray]]:
    """As many blocks at a time as keep the workers busy: results come here one by one."""
    import distributed

    delayed = _Delayed(mapper, source)
    # Sent once; unlike scattered data it can be had again when a worker is lost.
    delayed.mapper = client.persist(delayed.mapper)
    todo = iter(blocks)
    most = _WAITING * max(1, sum(client.nthreads().values()))
    on_the_way: dict[Any, Window] = {}
    finished = distributed.as_completed()
    try:
        for block in todo:
            future = client.compute(delayed.block(block))
            on_the_way[future] = block
            finished.add(future)
            if len(on_the_way) < most:
                continue
            done = next(finished)
            yield on_the_way.pop(done), done.result()
            del done, future
        while on_the_way:
            done = next(finished)
            yield on_the_way.pop(done), done.result()
    finally:
        client.cancel(list(on_the_way))


class _Delayed:
    """Blocks as delayed calls that share one model."""

    def __init__(self, mapper: BlockPredictor, source: CovariateStack) -> None:
        import dask

        self.source = source
        # The model is a node of its own, so that it is in the graph once.
        self.mapper = dask.delayed(mapper, name=f"mapper-{uuid4().hex}", traverse=False)
        self.names: list[Hashable] = list(source.dataset.data_vars)

    def block(self, block: Window) -> Any:
        import dask

        top, bottom, left, right = block
        rows, columns = self.source.grid.dims
        part = self.source.dataset.isel({rows: slice(top, bottom), columns: slice(left, right)})
        # Each piece in one chunk, whatever the chunks of the variable are.
        pieces = [part[name].data.rechunk(-1).to_delayed().item() for name in self.names]
        fills = [self.source.fills.get(name) for name in self.names]
        x, y = self.source.grid.x[left:right], self.source.grid.y[top:bottom]
        return dask.delayed(_predict_pieces)(self.mapper, self.names, fills, x, y, pieces)


def _predict_pieces(
    mapper: BlockPredictor,
    names: Iterable[Hashable],
    fills: Iterable[float | None],
    x: np.ndarray,
    y: np.ndarray,
    pieces: Iterable[np.ndarray],
) -> np.ndarray:
    values = {
        name: decode_band(np.asarray(piece), fill)
        for name, fill, piece in zip(names, fills, pieces, strict=True)
    }
    return mapper(values, x, y)


@contextmanager
def _each_warning_once() -> Iterator[Any]:
    """Give a context for each block, after which a warning is heard only if it is a new one."""
    heard: set[tuple[type, str]] = set()

    @contextmanager
    def quiet() -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            yield
        for warning in caught:
            key = (warning.category, str(warning.message)[:_VARYING])
            if key not in heard:
                heard.add(key)
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    yield quiet
