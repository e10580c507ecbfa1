"""Predictive distribution of rows in the unit of y: moments, quantiles, intervals and draws."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtr
from sklearn.utils import gen_batches

from ..table.target_scaling import LARGEST_LOG, TargetScaler, mixture_quantiles
from .calibration import Calibration
from .conformal import certified_rows, conformal_limits, uncertified_limits
from .correlated_draws import SCORES, keyed_normals, quantiles_at_scores
from .limited_moments import FAR, limited_lognormal_moments, limited_normal_moments
from .postprocessing import MemberPredictions

__all__ = ["PredictiveDistribution"]

_WIDE_LOG_VARIANCE = 4.0  # largest variance of log(1 + y) without limits of the upper tail
# Limit of the upper tail of wider distributions: the greater of these, above the mean of the log.
_TAIL_LOG = 8.0
_TAIL_SCORE = 2.0
_NODES = np.linspace(-4.0, 4.0, 1025)  # normal scores for the moments of wide distributions
_WIDE_ROWS = 1024  # rows of wide distributions in a chunk
_LOG_RANGE = (-1.0, float(np.expm1(LARGEST_LOG)))  # of values whose log1p is predicted
_ROUNDING = 1e-9
_MEASUREMENT_KEY = np.uint64(0x6C6162)  # of the numbers of measurement errors
_CHECKED_COVERAGE = 0.8  # of the interval that should contain the mean


@dataclass(frozen=True)
class PredictiveDistribution:
    """Calibrated mixture of the members' Gaussians, transformed back to the unit of y.

    Attributes
    ----------
    members : MemberPredictions
        Calibrated means and variances (M, n) in standardized units.
    target : TargetScaler
    calibration : Calibration
    bounds : pair of float or None, or None
        Limits of means, quantiles, intervals and draws; None leaves a side open. Standard
        deviations are those of the limited distribution.
    noise_std : ndarray of shape (n,) or None
        Standard deviations of measurement errors that are added, in the unit of y; None adds none.
        They change neither means nor rows in which they are 0.

    Notes
    -----
    Measurement errors increase variances in the unit of y by the square of `noise_std`, see
    `TargetScaler.added_variance`. They have no effect if the target is constant.

    Moments of a log-normal distribution depend on a tail that no sample contains if the variance of
    the logarithm is large. In rows where it is above 4 (or where the tail exceeds the range of
    single precision), draws are limited to a logarithm of 8, or 2 standard deviations if that is
    more, above its mean, and moments are those of the draws.

    Raises
    ------
    ValueError
        If a mean or variance is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.target_scaling import TargetScaler
    >>> from sptgnn_sklearn.uncertainty.calibration import Calibration
    >>> from sptgnn_sklearn.uncertainty.postprocessing import MemberPredictions
    >>> from sptgnn_sklearn.uncertainty.predictive_distribution import PredictiveDistribution
    >>> members = MemberPredictions(np.array([[-1.0], [1.0]]), np.ones((2, 1)))
    >>> target = TargetScaler(None, 5.0, 2.0)
    >>> PredictiveDistribution(members, target, Calibration()).moments()
    (array([5.]), array([2.]), array([2.]))
    """

    members: MemberPredictions
    target: TargetScaler
    calibration: Calibration
    bounds: Sequence[float | None] | None = None
    noise_std: np.ndarray | None = None

    def __post_init__(self) -> None:
        finite = np.isfinite(self.members.mean + self.members.variance).all(axis=0)
        invalid = np.flatnonzero(~finite)
        if len(invalid):
            raise ValueError(
                f"{len(invalid)} of {len(finite)} rows have no finite prediction (row positions "
                f"{invalid[:5].tolist()}): look for extreme values in their columns."
            )

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, aleatoric and epistemic standard deviation (n,).

        The moments of each member are transformed back before they are decomposed.

        Warns
        -----
        UserWarning
            If the mean of a wide log-normal distribution lies outside its 80 % interval.
        """
        mean, aleatoric, epistemic = self._decompose()
        wide = self._wide_rows()
        if len(wide):
            self._warn_of_extreme_means(wide, mean)
        if self._measured is not self:
            _, aleatoric, epistemic = self._measured._decompose()
        return mean, aleatoric, epistemic

    def _decompose(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the moments of the members' mixture."""
        means, variances = self.target.moments(self.members.mean, self.members.variance)
        mean = self._clip(means.mean(0))
        if self.bounds is not None:
            means, variances = self._limited_moments(means, variances)
        aleatoric, epistemic = np.sqrt(variances.mean(0)), means.std(0)
        wide = self._wide_rows()
        if len(wide):
            for part in gen_batches(len(wide), _WIDE_ROWS):
                rows = wide[part]
                mean[rows], aleatoric[rows], epistemic[rows] = self._take(rows)._wide_moments()
        return mean, aleatoric, epistemic

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Return calibrated quantiles (n, q) at levels (q,)."""
        quantiles = self._measured._standardized_quantiles(levels)
        return self._clip(self.target.inverse_transform(quantiles))

    def probability_below(self, limits: np.ndarray) -> np.ndarray:
        """Return the probability (n, k) of values below limits (k,), the inverse of `quantiles`.

        It is 0 at and below the lower bound, and 1 at and above the upper bound. The value of a
        constant target is not below a limit that equals it.
        """
        limits = np.asarray(limits, dtype=float)
        n_rows = self.members.mean.shape[1]
        if self.target.scale == 0:
            constant = self._clip(self.target.inverse_transform(np.zeros(1)))[0]
            return np.tile((constant < limits).astype(float), (n_rows, 1))
        low, high = self._limits()
        lowest, highest = (-np.inf, np.inf) if self.target.function is None else _LOG_RANGE
        members = self._measured.members
        std = np.sqrt(members.variance)
        found = np.empty((n_rows, len(limits)))
        for column, limit in enumerate(limits):
            if limit <= max(low, lowest):
                found[:, column] = 0.0
            elif limit >= min(high, highest):
                found[:, column] = 1.0
            else:
                score = (self.target.transform(limit) - members.mean) / std
                found[:, column] = self.calibration.restore_levels(ndtr(score).mean(0))
        return found

    def interval(self, coverage: float) -> np.ndarray:
        """Return the limits (n, 2) of conformal prediction intervals.

        With local calibration they are wider where too few errors lie around a row.
        """
        scores, n_effective = self.calibration.scores, self.n_effective
        limits = np.array(conformal_limits(scores, coverage))
        if n_effective is not None:
            limits = uncertified_limits(scores, coverage, n_effective, limits)
        mean, std = self._measured.members.total
        return self._clip(self.target.inverse_transform(mean[:, None] + std[:, None] * limits))

    def certified(self, coverage: float) -> np.ndarray | None:
        """Return whether enough errors lie around each row (n,) to certify an interval.

        None without local calibration.
        """
        number = self.n_effective
        return None if number is None else certified_rows(coverage, number)

    @property
    def n_effective(self) -> np.ndarray | None:
        """Effective number (n,) of held-out errors around each row, or None."""
        support = self.members.support
        return None if support is None else support.n_effective

    def draw(self, scores: np.ndarray) -> np.ndarray:
        """Return draws (n, s) at normal scores (n, s), which carry the correlation of errors."""
        measured = self._measured
        quantiles = measured._standardized_quantiles(ndtr(SCORES))
        values = quantiles_at_scores(quantiles, scores)
        wide = measured._wide_rows()
        if len(wide):
            values[wide] = np.minimum(values[wide], measured._tail_limit()[wide, None])
        return self._clip(self.target.inverse_transform(values))

    def add_measurement_scores(self, scores: np.ndarray, keys: np.ndarray, seed: int) -> np.ndarray:
        """Return normal scores (n, s) of errors with measurement errors, which are independent.

        Parameters
        ----------
        scores : ndarray of shape (n, s)
            Of errors without measurement error.
        keys : ndarray of shape (n,) of uint64
            Keys of the rows, from `row_keys`.
        seed : int
        """
        if self._measured is self:
            return scores
        share = (self.members.total[1] / self._measured.members.total[1])[:, None] ** 2
        # Other numbers than those of the noise of the same rows.
        measurement = keyed_normals(keys ^ _MEASUREMENT_KEY, scores.shape[1], seed)
        return np.sqrt(share) * scores + np.sqrt(1 - share) * measurement

    @cached_property
    def _measured(self) -> PredictiveDistribution:
        """Distribution of values with measurement error; itself without any."""
        if self.noise_std is None or not self.noise_std.any():
            return self
        mean, variance = self.members.mean, self.members.variance
        shift, added = self.target.added_variance(mean, variance, self.noise_std)
        members = replace(self.members, mean=mean + shift, variance=variance + added)
        return replace(self, members=members, noise_std=None)

    def _take(self, rows: np.ndarray) -> PredictiveDistribution:
        """Return some rows, without measurement error."""
        return replace(self, members=self.members.take(rows), noise_std=None)

    def _wide_rows(self) -> np.ndarray:
        """Return positions of rows whose log-normal distribution is too wide for its moments."""
        if self.target.function is None:
            return np.empty(0, dtype=int)
        mean, std = self.members.total
        log_std = self.target.scale * std
        tail = self.target.center + self.target.scale * mean + SCORES[-1] * log_std
        return np.flatnonzero((log_std**2 > _WIDE_LOG_VARIANCE) | (tail > LARGEST_LOG))

    def _tail_limit(self) -> np.ndarray:
        """Return the largest standardized values (n,) of draws from wide distributions."""
        mean, std = self.members.total
        return mean + np.maximum(_TAIL_LOG / self.target.scale, _TAIL_SCORE * std)

    def _wide_moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the moments of draws, decomposed as those of the members up to the same limit."""
        limit, scale = self._tail_limit(), self.target.scale
        edges = np.r_[0.0, ndtr((_NODES[1:] + _NODES[:-1]) / 2), 1.0]
        quantiles = self._standardized_quantiles(ndtr(SCORES))
        nodes = np.broadcast_to(_NODES, (len(limit), len(_NODES)))
        values = np.minimum(quantiles_at_scores(quantiles, nodes), limit[:, None])
        values = self._clip(self.target.inverse_transform(values))
        mean = values @ np.diff(edges)
        variance = (values - mean[:, None]) ** 2 @ np.diff(edges)
        largest = np.minimum(self.target.center + scale * limit, LARGEST_LOG)
        means, variances = limited_lognormal_moments(
            np.minimum(self.target.center + scale * self.members.mean - largest, 0.0),
            scale**2 * self.members.variance,
            -np.inf,
            0.0,
        )
        between, total = means.var(0), means.var(0) + variances.mean(0)
        share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
        return mean, np.sqrt((1 - share) * variance), np.sqrt(share * variance)

    def _limited_moments(
        self, means: np.ndarray, variances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the moments (M, n) of members within the bounds; unchanged far from them."""
        target = self.target
        m = target.center + target.scale * self.members.mean
        v = target.scale**2 * self.members.variance
        low, high = self._limits()
        if target.function is None:
            return limited_normal_moments(m, v, low, high)
        low, high = (np.log1p(side) if side > -1 else -np.inf for side in (low, high))
        far = FAR * np.sqrt(v) + 2 * v  # the second moment is that of values shifted by 2 v
        reached = (low > m - far) | (high < m + far)
        found = limited_lognormal_moments(m[reached], v[reached], low, high)
        means, variances = means.copy(), variances.copy()
        means[reached], variances[reached] = found[0] - 1, found[1]
        return means, variances

    def _warn_of_extreme_means(self, wide: np.ndarray, mean: np.ndarray) -> None:
        """Warn if means lie outside of their interval, as those of very skewed distributions do."""
        rows = self._take(wide)
        try:
            limits = rows.interval(_CHECKED_COVERAGE)
        except ValueError:  # too few held-out rows
            limits = rows.quantiles(
                np.array([0.5, 0.5]) + np.array([-0.5, 0.5]) * _CHECKED_COVERAGE
            )
        rounding = _ROUNDING * np.abs(limits)
        below, above = (
            mean[wide] < (limits - rounding)[:, 0],
            mean[wide] > (limits + rounding)[:, 1],
        )
        outside = wide[below | above]
        if len(outside):
            warnings.warn(
                f"The predicted mean of {len(outside)} of {len(mean)} rows (row positions "
                f"{outside[:5].tolist()}) lies outside its {_CHECKED_COVERAGE:.0%} interval, "
                "because the predicted distribution of log1p(y) is so wide that a few extreme "
                "values determine the mean. Use predict_quantiles(X, [0.5]) and predict_interval, "
                "look for outliers in y, or set target_transform=None.",
                UserWarning,
                stacklevel=4,
            )

    def _standardized_quantiles(self, levels: np.ndarray) -> np.ndarray:
        members, levels = self.members, self.calibration.adjust_levels(levels)
        return mixture_quantiles(members.mean, np.sqrt(members.variance), levels)

    def _clip(self, values: np.ndarray) -> np.ndarray:
        return values if self.bounds is None else np.clip(values, *self._limits())

    def _limits(self) -> tuple[float, float]:
        low, high = (None, None) if self.bounds is None else self.bounds
        return -np.inf if low is None else float(low), np.inf if high is None else float(high)
