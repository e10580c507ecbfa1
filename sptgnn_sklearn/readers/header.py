"""Column names of raw tables: title lines, rows of units, blanks and duplicates in names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..table.infer_roles import TableError
from ..table.table_checks import parse_censored
from .column_types import is_missing_word

__all__ = ["clean_names", "header_row", "split_unit_row", "units_of_names"]

_MAX_UNIT_ROWS = 2
_SAMPLE_ROWS = 200
_MIN_NUMBERS = 0.7  # share of numbers in the other rows of a column with a unit
_UNIT_IN_NAME = re.compile(r"[\[(]\s*([^\])]*?)\s*[\])]\s*$")
_NUMBER_CELL = re.compile(r"\s*[-+]?(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][-+]?\d+)?\s*")


def header_row(rows: Sequence[Sequence[Any]]) -> int:
    """Return the position of the row of column names: the first one that is mostly filled.

    Parameters
    ----------
    rows : sequence of rows
        The first rows of a table, of equal length.

    Examples
    --------
    >>> from sptgnn_sklearn.readers.header import header_row
    >>> header_row([["Survey 2024", "", ""], ["x", "y", "soc"], ["1", "2", "3"]])
    1
    """
    filled = [sum(not is_missing_word(cell) for cell in row) for row in rows]
    width = max(filled, default=0)
    return next((i for i, n in enumerate(filled) if n >= max(2, 0.6 * width)), 0)


def clean_names(names: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Return unique column names without blanks around them, and notes on what was changed.

    Raises
    ------
    TableError
        If most names are numbers: the table has no row of names.

    Examples
    --------
    >>> from sptgnn_sklearn.readers.header import clean_names
    >>> clean_names([" SOC", "pH", "pH", ""])
    (['SOC', 'pH', 'pH.2', 'column 4'], ["column names that occur twice are numbered: 'pH'"])
    """
    cleaned = [
        "" if name is None or name != name else re.sub(r"\s+", " ", str(name)).strip().strip('"')
        for name in names
    ]
    numbers = [name for name in cleaned if _NUMBER_CELL.fullmatch(name)]
    if 2 * len(numbers) >= len(cleaned):
        raise TableError(
            f"the first row holds numbers such as {numbers[0]!r} instead of column names: add a "
            "row of names, or set skip_rows if the names are in a later row."
        )
    counts: Counter[str] = Counter()
    result: list[str] = []
    for position, name in enumerate(cleaned, 1):
        label = name or f"column {position}"
        counts[label] += 1
        while counts[label] > 1 and f"{label}.{counts[label]}" in cleaned:
            counts[label] += 1
        result.append(label if counts[label] == 1 else f"{label}.{counts[label]}")
    repeated = [name for name in counts if counts[name] > 1]
    notes = (
        [f"column names that occur twice are numbered: {', '.join(map(repr, repeated))}"]
        if repeated
        else []
    )
    return result, notes


def split_unit_row(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Remove rows of units, or of descriptions, from the top of a table of text.

    Parameters
    ----------
    frame : DataFrame
        Cells as text, or as numbers and text.

    Returns
    -------
    frame : DataFrame
        Without up to two rows in which no column of numbers has a number.
    units : dict of str to str
        Text of these rows by column; empty if there are none.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.readers.header import split_unit_row
    >>> split_unit_row(pd.DataFrame({"x": ["m", "5.1", "5.2"], "soc": ["%", "1", "2"]}))[1]
    {'x': 'm', 'soc': '%'}
    """
    rows: list[int] = []
    while len(rows) < min(_MAX_UNIT_ROWS, len(frame) - 2):
        first, others = frame.iloc[len(rows)], frame.iloc[len(rows) + 1 : _SAMPLE_ROWS]
        numeric = [label for label in frame.columns if _mostly_numbers(others[label])]
        cells = [first[label] for label in numeric if not is_missing_word(first[label])]
        if not cells or not all(_is_unit(cell) for cell in cells):
            break
        if 2 * len(cells) < len(numeric) and len(cells) < 2:
            break
        rows.append(len(rows))
    units: dict[str, str] = {}
    for row in rows:
        for label, cell in frame.iloc[row].items():
            if not is_missing_word(cell):
                units.setdefault(str(label), str(cell).strip().strip("[]()"))
    return frame.iloc[len(rows) :], units


def units_of_names(names: Sequence[str]) -> dict[str, str]:
    """Return the units in brackets at the end of column names.

    Examples
    --------
    >>> from sptgnn_sklearn.readers.header import units_of_names
    >>> units_of_names(["Elevation (m)", "E [m]", "pH"])
    {'Elevation (m)': 'm', 'E [m]': 'm'}
    """
    found = {name: _UNIT_IN_NAME.search(name) for name in names}
    return {name: match[1] for name, match in found.items() if match and match[1]}


def _is_unit(cell: Any) -> bool:
    return (
        isinstance(cell, str)
        and _NUMBER_CELL.fullmatch(cell) is None
        and parse_censored(cell) is None
        and not any(character.isdigit() for character in cell.strip()[:1])
    )


def _mostly_numbers(column: pd.Series) -> bool:
    known = [cell for cell in column if not is_missing_word(cell)]
    if not known:
        return False
    numbers = sum(
        _NUMBER_CELL.fullmatch(cell) is not None
        if isinstance(cell, str)
        else isinstance(cell, int | float)
        for cell in known
    )
    return numbers >= _MIN_NUMBERS * len(known)
