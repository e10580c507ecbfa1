"""Figures of folds: rows of each fold, and distributions of distances."""

import numpy as np
import pytest
from figure_checks import legend_texts, random_locations, scatter_points
from sklearn.model_selection import GroupKFold, KFold

from sptgnn_sklearn.model_selection import KNNDMKFold, SpatialBlockKFold
from sptgnn_sklearn.plotting import FoldsDisplay, plot_fold_distances


def test_folds_are_drawn_with_their_rows():
    """Each fold has its color and marker, and the legend has its number of rows."""
    X = random_locations()
    ax = FoldsDisplay.from_cv(X, SpatialBlockKFold(4)).ax_
    assert sum(int(text.split()[1]) for text in legend_texts(ax)) == 40
    assert len(ax.collections) == 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("longitude (°)", "latitude (°)")
    with pytest.raises(ValueError, match="cv must be"):
        FoldsDisplay.from_cv(X, None)


def test_groups_reach_the_splitter():
    """A splitter that needs groups gets them."""
    display = FoldsDisplay.from_cv(random_locations(), GroupKFold(4), groups=np.arange(40) % 4)
    for _, test in display.splits:
        assert len(np.unique(test % 4)) == 1


def test_display_keeps_random_folds():
    """A random splitter is called once, for any number of drawings."""
    X = random_locations()
    display = FoldsDisplay.from_cv(X, KFold(4, shuffle=True))
    first = scatter_points(display.ax_)
    np.testing.assert_array_equal(scatter_points(display.plot().ax_), first)
    assert not np.array_equal(first, X)


def test_distances_are_distribution_functions():
    """Lines start at 0 and end at 1; prediction locations of kNNDM, or given ones, have a line."""
    X = random_locations()
    cv = KNNDMKFold(4, prediction_points=random_locations(200, seed=1))
    ax = plot_fold_distances(X, cv)
    assert len(ax.lines) == 3
    points = random_locations(200, seed=1)[["lat", "lon"]]
    other = plot_fold_distances(X, KFold(4), prediction_points=points)
    for line, same in zip(ax.lines[1:], other.lines[1:], strict=True):
        assert (line.get_xdata()[0], line.get_ydata()[0], line.get_ydata()[-1]) == (0, 0, 1)
        np.testing.assert_allclose(line.get_xdata(), same.get_xdata())
    assert len(plot_fold_distances(X, GroupKFold(4), groups=np.arange(40)).lines) == 2


def test_distances_have_the_unit_of_coordinates():
    """Distances are in km on the globe, in meters of a projected CRS, and else without unit."""
    X = random_locations()
    label = "distance to the nearest row"
    assert plot_fold_distances(X, KFold(4)).get_xlabel() == f"{label} (km)"
    assert plot_fold_distances(X, KFold(4), crs="EPSG:3857").get_xlabel() == f"{label} (m)"
    planar = X.set_axis(["x", "y"], axis=1)
    assert plot_fold_distances(planar, KFold(4)).get_xlabel() == label
