"""Inference of roles from names, values and options."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.table.infer_roles import (
    TableError,
    find_coordinate_pair,
    find_similar_column,
    infer_roles,
    resolve_column,
)


def frame(n=100, **columns):
    rng = np.random.default_rng(0)
    base = {"lon": rng.uniform(5, 6, n), "lat": rng.uniform(50, 51, n), "soc": rng.uniform(size=n)}
    return pd.DataFrame(base | columns)


def numbers(n=100, seed=1):
    return np.random.default_rng(seed).uniform(size=n)


@pytest.mark.parametrize(
    ("role", "name", "values"),
    [
        ("time", "date", ["2001-05-06", "2002-07-08"] * 50),
        ("time", "sampling_date", ["2001-05-06", None] * 50),
        ("time", "SamplingDate", pd.date_range("2000-01-01", periods=100)),
        ("time", "year", [2001, 2002] * 50),
        ("time", "Probenahme am", pd.date_range("2000-01-01", periods=100)),
        ("time", "Entnahmedatum", ["2001-05-06", "2002-07-08"] * 50),
        ("time", "Date de prélèvement", ["2001-05-06", "2002-07-08"] * 50),
        ("elevation", "Höhe ü. NN", numbers()),
        ("elevation", "Geländehöhe (m)", numbers()),
        ("elevation", "DGM10", numbers()),
        ("elevation", "elev", numbers()),
        ("elevation", "Altitude", numbers()),
        ("elevation", "dtm_elevation_terrain", numbers()),
        ("elevation", "elevation_m", numbers()),
        ("site", "site_id", [f"s{i // 2}" for i in range(100)]),
        ("site", "ProfileID", [i // 4 for i in range(100)]),
    ],
)
def test_recognized_names_have_their_role(role, name, values):
    """Common names are recognized in any case, with a reason."""
    table = frame(**{name: values})
    roles = infer_roles(table, "soc")
    assert getattr(roles, role) == name
    assert roles.reasons[role].startswith("recognized name")
    assert (name in roles.covariates) == (role == "elevation")
    assert roles.used.count(name) == 1


@pytest.mark.parametrize(
    ("role", "name", "values", "why"),
    [
        ("time", "date", ["spring", "autumn"] * 50, "spring"),
        ("time", "time", numbers(), "time"),
        ("time", "year", [None] * 100, "empty"),
        ("elevation", "elevation", ["low", "high"] * 50, "not numeric"),
        ("site", "site", ["north", "south"] * 50, "only 2 values in 100 rows"),
        ("site", "site", [f"s{i}" for i in range(100)], "different in every row"),
    ],
)
def test_unsuitable_columns_have_no_role(role, name, values, why):
    """A column whose values do not fit the role of its name is not used, with a reason."""
    table = frame(**{name: values})
    roles = infer_roles(table, "soc")
    assert getattr(roles, role) is None
    assert why in roles.reasons[role]


@pytest.mark.parametrize("name", ["elevation_sd", "dem_slope", "update", "yearly_rain", "insight"])
def test_similar_names_are_covariates(name):
    """Columns such as slopes of an elevation model have no role."""
    roles = infer_roles(frame(**{name: numbers()}), "soc")
    assert roles.covariates == (name,)
    assert roles.time is roles.elevation is roles.site is None


def test_options_override_names():
    """A column set by an option has this role; "none" assigns no column."""
    table = frame(
        elev=numbers(), height_above_drainage=numbers(seed=2), meta_year=[2001, 2002] * 50
    )
    roles = infer_roles(table, "soc", time="meta_year", elevation="height_above_drainage")
    assert (roles.time, roles.elevation) == ("meta_year", "height_above_drainage")
    assert roles.reasons["time"] == "as set"
    assert set(roles.covariates) == {"elev", "height_above_drainage"}
    assert infer_roles(table, "soc", elevation="none").elevation is None


def test_planar_coordinates_take_precedence():
    """The second pair is used neither as coordinates nor as covariates."""
    table = frame(x=numbers(), y=numbers(seed=2))
    roles = infer_roles(table, "soc")
    assert roles.coordinates == ("x", "y")
    assert roles.dropped == dict.fromkeys(("lon", "lat"), "second pair of coordinates")
    roles = infer_roles(table, "soc", coordinates=("lon", "lat"))
    assert roles.coordinates == ("lon", "lat")
    assert set(roles.dropped) == {"x", "y"}
    assert roles.covariates == ()


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("target_clay", numbers(), "name begins with target_"),
        ("META_source", ["a", "b"] * 50, "name begins with META_"),
        ("Unnamed: 0", np.arange(100), "row numbers or ids"),
        ("sample_nr", np.random.default_rng(0).permutation(1000)[:100], "row numbers or ids"),
        ("label", [f"sample {i}" for i in range(100)], "different in every row"),
        ("surveyor", [f"name {i // 2}" for i in range(100)], "text with 50 levels"),
        (
            "nitrogen",
            ["<0.1", *(str(i) for i in range(99))],
            "numbers, but also text such as '<0.1'",
        ),
        ("carbonate", ["<0.1"] * 2 + [str(i) for i in range(98)], "'<0.1'"),
        ("country", ["NL"] * 100, "constant"),
        ("empty", [None] * 100, "constant"),
    ],
)
def test_unsuitable_covariates_are_dropped(name, values, why):
    """Other targets, ids, names and constants are dropped, each with a reason."""
    roles = infer_roles(frame(**{name: values}, ndvi=numbers()), "soc")
    assert why in roles.dropped[name]
    assert roles.covariates == ("ndvi",)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("population", np.random.default_rng(0).permutation(10_000)[:100]),
        ("landuse", [f"class {i % 20}" for i in range(100)]),
        ("limed", [True, False] * 50),
        ("code", [1, 2, 3, 4] * 25),
        ("rain", np.arange(100) / 2),
    ],
)
def test_covariates_similar_to_ids_are_used(name, values):
    """Distinct integers, classes, flags and linear trends are covariates."""
    assert infer_roles(frame(**{name: values}), "soc").covariates == (name,)


def test_target_is_never_dropped_or_used():
    """A target whose name begins with target_ is the target but not a covariate."""
    roles = infer_roles(frame().rename(columns={"soc": "target_soc"}), "target_soc")
    assert "target_soc" not in roles.dropped
    assert "target_soc" not in roles.used


def test_dropped_columns_have_no_role():
    """--drop takes precedence over recognized names."""
    roles = infer_roles(frame(elev=numbers(), ndvi=numbers()), "soc", drop=["elev"])
    assert roles.elevation is None
    assert roles.dropped == {"elev": "as set"}


def test_description_lists_every_column_once():
    """Each column is in one line, elevation also among the covariates."""
    table = frame(
        x=numbers(), y=numbers(), elev=numbers(), use=["a", "b"] * 50, sample=range(100), meta_a=1
    )
    lines = infer_roles(table, "soc").describe(table)
    words = " ".join(lines).replace(",", " ").replace("(", " ").split()
    for name, times in dict.fromkeys(table.columns, 1).items():
        expected = {"elev": 2, "soc": 0}.get(name, times)
        assert words.count(name) == expected, name
    assert "categories   1: use" in lines


def test_unrecognized_coordinates_raise():
    """The error contains the option; the first columns are not used."""
    table = frame().rename(columns={"lon": "a", "lat": "b"})
    with pytest.raises(TableError, match="--coordinates"):
        infer_roles(table, "soc")
    assert infer_roles(table, "soc", coordinates=("a", "b")).coordinates == ("a", "b")
    with pytest.raises(TableError, match="--coordinates a a"):
        infer_roles(table, "soc", coordinates=("a", "a"))


def test_unknown_columns_raise_with_suggestions():
    """The error lists similar names, or else all columns."""
    table = frame(organic_carbon=numbers())
    with pytest.raises(TableError, match=r"--drop orgnic_carbon: .* did you mean organic_carbon"):
        resolve_column(table, "orgnic_carbon", "--drop")
    with pytest.raises(TableError, match=r"zzz.* lon, lat, soc, organic_carbon"):
        resolve_column(table, "zzz", "--target")


def test_coordinate_pair_of_any_table():
    """Only recognized names count, also in tables of two columns."""
    assert find_coordinate_pair(pd.DataFrame(columns=["lat", "clay", "lon"])) == ("lon", "lat")
    assert find_coordinate_pair(pd.DataFrame(columns=["a", "b"])) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("X coord", "Y coord"), ("POINT_X", "POINT_Y"), ("E [m]", "N [m]"), ("E", "N")),
        *(("UTM_E", "UTM_N"), ("Easting (m)", "Northing (m)"), ("Rechtswert", "Hochwert")),
        *(("Longitude (deg)", "Latitude (deg)"), ("gps.lon", "gps.lat")),
    ],
)
def test_coordinate_names_with_blanks_and_units(first, second):
    """Names are compared in snake case without units."""
    table = frame().rename(columns={"lon": first, "lat": second})
    table[[first, second]] *= 1e5
    assert find_coordinate_pair(table.drop(columns="soc")) == (first, second)


def test_e_and_n_may_be_laboratory_values():
    """Small values in columns E and N are no coordinates."""
    table = pd.DataFrame({"E": numbers(), "N": numbers(), "pH": numbers(), "k": numbers()})
    assert find_coordinate_pair(table) is None


@pytest.mark.parametrize("name", ["Elevation (m)", "Altitude [m a.s.l.]", "DEM (SRTM)"])
def test_roles_of_names_with_units(name):
    """Elevation is recognized with a unit in its name."""
    assert infer_roles(frame(**{name: numbers()}), "soc").elevation == name


def test_duplicate_rows_do_not_hide_ids():
    """Ids of duplicated rows are ids, and the number of duplicates is given."""
    table = frame(sample=[f"s{i}" for i in range(100)], nr=range(100), cov=numbers())
    roles = infer_roles(pd.concat([table, table.head(40)], ignore_index=True), "soc")
    assert roles.dropped["sample"] == "different in every row, apart from 40 duplicate rows"
    assert roles.dropped["nr"] == "row numbers or ids, apart from 40 duplicate rows"
    assert roles.ids == ["sample", "nr"] and roles.covariates == ("cov",)


def test_ids_include_the_site():
    """The site identifies rows too; partly numeric columns do not."""
    flagged = ["<0.1", *(str(i) for i in range(99))]
    roles = infer_roles(frame(site=np.arange(100) // 2, nitrogen=flagged), "soc")
    assert roles.ids == ["site"]


@pytest.mark.parametrize(
    ("label", "column"),
    [("Elevation", "Elevation (m)"), ("x_coord", "X coord"), ("SOC", "soc_stock_0_30_cm_kg_m2")],
)
def test_suggestions_ignore_blanks_and_units(label, column):
    """Similar names are found without blanks, brackets and case."""
    with pytest.raises(TableError, match="did you mean") as raised:
        resolve_column(pd.DataFrame({column: [1.0], "other": [2.0]}), label, "--target")
    assert column in str(raised.value)


@pytest.mark.parametrize(
    ("label", "columns", "expected"),
    [
        ("höhenmodell", ["Höhenmodell (m)", "Hangneigung"], "Höhenmodell (m)"),
        ("Temperature_ete", ["Température été", "Température hiver"], "Température été"),
        ("высота", ["Высота", "Глубина"], "Высота"),
    ],
)
def test_letters_of_all_scripts_distinguish_columns(label, columns, expected):
    """Names match without accents; names in other scripts are not all the same."""
    table = pd.DataFrame(columns=columns)
    assert find_similar_column(table, label, "new.csv:") == expected
    with pytest.raises(TableError, match="no such column"):
        find_similar_column(table, "влажность", "new.csv:")


@pytest.mark.parametrize("name", ["lab_sd", "soc_sd", "noise_std", "measurement_error"])
def test_noise_std_is_never_inferred(name):
    """Names do not tell whose standard deviation it is: the column is a covariate."""
    roles = infer_roles(frame(**{name: numbers()}), "soc")
    assert roles.noise_std is None and name in roles.covariates


def test_noise_std_is_set_by_name():
    """The column is used, is no covariate, and is described."""
    table = frame(lab_sd=numbers(), clay=numbers(seed=2))
    roles = infer_roles(table, "soc", noise_std="lab_sd")
    assert (roles.noise_std, roles.covariates) == ("lab_sd", ("clay",))
    assert roles.used == ["lon", "lat", "lab_sd", "clay"]
    assert "noise_std    lab_sd (as set)" in roles.describe(table)
    assert infer_roles(table, "soc", noise_std="none").noise_std is None
    with pytest.raises(TableError, match=r"--noise-std lab_std: .*lab_sd"):
        infer_roles(table, "soc", noise_std="lab_std")
