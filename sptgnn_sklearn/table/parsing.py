"""One column of a table as a plain array: numbers, dates or categories.

Whatever pandas can hold is read: numpy, nullable, Arrow and sparse columns, Decimal and date
objects, text. What cannot be read is an error that names the column, the first rows at fault, the
value found there and what to do.
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

__all__ = [
    "LARGEST",
    "decimal_years",
    "format_rows",
    "is_categorical",
    "is_missing",
    "read_paths",
    "to_float",
]

URL_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:\ is a drive


def read_paths(column: Iterable[object]) -> np.ndarray:
    """Read a column of paths.

    Parameters
    ----------
    column : iterable of n values
        Text and path objects are paths; file URLs become paths; all else is a missing image.

    Returns
    -------
    ndarray of shape (n,) of object
        Each a str, or None.

    Examples
    --------
    >>> from sptgnn_sklearn.table.parsing import read_paths
    >>> read_paths(["a.tif", "file:///data/b%20c.tif", float("nan"), "", 0.0]).tolist()
    ['a.tif', '/data/b c.tif', None, None, None]
    """
    values = [_path(value) for value in column]
    paths = np.empty(len(values), dtype=object)
    paths[:] = values
    return paths


def _path(value: object) -> str | None:
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


# Rasters mark missing data by numbers such as -3.4e38, and single precision ends there.
LARGEST = 1e30
_YEARS = (1500.0, 2500.0)
_DAYS = (15_000_101.0, 25_001_231.0)  # the same years, as YYYYMMDD
# 03/04/2001 is in March or in April, 15-06-12 in 2015 or in 2012: no rule can tell.
_AMBIGUOUS_DATE = r"\s*\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}\b"
_NUMBER = (Number, np.bool_)
_DATE = (datetime.date, np.datetime64)
_YEAR = np.timedelta64(1, "Y")
_MEND = "mend or drop these rows"


def to_float(column: pd.Series, label: Hashable, largest: float = LARGEST) -> np.ndarray:
    """Read a column as float64, with NaN for missing entries.

    Parameters
    ----------
    column : Series of length n
        Numbers, booleans, numbers as text, durations (read in days) or dates (in decimal years).
    label : str or int
        Its name in messages.
    largest : float, default=1e30
        Magnitude beyond which a number is refused.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an entry is not a number, is infinite, or is too large to be a measurement.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.parsing import to_float
    >>> to_float(pd.Series([True, None, 2.5], dtype=object), "clay").tolist()
    [1.0, nan, 2.5]
    >>> to_float(pd.Series([12.0, -3.4e38]), "clay")
    Traceback (most recent call last):
        ...
    ValueError: Column 'clay' must hold numbers between -1e+30 and 1e+30 and does not in 1 \
