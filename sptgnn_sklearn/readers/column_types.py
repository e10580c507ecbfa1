"""Types of columns that were read as text: numbers, missing values and dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..table.infer_roles import TableError

__all__ = ["MISSING_WORDS", "convert_columns", "is_missing_word"]

# Compared in lower case. "none" is not among them: it is a level of many categories, as of erosion.
# "n.d." is not either: it may mean "not detected", see `replace_censored`.
MISSING_WORDS = frozenset(
    [
        *("", "na", "n/a", "n.a.", "n.a", "n. a.", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "nat"),
        *("-nan", "null", "nil", "-", "--", "---", "–", "—", ".", "..", "?", "missing", "no data"),
        *("nodata", "no_data", "not available", "#null!", "#div/0!", "#value!", "#ref!", "#num!"),
        *("#name?", "1.#qnan", "-1.#ind", "k.a."),
    ]
)
_DIGITS = r"[-+]?\d+"
_EXPONENT = r"(?:[eE][-+]?\d+)?"
_PLAIN = re.compile(rf"[-+]?(?:\d+\.?\d*|\.\d+){_EXPONENT}")
_COMMA = re.compile(rf"[-+]?(?:\d+,?\d*|,\d+){_EXPONENT}")
_THREE_DIGITS_AFTER_COMMA = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_THOUSANDS = re.compile(
    r"[-+]?\d{1,3}(?:(?:,\d{3})+\.\d*|(?:\.\d{3})+,\d*|(?:,\d{3}){2,}|(?:\.\d{3}){2,}"
    r"|(?:['’ \u00a0\u202f]\d{3})+(?:[.,]\d*)?)"
)
_MARKS = {",": ",", ".": ".", "'": "['’]", " ": r"[ \u00a0\u202f]"}
_LEADING_ZERO = re.compile(r"0\d+")
_DAY_AND_MONTH = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})(?:[ T].*)?")


def is_missing_word(value: Any, na: Sequence[Any] = ()) -> bool:
    """Return whether a cell is empty or holds a word for missing data.

    Examples
    --------
    >>> from sptgnn_sklearn.readers.column_types import is_missing_word
    >>> [is_missing_word(value) for value in ("n.a.", " ", None, "none", "0")]
    [True, True, True, False, False]
    """
    if isinstance(value, str):
        word = value.strip().lower()
        return word in MISSING_WORDS or word in {str(entry).strip().lower() for entry in na}
    return value is None or bool(pd.isna(value))


def convert_columns(
    frame: pd.DataFrame,
    *,
    decimal: str | None = None,
    thousands: str | None = None,
    na: Sequence[Any] = (),
    dayfirst: bool | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Convert text columns to numbers or dates where all of their entries are such.

    Parameters
    ----------
    frame : DataFrame
        Labeled by the number of the data row from 0. Columns of other types are kept, but
        for numbers in `na`.
    decimal : {".", ","}, default=None
        None finds the decimal mark of each column.
    thousands : {",", ".", "'", " "}, default=None
        Thousands mark.
    na : sequence of str or float, default=()
        Words and numbers that mean no data, beyond `MISSING_WORDS`.
    dayfirst : bool, default=None
        Whether 03/04/2001 is in April. None converts columns in which a number above 12 shows it.

    Returns
    -------
    frame : DataFrame
    notes : list of str
        Choices that may be wrong.

    Raises
    ------
    TableError
        If a column of numbers has thousands marks and `thousands` is None.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.readers.column_types import convert_columns
    >>> frame = pd.DataFrame({"soc": ["1,5", "n.a.", "2"], "date": ["13.03.2019"] * 3})
    >>> frame, notes = convert_columns(frame)
    >>> frame["soc"].tolist(), str(frame["date"].dt.month.iloc[0]), notes
    ([1.5, nan, 2.0], '3', [])
    """
    words = {str(value).strip().lower() for value in na} | MISSING_WORDS
    numbers = [number for value in na if (number := _number_or_none(value)) is not None]
    columns: dict[Any, pd.Series] = {}
    text: dict[Any, pd.Series] = {}
    has_points = decimal == "."
    for label, column in frame.items():
        columns[label] = column
        if not _holds_text(column):
            continue
        known = _strip(column, words)
        values = pd.to_numeric(known, errors="coerce")
        as_numbers = values.notna().equals(known.notna())
        points = as_numbers and known.str.contains(".", regex=False, na=False).any()
        if not as_numbers or (points and decimal == ","):
            text[label] = known
        elif known.str.fullmatch(_LEADING_ZERO.pattern, na=False).any():
            columns[label] = known  # codes such as 007
        else:
            columns[label] = values if known.notna().any() else pd.Series(np.nan, frame.index)
            has_points = has_points or bool(points)
    notes: list[str] = []
    for label, known in text.items():
        columns[label], note = _convert(known, label, decimal, thousands, has_points, dayfirst)
        notes += note
    for label, column in columns.items():
        if numbers and pd.api.types.is_numeric_dtype(column.dtype):
            columns[label] = column.mask(column.isin(numbers))
    # The columns of a GeoDataFrame keep its class, geometry and CRS.
    result = frame.copy()
    for label, column in columns.items():
        if column is not frame[label]:
            result[label] = column
    return result, notes


