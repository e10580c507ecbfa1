"""Values that are valid numbers but unlikely measurements."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold

from sptgnn_sklearn import XGBoostBaseline, compare_models
from sptgnn_sklearn.table.schema import TableSchema
from sptgnn_sklearn.table.table_checks import (
    check_no_data_target,
    find_no_data_codes,
    holds_date_text,
    holds_dates,
    is_laboratory_name,
    parse_censored,
    partly_numeric_levels,
)

N = 120
RNG = np.random.default_rng(0)
EAST, NORTH = 463_000 + RNG.uniform(0, 1100, N), 5_804_000 + RNG.uniform(0, 800, N)
CLAY, RAIN = RNG.uniform(0, 60, N), RNG.gamma(2, 300, N)
SOC = np.exp(RNG.normal(2, 1, N))


def survey(**changes):
    """Return a survey in meters; arguments replace or add columns."""
    return pd.DataFrame({"x": EAST, "y": NORTH, "clay": CLAY, "rain": RAIN}).assign(**changes)


def with_code(values, code, count=3):
    """Return a copy of numbers with a code in some rows."""
    values = np.array(values, dtype=float)
    values[5 : 5 + count] = code
    return values


def fitted(X=None, y=SOC, **parameters):
    model = XGBoostBaseline(n_estimators=5, crs=25833, random_state=0, **parameters)
    return model.fit(survey() if X is None else X, y)


def messages(call, *arguments):
    """Return the messages of all warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*arguments)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    "code", [-9999, -999, -99, -99999, -88, -9999.9, -32768, -2147483648, -1e20, 1e20, 9999, 65535]
)
@pytest.mark.parametrize("count", [1, 4])
def test_no_data_codes_are_found(code, count):
    """A code far outside of a percentage is found, with its rows and the nearest value."""
    values = with_code(CLAY, code, count)
    (result,) = find_no_data_codes(values)
    assert (result.value, result.rows.sum()) == (code, count)
    rest = np.delete(values, np.flatnonzero(result.rows))
    assert result.nearest == (rest.min() if code < 0 else rest.max())


def test_several_codes_are_found_together():
    """One code is not the nearest value of another, also if most rows are missing."""
    values = np.concatenate([np.full(90, -9999.0), np.full(20, -999.0), [3.0, 4.0, 7.0, np.nan]])
    assert [code.value for code in find_no_data_codes(values)] == [-9999, -999]


@pytest.mark.parametrize(
    "values",
    [
        [-120.0, -99.0, -80.0, -60.0],  # temperatures
        [-99.0, -70.0, -30.0, 10.0, 60.0],
        with_code(RNG.normal(0, 4000, N).round(), -9999, 1),
        [0.0, 255.0, 255.0, 0.0],  # a mask
        [10.0, 90.0, 140.0, 255.0],  # a band of 8 bits
        np.append(np.exp(RNG.normal(4, 1.5, N)), 999.0),  # a long tail
        np.arange(-99.0, 100.0),
        [9999.0, 9998.0, 10001.0],
        [-9999.0, -9999.0],
        [np.nan, np.nan],
        [],
    ],
)
def test_legitimate_values_are_no_codes(values):
    """Codes within or near the other values are measurements."""
    assert find_no_data_codes(np.array(values, dtype=float)) == []


@pytest.mark.parametrize("code", [-9999, -999, -99])
def test_no_data_in_the_target_raises(code):
    """The error contains count, code and next value; zero weight excludes a row."""
    y = with_code(SOC, code)
    next_value = np.delete(y, [5, 6, 7]).min()
    message = rf"target y holds {code} in 3 of 120 rows .*5, 6, 7.*next: {next_value:.6g}\): drop"
    with pytest.raises(ValueError, match=message):
        fitted(y=y)
    XGBoostBaseline(n_estimators=2).fit(survey(), y, sample_weight=(y != code).astype(float))


def test_ambiguous_codes_in_the_target_raise_if_repeated():
    """One value of 255 among small numbers may be measured."""
    check_no_data_target(with_code(CLAY / 10, 255, 1))
    with pytest.raises(ValueError, match="holds 255 in 2 of 120 rows"):
        check_no_data_target(with_code(CLAY / 10, 255, 2))


def test_comparisons_refuse_no_data_in_the_target():
    """They raise before any fit, also with models that learn -9999."""
    with pytest.raises(ValueError, match="holds -9999 in 3 of 120 rows"):
        compare_models({"mean": DummyRegressor()}, survey(), with_code(SOC, -9999), {"k": KFold(3)})


@pytest.mark.parametrize("code", [-9999, -99, 1e20])
def test_no_data_in_covariates_warns(code):
    """The warning contains column, code, count and a remedy."""
    (message,) = messages(fitted, survey(clay=with_code(CLAY, code)))
    assert f"Column 'clay' holds {code:.12g} in 3 of 120 rows" in message and "NaN" in message


