"""Tests of ``sptgnn check``: what it prints of files as they come."""

import numpy as np
import pandas as pd
import pytest
from table_files import KINDS, points, soil_table

VARIANTS = [(kind, number) for kind in KINDS for number in range(3)]


@pytest.mark.parametrize(("kind", "number"), VARIANTS)
def test_files_as_they_come(working_directory, run, kind, number):
    """Each kind of file, encoding, separator and mistake is read at the first try."""
    writers, options = KINDS[kind]
    path = writers[number](soil_table(), working_directory)
    code, out, err = run("check", path, "--target", "SOC", *options)
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line[:1].strip())
    assert lines["not"].startswith("used     SampleID") or "SampleID" in out
    numbers = lines["numbers"]
    assert "3: " in numbers or "4: " in numbers
    assert lines["elevation"].split()[0] in ("Altitude", "Elevation", "Elev")
    if "date" in kind:
        assert lines["time"].startswith("Date")
    if kind in ("GeoPackage", "shapefile", "GeoParquet"):
        assert lines["distances"] == "metre (EPSG:25833)"
    else:
        assert (
            "km (EPSG:4326)" in lines["distances"]
            or "look like UTM" in lines["distances"]
            or (kind == "GeoJSON")
        )
    if kind == "duplicates":
        assert ("60 rows" in lines["duplicates"]) or ("5 rows" in lines["duplicates"])
    if kind == "missing target":
        assert "57 rows; dropped: 3 without target" in lines["table"]


@pytest.mark.parametrize(
    ("kind", "number", "words"),
    [
        ("no-data code", 0, "column 'ERa' holds -9999"),
        ("no-data code", 1, "column 'Slope' holds -9999"),
        ("no-data code", 2, "SOC: 'n.d.' in data row 60 gives no limit of detection"),
        ("limits of detection", 0, "SOC: numbers, but also limits of detection such as '<0.5'"),
        ("limits of detection", 1, "set --censored half, limit or drop"),
        ("limits of detection", 2, "data row 59"),
        ("ambiguous dates", 0, "set --dayfirst or --no-dayfirst"),
        ("ambiguous dates", 1, "set --dayfirst or --no-dayfirst"),
        ("ambiguous dates", 2, "set --dayfirst or --no-dayfirst"),
    ],
)
def test_mistakes_are_named_with_their_option(working_directory, run, kind, number, words):
    """Without the option, column, row and value are named, and the option that helps."""
    path = KINDS[kind][0][number](soil_table(), working_directory)
    code, out, err = run("check", path, "--target", "SOC")
    assert words.lower() in (out + err).lower()
    assert "pd." not in out + err and "np." not in out + err and "X[" not in out + err
    assert code == (2 if ("no-data" in kind and number == 2) or "limits" in kind else 0)


def test_warnings_are_printed_in_full(working_directory, run):
    """Warnings are not cut, and name options instead of code."""
    frame = soil_table()
    frame["SOC_gkg"] = 10 * frame["SOC"]
    frame.loc[4, "ERa"] = -9999
    frame.to_csv("soil.csv", index=False)
    _, out, _ = run("check", "soil.csv", "--target", "SOC", "--drop", "Slope")
    assert "note: Column 'SOC_gkg' of X has a rank correlation of 1.0000" in out
    assert "drop it by --drop SOC_gkg" in out
    assert "if it means no data, set it to missing by --na -9999" in out


def test_swapped_coordinates_are_named_in_full(working_directory, run):
    """The error or warning of swapped coordinates gives both columns."""
    frame = soil_table().rename(columns={"Easting": "lat", "Northing": "lon"})
    frame["lat"], frame["lon"] = 14 + frame["Slope"] / 100, 52 + frame["ERa"] / 1000
    frame.to_csv("soil.csv", index=False)
    code, out, err = run("check", "soil.csv", "--target", "SOC", "--coordinates", "lat,lon")
    assert code == 2 or "swapped" in out
    assert "lat" in out + err and "lon" in out + err


