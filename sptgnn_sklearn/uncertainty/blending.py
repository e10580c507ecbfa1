"""Blend of network and tabular base model, fitted on rows held out from both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PRIOR_ROWS = 100  # number of held-out rows that outweighs the prior of equal weights
_CRITICAL_T2 = 3.84  # squared t-value, exceeded by 5 % of predictions without skill


@dataclass(frozen=True)
class Blend:
    """Weighted mean of network and base model, shrunk toward the mean of the target.

    The prediction is ``shrinkage * (base + weight * (network - base))`` in standardized units of
    the target, whose mean is 0.

    Attributes
    ----------
    weight : float
        Weight of the network, 0 to 1; 1 without a base model.
    shrinkage : float
        Factor on the prediction, 0 to 1.
    """

    weight: float
    shrinkage: float

    @classmethod
    def fit(
        cls, network: np.ndarray, base: np.ndarray | None, y: np.ndarray, weight: np.ndarray
    ) -> Blend:
        """Fit weight and shrinkage on out-of-fold predictions.

        Parameters
        ----------
        network : ndarray of shape (n,)
        base : ndarray of shape (n,) or None
            None without a base model.
        y : ndarray of shape (n,)
            Target, of mean 0.
        weight : ndarray of shape (n,)
            Sample weights, of any scale.
        """
        weight = weight / weight.mean()
        network_weight = 1.0 if base is None else _network_weight(network, base, y, weight)
        blended = cls(network_weight, 1.0).combine(network, base)
        return cls(network_weight, _shrinkage(blended, y, weight))

    def combine(self, network: np.ndarray, base: np.ndarray | None) -> np.ndarray:
        """Return the blended and shrunk predictions.

        Parameters
        ----------
        network : ndarray of shape (n,) or (M, n)
            Of one predictor or of several members. The mean of the members is shrunk; the spread
            between them is not.
        base : ndarray of shape (n,) or None
        """
        blended = network if base is None else base + self.weight * (network - base)
        center = blended if blended.ndim == 1 else blended.mean(0)
        return blended + (self.shrinkage - 1) * center


def _network_weight(
    network: np.ndarray, base: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> float:
    """Return the least-squares weight of the network on held-out rows.

    Equal weights are hard to beat where held-out rows are few. They enter as a prior that counts as
    `_PRIOR_ROWS` rows of average size of correction.
    """
    correction = network - base
    prior = _PRIOR_ROWS * np.average(correction**2, weights=weight)
    numerator = np.sum(weight * correction * (y - base)) + 0.5 * prior
    denominator = np.sum(weight * correction**2) + prior
    return float(np.clip(numerator / denominator, 0.0, 1.0)) if denominator > 0 else 1.0


def _shrinkage(predicted: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the factor on predictions, from the regression of held-out targets on them.

    The factor is the slope of that regression, at most 1, times the positive-part James-Stein
    factor. It is 0 where the slope is not significant: without skill, the mean of the target is the
    best prediction.
    """
    size = np.sum(weight * predicted**2)
    if size == 0:
        return 1.0
    slope = np.sum(weight * predicted * y) / size
    noise = np.average((y - slope * predicted) ** 2, weights=weight)
    if slope <= 0:
        return 0.0
    james_stein = 1 - _CRITICAL_T2 * noise / (slope**2 * size)
    return float(min(slope, 1.0) * max(james_stein, 0.0))
