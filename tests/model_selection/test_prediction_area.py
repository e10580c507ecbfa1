"""Places of an area to be predicted: from points, polygons and rasters, in the survey's system."""

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
from sptgnn_sklearn.model_selection.prediction_area import prediction_places
from sptgnn_sklearn.spatial.crs import resolve_crs

UTM = "EPSG:32631"


def survey_in(crs=UTM, names=("x", "y")):
    xy = np.array([[500_000.0, 5_000_000.0], [500_100.0, 5_000_000.0]])
    if crs == 4326:
        xy = np.array([[3.0, 45.0], [3.1, 45.0]])
    return SampleLocations(xy, resolve_crs(crs, names), np.arange(2), names)


def places(area, n_points=100, **settings):
    return prediction_places(area, survey_in(**settings), n_points)


def raster(path, values, transform, crs=UTM, nodata=0):
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": crs, "nodata": nodata}
    height, width = values.shape
    with rasterio.open(path, "w", **profile, height=height, width=width, transform=transform) as to:
        to.write(values.astype("uint8"), 1)
    return path


def test_tables_give_their_points():
    """By the names of the survey where they are there, else as any table; one point is enough."""
    found = np.array([[3.0, 4.0], [5.0, 6.0]])
    table = pd.DataFrame(
        {"x": [0.0, 0.0], "y": [1.0, 1.0], "east": [3.0, 5.0], "north": [4.0, 6.0]}
    )
    np.testing.assert_array_equal(places(table, names=("east", "north")), found)
    np.testing.assert_array_equal(places(table, names=("e", "n")), [[0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(places(table[["east", "north"]], names=("east", "north")), found)
    np.testing.assert_array_equal(places(found), found)
    np.testing.assert_array_equal(places(found[:1].tolist()), found[:1])
    with pytest.raises(ValueError, match=r"^prediction_points holds no place\.$"):
        places(np.empty((0, 2)))


def test_points_are_checked_in_the_system_of_the_survey():
    """Degrees beyond the globe are refused; standardised ones are the user's to know."""
    with pytest.raises(ValueError, match="latitudes beyond"):
        places([[3.0, 91.0]], crs=4326)
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=(50, 2))
    scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    np.testing.assert_allclose(places(scaled, crs=4326), scaled)


def test_geopandas_is_brought_into_the_system():
    """Points and polygons of a known system; of an unknown one they are taken as they are."""
    points = geopandas.GeoSeries([Point(3.0, 45.0), Point(3.1, 45.1)], crs=4326)
    turn = Transformer.from_crs(4326, UTM, always_xy=True)
    expected = np.column_stack(turn.transform([3.0, 3.1], [45.0, 45.1]))
    np.testing.assert_allclose(places(points), expected)
    np.testing.assert_allclose(places(points.to_frame("geometry")), expected)
    unknown = geopandas.GeoSeries([Point(1.0, 2.0)])
    np.testing.assert_array_equal(places(unknown, crs=None), [[1.0, 2.0]])
    for known in (points, geopandas.GeoSeries([box(3, 45, 3.1, 45.1)], crs=4326)):
        with pytest.raises(
            ValueError, match=r"^prediction_points are in EPSG:4326, .* known: set crs\.$"
        ):
            places(known, crs=None)


def test_a_polygon_is_filled_with_a_grid():
    """Square cells, so many as asked for, with half a cell of margin; an L has its own."""
    oblong = box(1000.0, 300.0, 1040.0, 310.0)
    x, y = np.meshgrid(np.arange(1001.0, 1040, 2), np.arange(301.0, 310, 2))
    expected = np.column_stack([x.ravel(), y.ravel()])
    np.testing.assert_allclose(places(oblong, 100), expected)
    corner = Polygon([(100, 0), (140, 0), (140, 20), (120, 20), (120, 40), (100, 40)])
    found = places(corner, 1200)
    assert len(found) == 1200
    np.testing.assert_allclose(found.min(axis=0), [100.5, 0.5])
    np.testing.assert_allclose(found.max(axis=0), [139.5, 39.5])
    assert not ((found[:, 0] > 120) & (found[:, 1] > 20)).any()


def test_polygons_of_any_kind_say_the_same():
    """Shapely, geopandas, and GeoJSON as geometry, feature or collection."""
    left, right = box(0, 0, 10, 10), box(10, 0, 20, 10)
    expected = places(box(0, 0, 20, 10), 50)
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
        np.testing.assert_allclose(places(area, 50), expected)


def test_thin_and_empty_polygons():
    """One narrower than the grid gives one place of its own; a line has no area."""
    thin = Polygon([(0, 0), (100, 50), (100, 50.01), (0, 0.01)])
    ((x, y),) = places(thin, 1)
    assert thin.contains(Point(x, y))
    with pytest.raises(
        ValueError,
        match=r"^prediction_points is a LineString without area: give a polygon, or points as an "
        r"array of two columns\.$",
    ):
        places(LineString([(0, 0), (1, 1)]))


def test_a_raster_gives_the_centres_of_its_cells(tmp_path):
    """All that hold data where they are few; turned rasters too."""
    values = np.ones((3, 5))
    values[0, 1] = 0
    transform = rasterio.Affine(10.0, 2.0, 500_000.0, 3.0, -20.0, 5_000_000.0)
    path = raster(tmp_path / "small.tif", values, transform)
    rows, columns = np.nonzero(values)
    expected = np.column_stack(rasterio.transform.xy(transform, rows, columns))
    np.testing.assert_allclose(places(path, 14), expected)
    np.testing.assert_allclose(places(str(path), 100), expected)
    single = raster(tmp_path / "single.tif", np.ones((1, 1)), transform)
    np.testing.assert_allclose(places(single), [rasterio.transform.xy(transform, 0, 0)])


def test_a_large_raster_is_thinned(tmp_path):
    """Read at four times the wanted number of cells, of which every so many is taken."""
    transform = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
    path = raster(tmp_path / "large.tif", np.ones((40, 120)), transform)
    found = places(path, 100)
    step = int(np.sqrt(40 * 120 / 400))
    height, width = 40 // step, 120 // step
    rows, columns = np.divmod(np.arange(0, height * width, height * width // 100), width)
    down, right = (rows + 0.5) * 40 / height, (columns + 0.5) * 120 / width
    np.testing.assert_allclose(found, np.column_stack([5e5 + 10 * right, 5e6 - 10 * down]))
    assert 100 <= len(found) < 125


def test_a_raster_is_brought_into_the_system(tmp_path):
    """Of a known system to that of the survey; without one it is taken as it is."""
    transform = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
    here = places(raster(tmp_path / "here.tif", np.ones((4, 4)), transform))
    path = tmp_path / "here.tif"
    turn = Transformer.from_crs(UTM, 4326, always_xy=True)
    expected = np.column_stack(turn.transform(*here.T))
    np.testing.assert_allclose(places(path, crs=4326), expected)
    with pytest.raises(ValueError, match=r"^prediction_points are in EPSG:32631"):
        places(path, crs=None)
    bare = raster(tmp_path / "bare.tif", np.ones((4, 4)), transform, crs=None)
    np.testing.assert_array_equal(places(bare, crs=None), here)


def test_rasters_that_cannot_be_used_are_named(tmp_path):
    """No file, no place; and what a library warns of besides is not an error."""
    with pytest.raises(ValueError, match=r"^prediction_points='.*none.tif' cannot be read: "):
        places(tmp_path / "none.tif")
    with warnings.catch_warnings(action="ignore"):
        nowhere = raster(tmp_path / "nowhere.tif", np.ones((4, 4)), None)
    with pytest.raises(ValueError, match=r"nowhere.tif' has no place on the ground\.$"):
        places(nowhere)


@pytest.mark.parametrize(
    ("library", "area", "message"),
    [
        ("shapely", box(0, 0, 1, 1), "^A polygon as prediction_points needs shapely.$"),
        (
            "rasterio",
            "area.tif",
            r"^A raster as prediction_points needs rasterio: "
            r'pip install "sptgnn-sklearn\[maps\]".$',
        ),
    ],
)
def test_missing_libraries_are_named(library, area, message, monkeypatch):
    """With what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=message):
        places(area)
