"""From the unit of y to what the network predicts, and back with the right moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import skew

TRANSFORMS = (None, "log1p")
_SKEWED = 1.0  # "auto" takes logarithms of a target that is at least so skewed
_BISECTIONS = 60


@dataclass(frozen=True)
class TargetScale:
    """A transform of y, then standardisation to zero mean and unit variance.

    Attributes
    ----------
    transform : None or "log1p"
    centre, scale : float
        Mean and standard deviation of the transformed training targets.
    """

    transform: str | None
    centre: float
    scale: float

    @classmethod
    def learn(cls, y: np.ndarray, weight: np.ndarray, transform: str | None) -> TargetScale:
        """Learn the scale from training targets; "auto" decides on the logarithm by skewness.

        Raises
        ------
        ValueError
            If "log1p" meets a target at or below -1.
        """
        if transform == "auto":
            transform = choose_transform(y)
        if transform == "log1p" and y.min() <= -1:
            raise ValueError(
                f"target_transform='log1p' needs y above -1; row {int(y.argmin())} holds {y.min()}."
            )
        z = np.log1p(y) if transform == "log1p" else y
        centre = np.average(z, weights=weight)
        scale = np.sqrt(np.average((z - centre) ** 2, weights=weight))
        return cls(transform, float(centre), float(scale) if scale > 0 else 1.0)

    def standardise(self, y: np.ndarray) -> np.ndarray:
        """Targets in the unit of y to what the network is trained on."""
        z = np.log1p(y) if self.transform == "log1p" else y
        return (z - self.centre) / self.scale

    def moments(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance in the unit of y of a Gaussian in standardised units.

        For "log1p" these are the moments of a shifted log-normal:
        E[y] = exp(m + v/2) - 1 and Var[y] = (exp(v) - 1) exp(2m + v).
        """
        m, v = self.centre + self.scale * mean, self.scale**2 * variance
        if self.transform is None:
            return m, v
        centre = np.exp(m + v / 2)
        return centre - 1, np.expm1(v) * centre**2

    def restore(self, z: np.ndarray) -> np.ndarray:
        """Points (such as quantiles) in standardised units to the unit of y."""
        z = self.centre + self.scale * z
        return np.expm1(z) if self.transform == "log1p" else z


def choose_transform(y: np.ndarray) -> str | None:
    """Return "log1p" for a non-negative, right-skewed target that it makes less skewed."""
    if y.min() < 0 or np.ptp(y) == 0 or skew(y) < _SKEWED:
        return None
    return "log1p" if abs(skew(np.log1p(y))) < abs(skew(y)) else None


def mixture_quantiles(mean: np.ndarray, std: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of an equal mixture of Gaussians, one mixture a column.

    Parameters
    ----------
    mean, std : ndarray of shape (M, n)
    levels : ndarray of shape (q,)

    Returns
    -------
    ndarray of shape (n, q)
        Found by bisection, so quantiles of rising levels never cross.
    """
    level = np.asarray(levels)[:, None]
    low = np.broadcast_to((mean - 9 * std).min(0), (len(level), mean.shape[1])).copy()
    high = np.broadcast_to((mean + 9 * std).max(0), low.shape).copy()
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = ndtr((middle - mean[:, None]) / std[:, None]).mean(0) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return ((low + high) / 2).T
