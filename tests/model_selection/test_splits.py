"""Folds in every accepted form, and invalid folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from sptgnn_sklearn.model_selection.splits import read_folds

X = np.zeros((6, 2))


def as_lists(splits):
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
    """Each form gives a fold of the first three rows and a fold of the others."""
    assert as_lists(read_folds(cv, X)) == [([3, 4, 5], [0, 1, 2]), ([0, 1, 2], [3, 4, 5])]


def test_groups_and_target_are_passed_to_the_splitter():
    """GroupKFold keeps the groups whole; a splitter without `groups` works without them."""
    groups = [0, 1, 0, 1, 0, 1]
    assert as_lists(read_folds(GroupKFold(2), X, None, groups)) == as_lists(
        GroupKFold(2).split(X, None, groups)
    )

    class ByTarget:
        def split(self, X, y=None):
            yield np.flatnonzero(y > 0), np.flatnonzero(y <= 0)

    assert as_lists(read_folds(ByTarget(), X, np.arange(6) - 2)) == [([3, 4, 5], [0, 1, 2])]


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (None, "found None"),
        (0.5, "found 0.5"),
        ([0, 1], "found 2 labels of 2 folds, 0 missing"),
        ([0] * 6, "6 labels of 1 folds"),
        ([0, 0, 1, 1, None, 2], "1 missing"),
        (ShuffleSplit(5, random_state=0), "at most once"),
        ([([], [0, 1])], "fold 0 no training rows"),
        ([([0, 9], [1])], "rows beyond the 6 of X"),
        ([([0, 1], [])], "6 of 6 rows are in no test set"),
    ],
)
def test_invalid_folds_raise(cv, message):
    """The error names the parameter and what was found."""
    with pytest.raises(ValueError, match=f"^cv .*{message}"):
        read_folds(cv, X)


def test_complete_folds_test_each_row():
    """Rows that are never tested raise if `complete`, under the given name."""
    half = [(np.arange(3), np.arange(3, 6))]
    assert len(read_folds(half, X)) == 1
    with pytest.raises(ValueError, match=r"^folds\['half'\] .*exactly once; 3 of 6 rows"):
        read_folds(half, X, complete=True, name="folds['half']")
    with pytest.raises(ValueError, match=r"2 of 6 rows \(row positions 4, 5\) in several"):
        read_folds([(np.arange(2), np.arange(2, 6)), ([0], [4, 5])], X, complete=True)
