"""Blend network and base models, and calibrate the result, from out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .blending import Blend
from .calibration import Calibration, CalibrationData, excess_variance
from .correlated_draws import ErrorCorrelogram

__all__ = ["MemberPredictions", "OutOfFoldPredictions", "Postprocessor"]


@dataclass(frozen=True)
class MemberPredictions:
    """Gaussian predictions of the ensemble members, in standardized units of the target.

    Attributes
    ----------
    mean, variance : ndarray of shape (M, n)
    """

    mean: np.ndarray
    variance: np.ndarray

    @property
    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (n,) of the equally weighted mixture of the members."""
        mean = self.mean.mean(0)
        return mean, np.sqrt(self.variance.mean(0) + self.mean.var(0))


@dataclass(frozen=True)
class OutOfFoldPredictions:
    """Predictions of each training row by the members that held it out, in standardized units.

    Attributes
    ----------
    mean, noise : ndarray of shape (n,)
        Means of the predicted means and variances; over all members where none held the row out.
    between : ndarray of shape (n,)
        Variance of the means of all members.
    count : ndarray of shape (n,)
        Number of members that held the row out.
    base : ndarray of shape (k, n) or None
        Cross-fitted predictions of the base models; None without any.
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
        """Average the predictions of the members.

        Parameters
        ----------
        own_mean, own_variance : ndarray of shape (M, n)
            Predictions of each member for the rows that it held out; NaN elsewhere.
        all_mean, all_variance : ndarray of shape (M, n)
            Predictions of each member for all rows, which include its training rows.
        base : ndarray of shape (k, n) or None
        """
        held_out = ~np.isnan(own_mean)
        count = held_out.sum(0)
        mean, variance = (
            np.where(held_out, values, 0.0).sum(0) / np.maximum(count, 1)
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
    """Blending and calibration of the predictions of new rows.

    Attributes
    ----------
    blend : Blend
        Of network and base models.
    network_only : Blend
        Of the network without base models, on which its training does not depend.
    calibration : Calibration
    correlation : ErrorCorrelogram
        Of the standardized errors.
    """

    blend: Blend
    network_only: Blend
    calibration: Calibration
    correlation: ErrorCorrelogram

    @classmethod
    def fit(
        cls,
        predictions: OutOfFoldPredictions,
        y: np.ndarray,
        weight: np.ndarray,
        positions: np.ndarray,
        distance: np.ndarray | None,
        *,
        n_members: int,
        calibration: str | None,
        rng: np.random.RandomState,
    ) -> Postprocessor:
        """Fit on the rows that some member held out.

        Parameters
        ----------
        predictions : OutOfFoldPredictions
        y, weight : ndarray of shape (n,)
            Standardized targets and positive weights.
        positions : ndarray of shape (n, d)
            Coordinates with Euclidean distances.
        distance : ndarray of shape (n,) or None
            Mean distance to a row's spatial neighbors outside its fold.
        n_members : int
            Number of members that predict new rows.
        calibration : None, "scale" or "quantile"
        rng : RandomState
        """
        rows = predictions.count > 0
        y, weight = y[rows], weight[rows]
        network, between = predictions.mean[rows], predictions.between[rows]
        base = None if predictions.base is None else predictions.base[:, rows]
        blend = Blend.fit(network, base, y, weight)
        between = blend.network_weight**2 * between
        errors = CalibrationData(
            error=y - blend.combine(network, base),
            variance=predictions.noise[rows] + between,
            excess=excess_variance(between, predictions.count[rows], n_members),
            distance=None if distance is None else distance[rows],
            weight=weight,
        )
        fitted = Calibration.fit(errors, calibration)
        return cls(
            blend=blend,
            network_only=Blend.fit(network, None, y, weight),
            calibration=fitted,
            correlation=ErrorCorrelogram.fit(fitted.scores, positions[rows], rng),
        )

    def without_base(self) -> Postprocessor:
        """Return the postprocessor of the network without base models."""
        return replace(self, blend=self.network_only)

    def apply(
        self, network: MemberPredictions, base: np.ndarray | None, distance: np.ndarray | None
    ) -> MemberPredictions:
        """Blend the members (M, n) with the base models (k, n), and calibrate by distance (n,)."""
        factor = self.calibration.factor(distance)
        mean = self.blend.combine(network.mean, base)
        # The spread between members is scaled like the noise, which scales the whole variance.
        center = mean.mean(0)
        mean = center + np.sqrt(factor) * (mean - center)
        return MemberPredictions(mean, factor * network.variance)

    def apply_held_out(
        self, predictions: OutOfFoldPredictions, distance: np.ndarray | None
    ) -> MemberPredictions:
        """Return calibrated out-of-fold predictions (1, n) of the training rows."""
        variance = predictions.noise + self.blend.network_weight**2 * predictions.between
        network = MemberPredictions(predictions.mean[None], variance[None])
        return self.apply(network, predictions.base, distance)
