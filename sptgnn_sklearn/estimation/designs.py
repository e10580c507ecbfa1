"""Sampling designs: weights of the sampled units and variance of an estimated total."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["SamplingDesign"]


@dataclass(frozen=True)
class SamplingDesign:
    r"""Design of a probability sample of n units.

    A primary sampling unit (PSU) is a cluster or, without clusters, a sampled unit.

    Attributes
    ----------
    weights : ndarray of shape (n,)
        Inverse inclusion probabilities, or the number of units or the area that a unit represents.
    psu : ndarray of shape (n,) of int
        Position of the PSU of each unit.
    psu_labels : Index of shape (n_psu,)
    strata : ndarray of shape (n_psu,) of int
        Position of the stratum of each PSU.
    stratum_labels : Index of shape (n_strata,)
    unsampled : ndarray of shape (n_psu,)
        1 minus the sampling fraction of the stratum or the inclusion probability of the PSU; 1
        without finite population correction, 0 for PSUs that are in every sample.
    unsampled_within : ndarray of shape (n_psu,) or None
        1 minus the sampling fraction in each PSU, for two stages with finite population correction.
    has_scale : bool
        Whether sums of weights estimate the size of the population; otherwise only ratios of
        weights are known.
    size : float or None
        Known size of the population: number of units or area.

    Raises
    ------
    ValueError
        If a stratum has one PSU, so that no standard error can be estimated.

    Notes
    -----
    With :math:`u_j` the sum of weighted values in PSU j, the variance of their total is the sum
    over strata of

    .. math:: \frac{n_h}{n_h - 1} \sum_j c_j (u_j - \bar u_h)^2,\quad
        \bar u_h = \sum_j c_j u_j / \sum_j c_j

    where :math:`c_j` is `unsampled`: with :math:`c_j = 1` the variance for sampling with
    replacement ([1]_, section 2.9), with :math:`c_j = 1 - n_h / N_h` that of simple random sampling
    without replacement (sections 3.3 and 3.7), with :math:`c_j = 1 - \pi_j` the approximation of
    Hájek [2]_ for unequal probabilities. A finite population correction in two stages adds the
    variance within PSUs ([1]_, section 4.3).

    References
    ----------
    .. [1] Särndal, C.-E., Swensson, B., Wretman, J. (1992). Model Assisted Survey Sampling.
       Springer.
    .. [2] Hájek, J. (1964). Asymptotic theory of rejective sampling with varying probabilities from
       a finite population. Annals of Mathematical Statistics 35, 1491-1523.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation.designs import SamplingDesign
    >>> design = SamplingDesign(
    ...     np.array([5.0, 5.0]),
    ...     np.arange(2),
    ...     pd.RangeIndex(2),
    ...     np.zeros(2, int),
    ...     pd.Index([0]),
    ...     unsampled=np.array([0.8, 0.8]),
    ... )
    >>> design.variance_of_total(np.array([1.0, 3.0]))  # 10 ** 2 * 0.8 * 2 / 2
    80.0
    """

    weights: np.ndarray
    psu: np.ndarray
    psu_labels: pd.Index
    strata: np.ndarray
    stratum_labels: pd.Index
    unsampled: np.ndarray
    unsampled_within: np.ndarray | None = None
    has_scale: bool = True
    size: float | None = None

    def __post_init__(self) -> None:
        n_random = np.bincount(self.strata, self.unsampled > 0, minlength=len(self.stratum_labels))
        single = self.stratum_labels[n_random == 1]
        if len(single):
            kind = "cluster" if len(self.psu_labels) < len(self.psu) else "sampled unit"
            if len(self.stratum_labels) == 1:
                raise ValueError(
                    f"The sample has one {kind}, so that no std can be estimated: at least two "
                    "are needed."
                )
            raise ValueError(
                f"strata {single[:10].tolist()} have one {kind}, so that no std can be estimated: "
                "merge each with a similar stratum."
            )
        if self.unsampled_within is not None:
            open_ends = (self._units_per_psu() == 1) & (self.unsampled_within > 0)
            if open_ends.any():
                labels = self.psu_labels[open_ends][:10].tolist()
                raise ValueError(
                    f"clusters {labels} have one of several units in the sample, so that "
                    "no std within them can be estimated: use fpc=False."
                )

    def variance_of_total(self, values: np.ndarray) -> float:
        """Return the variance of the weighted sum of values (n,)."""
        weighted = self.weights * values
        totals = np.bincount(self.psu, weighted, minlength=len(self.psu_labels))
        variance = _variance_within(self.strata, totals, self.unsampled, len(self.stratum_labels))
        if self.unsampled_within is not None:
            within = _variance_within(
                self.psu, weighted, self.unsampled_within[self.psu], len(self.psu_labels)
            )
            variance = np.append(variance, (1 - self.unsampled) * within)
        return float(variance.sum())

    def degrees_of_freedom(self, in_zone: np.ndarray) -> int:
        """Return the number of PSUs minus strata that have units (n,) of bool in a zone.

        PSUs that are in every sample have no part in the variance and are not counted; of those
        that are subsampled, the units in the zone minus one are.
        """
        units = np.bincount(self.psu, in_zone, minlength=len(self.psu_labels))
        random = (units > 0) & (self.unsampled > 0)
        degrees = random.sum() - len(np.unique(self.strata[random]))
        if self.unsampled_within is not None:
            subsampled = (units > 0) & (self.unsampled == 0) & (self.unsampled_within > 0)
            degrees += (units[subsampled] - 1).sum()
        return int(degrees)

    def _units_per_psu(self) -> np.ndarray:
        return np.bincount(self.psu, minlength=len(self.psu_labels))


def _variance_within(
    groups: np.ndarray, values: np.ndarray, unsampled: np.ndarray, n_groups: int
) -> np.ndarray:
    """Return the variance of the total of each group; 0 for groups without random units."""

    def sums(terms: np.ndarray) -> np.ndarray:
        return np.bincount(groups, terms, minlength=n_groups)

    n_random, share = sums(unsampled > 0), sums(unsampled)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = values - (sums(unsampled * values) / share)[groups]
        variances = n_random / (n_random - 1) * sums(unsampled * deviations**2)
    return np.where(n_random > 1, variances, 0.0)
