"""Calibration of what the ensemble states: how wide its distributions are, and of what shape.

Learnt from the errors on rows that were held out near the data and far from them, so no data are
set aside for it. In standardised units of the target.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

__all__ = ["KINDS", "Calibration", "CalibrationData", "excess_variance"]

KINDS = ("scale", "isotonic")
_LIMIT = np.log(20.0)  # of the logarithm of the factor on variances, both ways
_STEEPEST = 1.5  # the logarithm of the factor rises at most so much by one deviation of support
_FLAT_ROWS = 20  # how many held-out rows it takes to outweigh a factor that is the same everywhere
_NORMAL_ROWS = 50  # how many it takes to outweigh the shape of a normal distribution
_SCORES = np.linspace(-3.0, 3.0, 121)  # normal scores at which the shape is kept
_LEAST_SPREAD = 1e-9  # of log distances: less is rounding, as on a regular grid
_LEAST_SHARE = 0.1  # of a squared error that is left when that of few members is taken off


@dataclass(frozen=True)
class CalibrationData:
    """Errors on rows that were held out, and what was stated of them.

    Attributes
    ----------
    error : ndarray of shape (n,)
        Target minus prediction.
    variance : ndarray of shape (n,)
        Stated variance, of noise and of the members' disagreement.
    excess : ndarray of shape (n,)
        What of the squared error is expected only because fewer members predicted the row than
        predict new ones; see `excess_variance`.
    distance : ndarray of shape (n,) or None
        Mean distance to the spatial neighbours that the row had when it was held out. None where
        the graph has no spatial relation.
    weight : ndarray of shape (n,)
    """

    error: np.ndarray
    variance: np.ndarray
    excess: np.ndarray
    distance: np.ndarray | None
    weight: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """A factor on variances that grows with distance from the data, and a shape.

    Attributes
    ----------
    level : float
        Logarithm of the factor on variances for a row of average support.
    slope : float
        By how much it rises for each unit of log distance; never negative.
    centre : float
        Log distance of average support.
    reach : pair of float
        Least and greatest log distance of held-out rows; the factor stays the same beyond them.
    shape : ndarray of shape (121,) or None
        Standardised errors at the levels of the normal scores -3, -2.95, ... 3, from held-out rows.
        None leaves the distributions as they are.
    scores : ndarray of shape (n,)
        Standardised errors of the held-out rows.

    Examples
    --------
    Errors that are twice as wide as stated near the data, and four times far from them:

    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.calibration import Calibration, CalibrationData
    >>> rng = np.random.default_rng(0)
    >>> distance = np.repeat([1.0, 10.0], 20_000)
    >>> error = rng.normal(scale=np.where(distance > 5, 4.0, 2.0))
    >>> one = np.ones_like(error)
    >>> held_out = CalibrationData(error, one, np.zeros_like(error), distance, one)
    >>> found = Calibration.learn(held_out, "scale")
    >>> np.sqrt(found.factor(np.array([1.0, 10.0, 100.0]))).round(1)
    array([2., 4., 4.])
    """

    level: float = 0.0
    slope: float = 0.0
    center: float = 0.0
    reach: tuple[float, float] = (0.0, 0.0)
    shape: np.ndarray | None = None
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def fit(cls, found: CalibrationData, kind: str | None) -> Calibration:
        """Learn from held-out rows.

        Parameters
        ----------
        found : HeldOutErrors
        kind : None, "scale" or "isotonic"
            "scale" learns the factor; "isotonic" the shape of the standardised errors as well.
        """
        weight = found.weight / found.weight.mean()
        kept = _kept_share(found, weight)
        scale = cls()
        if kind is not None:
            ratio = kept * found.error**2 / found.variance
            scale = cls._fit_scale(ratio, found.distance, weight)
        variance = scale.factor(found.distance) * found.variance
        score = found.error * np.sqrt(kept / variance)
        shape = _error_shape(score, weight) if kind == "isotonic" else None
        return replace(scale, shape=shape, scores=score)

    @classmethod
    def _fit_scale(
        cls, ratio: np.ndarray, distance: np.ndarray | None, weight: np.ndarray
    ) -> Calibration:
        """Fit the factor by the likelihood of normal errors.

        Per row it is, but for constants, ``log f + r / f`` with the factor f and the ratio r of
        squared error and stated variance.
        """
        mean = float(np.average(ratio, weights=weight))  # 0 where every target is the same
        level = float(np.log(np.clip(mean, np.exp(-_LIMIT), np.exp(_LIMIT))))
        log_distance = None if distance is None else _log(distance)
        if log_distance is None:
            return cls(level)
        center = float(np.average(log_distance, weights=weight))
        spread = float(np.sqrt(np.average((log_distance - center) ** 2, weights=weight)))
        if not spread > _LEAST_SPREAD:
            return cls(level)
        support = (log_distance - center) / spread

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            log_factor = parameters[0] + parameters[1] * support
            left = ratio * np.exp(-log_factor)
            prior = _FLAT_ROWS / weight.sum() * parameters[1]
            slopes = [np.average((1 - left) * x, weights=weight) for x in (1.0, support)]
            return (
                float(np.average(log_factor + left, weights=weight) + prior * parameters[1] / 2),
                np.array([slopes[0], slopes[1] + prior]),
            )

        best = minimize(
            loss,
            np.array([level, 0.0]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_LIMIT, _LIMIT), (0.0, _STEEPEST)],
        ).x
        reach = (float(log_distance.min()), float(log_distance.max()))
        return cls(float(best[0]), float(best[1] / spread), center, reach)

    def factor(self, distance: np.ndarray | None) -> np.ndarray | float:
        """Return the factor on the variances of rows.

        Parameters
        ----------
        distance : ndarray of shape (n,) or None
            Mean distance to their spatial neighbours.
        """
        if self.slope == 0 or distance is None:
            return float(np.exp(self.level))
        support = np.clip(_log(distance), *self.reach) - self.center
        return np.exp(np.clip(self.level + self.slope * support, -_LIMIT, _LIMIT))

    def levels(self, levels: np.ndarray) -> np.ndarray:
        """Return the levels of the stated distributions that held-out rows reach as often as given.

        Parameters
        ----------
        levels : ndarray
            Between 0 and 1.
        """
        if self.shape is None:
            return levels
        wanted = ndtri(levels)
        found = np.interp(wanted, _SCORES, self.shape)
        # Farther out than held-out rows can tell the shape goes on as it ends.
        for end, beyond in ((0, wanted < _SCORES[0]), (-1, wanted > _SCORES[-1])):
            steepness = max(self.shape[end] / _SCORES[end], 1e-3)
            farther = self.shape[end] + steepness * (wanted - _SCORES[end])
            found = np.where(beyond, farther, found)
        return ndtr(found)


def excess_variance(between: np.ndarray, n_predicted: np.ndarray, n_members: int) -> np.ndarray:
    """Return what squared errors lose when all members predict a row and not only some.

    The mean of m independent members errs by their variance over m beyond what they have in common;
    a row that m of M members predicted would have lost ``v / m - v / M``.

    Parameters
    ----------
    between : ndarray of shape (n,)
        Variance of the members around their mean (divided by M).
    n_predicted : ndarray of shape (n,)
        How many members predicted each row.
    n_members : int
        How many predict new rows.

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


