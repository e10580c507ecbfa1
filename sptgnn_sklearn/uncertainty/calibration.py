"""Calibration of predictive distributions: variance by distance and surroundings, error shape.

It is fitted on the out-of-fold errors of the training rows, in standardized units of the target, so
that no data are set aside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr, ndtri

from .local_scale import CalibrationInputs, LocalScale

__all__ = ["KINDS", "Calibration", "CalibrationData", "excess_variance"]

KINDS = ("scale", "quantile", "local")
_MAX_LOG_FACTOR = np.log(20.0)  # limit of the absolute log factor on variances
_MAX_SLOPE = 1.5  # limit of its slope, per standard deviation of log distance
_CONSTANT_PRIOR_ROWS = 20  # weight, in rows, of the prior that the factor is constant
_NORMAL_PRIOR_ROWS = 50  # weight, in rows, of the prior that errors are normal
_TAIL_ROWS = 5  # errors beyond the part of the shape that is fitted
_SHAPE_SCORES = np.linspace(-3.0, 3.0, 121)  # normal scores of the quantiles in the shape
_MIN_SPREAD = 1e-9  # of log distances: less is rounding, as on a regular grid
_LOG_FACTOR_SPREAD = 1.0  # prior of the log factor where measurement errors hide it
_MIN_RETAINED = 0.1  # least share of a squared error after correction for the number of members


@dataclass(frozen=True)
class CalibrationData:
    """Out-of-fold errors with their predicted variances.

    Attributes
    ----------
    error : ndarray of shape (n,)
        Target minus prediction.
    variance : ndarray of shape (n,)
        Predicted variance: noise plus variance between members.
    excess : ndarray of shape (n,)
        Expected part of the squared error that is due to the smaller number of members behind an
        out-of-fold prediction; see `excess_variance`.
    inputs : CalibrationInputs
        Distances are those to the spatial neighbors outside of a row's fold.
    weight : ndarray of shape (n,)
        Sample weights.
    location : ndarray of shape (n,) of int
        Location ids.
    noise : ndarray of shape (n,) or None
        Known variance of the measurement error of each target, which is not part of the predicted
        variance. None without any.
    """

    error: np.ndarray
    variance: np.ndarray
    excess: np.ndarray
    inputs: CalibrationInputs
    weight: np.ndarray
    location: np.ndarray
    noise: np.ndarray | None = None


@dataclass(frozen=True)
class Calibration:
    """Variance factor by distance to the data, local scale, and shape of the errors.

    Attributes
    ----------
    log_factor : float
        Logarithm of the factor on variances at the mean log distance.
    slope : float
        Increase of the log factor with log distance; never negative.
    center : float
        Mean log distance of the held-out rows.
    log_distance_range : pair of float
        Smallest and largest log distance of the held-out rows; the factor is constant beyond.
    shape : ndarray of shape (121,) or None
        Quantiles of the standardized errors at the normal scores -3, -2.95, ... 3. None keeps the
        shape of the predicted distributions.
    scores : ndarray of shape (n,)
        Standardized errors of the held-out rows, including their measurement errors.
    local : LocalScale or None
        Scale of the standardized errors around a row.

    Notes
    -----
    With known measurement errors the factor is that of the variance without them: it maximizes the
    likelihood of errors whose variance is the sum of both, times a log-normal prior.

    Examples
    --------
    Standard deviations that are too small by a factor of two near the data, and of four far from
    them:

    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.calibration import Calibration, CalibrationData
    >>> from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs
    >>> rng = np.random.default_rng(0)
    >>> distance = np.repeat([1.0, 10.0], 20_000)
    >>> error = rng.normal(scale=np.where(distance > 5, 4.0, 2.0))
    >>> one = np.ones_like(error)
    >>> held_out = CalibrationData(
    ...     error, one, np.zeros_like(error), CalibrationInputs(distance), one, np.arange(40_000)
    ... )
    >>> calibration = Calibration.fit(held_out, "scale")
    >>> np.sqrt(calibration.factor(np.array([1.0, 10.0, 100.0]))).round(1)
    array([2., 4., 4.])
    """

    log_factor: float = 0.0
    slope: float = 0.0
    center: float = 0.0
    log_distance_range: tuple[float, float] = (0.0, 0.0)
    shape: np.ndarray | None = None
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    local: LocalScale | None = None

    @classmethod
    def fit(cls, data: CalibrationData, kind: str | None) -> Calibration:
        """Fit on out-of-fold errors.

        Parameters
        ----------
        data : CalibrationData
        kind : None, "scale", "quantile" or "local"
            "scale" fits the factor, "quantile" the factor and the shape, "local" also the local
            scale.
        """
        weight = data.weight / data.weight.mean()
        retained = _retained_share(data, weight)
        scale = cls()
        if kind is not None:
            ratio = retained * data.error**2 / data.variance
            noise = None if data.noise is None else data.noise / data.variance
            scale = cls._fit_scale(ratio, data.inputs.distance, weight, noise)
        variance = scale.factor(data.inputs.distance) * data.variance
        share = scale.natural_share(data)
        score = data.error * np.sqrt(retained * share / variance)
        # Rows with large measurement errors tell little of the natural ones.
        informative, local = weight * share, None
        if kind == "local":
            std = np.sqrt(variance)
            local, around = LocalScale.fit(score, informative, data.location, data.inputs, std)
            if data.noise is None:
                score = score / around
            else:
                total = around**2 * variance + data.noise
                score = data.error * np.sqrt(retained / total)
        shape = None if kind in (None, "scale") else _error_shape(score, informative)
        return replace(scale, shape=shape, scores=score, local=local)

    @classmethod
    def _fit_scale(
        cls,
        ratio: np.ndarray,
        distance: np.ndarray | None,
        weight: np.ndarray,
        noise: np.ndarray | None,
    ) -> Calibration:
        """Fit the factor f by maximum likelihood of normal errors.

        Up to constants the negative log-likelihood of a row is ``log f + r / f``, with the ratio r
        of squared error and predicted variance. With the ratio t of known noise and predicted
        variance it is ``log(f + t) + r / (f + t)``.
        """
        mean = _constant_factor(ratio, noise, weight)  # 0 for a constant target
        limits = np.exp(-_MAX_LOG_FACTOR), np.exp(_MAX_LOG_FACTOR)
        log_factor = float(np.log(np.clip(mean, *limits)))
        log_distance = None if distance is None else _log(distance)
        if log_distance is None:
            return cls(log_factor)
        center = float(np.average(log_distance, weights=weight))
        spread = float(np.sqrt(np.average((log_distance - center) ** 2, weights=weight)))
        if not spread > _MIN_SPREAD:
            return cls(log_factor)
        standardized = (log_distance - center) / spread

        def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            log_factors = parameters[0] + parameters[1] * standardized
            losses, slopes = _losses_and_slopes(log_factors, ratio, noise)
            prior = _CONSTANT_PRIOR_ROWS / weight.sum() * parameters[1]
            gradient = [np.average(slopes * x, weights=weight) for x in (1.0, standardized)]
            loss = np.average(losses, weights=weight) + prior * parameters[1] / 2
            if noise is not None:
                pull = _pull(parameters[0], weight)
                loss, gradient[0] = loss + pull * parameters[0] / 2, gradient[0] + pull
            return float(loss), np.array([gradient[0], gradient[1] + prior])

        best = minimize(
            loss_and_gradient,
            np.array([log_factor, 0.0]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_MAX_LOG_FACTOR, _MAX_LOG_FACTOR), (0.0, _MAX_SLOPE)],
        ).x
        log_distance_range = (float(log_distance.min()), float(log_distance.max()))
        return cls(float(best[0]), float(best[1] / spread), center, log_distance_range)

    def factor(self, distance: np.ndarray | None) -> np.ndarray | float:
        """Return the factor on the variances of rows.

        Parameters
        ----------
        distance : ndarray of shape (n,) or None
            Mean distance to their spatial neighbors.
        """
        if self.slope == 0 or distance is None:
            return float(np.exp(self.log_factor))
        offset = np.clip(_log(distance), *self.log_distance_range) - self.center
        log_factor = self.log_factor + self.slope * offset
        return np.exp(np.clip(log_factor, -_MAX_LOG_FACTOR, _MAX_LOG_FACTOR))

    def natural_share(self, data: CalibrationData) -> np.ndarray:
        """Return the share (n,) of calibrated variances in expected squared errors."""
        if data.noise is None:
            return np.ones(len(data.error))
        variance = self.factor(data.inputs.distance) * data.variance
        if self.local is not None:
            variance = variance * self.local.scale(data.inputs, np.sqrt(variance)) ** 2
        return variance / (variance + data.noise)

    def adjust_levels(self, levels: np.ndarray) -> np.ndarray:
        """Return the levels at which predicted quantiles have the given coverage.

        Parameters
        ----------
        levels : ndarray
            Between 0 and 1.

        Returns
        -------
        ndarray of the same shape
            The predicted quantiles at these levels lie above the given shares of held-out rows.
        """
        if self.shape is None:
            return levels
        score = ndtri(levels)
        adjusted = np.interp(score, _SHAPE_SCORES, self.shape)
        # Linear extrapolation beyond the normal scores of the shape.
        for end, beyond in ((0, score < _SHAPE_SCORES[0]), (-1, score > _SHAPE_SCORES[-1])):
            offset = self._steepness(end) * (score - _SHAPE_SCORES[end])
            extrapolated = self.shape[end] + offset
            adjusted = np.where(beyond, extrapolated, adjusted)
        return ndtr(adjusted)

    def restore_levels(self, levels: np.ndarray) -> np.ndarray:
        """Return the levels whose adjusted levels are given, the inverse of `adjust_levels`.

        Parameters
        ----------
        levels : ndarray
            Levels of the predicted distribution, from 0 to 1.

        Returns
        -------
        ndarray of the same shape
            Calibrated levels, non-decreasing in those given.
        """
        if self.shape is None:
            return levels
        score = ndtri(levels)
        restored = np.interp(score, self.shape, _SHAPE_SCORES)
        for end, beyond in ((0, score < self.shape[0]), (-1, score > self.shape[-1])):
            offset = (score - self.shape[end]) / self._steepness(end)
            restored = np.where(beyond, _SHAPE_SCORES[end] + offset, restored)
        return ndtr(restored)

    def _steepness(self, end: int) -> float:
        """Return the slope of the linear extrapolation beyond an end of the shape."""
        return 1.0 if self.shape is None else max(self.shape[end] / _SHAPE_SCORES[end], 1e-3)


def excess_variance(between: np.ndarray, n_predicted: np.ndarray, n_members: int) -> np.ndarray:
    """Return the part of squared errors that is due to averaging fewer members.

    The mean of m members with independent errors of variance v has an error variance of ``v / m``
    beyond their common error: predictions by m of M members exceed those by all M by
    ``v / m - v / M``.

    Parameters
    ----------
    between : ndarray of shape (n,)
        Variance of the members around their mean (divided by M).
    n_predicted : ndarray of shape (n,)
        Number of members that predicted each row.
    n_members : int
        Number of members that predict new rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.calibration import excess_variance
    >>> excess_variance(np.array([0.8]), np.array([1]), n_members=5)  # v is 1: 1 - 1/5
    array([0.8])
    """
    if n_members < 2:
        return np.zeros_like(between)
    variance = between * n_members / (n_members - 1)
    return variance * np.maximum(1 / n_predicted - 1 / n_members, 0.0)


def _retained_share(data: CalibrationData, weight: np.ndarray) -> np.ndarray:
    """Return the share of each squared error that remains without the excess variance.

    Shares are removed instead of differences, because a single squared error may be smaller than
    its expected excess.
    """
    noise = None if data.noise is None else data.noise / data.variance
    scale = _constant_factor(data.error**2 / data.variance, noise, weight)
    expected = np.maximum(scale * data.variance, np.finfo(float).tiny)
    expected = expected if data.noise is None else expected + data.noise
    return np.maximum(1 - data.excess / expected, _MIN_RETAINED)


def _constant_factor(ratio: np.ndarray, noise: np.ndarray | None, weight: np.ndarray) -> float:
    """Return the factor on variances that is the same for all rows, given ratios to variances."""
    if noise is None:
        return float(np.average(ratio, weights=weight))

    def loss(log_factor: float) -> float:
        losses, _ = _losses_and_slopes(np.full(len(ratio), log_factor), ratio, noise)
        return (
            float(np.average(losses, weights=weight)) + _pull(log_factor, weight) * log_factor / 2
        )

    limits = (-_MAX_LOG_FACTOR, _MAX_LOG_FACTOR)
    return float(np.exp(minimize_scalar(loss, bounds=limits, method="bounded").x))


def _losses_and_slopes(
    log_factors: np.ndarray, ratio: np.ndarray, noise: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return twice the negative log-likelihoods of rows, and their derivatives by log factors."""
    if noise is None:
        scaled = ratio * np.exp(-log_factors)
        return log_factors + scaled, 1 - scaled
    factor = np.exp(log_factors)
    total = factor + noise
    return np.log(total) + ratio / total, factor / total * (1 - ratio / total)


