"""Matching of columns with covariates: names, positions, dates, categories and CRS."""

import warnings

import numpy as np
import pytest
from map_models import (
    CODES,
    SETTINGS,
    flatten,
    make_network,
    survey_columns,
    with_land_use_codes,
)
from sklearn.linear_model import LinearRegression
from small_rasters import DATE, as_dataset, bands_of, survey

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
