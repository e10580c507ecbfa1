"""Results of estimators: an estimate, its standard error and confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from .designs import SamplingDesign

__all__ = [
    "DesignEstimate",
    "ModelAssistedEstimate",
    "precision_gain",
    "result_row",
]


@dataclass(frozen=True, repr=False)
class DesignEstimate:
    """Mean or total of a population, estimated by `design_estimate`.

    Attributes
    ----------
    estimate : float
        Estimated mean (in the unit of y) or total (in its unit times that of the size).
    std : float
        Standard error of the estimate.
    lower, upper : float
        Confidence interval, by Student's t distribution.
    n : int
        Number of sampled units.
    degrees_of_freedom : int
        Number of clusters, or of units without clusters, minus the number of strata.
    statistic : {"mean", "total"}
    coverage : float
        Nominal coverage of the interval.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation import design_estimate
    >>> result = design_estimate([2.0, 3.0, 4.0, 3.0])
    >>> result
    Mean 3.000, std 0.408, 90 % interval 2.039 to 3.961.
    4 sampled units, 3 degrees of freedom; valid for a probability sample of this design.
    >>> result.estimate
    3.0
    """

    estimate: float
    std: float
    lower: float
    upper: float
    n: int
    degrees_of_freedom: int
    statistic: str
    coverage: float

    def __repr__(self) -> str:
        return f"{self._summary()}; valid for a probability sample of this design."

    def _summary(self) -> str:
        template = f"{{:.{_decimals_of(self.std)}f}}"
        numbers = [template.format(x) for x in (self.estimate, self.std, self.lower, self.upper)]
        estimate, std, lower, upper = numbers
        return (
            f"{self.statistic.capitalize()} {estimate}, std {std}, {100 * self.coverage:g} % "
            f"interval {lower} to {upper}.\n"
            f"{self.n} sampled units, {self.degrees_of_freedom} degrees of freedom"
        )


@dataclass(frozen=True, repr=False)
class ModelAssistedEstimate(DesignEstimate):
    """Mean or total of a population, estimated by `model_assisted_estimate`.

    Attributes
    ----------
    estimate, std, lower, upper, n, degrees_of_freedom, statistic, coverage
        As in `DesignEstimate`.
    method : {"difference", "regression"}
    slope : float
        Coefficient of the predictions: 1 for "difference".
    sample_estimate, sample_std : float
        Estimate and standard error from the sample alone, as by `design_estimate`.
    gain : float
        Variance of the estimate from the sample alone divided by that of the model-assisted one: a
        gain of 3 means that three times as many sampled units are needed without the model.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation import model_assisted_estimate
    >>> model_assisted_estimate([2.0, 3.0, 4.0, 3.0], [2.1, 2.9, 3.8, 3.2], [2.5, 3.0, 3.1, 3.4])
    Mean 3.0000, std 0.0913, 90 % interval 2.7852 to 3.2148.
    4 sampled units, 3 degrees of freedom, difference estimator.
    Sample alone: mean 3.000, std 0.408; gain 20.00.
    Valid for a probability sample of this design, whatever the model, if the predictions at the
    sampled units are not from a model that was fitted to them.
    """

    method: str
    slope: float
    sample_estimate: float
    sample_std: float
    gain: float

    def __repr__(self) -> str:
        template = f"{{:.{_decimals_of(self.sample_std)}f}}"
        alone = f"{self.statistic} {template}, std {template}"
        return (
            f"{self._summary()}, {self.method} estimator.\n"
            f"Sample alone: {alone.format(self.sample_estimate, self.sample_std)}; "
            f"gain {self.gain:.2f}.\n"
            "Valid for a probability sample of this design, whatever the model, if the predictions "
            "at the\nsampled units are not from a model that was fitted to them."
        )


def result_row(
    estimate: float, std: float, design: SamplingDesign, in_zone: np.ndarray, coverage: float
) -> dict[str, Any]:
    """Return the columns of an estimate, with its confidence interval.

    Parameters
    ----------
    estimate, std : float
        A std of NaN has no limits.
    design : SamplingDesign
    in_zone : ndarray of shape (n,) of bool
        Sampled units in the zone of the estimate.
    coverage : float

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.design_arguments import read_design
    >>> from sptgnn_sklearn.estimation.estimates import result_row
    >>> row = result_row(3.0, 0.5, read_design(11), np.ones(11, dtype=bool), 0.9)
    >>> row["n"], round(row["lower"], 3), round(row["upper"], 3), row["degrees_of_freedom"]
    (11, 2.094, 3.906, 10)
    """
    degrees = design.degrees_of_freedom(in_zone)
    # A std of 0 may have no degrees of freedom.
    half_width = float(stdtrit(max(degrees, 1), (1 + coverage) / 2)) * std
    return {
        "n": int(in_zone.sum()),
        "estimate": float(estimate),
        "std": float(std),
        "lower": float(estimate - half_width),
        "upper": float(estimate + half_width),
        "degrees_of_freedom": degrees,
    }


def precision_gain(sample_std: float, std: float) -> float:
    """Return the ratio of two variances; infinite if only the second is 0.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.estimates import precision_gain
    >>> precision_gain(4.0, 2.0)
    4.0
    """
    if std > 0:
        return (sample_std / std) ** 2
    return np.inf if sample_std > 0 else np.nan


def _decimals_of(std: float) -> int:
    """Return the number of decimals that shows a standard error with three digits."""
    if not 0 < std < np.inf:
        return 3
    return max(0, 2 - int(np.floor(np.log10(std))))
