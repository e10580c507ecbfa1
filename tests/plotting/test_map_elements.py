"""Scale bars, north arrows and outlines: lengths on the ground, directions, corners and borders."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import rioxarray  # noqa: F401  (gives arrays their attribute `rio`)
import xarray
from matplotlib.collections import LineCollection
from matplotlib.offsetbox import AnchoredOffsetbox, TextArea
from pyproj import Geod, Transformer

from sptgnn_sklearn.maps.grid import Grid
from sptgnn_sklearn.plotting import plot_map
from sptgnn_sklearn.plotting.map_elements import (
    border_segments,
    geometry_lines,
    meters_per_unit,
    to_map_crs,
)
from sptgnn_sklearn.spatial.crs import resolve_crs


def parts(ax, gid):
    """Return the artists of a scale bar or north arrow."""
    return ax.findobj(lambda artist: artist.get_gid() == gid)


def box_texts(ax):
    """Return the texts of boxes in the corners."""
    return [
        area.get_text() for box in ax.findobj(AnchoredOffsetbox) for area in box.findobj(TextArea)
    ]


def drawn_bar(ax):
    """Return the length of a scale bar in coordinates, from its pixels, and its text."""
    ax.figure.canvas.draw()
    (line,) = parts(ax, "scale_bar")
    ends = line.get_transform().transform(line.get_xydata())[:, 0]
    pixels_per_unit = ax.transData.transform([[0, 0], [1, 0]])[:, 0]
    return np.ptp(ends) / np.ptp(pixels_per_unit), box_texts(ax)[0]


@pytest.mark.parametrize(
    ("crs", "center", "span"),
    [
        ("EPSG:32636", (500_000, 5_000_000), 8_000),
        ("EPSG:3857", (1_000_000, 8_400_000), 30_000),  # twice as long at 60 degrees north
        ("EPSG:4326", (10.0, 60.0), 2.0),
        ("EPSG:4326", (10.0, 0.0), 0.05),
        ("EPSG:2229", (6_500_000, 1_900_000), 5_000),  # US survey feet
    ],
)
def test_length_of_the_scale_bar(crs, center, span):
    """The ends of the bar are as far apart on the ellipsoid as its label."""
    corners = np.array(center) + np.array([[-span, -span], [span, span]]) / 2
    length, text = drawn_bar(plot_map(corners, [1.0, 2.0], crs=crs))
    number, unit = text.split()
    meters = float(number) * {"km": 1000, "m": 1}[unit]
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    ends = [to_degrees.transform(center[0] + side * length / 2, center[1]) for side in (-1, 1)]
    *_, distance = Geod(ellps="WGS84").inv(*ends[0], *ends[1])
    assert distance == pytest.approx(meters, rel=2e-3)
    assert number[0] in "125"


def test_maps_without_a_length_have_no_bar():
    """Planar coordinates of an unknown unit, and maps on request."""
    xy = [[0.0, 0.0], [1.0, 1.0]]
    assert parts(plot_map(xy, [1.0, 2.0]), "scale_bar") == []
    assert parts(plot_map(xy, [1.0, 2.0], crs=32636, scale_bar=False), "scale_bar") == []
    axes = 'CS[Cartesian,2],AXIS["x",east],AXIS["y",north],UNIT["km",1000]'
    local = f'ENGCRS["site",EDATUM["mark"],{axes}]'
    assert meters_per_unit(np.zeros(2), resolve_crs(local, [])) == 1000


def test_north_arrow_points_to_true_north():
    """East of the central meridian of a UTM zone, north is to the left of up."""
    xy = np.array([[830_000.0, 6_500_000.0], [832_000.0, 6_502_000.0]])
    ax = plot_map(xy, [1.0, 2.0], crs=32636, north_arrow=True)
    tip = parts(ax, "north_arrow")[0].get_xy()[0] - 10  # the middle of the drawing
    angle = np.degrees(np.arctan2(*tip))
    # Convergence of the meridians: difference of longitude times the sine of the latitude.
    lon, lat = Transformer.from_crs(32636, 4326, always_xy=True).transform(831_000, 6_501_000)
    assert angle == pytest.approx(-(lon - 33) * np.sin(np.radians(lat)), abs=0.1)
    assert "N" in box_texts(ax)
    assert parts(plot_map(xy, [1.0, 2.0], crs=32636), "north_arrow") == []


def test_elements_are_in_empty_corners():
    """The scale bar is where no points are, and the arrow in the next corner."""
    rng = np.random.default_rng(0)
    xy = 5000 * rng.random((400, 2))
    xy = xy[~((xy[:, 0] > 2500) & (xy[:, 1] > 2500))]
    ax = plot_map(xy, np.arange(float(len(xy))), crs=32636, north_arrow=True)
    bar, arrow = ax.findobj(AnchoredOffsetbox)
    assert bar.codes["upper right"] == bar.loc
    assert arrow.loc != bar.loc


def make_mask():
    values = np.array([[0, 1, 1], [0, 1, np.nan], [0, 0, 0]])
    mask = xarray.DataArray(
        values, dims=("y", "x"), coords={"y": [25.0, 15, 5], "x": [5.0, 15, 25]}
    )
    return mask.rio.write_crs(32636)


def outline_segments(ax):
    (lines,) = [part for part in ax.collections if isinstance(part, LineCollection)]
    return np.array(lines.get_segments())


def test_outline_of_a_mask():
    """The border runs along the edges of cells that are not 0 and not missing."""
    soil = make_mask().fillna(2.0)
    segments = outline_segments(plot_map(soil, outline=make_mask()))
    assert segments.shape == (8, 2, 2)
    assert segments.min(axis=(0, 1)).tolist() == [10, 10]
    assert segments.max(axis=(0, 1)).tolist() == [30, 30]
    border = outline_segments(plot_map(make_mask(), outline=True))
    assert len(border) == 14  # around the grid, and into the missing cell at its edge
    with pytest.raises(ValueError, match="outline is a mask in another CRS"):
        plot_map(soil, outline=make_mask().rio.write_crs(32637, inplace=False))


def test_outline_of_polygons():
    """Polygons are converted to the CRS of the map and are shown whole."""
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    ring = shapely.box(0, 0, 100, 100).difference(shapely.box(40, 40, 60, 60))
    area = geopandas.GeoSeries([ring], crs=32636).to_crs(4326)
    ax = plot_map(make_mask(), outline=area)
    (lines,) = [part for part in ax.collections if isinstance(part, LineCollection)]
    outer, inner = lines.get_segments()
    np.testing.assert_allclose(outer.max(axis=0), [100, 100], atol=1e-3)
    np.testing.assert_allclose(inner.min(axis=0), [40, 40], atol=1e-3)
    assert ax.get_xlim()[1] > 100
    line = geopandas.GeoSeries([shapely.LineString([(0, 0), (1, 2)])])
    assert geometry_lines(line)[0].tolist() == [[0, 0], [1, 2]]
    with pytest.raises(ValueError, match="outline has no CRS"):
        to_map_crs(line, resolve_crs(32636, []), "outline")
    with pytest.raises(ValueError, match="no geometry"):
        geometry_lines(geopandas.GeoSeries([shapely.Polygon()]))


def test_invalid_outlines_raise():
    """The error names the type, and points have no border."""
    with pytest.raises(TypeError, match=r"outline must be .* found str"):
        plot_map(make_mask(), outline="border")
    with pytest.raises(TypeError, match="outline=True is the border of the cells"):
        plot_map([[0.0, 0.0], [1.0, 1.0]], [1.0, 2.0], outline=True)


def test_segments_of_south_up_grids():
    """Rows that run to the north have the same border."""
    inside = np.array([[True], [False]])
    grid = Grid(np.array([5.0]), np.array([5.0, 15.0]), (10, 0, 0, 0, 10, 0), None)
    segments = border_segments(inside, grid)
    assert len(segments) == 4
    assert segments[..., 1].max() == 10
    plt.close("all")
