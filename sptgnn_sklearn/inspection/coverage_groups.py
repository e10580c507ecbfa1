"""Groups of rows in which the coverage of intervals is checked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ..spatial.blocks import cluster_labels
from ..spatial.crs import SpatialReference
from ..spatial.distances import chord_to_distance, to_local_plane, to_metric_coordinates
from ..table.categories import level_name
from ..table.column_parsing import decimal_years, has_date_values, is_categorical, to_float
from ..table.coordinate_columns import find_column

__all__ = [
    "KNOWN_GROUPS",
    "MISSING_GROUP",
    "GroupSources",
    "categories",
    "column_groups",
    "distance_to_nearest",
    "quantile_groups",
    "region_groups",
]

KNOWN_GROUPS = ("std", "distance", "region")
MISSING_GROUP = "missing"
_MAX_DECIMALS = 12


@dataclass(frozen=True)
class GroupSources:
    """What rows can be grouped by.

    Attributes
    ----------
    n_rows : int
    std : ndarray of shape (n_rows,) or None
        Predicted standard deviations.
    width : ndarray of shape (n_rows,)
        Widths of the intervals, used where there is no standard deviation.
    frame : DataFrame or None
        Columns of X.
    locate : callable ``() -> (xy, reference)``
        Coordinates of the rows; raises a ValueError where there are none.
    distance : callable ``() -> (distance, unit)``
        Distances to the nearest training location.
    n_groups, min_rows : int
    random_state : int, RandomState or None
        Seed of the regions.
    """

    n_rows: int
    std: np.ndarray | None
    width: np.ndarray
    frame: pd.DataFrame | None
    locate: Callable[[], tuple[np.ndarray, SpatialReference]]
    distance: Callable[[], tuple[np.ndarray, str]]
    n_groups: int
    min_rows: int
    random_state: Any

    def groups(self, by: Any, rows: np.ndarray) -> dict[str, pd.Categorical[Any]]:
        """Return the groups of some rows for each name in `by`.

        Parameters
        ----------
        by : str, mapping or sequence of str, labels of columns and mappings
        rows : ndarray of int
            Positions of the rows that are grouped.

        Raises
        ------
        ValueError
            If `by` is empty, a name occurs twice or is unknown, or values differ in length.
        """
        found: dict[str, pd.Categorical[Any]] = {}
        for name, entry in self._entries(by):
            name, groups = self._group(name, entry, rows)
            if name in ("all", *found):
                raise ValueError(
                    f"by must hold distinct names other than 'all', which is the row of all rows; "
                    f"found {name!r}{' twice' if name in found else ''}."
                )
            found[name] = groups
        return found

    def _entries(self, by: Any) -> list[tuple[str, Any]]:
        """Return the names in `by`, each with its column label or values."""
        single = isinstance(by, str | Mapping) or not isinstance(by, Sequence)
        entries: list[tuple[str, Any]] = []
        for entry in [by] if single else by:
            if isinstance(entry, Mapping):
                entries += [(str(name), _Values(values)) for name, values in entry.items()]
            else:
                entries.append((str(entry), entry))
        if not entries:
            raise ValueError(
                f"by must hold at least one of {', '.join(KNOWN_GROUPS)}, a column of X or a "
                f"mapping of names to values; found {by!r}."
            )
        return entries

    def _group(self, name: str, entry: Any, rows: np.ndarray) -> tuple[str, pd.Categorical[Any]]:
        """Return the groups of one entry, and their name in the table."""
        sizes = (self.n_groups, self.min_rows)
        if isinstance(entry, _Values):
            series = self._align(name, entry.values)
            return name, column_groups(series.iloc[rows], f"by[{name!r}]", *sizes)
        if entry == "std":
            if self.std is None:
                return "width", quantile_groups(self.width[rows], *sizes)
            return name, quantile_groups(self.std[rows], *sizes)
        if entry == "distance":
            distance, unit = self.distance()
            return name, quantile_groups(distance[rows], *sizes, unit=unit)
        if entry == "region":
            xy, reference = self.locate()
            return name, region_groups(xy[rows], reference, *sizes, self.random_state)
        if self.frame is None:
            raise ValueError(
                f"by={name!r} is a column of X, so X is required: pass X=, or the values as "
                f"by={{{name!r}: values}}."
            )
        label = find_column(self.frame, entry, "by")
        return str(label), column_groups(self.frame[label].iloc[rows], label, *sizes)

    def _align(self, name: str, values: Any) -> pd.Series:
        if np.ndim(values) != 1 or len(values) != self.n_rows:
            raise ValueError(
                f"by[{name!r}] must hold one value for each of {self.n_rows} rows; found shape "
                f"{np.shape(values)}."
            )
        if not isinstance(values, pd.Series):
            return pd.Series(values)
        # Values of a join are often in another order.
        if self.frame is not None and not values.index.equals(self.frame.index):
            raise ValueError(
                f"by[{name!r}] is a Series with another index than X: pass values.loc[X.index], or "
                "values.to_numpy() if the rows correspond."
            )
        return values


@dataclass(frozen=True)
class _Values:
    """Values of a mapping, which are not labels of columns."""

    values: Any


def column_groups(
    column: pd.Series, label: Hashable, n_groups: int, min_rows: int
) -> pd.Categorical[Any]:
    """Return groups of a column: categories of text, quantile groups of numbers and dates.

    Parameters
    ----------
    column : Series of length n
    label : label
        Name in messages.
    n_groups, min_rows : int
        Numbers with at most `n_groups` distinct values are categories.

    Raises
    ------
    TypeError
        If the column mixes types.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.inspection.coverage_groups import column_groups
    >>> list(column_groups(pd.Series(["clay", "sand", None]), "texture", 5, 1))
    ['clay', 'sand', 'missing']
    >>> list(column_groups(pd.Series([1.5, 2.0, 4.0, 7.0]), "slope", 2, 1))
    ['1.5 to 2.0', '1.5 to 2.0', '4.0 to 7.0', '4.0 to 7.0']
    """
    if pd.api.types.is_bool_dtype(column.dtype) or is_categorical(column, label):
        return categories(column, min_rows)
    is_date = has_date_values(column.dropna())
    values = decimal_years(column, label) if is_date else to_float(column, label)
    if len(np.unique(values[~np.isnan(values)])) <= n_groups:
        return categories(pd.Series(values), min_rows)
    return quantile_groups(values, n_groups, min_rows)


def categories(column: pd.Series, min_rows: int) -> pd.Categorical[Any]:
    """Return categories as groups; those of fewer than `min_rows` rows are joined as "other".

    Parameters
    ----------
    column : Series of length n
        Categories keep their order, other values are sorted. Missing ones are a group.
    min_rows : int

    Returns
    -------
    Categorical of length n
        Of text, with the number of joined categories: "other (3)". A single rare category keeps
        its name.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.inspection.coverage_groups import categories
    >>> list(categories(pd.Series(["clay", "clay", "peat", "sand"]), 2))
    ['clay', 'clay', 'other (2)', 'other (2)']
    """
    labels = pd.Categorical(column)
    names = [level_name(level) for level in labels.categories]
    n_rows = np.bincount(labels.codes[labels.codes >= 0], minlength=len(names))
    rare = (n_rows > 0) & (n_rows < min_rows)
    if rare.sum() > 1:
        other = f"other ({rare.sum()})"
        names = [other if is_rare else name for name, is_rare in zip(names, rare, strict=True)]
        # At the end, whatever the order of the categories.
        order = list(dict.fromkeys([name for name in names if name != other] + [other]))
    else:
        order = list(dict.fromkeys(names))
    text = [names[code] if code >= 0 else MISSING_GROUP for code in labels.codes]
    found = set(text)
    order = [name for name in order if name in found and name != MISSING_GROUP]
    return pd.Categorical(text, [*order, *([MISSING_GROUP] if MISSING_GROUP in found else [])])


def quantile_groups(
    values: np.ndarray, n_groups: int, min_rows: int, unit: str = ""
) -> pd.Categorical[Any]:
    """Return groups of about equal size of rows with similar values.

    Parameters
    ----------
    values : ndarray of shape (n,)
        May be infinite; NaN is a group of its own.
    n_groups : int
        There are fewer groups where they would have less than `min_rows` rows. Equal values are in
        one group.
    min_rows : int
    unit : str, default=""
        Unit, for the names.

    Returns
    -------
    Categorical of length n
        Groups in increasing order, named by their smallest and largest value.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.coverage_groups import quantile_groups
    >>> list(quantile_groups(np.array([0.0, 0.0, 0.0, 20.0, 500.0, np.nan]), 2, 1, "m").categories)
    ['0 m', '20 to 500 m', 'missing']
    """
    known = ~np.isnan(values)
    kept = values[known]
    if not len(kept):
        return pd.Categorical([MISSING_GROUP] * len(values))
    n_groups = max(1, min(n_groups, len(kept) // min_rows))
    # Without interpolation, so that limits may be infinite and equal values share a group.
    edges = np.quantile(kept, np.arange(1, n_groups) / n_groups, method="inverted_cdf")
    codes = np.unique(np.searchsorted(edges, kept, side="left"), return_inverse=True)[1]
    while (n_rows := np.bincount(codes)).min() < min_rows and len(n_rows) > 1:
        smallest = int(n_rows.argmin())
        sides = [side for side in (smallest - 1, smallest + 1) if 0 <= side < len(n_rows)]
        neighbor = min(sides, key=lambda side: n_rows[side])
        codes = codes - (codes > min(smallest, neighbor))
    names = _range_names(kept, codes, unit)
    text = np.full(len(values), MISSING_GROUP, dtype=object)
    text[known] = np.array(names, dtype=object)[codes]
    return pd.Categorical(text, [*names, *([] if known.all() else [MISSING_GROUP])])


def region_groups(
    xy: np.ndarray,
    reference: SpatialReference,
    n_groups: int,
    min_rows: int,
    random_state: Any = 0,
) -> pd.Categorical[Any]:
    """Return compact regions from k-means of the coordinates, numbered from west to east.

    Parameters
    ----------
    xy : ndarray of shape (n, 2)
    reference : SpatialReference
    n_groups : int
        Largest number of regions.
    min_rows : int
        A region of fewer rows is joined to the nearest one.
    random_state : int, RandomState or None, default=0

    Returns
    -------
    Categorical of length n
        "1", "2", ...

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.coverage_groups import region_groups
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> xy = np.array([[90.0, 0.0], [91.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    >>> list(region_groups(xy, resolve_crs(None, ["x", "y"]), 2, 1))
    ['2', '2', '1', '1']
    """
    points = to_metric_coordinates(xy, reference)
    labels = cluster_labels(points, max(1, min(n_groups, len(xy) // min_rows)), random_state)
    while (n_rows := np.bincount(labels)).min() < min_rows and len(n_rows) > 1:
        centers = np.array([points[labels == region].mean(axis=0) for region in range(len(n_rows))])
        smallest = int(n_rows.argmin())
        distance = np.linalg.norm(centers - centers[smallest], axis=1)
        distance[smallest] = np.inf
        labels = np.where(labels == smallest, distance.argmin(), labels)
        labels = np.unique(labels, return_inverse=True)[1]
    east = to_local_plane(xy, reference)[:, 0]
    centers = np.bincount(labels, east) / np.bincount(labels)
    number = np.argsort(np.argsort(centers, kind="stable"), kind="stable") + 1
    names = [str(region) for region in range(1, len(centers) + 1)]
    return pd.Categorical([str(number[region]) for region in labels], names)


def distance_to_nearest(
    xy: np.ndarray, training_xy: np.ndarray, reference: SpatialReference
) -> np.ndarray:
    """Return distances on the ground (n,) to the nearest training location.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.coverage_groups import distance_to_nearest
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> reference = resolve_crs(None, ["lon", "lat"])
    >>> distance_to_nearest(np.array([[5.0, 52.0]]), np.array([[5.0, 53.0]]), reference).round(1)
    array([111.2])
    """
    points, training = (to_metric_coordinates(each, reference) for each in (xy, training_xy))
    return chord_to_distance(cKDTree(training).query(points)[0], reference)


def _range_names(values: np.ndarray, codes: np.ndarray, unit: str) -> list[str]:
    """Return names of the ranges of groups, with two digits of their width, or more if needed."""
    groups = [values[codes == code] for code in range(codes.max() + 1)]
    ranges = [(group.min(), group.max()) for group in groups]
    finite = values[np.isfinite(values)]
    step = np.ptp(finite) / len(groups) if len(finite) else 0.0
    is_whole = (finite == np.floor(finite)).all()
    fewest = 0 if is_whole or not step > 0 else max(0, 1 - int(np.floor(np.log10(step))))
    names: list[str] = []
    for decimals in range(fewest, max(fewest, _MAX_DECIMALS) + 1):
        names = [_range_name(low, high, decimals, unit) for low, high in ranges]
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {name}" for number, name in enumerate(names, 1)]


def _range_name(low: float, high: float, decimals: int, unit: str) -> str:
    # Adding 0.0 removes the sign of a rounded zero.
    first, last = (f"{round(value, decimals) + 0.0:.{decimals}f}" for value in (low, high))
    text = first if first == last else f"{first} to {last}"
    return f"{text} {unit}".rstrip()
