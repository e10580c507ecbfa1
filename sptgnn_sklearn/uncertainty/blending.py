"""Blend of network and base models, fitted on rows held out from all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

_PRIOR_ROWS = 300  # number of held-out rows that outweighs the prior of equal weights
_CRITICAL_T2 = 6.63  # squared t-value, exceeded by 1 % of predictions without skill
_SUM_WEIGHT = 1e4  # of the row that makes weights sum to one, relative to the others


@dataclass(frozen=True)
class Blend:
    """Weighted mean of network and base models, shrunk toward the mean of the target.

    The prediction is in standardized units of the target, whose mean is 0.

    Attributes
    ----------
    weights : tuple of float
        Weights of the network and of each base model, which sum to 1.
    shrinkage : float
        Factor on the prediction, 0 to 1.
    """

    weights: tuple[float, ...] = (1.0,)
    shrinkage: float = 1.0

    @property
    def network_weight(self) -> float:
        """Weight of the network."""
        return self.weights[0]

    @classmethod
    def fit(
        cls, network: np.ndarray, base: np.ndarray | None, y: np.ndarray, weight: np.ndarray
    ) -> Blend:
        """Fit weights and shrinkage on out-of-fold predictions.

        Parameters
        ----------
        network : ndarray of shape (n,)
        base : ndarray of shape (k, n) or None
            None without base models.
        y : ndarray of shape (n,)
            Target, of mean 0.
        weight : ndarray of shape (n,)
            Sample weights, of any scale.
        """
        weight = weight / weight.mean()
        weights: tuple[float, ...] = (1.0,)
        if base is not None:
            weights = _convex_weights(np.vstack([network[None], base]), y, weight)
        blended = cls(weights).combine(network, base)
        return cls(weights, _shrinkage(blended, y, weight))

    def combine(self, network: np.ndarray, base: np.ndarray | None) -> np.ndarray:
        """Return the blended and shrunk predictions.

        Parameters
        ----------
        network : ndarray of shape (n,) or (M, n)
            Of one predictor or of several members. The mean of the members is shrunk; the spread
            between them is not.
        base : ndarray of shape (k, n) or None
        """
        blended = self.weights[0] * network
        # Not a matrix product, which may depend on the other rows and skip NaN of weight 0.
        for weight, predicted in zip(self.weights[1:], [] if base is None else base, strict=True):
            blended = blended + weight * predicted
        center = blended if blended.ndim == 1 else blended.mean(0)
        return blended + (self.shrinkage - 1) * center


def _convex_weights(
    predictions: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[float, ...]:
    """Return non-negative least-squares weights of predictions (k, n) that sum to one.

    Equal weights are hard to beat where held-out rows are few. They enter as a prior that counts as
    `_PRIOR_ROWS` rows of average disagreement between the predictions.
    """
    k = len(predictions)
    equal = predictions.mean(axis=0)
    deviations = (predictions - equal) * np.sqrt(weight)
    # With weights w of sum one, the blend is `equal + w @ (predictions - equal)`.
    square = deviations @ deviations.T
    size = np.sqrt(np.trace(square))
    if not size > 0:
        return (1.0,) + (0.0,) * (k - 1)
    target = deviations @ ((y - equal) * np.sqrt(weight))
    prior = _PRIOR_ROWS / len(y) * square
    # Root of the quadratic form, as rows of a least-squares problem.
    values, vectors = np.linalg.eigh(square + prior)
    kept = values > 1e-12 * values[-1]
    root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    wanted = (vectors[:, kept].T @ (target + prior @ np.full(k, 1 / k))) / np.sqrt(values[kept])
    rows = np.vstack([root, np.full((1, k), _SUM_WEIGHT * size)])
    found, _ = nnls(rows, np.append(wanted, _SUM_WEIGHT * size))
    return tuple((found / found.sum()).tolist())


def _shrinkage(predicted: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the factor on predictions, from the regression of held-out targets on them.

    The factor is the slope of that regression or, because few rows estimate it badly, the end of
    its interval nearest to 1. It is multiplied by 0 where the slope is not significant, as without
    skill the mean of the target is the best prediction, and by nearly 1 where it clearly is.
    """
    size = np.sum(weight * predicted**2)
    if size == 0:
        return 1.0
    slope = np.sum(weight * predicted * y) / size
    noise = np.average((y - slope * predicted) ** 2, weights=weight)
    if slope <= 0:
        return 0.0
    upper = slope + 2 * np.sqrt(noise / size)
    significance = 1 - (_CRITICAL_T2 * noise / (slope**2 * size)) ** 2
    return float(min(upper, 1.0) * max(significance, 0.0))
