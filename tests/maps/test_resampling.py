"""Rasters on other grids: known answers, equality of all block sizes, and errors."""

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import xarray as xr
from map_models import SETTINGS, fit_counting, flatten, map_in_blocks, read_content
from sklearn.linear_model import LinearRegression
from small_rasters import CELL, CORNER, CRS, HEIGHT, WIDTH, as_dataset, bands_of, write_raster

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps.open_rasters import Alignment, open_covariates
from sptgnn_sklearn.maps.resampling import choose_resampling
from sptgnn_sklearn.maps.sample_rasters import sample_rasters

EVERYWHERE = (0, HEIGHT, 0, WIDTH)


def on_grid(cell, corner, crs=CRS, south_up=False):
    """Return transform and cell centers of a raster that covers the survey."""
    height, width = int(HEIGHT * CELL / cell) + 4, int(WIDTH * CELL / cell) + 4
    x = corner[0] + (np.arange(width) + 0.5) * cell
    y = corner[1] - (np.arange(height) + 0.5) * cell
    transform = rasterio.Affine(cell, 0, corner[0], 0, -cell, corner[1])
    if south_up:
        y = y[::-1]
        transform = rasterio.Affine(cell, 0, corner[0], 0, cell, corner[1] - height * cell)
    return transform, *np.meshgrid(x, y)


@pytest.fixture
def first(tmp_path):
    """The raster with the grid of the map."""
    return write_raster(tmp_path / "first.tif", np.ones((HEIGHT, WIDTH), "float32"))


def read_resampled(first, path, method, **alignment):
    stack = open_covariates([first, path], Alignment(method, **alignment))
    return stack.read(EVERYWHERE)[path.stem]


def centers_of_map():
    x = CORNER[0] + (np.arange(WIDTH) + 0.5) * CELL
    y = CORNER[1] - (np.arange(HEIGHT) + 0.5) * CELL
    return np.meshgrid(x, y)


@pytest.mark.parametrize("south_up", [False, True])
@pytest.mark.parametrize("cell", [300.0, 1700.0, 5300.0])
def test_bilinear_resampling_of_a_plane_is_exact(first, tmp_path, cell, south_up):
    """A linear field of coarser and finer cells, whatever way the rows run."""
    corner = (CORNER[0] - 1.3 * cell, CORNER[1] + 1.3 * cell)
    transform, x, y = on_grid(cell, corner, south_up=south_up)
    plane = 3 * (x - CORNER[0]) / CELL - 2 * (y - CORNER[1]) / CELL
    path = write_raster(tmp_path / "plane.tif", plane, transform=transform)
    east, north = centers_of_map()
    expected = 3 * (east - CORNER[0]) / CELL - 2 * (north - CORNER[1]) / CELL
    np.testing.assert_allclose(read_resampled(first, path, "bilinear"), expected, atol=1e-4)


def test_average_of_finer_cells_is_their_mean(first, tmp_path):
    """Of four cells each; a missing one is left out."""
    fine = np.random.default_rng(0).normal(size=(2 * HEIGHT, 2 * WIDTH)).astype("float32")
    fine[0, 0] = -9999
    transform = rasterio.Affine(CELL / 2, 0, CORNER[0], 0, -CELL / 2, CORNER[1])
    path = write_raster(tmp_path / "fine.tif", fine, transform=transform, nodata=-9999)
    found = read_resampled(first, path, "average")
    blocks = np.where(fine == -9999, np.nan, fine).reshape(HEIGHT, 2, WIDTH, 2)
    np.testing.assert_allclose(found, np.nanmean(blocks, axis=(1, 3)), rtol=1e-5)


