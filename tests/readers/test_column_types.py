"""Tests of column types: numbers, missing words, dates."""

import pandas as pd
import pytest

from sptgnn_sklearn.readers.column_types import MISSING_WORDS, convert_columns, is_missing_word


def convert(values, **options):
    """Convert one column; return it and the notes."""
    frame, notes = convert_columns(pd.DataFrame({"a": pd.Series(values, dtype=object)}), **options)
    return frame["a"], notes


@pytest.mark.parametrize("word", sorted(MISSING_WORDS))
def test_missing_words(word):
    """Each word is missing, in any case and with blanks around it."""
    column, _ = convert(["1.5", f" {word.upper()} ", "2"])
    assert column.isna().tolist() == [False, True, False]
    assert is_missing_word(word)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2"], "int"),
        (["1.5", "2"], "float"),
        (["1,5", "2"], "float"),
        (["1e3", "-.5"], "float"),
        (["007", "012"], "text"),
        (["0", "0.5"], "float"),
        (["1,5", "2.5"], "text"),
        (["none", "slight"], "text"),
        (["<0.5", "2"], "text"),
        (["1", "n.d."], "text"),
        (["2019-05-03", "2019-05-04"], "text"),
    ],
)
def test_types(values, expected):
    """Numbers are converted if all entries are numbers with one decimal mark."""
    column, notes = convert(values)
    found = {"i": "int", "f": "float"}.get(column.dtype.kind, "text")
    assert found == expected and not notes


def test_words_and_numbers_for_missing_data():
    """Further words and numbers are missing, also in columns of numbers."""
    column, _ = convert(["1", "n.d.", "-9999"], na=["n.d.", -9999])
    assert column.isna().tolist() == [False, True, True]
    frame, _ = convert_columns(pd.DataFrame({"a": [1.0, -9999.0]}), na=["-9999"])
    assert frame["a"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("values", "dayfirst", "months"),
    [
        (["13.03.2019", "01.04.2019"], None, [3, 4]),
        (["03/13/2019", "04/01/2019"], None, [3, 4]),
        (["13-03-2019 08:00", "01-04-2019 09:00"], None, [3, 4]),
        (["03/04/2019", "05/04/2019"], True, [4, 4]),
        (["03/04/2019", "05/04/2019"], False, [3, 5]),
        (["03/04/19", "05/04/19"], True, [4, 4]),
        (["03/04/2019", "05/04/2019"], None, None),
        (["13/04/2019", "05/14/2019"], None, None),
        (["13/04/19", "05/04/19"], None, None),
    ],
)
def test_dates(values, dayfirst, months):
    """Dates are converted if a number above 12 or the parameter gives the order."""
    column, _ = convert(values, dayfirst=dayfirst)
    if months is None:
        assert column.tolist() == values
    else:
        assert column.dt.month.tolist() == months


def test_dates_against_dayfirst_are_noted():
    """A date that contradicts the parameter leaves text, with a note of its row."""
    column, notes = convert(["03/04/2019", "05/14/2019"], dayfirst=True)
    assert column.tolist() == ["03/04/2019", "05/14/2019"]
    assert "data row 2 holds '05/14/2019'" in notes[0]


def test_empty_columns_are_numbers():
    """A column of missing words is missing numbers."""
    column, _ = convert(["n.a.", ""])
    assert column.isna().all() and column.dtype.kind == "f"
