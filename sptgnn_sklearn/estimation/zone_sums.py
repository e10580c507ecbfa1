"""Statistics of zones, accumulated over blocks of cells for each joint draw."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from ..utils.distribution_columns import probability_column

__all__ = [
    "STATISTICS_OF_MAPS",
    "Statistic",
    "ZoneSums",
    "check_statistic",
    "distribution_row",
    "zone_table",
]

STATISTICS_OF_MAPS = ("mean", "total")
Statistic = str | Callable[[np.ndarray, np.ndarray], float]


class ZoneSums:
    """Draws of a statistic of each zone, and the means that describe them.

    Sums of means and totals need memory for the zones and draws alone. The draws of all cells are
    kept if the statistic is a function.

    Parameters
    ----------
    statistic : {"mean", "total"} or callable
        A function of values (n,) and weights (n,) of the cells of a zone.
    n_samples : int

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.zone_sums import ZoneSums
    >>> sums = ZoneSums("mean", n_samples=2)
    >>> draws = np.array([[1.0, 3.0], [2.0, 4.0], [6.0, 9.0]])
    >>> sums.add(["a", "b", "b"], np.array([1.0, 1.0, 3.0]), draws.mean(axis=1), draws)
    >>> sums.labels, sums.estimates().tolist(), sums.draws().tolist()
    (['a', 'b'], [2.0, 6.375], [[1.0, 3.0], [5.0, 7.75]])
    """

    def __init__(self, statistic: Statistic, n_samples: int) -> None:
        self._statistic = statistic
        self._positions: dict[Hashable, int] = {}
        self._draws = np.zeros((0, n_samples))
        # Columns: weights, predictions, variances of cells, weight outside of the area, cells.
        self._sums = np.zeros((0, 5))
        self._cells: list[list[tuple[np.ndarray, np.ndarray]]] = []

    @property
    def labels(self) -> list[Any]:
        """Labels of the zones, by first appearance."""
        return list(self._positions)

    @property
    def weights(self) -> np.ndarray:
        """Sum of weights (n_zones,)."""
        return self._sums[:, 0]

    @property
    def n_cells(self) -> np.ndarray:
        """Number of cells (n_zones,)."""
        return self._sums[:, 4].astype(np.int64)

    @property
    def outside_share(self) -> np.ndarray:
        """Share of the weight outside of the area of applicability (n_zones,)."""
        return self._sums[:, 3] / self.weights

    def add(
        self,
        zones: Any,
        weights: np.ndarray,
        predictions: np.ndarray,
        draws: np.ndarray,
        outside: np.ndarray | None = None,
    ) -> None:
        """Add the cells of a block.

        Parameters
        ----------
        zones : array-like of shape (n,)
            Labels.
        weights, predictions : ndarray of shape (n,)
            Positive weights, and the means of the draws without their sampling error.
        draws : ndarray of shape (n, n_samples)
        outside : ndarray of shape (n,) of bool or None
            Whether a cell is outside of the area of applicability.
        """
        if not len(weights):
            return
        zones = zones if isinstance(zones, pd.api.extensions.ExtensionArray) else pd.Series(zones)
        in_block, labels = pd.factorize(zones)
        codes = self._positions_of(list(labels))
        order = np.arange(len(weights))
        shape = (len(labels), len(weights))
        by_zone = csr_array((weights, (in_block, order)), shape=shape)
        lost = np.zeros(len(weights)) if outside is None else outside.astype(float)
        moments = np.column_stack(
            [np.ones(len(weights)), predictions, draws.var(axis=1, ddof=1), lost]
        )
        self._sums[codes, :4] += by_zone @ moments
        self._sums[codes, 4] += np.bincount(in_block, minlength=len(labels))
        if isinstance(self._statistic, str):
            self._draws[codes] += by_zone @ draws
            return
        by_row = np.argsort(in_block, kind="stable")
        borders = np.cumsum(np.bincount(in_block, minlength=len(labels)))[:-1]
        for code, rows in zip(codes, np.split(by_row, borders), strict=True):
            self._cells[code].append((draws[rows], weights[rows]))

    def draws(self) -> np.ndarray:
        """Return the draws (n_zones, n_samples) of the statistic."""
        if self._statistic == "total":
            return self._draws
        if self._statistic == "mean":
            return self._draws / self.weights[:, None]
        assert callable(self._statistic)
        return np.array([self._evaluate(*_join(cells)) for cells in self._cells])

    def estimates(self) -> np.ndarray:
        """Return the statistic (n_zones,): of the predictions, or the mean draw of a function."""
        total = self._sums[:, 1]
        if self._statistic == "total":
            return total
        return total / self.weights if self._statistic == "mean" else self.draws().mean(axis=1)

    def n_effective(self) -> np.ndarray:
        """Return the mean variance of a cell over the variance of the mean (n_zones,)."""
        if isinstance(self._statistic, str):
            sums = self._draws
        else:
            sums = np.array([np.tensordot(w, d, 1) for d, w in map(_join, self._cells)])
            sums = sums.reshape(len(self._cells), self._draws.shape[1])
        variance = (sums / self.weights[:, None]).var(axis=1, ddof=1)
        cell_variance = self._sums[:, 2] / self.weights
        missing = np.full(len(variance), np.nan)
        return np.divide(cell_variance, variance, out=missing, where=variance > 0)

    def _evaluate(self, draws: np.ndarray, weights: np.ndarray) -> np.ndarray:
        assert callable(self._statistic)
        found = [self._statistic(values, weights) for values in np.ascontiguousarray(draws.T)]
        if any(np.ndim(value) for value in found) or not np.isfinite(found).all():
            raise ValueError(
                "statistic(values, weights) must return one finite number; found "
                f"{next(v for v in found if np.ndim(v) or not np.isfinite(v))!r}."
            )
        return np.array(found, dtype=np.float64)

    def _positions_of(self, labels: Sequence[Any]) -> np.ndarray:
        """Return the rows of zones, with new ones for new labels."""
        for label in labels:
            self._positions.setdefault(label, len(self._positions))
        n_new = len(self._positions) - len(self._sums)
        if n_new:
            self._sums = np.pad(self._sums, ((0, n_new), (0, 0)))
            self._draws = np.pad(self._draws, ((0, n_new), (0, 0)))
            self._cells += [[] for _ in range(n_new)]
        return np.array([self._positions[label] for label in labels])


def check_statistic(statistic: Any) -> Statistic:
    """Return the statistic, or raise a ValueError.

    Examples
    --------
    >>> from sptgnn_sklearn.estimation.zone_sums import check_statistic
    >>> check_statistic("median")
    Traceback (most recent call last):
        ...
    ValueError: statistic must be one of ['mean', 'total'] or a function of values and weights; \
