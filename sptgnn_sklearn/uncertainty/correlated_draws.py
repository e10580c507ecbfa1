"""Random numbers that are functions of row and seed, and draws from the quantiles of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

__all__ = ["SCORES", "hash_column", "keyed_normals", "quantiles_at_scores", "row_keys"]

SCORES = np.linspace(-4.0, 4.0, 65)  # normal scores of the quantiles of each row
_ROUNDED_BITS = np.uint64(24)
_HALF = np.uint64(2**23)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_keys(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return a key (n,) of uint64 of each row: a hash of its values.

    Parameters
    ----------
    columns : sequence of ndarray of shape (n,) or (n, p)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.correlated_draws import row_keys
    >>> first, second, third = row_keys([np.array([[1.0, np.nan], [1.0, 2.0], [1.0, np.nan]])])
    >>> bool(first == third), bool(first == second)
    (True, False)
    """
    keys = np.zeros(len(columns[0]), dtype=np.uint64)
    for values in columns:
        for column in np.atleast_2d(values.T):
            keys = _mix(keys + _GOLDEN) ^ hash_column(column)
    return _mix(keys)


def keyed_normals(keys: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return standard normal numbers (m, n) that are functions of keys (m,), column and seed.

    Uniform numbers by SplitMix64 (Steele, Lea & Flood 2014, OOPSLA, 453-472), through the normal
    quantile function.
    """
    start = _mix(keys ^ _mix(np.array([seed], dtype=np.uint64) + _GOLDEN))
    steps = (np.arange(1, n + 1, dtype=np.uint64) * _GOLDEN)[None]
    bits = _mix(start[:, None] + steps) >> np.uint64(11)
    return ndtri((bits.astype(np.float64) + 0.5) * 2.0**-53)


def _mix(values: np.ndarray) -> np.ndarray:
    """Return the finalizer of SplitMix64 of values of uint64, which wrap around."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_column(values: np.ndarray) -> np.ndarray:
    """Return a hash (n,) of uint64 of each number, to 4e-9 of it."""
    # Adding 0 turns -0 into 0; all NaN have the same bits.
    numbers = np.ascontiguousarray(values, dtype=np.float64) + 0.0
    numbers[np.isnan(numbers)] = np.nan
    # Rounding, as of transformed coordinates, leaves the same 28 binary digits.
    return _mix((numbers.view(np.uint64) + _HALF) >> _ROUNDED_BITS)


def quantiles_at_scores(quantiles: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Interpolate the quantiles of rows at normal scores.

    Parameters
    ----------
    quantiles : ndarray of shape (n, 65)
        Quantiles of each row at `SCORES`.
    scores : ndarray of shape (n, k)
        Normal scores of each row.

    Returns
    -------
    ndarray of shape (n, k)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.correlated_draws import SCORES, quantiles_at_scores
    >>> quantiles_at_scores(10 + 2 * SCORES[None], np.array([[0.0, 1.3, -5.0]])).round(6)
    array([[10. , 12.6,  0. ]])
    """
    step = SCORES[1] - SCORES[0]
    below = np.clip(((scores - SCORES[0]) / step).astype(int), 0, len(SCORES) - 2)
    low = np.take_along_axis(quantiles, below, axis=1)
    high = np.take_along_axis(quantiles, below + 1, axis=1)
    return low + (scores - SCORES[below]) / step * (high - low)
