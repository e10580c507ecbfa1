"""Prediction maps equal predictions of the table of all cells, for any blocks."""

import numpy as np
import pytest
import xarray as xr
from map_models import ALL_LAYERS, SETTINGS, flatten, make_network, survey_columns
from sklearn.linear_model import LinearRegression
from small_rasters import CRS, HEIGHT, WIDTH, as_dataset, bands_of, survey

from sptgnn_sklearn import XGBoostBaseline, predict_map


def test_map_equals_predictions_of_the_table(model, stack, table):
    """All layers of all cells, from GeoTIFFs, equal predictions of the same rows."""
    result = flatten(predict_map(model, stack, layers=ALL_LAYERS, coverage=0.8, **SETTINGS))
    expected = model.predict_uncertainty(table)
    limits = model.predict_interval(table, coverage=0.8)
    for name in ("mean", "std", "aleatoric", "epistemic"):
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(result["lower"], limits[:, 0], rtol=1e-5)
    np.testing.assert_allclose(result["upper"], limits[:, 1], rtol=1e-5)


@pytest.mark.parametrize("block_size", [16, 48])
def test_map_does_not_depend_on_blocks(model, stack, block_size):
    """Other blocks change the map by rounding only."""
    whole = flatten(predict_map(model, stack, layers=ALL_LAYERS, **SETTINGS))
    blocks = flatten(
        predict_map(model, stack, layers=ALL_LAYERS, block_size=block_size, **SETTINGS)
    )
    for name in ALL_LAYERS:
        np.testing.assert_allclose(blocks[name], whole[name], rtol=1e-5, atol=1e-5)


def test_map_has_the_grid_of_the_source(model, stack):
    """Shape, transform, CRS, data type and nodata value."""
    result = predict_map(model, stack, nodata_output=-9, **SETTINGS)
    with xr.open_dataset(stack[0], engine="rasterio") as source:
        assert result["mean"].rio.transform() == source.rio.transform()
        np.testing.assert_array_equal(result["x"], source["x"])
    assert result.rio.crs == CRS
    assert result["mean"].shape == (HEIGHT, WIDTH)
    assert result["mean"].dtype == np.float32
    assert result["std"].rio.nodata == -9


def test_baseline_has_a_map(stack, table):
    """XGBoostBaseline stores the roles of its columns, and predicts a mean."""
    X, y = survey()
    trees = XGBoostBaseline(n_estimators=20, crs=CRS, time="date", random_state=0).fit(X, y)
    result = predict_map(trees, stack, **SETTINGS)
    assert list(result) == ["mean"]
    np.testing.assert_allclose(flatten(result)["mean"], trees.predict(table), rtol=1e-5)


@pytest.mark.parametrize(
    "invalid", [{"nodata_output": 1e300}, {"block_size": 0}, {"block_size": 2.5}], ids=str
)
def test_arguments_are_checked(stack, invalid):
    """The message names the parameter."""
    linear = LinearRegression().fit(*survey_columns(["cov_0"]))
    with pytest.raises(ValueError, match=next(iter(invalid))):
        predict_map(linear, stack, verbose=0, **invalid)


def test_maps_are_those_of_values_without_measurement_error(stack, table):
    """A map needs no raster of noise_std, and equals predictions of missing ones."""
    X, y = survey()
    X = X.assign(lab_sd=np.where(np.arange(len(X)) % 2, 0.0, np.std(y)))
    model = make_network(noise_std="lab_sd").fit(X, y)
    expected = model.predict_uncertainty(table.assign(lab_sd=np.nan))
    result = flatten(predict_map(model, stack, layers=["mean", "std"], **SETTINGS))
    for name in ("mean", "std"):
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-5)
    assert "lab_sd" not in table


def test_maps_of_measurements(table):
    """One value for all cells gives the map of measurements with that error."""
    X, y = survey()
    X = X.assign(lab_sd=np.where(np.arange(len(X)) % 2, 0.0, np.std(y)))
    model = make_network(noise_std="lab_sd").fit(X, y)
    expected = model.predict_uncertainty(table.assign(lab_sd=2.0))
    covariates = as_dataset(bands_of(table)).assign(lab_sd=2.0)
    result = flatten(predict_map(model, covariates, layers=["std"], **SETTINGS))
    np.testing.assert_allclose(result["std"], expected["std"], rtol=1e-5)
