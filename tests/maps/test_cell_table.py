"""Cells of a block as rows of X: which are predicted, and their categories and coordinates."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from map_models import SETTINGS, fit_counting, flatten, make_network, survey_columns
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from small_rasters import (
    CRS,
    HEIGHT,
    LAND_USES,
    WIDTH,
    as_dataset,
    bands_of,
    survey,
    write_stack,
)

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.spatial.crs import resolve_crs, transform_coordinates


@pytest.mark.parametrize("tile", [16, None])
def test_cells_that_lack_a_covariate_are_nodata(model, table, tmp_path, tile):
    """A cell without one of its covariates is nodata in all layers; others do not change."""
    bands = bands_of(table)
    full = flatten(predict_map(model, write_stack(tmp_path, bands), **SETTINGS))
    bands = {name: values.copy() for name, values in bands.items()}
    bands["cov_1"][:16, :16] = np.nan
    bands["elevation"][20, 30] = -3.4e38
    bands["land_use"][0, 50] = 0
    holes = np.full((HEIGHT, WIDTH), False)
    holes[:16, :16] = holes[20, 30] = holes[0, 50] = True
    result = predict_map(model, write_stack(tmp_path, bands, tile=tile), **SETTINGS)
    for name, values in flatten(result).items():
        np.testing.assert_array_equal(np.isnan(values), holes.ravel())
        np.testing.assert_allclose(values[~holes.ravel()], full[name][~holes.ravel()], rtol=1e-5)


def test_missing_values_reach_the_model_if_requested(model, table):
    """With skip_nodata=False only cells without any covariate are nodata."""
    bands = bands_of(table)
    bands["cov_1"] = bands["cov_1"].copy()
    bands["cov_1"][:4] = np.nan
    empty = {name: values.astype(float) for name, values in bands.items()}
    for values in empty.values():
        values[0, :5] = np.nan
    result = flatten(predict_map(model, as_dataset(empty), skip_nodata=False, **SETTINGS))["mean"]
    rows = table.copy()
    rows.loc[: 4 * WIDTH - 1, "cov_1"] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(result)), np.arange(5))
    np.testing.assert_allclose(result[5:], model.predict(rows)[5:], rtol=1e-5)


def test_only_cells_with_data_are_predicted(columns):
    """Blocks without data are not predicted at all."""
    a = np.full((HEIGHT, WIDTH), np.nan)
    a[20:, 40:] = 1.0
    counting = fit_counting(columns)
    source = as_dataset({"a": a, "b": np.ones_like(a)})
    result = predict_map(counting, source, crs=CRS, block_size=20, nodata_output=-1, verbose=0)
    assert (counting.calls, counting.rows) == (1, 20 * 16)
    assert (result["mean"].to_numpy()[np.isnan(a)] == -1).all()


def test_models_that_reject_missing_values_get_none(table):
    """skip_nodata=False has no effect for LinearRegression."""
    bands = {name: bands_of(table)[name].copy() for name in ("cov_0", "cov_1")}
    bands["cov_0"][3] = np.nan
    linear = LinearRegression().fit(*survey_columns(["cov_0", "cov_1"]))
    result = predict_map(linear, as_dataset(bands), skip_nodata=False, verbose=0)["mean"]
    assert np.isnan(result[3]).all()
    assert np.isfinite(result[:3]).all()


def test_encoders_receive_levels(stack, table):
    """A Pipeline that one-hot encodes texts gets texts, not codes."""
    names = ["land_use", "cov_0"]
    encode = make_column_transformer((OneHotEncoder(), ["land_use"]), remainder="passthrough")
    pipe = make_pipeline(encode, LinearRegression()).fit(*survey_columns(names))
    result = flatten(predict_map(pipe, stack, categories={"land_use": LAND_USES}, verbose=0))[
        "mean"
    ]
    np.testing.assert_allclose(result, pipe.predict(table[names]), rtol=1e-5)


def test_codes_without_a_level_are_nodata(model, table):
    """A class that `categories` leaves out, such as water, is not predicted."""
    bands = bands_of(table)
    bands["land_use"] = bands["land_use"].copy()
    bands["land_use"][5] = 9
    result = predict_map(model, as_dataset(bands), **SETTINGS)["mean"]
    assert np.isnan(result[5]).all()
    assert np.isfinite(result[6]).all()


def test_cell_centers_are_in_the_crs_of_the_model(table):
    """A model of longitude and latitude gets these from a raster in meters."""
    X, y = survey()
    wgs84 = resolve_crs("EPSG:4326", [])
    lon, lat = transform_coordinates(X[["x", "y"]].to_numpy(), CRS, wgs84).T
    model = make_network(crs=None).fit(X.drop(columns=["x", "y"]).assign(lon=lon, lat=lat), y)
    lon, lat = transform_coordinates(table[["x", "y"]].to_numpy(), CRS, wgs84).T
    expected = model.predict(table.drop(columns=["x", "y"]).assign(lon=lon, lat=lat))
    result = flatten(predict_map(model, as_dataset(bands_of(table)), **SETTINGS))["mean"]
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_rows_and_columns_of_axes_are_not_swapped():
    """Rows from south to north, named lat and lon, are predicted where they are."""
    X, y = survey(crs="EPSG:4326")
    linear = LinearRegression().fit(X[["lon", "lat", "cov_0"]], y)
    lat, lon = np.linspace(-0.4, 0.4, 9), np.linspace(29.6, 30.4, 11)
    values = np.random.default_rng(0).normal(size=(9, 11))
    source = xr.Dataset({"cov_0": (("lat", "lon"), values)}, coords={"lat": lat, "lon": lon})
    result = predict_map(linear, source, verbose=0)["mean"]
    east, north = np.meshgrid(lon, lat)
    rows = pd.DataFrame({"lon": east.ravel(), "lat": north.ravel(), "cov_0": values.ravel()})
    assert result.dims == ("lat", "lon")
    np.testing.assert_allclose(result.to_numpy().ravel(), linear.predict(rows), rtol=1e-5)