def test_nearest_resampling_keeps_values_of_another_crs(first, tmp_path):
    """Each cell has the value of the cell of the raster that contains its center."""
    to_zone = pyproj.Transformer.from_crs(CRS, "EPSG:32635", always_xy=True)
    east, north = centers_of_map()
    zone_x, zone_y = to_zone.transform(east, north)
    cell = 3000.0
    corner = (zone_x.min() - 5000, zone_y.max() + 5000)
    shape = (int(np.ptp(zone_y) / cell) + 5, int(np.ptp(zone_x) / cell) + 5)
    codes = np.random.default_rng(0).integers(1, 200, shape).astype("uint8")
    transform = rasterio.Affine(cell, 0, corner[0], 0, -cell, corner[1])
    path = write_raster(tmp_path / "codes.tif", codes, transform=transform, crs="EPSG:32635")
    rows, columns = (
        ((corner[1] - zone_y) // cell).astype(int),
        ((zone_x - corner[0]) // cell).astype(int),
    )
    found = read_resampled(first, path, "nearest")
    np.testing.assert_array_equal(found, codes[rows, columns])


def test_bilinear_values_are_those_of_sample_rasters(first, tmp_path):
    """At the cell centers, from coarser cells."""
    transform, x, _ = on_grid(5300.0, (CORNER[0] - 8000, CORNER[1] + 8000))
    values = np.random.default_rng(0).normal(size=x.shape)
    path = write_raster(tmp_path / "coarse.tif", values, transform=transform)
    east, north = centers_of_map()
    points = pd.DataFrame({"x": east.ravel(), "y": north.ravel()})
    expected = sample_rasters(points, path, method="bilinear", crs=CRS)["coarse"]
    found = read_resampled(first, path, "bilinear")
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)


def test_cells_without_data_are_missing(first, tmp_path):
    """Outside of the raster, at nodata values of integers, and in masked cells."""
    transform = rasterio.Affine(2 * CELL, 0, CORNER[0], 0, -2 * CELL, CORNER[1])
    values = np.arange(1, 201, dtype="int16").reshape(10, 20)
    values[0, 0] = -1
    path = write_raster(tmp_path / "half.tif", values, transform=transform, nodata=-1)
    found = read_resampled(first, path, "nearest")
    assert np.isnan(found[20:]).all()
    assert np.isnan(found[:, 40:]).all()
    assert np.isnan(found[:2, :2]).all()
    np.testing.assert_array_equal(found[2:20:2, 2:40:2], values[1:, 1:])
    bare = write_raster(tmp_path / "masked.tif", values, transform=transform)
    with rasterio.open(bare, "r+") as file:
        file.write_mask(values > 30)
    masked = read_resampled(first, bare, "nearest")
    np.testing.assert_array_equal(np.isnan(masked[:20:2, :40:2]), values <= 30)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("cell", [700.0, 5300.0])
def test_maps_of_all_block_sizes_are_equal(tmp_path, columns, method, cell):
    """Bit for bit, from a raster in another zone; larger than the blocks in which GDAL warps."""
    size = 600
    a = np.random.default_rng(0).normal(size=(size, size)).astype("float32")
    first = write_raster(tmp_path / "a.tif", a, tile=256)
    zone = pyproj.Transformer.from_crs(CRS, "EPSG:32635", always_xy=True)
    corners = [(0, 0), (size, 0), (0, size), (size, size)]
    xy = np.array([zone.transform(CORNER[0] + CELL * i, CORNER[1] - CELL * j) for i, j in corners])
    low, high = xy.min(axis=0), xy.max(axis=0)
    shape = tuple(np.minimum((high - low)[::-1] // cell + 1, 900).astype(int).tolist())
    b = np.random.default_rng(1).normal(size=shape).astype("float32")
    transform = rasterio.Affine(cell, 0, low[0], 0, -cell, high[1])
    other = write_raster(tmp_path / "b.tif", b, transform=transform, crs="EPSG:32635", tile=256)
    maps = [
        predict_map(
            fit_counting(columns),
            {"a": first, "b": other},
            resample=method,
            crs=CRS,
            block_size=block,
            verbose=0,
        )["mean"].to_numpy()
        for block in (None, 150, 600)
    ]
    assert np.isfinite(maps[0]).mean() > 0.01
    for other_map in maps[1:]:
        np.testing.assert_array_equal(other_map, maps[0])


def test_resampled_maps_resume(rasters, columns, tmp_path):
    """From finished blocks, to the same bytes; another method is another run."""
    coarse = np.random.default_rng(0).normal(size=(22, 30)).astype("float32")
    transform = rasterio.Affine(2 * CELL, 0, CORNER[0] - 500, 0, -2 * CELL, CORNER[1] + 500)
    source = rasters | {"b": write_raster(tmp_path / "c.tif", coarse, transform=transform)}
    path = tmp_path / "soil.tif"
    failing = fit_counting(columns, fail_after=5, error=RuntimeError())
    with pytest.raises(RuntimeError):
        map_in_blocks(failing, source, path, resample="bilinear")
    with pytest.raises(ValueError, match="nearest resampling"):
        map_in_blocks(fit_counting(columns), source, path, resample="nearest")
    again = fit_counting(columns)
    map_in_blocks(again, source, path, resample="bilinear")
    assert again.calls == 6
    whole = tmp_path / "whole.tif"
    map_in_blocks(fit_counting(columns), source, whole, resample="bilinear")
    assert read_content(path) == read_content(whole)


def test_aligned_rasters_are_not_resampled(model, stack):
    """The map is the same to the last bit."""
    plain = flatten(predict_map(model, stack, **SETTINGS))["mean"]
    asked = flatten(predict_map(model, stack, resample="average", like=stack[0], **SETTINGS))
    np.testing.assert_array_equal(asked["mean"], plain)


def test_categories_stay_nearest(model, stack, table, tmp_path):
    """With one method for all columns; a mapping with another method raises."""
    transform = rasterio.Affine(CELL, 0, CORNER[0] + 300, 0, -CELL, CORNER[1])
    land_use = bands_of(table)["land_use"]
    moved = write_raster(tmp_path / "land_use.tif", land_use, transform=transform, nodata=0)
    source = [stack[0], moved]
    result = predict_map(model, source, resample="bilinear", **SETTINGS)
    same = predict_map(model, [stack[0], stack[1]], **SETTINGS)
    # Cell centers lie in the cells moved by 300 m, but for the first column.
    np.testing.assert_array_equal(result["mean"], same["mean"])
    with pytest.raises(ValueError, match=r"resample\['land_use'\]='average'.*use 'nearest'"):
        predict_map(model, source, resample={"land_use": "average"}, **SETTINGS)
    assert choose_resampling("average", "dem", ["land_use"]) == "average"


@pytest.mark.parametrize("kind", ["path", "array", "dataset"])
def test_map_has_the_grid_of_like(tmp_path, table, kind):
    """Also if that is no covariate."""
    bands = bands_of(table)
    covariate = write_raster(tmp_path / "cov_0.tif", bands["cov_0"])
    transform = rasterio.Affine(3000, 0, CORNER[0], 0, -3000, CORNER[1])
    like = write_raster(tmp_path / "like.tif", np.zeros((20, 30), "uint8"), transform=transform)
    shown = {
        "path": lambda: like,
        "array": lambda: xr.open_dataset(like, engine="rasterio")["band_data"],
        "dataset": lambda: xr.open_dataset(like, engine="rasterio"),
    }[kind]()
    X = table[["cov_0"]].head(50)
    linear = LinearRegression().fit(X, np.arange(50.0))
    result = predict_map(linear, [covariate], like=shown, resample="bilinear", verbose=0)
    assert result.rio.transform() == transform
    assert result["mean"].shape == (20, 30)
    assert np.isfinite(result["mean"]).all()
    with pytest.raises(ValueError, match=r"like and raster .*cov_0.tif' do not align.*resample="):
        predict_map(linear, [covariate], like=shown, verbose=0)
    with pytest.raises(ValueError, match=r"like\.tif', an input"):
        predict_map(linear, [covariate], like=like, resample="nearest", path=like, overwrite=True)


def test_scale_tags_are_applied_on_request(first, tmp_path):
    """Before resampling, like in rasters on the grid of the map."""
    for name, cell in (("same", CELL), ("other", 2 * CELL)):
        transform = rasterio.Affine(cell, 0, CORNER[0], 0, -cell, CORNER[1])
        values = np.full((HEIGHT, WIDTH), 30, "int16")
        path = write_raster(tmp_path / f"{name}.tif", values, transform=transform)
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (0.1,), (5.0,)
        np.testing.assert_array_equal(read_resampled(first, path, "bilinear"), 30)
        scaled = read_resampled(first, path, "bilinear", mask_and_scale=True)
        np.testing.assert_allclose(scaled, 8)


def test_rasters_that_cannot_be_resampled_raise(first, tmp_path, table):
    """No overlap, no CRS, other longitudes, unknown columns, and a Dataset."""
    far = rasterio.Affine(CELL, 0, CORNER[0] + 1e6, 0, -CELL, CORNER[1])
    values = np.ones((HEIGHT, WIDTH), "float32")
    path = write_raster(tmp_path / "far.tif", values, transform=far)
    with pytest.raises(ValueError, match=r"far\.tif' does not overlap the grid"):
        read_resampled(first, path, "bilinear")
    near = rasterio.Affine(CELL, 0, CORNER[0] + 100, 0, -CELL, CORNER[1])
    bare = write_raster(tmp_path / "bare.tif", values, transform=near, crs=None)
    with pytest.raises(ValueError, match=r"bare\.tif' has no CRS"):
        read_resampled(first, bare, "bilinear")
    no_crs = write_raster(tmp_path / "first2.tif", values, crs=None)
    np.testing.assert_array_equal(read_resampled(no_crs, bare, "nearest")[:, 1:], 1)
    west = rasterio.Affine(0.5, 0, -10, 0, -0.5, 50)
    east = rasterio.Affine(0.25, 0, 340, 0, -0.25, 50)
    a = write_raster(tmp_path / "west.tif", values, transform=west, crs="EPSG:4326")
    b = write_raster(tmp_path / "east.tif", values, transform=east, crs="EPSG:4326")
    with pytest.raises(ValueError, match=r"east\.tif' has longitudes from 340"):
        read_resampled(a, b, "bilinear")
    with pytest.raises(ValueError, match=r"resample names the columns \['fr'\]"):
        open_covariates([first, path], Alignment({"fr": "nearest"}))
    with pytest.raises(ValueError, match=r"do not align.*resample=\{'bare': 'bilinear'\}"):
        open_covariates([no_crs, bare], Alignment({"first2": "nearest"}))
    dataset = as_dataset({"cov_0": bands_of(table)["cov_0"]})
    with pytest.raises(ValueError, match=r"source is a Dataset .*reproject_match"):
        open_covariates(dataset, Alignment("bilinear"))
    with pytest.raises(TypeError, match=r"like must be .* found int"):
        open_covariates([first], Alignment("bilinear", like=3))


@pytest.mark.parametrize("resample", ["cubic", 3, {"a": None}, {"a": "mode"}], ids=str)
def test_invalid_methods_raise_before_files_are_opened(columns, resample):
    with pytest.raises(ValueError, match="resample="):
        predict_map(fit_counting(columns), ["nowhere.tif"], resample=resample)
