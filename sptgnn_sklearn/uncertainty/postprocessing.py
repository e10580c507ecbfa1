"""Blend network and base models, and calibrate the result, from out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..table.measurement_error import noise_weight
from .blending import Blend
from .calibration import Calibration, CalibrationData, excess_variance
from .error_correlogram import ErrorCorrelogram
from .local_scale import CalibrationInputs, ErrorSupport

__all__ = ["MemberPredictions", "OutOfFoldPredictions", "Postprocessor"]


@dataclass(frozen=True)
class MemberPredictions:
    """Gaussian predictions of the ensemble members, in standardized units of the target.

    Attributes
    ----------
    mean, variance : ndarray of shape (M, n)
    support : ErrorSupport or None
        Held-out errors around each row. None without local calibration.
    """

    mean: np.ndarray
    variance: np.ndarray
    support: ErrorSupport | None = None

    @property
    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (n,) of the equally weighted mixture of the members."""
        mean = self.mean.mean(0)
        return mean, np.sqrt(self.variance.mean(0) + self.mean.var(0))

    @classmethod
    def concatenate(cls, parts: Sequence[MemberPredictions]) -> MemberPredictions:
        """Return the predictions of the rows of several parts."""
        mean, variance = (
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("mean", "variance")
        )
        support = [part.support for part in parts if part.support is not None]
        return cls(mean, variance, ErrorSupport.concatenate(support) if support else None)

    def take(self, rows: np.ndarray) -> MemberPredictions:
        """Return the predictions of some rows."""
        support = None if self.support is None else self.support.take(rows)
        return MemberPredictions(self.mean[:, rows], self.variance[:, rows], support)

    def scaled(self, factor: np.ndarray | float) -> MemberPredictions:
        """Return the predictions with the total variance multiplied by a factor (n,).

        The spread between members is scaled like the noise.
        """
        center = self.mean.mean(0)
        mean = center + np.sqrt(factor) * (self.mean - center)
        return replace(self, mean=mean, variance=factor * self.variance)


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
        location: np.ndarray,
        inputs: CalibrationInputs,
        time: np.ndarray | None = None,
        *,
        n_members: int,
        calibration: str | None,
        rng: np.random.RandomState,
        noise: np.ndarray | None = None,
        campaign: np.ndarray | None = None,
    ) -> Postprocessor:
        """Fit on the rows that some member held out.

        Parameters
        ----------
        predictions : OutOfFoldPredictions
        y, weight : ndarray of shape (n,)
            Standardized targets and positive weights.
        location : ndarray of shape (n,) of int
            Location ids.
        inputs : CalibrationInputs
            With positions. Distances are those to neighbors outside of a row's fold.
        time : ndarray of shape (n,) or None
            Decimal years; NaN is unknown. None if predictions do not depend on time.
        n_members : int
            Number of members that predict new rows.
        calibration : None, "scale", "quantile" or "local"
        rng : RandomState
        noise : ndarray of shape (n,), default=None
            Variances of measurement errors. The fitted distributions are those of values without
            them.
        campaign : ndarray of shape (n,) of uint64, default=None
            Keys of the campaigns; 0 is unknown.
        """
        assert inputs.positions is not None  # without them errors are not correlated in space
        rows = predictions.count > 0
        y, weight = y[rows], weight[rows]
        noise = None if noise is None else noise[rows]
        precision = weight if noise is None else weight * noise_weight(noise, weight)
        network, between = predictions.mean[rows], predictions.between[rows]
        base = None if predictions.base is None else predictions.base[:, rows]
        blend = Blend.fit(network, base, y, precision)
        between = blend.network_weight**2 * between
        errors = CalibrationData(
            error=y - blend.combine(network, base),
            variance=predictions.noise[rows] + between,
            excess=excess_variance(between, predictions.count[rows], n_members),
            inputs=inputs.take(rows),
            weight=weight,
            location=location[rows],
            noise=noise,
        )
        fitted = Calibration.fit(errors, calibration)
        return cls(
            blend=blend,
            network_only=Blend.fit(network, None, y, precision),
            calibration=fitted,
            correlation=ErrorCorrelogram.fit(
                fitted.scores,
                inputs.positions[rows],
                None if time is None else time[rows],
                rng,
                fitted.natural_share(errors),
                None if campaign is None else campaign[rows],
            ),
        )

    def without_base(self) -> Postprocessor:
        """Return the postprocessor of the network without base models."""
        return replace(self, blend=self.network_only)

    def apply(
        self, network: MemberPredictions, base: np.ndarray | None, inputs: CalibrationInputs
    ) -> MemberPredictions:
        """Blend the members (M, n) with the base models (k, n), and calibrate."""
        mean = self.blend.combine(network.mean, base)
        blended = MemberPredictions(mean, network.variance)
        calibrated = blended.scaled(self.calibration.factor(inputs.distance))
        local = self.calibration.local
        if local is None:
            return calibrated
        _, std = calibrated.total
        if local.smoothers:
            calibrated = calibrated.scaled(local.scale(inputs, std) ** 2)
        return replace(calibrated, support=ErrorSupport(local, inputs, std))

    def apply_held_out(
        self, predictions: OutOfFoldPredictions, inputs: CalibrationInputs
    ) -> MemberPredictions:
        """Return calibrated out-of-fold predictions (1, n) of the training rows."""
        variance = predictions.noise + self.blend.network_weight**2 * predictions.between
        network = MemberPredictions(predictions.mean[None], variance[None])
        found = self.apply(network, predictions.base, inputs)
        return replace(found, support=None)
