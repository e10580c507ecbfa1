"""Maps of points and rasters: positions, aspect, units, colors and marker sizes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)
import xarray
from figure_checks import legend_texts, random_locations, scatter_points

from sptgnn_sklearn.plotting import plot_map
from sptgnn_sklearn.plotting.maps import draw_groups
from sptgnn_sklearn.spatial.crs import resolve_crs

X, Y = np.arange(500_005.0, 500_045, 10), np.arange(5_000_045.0, 4_999_995, -10)


def make_raster(crs="EPSG:32636"):
    """Return a map as of predict_map, with a gap in the first cell."""
    values = np.arange(20.0).reshape(5, 4)
    values[0, 0] = np.nan
    layers = {name: (("y", "x"), values / 20) for name in ("std", "p<2.0")}
    soil = xarray.Dataset({"mean": (("y", "x"), values)} | layers, {"y": Y, "x": X})
    soil["mean"].attrs = {"long_name": "predicted mean of SOC", "units": "g/kg"}
    soil["p<2.0"].attrs = {"long_name": "probability of SOC below 2", "units": "1"}
    return soil.rio.write_crs(crs)


@pytest.mark.parametrize("south_up", [False, True])
def test_layers_of_rasters(south_up):
    """Cells at their coordinates, a label with the unit, axes in km, and no title."""
    soil = make_raster().sortby("y") if south_up else make_raster()
    ax = plot_map(soil)
    image = ax.images[0]
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (500_000, 500_040)
    assert sorted((bottom, top)) == [5_000_000, 5_000_050]
    assert ax.get_ylim() == (5_000_000, 5_000_050)
    assert ax.child_axes[0].get_ylabel() == "mean of SOC (g/kg)"
    assert ax.get_title() == ""
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (km)", "y (km)")
    assert ax.get_aspect() == 1
    # The value of the cell in the north-west, whatever way the rows run.
    row = 0 if top > bottom else -1
    assert image.origin == "upper"
    assert image.get_array()[row, 1] == 1
    assert image.get_array().mask[row, 0]


def test_layers_have_colors_and_limits_of_their_kind():
    """Standard deviations have another colormap, and probabilities range from 0 to 1."""
    soil = make_raster()
    _, (left, right) = plt.subplots(1, 2)
    std = plot_map(soil, "std", ax=left)
    assert std is left
    assert std.images[0].get_cmap().name == "magma_r"
    assert std.child_axes[0].get_ylabel() == "std"
    probability = plot_map(soil, "p<2.0", ax=right, label="risk")
    assert probability.images[0].get_clim() == (0, 1)
    assert probability.child_axes[0].get_ylabel() == "risk"
    single = plot_map(soil["mean"], cmap="plasma", vmin=5)
    assert single.images[0].get_cmap().name == "plasma"
    assert single.child_axes[0].get_ylabel() == "mean of SOC (g/kg)"
    automatic = plot_map(soil["p<2.0"]).child_axes[0].get_ylabel()
    assert automatic == "probability of SOC below 2"


def test_rasters_of_degrees_and_without_crs():
    """The scale of degrees is that in the middle; a CRS can be given for a raster without one."""
    soil = make_raster().drop_vars("spatial_ref").assign_coords(x=X / 1e5, y=Y / 1e5)
    degrees = soil.rio.write_crs("EPSG:4326")
    ax = plot_map(degrees)
    assert ax.get_xlabel() == "longitude (°)"
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(50)), rel=1e-3)
    assert plot_map(soil).get_xlabel() == "x"
    assert plot_map(soil, crs=4326).get_xlabel() == "longitude (°)"
    with pytest.raises(ValueError, match="crs=28992 differs"):
        plot_map(degrees, crs=28992)


def test_large_rasters_are_thinned(monkeypatch):
    """The extent stays that of the raster, up to the last drawn cell."""
    monkeypatch.setattr("sptgnn_sklearn.plotting.color_scale._MAX_DRAWN", 3)
    image = plot_map(make_raster()).images[0]
    assert image.get_array().shape == (3, 2)
    assert image.get_extent()[:2] == [500_000, 500_040]


def test_maps_can_share_axes():
    """A second map in meters on axes that have labels in kilometers already."""
    _, (left, right) = plt.subplots(1, 2, sharey=True)
    plot_map(make_raster(), ax=left)
    plot_map([[500_010.0, 5_000_010.0], [500_020.0, 5_000_030.0]], [1, 2], crs=32636, ax=right)
    right.figure.canvas.draw()
    assert left.get_yticklabels()[-1].get_text().startswith("5000")


def test_nodata_values_are_transparent():
    soil = make_raster().fillna(-9.0)
    soil["mean"] = soil["mean"].rio.write_nodata(-9.0)
    assert plot_map(soil).images[0].get_array().min() == 1


def test_invalid_layers_raise():
    """The message has the layers; arguments of points are refused."""
    soil = make_raster()
    with pytest.raises(ValueError, match=r"values='sd' .*\['mean', 'std', 'p<2.0'\]"):
        plot_map(soil, "sd")
    with pytest.raises(TypeError, match="values='mean' names a layer"):
        plot_map(soil["mean"], "mean")
    with pytest.raises(TypeError, match="size is the area of markers"):
        plot_map(soil, size=3)
    with pytest.raises(TypeError, match="values are missing"):
        plot_map(random_locations())
    with pytest.raises(ValueError, match="'mean' has no values"):
        plot_map(soil.where(False))


def test_map_of_geographic_coordinates():
    """Points are at their coordinates, and a km has the same length in both directions."""
    X = random_locations()
    ax = plot_map(X, np.arange(40.0), label="clay (%)")
    np.testing.assert_array_equal(scatter_points(ax), X)
    middle = (X["lat"].min() + X["lat"].max()) / 2
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(middle)))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("longitude (°)", "latitude (°)")
    assert ax.child_axes[0].get_ylabel() == "clay (%)"


def test_map_of_meters_has_labels_in_kilometers():
    """A projected map has equal axes in km; planar coordinates keep their own numbers."""
    xy = np.array([[500_000.0, 5_000_000.0], [504_000.0, 5_004_000.0]])
    ax = plot_map(xy, [1.0, 2.0], crs="EPSG:32631")
    ax.figure.canvas.draw()
    assert ax.get_aspect() == 1.0
    assert ax.get_xlabel().endswith("(km)")
    assert "502" in [label.get_text() for label in ax.get_xticklabels()]
    planar = plot_map(pd.DataFrame(xy, columns=["x", "y"]), [1.0, 2.0])
    planar.figure.canvas.draw()
    assert planar.get_xlabel() == "x"
    assert "502000" in [label.get_text() for label in planar.get_xticklabels()]
    assert not planar.yaxis.get_offset_text().get_text()


@pytest.mark.parametrize(
    ("limits", "extend"),
    [
        ({}, "neither"),
        ({"vmax": 30.0}, "max"),
        ({"vmin": 3.0}, "min"),
        ({"vmin": 3.0, "vmax": 30.0}, "both"),
    ],
)
def test_color_bar_extends_beyond_clipped_values(limits, extend):
    """The color bar has an arrow at each end that values exceed."""
    ax = plot_map(random_locations(), np.arange(40.0), **limits)
    assert ax.collections[0].colorbar.extend == extend


def test_given_axes_are_used():
    """The map is drawn on the axes given, without a new figure."""
    _, (left, _) = plt.subplots(1, 2)
    assert plot_map(random_locations(), np.arange(40.0), ax=left) is left
    assert len(plt.get_fignums()) == 1


def test_markers_shrink_with_number_of_points():
    """Markers of large tables are smaller, within 3 and 40 square points, unless given."""

    def area(n, **options):
        ax = plot_map(random_locations(n), np.arange(float(n)), **options)
        return ax.collections[0].get_sizes()[0]

    assert 3 <= area(50_000) < area(500) < area(5) <= 40
    assert area(5, ax=plt.subplots(3, 3)[1].flat[0]) < area(5) / 2
    ax = plot_map(random_locations(), np.arange(40.0), size=7)
    assert ax.collections[0].get_sizes()[0] == 7


def test_groups_have_colors_and_sizes():
    """Each group has its color, an empty one included, and the legend has its number of rows."""
    X = random_locations(4)
    reference = resolve_crs(None, ["lon", "lat"])
    groups = [("a", np.array([0, 2])), ("b", np.array([], dtype=int)), ("c", np.array([1]))]
    ax = draw_groups(X.to_numpy(), reference, ["lon", "lat"], groups, ax=None, title="group")
    assert legend_texts(ax) == ["a: 2 rows", "b: 0 rows", "c: 1 row"]
    assert ax.get_legend().get_title().get_text() == "group"
    np.testing.assert_array_equal(scatter_points(ax), X.iloc[[0, 2, 1]])
    first, _, last = ax.collections
    assert not np.array_equal(first.get_facecolor(), last.get_facecolor())


def test_columns_of_tables():
    """A name of a column has its values, and is the label."""
    table = random_locations().assign(clay=np.arange(40.0))
    ax = plot_map(table, "clay")
    assert ax.collections[0].get_array().tolist() == list(range(40))
    assert ax.child_axes[0].get_ylabel() == "clay"
    with pytest.raises(ValueError, match="values='claay' is not a column"):
        plot_map(table, "claay")
    with pytest.raises(TypeError, match="values='clay' names a column"):
        plot_map(table.to_numpy(), "clay")


def test_points_of_geo_frames():
    """The CRS is that of the geometry, and the axes have plain names."""
    geopandas = pytest.importorskip("geopandas")
    points = geopandas.points_from_xy([500_000, 501_000], [5_000_000, 5_002_000], crs=32636)
    ax = plot_map(geopandas.GeoDataFrame({"clay": [1.0, 2.0]}, geometry=points), "clay")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (km)", "y (km)")
    assert scatter_points(ax).tolist() == [[500_000, 5_000_000], [501_000, 5_002_000]]


def test_polygons_of_geo_frames():
    """Polygons have the colors of their values, with holes; a CRS can be given."""
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    ring = shapely.box(0, 0, 3000, 3000).difference(shapely.box(1000, 1000, 2000, 2000))
    pair = shapely.MultiPolygon(
        [shapely.box(4000, 0, 5000, 1000), shapely.box(4000, 2000, 5000, 9000)]
    )
    zones = geopandas.GeoDataFrame({"stock": [5.0, 7.0]}, geometry=[ring, pair], crs=32636)
    ax = plot_map(zones, "stock", vmax=6)
    (polygons,) = ax.collections
    assert polygons.get_clim() == (5, 6)
    assert polygons.colorbar.extend == "max"
    first, second = polygons.get_paths()
    assert first.contains_point((500, 500))
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[::-1]
    column, row = ax.transData.transform((1500, 1500)).astype(int)
    assert pixels[row, column].tolist() == [255] * 4  # the hole
    assert second.contains_point((4500, 8000))
    assert ax.get_xlim()[0] < 0 < 5000 < ax.get_xlim()[1]
    norm = plt.Normalize(0, 10)
    assert plot_map(zones, "stock", norm=norm).collections[0].norm is norm
    unknown = zones.set_crs(None, allow_override=True)
    assert plot_map(unknown, "stock", crs=32636).get_xlabel() == "x (km)"
    with pytest.raises(ValueError, match="crs=32637 differs"):
        plot_map(zones, "stock", crs=32637)
    with pytest.raises(TypeError, match="size is the area of markers"):
        plot_map(zones, "stock", size=3)


def test_area_of_applicability_has_two_colors():
    """The color bar has words instead of numbers, also if all cells are inside."""
    soil = make_raster()[["mean"]].rename(mean="aoa")
    ax = plot_map(xarray.ones_like(soil))
    assert ax.images[0].get_clim() == (0, 1)
    bar = ax.child_axes[0]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["outside", "inside"]
    assert bar.get_ylabel() == "area of applicability"
    assert plot_map(soil, cmap="gray").images[0].get_cmap().name == "gray"


def test_ticks_of_small_maps_differ():
    """Kilometers have the decimals that distinguish the ticks."""
    ax = plot_map([[500_000.0, 5_000_000.0], [500_004.0, 5_000_004.0]], [1.0, 2.0], crs=32636)
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 3
    assert "5000.002" in labels


def test_invalid_values_raise():
    """The error names the argument."""
    with pytest.raises(ValueError, match=r"values .*position 1"):
        plot_map(random_locations(2), [1.0, np.nan])
    with pytest.raises(ValueError, match="'values': 3"):
        plot_map(random_locations(2), [1.0, 2.0, 3.0])