def test_no_data_in_queries_warns():
    """A single query is compared with the values of fit."""
    model = fitted()
    (message,) = messages(model.predict, survey(clay=-9999.0).head(1))
    assert "Column 'clay' holds -9999, far outside of its values in fit" in message
    assert messages(model.predict, survey()) == []


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("degrees", {"x": 14.4, "y": 52.4}),
        ("kilometers", {"x": EAST / 1000, "y": NORTH / 1000}),
        ("other zone", {"x": EAST - 200_000}),
        ("swapped", {"x": NORTH, "y": EAST}),
        ("most rows", {"x": np.where(np.arange(N) < 100, 14.4, EAST)}),
    ],
)
def test_queries_far_from_the_survey_warn_once(name, moved):
    """The warning contains the columns and the CRS of fit."""
    (message,) = messages(fitted().predict, survey(**moved))
    assert "'x' and 'y'" in message and "EPSG:25833" in message


@pytest.mark.parametrize(
    "moved", [{}, {"x": EAST + 3000}, {"x": np.where(np.arange(N) < 50, 14.4, EAST)}]
)
def test_nearby_queries_do_not_warn(moved):
    """Neither do some rows that are far."""
    assert messages(fitted().predict, survey(**moved)) == []


@pytest.mark.parametrize("factor", [1e-3, "degrees"])
def test_other_units_warn_in_large_surveys(factor):
    """A national survey is not ten radii from the origin of its CRS."""
    large = survey(x=10_000 + 250 * (EAST - 463_000), y=300_000 + 400 * (NORTH - 5_804_000))
    model = XGBoostBaseline(n_estimators=5, crs=28992).fit(large, SOC)
    moved = (
        large.assign(x=5.2, y=52.1)
        if factor == "degrees"
        else large.assign(x=large["x"] * factor, y=large["y"] * factor)
    )
    (message,) = messages(model.predict, moved)
    assert "look like degrees" in message or "1000 times smaller" in message
    assert messages(model.predict, large) == []


def test_single_far_training_row_may_be_predicted():
    """The extent includes the farthest row."""
    X = survey()
    X.loc[0, "x"] += 60_000
    assert messages(fitted(X).predict, X.head(1)) == []


def test_rows_of_zeros_do_not_warn():
    """Tools probe models with rows of zeros."""
    assert messages(fitted().predict, survey(x=0.0, y=0.0, clay=0.0, rain=0.0)) == []


@pytest.mark.parametrize("rows", [[3], range(40), range(100)])
def test_tables_of_degrees_and_meters_are_refused(rows):
    """Fit refuses them as splitters do."""
    X = survey()
    X.loc[list(rows), ["x", "y"]] = [14.4, 52.4]
    with pytest.raises(ValueError, match=rf"'x' and 'y' look like degrees in {len(rows)} of 120"):
        fitted(X)


@pytest.mark.parametrize(
    "copy",
    [
        10 * SOC,
        1.724 * SOC + RNG.normal(0, 1e-3, N),
        -np.log(SOC),
        np.where(np.arange(N) < 90, SOC**2, np.nan),
        SOC.round(1),
    ],
)
def test_copies_of_the_target_warn(copy):
    """The warning contains the column, whatever the unit, sign, gaps or rounding."""
    (message,) = messages(fitted, survey(more=copy))
    assert "'more'" in message and "rank correlation of" in message


def test_equal_columns_have_their_own_message():
    """A column that is the target is named once."""
    (message,) = messages(fitted, survey(more=SOC))
    assert "'more' of X equals the target y" in message


@pytest.mark.parametrize(
    "column",
    [
        SOC * np.exp(RNG.normal(0, 0.4, N)),
        np.where(np.arange(N) < 15, SOC, np.nan),
        np.where(np.arange(N) < 60, SOC * 2, CLAY),
    ],
)
def test_correlated_covariates_do_not_warn(column):
    """Neither do fewer than 20 common rows, or coordinates that order the target."""
    assert messages(fitted, survey(more=column)) == []
    assert messages(fitted, survey(), EAST) == []


