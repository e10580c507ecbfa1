"""Covariates on one grid: missing values, georeferencing and fingerprints."""

import os
import warnings

import numpy as np
import pytest
import rasterio
import xarray as xr
from map_models import survey_columns
from sklearn.linear_model import LinearRegression
from small_rasters import CELL, CORNER, as_dataset, bands_of, write_raster

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps.covariate_stack import decode_band, file_state, stack_from_dataset
from sptgnn_sklearn.maps.open_rasters import open_covariates


@pytest.fixture
def linear():
    return LinearRegression().fit(*survey_columns(["cov_0"]))


def test_nodata_values_are_missing(table):
    """A declared nodata value becomes NaN, in float variables too."""
    bands = {"cov_0": bands_of(table)["cov_0"].copy()}
    bands["cov_0"][0, :3] = -9999
    source = as_dataset(bands)
    source["cov_0"] = source["cov_0"].rio.write_nodata(-9999)
    result = stack_from_dataset(source, "it").read((0, 2, 0, 56))["cov_0"]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(result)), np.arange(3))


def test_integers_without_nodata_keep_their_dtype():
    """With a nodata value they become floats in every block, also where it does not occur."""
    assert decode_band(np.array([1, 2], dtype="int16"), None).dtype == np.int16
    assert decode_band(np.array([1, 2], dtype="int16"), 9.0).dtype == np.float64


def test_undeclared_extremes_are_missing():
    """Infinities and magnitudes above 1e30 are nodata values that were not declared."""
    result = decode_band(np.array([1e30, 1.1e30, -3.4e38, np.inf, -np.inf]), None)
    np.testing.assert_array_equal(np.isnan(result), [False, True, True, True, True])


def test_fingerprints_follow_files_and_values(tmp_path, table):
    """A file by its state, an array by its values, dask by name, a constant by its value."""
    path = write_raster(tmp_path / "a.tif", bands_of(table)["cov_0"])
    opened = open_covariates({"a": path, "b": 1.5})
    assert opened.fingerprints([]) == {"a": file_state(path), "b": "1.5"}
    os.utime(path, ns=(1, 1))
    assert opened.fingerprints([])["a"].endswith(" 1")
    blocks = [(0, 40, 0, 56)]
    dataset = as_dataset({"a": bands_of(table)["cov_0"].copy()})
    first = stack_from_dataset(dataset, "it").fingerprints(blocks)
    dataset["a"][3, 4] += 1
    assert stack_from_dataset(dataset, "it").fingerprints(blocks) != first
    assert stack_from_dataset(dataset.chunk(), "it").fingerprints(blocks) == {"a": "dask"}


def test_selection_of_no_variable_keeps_the_grid(table):
    """Without any covariate the first variable stays, for its tiles."""
    stack = stack_from_dataset(as_dataset(bands_of(table)), "it")
    assert list(stack.select(["cov_1"]).dataset) == ["cov_1"]
    assert list(stack.select([]).dataset) == ["elevation"]


def test_rasters_must_be_georeferenced(linear, table, tmp_path):
    """Rasters without a transform, or with rotation, raise an error."""
    values = bands_of(table)["cov_0"]
    rotated = rasterio.Affine(10, 5, 0, 5, -10, 0)
    path = write_raster(tmp_path / "rotated.tif", values, transform=rotated)
    with pytest.raises(ValueError, match=r"rotated.tif' has no coordinates"):
        predict_map(linear, {"cov_0": path}, verbose=0)
    path = tmp_path / "nowhere.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        write_raster(path, values, transform=rasterio.Affine.identity())
    with pytest.raises(ValueError, match=r"nowhere.tif' is not georeferenced"):
        predict_map(linear, {"cov_0": path}, verbose=0)


def test_datasets_must_have_rows_and_columns(linear, table):
    """Other dimensions, missing coordinates, texts and unknown names of axes raise an error."""
    dataset = as_dataset({"cov_0": bands_of(table)["cov_0"]})
    with pytest.raises(ValueError, match=r"'cov_0' .* dimensions .*'time'"):
        predict_map(linear, dataset.expand_dims(time=2), verbose=0)
    with pytest.raises(ValueError, match=r"no coordinates along \['y', 'x'\]"):
        predict_map(linear, dataset.drop_vars(["x", "y"]), verbose=0)
    with pytest.raises(ValueError, match=r"'cov_0' .* holds complex128"):
        predict_map(linear, dataset.astype(complex), verbose=0)
    other = xr.Dataset({"cov_0": (("a", "b"), np.ones((2, 2)))})
    with pytest.raises(ValueError, match=r"\('a', 'b'\).*rename"):
        predict_map(linear, other, verbose=0)
    with pytest.raises(ValueError, match="no variables"):
        predict_map(linear, xr.Dataset(), verbose=0)


def test_tile_is_that_of_the_file(table, tmp_path):
    """Tiles of a GeoTIFF decide the blocks; an array in memory has none."""
    path = write_raster(tmp_path / "a.tif", bands_of(table)["cov_0"], tile=16)
    assert open_covariates([path]).tile == (16, 16)
    assert stack_from_dataset(as_dataset(bands_of(table)), "it").tile is None


def test_grid_has_the_cell_centers(table):
    """Coordinates are centers, and the transform maps corners."""
    grid = stack_from_dataset(as_dataset(bands_of(table)), "it").grid
    assert grid.x[0] == CORNER[0] + CELL / 2
    assert grid.transform == (CELL, 0.0, CORNER[0], 0.0, -CELL, CORNER[1])
