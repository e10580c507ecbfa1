"""Zones of cells by labels, polygons and class rasters."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from shapely.geometry import LineString, Polygon, box

from sptgnn_sklearn.estimation.cells import CellLocations
from sptgnn_sklearn.estimation.zone_assignment import read_zones
from sptgnn_sklearn.spatial.crs import resolve_crs

PLANE, UTM, WGS84 = resolve_crs(None, []), resolve_crs(32636, []), resolve_crs(4326, [])


def assign(zones, xy, reference=PLANE, frame=None):
    xy = np.asarray(xy, dtype=float)
    frame = pd.DataFrame(index=range(len(xy))) if frame is None else frame
    assigner = read_zones(zones)
    labels = assigner.assign(frame, CellLocations(xy, reference), slice(0, len(xy)))
    return [None if pd.isna(label) else label for label in labels]


def squares(*bounds, crs=None, labels=None):
    return gpd.GeoDataFrame(geometry=[box(*b) for b in bounds], crs=crs, index=labels)


def test_cells_on_a_common_border_belong_to_the_first_polygon():
    """Corners, borders, interiors and the outside; a GeoSeries is a set of polygons too."""
    zones = squares((0, 0, 10, 10), (10, 0, 20, 10), labels=["a", "b"])
    xy = [[5, 5], [10, 5], [15, 5], [20, 10], [25, 5], [0, 0], [np.nan, 5]]
    expected = ["a", "a", "b", "b", None, "a", None]
    assert assign(zones, xy) == expected
    assert assign(zones.geometry, xy) == expected


@pytest.mark.parametrize("point", [[9, 5], [8, 5]], ids=["in both", "on the border of one"])
def test_polygons_that_overlap_at_a_cell_raise(point):
    """Both labels and the location are in the message; an overlap without a cell is harmless."""
    zones = squares((0, 0, 10, 10), (8, 0, 20, 10), labels=["a", "b"])
    with pytest.raises(ValueError, match=rf"'a' and 'b' overlap.*\({point[0]}, 5\)"):
        assign(zones, [[1, 1], point])
    assert assign(zones, [[1, 1], [12, 5]]) == ["a", "b"]


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        (gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1), LineString([(0, 0), (1, 1)])]), "LineString"),
        (gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1), None]), "no geometry at row position 1"),
        (gpd.GeoDataFrame(geometry=[Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])]), "make_valid"),
        (squares((0, 0, 1, 1), (2, 0, 3, 1), labels=["a", "a"]), r"\['a'\]"),
    ],
    ids=["lines", "missing", "invalid", "labels"],
)
def test_invalid_polygons_raise(zones, message):
    """Messages have the row or the label, and the remedy."""
    with pytest.raises(ValueError, match=f"zones.*{message}"):
        read_zones(zones)


def test_cells_are_transformed_to_the_crs_of_polygons():
    """Zones in degrees, cells in UTM, on both sides of the central meridian."""
    zones = squares((32.9, 44.9, 33.0, 45.1), (33.0, 44.9, 33.1, 45.1), crs=4326, labels=["w", "e"])
    xy = [[499_000, 4_983_000], [501_000, 4_983_000], [700_000, 4_983_000]]
    assert assign(zones, xy, UTM) == ["w", "e", None]


def test_longitudes_of_either_range():
    """350 degrees are -10, in cells and in polygons."""
    assert assign(squares((-12, 0, -8, 5), crs=4326, labels=["a"]), [[350, 1]], WGS84) == ["a"]
    assert assign(squares((348, 0, 352, 5), crs=4326, labels=["a"]), [[-10, 1]], WGS84) == ["a"]


@pytest.mark.parametrize(("crs", "reference"), [(32636, PLANE), (None, UTM)])
def test_unknown_crs_is_assumed_with_one_warning(crs, reference):
    """Either the cells or the zones have no CRS."""
    assigner = read_zones(squares((0, 0, 10, 10), crs=crs, labels=["a"]))
    locations = CellLocations(np.array([[5.0, 5.0]]), reference)
    with pytest.warns(UserWarning, match="CRS of (cells|zones) is unknown"):
        assert assigner.assign(pd.DataFrame(index=[0]), locations, slice(0, 1)).tolist() == ["a"]
    assigner.assign(pd.DataFrame(index=[0]), locations, slice(1, 2))  # a second warning would raise


@pytest.fixture
def class_raster(tmp_path):
    """Write classes 1 and 2 side by side, with a row without data, in UTM."""
    path = tmp_path / "classes.tif"
    transform = rasterio.Affine(100, 0, 500_000, 0, -100, 5_000_000)
    profile = {"driver": "GTiff", "width": 4, "height": 3, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs=32636, transform=transform, nodata=0) as file:
        file.write(np.array([[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0]], dtype=np.uint8), 1)
    return path


def test_raster_of_classes(class_raster):
    """Cells outside of the raster or without data have no zone; other CRSs are transformed."""
    xy = np.array([[500_050, 4_999_950], [500_350, 4_999_850], [500_050, 4_999_750], [4e5, 5e6]])
    for path in (class_raster, str(class_raster)):
        assert assign(path, xy, UTM) == [1, 2, None, None]
    degrees = gpd.GeoSeries(gpd.points_from_xy(*xy.T), crs=32636).to_crs(4326)
    lonlat = np.column_stack([degrees.x, degrees.y])
    assert assign(class_raster, lonlat, WGS84) == [1, 2, None, None]


def test_raster_of_measurements_raises(tmp_path):
    """An elevation has no classes."""
    path = tmp_path / "dem.tif"
    transform = rasterio.Affine(1, 0, 0, 0, -1, 1)
    profile = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", **profile, crs=32636, transform=transform) as file:
        file.write(np.array([[12.5]], dtype=np.float32), 1)
    with pytest.raises(ValueError, match=r"raster of classes.*12\.5"):
        assign(path, [[0.5, 0.5]], UTM)


def test_columns_come_before_files(class_raster, monkeypatch):
    """A column of the name of a file is a column; the name of the index follows."""
    monkeypatch.chdir(class_raster.parent)
    assigner = read_zones("classes.tif")
    frame = pd.DataFrame({"classes.tif": ["a", None]})
    labels = assigner.assign(frame, None, slice(0, 2))
    assert labels[0] == "a" and pd.isna(labels[1])
    assert assigner.name == "classes.tif"


@pytest.mark.parametrize("kind", ["polygons", "raster"])
def test_zones_on_a_map_need_coordinates(kind, class_raster):
    """Cells of a model without coordinates have no location."""
    zones = class_raster if kind == "raster" else squares((0, 0, 1, 1))
    with pytest.raises(ValueError, match="known as coordinates"):
        read_zones(zones).assign(pd.DataFrame({"clay": [1.0]}), None, slice(0, 1))


def test_labels_are_read_by_position_and_keep_their_name():
    """Blocks take their rows; a Series gives the name of the index."""
    assigner = read_zones(pd.Series(list("abc"), index=[7, 3, 5], name="farm"))
    assert (assigner.name, assigner.n_labels) == ("farm", 3)
    assert assigner.assign(pd.DataFrame(index=[0, 1]), None, slice(1, 3)).tolist() == ["b", "c"]
    categories = read_zones(pd.Categorical(["a", "b"], categories=["b", "a", "c"]))
    assert categories.known == ["b", "a", "c"]
