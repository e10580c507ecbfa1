"""Predictive distribution of rows in the unit of y: moments, quantiles, intervals and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from ..table.target_scaling import TargetScaler, mixture_quantiles
from .calibration import Calibration
from .conformal import conformal_limits
from .correlated_draws import SCORES, quantiles_at_scores
from .postprocessing import MemberPredictions

__all__ = ["PredictiveDistribution"]


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
        Limits of means, quantiles, intervals and draws; None leaves a side open.

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
        """
        means, variances = self.target.moments(self.members.mean, self.members.variance)
        return self._clip(means.mean(0)), np.sqrt(variances.mean(0)), means.std(0)

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Return calibrated quantiles (n, q) at levels (q,)."""
        return self._clip(self.target.inverse_transform(self._standardized_quantiles(levels)))

    def interval(self, coverage: float) -> np.ndarray:
        """Return the limits (n, 2) of conformal prediction intervals."""
        limits = np.array(conformal_limits(self.calibration.scores, coverage))
        mean, std = self.members.total
        return self._clip(self.target.inverse_transform(mean[:, None] + std[:, None] * limits))

    def draw(self, scores: np.ndarray) -> np.ndarray:
        """Return draws (n, s) at normal scores (n, s), which carry the correlation of errors."""
        quantiles = self._standardized_quantiles(ndtr(SCORES))
        return self._clip(self.target.inverse_transform(quantiles_at_scores(quantiles, scores)))

    def _standardized_quantiles(self, levels: np.ndarray) -> np.ndarray:
        members, levels = self.members, self.calibration.adjust_levels(levels)
        return mixture_quantiles(members.mean, np.sqrt(members.variance), levels)

    def _clip(self, values: np.ndarray) -> np.ndarray:
        if self.bounds is None:
            return values
        low, high = self.bounds
        return np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)
