"""Matching of columns with covariates: names, positions, dates, categories and CRS."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from map_models import (
    CODES,
    SETTINGS,
    flatten,
    make_network,
    survey_columns,
    with_land_use_codes,
)
from sklearn.linear_model import LinearRegression
from small_rasters import CRS, DATE, LAND_USES, as_dataset, bands_of, survey

from sptgnn_sklearn import predict_map


def test_missing_covariate_names_the_column(model, stack):
    """The error names the missing columns and the available covariates."""
    with pytest.raises(ValueError, match=r"columns \['elevation', 'cov_0', 'cov_1'\].*land_use"):
        predict_map(model, stack[1], **SETTINGS)


def test_model_without_names_takes_bands_by_position(table):
    """A model fitted on an array gets coordinates and covariates in the order of fit."""
    X, y = survey()
    names = ["x", "y", "cov_0", "cov_1"]
    bare = make_network(time=None, elevation=None).fit(X[names].to_numpy(), y)
    bands = {name: bands_of(table)[name] for name in ("cov_0", "cov_1")}
    result = flatten(predict_map(bare, as_dataset(bands), verbose=0))["mean"]
    expected = bare.predict(table[names].to_numpy())
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="of which 2 are covariates; the map has 4"):
        predict_map(bare, as_dataset(bands_of(table)), verbose=0)


def test_categories_need_levels(model, stack):
    """Numbers for text levels, and levels that the model was not fitted with, raise an error."""
    with pytest.raises(ValueError, match=r"'land_use' is a category with the levels .'cropland'"):
        predict_map(model, stack, date=DATE, verbose=0)
    with pytest.raises(ValueError, match=r"categories\['land_use'\] has the levels .'sea'."):
        predict_map(model, stack, date=DATE, categories={"land_use": {1: "sea"}}, verbose=0)
    with pytest.raises(ValueError, match=r"categories names \['sea'\]"):
        predict_map(model, stack, date=DATE, categories={"sea": {1: "deep"}}, verbose=0)


def test_levels_that_are_numbers_need_no_argument(table):
    """Codes that were categories in training are the same categories on the map."""
    X, y = survey()
    model = make_network().fit(with_land_use_codes(X), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no level is unknown
        result = predict_map(model, as_dataset(bands_of(table)), date=DATE, verbose=0)
    rows = table.assign(land_use=table["land_use"].astype(object).map(CODES))
    np.testing.assert_allclose(flatten(result)["mean"], model.predict(rows), rtol=1e-5)


def test_date_fills_the_time_column(model, stack, table):
    """Dates, texts and years hold for every row; without one a warning is issued."""
    by_date = flatten(predict_map(model, stack, **SETTINGS))["mean"]
    by_text = flatten(predict_map(model, stack, **(SETTINGS | {"date": "2012-06-01"})))["mean"]
    np.testing.assert_array_equal(by_text, by_date)
    early = flatten(predict_map(model, stack, **(SETTINGS | {"date": 2006.5})))["mean"]
    np.testing.assert_allclose(early, model.predict(table.assign(date=2006.5)), rtol=1e-5)
    with pytest.warns(UserWarning, match="'date'.* unknown date"):
        undated = flatten(predict_map(model, stack, **(SETTINGS | {"date": None})))["mean"]
    np.testing.assert_allclose(undated, model.predict(table.assign(date=np.nan)), rtol=1e-5)
    linear = LinearRegression().fit(*survey_columns(["cov_0"]))
    with pytest.raises(ValueError, match=r"date=.*without a time column"):
        predict_map(linear, stack, date=DATE, verbose=0)


def test_constants_fill_their_columns(stack, table):
    """A number in a mapping, or a variable without dimensions, holds for all cells."""
    names = ["cov_0", "cov_1"]
    linear = LinearRegression().fit(*survey_columns(names))
    expected = linear.predict(table[names].assign(cov_1=0.5))
    by_number = predict_map(linear, {"cov_0": (stack[0], "cov_0"), "cov_1": 0.5}, verbose=0)
    np.testing.assert_allclose(flatten(by_number)["mean"], expected, rtol=1e-5)
    dataset = as_dataset({"cov_0": bands_of(table)["cov_0"]}).assign(cov_1=0.5)
    by_variable = predict_map(linear, dataset, verbose=0)
    np.testing.assert_allclose(flatten(by_variable)["mean"], expected, rtol=1e-5)


def test_sites_and_constant_columns_need_no_covariate(stack, table):
    """Columns that do not influence predictions are filled with missing values."""
    X, y = survey()
    more = X.assign(profile=np.arange(len(X)) // 2, lab=1.0)
    with pytest.warns(UserWarning, match="lab"):
        model = make_network(site="profile").fit(more, y)
    result = flatten(predict_map(model, stack, **SETTINGS))["mean"]
    expected = model.predict(table.assign(profile=None, lab=np.nan))
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_unknown_crs_warns(model, table):
    """A raster or a model without a CRS is taken to be in that of the other."""
    bands = bands_of(table)
    with pytest.warns(UserWarning, match=r"covariates have no CRS; .*\(EPSG:32636\)"):
        bare = predict_map(model, as_dataset(bands, crs=None), **SETTINGS)
    np.testing.assert_array_equal(
        flatten(bare)["mean"], flatten(predict_map(model, as_dataset(bands), **SETTINGS))["mean"]
    )
    linear = LinearRegression().fit(*survey_columns(["x", "y", "cov_0"]))
    with pytest.warns(UserWarning, match=r"CRS of the estimator's coordinates .* is unknown"):
        predict_map(linear, as_dataset(bands), verbose=0)


def test_meters_without_a_crs_are_not_degrees(table):
    """Coordinates that the CRS of the model cannot have raise an error before any prediction."""
    X, y = survey(crs="EPSG:4326")
    model = make_network(crs=None).fit(X, y)
    with (
        pytest.warns(UserWarning, match="have no CRS"),
        pytest.raises(ValueError, match="not valid in EPSG:4326"),
    ):
        predict_map(model, as_dataset(bands_of(table), crs=None), **SETTINGS)


@pytest.mark.parametrize(
    "make_key",
    [str, float, np.uint8, np.float32, lambda code: f"{code}.0", lambda code: f" {code}"],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_keys_of_categories_are_numbers_in_any_form(model, table, make_key, dtype):
    """Text, floats and types of numpy equal integers."""
    bands = bands_of(table)
    expected = flatten(predict_map(model, as_dataset(bands), **SETTINGS))["mean"]
    bands["land_use"] = bands["land_use"].astype(dtype)
    levels = {make_key(code): level for code, level in LAND_USES.items()}
    settings = SETTINGS | {"categories": {"land_use": levels}}
    result = flatten(predict_map(model, as_dataset(bands), **settings))["mean"]
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"crop": "cropland"}, r"the key 'crop'"),
        ({"1": "cropland", "": "forest"}, r"the key ''"),
        ({None: "cropland"}, "the key None"),
        ({np.nan: "cropland"}, "the key nan"),
        ({1: "cropland", "1": "forest"}, "two levels for 1"),
        ("cropland", "must map numbers"),
    ],
)
def test_keys_of_categories_that_are_no_numbers_raise(model, stack, levels, message):
    with pytest.raises(ValueError, match=rf"categories\['land_use'\].*{message}"):
        predict_map(model, stack, date=DATE, categories={"land_use": levels}, verbose=0)


def test_levels_are_compared_by_name(table):
    """A level 1.0 is the level "1", in the model and for the code of all cells."""
    X, y = survey()
    model = make_network().fit(with_land_use_codes(X), y)
    source = as_dataset(bands_of(table))
    expected = flatten(predict_map(model, source, date=DATE, verbose=0))["mean"]
    for levels in ({c: float(c) for c in LAND_USES}, {str(c): str(c) for c in LAND_USES}):
        settings = {"date": DATE, "categories": {"land_use": levels}, "verbose": 0}
        result = flatten(predict_map(model, source, **settings))["mean"]
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("key", [2, "2", 2.0])
def test_category_of_all_cells_has_its_level(model, table, key):
    """A number for all cells is a code like those of a raster."""
    bands = bands_of(table)
    full = as_dataset(bands | {"land_use": np.full_like(bands["land_use"], 2)})
    constant = as_dataset({name: bands[name] for name in bands if name != "land_use"})
    settings = SETTINGS | {"categories": {"land_use": {key: "forest"}}}
    expected = flatten(predict_map(model, full, **settings))["mean"]
    for value in (2, 2.0, "forest"):
        result = predict_map(model, constant.assign(land_use=value), **settings)
        np.testing.assert_array_equal(flatten(result)["mean"], expected)
    with pytest.raises(ValueError, match=r"categories\['land_use'\] has no level for 3"):
        predict_map(model, constant.assign(land_use=3), **settings)


def test_text_rasters_have_levels_too(model, table):
    """Arrays of text are codes, or levels without the argument."""
    bands = bands_of(table)
    expected = flatten(predict_map(model, as_dataset(bands), **SETTINGS))["mean"]
    bands["land_use"] = bands["land_use"].astype(str).astype(object)
    result = flatten(predict_map(model, as_dataset(bands), **SETTINGS))["mean"]
    np.testing.assert_array_equal(result, expected)
    bands["land_use"] = np.vectorize(lambda code: LAND_USES[int(code)])(bands["land_use"])
    result = flatten(predict_map(model, as_dataset(bands), date=DATE, verbose=0))["mean"]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "date", ["03.04.2005", "3/4/2005", "03-04-05", "1. June", "soon", True, 99]
)
def test_dates_that_a_column_cannot_hold_raise(model, stack, date):
    """The message names the parameter, before any prediction."""
    with pytest.raises(ValueError, match=f"date={date!r}"):
        predict_map(model, stack, **(SETTINGS | {"date": date}))


@pytest.mark.parametrize(
    "date",
    [
        np.datetime64("2012-06-01"),
        datetime.date(2012, 6, 1),
        pd.Timestamp("2012-06-01", tz="UTC"),
        pd.Period("2012-06-01", "D"),
        "2012-06-01T00:00:00Z",
        20120601,
        "20120601",
    ],
    ids=repr,
)
def test_dates_of_all_kinds_are_those_of_a_column(model, stack, date):
    expected = flatten(predict_map(model, stack, **SETTINGS))["mean"]
    result = flatten(predict_map(model, stack, **(SETTINGS | {"date": date})))["mean"]
    np.testing.assert_array_equal(result, expected)


def make_grid_of_longitudes(shift):
    lat, lon = np.linspace(-0.4, 0.4, 5), np.linspace(29.6, 30.4, 7)
    values = np.random.default_rng(0).normal(size=(5, 7))
    return xr.Dataset(
        {"cov_0": (("lat", "lon"), values)}, coords={"lat": lat, "lon": lon + shift}
    ).rio.write_crs(4326)


@pytest.mark.filterwarnings("ignore:Most rows of X are far:UserWarning")
@pytest.mark.parametrize("shift", [360, -360])
def test_grids_past_the_end_of_longitudes_are_shifted(shift):
    """Longitude 390 is 30, for a model of degrees and for one of meters."""
    for crs in ("EPSG:4326", CRS):
        X, y = survey(80, crs=crs)
        columns = [*X.columns[:2], "cov_0"]
        model = make_network(crs=crs, time=None, elevation=None).fit(X[columns], y)
        expected = predict_map(model, make_grid_of_longitudes(0), verbose=0)["mean"]
        result = predict_map(model, make_grid_of_longitudes(shift), verbose=0)["mean"]
        np.testing.assert_allclose(result, expected, rtol=1e-5)
        assert result["lon"][0] == pytest.approx(29.6 + shift)


def test_grids_several_turns_away_raise():
    """Numbers that are no longitudes are rejected before any prediction, with a remedy."""
    X, y = survey(80, crs="EPSG:4326")
    columns = [*X.columns[:2], "cov_0"]
    model = make_network(crs=None, time=None, elevation=None).fit(X[columns], y)
    with pytest.raises(ValueError, match=r"longitudes from 749.6 to 750.4.*subtract 360"):
        predict_map(model, make_grid_of_longitudes(720), verbose=0)
