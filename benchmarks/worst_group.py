"""Coverage of intervals in the worst of several overlapping groups of rows, and its limit.

The limit is the 5 % point of the worst group's coverage that exact intervals would have: among many
groups one has a low coverage by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sptgnn_sklearn.inspection.coverage_groups import (
    categories,
    distance_to_nearest,
    region_groups,
)
from sptgnn_sklearn.metrics import coverage_by_group, interval_coverage, interval_score
from sptgnn_sklearn.spatial.crs import resolve_crs

from .tables import TableData

COVERAGE = 0.9
LEAST_ROWS = 200  # of a group
MARGINS = {"random": 0.02, "block": 0.05}  # allowed below the limit, by kind of folds
_MOST_QUANTILE_GROUPS = 5
_MOST_REGIONS = 10
_ROWS_PER_REGION = 400
_N_SIMULATIONS = 4000
_CHUNK_VALUES = 20_000_000
_LIMIT_LEVEL = 0.05

Groupings = Mapping[str, np.ndarray]  # labels (n,) of all rows by name of the grouping


def quantile_labels(values: np.ndarray, n_groups: int) -> np.ndarray:
    """Return labels "1 of 5" (n,) by rank of the values; equal values share a group."""
    edges = np.quantile(values, np.arange(1, n_groups) / n_groups, method="inverted_cdf")
    number = np.searchsorted(edges, values, side="left") + 1
    return np.array([f"{i} of {n_groups}" for i in number])


def n_quantile_groups(n_rows: int) -> int:
    """Return the number of quantile groups, at most five, of 200 rows or more each."""
    return max(1, min(_MOST_QUANTILE_GROUPS, n_rows // LEAST_ROWS))


def fold_distances(data: TableData, folds: np.ndarray) -> np.ndarray:
    """Return the distance (n,) of tested rows to the nearest row outside of their fold."""
    reference = _reference(data)
    distance = np.full(len(folds), np.nan)
    for label in labels_of_tested(folds):
        test = folds == label
        distance[test] = distance_to_nearest(
            data.coordinates[test], data.coordinates[~test], reference
        )
    return distance


def labels_of_tested(folds: np.ndarray) -> np.ndarray:
    """Return the fold labels whose rows are tested; negative ones are for training only."""
    return np.unique(folds[folds >= 0])


def place_groupings(data: TableData, tested: np.ndarray) -> dict[str, np.ndarray]:
    """Return the regions and categories (m,) of the m tested rows."""
    n_rows = int(tested.sum())
    n_regions = max(1, min(_MOST_REGIONS, n_rows // _ROWS_PER_REGION))
    regions = region_groups(data.coordinates[tested], _reference(data), n_regions, LEAST_ROWS)
    groupings = {"region": np.asarray(regions)}
    for name, column in data.X[tested].items():
        if not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_datetime64_any_dtype(
            column
        ):
            groupings[str(name)] = np.asarray(categories(column, LEAST_ROWS))
    return groupings


def interval_entry(
    y: np.ndarray, limits: np.ndarray, groupings: Groupings, margin: float
) -> dict[str, Any]:
    """Return scores of intervals (n, 2), with the coverage of each group and the worst of them.

    Without a group of 200 rows the worst group and its limit are None.
    """
    low, high = limits.T
    entry: dict[str, Any] = {
        "rows": len(y),
        "coverage": interval_coverage(y, low, high),
        "interval_score": interval_score(y, low, high, COVERAGE),
        "width": float(np.mean(high - low)),
    }
    groups = group_coverages(y, limits, groupings)
    entry |= {"worst": None, "limit": None, "passes": None}
    if groups:
        worst = min(groups, key=lambda group: group["coverage"])
        limit = worst_coverage_limit(groupings) - margin
        entry |= {"worst": worst, "limit": limit, "passes": bool(worst["coverage"] >= limit)}
    return entry | {"groups": groups}


def group_coverages(
    y: np.ndarray, limits: np.ndarray, groupings: Groupings
) -> list[dict[str, Any]]:
    """Return by, group, n and coverage of each group of 200 rows or more."""
    found = []
    for by, labels in groupings.items():
        table = coverage_by_group(y, *limits.T, labels, COVERAGE)
        for row in table[table["n"] >= LEAST_ROWS].itertuples():
            coverage = round(float(row.coverage), 4)
            found.append({"by": by, "group": str(row.group), "n": int(row.n), "coverage": coverage})
    return found


def worst_coverage_limit(groupings: Groupings, seed: int = 0) -> float:
    """Return the 5 % point of the worst coverage of groups if each row is inside with 90 %.

    All groups are counted in the same simulated rows, because they overlap.

    Examples
    --------
    One group of 200 rows is a binomial share, of which 5 % are at most 0.865:

    >>> import numpy as np
    >>> from benchmarks.worst_group import worst_coverage_limit
    >>> round(worst_coverage_limit({"all": np.repeat("rows", 200)}), 3)
    0.865
    """
    members = [
        labels == label
        for labels in groupings.values()
        for label, n in zip(*np.unique(labels, return_counts=True), strict=True)
        if n >= LEAST_ROWS
    ]
    shares = np.array([member / member.sum() for member in members], dtype="f4").T
    rng = np.random.default_rng(seed)
    worst: list[np.ndarray] = []
    while (done := sum(map(len, worst))) < _N_SIMULATIONS:
        size = min(_N_SIMULATIONS - done, max(1, _CHUNK_VALUES // len(shares)))
        inside = rng.random((size, len(shares)), dtype="f4") < COVERAGE
        worst.append((inside.astype("f4") @ shares).min(axis=1))
    return float(np.quantile(np.concatenate(worst), _LIMIT_LEVEL))


def _reference(data: TableData) -> Any:
    return resolve_crs(data.crs, ["x", "y"] if data.crs is None else ["lon", "lat"])