@pytest.mark.parametrize(
    ("spread", "words"),
    [(1000.0, "about random"), (5.0, "clustered: scores of random folds"), (0.0, "regular")],
)
def test_clustering_of_the_samples(working_directory, run, spread, words):
    """The ratio of Clark and Evans shows clustered, random and regular samples."""
    rng = np.random.default_rng(1)
    n = 100
    frame = soil_table(n)
    if spread:
        centers = rng.uniform(0, 1000, (n if spread == 1000 else 5, 2))[np.arange(n) % 5 % n]
        xy = rng.uniform(0, 1000, (n, 2)) if spread == 1000 else centers + rng.normal(0, 5, (n, 2))
    else:
        xy = np.array([(i % 10, i // 10) for i in range(n)]) * 100.0
    frame["Easting"], frame["Northing"] = 463_000 + xy[:, 0], 5_804_000 + xy[:, 1]
    frame.to_csv("soil.csv", index=False)
    _, out, _ = run("check", "soil.csv", "--target", "SOC", "--crs", "EPSG:25833")
    assert words in out


def test_missing_values_units_and_laboratory_columns(working_directory, run):
    """Missing values, units and laboratory columns are listed."""
    frame = soil_table().rename(columns={"Slope": "Slope [deg]"})
    frame["pH"] = np.linspace(4, 8, 60)
    frame.loc[:4, "Slope [deg]"] = np.nan
    frame.to_csv("soil.csv", index=False)
    _, out, _ = run("check", "soil.csv", "--target", "SOC")
    assert "missing      Slope [deg] 5 (of 60 rows)" in out
    assert "units        Slope [deg]: deg" in out
    assert "laboratory values used as covariates: pH" in out
    _, out, _ = run("check", "soil.csv", "--target", "SOC", "--quiet")
    assert out == ""


def test_rows_without_geometry_are_dropped(working_directory, run):
    """Rows without a point have no coordinates."""
    frame = points(soil_table())
    frame.loc[3, "geometry"] = None
    frame.to_file("soil.gpkg")
    _, out, _ = run("check", "soil.gpkg", "--target", "SOC")
    assert "59 rows; dropped: 1 without coordinates" in out


def test_skewed_targets_get_a_proposal(working_directory, run):
    """A log transform is proposed for a right-skewed target."""
    frame = soil_table()
    frame["SOC"] = np.exp(3 * frame["SOC"])
    frame.to_csv("soil.csv", index=False)
    _, out, _ = run("check", "soil.csv", "--target", "SOC")
    assert "compare with --target-transform log1p" in out


def test_categories_by_option(working_directory, table, run):
    """Numeric codes become categories, also as floats with missing values."""
    table["soiltype"] = [1.0, 2.0, np.nan, 3.0] * 10
    table.to_csv("survey.csv", index=False)
    _, out, _ = run("check", "survey.csv", "--target", "soc", "--categorical", "soiltype")
    assert "categories   2: land_use, soiltype" in out


def test_columns_of_the_survey(working_directory, table, run):
    """Every column is listed with its role or the reason why it is not used."""
    table.to_csv("survey.csv", index=False)
    _, out, _ = run("check", "survey.csv", "--target", "soc", "--time", "date")
    for words in (
        "coordinates  lon, lat (recognized names)",
        "time         date (as set)",
        "elevation    elevation (recognized name; also a covariate)",
        "numbers      3: elevation, cov_0, cov_1",
        "categories   1: land_use",
        "sample (different in every row)",
        "target_clay (name begins with target_)",
        "country (constant)",
        "distances    km (EPSG:4326)",
    ):
        assert words in out


def test_flagged_numbers_are_no_ids(working_directory, table, run):
    """A column that is dropped because of one entry is listed with this entry and its row."""
    table["cov_0"] = table["cov_0"].astype(object)
    table.loc[7, "cov_0"] = "12*"
    table.to_csv("survey.csv", index=False)
    _, out, _ = run("check", "survey.csv", "--target", "soc")
    assert "numbers, but also text such as '12*' in data row 8" in out


def test_lists_of_columns_with_commas_and_blanks(working_directory, run):
    """--drop takes commas and blanks; a wrong name raises with a similar one."""
    pd.concat([soil_table()]).to_csv("soil.csv", index=False)
    for arguments in (["Slope,ERa"], ["Slope", "ERa"], ["Slope, ERa"]):
        _, out, _ = run("check", "soil.csv", "--target", "SOC", "--drop", *arguments)
        assert "not used     Slope, ERa (as set)" in out
