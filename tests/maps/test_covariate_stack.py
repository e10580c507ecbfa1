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


def make_holes(fill, dtype="float32", **settings):
    """A variable with three cells of a number."""
    values = np.arange(20, dtype=dtype).reshape(4, 5)
    values[0, :3] = fill
    array = xr.DataArray(
        values, dims=("y", "x"), coords={"y": [4.0, 3, 2, 1], "x": [1.0, 2, 3, 4, 5]}, **settings
    )
    return array.rio.write_crs("EPSG:32636")


def missing_cells(source):
    (values,) = open_covariates(source).read((0, 4, 0, 5)).values()
    return np.flatnonzero(np.isnan(values.astype(float)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16", "int64"])
@pytest.mark.parametrize(
    "key",
    ["_FillValue", "missing_value", "fill_value", "nodata", "nodatavals", "encoded", "accessor"],
)
def test_nodata_of_rioxarray_is_missing(dtype, key):
    """Wherever the number is declared, and whatever its type."""
    fill = 9999
    array = make_holes(fill, dtype)
    if key == "encoded":
        array.encoding["_FillValue"] = fill
    elif key == "accessor":
        array = array.rio.set_nodata(fill)
    else:
        array.attrs[key] = (fill,) if key == "nodatavals" else np.dtype(dtype).type(fill)
    sources = [array]
    if key != "accessor":  # lost in a Dataset, also for rioxarray
        sources += [array.to_dataset(name="a"), array.expand_dims("band").to_dataset(name="a")]
        sources += [array.chunk().to_dataset(name="a")]
    for source in sources:
        np.testing.assert_array_equal(missing_cells(source), [0, 1, 2])


def test_several_nodata_values_are_missing():
    """_FillValue and missing_value of CF may differ, and one may be a list."""
    array = make_holes(-1)
    array.values[3, 4] = -2
    array.values[3, 3] = -3
    array.attrs = {"_FillValue": -1, "missing_value": np.array([-2, -3])}
    np.testing.assert_array_equal(missing_cells(array.to_dataset(name="a")), [0, 1, 2, 18, 19])


def test_encoded_nodata_of_scaled_values_is_that_of_the_file():
    """After decoding, a value that equals the number in the file is a measurement."""
    array = make_holes(0.0)
    array.encoding |= {"_FillValue": 0, "scale_factor": 0.1}
    assert missing_cells(array.to_dataset(name="a")).size == 0


def test_masked_arrays_of_dask_are_missing():
    import dask.array

    data = dask.array.ma.masked_equal(dask.array.from_array(make_holes(7, "int16").values), 7)
    array = make_holes(7, "int16").copy(data=data)
    np.testing.assert_array_equal(missing_cells(array.to_dataset(name="a")), [0, 1, 2, 7])


def test_internal_masks_and_nodata_of_files_are_missing(tmp_path):
    """A GeoTIFF with a mask, and one whose nodata value is in no cell."""
    values = np.arange(20, dtype="int16").reshape(4, 5)
    path = write_raster(tmp_path / "a.tif", values, tile=None)
    with rasterio.open(path, "r+") as file:
        mask = np.full((4, 5), 255, dtype="uint8")
        mask[1, 1] = 0
        file.write_mask(mask)
    np.testing.assert_array_equal(missing_cells([path]), [6])
    path = write_raster(tmp_path / "b.tif", values, tile=None, nodata=-9)
    assert missing_cells([path]).size == 0
