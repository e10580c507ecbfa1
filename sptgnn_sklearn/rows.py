"""A weight is a repetition and row order does not matter: merge identical rows, sort the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .columns import Table


@dataclass(frozen=True)
class Merged:
    """Distinct rows in canonical order.

    Attributes
    ----------
    rows : ndarray of shape (m,)
        For each distinct row, the position of its first copy in the caller's table.
    weight : ndarray of shape (m,)
        Sum of the weights of its copies.
    inverse : ndarray of shape (n,)
        For each of the caller's rows its distinct row; -1 where the weight is zero.
    """

    rows: np.ndarray
    weight: np.ndarray
    inverse: np.ndarray


def merge_rows(table: Table, y: np.ndarray, weight: np.ndarray) -> Merged:
    """Merge rows that are equal in every column and in the target, and order them canonically.

    Parameters
    ----------
    table : Table
        Rows to merge.
    y : ndarray of shape (n,)
        Targets.
    weight : ndarray of shape (n,)
        Non-negative weights; a row of weight zero is absent.

    Returns
    -------
    Merged
        The order depends on what the rows hold and never on where they stand.
    """
    present = np.flatnonzero(weight > 0)
    keys = _keys(table.take(present), y[present])
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    full = np.full(len(y), -1)
    full[present] = inverse
    return Merged(
        rows=present[first],
        weight=np.bincount(inverse, weights=weight[present]),
        inverse=full,
    )


def _keys(table: Table, y: np.ndarray) -> np.ndarray:
    """One opaque, comparable key per row: the bytes of all that the row holds."""
    parts = [table.coordinates, table.numeric, table.categories.astype(np.float64), y[:, None]]
    if table.time is not None:
        parts.append(table.time[:, None])
    if table.site is not None:
        labels = np.array([str(value) for value in table.site])
        parts.append(np.unique(labels, return_inverse=True)[1].astype(np.float64)[:, None])
    values = np.column_stack(parts) + 0.0  # -0.0 and 0.0 are one value, not two
    values[np.isnan(values)] = np.nan  # NaN has many bit patterns; keep one
    values = np.ascontiguousarray(values)
    return values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()
