"""Maps of points: positions, aspect, units, colors and marker sizes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray
from figure_checks import legend_texts, random_locations, scatter_points

from sptgnn_sklearn.plotting import plot_map
from sptgnn_sklearn.plotting.maps import draw_groups
from sptgnn_sklearn.spatial.crs import resolve_crs


def test_rasters_raise():
    """A map of `predict_map` is not a table of points; the error has the call that draws it."""
    raster = xarray.Dataset({"mean": (("y", "x"), np.zeros((2, 2)))})
    for given in (raster, raster["mean"]):
        with pytest.raises(TypeError, match=r'coordinates .*soil\["mean"\].plot\(ax=ax\)'):
            plot_map(given, "mean")


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

    def area(n):
        ax = plot_map(random_locations(n), np.arange(float(n)))
        return ax.collections[0].get_sizes()[0]

    assert 3 <= area(50_000) < area(500) < area(5) <= 40
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


def test_invalid_values_raise():
    """The error names the argument."""
    with pytest.raises(ValueError, match=r"values .*position 1"):
        plot_map(random_locations(2), [1.0, np.nan])
    with pytest.raises(ValueError, match="'values': 3"):
        plot_map(random_locations(2), [1.0, 2.0, 3.0])
