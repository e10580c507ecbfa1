"""Deduplication of rows in canonical order, so that fits do not depend on the order of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .schema import SampleTable

__all__ = ["DeduplicatedRows", "deduplicate"]


@dataclass(frozen=True)
class DeduplicatedRows:
    """Distinct rows in canonical order.

    Attributes
    ----------
    rows : ndarray of shape (m,)
        Position of the first copy of each distinct row in the input table.
    weight : ndarray of shape (m,)
        Sum of the weights of its copies.
    inverse : ndarray of shape (n,)
        Distinct row of each input row; -1 if its weight is zero.
    """

    rows: np.ndarray
    weight: np.ndarray
    inverse: np.ndarray

    def among(self, present: np.ndarray) -> DeduplicatedRows:
        """Return the same rows, indexed in a larger table.

        Parameters
        ----------
        present : ndarray of shape (n_rows,) of bool
            Rows of the larger table that were merged; `inverse` of the others is -1.
        """
        inverse = np.full(len(present), -1)
        inverse[present] = self.inverse
        return DeduplicatedRows(np.flatnonzero(present)[self.rows], self.weight, inverse)


def deduplicate(table: SampleTable, y: np.ndarray, weight: np.ndarray) -> DeduplicatedRows:
    """Merge rows that are equal in all columns and the target, and sort them by content.

    Rows that differ in the known measurement error alone are different rows.

    Parameters
    ----------
    table : SampleTable
    y : ndarray of shape (n,)
        Targets.
    weight : ndarray of shape (n,)
        Non-negative weights; rows of weight zero are dropped.

    Returns
    -------
    DeduplicatedRows
        In an order that depends on the content of the rows only, not on their order in the table.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.schema import SampleTable
    >>> from sptgnn_sklearn.table.deduplication import deduplicate
    >>> xy = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> table = SampleTable(xy, numeric=np.empty((4, 0)), categories=np.empty((4, 0), dtype=int))
    >>> merged = deduplicate(table, y=np.zeros(4), weight=np.array([1.0, 1.0, 2.0, 0.0]))
    >>> merged.rows, merged.weight, merged.inverse
    (array([1, 0]), array([1., 3.]), array([ 1,  0,  1, -1]))
    """
    present = np.flatnonzero(weight > 0)
    keys = _row_keys(table.take(present), y[present])
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    full = np.full(len(y), -1)
    full[present] = inverse
    # Weights are summed in ascending order, because rounding depends on the order.
    ascending = np.lexsort((weight[present], inverse))
    return DeduplicatedRows(
        rows=present[first],
        weight=np.bincount(inverse[ascending], weights=weight[present][ascending]),
        inverse=full,
    )


def _row_keys(table: SampleTable, y: np.ndarray) -> np.ndarray:
    """Return a comparable key per row: the bytes of all its values."""
    parts = [table.coordinates, table.numeric, table.categories.astype(np.float64), y[:, None]]
    if table.time is not None:
        parts.append(table.time[:, None])
    if table.noise_std is not None:
        parts.append(table.noise_std[:, None])
    if table.campaign is not None:
        parts.append(np.unique(table.campaign, return_inverse=True)[1][:, None])
    parts += [_ranks(paths) for _, paths in sorted(table.images.items())]
    if table.site is not None:
        parts.append(_ranks(table.site))
    values = np.column_stack(parts) + 0.0  # turns -0.0 into 0.0
    values[np.isnan(values)] = np.nan  # NaN has many bit patterns
    values = np.ascontiguousarray(values)
    return values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()


def _ranks(labels: np.ndarray) -> np.ndarray:
    """Return the rank of each label in the order of their text, -1 for None, as a column."""
    rank = np.unique([str(label) for label in labels], return_inverse=True)[1]
    known = np.array([label is not None for label in labels])
    return np.where(known, rank, -1)[:, None]
