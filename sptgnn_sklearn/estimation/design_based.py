"""Design-based estimates of means and totals from probability samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..utils.distribution_columns import check_coverage
from .design_arguments import read_design, read_numbers
from .estimates import DesignEstimate, result_row
from .zones import Target, Zones

__all__ = ["design_estimate"]


def design_estimate(
    y: Any,
    *,
    statistic: str = "mean",
    weights: Any = None,
    inclusion_probabilities: Any = None,
    strata: Any = None,
    stratum_sizes: Any = None,
    clusters: Any = None,
    n_clusters: Any = None,
    cluster_sizes: Any = None,
    population_size: Any = None,
    fpc: bool = False,
    estimator: str = "hajek",
    by: Any = None,
    coverage: float = 0.9,
) -> DesignEstimate | pd.DataFrame:
    """Estimate a mean or total from a probability sample, with its standard error.

    The sample must have been drawn at random, with a known positive inclusion probability of every
    unit of the population; then no assumption on the spatial variation is needed ([1]_, [2]_).
    Without further arguments the sample is a simple random one. Rows of all arguments correspond to
    those of y.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values; 0 and 1 for the share of an area. Missing values raise.
    statistic : {"mean", "total"}, default="mean"
        A total needs the size of the population.
    weights : array-like of shape (n_samples,), default=None
        Number of units, or area, that each row represents: the inverse inclusion probability, or
        ``1 / (n * p)`` for n draws with replacement with probabilities p (Hansen-Hurwitz). For a
        mean, only their ratios matter.
    inclusion_probabilities : array-like of shape (n_samples,), default=None
        Instead of weights, above 0 and up to 1.
    strata : array-like of shape (n_samples,), default=None
        Stratum of each row.
    stratum_sizes : mapping or Series by stratum, default=None
        Number of units or area of each stratum, for simple random samples in strata:
        ``cells["stratum"].value_counts()``.
    clusters : array-like of shape (n_samples,), default=None
        Cluster of each row: transect, field or other primary sampling unit; its draw, if clusters
        are drawn with replacement.
    n_clusters : float, or mapping or Series by stratum, default=None
        Number of clusters in the population, for simple random samples of clusters.
    cluster_sizes : mapping or Series by cluster, default=None
        Number of units or area of each sampled cluster, for simple random samples in clusters (two
        stages). None is one stage: all units of a sampled cluster are in the sample.
    population_size : float, or mapping or Series by zone, default=None
        Number of units or area of the population, or of each zone in `by`.
    fpc : bool, default=False
        Finite population correction, for sampling without replacement from a countable population.
        The sizes must then be numbers of units. With `inclusion_probabilities` the variance is that
        of Hájek [3]_. False is for sampling with replacement and for points in an area, and
        overestimates the standard error of other samples slightly.
    estimator : {"hajek", "horvitz_thompson"}, default="hajek"
        "hajek" divides by the sum of weights, and multiplies by the known size of the population
        for a total, if it is known (ratio to a known area). "horvitz_thompson" does not; it is more
        precise if y is proportional to the inclusion probabilities, and needs `population_size` for
        a mean. They are equal for simple random samples, also in strata.
    by : array-like of shape (n_samples,), default=None
        Zone of each row, for an estimate in each zone. A zone may cut strata and clusters.
    coverage : float, default=0.9
        Nominal coverage of the confidence interval.

    Returns
    -------
    DesignEstimate or DataFrame
        With `by` a DataFrame with one row per zone and the columns n, estimate, std, lower, upper
        and degrees_of_freedom. std is NaN, with a warning, in zones with fewer than two units.

    Raises
    ------
    ValueError
        If an argument is invalid, the design is incomplete or contradictory, or a stratum has one
        sampled unit or cluster, so that no standard error can be estimated.

    See Also
    --------
    model_assisted_estimate : Estimate with predictions of a map.

    Notes
    -----
    The variance of ratios is that of their linearization ([1]_, section 5.5). The interval is that
    of Student's t distribution with the number of clusters (or units) minus that of strata as
    degrees of freedom; in a zone, of those with units in it. Results equal those of ``svymean``,
    ``svytotal`` and ``svyby`` of the R package survey, except with Hájek's variance.

    References
    ----------
    .. [1] Särndal, C.-E., Swensson, B., Wretman, J. (1992). Model Assisted Survey Sampling.
       Springer.
    .. [2] Brus, D. J. (2022). Spatial Sampling with R. CRC Press, chapters 3 to 8.
    .. [3] Hájek, J. (1964). Asymptotic theory of rejective sampling with varying probabilities from
       a finite population. Annals of Mathematical Statistics 35, 1491-1523.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation import design_estimate
    >>> sample = pd.DataFrame(
    ...     {"soc": [12.0, 15.0, 14.0, 31.0, 27.0], "soil": ["sand"] * 3 + ["peat"] * 2}
    ... )
    >>> area = {"sand": 400.0, "peat": 100.0}  # hectares
    >>> design_estimate(sample["soc"], strata=sample["soil"], stratum_sizes=area)
    Mean 16.733, std 0.811, 90 % interval 14.825 to 18.642.
    5 sampled units, 3 degrees of freedom; valid for a probability sample of this design.
    >>> design_estimate(
    ...     sample["soc"], strata=sample["soil"], stratum_sizes=area, by=sample["soil"]
    ... ).round(2)
          n  estimate   std  lower  upper  degrees_of_freedom
    soil
    peat  2     29.00  2.00  16.37  41.63                   1
    sand  3     13.67  0.88  11.09  16.24                   2
    """
    y = read_numbers("y", y)
    coverage, target = check_coverage(coverage), Target(statistic, estimator)
    zones, size = Zones.read(by, len(y), population_size)
    design = read_design(
        len(y),
        weights=weights,
        inclusion_probabilities=inclusion_probabilities,
        strata=strata,
        stratum_sizes=stratum_sizes,
        clusters=clusters,
        n_clusters=n_clusters,
        cluster_sizes=cluster_sizes,
        population_size=size,
        fpc=fpc,
    )
    sizes = zones.sizes
    if by is None and sizes is None and design.size is not None:
        sizes = np.array([design.size])
    target.check_scale(design.has_scale, sizes is not None)
    rows = []
    for position in range(len(zones.labels)):
        in_zone = zones.rows(position)
        zone_size = None if sizes is None else float(sizes[position])
        estimate, std = target.estimate(design, y, in_zone, zone_size)
        rows.append(result_row(estimate, std, design, in_zone, coverage))
    if by is not None:
        return zones.to_table(rows, by, stacklevel=3)
    return DesignEstimate(**rows[0], statistic=statistic, coverage=coverage)