def _pull(log_factor: float, weight: np.ndarray) -> float:
    """Return the derivative of the negative log prior of the log factor, in the unit of losses."""
    return 2 * log_factor / (_LOG_FACTOR_SPREAD**2 * weight.sum())


def _error_shape(score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return quantiles of standardized errors, shrunk toward the normal ones where rows are few.

    The errors are pooled with a normal sample that weighs `_NORMAL_PRIOR_ROWS` rows, and their
    distribution function is inverted, which gives a monotone map of levels (Kuleshov et al. 2018,
    ICML, section 3). Tails beyond which only a few errors lie have the normal shape: one outlier
    would determine them, and after a log transform the standard deviation of draws.
    """
    normal = ndtri((np.arange(1000) + 0.5) / 1000)
    values = np.concatenate([score, normal])
    weights = np.concatenate([weight, np.full(len(normal), _NORMAL_PRIOR_ROWS / len(normal))])
    order = np.argsort(values, kind="stable")
    level = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    shape = np.interp(ndtr(_SHAPE_SCORES), level, values[order])
    outermost = -ndtri(min(_TAIL_ROWS / weight.sum(), 0.5))
    inner = np.clip(_SHAPE_SCORES, -outermost, outermost)
    return np.interp(inner, _SHAPE_SCORES, shape) + _SHAPE_SCORES - inner


def _log(distance: np.ndarray) -> np.ndarray:
    """Return log distances; zero distance counts as the smallest positive number."""
    return np.log(np.maximum(distance, np.finfo(np.float32).tiny))
