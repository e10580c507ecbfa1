"""Tests of columns with limits of detection."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.readers import replace_censored


@pytest.mark.parametrize(
    ("values", "rule", "limit", "expected"),
    [
        (["3", "<2", "5"], "half", None, [3, 1, 5]),
        (["3", "4", "≤ 2", ">9"], "limit", None, [3, 4, 2, 9]),
        (["3", "5,5", "<0,4", None], "half", None, [3, 5.5, 0.2, np.nan]),
        (["3", "5", "n.d."], "half", 1.0, [3, 5, 0.5]),
        (["3", "5", "BDL", "<2"], "limit", 1.0, [3, 5, 1, 2]),
        (["3", "5", "<LOQ", ">9"], "drop", None, [3, 5, np.nan, np.nan]),
        (["3", "5", "< lod"], "drop", 1.0, [3, 5, np.nan]),
    ],
)
def test_limits_become_numbers(values, rule, limit, expected):
    """Entries below and above limits, and undetected ones, become numbers by a rule."""
    result = replace_censored(pd.Series(values, dtype=object), rule, limit=limit)
    np.testing.assert_equal(result.to_numpy(), np.array(expected, dtype=float))


@pytest.mark.parametrize(
    ("values", "rule", "words"),
    [
        (["3", "5", "<2"], None, "'<2' in data row 3 .1 such rows.; set rule='half'"),
        (["3", "5", "n.d."], None, "'n.d.' in data row 3"),
        (["3", "n.d.", "5"], "half", "'n.d.' in data row 2 gives no limit"),
        (["3", "<LOD", "5"], "limit", "'<LOD' in data row 2 gives no limit"),
        (["3", "<2", "5"], "twice", "rule='twice'"),
    ],
)
def test_unclear_limits_raise(values, rule, words):
    """The column, the entry and its row are named."""
    with pytest.raises(ValueError, match=words):
        replace_censored(pd.Series(values, name="soc"), rule)


@pytest.mark.parametrize("values", [["sand", "clay", "<2"], [1.0, 2.0], ["n.d.", "sand", "clay"]])
def test_other_columns_are_unchanged(values):
    """Text and numbers are returned as they are."""
    column = pd.Series(values)
    assert replace_censored(column, "half") is column
