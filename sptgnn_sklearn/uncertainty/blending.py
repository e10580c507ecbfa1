"""What base and network count for in the prediction: weights learnt on rows held out from both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_EQUAL_SHARE_ROWS = 100  # how many held-out rows it takes to outweigh equal shares
_NOT_BY_CHANCE = 3.84  # squared t-value that one prediction in twenty without any skill exceeds


@dataclass(frozen=True)
class Blend:
    """How predictions of network and base become one, in standardised units of the target.

    Attributes
    ----------
    blend : float
        Share of the network's correction of the base that is kept, 0 to 1; 1 without a base.
    trust : float
        Share of the result's distance from the mean of the target that is kept, 0 to 1.
    """

    weight: float
    shrinkage: float

    @classmethod
    def fit(
        cls, network: np.ndarray, base: np.ndarray | None, y: np.ndarray, weight: np.ndarray
    ) -> Blend:
        """Learn both shares from predictions of rows that were held out.

        Parameters
        ----------
        network : ndarray of shape (n,)
        base : ndarray of shape (n,) or None
            None where there is no base.
        y : ndarray of shape (n,)
            Target, of mean 0.
        weight : ndarray of shape (n,)
        """
        # A weight is a repetition of a row, but only relative to others: its unit says nothing.
        weight = weight / weight.mean()
        blend = 1.0 if base is None else _blend_weight(network, base, y, weight)
        found = cls(blend, 1.0).combine(network, base)
        return cls(blend, _shrinkage(found, y, weight))

    def combine(self, network: np.ndarray, base: np.ndarray | None) -> np.ndarray:
        """Return what both say together.

        Parameters
        ----------
        network : ndarray of shape (n,) or (M, n)
            The latter of several members, whose mean is drawn to that of the target. How far they
            disagree stays: not to know is no reason to be sure.
        base : ndarray of shape (n,) or None
        """
        found = network if base is None else base + self.weight * (network - base)
        center = found if found.ndim == 1 else found.mean(0)
        return found + (self.shrinkage - 1) * center


def _blend_weight(
    network: np.ndarray, base: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> float:
    """Return the share of the network's correction that serves held-out rows best.

    It is the least-squares share. Few held-out rows decide badly, and equal shares are hard to beat
    then; they count as `_EQUAL_SHARE_ROWS` rows of the average size of correction.
    """
    correction = network - base
    prior = _EQUAL_SHARE_ROWS * np.average(correction**2, weights=weight)
    gain = np.sum(weight * correction * (y - base)) + 0.5 * prior
    size = np.sum(weight * correction**2) + prior
    return float(np.clip(gain / size, 0.0, 1.0)) if size > 0 else 1.0


def _shrinkage(found: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the share of a prediction that held-out rows bear out.

    It is the slope of the target on the prediction, shrunk as by James & Stein (positive part) so
    far that nothing is left of a slope that chance would explain: where covariates and neighbours
    say nothing, the mean of the target is the best that can be said.
    """
    size = np.sum(weight * found**2)
    if size == 0:
        return 1.0
    slope = np.sum(weight * found * y) / size
    noise = np.average((y - slope * found) ** 2, weights=weight)
    if slope <= 0:
        return 0.0
    unlikely = 1 - _NOT_BY_CHANCE * noise / (slope**2 * size)
    return float(min(slope, 1.0) * max(unlikely, 0.0))
