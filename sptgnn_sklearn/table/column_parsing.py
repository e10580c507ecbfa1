"""Parsers of single columns: numbers, dates and paths.

All column types of pandas are supported: numpy, nullable, Arrow and sparse columns, Decimal and
date objects, text. Errors give the column, the first invalid rows, the value found and a remedy.
"""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Hashable, Iterable
from decimal import Decimal, InvalidOperation
from numbers import Number
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd

from ..utils.messages import format_rows

__all__ = [
    "LARGEST",
    "decimal_years",
    "has_date_values",
    "is_categorical",
    "is_missing",
    "read_noise_std",
    "read_paths",
    "to_float",
]

URL_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters: C:\ is a drive
# Rasters mark missing data by numbers such as -3.4e38, the largest of single precision.
LARGEST = 1e30
_YEARS = (1500.0, 2500.0)
_DAYS = (15_000_101.0, 25_001_231.0)  # the same years, as YYYYMMDD
# 03/04/2001 may be in March or April, 15-06-12 in 2015 or 2012.
_AMBIGUOUS_DATE = r"\s*\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}\b"
_NUMBER = (Number, np.bool_)
_DATE = (datetime.date, np.datetime64)
_YEAR = np.timedelta64(1, "Y")
_REMEDY = "correct or drop these rows"


def read_paths(column: Iterable[object]) -> np.ndarray:
    """Read a column of paths.

    Parameters
    ----------
    column : iterable of n values
        Text, path objects and file URLs; anything else is a missing image.

    Returns
    -------
    ndarray of shape (n,) of object
        Paths as str; None for missing images.

    Examples
    --------
    >>> from sptgnn_sklearn.table.column_parsing import read_paths
    >>> read_paths(["a.tif", "file:///data/b%20c.tif", float("nan"), "", 0.0]).tolist()
    ['a.tif', '/data/b c.tif', None, None, None]
    """
    values = [_parse_path(value) for value in column]
    paths = np.empty(len(values), dtype=object)
    paths[:] = values
    return paths


def _parse_path(value: object) -> str | None:
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if not isinstance(value, str) or not value.strip():
        return None
    text = str(value)
    if text[:7].lower() != "file://":
        return text
    parts = urlsplit(text)
    host = "" if parts.netloc == "localhost" else f"//{parts.netloc}" * bool(parts.netloc)
    return url2pathname(host + parts.path)


def read_noise_std(column: pd.Series, label: Hashable) -> np.ndarray:
    """Read a column of standard deviations of measurement errors.

    Parameters
    ----------
    column : Series of length n
        Numbers that are not negative, in the unit of the target; missing is 0.
    label : str or int
        Column name in messages.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an entry is negative, infinite, a date or not a number.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.column_parsing import read_noise_std
    >>> read_noise_std(pd.Series([0.2, None, 0.0]), "lab_sd").tolist()
    [0.2, 0.0, 0.0]
    >>> read_noise_std(pd.Series([0.2, -1.0]), "lab_sd")
    Traceback (most recent call last):
        ...
    ValueError: noise_std='lab_sd' holds standard deviations, which are not negative; found other \
values in 1 of 2 rows (row position 1, value -1.0): correct them, or leave them missing if unknown.
    """
    missing = is_missing(column, label)
    if has_date_values(column[~missing]) or column.dtype.kind == "m":
        raise ValueError(
            f"noise_std={label!r} holds dates or durations; it must hold standard deviations in "
            "the unit of y."
        )
    values = to_float(column, label)
    if (values < 0).any():
        first = values[np.argmax(values < 0)]
        raise ValueError(
            f"noise_std={label!r} holds standard deviations, which are not negative; found other "
            f"values in {format_rows(values < 0, str(first))}: correct them, or leave them "
            "missing if unknown."
        )
    return np.where(np.isnan(values), 0.0, values)