found 'median'.
    """
    if not callable(statistic) and statistic not in STATISTICS_OF_MAPS:
        raise ValueError(
            f"statistic must be one of {list(STATISTICS_OF_MAPS)} or a function of values and "
            f"weights; found {statistic!r}."
        )
    return statistic


def distribution_row(
    estimates: np.ndarray,
    draws: np.ndarray,
    coverage: float,
    below: Sequence[float] = (),
    above: Sequence[float] = (),
) -> dict[str, np.ndarray]:
    """Return columns of estimates, their standard deviations, intervals and probabilities.

    Parameters
    ----------
    estimates : ndarray of shape (n_zones,)
    draws : ndarray of shape (n_zones, n_samples)
    coverage : float
    below, above : sequence of float
        Limits of probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.zone_sums import distribution_row
    >>> draws = np.arange(101.0)[None]
    >>> row = distribution_row(np.array([50.0]), draws, 0.9, below=[25])
    >>> {name: round(float(column[0]), 3) for name, column in row.items()}
    {'estimate': 50.0, 'std': 29.3, 'lower': 5.0, 'upper': 95.0, 'p<25.0': 0.248}
    """
    tail = (1 - coverage) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], axis=1)
    columns = {
        "estimate": estimates,
        "std": draws.std(axis=1, ddof=1),
        "lower": lower,
        "upper": upper,
    }
    for limit in below:
        columns[probability_column(limit)] = (draws < limit).mean(axis=1)
    for limit in above:
        columns[probability_column(limit, above=True)] = (draws > limit).mean(axis=1)
    return columns


def zone_table(
    columns: dict[str, np.ndarray],
    labels: list[Any],
    *,
    known: list[Any],
    name: Any,
    n_rows: int,
    n_outside: int,
    stacklevel: int,
) -> pd.DataFrame:
    """Return one row per zone; warn about zones without cells and cells outside of all zones.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_zones,)
        One of them is n_cells.
    labels : list of n_zones labels
    known : list
        Labels that have a row even without cells, in their order; others are sorted.
    name : label
        Name of the index.
    n_rows, n_outside : int
        Numbers of cells, and of those in no zone.
    stacklevel : int
        That of the warnings.

    Raises
    ------
    ValueError
        If no cell is in a zone, or all have a weight of zero.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.estimation.zone_sums import zone_table
    >>> columns = {"estimate": np.array([2.0, 3.0]), "n_cells": np.array([4, 5])}
    >>> zone_table(columns, ["b", "a"], known=[], name="farm", n_rows=9, n_outside=0, stacklevel=2)
          estimate  n_cells
    farm
    a          3.0        5
    b          2.0        4
    """
    if not labels:
        reason = (
            "is in a zone: check the labels, or the CRS and extent of zones and of coordinates."
            if n_outside == n_rows
            else "in a zone has a positive weight."
        )
        raise ValueError(f"No cell of {n_rows} {reason}")
    others = [label for label in labels if label not in set(known)]
    with contextlib.suppress(TypeError):  # labels of several types keep their order
        others = sorted(others)
    order = [*known, *others]
    table = pd.DataFrame(columns, index=pd.Index(labels, tupleize_cols=False))
    n_cells = table["n_cells"]
    table = table.reindex(pd.Index(order, name=name, tupleize_cols=False))
    table["n_cells"] = n_cells.reindex(table.index, fill_value=0).astype(np.int64)
    empty = [label for label in known if label not in n_cells.index]
    if empty:
        warnings.warn(
            f"{len(empty)} zones have no cells with a weight ({empty[:10]}): their estimates are "
            "NaN.",
            UserWarning,
            stacklevel=stacklevel,
        )
    if n_outside:
        warnings.warn(
            f"{n_outside} of {n_rows} cells are in no zone and left out.",
            UserWarning,
            stacklevel=stacklevel,
        )
    return table


def _join(cells: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    draws, weights = zip(*cells, strict=True)
    return np.concatenate(draws), np.concatenate(weights)
