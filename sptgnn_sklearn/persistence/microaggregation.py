"""Micro-aggregation: rows of nearby locations are replaced by their mean.

Domingo-Ferrer and Mateo-Sanz 2002, IEEE Transactions on Knowledge and Data Engineering 14, 189-201.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..table.categories import MISSING_CODE
from ..table.features import normal_scores
from ..table.schema import SampleTable
from .training_table import invert_scores

__all__ = ["LocationGroups", "coarse_quantiles", "group_locations", "group_table", "usual_diameter"]

_CUTS = 9  # positions tried for each division of a group


@dataclass(frozen=True)
class LocationGroups:
    """Groups of locations, and the locations of rows.

    Attributes
    ----------
    location : ndarray of shape (n,) of int
        Location of each row, 0 to L - 1.
    group : ndarray of shape (L,) of int
        Group of each location, 0 to G - 1.
    """

    location: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return int(self.group.max()) + 1

    def take(self, rows: np.ndarray) -> LocationGroups:
        """Return the groups of some rows; groups without any of them are dropped."""
        kept, location = np.unique(self.location[rows], return_inverse=True)
        return LocationGroups(location, np.unique(self.group[kept], return_inverse=True)[1])

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the means (G, ...) of values (n, ...); each location counts once.

        NaN where less than half of the locations have a value.
        """
        by_location, _ = _known_means(values, self.location, len(self.group))
        means, share = _known_means(by_location, self.group, len(self))
        means[share < 0.5] = np.nan
        return means

    def most_frequent(self, codes: np.ndarray) -> np.ndarray:
        """Return the most frequent code (G, c) of each column; the smallest one among equals."""
        weight = 1 / np.bincount(self.location)[self.location]
        group = self.group[self.location]
        found = np.empty((len(self), codes.shape[1]), dtype=codes.dtype)
        for column, values in enumerate(codes.T):
            levels, position = np.unique(np.append(values, MISSING_CODE), return_inverse=True)
            counts = np.zeros((len(self), len(levels)))
            np.add.at(counts, (group, position[:-1]), weight)
            found[:, column] = levels[counts.round(9).argmax(axis=1)]
        return found


def usual_diameter(points: np.ndarray, size: int) -> float:
    """Return the median distance from a location to its (size - 1)-th nearest other location.

    Parameters
    ----------
    points : ndarray of shape (L, d)
        Distinct locations.
    size : int

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.persistence.microaggregation import usual_diameter
    >>> usual_diameter(np.arange(9.0)[:, None], size=3)
    1.0
    """
    k = min(size, len(points))
    return float(np.median(cKDTree(points).query(points, k=[k])[0]))


def group_locations(points: np.ndarray, size: int, diameter: float) -> np.ndarray:
    """Label locations by compact groups of a least size and a least diameter.

    Groups are divided along the axis of largest variance as long as both parts are large enough.

    Parameters
    ----------
    points : ndarray of shape (L, d)
        Locations with Euclidean distances.
    size : int
        Least number of locations.
    diameter : float
        Least extent along some axis. A survey of smaller extent is one group.

    Returns
    -------
    labels : ndarray of shape (L,) of int

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.persistence.microaggregation import group_locations
    >>> line = np.array([[0.0], [1.0], [2.0], [7.0], [8.0]])
    >>> group_locations(line, size=2, diameter=1.0)
    array([0, 0, 1, 1, 1])
    """
    labels = np.empty(len(points), dtype=np.int64)
    pending, n_groups = [np.arange(len(points))], 0
    while pending:
        members = pending.pop()
        parts = _divide(points[members], size, diameter)
        if parts is None:
            labels[members] = n_groups
            n_groups += 1
        else:
            pending += [members[part] for part in reversed(parts)]
    return labels