def to_float(column: pd.Series, label: Hashable, largest: float = LARGEST) -> np.ndarray:
    """Read a column as float64, with NaN for missing entries.

    Parameters
    ----------
    column : Series of length n
        Numbers, booleans, numbers as text, durations (read in days) or dates (in decimal years).
    label : str or int
        Column name in messages.
    largest : float, default=1e30
        Largest valid magnitude.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an entry is not a number, is infinite, or exceeds `largest` in magnitude.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.column_parsing import to_float
    >>> to_float(pd.Series([True, None, 2.5], dtype=object), "clay").tolist()
    [1.0, nan, 2.5]
    >>> to_float(pd.Series([12.0, -3.4e38]), "clay")
    Traceback (most recent call last):
        ...
    ValueError: Column 'clay' must hold numbers between -1e+30 and 1e+30; found other values in 1 \
of 2 rows (row position 1, value -3.4e+38): set missing data to NaN, or change the unit.
    """
    if pd.api.types.is_complex_dtype(column.dtype):
        raise ValueError(f"Complex data not supported: column {label!r} is complex.")
    missing = is_missing(column, label)
    if has_date_values(column[~missing]):
        return decimal_years(column, label)
    if column.dtype.kind == "m":
        seconds = column.dt.total_seconds()
        return seconds.to_numpy(dtype=np.float64, na_value=np.nan) / 86400
    values = _floats_or_nan(column, missing)
    _raise_parsing_error(column, label, np.isnan(values) & ~missing, "numbers")
    _raise_parsing_error(column, label, np.isinf(values), "finite numbers")
    _raise_parsing_error(
        column,
        label,
        np.abs(values) > largest,
        f"numbers between {-largest:g} and {largest:g}",
        "set missing data to NaN, or change the unit",
    )
    return values


def decimal_years(column: pd.Series, label: Hashable) -> np.ndarray:
    """Read dates as decimal years, with NaN for missing dates.

    Parameters
    ----------
    column : Series of length n
        Datetimes (with a time zone: in UTC), date objects, periods (by their start), ISO dates as
        text, YYYYMMDD, or years. Year 0, which no calendar has, is a missing date.
    label : str or int
        Column name in messages.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an entry is not a date between the years 1500 and 2500, or the order of day, month and
        year is ambiguous.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.column_parsing import decimal_years
    >>> decimal_years(pd.Series(["2001-01-01", None, "2000-07-02", "1998.25"]), "date").tolist()
    [2001.0, nan, 2000.5, 1998.25]
    """
    missing = is_missing(column, label)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        try:
            dates = pd.to_datetime(column, utc=True)
        except (pd.errors.OutOfBoundsDatetime, OverflowError):  # nanoseconds end in 2262
            dates = pd.to_datetime(column.astype(object), errors="coerce", utc=True)
        years = _decimal_years_utc(dates)
    else:
        years = _floats_or_nan(column, missing)
        missing = missing | (years == 0)
        compact = (years >= _DAYS[0]) & (years <= _DAYS[1])
        if compact.any():
            days = pd.Series(years[compact]).astype(np.int64).astype(str)
            parsed = pd.to_datetime(days, format="%Y%m%d", errors="coerce", utc=True)
            years[compact] = _decimal_years_utc(parsed)
        text = np.isnan(years) & ~missing & ~compact
        if text.any():
            years[text] = _parse_date_text(column[text], label)
    known = (years >= _YEARS[0]) & (years <= _YEARS[1])
    _raise_parsing_error(column, label, ~known & ~missing, "dates, or years from 1500 to 2500")
    return np.where(missing, np.nan, years)


def is_categorical(column: pd.Series, label: Hashable) -> bool:
    """Return whether a covariate is categorical: text, pandas or Arrow categories.

    Parameters
    ----------
    column : Series
    label : str or int
        Column name in messages.

    Raises
    ------
    TypeError
        If it holds objects other than text, numbers or dates, or a mixture of these.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.column_parsing import is_categorical
    >>> is_categorical(pd.Series(["sand", "clay"]), "texture")
    True
    >>> is_categorical(pd.Series([3, 7], dtype="Int64"), "depth")
    False
    """
    dtype = column.dtype
    # Categories of Arrow are called dictionaries.
    if isinstance(dtype, pd.CategoricalDtype | pd.IntervalDtype) or "dictionary" in str(dtype):
        return True
    if not pd.api.types.is_object_dtype(dtype):
        return pd.api.types.is_string_dtype(dtype)
    known = column[~is_missing(column, label)]
    kinds = np.array([_value_kind(value) for value in known], dtype=object)
    if len(kinds) and (kinds == "objects").all():
        kind = type(known.iloc[0])
        remedy = (
            "convert it to hours, for example by .map(lambda time: time.hour + time.minute / 60)"
            if kind is datetime.time
            else "convert it to numbers or text, or drop it"
        )
        raise TypeError(
            f"Column {label!r} holds {_format_value(known.iloc[0])} and others of type "
            f"{kind.__module__}.{kind.__qualname__}; a column must be all numbers, all dates or "
            f"all text: {remedy}."
        )
    other = kinds != kinds[:1] if (kinds != "objects").all() else kinds == "objects"
    if other.any():
        raise TypeError(
            f"Column {label!r} holds {_format_value(known.iloc[0])} and "
            f"{_format_value(known[other].iloc[0])}: a column must be all numbers, all dates or "
            "all text. Convert a measurement by pd.to_numeric(..., errors='coerce'), a category by "
            ".astype(str)."
        )
    return bool((kinds == "text").any())


