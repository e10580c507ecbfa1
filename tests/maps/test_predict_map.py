"""Prediction maps equal predictions of the table of all cells, for any blocks."""

import numpy as np
import pytest
import xarray as xr
from map_models import ALL_LAYERS, SETTINGS, flatten, survey_columns
from sklearn.linear_model import LinearRegression
from small_rasters import CRS, HEIGHT, WIDTH, survey

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
