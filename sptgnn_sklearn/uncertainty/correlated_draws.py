"""Spatially correlated errors for joint predictive samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from ..spatial.random_fields import CHUNK, matern_frequencies

__all__ = ["SCORES", "ErrorCorrelogram", "matern_correlation", "quantiles_at_scores"]

_N_NEAREST = 20  # nearest rows paired with each row, for short distances
_N_PAIRED = 1500  # rows of which all pairs are used, for long distances
_N_BINS = 24
_MIN_PAIRS = 30  # in a bin
_N_FREQUENCIES = 1024
SCORES = np.linspace(-4.0, 4.0, 65)  # normal scores of the quantiles of each row


@dataclass(frozen=True)
class ErrorCorrelogram:
    """Correlogram of standardized errors: their correlation as a function of distance.

    The correlation is ``share`` times a Matérn function of smoothness 3/2; the rest of the variance
    is independent between rows.

    Attributes
    ----------
    share : float
        Correlation at distance zero, 0 to 1.
    practical_range : float
        Distance at which the Matérn function has fallen to 0.05, in the unit of the positions.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.correlated_draws import ErrorCorrelogram
    >>> line = np.column_stack([np.linspace(0, 100, 2000), np.zeros(2000)])
    >>> draws = ErrorCorrelogram(0.8, practical_range=10.0).draw(
    ...     line, 300, np.random.RandomState(0)
    ... )
    >>> draws.shape
    (2000, 300)
    >>> fitted = ErrorCorrelogram.fit(draws[:, 0], line, np.random.RandomState(0))
    >>> 0.6 < fitted.share < 1, 5 < fitted.practical_range < 20
    (True, True)
    """

    share: float
    practical_range: float

    @classmethod
    def fit(
        cls, score: np.ndarray, positions: np.ndarray, rng: np.random.RandomState
    ) -> ErrorCorrelogram:
        """Fit the correlogram to the products of pairs of errors, binned by distance.

        Parameters
        ----------
        score : ndarray of shape (n,)
            Standardized errors.
        positions : ndarray of shape (n, d)
            Coordinates with Euclidean distances.
        rng : RandomState
            Draws the rows of which all pairs are used.
        """
        first, second = _row_pairs(positions, rng)
        distance = np.linalg.norm(positions[first] - positions[second], axis=1)
        positive = distance > 0
        first, second, distance = first[positive], second[positive], distance[positive]
        if len(distance) < _MIN_PAIRS:
            return cls(0.0, 1.0)
        # Products are taken around zero, because the mean error is common to all rows.
        scale = np.mean(score**2)
        if not scale > 0:  # a constant target, predicted without error
            return cls(0.0, 1.0)
        product = score[first] * score[second] / scale
        edges = np.geomspace(distance.min(), distance.max() * (1 + 1e-9), _N_BINS + 1)
        lag = np.clip(np.searchsorted(edges, distance, side="right") - 1, 0, _N_BINS - 1)
        count = np.bincount(lag, minlength=_N_BINS)
        kept = count >= min(_MIN_PAIRS, count.max())
        correlation = np.bincount(lag, product, _N_BINS)[kept] / count[kept]
        mean_distance = np.bincount(lag, distance, _N_BINS)[kept] / count[kept]
        low, high = float(distance.min()), float(distance.max())
        if kept.sum() < 3 or not low < high:
            return cls(0.0, 1.0)
        start = (float(np.clip(correlation[0], 0.05, 0.95)), float(np.sqrt(low * high)))

        def residuals(parameters: np.ndarray) -> np.ndarray:
            share, practical_range = parameters
            found = share * matern_correlation(mean_distance, practical_range)
            return np.sqrt(count[kept]) * (found - correlation)

        # In contrast to `curve_fit` it does not raise where the optimum is flat, as without
        # correlation.
        best = least_squares(residuals, start, bounds=([0.0, low], [1.0, high])).x
        return cls(float(best[0]), float(best[1]))

    def draw(self, positions: np.ndarray, n: int, rng: np.random.RandomState) -> np.ndarray:
        """Draw correlated standard normal errors.

        Parameters
        ----------
        positions : ndarray of shape (m, d)
        n : int
        rng : RandomState

        Returns
        -------
        ndarray of shape (m, n)
            The correlated part is a function of the position: the same seed gives the same function
            at any set of positions.
        """
        frequencies = matern_frequencies(
            _N_FREQUENCIES,
            positions.shape[1],
            self.practical_range,
            np.random.default_rng(rng.randint(2**31)),
        )
        weights = rng.standard_normal((2, _N_FREQUENCIES, n)).astype(np.float32) / np.sqrt(
            _N_FREQUENCIES
        )
        correlated = np.empty((len(positions), n))
        for start in range(0, len(positions), CHUNK):
            part = slice(start, min(start + CHUNK, len(positions)))
            # Independent weights of cosine and sine make the variance the same at all positions.
            phase = (positions[part] @ frequencies).astype(np.float32)
            correlated[part] = np.cos(phase) @ weights[0] + np.sin(phase) @ weights[1]
        independent = rng.standard_normal(correlated.shape)
        return np.sqrt(self.share) * correlated + np.sqrt(1 - self.share) * independent


def matern_correlation(distance: np.ndarray, practical_range: float) -> np.ndarray:
    """Return the Matérn correlation of smoothness 3/2, which is 0.05 at the practical range.

    Rasmussen & Williams 2006, Gaussian processes for machine learning, equation 4.17.
    """
    scaled = np.sqrt(3) * 2.739 * np.asarray(distance) / practical_range
    return (1 + scaled) * np.exp(-scaled)


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


def _row_pairs(positions: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of each row with its nearest rows, and all pairs of a random subset."""
    n = len(positions)
    k = min(_N_NEAREST + 1, n)
    nearest = cKDTree(positions).query(positions, k=np.arange(1, k + 1))[1]
    first, second = np.repeat(np.arange(n), k), nearest.ravel()
    subset = rng.permutation(n)[:_N_PAIRED]
    one, other = np.triu_indices(len(subset), k=1)
    first = np.concatenate([first, subset[one]])
    return first, np.concatenate([second, subset[other]])