def group_table(
    table: SampleTable,
    groups: LocationGroups,
    before: np.ndarray,
    quantiles: np.ndarray,
    elevation_column: int | None = None,
) -> SampleTable:
    """Return one row per group: means of its numbers and the most frequent of its codes.

    Parameters
    ----------
    table : SampleTable of n rows
        Coordinates are replaced by the caller, because the mean of longitudes is no longitude.
    groups : LocationGroups
    before, quantiles : ndarray of shape (n_quantiles, p)
        Quantiles that define the normal scores of the rows and those of the groups. Numeric
        covariates are averaged as normal scores, which single extreme values do not dominate.
    elevation_column : int or None
        Position of elevation among the numeric covariates.

    Returns
    -------
    SampleTable of G rows
    """
    numeric = invert_scores(groups.mean(normal_scores(table.numeric, before)), quantiles)
    elevation = None if table.elevation is None else groups.mean(table.elevation)
    if elevation is not None and elevation_column is not None:
        # Two different means of one column would reveal more than one.
        numeric[:, elevation_column] = elevation
    return SampleTable(
        coordinates=groups.mean(table.coordinates),
        numeric=numeric,
        categories=groups.most_frequent(table.categories),
        elevation=elevation,
        time=None if table.time is None else groups.mean(table.time),
        embedding=None if table.embedding is None else groups.mean(table.embedding),
        indices=None if table.indices is None else groups.mean(table.indices),
    )


def coarse_quantiles(
    values: np.ndarray, location: np.ndarray, size: int, n_quantiles: int
) -> np.ndarray:
    """Return evenly spaced quantiles of a column from means of adjacent sorted values.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN is missing.
    location : ndarray of shape (n,) of int
    size : int
        Least number of locations behind each mean.
    n_quantiles : int

    Returns
    -------
    ndarray of shape (n_quantiles,)
        Non-decreasing; zeros for a column without values.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.persistence.microaggregation import coarse_quantiles
    >>> coarse_quantiles(np.array([4.0, 1.0, 9.0, 0.0, 3.0]), np.arange(5), 2, 3)
    array([0.5       , 3.4       , 5.33333333])
    """
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.zeros(n_quantiles)
    order = known[np.argsort(values[known], kind="stable")]
    block = _blocks(location[order], size)
    count = np.bincount(block)
    means = np.bincount(block, weights=values[order]) / count
    levels = (np.cumsum(count) - count / 2) / len(order)
    found = np.interp(np.linspace(0, 1, n_quantiles), levels, means)
    return np.maximum.accumulate(found)


def _blocks(location: np.ndarray, size: int) -> np.ndarray:
    """Label sorted rows by successive blocks of at least `size` distinct locations."""
    block = np.zeros(len(location), dtype=np.int64)
    found: set[int] = set()
    current = 0
    for row, name in enumerate(location.tolist()):
        if len(found) >= size:
            found, current = set(), current + 1
        found.add(name)
        block[row] = current
    if len(found) < size:  # the last block is too small
        block[block == current] = max(current - 1, 0)
    return block


def _divide(points: np.ndarray, size: int, diameter: float) -> tuple[np.ndarray, np.ndarray] | None:
    n = len(points)
    if n < 2 * size:
        return None
    cuts = np.arange(size, n - size + 1, size)
    cuts = cuts[np.argsort(np.abs(cuts - n / 2), kind="stable")[:_CUTS]]
    for axis in np.argsort(-points.std(axis=0), kind="stable"):
        order = np.argsort(points[:, axis], kind="stable")
        for cut in cuts:
            parts = order[:cut], order[cut:]
            if all(np.ptp(points[part], axis=0).max() >= diameter for part in parts):
                return parts
    return None


def _known_means(
    values: np.ndarray, labels: np.ndarray, n_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means by label of the entries that are not NaN, and the shares of such entries."""
    known = ~np.isnan(values)
    total, count = np.zeros((2, n_labels, *values.shape[1:]))
    np.add.at(total, labels, np.where(known, values, 0.0))
    np.add.at(count, labels, known.astype(np.float64))
    size = np.bincount(labels, minlength=n_labels).reshape(-1, *[1] * (values.ndim - 1))
    means = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return means, count / np.maximum(size, 1)