of 2 rows (row position 1, value -3.4e+38): give missing data as NaN, or change the unit.
    """
    if pd.api.types.is_complex_dtype(column.dtype):
        raise ValueError(f"Complex data not supported: column {label!r} is complex.")
    missing = is_missing(column, label)
    if _holds_dates(column[~missing]):
        return decimal_years(column, label)
    if column.dtype.kind == "m":
        seconds = column.dt.total_seconds()
        return seconds.to_numpy(dtype=np.float64, na_value=np.nan) / 86400
    values = _floats(column, missing)
    _raise_parsing_error(column, label, np.isnan(values) & ~missing, "numbers")
    _raise_parsing_error(column, label, np.isinf(values), "finite numbers")
    _raise_parsing_error(
        column,
        label,
        np.abs(values) > largest,
        f"numbers between {-largest:g} and {largest:g}",
        "give missing data as NaN, or change the unit",
    )
    return values


def decimal_years(column: pd.Series, label: Hashable) -> np.ndarray:
    """Read dates as decimal years, with NaN for missing ones.

    Parameters
    ----------
    column : Series of length n
        Datetimes (aware ones are read in UTC), date objects, periods (by their start), ISO dates as
        text, YYYYMMDD, or years. The year 0, which no calendar has, is a missing date.
    label : str or int
        Its name in messages.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If an entry is no date between the years 1500 and 2500, or one in which day, month and year
        could be confused.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.parsing import decimal_years
    >>> decimal_years(pd.Series(["2001-01-01", None, "2000-07-02", "1998.25"]), "date").tolist()
    [2001.0, nan, 2000.5, 1998.25]
    """
    missing = is_missing(column, label)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        years = _years_of(pd.to_datetime(column, utc=True))
    else:
        years = _floats(column, missing)
        missing = missing | (years == 0)
        compact = (years >= _DAYS[0]) & (years <= _DAYS[1])
        if compact.any():
            days = pd.Series(years[compact]).astype(np.int64).astype(str)
            parsed = pd.to_datetime(days, format="%Y%m%d", errors="coerce", utc=True)
            years[compact] = _years_of(parsed)
        text = np.isnan(years) & ~missing & ~compact
        if text.any():
            years[text] = _parsed_years(column[text], label)
    known = (years >= _YEARS[0]) & (years <= _YEARS[1])
    _raise_parsing_error(column, label, ~known & ~missing, "dates, or years from 1500 to 2500")
    return np.where(missing, np.nan, years)


def is_categorical(column: pd.Series, label: Hashable) -> bool:
    """Tell whether a covariate is a category (text, pandas categories) or a number.

    Parameters
    ----------
    column : Series
    label : str or int
        Its name in messages.

    Raises
    ------
    TypeError
        If it holds objects that are neither text, numbers nor dates, or holds several of these.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.parsing import is_categorical
    >>> is_categorical(pd.Series(["sand", "clay"]), "texture")
    True
    >>> is_categorical(pd.Series([3, 7], dtype="Int64"), "depth")
    False
    """
    dtype = column.dtype
    # Arrow has categories of its own, which it calls dictionaries.
    if isinstance(dtype, pd.CategoricalDtype | pd.IntervalDtype) or "dictionary" in str(dtype):
        return True
    if not pd.api.types.is_object_dtype(dtype):
        return pd.api.types.is_string_dtype(dtype)
    known = column[~is_missing(column, label)]
    families = np.array([_family(value) for value in known], dtype=object)
    odd = families != families[:1] if (families != "objects").all() else families == "objects"
    if odd.any():
        raise TypeError(
            f"Column {label!r} holds {_shown(known.iloc[0])} and {_shown(known[odd].iloc[0])}: a "
            "column must be all numbers, all dates or all text. Convert it by pd.to_numeric(..., "
            "errors='coerce') if it is a measurement, or by .astype(str) if it is a category."
        )
    return bool((families == "text").any())


def format_rows(rows: np.ndarray, value: str = "") -> str:
    """Describe the rows of a mask: how many, the first few positions, what the first one holds.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.parsing import format_rows
    >>> format_rows(np.array([False, True, True]), "'sand'")
    "2 of 3 rows (row positions 1, 2, value 'sand')"
    """
    positions = np.flatnonzero(rows)
    first = ", ".join(str(position) for position in positions[:5])
    more = ", ..." if len(positions) > 5 else ""
    word = "row position" if len(positions) == 1 else "row positions"
    value = value and f", value {value}"
    return f"{len(positions)} of {len(rows)} rows ({word} {first}{more}{value})"


def is_missing(column: pd.Series, label: Hashable) -> np.ndarray:
    """Return which entries are missing.

    Parameters
    ----------
    column : Series of length n
    label : str or int
        Its name in messages.

    Returns
    -------
    ndarray of shape (n,) of bool

    Raises
    ------
    ValueError
        If there are signalling NaN, which cannot even be compared.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.parsing import is_missing
    >>> is_missing(pd.Series([1.0, None]), "clay").tolist()
    [False, True]
    """
    try:
        return column.isna().to_numpy(dtype=bool)
    except InvalidOperation:
        signals = [isinstance(value, Decimal) and value.is_snan() for value in column]
        _raise_parsing_error(
            column, label, np.array(signals), "numbers", "give missing data as NaN"
        )
        raise


def _holds_dates(known: pd.Series) -> bool:
    dtype = known.dtype
    if not pd.api.types.is_object_dtype(dtype):
        return pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype)
    return len(known) > 0 and isinstance(known.iloc[0], _DATE)


def _floats(column: pd.Series, missing: np.ndarray) -> np.ndarray:
    """Return what reads as a number; NaN for all else."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return column.to_numpy(dtype=np.float64, copy=True, na_value=np.nan)
    values = np.full(len(column), np.nan)
    values[~missing] = [_float(value) for value in column.to_numpy(dtype=object)[~missing]]
    return values


def _float(value: Any) -> float:
    if not isinstance(value, (str, *_NUMBER)) or isinstance(value, complex):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def _parsed_years(column: pd.Series, label: Hashable) -> np.ndarray:
    """Return decimal years of text and date objects; NaN where they are no dates."""
    text = pd.Series([value if isinstance(value, str) else "" for value in column], dtype=object)
    ambiguous = text.str.match(_AMBIGUOUS_DATE).to_numpy(dtype=bool)
    if ambiguous.any():
        raise ValueError(
            f"Column {label!r} holds dates such as {text[ambiguous].iloc[0]!r}, in which day, "
            "month and year could be confused. Convert the column first, for example by "
            f"pd.to_datetime(X[{label!r}], dayfirst=True)."
        )
    # Where a text has no year, pandas would fill in that of today.
    undated = ((text != "") & ~text.str.contains(r"\d{4}")).to_numpy(dtype=bool)
    dates = column.astype(object).mask(undated)
    return _years_of(pd.to_datetime(dates, errors="coerce", format="mixed", utc=True))


def _years_of(dates: pd.Series) -> np.ndarray:
    """Return decimal years of dates in UTC."""
    instants = pd.DatetimeIndex(dates).tz_localize(None).to_numpy("datetime64[us]")
    year = instants.astype("datetime64[Y]")
    start, end = year.astype("datetime64[us]"), (year + _YEAR).astype("datetime64[us]")
    years = 1970 + year.astype(np.int64) + (instants - start) / (end - start)
    return np.where(np.isnat(instants), np.nan, years)


def _family(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, _NUMBER):
        return "numbers"
    return "dates" if isinstance(value, _DATE) else "objects"


def _raise_parsing_error(
    column: pd.Series, label: Hashable, wrong: np.ndarray, wanted: str, remedy: str = _MEND
) -> None:
    """Raise an error that names the first wrong rows, if there are any."""
    if wrong.any():
        value = column.iloc[int(wrong.argmax())]
        raise ValueError(
            f"Column {label!r} must hold {wanted} and does not in "
            f"{format_rows(wrong, _shown(value))}: {remedy}."
        )


def _shown(value: Any) -> str:
    # Only for text: the repr of a number of numpy shows its type as well.
    return repr(value) if isinstance(value, str) else str(value)
