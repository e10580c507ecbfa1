"""Tests of column names, titles and rows of units."""

import pandas as pd
import pytest

from sptgnn_sklearn.readers.header import (
    clean_names,
    header_row,
    split_unit_row,
    units_of_names,
)
from sptgnn_sklearn.table.infer_roles import TableError


@pytest.mark.parametrize(("above", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_titles_are_above_the_names(above, expected):
    """Rows with one filled cell are titles."""
    rows = [["Survey", "", "", ""]] * above + [["x", "y", "soc", ""], ["1", "2", "3", "4"]]
    assert header_row(rows) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([" SOC ", "pH\n(H2O)", "\u00a0N"], ["SOC", "pH (H2O)", "N"]),
        (["a", "a", "a"], ["a", "a.2", "a.3"]),
        (["a", "a.2", "a"], ["a", "a.2", "a.3"]),
        (["", None, "x"], ["column 1", "column 2", "x"]),
    ],
)
def test_names_are_cleaned(names, expected):
    """Blanks are stripped, duplicates numbered, empty names filled."""
    assert clean_names(names)[0] == expected


def test_tables_without_names_raise():
    """A first row of numbers raises."""
    with pytest.raises(TableError, match="holds numbers such as"):
        clean_names(["5.1", "50,2", "sand"])


@pytest.mark.parametrize(
    ("first", "units"),
    [
        (["m", "%", ""], {"x": "m", "soc": "%"}),
        (["[m]", "(g/kg)", "text"], {"x": "m", "soc": "g/kg", "use": "text"}),
        (["0.5", "%", ""], {}),
        (["<0.5", "", ""], {}),
        (["n.a.", "-", "crop"], {}),
        (["3 m", "%", ""], {}),
    ],
)
def test_rows_of_units(first, units):
    """The first row is one of units if no column of numbers has a number there."""
    rows = [first, ["1", "2", "crop"], ["3", "4", "wood"], ["5", "6", "crop"]]
    frame, found = split_unit_row(pd.DataFrame(rows, columns=["x", "soc", "use"]))
    assert found == units
    assert len(frame) == 4 - bool(units)


def test_text_tables_have_no_units():
    """Without columns of numbers there is no row of units."""
    frame = pd.DataFrame({"a": ["x", "y", "z"]})
    assert split_unit_row(frame)[1] == {} and units_of_names(["a"]) == {}
