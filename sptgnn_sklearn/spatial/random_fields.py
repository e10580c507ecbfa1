"""Gaussian random fields with Matern covariance, by random Fourier features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from sklearn.utils import gen_batches

FieldArray = NDArray[np.float64]
N_COSINES = 256  # per length scale
CHUNK = 8192  # rows evaluated at a time, in about 50 MB


def matern_frequencies(
    n_frequencies: int, n_dims: int, practical_range: float, rng: np.random.Generator
) -> FieldArray:
    """Draw frequencies (n_dims, n_frequencies) whose cosines have a Matern 3/2 covariance.

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
class RandomFields:
    """Random fields with mean 0 and variance 1 over the reference region."""

    frequencies: FieldArray  # (d, f)
    phases: FieldArray  # (f,)
    weights: NDArray[np.float32]  # (f, k)
    means: FieldArray | float  # (k,)

    def __call__(self, positions: FieldArray) -> FieldArray:
        """Return the values (n, k) of all fields at the given positions (n, d)."""
        out = np.empty((len(positions), self.weights.shape[1]))
        for rows in gen_batches(len(positions), CHUNK):
            # The cosine is many times faster in single precision.
            phase = (positions[rows] @ self.frequencies + self.phases).astype(np.float32)
            out[rows] = np.cos(phase, out=phase) @ self.weights
        return out - self.means


def make_fields(
    mixes: Sequence[Sequence[float]],
    scales: Sequence[float],
    reference: FieldArray,
    seed: Sequence[int],
) -> RandomFields:
    """Draw one random field for each mixture of length scales.

    Parameters
    ----------
    mixes : sequence of sequences of float
        Share of each of the `scales` in the variance of each field.
    scales : sequence of float
        Practical ranges, at which the correlation is 0.05, in the unit of the positions.
    reference : ndarray of shape (n, d)
        Positions evenly distributed over the region in which mean and variance are normalized.
    seed : sequence of int
        Seed of all random draws.

    Returns
    -------
    fields : RandomFields
        A function from positions (n, d) to values (n, len(mixes)).

    Notes
    -----
    The fields are uncorrelated over the region; otherwise a few smooth covariates would predict
    much of the first field by chance. Each field is orthogonalized against those before it, so the
    first keeps the shape of its covariance, and additional fields do not change the others.

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

    raw = RandomFields(frequencies, phases, weights.astype(np.float32), 0.0)
    values = raw(reference)
    lower = np.linalg.cholesky(np.atleast_2d(np.cov(values, rowvar=False)))
    weights = solve_triangular(lower, weights.T, lower=True).T
    fields = RandomFields(frequencies, phases, weights.astype(np.float32), 0.0)
    means = fields(reference).mean(axis=0)
    return RandomFields(frequencies, phases, fields.weights, means)