def test_large_tables_are_screened():
    """A sample of rows decides only for columns that are clearly different."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=9000)
    X = pd.DataFrame(rng.uniform(size=(9000, 3)), columns=["x", "y", "a"]).assign(b=y**3)
    (message,) = messages(XGBoostBaseline(n_estimators=2).fit, X, y)
    assert "'b'" in message


@pytest.mark.parametrize(
    "entries",
    [
        ["<3", "3.5", "4", "12"],
        ["<0.1", "0.2", "0.35", "1.7"],
        ["12*", "13", "14", "15"],
        ["3,2", "4,1", "7,7"],
        ["12.4 (est.)", "11.0", "9.5", "n.d."],
        ["5 ppm", "6 ppm", "11 ppm"],
        [">200", "150.2", "99.1", "80"],
        ["≤ 0.5", "0.7", "0.9", "2e-1"],
    ],
)
@pytest.mark.parametrize("dtype", [object, "string"])
def test_numbers_in_text_warn(entries, dtype):
    """The warning contains the column, an entry and a remedy, also for few levels."""
    column = pd.Series(np.resize(entries, N), dtype=dtype)
    (message,) = messages(TableSchema.fit, survey(lab=column))
    assert "Column 'lab' is text" in message and "If these are numbers" in message


@pytest.mark.parametrize(
    "entries",
    [
        ["1", "2", "3"],
        ["1.0", "2.0"],
        ["<5", "5-20", ">20"],
        ["0-10 cm", "10-30 cm"],
        ["1 Sand", "2 Clay", "3 Peat"],
        ["2Bt", "2C", "3C"],
        ["sand", "clay"],
        ["1", "2", "water"],
        pd.Categorical(["1.5", "2.5"]),
    ],
)
def test_class_labels_do_not_warn(entries):
    """Codes and names of classes, and pandas categories, are categories."""
    column = np.resize(entries, N)
    if isinstance(entries, pd.Categorical):
        column = pd.Categorical(column)
    assert messages(TableSchema.fit, survey(lab=column)) == []


def test_censored_values_are_parsed():
    """Sign and limit, with any spaces and decimal comma."""
    assert parse_censored(" < 0,5 ") == ("<", 0.5)
    assert parse_censored("≥200") == (">", 200.0)
    assert parse_censored("5") is parse_censored("<LOD") is None
    assert partly_numeric_levels([]) is None


DATES = {
    "date objects": [datetime.date(2001, 1, 1) + datetime.timedelta(9 * i) for i in range(N)],
    "datetimes": pd.date_range("2001-01-01", periods=N),
    "time zone": pd.date_range("2001-01-01", periods=N, tz="Europe/Paris"),
    "periods": pd.period_range("2001-01", periods=N, freq="M"),
    "arrow dates": pd.array(
        [datetime.date(2001, 1, 1 + i % 28) for i in range(N)], "date32[pyarrow]"
    ),
    "arrow timestamps": pd.array(pd.date_range("2001", periods=N), "timestamp[us][pyarrow]"),
    "ISO text": pd.date_range("2001-01-01", periods=N, freq="9D").strftime("%Y-%m-%d"),
    "few dates as text": np.resize(["2001-05-03", "2001-06-12"], N),
    "words": np.resize(["3 May 2001", "12 June 2001"], N),
    "YYYYMMDD": np.resize([20010503, 20010612, 20020101, 20020630, 20031231], N),
}  # fmt: skip


@pytest.mark.parametrize("kind", DATES)
def test_dates_without_a_role_warn(kind):
    """Dates of any type are named once, and not if there is a time column."""
    X = survey(sampled=pd.Series(DATES[kind]))
    (message,) = messages(TableSchema.fit, X)
    assert "Column 'sampled' holds dates" in message and "time='sampled'" in message
    assert messages(lambda: TableSchema.fit(X, time="sampled")) == []


@pytest.mark.parametrize(
    "values", [np.arange(1990, 1990 + N), 20_000_000 + 7 * np.arange(N), ["A2001", "B2002"]]
)
def test_other_columns_are_no_dates(values):
    """Years, ids and codes do not warn."""
    column = pd.Series(np.resize(values, N))
    assert not any("dates" in text for text in messages(TableSchema.fit, survey(sampled=column)))
    assert not holds_dates(column, np.arange(N, dtype=float))
    assert not holds_date_text(["03/04/2001"]) and not holds_date_text([])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("pH", "ph_h2o", "pH_CaCl2", "Clay", "clay_0_30cm", "Sand_pct")),
        *((name, True) for name in ("SOC_gkg", "SOC2", "OM", "som_g_kg", "N_tot", "P", "K_mg_kg")),
        *((name, True) for name in ("CEC_cmolc_kg", "BD_g_cm3", "EC_dS_m", "CaCO3", "bulkDensity")),
        *((name, True) for name in ("Clay.15-30cm", "CaCO3 (%)", "Ntot")),
        *(
            (name, True)
            for name in ("pH-Wert", "Humusgehalt", "Phosphor (CAL)", "Matière organique")
        ),
        *((name, False) for name in ("slope", "NDVI", "elevation", "ERa", "B4", "rain", "phi")),
        *((name, False) for name in ("aspect", "landuse", "claypan_distance", "x")),
    ],
)
def test_laboratory_names(name, expected):
    """Soil properties with usual suffixes are found, covariates of maps are not."""
    assert is_laboratory_name(name) is expected
