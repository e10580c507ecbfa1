"""Train and test rows of cross-validation folds, from any form of `cv`."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import check_cv

from ..utils.messages import format_rows

__all__ = ["Split", "read_folds"]

Split = tuple[np.ndarray, np.ndarray]


def read_folds(
    cv: Any,
    X: Any,
    y: Any = None,
    groups: Any = None,
    *,
    complete: bool = False,
    name: str = "cv",
) -> list[Split]:
    """Return the training and test rows of each fold.

    Parameters
    ----------
    cv : int, splitter, array-like of shape (n,) or iterable of (train, test)
        Any `cv` of scikit-learn's `check_cv`, with an int as the number of unshuffled folds, or the
        fold label of each row. Labels are numbered in order of appearance. Train and test are row
        positions or boolean masks.
    X : DataFrame or array-like of shape (n, p)
    y, groups : array-like of shape (n,), default=None
        Passed to the splitter.
    complete : bool, default=False
        Whether each row has to be in exactly one test set; otherwise at most one.
    name : str, default="cv"
        Name of `cv` in error messages.

    Returns
    -------
    list of (train, test)
        Integer row positions.

    Raises
    ------
    ValueError
        If `cv` is None or of another type; a label is missing or there are fewer than two folds; a
        fold has no training rows or rows beyond those of X; a row is in several test sets; all
        rows, or any row with `complete`, are in none.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.splits import read_folds
    >>> for train, test in read_folds(["west", "east", "west"], np.zeros((3, 1))):
    ...     print(train, test)
    [1] [0 2]
    [0 2] [1]
    """
    n_rows = len(X)
    if not isinstance(cv, Integral) and not hasattr(cv, "split"):
        if not np.iterable(cv):
            raise ValueError(
                f"{name} must be a splitter, a number of folds, fold labels or (train, test) "
                f"pairs; found {cv!r}."
            )
        cv = list(cv)
        if not all(isinstance(part, tuple | list) and len(part) == 2 for part in cv):
            return _label_splits(cv, n_rows, name)
    # Splitters of other libraries may have no parameter `groups`.
    arguments = (X, y) if groups is None else (X, y, groups)
    splits = [
        (_row_positions(train), _row_positions(test))
        for train, test in check_cv(cv).split(*arguments)
    ]
    n_tests = np.zeros(n_rows, dtype=np.int64)
    for fold, (train, test) in enumerate(splits):
        if not len(train) or max(train.max(), test.max(initial=0)) >= n_rows:
            raise ValueError(
                f"{name} gives fold {fold} no training rows, or rows beyond the {n_rows} of X."
            )
        n_tests[test] += 1
    required = n_tests.min() == 1 if complete else n_tests.any()
    if not required or n_tests.max() > 1:
        raise ValueError(
            f"{name} must test each row {'exactly' if complete else 'at most'} once; "
            f"{(n_tests == 0).sum()} of {n_rows} rows are in no test set, and "
            f"{format_rows(n_tests > 1)} in several."
        )
    return splits


def _row_positions(part: Any) -> np.ndarray:
    part = np.asarray(part)
    return np.flatnonzero(part) if part.dtype == bool else part.astype(np.int64)


def _label_splits(labels: list, n_rows: int, name: str) -> list[Split]:
    codes, names = pd.factorize(pd.Series(labels))
    if len(codes) != n_rows or len(names) < 2 or (codes < 0).any():
        raise ValueError(
            f"{name} as fold labels must hold one label per row of X ({n_rows}) and at least two "
            f"folds; found {len(codes)} labels of {len(names)} folds, "
            f"{int((codes < 0).sum())} missing."
        )
    return [(np.flatnonzero(codes != k), np.flatnonzero(codes == k)) for k in range(len(names))]
