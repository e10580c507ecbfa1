"""Samples that cover an area or its covariates, without a model."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

__all__ = ["latin_hypercube_rows", "spatial_coverage_rows"]

_N_STEPS = 10_000  # of the annealing
_COOLING, _COOLED_EVERY = 0.95, 20
_SWAP_WORST = 0.5  # probability of replacing the sample in the fullest strata


def spatial_coverage_rows(
    positions: np.ndarray, weights: np.ndarray, n: int, rng: np.random.RandomState
) -> np.ndarray:
    """Return the rows (n,) nearest to the centers of n compact strata of cells.

    Spatial coverage sampling by k-means (Brus, de Gruijter & van Groenigen 2007, Developments in
    Soil Science 31, 183-192).

    Parameters
    ----------
    positions : ndarray of shape (m, d)
    weights : ndarray of shape (m,)
    n : int
        At most m.
    rng : RandomState

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.covering_samples import spatial_coverage_rows
    >>> line = np.arange(9.0)[:, None]
    >>> rows = spatial_coverage_rows(line, np.ones(9), 3, np.random.RandomState(0))
    >>> sorted(rows.tolist())
    [1, 4, 7]
    """
    means = KMeans(n, n_init=5, random_state=rng).fit(positions, sample_weight=weights)
    free = np.ones(len(positions), dtype=bool)
    rows = []
    for center in means.cluster_centers_:
        distance = np.linalg.norm(positions - center, axis=1)
        row = int(np.argmin(np.where(free, distance, np.inf)))
        free[row] = False
        rows.append(row)
    return np.array(rows)


def latin_hypercube_rows(covariates: np.ndarray, n: int, rng: np.random.RandomState) -> np.ndarray:
    """Return rows (n,) whose covariates fill n quantile strata of each column once.

    Conditioned Latin hypercube sampling with the correlation of the columns, by annealing (Minasny
    & McBratney 2006, Computers & Geosciences 32, 1378-1388).

    Parameters
    ----------
    covariates : ndarray of shape (m, p)
        Without missing values.
    n : int
        At most m.
    rng : RandomState

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.covering_samples import latin_hypercube_rows
    >>> column = np.arange(100.0)[:, None]
    >>> rows = latin_hypercube_rows(column, 4, np.random.RandomState(0))
    >>> np.sort(rows // 25).tolist()
    [0, 1, 2, 3]
    """
    m, p = covariates.shape
    edges = np.quantile(covariates, np.linspace(0, 1, n + 1)[1:-1], axis=0)
    strata = np.column_stack(
        [np.searchsorted(edges[:, j], covariates[:, j], side="right") for j in range(p)]
    )
    varies = np.ptp(covariates, axis=0) > 0
    correlation = _correlation(covariates[:, varies])

    def loss(rows: np.ndarray, counts: np.ndarray) -> float:
        found = float(np.abs(counts - 1).sum())
        if correlation is not None:
            found += float(np.abs(_correlation(covariates[rows][:, varies]) - correlation).sum())
        return found

    rows = rng.permutation(m)[:n]
    counts = np.stack([np.bincount(strata[rows, j], minlength=n) for j in range(p)])
    current, temperature = loss(rows, counts), 1.0
    best, lowest = rows.copy(), current
    for step in range(_N_STEPS if m > n else 0):
        out = rng.randint(n)
        if rng.uniform() < _SWAP_WORST:  # a sample in strata with several
            fullness = counts[np.arange(p)[:, None], strata[rows].T].sum(axis=0)
            out = int(np.argmax(fullness))
        new = rng.randint(m)
        if (rows == new).any():
            continue
        changed, moved = counts.copy(), rows.copy()
        changed[np.arange(p), strata[rows[out]]] -= 1
        changed[np.arange(p), strata[new]] += 1
        moved[out] = new
        proposed = loss(moved, changed)
        if proposed <= current or rng.uniform() < np.exp((current - proposed) / temperature):
            rows, counts, current = moved, changed, proposed
            if current < lowest:
                best, lowest = rows.copy(), current
        if step % _COOLED_EVERY == 0:
            temperature *= _COOLING
    return best


def _correlation(columns: np.ndarray) -> np.ndarray | None:
    """Return the correlations of columns; None of one column, 0 of constant ones."""
    if columns.shape[1] < 2:
        return None
    centered = columns - columns.mean(axis=0)
    norms = np.linalg.norm(centered, axis=0)
    return (centered.T @ centered) / np.outer(*[np.where(norms > 0, norms, 1.0)] * 2)
