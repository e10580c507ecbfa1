"""Gaussian process over space and covariates: kriging with a fitted covariance function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from sklearn.utils import gen_batches

__all__ = ["LEAST_WEIGHT", "MOST_ROWS", "GaussianProcess", "n_parameters"]

# Relative to the mean weight: the noise of smaller weights overflows, and its standard deviation is
# a thousand times that of other rows already.
LEAST_WEIGHT = 1e-6
MOST_ROWS = 5000  # matrices of all pairs of rows are kept in memory

_MOST_FITTED = 400  # rows to which the parameters are fitted; a sample of larger tables
_MOST_ITERATIONS = 60
_INITIAL_LENGTHS = (0.3, 1.0)
_BOUNDS = (-7.0, 3.0)  # of the log parameters
# Means and standard deviations of the normal priors of the log parameters: variances in those of
# the target, lengths in radii of the survey or distances between typical covariates.
_VARIANCE_PRIOR = (np.log(0.4), 1.5)
_LENGTH_PRIOR = (0.0, 1.2)
_NOISE_PRIOR = _VARIANCE_PRIOR
_SPACE_PRIOR = (_VARIANCE_PRIOR, _LENGTH_PRIOR, _NOISE_PRIOR)
_PRIOR = (*(_VARIANCE_PRIOR, _LENGTH_PRIOR) * 2, _VARIANCE_PRIOR, _NOISE_PRIOR)
_JITTER = 1e-6  # added to the noise variance
_ROWS_PER_BLOCK = 256  # of a prediction; small blocks stay in the cache
# Squares of more axes are sums of matrix products, which are faster and less exact.
_MOST_SUMMED_AXES = 3


@dataclass(frozen=True)
class GaussianProcess:
    """Gaussian process regression of values at positions, with or without covariates.

    The covariance of two rows is a sum of up to three terms: exponential in space, as in kriging;
    Matern 3/2 over the ranks of the covariates; and the product of both, for effects of covariates
    that change across the survey. The parameters maximize the marginal likelihood times a prior
    [1]_, and the mean is constant.

    Attributes
    ----------
    parameters : ndarray
        Logarithms of variance and lengths of each term, and of the noise variance.
    scale : float
        Root mean square distance of the rows from their center: the unit of lengths in space.
    covariate_scale : float
        Square root of the number of covariates that vary.
    positions : ndarray of shape (n, d)
        Coordinates with Euclidean distances.
    covariates : ndarray of shape (n, q) or None
        Normal scores. None without covariates.
    values : ndarray of shape (n,)
        Of mean about 0 and variance about 1.
    weight : ndarray of shape (n,)
        The noise variance of a row is divided by its weight.
    known_noise : ndarray of shape (n,) or None
        Variances of measurement errors, which are added to the noise variance; None without any.

    References
    ----------
    .. [1] Rasmussen, C. E., & Williams, C. K. I. (2006). Gaussian processes for machine learning,
       equations 2.25, 2.26, 5.8 and 5.9.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.spatial.gaussian_process import GaussianProcess
    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> process = GaussianProcess.fit(x, None, np.sin(6 * x[:, 0]), np.ones(40))
    >>> process.predict(np.array([[0.5]]), None).round(1)
    array([0.1])
    """

    parameters: np.ndarray
    scale: float
    covariate_scale: float
    positions: np.ndarray
    covariates: np.ndarray | None
    values: np.ndarray
    weight: np.ndarray
    known_noise: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Without the cached matrices.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def fit(
        cls,
        positions: np.ndarray,
        covariates: np.ndarray | None,
        values: np.ndarray,
        weight: np.ndarray,
        random_state: int = 0,
        known_noise: np.ndarray | None = None,
    ) -> GaussianProcess:
        """Fit the parameters, to a sample of rows where there are many, and use all rows.

        Parameters
        ----------
        positions : ndarray of shape (n, d)
        covariates : ndarray of shape (n, q) or None
        values, weight : ndarray of shape (n,)
        random_state : int, default=0
            Seed of the sample of rows.
        known_noise : ndarray of shape (n,), default=None
            Variances of measurement errors, in the unit of the squared values.

        Raises
        ------
        ValueError
            If there are more than `MOST_ROWS` rows.
        """
        if len(values) > MOST_ROWS:
            raise ValueError(
                f"A Gaussian process of {len(values)} rows needs too much memory; it has at most "
                f"{MOST_ROWS}. Use base_estimator='xgboost' or 'auto'."
            )
        spread = float(np.sqrt(((positions - positions.mean(axis=0)) ** 2).sum(axis=1).mean()))
        n_varying = 0 if covariates is None else int((np.ptp(covariates, axis=0) > 0).sum())
        process = cls(
            parameters=np.empty(0),
            scale=spread if spread > 0 else 1.0,
            covariate_scale=float(np.sqrt(max(n_varying, 1))),
            positions=positions,
            covariates=covariates if n_varying else None,
            values=values,
            weight=np.maximum(weight / weight.mean(), LEAST_WEIGHT),
            known_noise=known_noise,
        )
        center = process._priors[0]
        lengths = center == _LENGTH_PRIOR[0]
        starts = [np.where(lengths, np.log(length), center) for length in _INITIAL_LENGTHS]
        return process._with_best_parameters(starts, random_state)

    def refit(self, random_state: int = 0) -> GaussianProcess:
        """Return the process with parameters fitted anew to its rows, starting from its own."""
        return self._with_best_parameters([self.parameters], random_state)

    def take(self, rows: np.ndarray) -> GaussianProcess:
        """Return the process of some of the rows, with the same parameters."""
        covariates = None if self.covariates is None else self.covariates[rows]
        return replace(
            self,
            positions=self.positions[rows],
            covariates=covariates,
            values=self.values[rows],
            weight=self.weight[rows],
            known_noise=None if self.known_noise is None else self.known_noise[rows],
        )

    def predict(self, positions: np.ndarray, covariates: np.ndarray | None) -> np.ndarray:
        """Return the mean (m,) of new values.

        Parameters
        ----------
        positions : ndarray of shape (m, d)
        covariates : ndarray of shape (m, q) or None
            Not used if the process has none.
        """
        new = [space.astype(np.float32) for space in self._scale(positions, covariates)]
        own, predicted = self._single_precision, np.empty(len(positions))
        for rows in gen_batches(len(positions), _ROWS_PER_BLOCK):
            # Blocks of one shape, so that sums do not depend on the number of other rows.
            blocks = [_pad(space[rows], _ROWS_PER_BLOCK) for space in new]
            distances = [
                _distances(block, *others) for block, others in zip(blocks, own, strict=True)
            ]
            # Sums in double precision, because terms of both signs can be large.
            covariance = self._covariance(self.parameters, *distances).astype(np.float64)
            predicted[rows] = (covariance @ self._solution)[: rows.stop - rows.start]
        return self._center + predicted

    def predict_left_out(self, groups: np.ndarray) -> np.ndarray:
        """Return the mean (n,) of each row, without the rows of its group.

        It follows from the inverse of the covariance matrix of all rows [1]_. The parameters and
        the mean of the process are those of all rows.

        Parameters
        ----------
        groups : ndarray of shape (n,)

        References
        ----------
        .. [1] Ginsbourger, D., & Schaerer, C. (2025). Fast calculation of Gaussian process
           multiple-fold cross-validation residuals and their covariances. Journal of Computational
           and Graphical Statistics, 34(1).
        """
        _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
        group, error = group.reshape(-1), self._solution / np.diag(self._precision)
        for label in np.flatnonzero(size > 1):
            rows = np.flatnonzero(group == label)
            if len(rows) == len(self.values):
                return np.full(len(rows), self._center)
            within = self._precision[np.ix_(rows, rows)]
            error[rows] = np.linalg.solve(within, self._solution[rows])
        return self.values - error

    @cached_property
    def _precision(self) -> np.ndarray:
        """Inverse (n, n) of the covariance matrix of the values."""
        distances = [cdist(space, space) for space in self._spaces]
        covariance = self._covariance(self.parameters, *distances)
        covariance[np.diag_indices_from(covariance)] += self._noise(self.parameters)
        return cho_solve(cho_factor(covariance, lower=True), np.eye(len(covariance)))

    @cached_property
    def _center(self) -> float:
        """Mean of the process by generalized least squares."""
        weights = self._precision.sum(axis=0)
        return float(weights @ self.values / weights.sum())

    @cached_property
    def _solution(self) -> np.ndarray:
        return self._precision @ (self.values - self._center)

    @cached_property
    def _single_precision(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Own rows of each space with their squared norms.

        Covariances in single precision are several times as fast.
        """
        spaces = [space.astype(np.float32) for space in self._spaces]
        return [(space, (space**2).sum(axis=1)) for space in spaces]

    def _noise(self, parameters: np.ndarray) -> np.ndarray:
        if self.known_noise is None:
            return np.exp(parameters[-1]) / self.weight + _JITTER
        return (np.exp(parameters[-1]) + self.known_noise) / self.weight + _JITTER

    @cached_property
    def _spaces(self) -> list[np.ndarray]:
        """Own rows in the scaled spaces in which distances are measured."""
        return self._scale(self.positions, self.covariates)

    def _scale(self, positions: np.ndarray, covariates: np.ndarray | None) -> list[np.ndarray]:
        """Return positions and, if the process has covariates, their ranks, scaled."""
        spaces = [positions / self.scale]
        if self.covariates is not None and covariates is not None:
            # The mean squared difference of two independent ranks is 1/6.
            spaces.append(ndtr(covariates) * (np.sqrt(6.0) / self.covariate_scale))
        return spaces

    @staticmethod
    def _covariance(
        parameters: np.ndarray, in_space: np.ndarray, of_covariates: np.ndarray | None = None
    ) -> np.ndarray:
        """Covariance (m, n) without noise, in the precision of the distances."""
        values = np.exp(parameters).astype(in_space.dtype)
        space = _exponential(in_space, values[1])
        if of_covariates is None:
            return values[0] * space
        similarity = _matern(of_covariates, values[3])
        return (values[0] + values[4] * similarity) * space + values[2] * similarity

    @staticmethod
    def _slopes(
        parameters: np.ndarray, in_space: np.ndarray, of_covariates: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return the derivatives of the covariance by its log parameters."""
        values = np.exp(parameters)
        space = _exponential(in_space, values[1])
        by_distance = in_space / values[1] * space
        if of_covariates is None:
            return [values[0] * space, values[0] * by_distance]
        similarity = _matern(of_covariates, values[3])
        by_difference = 3 * (of_covariates / values[3]) ** 2
        by_difference *= np.exp(-np.sqrt(3.0) / values[3] * of_covariates)
        return [
            values[0] * space,
            (values[0] + values[4] * similarity) * by_distance,
            values[2] * similarity,
            (values[2] + values[4] * space) * by_difference,
            values[4] * space * similarity,
        ]

    @property
    def _priors(self) -> np.ndarray:
        """Means and standard deviations (2, k) of the priors of the log parameters."""
        return np.array(_SPACE_PRIOR if self.covariates is None else _PRIOR).T

    def _with_best_parameters(self, starts: list[np.ndarray], random_state: int) -> GaussianProcess:
        """Return the process with the log parameters of the largest posterior density."""
        rows = np.arange(len(self.values))
        if len(rows) > _MOST_FITTED:
            rows = np.random.RandomState(random_state).permutation(rows)[:_MOST_FITTED]
        objective = self.take(rows)._objective(*self._priors)
        results = [
            minimize(
                objective,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=[_BOUNDS] * len(start),
                options={"maxiter": _MOST_ITERATIONS},
            )
            for start in starts
        ]
        return replace(self, parameters=min(results, key=lambda result: result.fun).x)

    def _objective(
        self, center: np.ndarray, spread: np.ndarray
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Return the negative log posterior density of parameters, with its gradient."""
        distances = [cdist(space, space) for space in self._spaces]
        weight = self.weight
        if self.known_noise is not None:
            weight = weight / (1 + self.known_noise)  # values have a variance of about 1
        error = self.values - np.average(self.values, weights=weight)
        identity = np.eye(len(error))

        def evaluate(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            covariance = self._covariance(parameters, *distances)
            covariance[np.diag_indices_from(covariance)] += self._noise(parameters)
            factor = cho_factor(covariance, lower=True)
            precision = cho_solve(factor, identity)
            solution = precision @ error
            score = (parameters - center) / spread
            loss = 0.5 * error @ solution + np.log(np.diag(factor[0])).sum() + 0.5 * score @ score
            inner = precision - np.outer(solution, solution)
            by_noise = np.diag(inner) @ (np.exp(parameters[-1]) / self.weight)
            slopes = self._slopes(parameters, *distances)
            gradient = np.array([*(np.vdot(inner, slope) for slope in slopes), by_noise])
            return float(loss), 0.5 * gradient + score / spread

        return evaluate


def n_parameters(*, covariates: bool) -> int:
    """Return the number of parameters of a process with or without covariates."""
    return len(_PRIOR if covariates else _SPACE_PRIOR)


def _pad(rows: np.ndarray, length: int) -> np.ndarray:
    """Return rows (m, d), followed by rows of zeros up to a length."""
    return np.pad(rows, ((0, length - len(rows)), (0, 0)))


def _distances(new: np.ndarray, own: np.ndarray, own_square: np.ndarray) -> np.ndarray:
    """Return the distances (m, n) of rows, given the squared norms of the own ones."""
    if new.shape[1] <= _MOST_SUMMED_AXES:
        square = np.zeros((len(new), len(own)), dtype=new.dtype)
        for axis in range(new.shape[1]):
            square += np.subtract.outer(new[:, axis], own[:, axis]) ** 2
    else:
        square = new @ own.T
        square *= -2
        square += own_square
        square += (new**2).sum(axis=1)[:, None]
        np.maximum(square, 0, out=square)
    return np.sqrt(square, out=square)


def _exponential(distance: np.ndarray, length: float) -> np.ndarray:
    return np.exp(-distance / length)


def _matern(distance: np.ndarray, length: float) -> np.ndarray:
    """Matern correlation of smoothness 3/2."""
    scaled = distance * (np.sqrt(3.0).astype(distance.dtype) / length)
    return (1 + scaled) * np.exp(-scaled)
