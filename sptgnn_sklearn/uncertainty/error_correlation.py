"""Joint draws: errors of rows that are close are alike, and means over a region must know that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from scipy.spatial import cKDTree

from ..spatial.random_fields import CHUNK, matern_frequencies

__all__ = ["SCORES", "ErrorCorrelogram", "matern_correlation", "quantiles_at_scores"]

_NEAREST = 20  # pairs of each row with its nearest tell of short distances,
_SCATTERED = 1500  # and all pairs of so many rows of long ones
_BINS = 24
_FEWEST_PAIRS = 30  # in a bin
_COSINES = 1024
SCORES = np.linspace(-4.0, 4.0, 65)  # normal scores at which the quantiles of a row are computed


@dataclass(frozen=True)
class ErrorCorrelogram:
    """How alike the standardised errors of two rows are, by their distance.

    The correlation is ``share`` times a Matérn function of smoothness 3/2; the rest of the variance
    is each row's own.

    Attributes
    ----------
    share : float
        Correlation of rows that are infinitely close, 0 to 1.
    practical_range : float
        Distance at which the Matérn function has fallen to 0.05, in the unit of the positions.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.error_correlation import ErrorCorrelogram
    >>> line = np.column_stack([np.linspace(0, 100, 2000), np.zeros(2000)])
    >>> draws = ErrorCorrelogram(0.8, practical_range=10.0).draw(
    ...     line, 300, np.random.RandomState(0)
    ... )
    >>> draws.shape
    (2000, 300)
    >>> found = ErrorCorrelogram.learn(draws[:, 0], line, np.random.RandomState(0))
    >>> 0.6 < found.share < 1, 5 < found.practical_range < 20
    (True, True)
    """

    share: float
    practical_range: float

    @classmethod
    def fit(
        cls, score: np.ndarray, positions: np.ndarray, rng: np.random.RandomState
    ) -> ErrorCorrelogram:
        """Fit the correlation to the products of pairs of errors.

        Parameters
        ----------
        score : ndarray of shape (n,)
            Standardised errors.
        positions : ndarray of shape (n, d)
            Where they are, in a space in which Euclidean distance is distance.
        rng : RandomState
            Chooses the rows of which all pairs are taken, where there are many.
        """
        first, second = _pairs(positions, rng)
        distance = np.linalg.norm(positions[first] - positions[second], axis=1)
        apart = distance > 0
        first, second, distance = first[apart], second[apart], distance[apart]
        if len(distance) < _FEWEST_PAIRS:
            return cls(0.0, 1.0)
        # Errors have a mean of their own, and it is shared: around zero, not around that mean.
        scale = np.mean(score**2)
        if not scale > 0:  # a constant target, predicted without error
            return cls(0.0, 1.0)
        product = score[first] * score[second] / scale
        edges = np.geomspace(distance.min(), distance.max() * (1 + 1e-9), _BINS + 1)
        place = np.clip(np.searchsorted(edges, distance, side="right") - 1, 0, _BINS - 1)
        count = np.bincount(place, minlength=_BINS)
        kept = count >= min(_FEWEST_PAIRS, count.max())
        mean = np.bincount(place, product, _BINS)[kept] / count[kept]
        middle = np.bincount(place, distance, _BINS)[kept] / count[kept]
        low, high = float(distance.min()), float(distance.max())
        if kept.sum() < 3 or not low < high:
            return cls(0.0, 1.0)
        start = (float(np.clip(mean[0], 0.05, 0.95)), float(np.sqrt(low * high)))
        best, _ = curve_fit(
            lambda d, share, reach: share * matern_correlation(d, reach),
            middle,
            mean,
            p0=start,
            sigma=1 / np.sqrt(count[kept]),
            bounds=([0.0, low], [1.0, high]),
        )
        return cls(float(best[0]), float(best[1]))

    def draw(self, positions: np.ndarray, n: int, rng: np.random.RandomState) -> np.ndarray:
        """Draw standard normal errors at places.

        Parameters
        ----------
        positions : ndarray of shape (m, d)
        n : int
        rng : RandomState

        Returns
        -------
        ndarray of shape (m, n)
            The part that rows have in common is a function of the place: the same seed gives the
            same function wherever it is evaluated.
        """
        frequencies = matern_frequencies(
            _COSINES,
            positions.shape[1],
            self.practical_range,
            np.random.default_rng(rng.randint(2**31)),
        )
        weights = rng.standard_normal((2, _COSINES, n)).astype(np.float32) / np.sqrt(_COSINES)
        found = np.empty((len(positions), n))
        for start in range(0, len(positions), CHUNK):
            part = slice(start, min(start + CHUNK, len(positions)))
            # Cosine and sine with weights of their own: the variance is the same everywhere.
            phase = (positions[part] @ frequencies).astype(np.float32)
            found[part] = np.cos(phase) @ weights[0] + np.sin(phase) @ weights[1]
        own = rng.standard_normal(found.shape)
        return np.sqrt(self.share) * found + np.sqrt(1 - self.share) * own


def matern_correlation(distance: np.ndarray, practical_range: float) -> np.ndarray:
    """Return the Matérn correlation of smoothness 3/2, which is 0.05 at the practical range.

    Rasmussen & Williams 2006, Gaussian processes for machine learning, equation 4.17.
    """
    scaled = np.sqrt(3) * 2.739 * np.asarray(distance) / practical_range
    return (1 + scaled) * np.exp(-scaled)


def quantiles_at_scores(quantiles: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the quantiles of rows at normal scores, between those at `SCORES`.

    Parameters
    ----------
    quantiles : ndarray of shape (n, 65)
        Of each row at the levels of `SCORES`.
    scores : ndarray of shape (n, k)
        Of each row.

    Returns
    -------
    ndarray of shape (n, k)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.error_correlation import SCORES, quantiles_at_scores
    >>> quantiles_at_scores(10 + 2 * SCORES[None], np.array([[0.0, 1.3, -5.0]])).round(6)
    array([[10. , 12.6,  0. ]])
    """
    step = SCORES[1] - SCORES[0]
    place = np.clip(((scores - SCORES[0]) / step).astype(int), 0, len(SCORES) - 2)
    low = np.take_along_axis(quantiles, place, axis=1)
    high = np.take_along_axis(quantiles, place + 1, axis=1)
    return low + (scores - SCORES[place]) / step * (high - low)


def _pairs(positions: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of each row with its nearest, and all pairs among some rows."""
    n = len(positions)
    k = min(_NEAREST + 1, n)
    near = cKDTree(positions).query(positions, k=np.arange(1, k + 1))[1]
    first, second = np.repeat(np.arange(n), k), near.ravel()
    chosen = rng.permutation(n)[:_SCATTERED]
    one, other = np.triu_indices(len(chosen), k=1)
    first = np.concatenate([first, chosen[one]])
    return first, np.concatenate([second, chosen[other]])