def _convert(
    known: pd.Series,
    label: Any,
    decimal: str | None,
    thousands: str | None,
    has_points: bool,
    dayfirst: bool | None,
) -> tuple[pd.Series, list[str]]:
    """Return a column of text that is not plain numbers as numbers or dates, if it is either."""
    entries = known.dropna()
    if thousands is not None:
        mark = _MARKS.get(thousands, re.escape(thousands))
        entries = entries.str.replace(rf"(?<=\d){mark}(?=\d{{3}}(?!\d))", "", regex=True)
    commas = entries.str.fullmatch(_COMMA.pattern)
    points = entries.str.fullmatch(_PLAIN.pattern)
    if points.all() and decimal != ",":
        return _to_numbers(entries, known.index), []
    marked = entries.str.fullmatch(_THOUSANDS.pattern)
    three = entries[entries.str.contains(",", regex=False)]
    three_digits = len(three) > 0 and bool(
        three.str.fullmatch(_THREE_DIGITS_AFTER_COMMA.pattern).all()
    )
    numbers = commas.all() or points.all()
    unclear = numbers and has_points and three_digits and decimal != ","
    pointed = numbers and decimal == "," and not commas.all()
    if unclear or pointed or (marked.any() and (marked | commas | points).all()):
        row = _first(marked if marked.any() else entries.str.contains("[.,]"))
        raise TableError(
            f"column {label!r} holds numbers with thousands marks such as {known[row]!r} (data row "
            f"{row + 1}): set thousands=',' (or another mark), or remove them."
        )
    if commas.all() and decimal != ".":
        note = (
            [
                f"column {label!r}: the comma in {three.iloc[0]!r} is read as a decimal mark; for "
                "thousands, set thousands=','"
            ]
            if three_digits and decimal is None
            else []
        )
        return _to_numbers(entries.str.replace(",", ".", regex=False), known.index), note
    return _to_dates(known, entries, label, dayfirst)


def _to_dates(
    known: pd.Series, entries: pd.Series, label: Any, dayfirst: bool | None
) -> tuple[pd.Series, list[str]]:
    parts = entries.str.extract(_DAY_AND_MONTH)
    if parts[0].isna().any():
        return known, []
    first, second = (pd.to_numeric(parts[part]) for part in (0, 1))
    if dayfirst is None:
        if (parts[2].str.len() < 4).any() or not (first > 12).any() ^ (second > 12).any():
            return known, []
        day_is_first = bool((first > 12).any())
    else:
        day_is_first = dayfirst
    month = second if day_is_first else first
    if (month > 12).any():
        row = _first(month > 12)
        return known, [
            f"column {label!r} is not read as dates with dayfirst={day_is_first}: data row "
            f"{row + 1} holds {known[row]!r}"
        ]
    dates = pd.to_datetime(entries, dayfirst=day_is_first, format="mixed", errors="coerce")
    return (dates.reindex(known.index) if dates.notna().all() else known), []


def _holds_text(column: pd.Series) -> bool:
    if pd.api.types.is_object_dtype(column.dtype):
        return any(isinstance(value, str) for value in column)
    return pd.api.types.is_string_dtype(column.dtype)


def _strip(column: pd.Series, words: set[str]) -> pd.Series:
    """Return a column as stripped text, NaN where it is missing."""
    if pd.api.types.is_object_dtype(column.dtype):
        column = column.map(lambda value: value if value is None else str(value)).where(
            column.notna()
        )
    text = column.astype("str").where(column.notna()).str.strip()
    return text.mask(text.str.lower().isin(words))


def _to_numbers(entries: pd.Series, index: pd.Index) -> pd.Series:
    return pd.to_numeric(entries).reindex(index)


def _first(rows: pd.Series) -> int:
    """Return the label of the first row that is true."""
    return int(rows.index.to_numpy()[rows.to_numpy(dtype=bool)][0])


def _number_or_none(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
