"""Prediction locations from points, polygons and rasters, in the CRS of the samples."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

geopandas = pytest.importorskip("geopandas")
rasterio = pytest.importorskip("rasterio")
from pyproj import Transformer
from shapely.geometry import LineString, Point, Polygon, box, mapping

from sptgnn_sklearn.model_selection.locations import SampleLocations
from sptgnn_sklearn.model_selection.prediction_area import prediction_locations
from sptgnn_sklearn.spatial.crs import resolve_crs

UTM = "EPSG:32631"


def samples_in(crs=UTM, names=("x", "y")):
    xy = np.array([[500_000.0, 5_000_000.0], [500_100.0, 5_000_000.0]])
    if crs == 4326:
        xy = np.array([[3.0, 45.0], [3.1, 45.0]])
    return SampleLocations(xy, resolve_crs(crs, names), np.arange(2), names)


def locations_of(area, n_points=100, **settings):
    return prediction_locations(area, samples_in(**settings), n_points)


def raster(path, values, transform, crs=UTM, nodata=0, **options):
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": crs, "nodata": nodata}
    profile |= options
    height, width = values.shape
    with rasterio.open(path, "w", **profile, height=height, width=width, transform=transform) as to:
        to.write(values.astype("uint8"), 1)
    return path


def test_tables_give_their_points():
    """The names of the sample coordinates are preferred; one point is enough."""
    result = np.array([[3.0, 4.0], [5.0, 6.0]])
    table = pd.DataFrame(
        {"x": [0.0, 0.0], "y": [1.0, 1.0], "east": [3.0, 5.0], "north": [4.0, 6.0]}
    )
    np.testing.assert_array_equal(locations_of(table, names=("east", "north")), result)
    np.testing.assert_array_equal(locations_of(table, names=("e", "n")), [[0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(
        locations_of(table[["east", "north"]], names=("east", "north")), result
    )
    np.testing.assert_array_equal(locations_of(result), result)
    np.testing.assert_array_equal(locations_of(result[:1].tolist()), result[:1])
    with pytest.raises(ValueError, match=r"^prediction_points .* found none"):
        locations_of(np.empty((0, 2)))


def test_points_are_checked_in_the_crs_of_the_samples():
    """Latitudes out of range raise; points that look standardized are accepted."""
    with pytest.raises(ValueError, match=r"latitudes .* value 91"):
        locations_of([[3.0, 91.0]], crs=4326)
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=(50, 2))
    scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    np.testing.assert_allclose(locations_of(scaled, crs=4326), scaled)


def test_geopandas_is_transformed_to_the_crs_of_the_samples():
    """Points and polygons with a CRS are transformed; without a CRS they are not."""
    points = geopandas.GeoSeries([Point(3.0, 45.0), Point(3.1, 45.1)], crs=4326)
    turn = Transformer.from_crs(4326, UTM, always_xy=True)
    expected = np.column_stack(turn.transform([3.0, 3.1], [45.0, 45.1]))
    np.testing.assert_allclose(locations_of(points), expected)
    np.testing.assert_allclose(locations_of(points.to_frame("geometry")), expected)
    unknown = geopandas.GeoSeries([Point(1.0, 2.0)])
    np.testing.assert_array_equal(locations_of(unknown, crs=None), [[1.0, 2.0]])
    for known in (points, geopandas.GeoSeries([box(3, 45, 3.1, 45.1)], crs=4326)):
        with pytest.raises(ValueError, match=r"^prediction_points are in EPSG:4326, .* set crs\.$"):
            locations_of(known, crs=None)


def test_a_polygon_is_filled_with_a_grid():
    """Points are the centers of n_points square cells, only inside the polygon."""
    rectangle = box(1000.0, 300.0, 1040.0, 310.0)
    x, y = np.meshgrid(np.arange(1001.0, 1040, 2), np.arange(301.0, 310, 2))
    expected = np.column_stack([x.ravel(), y.ravel()])
    np.testing.assert_allclose(locations_of(rectangle, 100), expected)
    corner = Polygon([(100, 0), (140, 0), (140, 20), (120, 20), (120, 40), (100, 40)])
    result = locations_of(corner, 1200)
    assert len(result) == 1200
    np.testing.assert_allclose(result.min(axis=0), [100.5, 0.5])
    np.testing.assert_allclose(result.max(axis=0), [139.5, 39.5])
    assert not ((result[:, 0] > 120) & (result[:, 1] > 20)).any()


def test_all_kinds_of_polygons_are_equivalent():
    """Shapely, geopandas and GeoJSON geometries, features and collections."""
    left, right = box(0, 0, 10, 10), box(10, 0, 20, 10)
    expected = locations_of(box(0, 0, 20, 10), 50)
    feature = {"type": "Feature", "geometry": mapping(left.union(right)), "properties": {}}
    parts = [{**feature, "geometry": mapping(part)} for part in (left, right)]
    collection = {"type": "FeatureCollection", "features": parts}
    for area in (
        SimpleNamespace(__geo_interface__=mapping(left.union(right))),
        SimpleNamespace(__geo_interface__=feature),
        SimpleNamespace(__geo_interface__=collection),
        geopandas.GeoSeries([left, right]),
        geopandas.GeoDataFrame(geometry=[left, right]),
    ):
        np.testing.assert_allclose(locations_of(area, 50), expected)


def test_thin_and_empty_polygons():
    """A polygon narrower than the cells gives one point; a line without area raises."""
    thin = Polygon([(0, 0), (100, 50), (100, 50.01), (0, 0.01)])
    ((x, y),) = locations_of(thin, 1)
    assert thin.contains(Point(x, y))
    with pytest.raises(
        ValueError,
        match=r"^prediction_points is a LineString without area",
    ):
        locations_of(LineString([(0, 0), (1, 1)]))


def test_a_raster_gives_the_centers_of_its_cells(tmp_path):
    """All cells with data are used in small rasters, also if the raster is rotated."""
    values = np.ones((3, 5))
    values[0, 1] = 0
    transform = rasterio.Affine(10.0, 2.0, 500_000.0, 3.0, -20.0, 5_000_000.0)
    path = raster(tmp_path / "small.tif", values, transform)
    rows, columns = np.nonzero(values)
    expected = np.column_stack(rasterio.transform.xy(transform, rows, columns))
    np.testing.assert_allclose(locations_of(path, 14), expected)
    np.testing.assert_allclose(locations_of(str(path), 100), expected)
    single = raster(tmp_path / "single.tif", np.ones((1, 1)), transform)
    np.testing.assert_allclose(locations_of(single), [rasterio.transform.xy(transform, 0, 0)])


def test_a_large_raster_is_thinned(tmp_path):
    """The raster is read at about four cells per point, which are thinned regularly."""
    transform = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
    path = raster(tmp_path / "large.tif", np.ones((40, 120)), transform)
    result = locations_of(path, 100)
    step = int(np.sqrt(40 * 120 / 400))
    height, width = 40 // step, 120 // step
    rows, columns = np.divmod(np.arange(0, height * width, height * width // 100), width)
    down, right = (rows + 0.5) * 40 / height, (columns + 0.5) * 120 / width
    np.testing.assert_allclose(result, np.column_stack([5e5 + 10 * right, 5e6 - 10 * down]))
    assert 100 <= len(result) < 125


def test_a_raster_is_transformed_to_the_crs_of_the_samples(tmp_path):
    """Cells of a raster with a CRS are transformed; without a CRS they are not."""
    transform = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
    here = locations_of(raster(tmp_path / "here.tif", np.ones((4, 4)), transform))
    path = tmp_path / "here.tif"
    turn = Transformer.from_crs(UTM, 4326, always_xy=True)
    expected = np.column_stack(turn.transform(*here.T))
    np.testing.assert_allclose(locations_of(path, crs=4326), expected)
    with pytest.raises(ValueError, match=r"^prediction_points are in EPSG:32631"):
        locations_of(path, crs=None)
    bare = raster(tmp_path / "bare.tif", np.ones((4, 4)), transform, crs=None)
    np.testing.assert_array_equal(locations_of(bare, crs=None), here)


def test_unusable_rasters_raise(tmp_path):
    """The error names a missing file and a raster without georeference."""
    with pytest.raises(ValueError, match=r"^prediction_points='.*none.tif' cannot be read: "):
        locations_of(tmp_path / "none.tif")
    with warnings.catch_warnings(action="ignore"):
        no_georeference = raster(tmp_path / "nowhere.tif", np.ones((4, 4)), None)
    with pytest.raises(ValueError, match=r"nowhere.tif' is not georeferenced"):
        locations_of(no_georeference)


def test_damaged_rasters_raise(tmp_path):
    """A file with a readable header and unreadable pixels is named in the error."""
    transform = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    values = np.random.default_rng(0).integers(1, 255, (64, 64))
    path = raster(tmp_path / "area.tif", values, transform, compress="deflate")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"^prediction_points='.*area.tif' cannot be read: "):
        locations_of(path, 5000)


@pytest.mark.parametrize(
    ("library", "area", "message"),
    [
        ("shapely", box(0, 0, 1, 1), "^A polygon as prediction_points needs shapely"),
        (
            "rasterio",
            "area.tif",
            r"^A raster as prediction_points needs rasterio: .*\[maps\]",
        ),
    ],
)
def test_missing_libraries_are_named(library, area, message, monkeypatch):
    """The error names the library to install."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=message):
        locations_of(area)
