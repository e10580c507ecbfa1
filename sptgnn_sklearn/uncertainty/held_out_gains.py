"""Gain in R2 by the graph and by each model of the blend, on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .blending import Blend
from .postprocessing import OutOfFoldPredictions

__all__ = ["held_out_gains"]


def held_out_gains(
    predictions: OutOfFoldPredictions,
    without_neighbors: np.ndarray | None,
    names: Sequence[str],
    y: np.ndarray,
    weight: np.ndarray,
) -> dict[str, float]:
    """Return the R2 of the blend minus that of a blend without one of its parts.

    Parameters
    ----------
    predictions : OutOfFoldPredictions of n rows
    without_neighbors : ndarray of shape (n,) or None
        Out-of-fold predictions of the network without neighbors; None without a graph.
    names : sequence of str
        Of the base models.
    y, weight : ndarray of shape (n,)
        Standardized targets and positive weights.

    Returns
    -------
    dict of str to float
        "graph", where the network without neighbors takes the place of the network; "network", if
        there are base models; and each base model. Each blend is fitted to the rows on which it is
        scored. Empty if no row is held out or the target is constant.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.held_out_gains import held_out_gains
    >>> from sptgnn_sklearn.uncertainty.postprocessing import OutOfFoldPredictions
    >>> y = np.random.default_rng(0).normal(size=1000)
    >>> zero, one = np.zeros(1000), np.ones(1000)
    >>> found = OutOfFoldPredictions(y, one, zero, one, base=None)
    >>> {name: round(gain, 2) for name, gain in held_out_gains(found, zero, (), y, one).items()}
    {'graph': 1.0}
    """
    rows = predictions.count > 0
    y, weight, network = y[rows], weight[rows], predictions.mean[rows]
    base = np.empty((0, len(y))) if predictions.base is None else predictions.base[:, rows]
    if not len(y):
        return {}
    variance = np.average((y - np.average(y, weights=weight)) ** 2, weights=weight)
    if not variance > 0:
        return {}

    def r2(models: np.ndarray) -> float:
        others = models[1:] if len(models) > 1 else None
        blended = Blend.fit(models[0], others, y, weight).combine(models[0], others)
        error = np.average((y - blended) ** 2, weights=weight)
        return 1 - float(error / variance)

    everything = np.vstack([network[None], base])
    total, gains = r2(everything), {}
    if without_neighbors is not None:
        gains["graph"] = total - r2(np.vstack([without_neighbors[rows][None], base]))
    if len(base):
        parts = ("network", *names)
        gains |= {
            name: total - r2(np.delete(everything, position, axis=0))
            for position, name in enumerate(parts)
        }
    return gains
