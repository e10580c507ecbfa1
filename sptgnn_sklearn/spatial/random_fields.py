"""Smooth random functions of the place, cheap enough for millions of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

FieldArray = NDArray[np.float64]
# Cosines per length scale, and rows at a time: some 50 MB while a function is evaluated.
N_COSINES = 256
CHUNK = 8192


def matern_frequencies(
    n_frequencies: int, n_dims: int, practical_range: float, rng: np.random.Generator
) -> FieldArray:
    """Random frequencies whose cosines have a Matern 3/2 covariance, shape (n_dims, n).

    The spectral density of a Matern covariance of smoothness 3/2 is that of Student's t with three
    degrees of freedom [1]_. Its correlation is 0.05 at 2.739 length scales: the practical range.

    References
    ----------
    .. [1] Rahimi, A., & Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS;
       Rasmussen, C. E., & Williams, C. K. I. (2006). Gaussian processes for machine learning,
       equation 4.15.
    """
    length_scale = practical_range / 2.739
    normal = rng.standard_normal((n_dims, n_frequencies))
    return normal / np.sqrt(rng.chisquare(3, n_frequencies) / 3.0) / length_scale


@dataclass(frozen=True)
class Fields:
    """Smooth functions of the place, each of mean 0 and variance 1 over the region."""

    frequencies: FieldArray  # (d, f)
    phases: FieldArray  # (f,)
    weights: NDArray[np.float32]  # (f, k)
    means: FieldArray | float  # (k,)

    def __call__(self, positions: FieldArray) -> FieldArray:
        """Evaluate every function at every position, shape (n, k)."""
        out = np.empty((len(positions), self.weights.shape[1]))
        for start in range(0, len(positions), CHUNK):
            part = positions[start : start + CHUNK]
            # Single precision from here on: its cosine is many times faster.
            phase = (part @ self.frequencies + self.phases).astype(np.float32)
            out[start : start + CHUNK] = np.cos(phase, out=phase) @ self.weights
        return out - self.means


def make_fields(
    mixes: Sequence[Sequence[float]],
    scales: Sequence[float],
    reference: FieldArray,
    seed: Sequence[int],
) -> Fields:
    """Draw one smooth function for each mix of length scales.

    Parameters
    ----------
    mixes : sequence of sequences of float
        For each function, the share of its variance that varies over each of the `scales`.
    scales : sequence of float
        Practical ranges: the distances at which a correlation has fallen to 0.05, in the unit of
        the positions.
    reference : ndarray of shape (n, d)
        Positions evenly spread over the region in which mean and variance are to hold.
    seed : sequence of int
        Decides everything that is random here.

    Returns
    -------
    fields : Fields
        A function from positions (n, d) to values (n, len(mixes)).

    Notes
    -----
    Over the region the functions are uncorrelated: without that, a handful of smooth covariates
    would carry much of the first one by chance. Each is made uncorrelated with those before it, so
    that the first keeps the shape of its covariance, and one more leaves the others as they were.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.random_fields import make_fields
    >>> square_km = np.random.default_rng(0).uniform(0, 500, (1000, 2))
    >>> fields = make_fields([(0.5, 0.5), (1.0, 0.0)], (150.0, 30.0), square_km, [0])
    >>> fields(square_km).shape
    (1000, 2)
    >>> fields(square_km).var(axis=0, ddof=1).round(3)
    array([1., 1.])
    """
    rng = np.random.default_rng(seed)
    n_dims = reference.shape[1]
    frequencies = np.hstack([matern_frequencies(N_COSINES, n_dims, scale, rng) for scale in scales])
    phases = rng.uniform(0.0, 2.0 * np.pi, size=(frequencies.shape[1],))
    weights = np.empty((frequencies.shape[1], len(mixes)))
    for k, mix in enumerate(mixes):
        amplitudes = np.repeat(np.sqrt(mix), N_COSINES)
        weights[:, k] = amplitudes * rng.standard_normal(len(amplitudes))

    raw = Fields(frequencies, phases, weights.astype(np.float32), 0.0)
    values = raw(reference)
    lower = np.linalg.cholesky(np.atleast_2d(np.cov(values, rowvar=False)))
    weights = solve_triangular(lower, weights.T, lower=True).T
    fields = Fields(frequencies, phases, weights.astype(np.float32), 0.0)
    means = fields(reference).mean(axis=0)
    return Fields(frequencies, phases, fields.weights, means)
