"""Columns of every kind that pandas can hold, read as numbers, dates or categories."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sptgnn_sklearn.table.categories import category_codes, category_levels
from sptgnn_sklearn.table.parsing import (
    decimal_years,
    format_rows,
    is_categorical,
    is_missing,
    to_float,
)

DAY = datetime.date(2004, 7, 2)  # in the middle of a leap year, to the day


def series(values, dtype=object):
    return pd.Series(values, dtype=dtype)


@pytest.mark.parametrize(
    "column",
    [
        series([1.0, np.nan, 0.0], "float64"),
        series([1.0, np.nan, 0.0], "float32"),
        series([1, None, 0], "Int64"),
        series([1, None, 0], "UInt8"),
        series([1.0, None, 0.0], "Float32"),
        series([True, None, False], "boolean"),
        series([1.0, None, 0.0], "double[pyarrow]"),
        series([1, None, 0], "int16[pyarrow]"),
        series([True, None, False], "bool[pyarrow]"),
        series([Decimal("1.0"), None, Decimal(0)], pd.ArrowDtype(pa.decimal128(10, 2))),
        series([1.0, np.nan, 0.0], "Sparse[float]"),
        series([1.0, None, 0.0], "category"),
        series([True, None, False]),
        series([1, pd.NA, np.bool_(False)]),
        series([Decimal("1.00"), Decimal("NaN"), Decimal(0)]),
        series(["1", None, " 0e3 "]),
        series(["1.0", None, "0"], "str"),
        series(["1.0", None, "0"], "string[pyarrow]"),
        series([datetime.timedelta(days=1), None, datetime.timedelta(0)], "timedelta64[ns]"),
        series([datetime.timedelta(days=1), None, datetime.timedelta(0)], "duration[s][pyarrow]"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_of_every_kind(column):
    """One, missing and zero are read alike from every kind of column."""
    found = to_float(column, "clay")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.0, np.nan, 0.0])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (series([1.0, "sand", "clay"]), r"'ph' must hold numbers .* 2 of 3 .*s 1, 2, value 'sand'"),
        (series([1.0, [2], None]), r"row position 1, value \[2\]"),
        (series(["1,5", "2"], "str"), r"row position 0, value '1,5'"),
        (series([1.0, -np.inf], "float64"), r"'ph' must hold finite numbers .*1, value -inf"),
        (series([1.0, "inf"]), r"finite numbers .*row position 1, value 'inf'"),
        (series([1.0, 10**400]), r"finite numbers .*row position 1"),
        (series([-3.4028235e38, 2.0], "float32"), r"between -1e\+30 and 1e\+30 .* as NaN"),
        (series([1.0, 2j]), r"must hold numbers .*row position 1, value 2j"),
        (series([1.0, Decimal("sNaN")]), r"'ph' must hold numbers .*1, value sNaN\): .* as NaN"),
        (series([1.0, 2j], "complex128"), r"Complex data not supported: column 'ph'"),
    ],
)
def test_what_is_no_number_is_named(column, message):
    """The error names the column, the first rows, the value and the remedy."""
    with pytest.raises(ValueError, match=message):
        to_float(column, "ph")


def test_numbers_are_a_copy():
    """Writing to what was read leaves the table as it was."""
    column = series([1.0, 2.0], "float64")
    to_float(column, "ph")[:] = 0
    assert column.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "column",
    [
        series([pd.Timestamp(DAY), pd.NaT], "datetime64[ns]"),
        series([pd.Timestamp(DAY), pd.NaT], "datetime64[s]"),
        series([pd.Timestamp(DAY), pd.NaT], "datetime64[us, UTC]"),
        series([pd.Timestamp(DAY), None], "timestamp[us][pyarrow]"),
        series([pd.Timestamp(DAY, tz="UTC"), None], "timestamp[us, tz=UTC][pyarrow]"),
        series([DAY, None], "date32[pyarrow]"),
        series([pd.Period("2004-07-02", "D"), None], "period[D]"),
        series([pd.Timestamp(DAY), None], "category"),
        series([DAY, None]),
        series([datetime.datetime(2004, 7, 2), pd.NaT]),
        series([np.datetime64("2004-07-02"), np.nan]),
        series(["2004-07-02", None], "str"),
        series(["2004-07-02T00:00:00Z", None], "str"),
        series(["2 July 2004", pd.NA]),
        series(["20040702", None]),
        series([20040702, None], "Int64"),
        series([2004.5, np.nan], "float64"),
        series(["2004.5", None], "str"),
        series([2004.5, None], "Float64"),
        series([Decimal("2004.5"), None]),
    ],
    ids=lambda column: f"{column.dtype}-{column[0]!r}",
)
def test_dates_of_every_kind(column):
    """The middle of the year 2004 is read alike from every kind of column."""
    np.testing.assert_allclose(decimal_years(column, "date"), [2004.5, np.nan], rtol=1e-9)


def test_kinds_of_dates_may_be_mixed():
    """Each entry is read by itself, and the year 0 is no date."""
    column = series(["2004-07-02", 1999.25, DAY, "2001", pd.NaT, 0, "2004-07"])
    expected = [2004.5, 1999.25, 2004.5, 2001.0, np.nan, np.nan, 2004 + 182 / 366]
    np.testing.assert_allclose(decimal_years(column, "date"), expected, rtol=1e-9)


def test_decimal_years_agree_with_the_calendar():
    """The fraction is the share of the year's seconds, in leap years as in others."""
    dates = pd.date_range("1899-12-30", "2101-01-03", periods=500)
    expected = []
    for date in dates:
        start, end = pd.Timestamp(date.year, 1, 1), pd.Timestamp(date.year + 1, 1, 1)
        expected.append(date.year + (date - start) / (end - start))
    np.testing.assert_allclose(decimal_years(pd.Series(dates), "t"), expected, rtol=1e-12)


