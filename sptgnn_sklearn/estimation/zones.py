"""Zones of a population: sizes, estimates in each zone, and their table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .design_arguments import read_labels, read_size, sizes_by_label
from .designs import SamplingDesign

__all__ = ["ESTIMATORS", "STATISTICS", "Target", "Zones"]

STATISTICS = ("mean", "total")
ESTIMATORS = ("hajek", "horvitz_thompson")


@dataclass(frozen=True)
class Zones:
    """Zones of a population, or the whole of it as the only one.

    Attributes
    ----------
    codes : ndarray of shape (n,) of int
        Position of the zone of each sampled unit.
    labels : Index of shape (n_zones,)
    sizes : ndarray of shape (n_zones,) or None
        Known number of units or area of each zone.
    """

    codes: np.ndarray
    labels: pd.Index
    sizes: np.ndarray | None

    @classmethod
    def read(
        cls, by: Any, n_rows: int, population_size: Any, others: Any = None
    ) -> tuple[Zones, float | None]:
        """Return the zones and the size of the whole population.

        Parameters
        ----------
        by : array-like of shape (n_rows,) or None
        n_rows : int
        population_size : float, mapping by zone or None
        others : Index or None
            Labels of zones that may have no sampled unit.

        Examples
        --------
        >>> from sptgnn_sklearn.estimation.zones import Zones
        >>> zones, size = Zones.read(["a", "b", "a"], 3, {"b": 2, "a": 5, "c": 1})
        >>> zones.labels.tolist(), zones.sizes, size
        (['a', 'b', 'c'], array([5., 2., 1.]), 8.0)
        """
        by_zone = isinstance(population_size, Mapping | pd.Series)
        if by is None:
            if by_zone:
                raise ValueError("population_size by zone needs by, the zone of each row.")
            size = (
                None if population_size is None else read_size("population_size", population_size)
            )
            labels = pd.Index([0])
            return cls(
                np.zeros(n_rows, int), labels, None if size is None else np.array([size])
            ), size
        codes, labels = read_labels("by", by, n_rows)
        known = labels if others is None else labels.append(others.difference(labels))
        if by_zone:
            unsampled = [label for label in dict(population_size) if label not in known]
            known = known.append(pd.Index(unsampled)) if unsampled else known
            sizes = sizes_by_label("population_size", population_size, known, "by")
            return cls(codes, known, sizes), float(sizes.sum())
        size = None if population_size is None else read_size("population_size", population_size)
        return cls(codes, known, None), size

    def rows(self, position: int) -> np.ndarray:
        """Return which sampled units (n,) are in a zone."""
        return self.codes == position

    def to_table(self, rows: list[dict[str, Any]], by: Any, stacklevel: int) -> pd.DataFrame:
        """Return the results of the zones by label; warn about zones without a std.

        Parameters
        ----------
        rows : list of dict
            Columns of each zone.
        by : array-like
            The labels; the name of a Series is that of the index.
        stacklevel : int
            That of the warning.
        """
        table = pd.DataFrame(rows, index=self.labels.rename(getattr(by, "name", None)))
        unknown = table.index[table["std"].isna()]
        if len(unknown):
            warnings.warn(
                f"Zones {unknown[:10].tolist()} have too few sampled units for a std (fewer than "
                "two, or one in each stratum); their std, lower and upper are NaN.",
                UserWarning,
                stacklevel=stacklevel,
            )
        return table


@dataclass(frozen=True)
class Target:
    """The estimated statistic and its estimator.

    Attributes
    ----------
    statistic : {"mean", "total"}
    estimator : {"hajek", "horvitz_thompson"}
    """

    statistic: str
    estimator: str

    def __post_init__(self) -> None:
        for name, value, known in (
            ("statistic", self.statistic, STATISTICS),
            ("estimator", self.estimator, ESTIMATORS),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {list(known)}; found {value!r}.")

    def check_scale(self, has_scale: bool, size_is_known: bool) -> None:
        """Raise a ValueError if the statistic needs a size or weights that are not known."""
        weights = "weights, inclusion_probabilities, stratum_sizes or n_clusters"
        if self.estimator == "horvitz_thompson" and not has_scale:
            raise ValueError(f"estimator='horvitz_thompson' needs {weights}, or population_size.")
        if self.estimator == "horvitz_thompson" and self.statistic == "mean" and not size_is_known:
            raise ValueError(
                "estimator='horvitz_thompson' needs population_size for a mean: the number of "
                "units or the area of the population, by zone if by is given."
            )
        if self.statistic == "total" and not (size_is_known or has_scale):
            raise ValueError(
                "statistic='total' needs population_size, the number of units or the area of the "
                f"population (by zone if by is given), or else {weights}."
            )

    def estimate(
        self, design: SamplingDesign, values: np.ndarray, in_zone: np.ndarray, size: float | None
    ) -> tuple[float, float]:
        """Return the estimate and its standard error in a zone, NaN if they are not defined.

        Parameters
        ----------
        design : SamplingDesign
        values : ndarray of shape (n,)
        in_zone : ndarray of shape (n,) of bool
        size : float or None
            Known size of the zone.
        """
        weights = design.weights * in_zone
        represented = weights.sum()
        if not represented:
            return np.nan, np.nan
        total = float(weights @ values)
        if self.estimator == "hajek" and (self.statistic == "mean" or size is not None):
            mean = total / represented
            scale = 1.0 if self.statistic == "mean" else float(size or 1)
            estimate, influence = scale * mean, scale * (values - mean) / represented
        else:
            scale = 1.0 if self.statistic == "total" else 1 / float(size or 1)
            estimate, influence = scale * total, scale * values
        std = standard_error(design, influence, in_zone)
        return estimate, std


def standard_error(design: SamplingDesign, influence: np.ndarray, in_zone: np.ndarray) -> float:
    """Return the standard error of the weighted sum of influences (n,) over a zone.

    It is NaN without degrees of freedom, unless all primary sampling units are in every sample.
    """
    random = design.unsampled[design.psu[in_zone]].any()
    if random and design.degrees_of_freedom(in_zone) < 1:
        return np.nan
    return float(np.sqrt(design.variance_of_total(np.where(in_zone, influence, 0.0))))
