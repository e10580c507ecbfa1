"""Tests of invalid tables and options, and of the parts of a survey."""

import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from table_files import points, soil_table

from sptgnn_sklearn.cli.survey import as_classes, print_warnings, warning_lines


def test_unreadable_files_raise(working_directory, error_message):
    """Missing, empty, truncated, binary and other unreadable files give one line each."""

    def message(name):
        return error_message("check", name, "--target", "soc")

    assert "no such file" in message("missing.csv")
    assert "is a folder" in message(working_directory)
    packed = gzip.compress(b"lon,lat,soc\n" + bytes(range(48, 58)) * 400)
    for name, content, words in (
        ("empty.csv", b"", "is empty"),
        ("cut.csv.gz", packed[:-12], "compressed data is damaged"),
        ("bad.csv.gz", packed[:20] + b"\xff" * 20, "compressed data is damaged"),
        ("head.csv", b"lon,lat,soc\n", "has no rows"),
        ("torn.csv", b"a,b\n1,2\n1,2,3\n", "line 3 has 3 fields"),
        ("text.parquet", b"lon,lat,soc\n1,2,3\n", "cannot be read as Parquet"),
    ):
        (working_directory / name).write_bytes(content)
        assert words in message(name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "sok"], "--target sok: no such column; did you mean soc?"),
        (["--target", "soc", "--drop", "Elevaton"], "did you mean elevation"),
        (["--target", "soc", "--drop", "cov_0,Elevaton"], "did you mean elevation"),
        (["--target", "soc", "--time", "dat"], "--time dat: no such column"),
        (["--target", "soc", "--coordinates", "lon", "lati"], "--coordinates lati"),
        (["--target", "soc", "--coordinates", "lon"], "give two different columns"),
        (["--target", "soc", "--coordinates", "lon,lon"], "give two different columns"),
        (["--target", "soc", "--categorical", "cov"], "--categorical cov"),
        (["--target", "land_use"], "--target land_use: must be numeric; data row 1 has"),
        (["--target", "country"], "must be numeric"),
        (["--target", "soc", "--crs", "EPSG:1"], "--crs EPSG:1: no coordinate reference system"),
        (["--target", "soc", "--crs", "UTM33"], "give a code such as EPSG:32633"),
        (["--target", "soc", "--coordinates", "lat", "lon"], "swapped"),
        (["--target", "soc", "--elevation", "land_use"], "land_use"),
        (["--target", "same"], "all rows have the value 3"),
        (["--target", "soc", "--sep", ";"], "--sep ';' does not occur"),
        (["--target", "soc", "--decimal", "x"], "--decimal 'x' must be"),
        (["--target", "soc", "--encoding", "utf-9"], "--encoding 'utf-9' is unknown"),
    ],
)
def test_invalid_options_raise(working_directory, table, error_message, arguments, words):
    """Invalid options are named in the words of the command line."""
    table.assign(same=3).to_csv("survey.csv", index=False)
    assert words in error_message("check", "survey.csv", *arguments)


def test_log_of_negative_targets_raises(working_directory, table, error_message):
    """log1p needs a target above -1."""
    table.assign(cold=-5.0 - np.arange(40)).to_csv("survey.csv", index=False)
    arguments = ("compare", "survey.csv", "--target", "cold", "--log")
    assert "above -1" in error_message(*arguments)


def test_small_tables_raise(working_directory, table, error_message):
    """Fewer than twenty usable rows raise."""
    table.head(15).to_csv("survey.csv", index=False)
    message = error_message("check", "survey.csv", "--target", "soc")
    assert "13 rows have a target and coordinates" in message


def test_tables_without_coordinates_raise(working_directory, table, error_message):
    """The option to set is named."""
    table.rename(columns={"lon": "a", "lat": "b"}).to_csv("survey.csv", index=False)
    assert "--coordinates" in error_message("check", "survey.csv", "--target", "soc")


def test_crs_of_the_file(working_directory, run, error_message):
    """The CRS of the geometry is used; another --crs raises, the same does not."""
    points(soil_table()).to_file("soil.gpkg")
    command = ("check", "soil.gpkg", "--target", "SOC")
    message = error_message(*command, "--crs", "EPSG:4326")
    assert "--crs EPSG:4326 differs from the CRS of soil.gpkg, EPSG:25833" in message
    assert run(*command, "--crs", "EPSG:25833")[0] == 0


def test_no_data_codes_in_the_target_raise(working_directory, table, run, error_message):
    """The error names column, code, count and option; --na reads the code as missing."""
    table.loc[[7, 9], "soc"] = -9999
    table.to_csv("survey.csv", index=False)
    message = error_message("check", "survey.csv", "--target", "soc")
    assert "--target soc: holds -9999 in 2 of 38 rows" in message and "--na" in message
    for values in (["-9999", "-99"], ["nothing,-9999"]):
        _, out, _ = run("check", "survey.csv", "--target", "soc", "--na", *values)
        assert "36 rows; dropped: 3 without target" in out


@pytest.mark.parametrize(
    ("entry", "rule", "expected"),
    [
        ("<3", "half", "1.5 to"),
        ("< 0,2", "half", "0.1 to"),
        ("<3", "limit", "3 to"),
        (">200", "half", "to 200"),
        ("<3", "drop", "37 rows"),
    ],
)
def test_limits_of_detection(working_directory, table, run, error_message, entry, rule, expected):
    """The error names column, entry and row; --censored gives the numbers."""
    table["soc"] = (table["soc"] + 10).astype(object)
    table.loc[7, "soc"] = entry
    table.to_csv("survey.csv", index=False)
    message = error_message("check", "survey.csv", "--target", "soc")
    assert f"limits of detection such as {entry!r} in data row 8" in message
    assert "--censored half, limit or drop" in message
    _, out, _ = run("check", "survey.csv", "--target", "soc", "--censored", rule)
    assert expected in out


def test_class_codes():
    """Integers read as floats lose their decimal point."""
    assert set(as_classes(pd.Series([1.0, np.nan, 3.0])).dropna()) == {"1", "3"}
    assert set(as_classes(pd.Series([1.5, 2.0]))) == {"1.5", "2.0"}


def test_deprecations_of_libraries_are_not_shown(capsys):
    """Only warnings for users are printed, and those of the table once."""

    class LibraryWarning(UserWarning, DeprecationWarning):
        pass

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for message, kind in (
            ("'oneOf' deprecated", LibraryWarning),
            ("set --time", UserWarning),
            ("2 rows are far away", UserWarning),
        ):
            warnings.warn(message, kind, stacklevel=1)
    assert warning_lines(caught) == ["set --time", "2 rows are far away"]
    print_warnings(caught, caught[:2])
    assert capsys.readouterr().out == "note: 2 rows are far away\n"
