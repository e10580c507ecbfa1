"""Levels, codes and indicators of categorical columns."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sptgnn_sklearn.table.categories import (
    category_codes,
    category_levels,
    encode_categories,
    frequent_levels,
    has_too_many_levels,
    level_name,
    one_hot,
)
from sptgnn_sklearn.table.column_parsing import is_categorical


def series(values, dtype=object):
    return pd.Series(values, dtype=dtype)


def test_unused_levels_are_dropped():
    """Levels are those that occur, sorted as text."""
    column = pd.Series(pd.Categorical(["b", "a", None], categories=["a", "b", "never"]))
    assert category_levels(column) == ("a", "b")
    assert category_levels(series([None, None], "str")) == ()


@pytest.mark.parametrize(
    "column",
    [
        series([10, 2, None, 7], "category"),
        series([10, 2, None, 7], "Int64"),
        series([10.0, 2.0, np.nan, 7.0], "float64"),
        series([10.0, 2.0, np.nan, 7.0], "float32"),
        series(["10", "2", None, "7"], "str"),
        series([Decimal(10), Decimal("2.0"), None, 7]),
        series([10, 2, pd.NA, 7]),
        series([10, 2, None, 7], "int64[pyarrow]"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_codes_of_integers_of_any_dtype(column):
    """Integers that became floats by a missing value keep their level."""
    np.testing.assert_array_equal(category_codes(column, ("10", "2")), [0, 1, -1, -2])


def test_codes_of_arrow_dictionaries():
    """Categories of Arrow give the same levels as those of pandas."""
    array = pa.array(["b", None, "a"]).dictionary_encode()
    column = pd.Series(pd.arrays.ArrowExtensionArray(array))
    assert is_categorical(column, "use")
    assert category_levels(column) == ("a", "b")
    np.testing.assert_array_equal(category_codes(column, ("a", "b")), [1, -1, 0])


def test_names_of_other_levels():
    """Fractions, booleans, infinity and text are converted by str."""
    column = series([1.5, True, np.inf, "1.0"])
    assert category_levels(column) == ("1.0", "1.5", "True", "inf")


@pytest.mark.parametrize(
    "column",
    [
        series(["b", None, "a", "b"]),
        series(["b", None, "a", "b"], "str"),
        series(["b", None, "a", "b"], "category"),
        series([2.5, np.nan, 1.0, 2.5], "category"),
        series(pd.to_datetime(["2002", None, "2001", "2002"]), "category"),
        series([np.float32(0.1), None, np.float32(7), np.float32(0.1)], "category"),
        pd.cut(pd.Series([1.0, np.nan, 2.0, 1.0]), 2),
        series(pa.array(["b", None, "a", "b"]).dictionary_encode().to_pandas(), None),
        series([True, None, "a", 2]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_levels_and_codes_agree(column):
    """Levels are the distinct known values, codes index them, and both come from one pass."""
    levels, codes = encode_categories(column)
    assert levels == category_levels(column) == tuple(sorted(set(map(level_name, column.dropna()))))
    np.testing.assert_array_equal(codes, category_codes(column, levels), strict=True)
    names = [level_name(value) for value in column]
    assert [levels[code] for code in codes[codes >= 0]] == [
        name for name, missing in zip(names, column.isna(), strict=True) if not missing
    ]
    np.testing.assert_array_equal(codes == -1, column.isna())


def test_frequent_levels_are_sorted_by_code():
    """Of equally frequent levels the smaller codes are kept; missing and unseen do not count."""
    codes = np.array([3, 3, 0, 0, 1, 1, 1, -1, -1, -1, -2, -2, -2])
    np.testing.assert_array_equal(frequent_levels(codes, 2), [0, 1])
    np.testing.assert_array_equal(frequent_levels(codes, 9), [0, 1, 3])
    np.testing.assert_array_equal(
        one_hot(codes[:5], np.array([0, 3])), [[0, 1]] * 2 + [[1, 0]] * 2 + [[0, 0]]
    )


def test_many_levels_are_relative_to_rows():
    """Up to 32 levels are common; more are too many if most rows have a level of their own."""
    assert not has_too_many_levels(32, 32)
    assert has_too_many_levels(33, 40)
    assert has_too_many_levels(51, 100)
    assert not has_too_many_levels(50, 100)