def test_aware_dates_are_read_in_utc():
    """The first hours of a year in Tokyo belong to the year before."""
    column = series(["2001-01-01 03:00"], "datetime64[us]").dt.tz_localize("Asia/Tokyo")
    assert decimal_years(column, "t")[0] == pytest.approx(2001 - 6 / 24 / 366)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (series(["2001-01-01", "spring"]), r"'when' must hold dates, or years .*1, value 'spring'"),
        (series(["2001-01-01", "12:30"]), r"row position 1, value '12:30'"),
        (series(["2001-01-01", "today"]), r"row position 1, value 'today'"),
        (series(["20011301"]), r"row position 0, value '20011301'"),
        (series([2001.0, 99.0], "float64"), r"row position 1, value 99.0"),
        (series([2001.0, np.inf], "float64"), r"row position 1, value inf"),
        (series([True, True]), r"row positions 0, 1, value True"),
        (
            series(["2001-01-01", "9999-12-31"], "datetime64[s]"),
            r"row position 1, value 9999-12-31",
        ),
        (series([datetime.date(1, 1, 1)]), r"row position 0"),
        (series(["2001-02-30"]), r"row position 0, value '2001-02-30'"),
        (series(["2001-01-01", "03/04/2001"]), r"'03/04/2001', in which .*X\['when'\], dayfirst"),
        (series(["24.12.2001"], "str"), r"'24.12.2001', in which day, month and year"),
        (series(["15-06-15"], "str"), r"could be confused"),
    ],
)
def test_what_is_no_date_is_named(column, message):
    """The error names the column, the row and the value, and how to convert ambiguous dates."""
    with pytest.raises(ValueError, match=message):
        decimal_years(column, "when")


@pytest.mark.parametrize(
    ("column", "categorical"),
    [
        (series(["a", None], "str"), True),
        (series(["a", None]), True),
        (series(["a", None], "string[pyarrow]"), True),
        (series(["a", None], "category"), True),
        (series([1, 2], "category"), True),
        (pd.cut(pd.Series([1.0, 2.0]), 2), True),
        (pd.Series(pd.interval_range(0, 2)), True),
        (series([1, 2], "int64"), False),
        (series([True, None], "boolean"), False),
        (series([True, None]), False),
        (series([1, Decimal(2), None]), False),
        (series([None, None]), False),
        (series([DAY, None]), False),
        (series([DAY], "datetime64[us]"), False),
    ],
)
def test_categories_are_told_from_numbers(column, categorical):
    """Text and pandas categories are categories; numbers, booleans and dates are not."""
    assert is_categorical(column, "use") is categorical


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.5, None, "<0.1"], r"'clay' holds 1.5 and '<0.1': .*pd.to_numeric.*astype\(str\)"),
        (["sand", DAY], r"'clay' holds 'sand' and 2004-07-02: "),
        ([1.0, {"a": 1}], r"'clay' holds 1.0 and {'a': 1}"),
        ([b"sand"], r"'clay' holds b'sand'"),
    ],
)
def test_columns_of_several_kinds_are_refused(values, message):
    """A stray text in a column of numbers must not turn every number into a category."""
    with pytest.raises(TypeError, match=message):
        is_categorical(series(values), "clay")


@pytest.mark.parametrize("read", [decimal_years, is_categorical, is_missing])
def test_signalling_gaps_are_named(read):
    """They cannot be compared with anything, not even to find out what they are."""
    with pytest.raises(ValueError, match=r"'ph' must hold numbers .*row position 1, value sNaN"):
        read(series(["2001", Decimal("sNaN")]), "ph")


def test_levels_are_those_that_occur():
    """Unused levels of a pandas category are none, and levels are sorted as text."""
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
def test_codes_know_whole_numbers_in_every_guise(column):
    """A gap turns integers into floats; the level stays the same."""
    np.testing.assert_array_equal(category_codes(column, ("10", "2")), [0, 1, -1, -2])


def test_codes_of_an_arrow_dictionary():
    """Categories of Arrow are read as those of pandas."""
    array = pa.array(["b", None, "a"]).dictionary_encode()
    column = pd.Series(pd.arrays.ArrowExtensionArray(array))
    assert is_categorical(column, "use")
    assert category_levels(column) == ("a", "b")
    np.testing.assert_array_equal(category_codes(column, ("a", "b")), [1, -1, 0])


def test_other_levels_stay_as_they_are():
    """Fractions, booleans, infinity and text are levels as they are written."""
    column = series([1.5, True, np.inf, "1.0"])
    assert category_levels(column) == ("1.0", "1.5", "True", "inf")


def test_rows_are_described_briefly():
    """At most five positions are listed, and one row is no plural."""
    assert format_rows(np.arange(9) > 1) == "7 of 9 rows (row positions 2, 3, 4, 5, 6, ...)"
    assert format_rows(np.arange(3) == 2, "x") == "1 of 3 rows (row position 2, value x)"
