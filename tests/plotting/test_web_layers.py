"""Layers of interactive maps: images in Web Mercator, codes of values, GeoJSON and legends."""

import io
from base64 import b64decode

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)
import xarray
from PIL import Image
from pyproj import Transformer

from sptgnn_sklearn.plotting.web_layers import feature_layers, outline_feature, raster_layers

NAMES = ["mean", "upper", "std", "aoa"]


@pytest.fixture
def soil():
    """Return a map of 30 x 40 cells near 45 degrees north, with a gap in its first column."""
    x, y = 500_005 + 10.0 * np.arange(40), 5_000_295 - 10.0 * np.arange(30)
    values = np.add.outer(np.arange(30.0), 100 * np.arange(40.0))
    values[:, 0] = np.nan
    layers = {"mean": values, "upper": values + 50, "std": values / 9, "aoa": values > 500}
    soil = xarray.Dataset({k: (("y", "x"), v * 1.0) for k, v in layers.items()}, {"y": y, "x": x})
    soil["mean"].attrs = {"long_name": "predicted mean of SOC", "units": "g/kg"}
    return soil.rio.write_crs(32636)


def pixels(layer):
    """Return the RGBA pixels of the image of a layer."""
    content = b64decode(layer["image"].removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def decoded(layer, grid):
    """Return the values of a layer, with NaN for missing ones."""
    codes = np.frombuffer(b64decode(layer["codes"]), "<u2").reshape(grid["height"], grid["width"])
    return np.where(codes == 65_535, np.nan, layer["offset"] + layer["step"] * codes)


def test_cells_are_at_their_locations(soil):
    """The value at the location of a cell is that of the cell, and the image covers the map."""
    content = raster_layers(soil, NAMES, {}, None)
    grid = content["grid"]
    left, bottom, right, top = grid["mercator"]
    values = decoded(content["layers"][0], grid)
    to_mercator = Transformer.from_crs(32636, 3857, always_xy=True)
    for row, column in ((3, 5), (28, 38), (14, 20)):
        x, y = to_mercator.transform(float(soil.x[column]), float(soil.y[row]))
        i = int((top - y) / (top - bottom) * grid["height"])
        j = int((x - left) / (right - left) * grid["width"])
        assert values[i, j] == pytest.approx(float(soil["mean"][row, column]), abs=0.05)
    west, south, east, north = content["bounds"]
    assert 32.9 < west < east < 33.1
    assert 45.1 < south < north < 45.2


def test_missing_cells_are_transparent(soil):
    """The image and the codes have the same cells; colors are those of the legend."""
    content = raster_layers(soil, NAMES, {}, None)
    layer = content["layers"][2]
    image, values = pixels(layer), decoded(layer, content["grid"])
    assert image.shape[:2] == values.shape
    assert ((image[..., 3] > 0) == np.isfinite(values)).all()
    lowest = image[np.unravel_index(np.nanargmin(values), values.shape)]
    assert "#{:02x}{:02x}{:02x}".format(*lowest[:3]) == layer["colors"][0]


def test_legends(soil):
    """Values share their limits, labels have units, and the area has two classes."""
    labels = {"upper": "95 % limit (g/kg)"}
    mean, upper, std, area = raster_layers(soil, NAMES, labels, None)["layers"]
    assert mean["limits"] == upper["limits"] == [100, 3979]
    assert mean["label"] == "mean of SOC (g/kg)"
    assert upper["label"] == "95 % limit (g/kg)"
    assert std["colors"] != mean["colors"]
    assert std["limits"][0] <= min(std["ticks"]) < max(std["ticks"]) <= std["limits"][1]
    assert area["label"] == "area of applicability"
    assert area["classes"] == ["outside", "inside"]
    assert len(area["colors"]) == 2
    constant = raster_layers(
        xarray.ones_like(soil)[["std"]].rio.write_crs(32636), ["std"], {}, None
    )
    assert constant["layers"][0]["limits"] == [0.5, 1.5]


def test_large_rasters_are_thinned(soil, monkeypatch):
    """The extent stays that of the raster."""
    whole = raster_layers(soil, ["mean"], {}, None)
    assert whole["grid"]["width"] >= 80  # two pixels for a cell of a small raster
    monkeypatch.setattr("sptgnn_sklearn.plotting.web_layers._MAX_IMAGE_SIDE", 20)
    monkeypatch.setattr("sptgnn_sklearn.plotting.web_layers._SMALL_IMAGE_SIDE", 0)
    thinned = raster_layers(soil, ["mean"], {}, None)
    assert thinned["grid"]["width"] <= 22
    np.testing.assert_allclose(thinned["bounds"], whole["bounds"], atol=2e-4)


def test_longitude_and_latitude(soil):
    """Rows near the poles, which Web Mercator does not have, are left out."""
    lat = np.arange(89.5, -90, -1.0)
    world = xarray.DataArray(
        np.tile(lat[:, None], (1, 360)), {"lat": lat, "lon": np.arange(-179.5, 180)}, ("lat", "lon")
    )
    world = world.to_dataset(name="mean").rio.write_crs(4326)
    content = raster_layers(world, ["mean"], {}, None)
    np.testing.assert_allclose(content["bounds"], [-180, -85, 180, 85], atol=0.5)
    values = decoded(content["layers"][0], content["grid"])
    assert abs(values[content["grid"]["height"] // 2, 5]) <= 1


def test_invalid_rasters_raise(soil):
    """The error names the layer, or the parameter to set."""
    unknown = soil.drop_vars("spatial_ref")
    with pytest.raises(ValueError, match="has no CRS: pass crs"):
        raster_layers(unknown, ["mean"], {}, None)
    assert raster_layers(unknown, ["mean"], {}, 32636)["grid"]["height"] >= 30
    with pytest.raises(ValueError, match="crs=32637 differs"):
        raster_layers(soil, ["mean"], {}, 32637)
    with pytest.raises(ValueError, match="'std' has no values"):
        raster_layers(soil.assign(std=soil["std"] * np.nan), ["std"], {}, None)


def test_points_are_features():
    """Points are in degrees, with the values of columns of numbers; missing ones are left out."""
    table = pd.DataFrame(
        {"x": [500_000.0, 501_000.0], "y": 5e6, "mean": [1.23456789, np.nan], "soil": ["a", "b"]}
    )
    content = feature_layers(table, None, {"mean": "SOC (%)"}, 32636)
    first, second = content["features"]["features"]
    assert first["geometry"]["type"] == "Point"
    np.testing.assert_allclose(first["geometry"]["coordinates"], [33, 45.1534], atol=1e-3)
    assert first["properties"] == {"mean": 1.23457}
    assert second["properties"] == {}
    assert [layer["label"] for layer in content["layers"]] == ["SOC (%)"]
    with pytest.raises(ValueError, match="coordinates have no CRS"):
        feature_layers(table, None, {}, None)
    with pytest.raises(ValueError, match=r"layers=\['soil'\] must be columns of numbers"):
        feature_layers(table, ["soil"], {}, 32636)
    with pytest.raises(ValueError, match="column 'mean' has no values"):
        feature_layers(table.assign(mean=np.nan), None, {}, 32636)


def test_polygons_and_outlines_are_geojson():
    """Geometries of GeoDataFrames are converted to degrees."""
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    square = shapely.box(500_000, 5_000_000, 500_100, 5_000_100)
    zones = geopandas.GeoDataFrame({"stock": [5]}, geometry=[square], crs=32636)
    content = feature_layers(zones, None, {}, None)
    (feature,) = content["features"]["features"]
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["properties"] == {"stock": 5.0}
    line = outline_feature(zones)["geometry"]["coordinates"][0]
    np.testing.assert_allclose(np.min(line, axis=0), content["bounds"][:2], atol=1e-6)
    unknown = zones.set_crs(None, allow_override=True)
    assert feature_layers(unknown, None, {}, 32636)["bounds"] == content["bounds"]
    with pytest.raises(ValueError, match="GeoDataFrame has no CRS"):
        feature_layers(unknown, None, {}, None)
    with pytest.raises(ValueError, match="outline has no CRS"):
        outline_feature(unknown)
    with pytest.raises(TypeError, match="outline must be a GeoDataFrame; found list"):
        outline_feature([])
