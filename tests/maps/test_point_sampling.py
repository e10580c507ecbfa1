"""Cells around points and their means, against values computed by hand and by other libraries."""

import numpy as np
import pytest
import xarray as xr
from small_rasters import CELL, CORNER, CRS, write_raster

from sptgnn_sklearn.maps import point_sampling
from sptgnn_sklearn.maps.open_rasters import open_raster_file
from sptgnn_sklearn.maps.point_sampling import RasterBand, Window2D, sample_band
from sptgnn_sklearn.spatial.crs import resolve_crs


def make_band(values, transform=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0), crs=CRS, chunks=None):
    array = xr.DataArray(np.asarray(values), dims=("y", "x"))
    array = array if chunks is None else array.chunk(chunks)
    return RasterBand("v", "'v.tif'", array, transform, resolve_crs(crs, []), None, None)


def random_points(n, height, width):
    rng = np.random.default_rng(1)
    return np.column_stack([rng.uniform(0, width, n), -rng.uniform(0, height, n)])


def test_bilinear_values_are_those_of_xarray():
    """Between the outermost cell centers; scipy interpolates the same numbers."""
    values = np.random.default_rng(0).normal(size=(30, 40))
    xy = random_points(200, 30, 40)
    xy = np.clip(xy, [0.5, -29.5], [39.5, -0.5])
    found = sample_band(make_band(values), xy, "bilinear", Window2D()).values
    grid = xr.DataArray(values, coords={"y": -np.arange(30) - 0.5, "x": np.arange(40) + 0.5})
    points = {"x": ("p", xy[:, 0]), "y": ("p", xy[:, 1])}
    expected = grid.interp({k: xr.DataArray(v, dims=d) for k, (d, v) in points.items()})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "mean"])
@pytest.mark.parametrize("chunks", [{"y": 7, "x": 40}, {"y": 30, "x": 1}, {"y": 11, "x": 13}])
def test_chunks_do_not_change_values(method, chunks):
    values = np.random.default_rng(0).normal(size=(30, 40))
    xy = random_points(100, 30, 40)
    expected = sample_band(make_band(values), xy, method, Window2D(5)).values
    found = sample_band(make_band(values, chunks=chunks), xy, method, Window2D(5)).values
    np.testing.assert_array_equal(found, expected)


def test_batches_do_not_change_values(monkeypatch):
    values = np.random.default_rng(0).normal(size=(30, 40))
    xy = random_points(100, 30, 40)
    expected = sample_band(make_band(values), xy, "mean", Window2D(3)).values
    monkeypatch.setattr(point_sampling, "_BATCH_CELLS", 30)
    found = sample_band(make_band(values), xy, "mean", Window2D(3)).values
    np.testing.assert_array_equal(found, expected)


def test_mean_of_a_window_leaves_out_gaps_and_cells_outside():
    values = np.arange(9.0).reshape(3, 3)
    values[0, 1] = np.nan
    xy = np.array([[1.5, -1.5], [0.2, -0.2], [2.9, -2.9], [1.5, -0.5]])
    found = sample_band(make_band(values), xy, "mean", Window2D(3))
    expected = [(36 - 1) / 8, (0 + 3 + 4) / 3, (4 + 5 + 7 + 8) / 4, np.nan]
    np.testing.assert_allclose(found.values, expected)
    assert found.missing.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("crs", "transform", "meters"),
    [
        (CRS, (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 30.0),
        (CRS, (10.0, 0.0, 0.0, 0.0, 10.0, -90.0), 30.0),
        ("EPSG:2263", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0), 30.0 * 1200 / 3937),  # US survey feet
        ("EPSG:4326", (1e-4, 0.0, 0.0, 0.0, -1e-4, 0.0), 33.36),  # 111.2 km a degree
    ],
)
def test_windows_in_meters(crs, transform, meters):
    """The square around a cell center holds three by three cells, and one cell if it is small."""
    values = np.arange(81.0).reshape(9, 9) ** 2
    point = np.array([[4.5 * transform[0], 4.5 * transform[4] + transform[5]]])
    found = sample_band(make_band(values, transform, crs), point, "mean", Window2D(None, meters))
    np.testing.assert_allclose(found.values, values[3:6, 3:6].mean())
    small = sample_band(
        make_band(values, transform, crs), point + transform[0] / 4, "mean", Window2D(None, 1e-3)
    )
    assert small.values[0] in values


def test_large_windows_raise():
    band = make_band(np.zeros((2000, 2000)))
    with pytest.raises(ValueError, match="2001 x 2001 cells"):
        sample_band(band, np.array([[5.0, -5.0]]), "mean", Window2D(2001))


def test_only_tiles_with_points_are_read(tmp_path, monkeypatch):
    """Of a raster of 16 tiles, two points in one tile need one read of their bounding box."""
    path = write_raster(tmp_path / "big.tif", np.arange(64.0 * 64).reshape(64, 64), tile=16)
    array = open_raster_file(path)["big"]
    transform = (CELL, 0.0, CORNER[0], 0.0, -CELL, CORNER[1])
    band = RasterBand("big", "'big.tif'", array, transform, resolve_crs(CRS, []), None, str(path))
    parts = []
    read = point_sampling._read_part

    def record(band, *window):
        parts.append(window)
        return read(band, *window)

    monkeypatch.setattr(point_sampling, "_read_part", record)
    cells = np.array([[20, 35], [22, 36]])
    xy = np.array(CORNER) + (cells[:, ::-1] + 0.5) * [CELL, -CELL]
    found = sample_band(band, xy, "nearest", Window2D())
    np.testing.assert_array_equal(found.values, cells @ [64, 1])
    assert parts == [(20, 23, 35, 37)]


def test_only_chunks_with_points_are_computed():
    """A chunk without points raises if it is computed."""
    import dask.array

    def load(block_info=None):
        rows, _ = block_info[None]["array-location"]
        if rows[0]:
            raise AssertionError
        return np.ones((10, 10))

    lazy = dask.array.map_blocks(load, chunks=((10, 10), (10,)), dtype=float)
    array = xr.DataArray(lazy, dims=("y", "x"))
    band = RasterBand("v", "v", array, (1, 0, 0, 0, -1, 0), resolve_crs(CRS, []), None, None)
    assert sample_band(band, np.array([[5.0, -5.0]]), "nearest", Window2D()).values == [1.0]
