"""Folds in any form that a user may give them, as pairs of training and test rows."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import check_cv

from ..table.parsing import format_rows

__all__ = ["as_splits"]


def as_splits(cv: Any, X: Any, y: Any = None) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Return the training and test rows of each fold.

    Parameters
    ----------
    cv : None, array-like of shape (n,), int, splitter or iterable of (train, test)
        None is leave-one-out. An array holds the label of each row's fold.
    X : DataFrame or ndarray of shape (n, p)
    y : array-like of shape (n,) or None
        For splitters that look at it.

    Returns
    -------
    list of (train, test) or None

    Raises
    ------
    ValueError
        If labels are missing, do not fit X or make one fold only; if a fold has no training rows;
        if a row is held out more than once, or none is.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.splits import as_splits
    >>> for train, test in as_splits(["west", "east", "west"], np.zeros((3, 1))):
    ...     print(train, test)
    [1] [0 2]
    [0 2] [1]
    """
    if cv is None:
        return None
    n_rows = X.shape[0]
    if not isinstance(cv, Integral) and not hasattr(cv, "split"):
        cv = list(cv)
        if not all(isinstance(part, tuple | list) and len(part) == 2 for part in cv):
            return _label_splits(cv, n_rows)
    found = [(_rows(train), _rows(test)) for train, test in check_cv(cv).split(X, y)]
    rows = np.zeros(n_rows, dtype=np.int64)
    for fold, (train, test) in enumerate(found):
        if not len(train) or max(train.max(), test.max(initial=0)) >= n_rows:
            raise ValueError(
                f"cv gives fold {fold} no training rows, or rows beyond the {n_rows} of X."
            )
        rows[test] += 1
    if not rows.any() or rows.max() > 1:
        raise ValueError(
            f"cv must hold out each row at most once, and some: {(rows == 0).sum()} of {n_rows} "
            f"rows are in no test set, and {format_rows(rows > 1)} in several."
        )
    return found


def _rows(part: Any) -> np.ndarray:
    part = np.asarray(part)
    return np.flatnonzero(part) if part.dtype == bool else part.astype(np.int64)


def _label_splits(labels: list, n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    codes, names = pd.factorize(pd.Series(labels))
    if len(codes) != n_rows or len(names) < 2 or (codes < 0).any():
        raise ValueError(
            f"cv as labels must hold the fold of each of the {n_rows} rows of X and at least two "
            f"folds; it holds {len(codes)} labels of {len(names)} folds, "
            f"{int((codes < 0).sum())} missing."
        )
    return [(np.flatnonzero(codes != k), np.flatnonzero(codes == k)) for k in range(len(names))]
