"""Parsers of columns of all types of pandas."""

import datetime
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sptgnn_sklearn.table.column_parsing import (
    decimal_years,
    is_categorical,
    is_missing,
    read_noise_std,
    read_paths,
    to_float,
)

DAY = datetime.date(2004, 7, 2)  # the middle of a leap year


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
def test_numeric_columns_of_any_dtype(column):
    """One, missing and zero are parsed from columns of any dtype."""
    result = to_float(column, "clay")
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, [1.0, np.nan, 0.0])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (series([1.0, "sand", "clay"]), r"'ph' must hold numbers.* 2 of 3 .*s 1, 2, value 'sand'"),
        (series([1.0, [2], None]), r"row position 1, value \[2\]"),
        (series(["1,5", "2"], "str"), r"row position 0, value '1,5'"),
        (series([1.0, -np.inf], "float64"), r"'ph' must hold finite numbers.*1, value -inf"),
        (series([1.0, "inf"]), r"finite numbers.*row position 1, value 'inf'"),
        (series([1.0, 10**400]), r"finite numbers.*row position 1"),
        (series([-3.4028235e38, 2.0], "float32"), r"between -1e\+30 and 1e\+30.* to NaN"),
        (series([1.0, 2j]), r"must hold numbers.*row position 1, value 2j"),
        (series([1.0, Decimal("sNaN")]), r"'ph' must hold numbers.*1, value sNaN\): .* to NaN"),
        (series([1.0, 2j], "complex128"), r"Complex data not supported: column 'ph'"),
    ],
)
def test_invalid_numbers_raise(column, message):
    """The error contains the column, the rows, the value and a remedy."""
    with pytest.raises(ValueError, match=message):
        to_float(column, "ph")


def test_numbers_are_copied():
    """Writing to the result does not change the table."""
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
def test_date_columns_of_any_dtype(column):
    """The middle of 2004 is parsed from columns of any dtype."""
    np.testing.assert_allclose(decimal_years(column, "date"), [2004.5, np.nan], rtol=1e-9)


def test_date_formats_may_be_mixed():
    """Each entry is parsed on its own; year 0 is missing."""
    column = series(["2004-07-02", 1999.25, DAY, "2001", pd.NaT, 0, "2004-07"])
    expected = [2004.5, 1999.25, 2004.5, 2001.0, np.nan, np.nan, 2004 + 182 / 366]
    np.testing.assert_allclose(decimal_years(column, "date"), expected, rtol=1e-9)


def test_decimal_years_agree_with_the_calendar():
    """The fraction is the share of seconds of the year, also in leap years."""
    dates = pd.date_range("1899-12-30", "2101-01-03", periods=500)
    expected = []
    for date in dates:
        start, end = pd.Timestamp(date.year, 1, 1), pd.Timestamp(date.year + 1, 1, 1)
        expected.append(date.year + (date - start) / (end - start))
    np.testing.assert_allclose(decimal_years(pd.Series(dates), "t"), expected, rtol=1e-12)


def test_time_zones_are_converted_to_utc():
    """The first hours of a year in Tokyo are in the previous year."""
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
        (series(["2001-01-01", "03/04/2001"]), r"'03/04/2001'.*X\['when'\], dayfirst"),
        (series(["24.12.2001"], "str"), r"'24.12.2001'.*ambiguous"),
        (series(["15-06-15"], "str"), r"'15-06-15'.*ambiguous"),
    ],
)
def test_invalid_dates_raise(column, message):
    """The error contains the column, row and value; ambiguous dates also a remedy."""
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
def test_categories_are_distinguished_from_numbers(column, categorical):
    """Text and pandas categories are categorical; numbers, booleans and dates are not."""
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
def test_mixed_columns_raise(values, message):
    """A single text entry does not turn a numeric column into a category."""
    with pytest.raises(TypeError, match=message):
        is_categorical(series(values), "clay")


@pytest.mark.parametrize("read", [decimal_years, is_categorical, is_missing])
def test_signaling_nan_raises(read):
    """Decimal's signaling NaN cannot be compared, not even by pandas."""
    with pytest.raises(ValueError, match=r"'ph' must hold numbers.*row position 1, value sNaN"):
        read(series(["2001", Decimal("sNaN")]), "ph")


def test_read_paths():
    """Text and path objects are paths; everything else, and empty text, is a missing image."""
    values = [Path("a") / "b.tif", "c.tif", np.str_("d.tif"), "s3://x/e.tif", "C:\\f.tif"]
    assert read_paths(values).tolist() == [str(Path("a/b.tif")), "c.tif", "d.tif", *values[3:]]
    assert all(type(path) is str for path in read_paths(values))
    missing = [None, float("nan"), pd.NA, pd.NaT, 0.0, 3, "", "  ", b"a.tif", ["a.tif"]]
    assert read_paths(missing).tolist() == [None] * len(missing)
    assert read_paths(pd.Series(["a", None], dtype="str")).tolist() == ["a", None]
    assert read_paths([]).shape == (0,)


@pytest.mark.skipif(os.name == "nt", reason="file URLs differ on Windows")
def test_file_urls_are_paths():
    """With or without a host, and with percent escapes."""
    urls = ["file:///data/a%20b.tif", "file://localhost/data/c.tif"]
    assert read_paths(urls).tolist() == ["/data/a b.tif", "/data/c.tif"]


def test_noise_std_reads_missing_entries_as_zero():
    """Standard deviations of all types of numbers; unknown is 0."""
    for column in (series([0.5, None, 0]), series([0.5, np.nan, 0.0], "float32")):
        np.testing.assert_array_equal(read_noise_std(column, "lab_sd"), [0.5, 0.0, 0.0])
    np.testing.assert_array_equal(read_noise_std(series(["0.5", None]), "lab_sd"), [0.5, 0.0])


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([0.1, -0.5, -2.0], "row positions 1, 2, value -0.5"),
        ([0.1, 0.2, np.inf], "row position 2"),
        ([0.1, "low", 0.2], "row position 1, value 'low'"),
        ([0.1, 1e31, 0.2], "row position 1"),
        ([DAY, DAY, DAY], "dates or durations"),
        (pd.to_timedelta([1, 2, 3], unit="D"), "dates or durations"),
    ],
)
def test_noise_std_that_is_no_standard_deviation_raises(values, row):
    """Errors name the column, and the row where there is a wrong value."""
    column = pd.Series(values) if isinstance(values, pd.Index) else series(values)
    with pytest.raises(ValueError, match="'lab_sd'") as error:
        read_noise_std(column, "lab_sd")
    assert row in str(error.value)
