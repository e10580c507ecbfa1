"""What rows that members held out say about the ensemble: whom to believe, and how far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .blending import Blend
from .calibration import Calibration, CalibrationData, excess_variance
from .error_correlation import ErrorCorrelogram

__all__ = ["MemberPredictions", "OutOfFoldPredictions", "Postprocessor"]


@dataclass(frozen=True)
class MemberPredictions:
    """Gaussians of the members, in standardised units of the target.

    Attributes
    ----------
    mean, variance : ndarray of shape (M, n)
    """

    mean: np.ndarray
    variance: np.ndarray

    @property
    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (n,) of the equal mixture of the members."""
        mean = self.mean.mean(0)
        return mean, np.sqrt(self.variance.mean(0) + self.mean.var(0))


@dataclass(frozen=True)
class OutOfFoldPredictions:
    """What the members that did not train on a row say of it, in standardised units.

    Attributes
    ----------
    mean, noise : ndarray of shape (n,)
        Mean of their means and of their variances; of all members where none held the row out.
    between : ndarray of shape (n,)
        Variance of all members' means.
    count : ndarray of shape (n,)
        How many members held the row out.
    base : ndarray of shape (n,) or None
        What the base says that was fitted without the row's fold; None where there is no base.
    """

    mean: np.ndarray
    noise: np.ndarray
    between: np.ndarray
    count: np.ndarray
    base: np.ndarray | None

    @classmethod
    def from_members(
        cls,
        own_mean: np.ndarray,
        own_variance: np.ndarray,
        all_mean: np.ndarray,
        all_variance: np.ndarray,
        base: np.ndarray | None,
    ) -> OutOfFoldPredictions:
        """Collect predictions.

        Parameters
        ----------
        own_mean, own_variance : ndarray of shape (M, n)
            Of each member for the rows that it held out; NaN elsewhere.
        all_mean, all_variance : ndarray of shape (M, n)
            Of each member for all rows: it saw some of them in training, though not through
            messages.
        base : ndarray of shape (n,) or None
        """
        known = ~np.isnan(own_mean)
        count = known.sum(0)
        mean, variance = (
            np.where(known, values, 0.0).sum(0) / np.maximum(count, 1)
            for values in (own_mean, own_variance)
        )
        return cls(
            np.where(count > 0, mean, all_mean.mean(0)),
            np.where(count > 0, variance, all_variance.mean(0)),
            all_mean.var(0),
            count,
            base,
        )


@dataclass(frozen=True)
class Postprocessor:
    """How network and base are used for new rows.

    Attributes
    ----------
    stacking : Stacking
        What network and base count for.
    alone : Stacking
        What the network counts for where there is no base: it is trained without it.
    calibration : Calibration
    correlation : ErrorCorrelation
        Of the standardised errors of rows by their distance.
    """

    blend: Blend
    network_only: Blend
    calibration: Calibration
    correlation: ErrorCorrelogram

    @classmethod
    def fit(
        cls,
        held: OutOfFoldPredictions,
        y: np.ndarray,
        weight: np.ndarray,
        positions: np.ndarray,
        distance: np.ndarray | None,
        *,
        n_members: int,
        calibration: str | None,
        rng: np.random.RandomState,
    ) -> Postprocessor:
        """Learn from the rows that members held out.

        Parameters
        ----------
        held : HeldOut
        y, weight : ndarray of shape (n,)
            Standardised targets and positive weights.
        positions : ndarray of shape (n, d)
            In the space of distances.
        distance : ndarray of shape (n,) or None
            Mean distance to the neighbours that a row had when it was held out.
        n_members : int
            Members that predict new rows.
        calibration : None, "scale" or "isotonic"
        rng : RandomState
        """
        held_out_rows = held.count > 0
        y, weight = y[held_out_rows], weight[held_out_rows]
        network, between = held.mean[held_out_rows], held.between[held_out_rows]
        base = None if held.base is None else held.base[held_out_rows]
        blend = Blend.fit(network, base, y, weight)
        between = blend.weight**2 * between
        errors = CalibrationData(
            error=y - blend.combine(network, base),
            variance=held.noise[held_out_rows] + between,
            excess=excess_variance(between, held.count[held_out_rows], n_members),
            distance=None if distance is None else distance[held_out_rows],
            weight=weight,
        )
        found = Calibration.fit(errors, calibration)
        return cls(
            blend=blend,
            network_only=Blend.fit(network, None, y, weight),
            calibration=found,
            correlation=ErrorCorrelogram.fit(found.scores, positions[held_out_rows], rng),
        )

    def without_base(self) -> Postprocessor:
        """Return what would have been learnt of the means without a base."""
        return replace(self, blend=self.network_only)

    def apply(
        self, network: MemberPredictions, base: np.ndarray | None, distance: np.ndarray | None
    ) -> MemberPredictions:
        """Join the members (M, n) with the base (n,), and calibrate by the distance (n,)."""
        factor = self.calibration.factor(distance)
        mean = self.blend.combine(network.mean, base)
        # Members keep their mean: scaling the disagreement too calibrates the whole variance.
        center = mean.mean(0)
        mean = center + np.sqrt(factor) * (mean - center)
        return MemberPredictions(mean, factor * network.variance)

    def apply_held_out(
        self, held: OutOfFoldPredictions, distance: np.ndarray | None
    ) -> MemberPredictions:
        """Calibrated predictions (1, n) of the training rows without their own targets."""
        variance = held.noise + self.blend.weight**2 * held.between
        return self.apply(MemberPredictions(held.mean[None], variance[None]), held.base, distance)
