"""Folds in every form, and those that do not fit."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, ShuffleSplit

from sptgnn_sklearn.model_selection.splits import as_splits

X = np.zeros((6, 2))


def listed(splits):
    return [(train.tolist(), test.tolist()) for train, test in splits]


@pytest.mark.parametrize(
    "cv",
    [
        [0, 0, 0, 1, 1, 1],
        np.array(["w", "w", "w", "e", "e", "e"]),
        pd.Series([7.0, 7.0, 7.0, 8.0, 8.0, 8.0], index=range(10, 16)),
        2,
        KFold(2),
        [([3, 4, 5], [0, 1, 2]), ([0, 1, 2], [3, 4, 5])],
        KFold(2).split(X),
        [(np.arange(6) >= 3, np.arange(6) < 3), (np.arange(6) < 3, np.arange(6) >= 3)],
    ],
    ids=["list", "text", "series", "number", "splitter", "pairs", "iterator", "masks"],
)
def test_all_forms_of_the_same_folds(cv):
    """The first three rows and the others."""
    assert listed(as_splits(cv, X)) == [([3, 4, 5], [0, 1, 2]), ([0, 1, 2], [3, 4, 5])]


def test_none_stays_none():
    """Leave-one-out needs no lists."""
    assert as_splits(None, X) is None


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([0, 1], "it holds 2 labels of 2 folds, 0 missing"),
        ([0] * 6, "6 labels of 1 folds"),
        ([0, 0, 1, 1, None, 2], "1 missing"),
        (ShuffleSplit(5, random_state=0), "at most once"),
        ([([], [0, 1])], "fold 0 no training rows"),
        ([([0, 9], [1])], "rows beyond the 6 of X"),
        ([([0, 1], [])], "6 of 6 rows are in no test set"),
    ],
)
def test_folds_that_do_not_fit_are_refused(cv, message):
    """The message says what was found."""
    with pytest.raises(ValueError, match=message):
        as_splits(cv, X)