def is_missing(column: pd.Series, label: Hashable) -> np.ndarray:
    """Return which entries are missing.

    Parameters
    ----------
    column : Series of length n
    label : str or int
        Column name in messages.

    Returns
    -------
    ndarray of shape (n,) of bool

    Raises
    ------
    ValueError
        If there are signaling NaN of Decimal, which cannot be compared.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.column_parsing import is_missing
    >>> is_missing(pd.Series([1.0, None]), "clay").tolist()
    [False, True]
    """
    try:
        return column.isna().to_numpy(dtype=bool)
    except InvalidOperation:
        signals = [isinstance(value, Decimal) and value.is_snan() for value in column]
        _raise_parsing_error(column, label, np.array(signals), "numbers", "set missing data to NaN")
        raise


def has_date_values(known: pd.Series) -> bool:
    """Return whether a column without missing entries has a date type or holds date objects."""
    dtype = known.dtype
    if not pd.api.types.is_object_dtype(dtype):
        return pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype)
    return len(known) > 0 and isinstance(known.iloc[0], _DATE)


def _floats_or_nan(column: pd.Series, missing: np.ndarray) -> np.ndarray:
    """Return entries as floats; NaN for those that cannot be parsed."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return column.to_numpy(dtype=np.float64, copy=True, na_value=np.nan)
    values = np.full(len(column), np.nan)
    values[~missing] = [
        _to_float_or_nan(value) for value in column.to_numpy(dtype=object)[~missing]
    ]
    return values


def _to_float_or_nan(value: Any) -> float:
    if not isinstance(value, (str, *_NUMBER)) or isinstance(value, complex):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def _parse_date_text(column: pd.Series, label: Hashable) -> np.ndarray:
    """Return decimal years of text and date objects; NaN for entries that are not dates."""
    text = pd.Series([value if isinstance(value, str) else "" for value in column], dtype=object)
    ambiguous = text.str.match(_AMBIGUOUS_DATE).to_numpy(dtype=bool)
    if ambiguous.any():
        raise ValueError(
            f"Column {label!r} holds dates such as {text[ambiguous].iloc[0]!r}, in which the order "
            "of day, month and year is ambiguous. Convert the column first, for example by "
            f"pd.to_datetime(X[{label!r}], dayfirst=True)."
        )
    # If a text has no year, pandas would fill in the current one.
    undated = ((text != "") & ~text.str.contains(r"\d{4}")).to_numpy(dtype=bool)
    dates = column.astype(object).mask(undated)
    return _decimal_years_utc(pd.to_datetime(dates, errors="coerce", format="mixed", utc=True))


def _decimal_years_utc(dates: pd.Series) -> np.ndarray:
    """Return decimal years of dates in UTC."""
    instants = pd.DatetimeIndex(dates).tz_localize(None).to_numpy("datetime64[us]")
    year = instants.astype("datetime64[Y]")
    start, end = year.astype("datetime64[us]"), (year + _YEAR).astype("datetime64[us]")
    years = 1970 + year.astype(np.int64) + (instants - start) / (end - start)
    return np.where(np.isnat(instants), np.nan, years)


def _value_kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, _NUMBER):
        return "numbers"
    return "dates" if isinstance(value, _DATE) else "objects"


def _raise_parsing_error(
    column: pd.Series, label: Hashable, wrong: np.ndarray, wanted: str, remedy: str = _REMEDY
) -> None:
    """Raise an error with the first wrong rows, if any."""
    if wrong.any():
        value = column.iloc[int(wrong.argmax())]
        raise ValueError(
            f"Column {label!r} must hold {wanted}; found other values in "
            f"{format_rows(wrong, _format_value(value))}: {remedy}."
        )


def _format_value(value: Any) -> str:
    # The repr of a number of numpy contains its type.
    return repr(value) if isinstance(value, str) else str(value)
