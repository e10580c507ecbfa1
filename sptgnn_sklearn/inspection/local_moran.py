"""Local Moran's I: clusters and outliers of values, such as residuals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from ..metrics.moran import neighbor_weights
from ..metrics.validation import aligned_vectors
from ..spatial.distances import to_metric_coordinates
from ..table.coordinate_columns import locate_coordinates
from ..utils.validation import require_count

__all__ = ["local_morans_i"]

_QUADRANTS = np.array(["high-high", "low-high", "low-low", "high-low"])


def local_morans_i(
    values: Any,
    coordinates: Any,
    *,
    crs: Any = None,
    n_neighbors: int = 8,
    n_permutations: int = 999,
    alpha: float = 0.05,
    random_state: int = 0,
) -> pd.DataFrame:
    """Return local Moran's I: the similarity of each value to its neighbors.

    For residuals, clusters show areas in which a model is biased, for example because a covariate
    is missing or the neighborhoods of the graph are too small.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        Values, for example out-of-fold residuals.
    coordinates : array-like of shape (n_samples, 2) or DataFrame
    crs, n_neighbors
        As in `morans_i`.
    n_permutations : int, default=999
        Number of conditional permutations for the p-values.
    alpha : float, default=0.05
        False discovery rate of the column significant [2]_.
    random_state : int, default=0
        Seed of the permutations.

    Returns
    -------
    DataFrame of shape (n_samples, 4)
        Columns local_i, p_value (two-sided), quadrant ("high-low": a high value among low
        neighbors) and significant, with the index of `coordinates` if it is a DataFrame.

    Raises
    ------
    ValueError
        As in `morans_i`, and if all values are equal or `alpha` is not between 0 and 1.

    References
    ----------
    .. [1] Anselin, L. (1995). Local indicators of spatial association. Geographical Analysis 27,
       93-115. Computed by esda.Moran_Local.
    .. [2] Caldas de Castro, M., Singer, B. H. (2006). Controlling the false discovery rate: a new
       application to account for multiple and dependent tests in local statistics of spatial
       association. Geographical Analysis 38, 180-208.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection import local_morans_i
    >>> rng = np.random.default_rng(0)
    >>> xy = rng.uniform(size=(300, 2))
    >>> residuals = rng.normal(size=300) + 4 * (np.linalg.norm(xy - 0.5, axis=1) < 0.2)
    >>> table = local_morans_i(residuals, xy)
    >>> table.loc[table["significant"], "quadrant"].value_counts().index[0]
    'high-high'
    """
    (values,) = aligned_vectors(values=values)
    xy, reference, _ = locate_coordinates(coordinates, None, crs)
    if len(xy) != len(values):
        raise ValueError(
            f"values and coordinates must have the same length; found {len(values)} values and "
            f"{len(xy)} rows of coordinates."
        )
    require_count("n_neighbors", n_neighbors)
    require_count("n_permutations", n_permutations)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1; found {alpha!r}.")
    if not np.ptp(values) > 0:
        raise ValueError("values must not be all equal: local Moran's I is then undefined.")
    from esda import Moran_Local, fdr

    graph = neighbor_weights(
        to_metric_coordinates(xy, reference), min(n_neighbors, len(values) - 1)
    )
    with warnings.catch_warnings():
        # esda announces two-sided p-values, which are computed below anyway.
        warnings.simplefilter("ignore", DeprecationWarning)
        moran = Moran_Local(
            values,
            graph,
            transformation="r",
            permutations=n_permutations,
            seed=random_state,
            keep_simulations=False,
            n_jobs=1,
        )
    p_value = np.minimum(2 * np.asarray(moran.p_sim, dtype=float), 1.0)
    return pd.DataFrame(
        {
            "local_i": np.asarray(moran.Is, dtype=float),
            "p_value": p_value,
            "quadrant": _QUADRANTS[np.asarray(moran.q, dtype=int) - 1],
            "significant": p_value <= fdr(p_value, alpha),
        },
        index=coordinates.index if isinstance(coordinates, pd.DataFrame) else None,
    )