def _kept_share(found: CalibrationData, weight: np.ndarray) -> np.ndarray:
    """Return the share of each squared error that is not due to few members.

    A single squared error may be less than its expected excess, so that a share is taken off
    instead: that which the excess has in the error that is expected of the row.
    """
    stated = found.variance
    scale = np.average(found.error**2 / stated, weights=weight)
    expected = np.maximum(scale * stated, np.finfo(float).tiny)
    return np.maximum(1 - found.excess / expected, _LEAST_SHARE)


def _error_shape(score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return quantiles of standardised errors, which are drawn to the normal ones where rows lack.

    The rows are pooled with a normal sample of the weight of `_NORMAL_ROWS`, and the step function
    is turned around (a monotone map of levels, as in Kuleshov et al. 2018, ICML, section 3).
    """
    normal = ndtri((np.arange(1000) + 0.5) / 1000)
    values = np.concatenate([score, normal])
    weights = np.concatenate([weight, np.full(len(normal), _NORMAL_ROWS / len(normal))])
    order = np.argsort(values, kind="stable")
    reached = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    return np.interp(ndtr(_SCORES), reached, values[order])


def _log(distance: np.ndarray) -> np.ndarray:
    """Log distance; a row at a sample's own place is as near as can be told apart."""
    return np.log(np.maximum(distance, np.finfo(np.float32).tiny))
