"""Display of error profiles: drawn values, several models, labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_checks import legend_texts, overlapping_texts, scatter_points

from sptgnn_sklearn.applicability import ErrorProfile
from sptgnn_sklearn.plotting import ErrorProfileDisplay


@pytest.fixture(scope="module")
def profile():
    """A profile of errors that increase with dissimilarity."""
    rng = np.random.default_rng(0)
    dissimilarity = rng.uniform(0, 1, 200)
    return ErrorProfile(window_size=25).fit(dissimilarity, rng.normal(scale=1 + dissimilarity))


def test_profile_windows_and_lines_are_drawn(profile):
    """The line is the profile over its range, the points are the windows."""
    display = ErrorProfileDisplay.from_profile(profile, threshold=0.4, unit="g/kg")
    line, overall, threshold = display.ax_.lines
    np.testing.assert_array_equal(line.get_ydata(), profile.predict(line.get_xdata()))
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == profile.range_
    expected = profile.table_[["dissimilarity", "rmse"]].to_numpy()
    np.testing.assert_array_equal(scatter_points(display.ax_), expected)
    assert overall.get_ydata()[0] == profile.rmse_
    assert threshold.get_xdata()[0] == 0.4
    assert display.ax_.get_ylabel() == "RMSE (g/kg)"
    assert legend_texts(display.ax_)[0] == "windows of 25 rows"
    assert overlapping_texts(display.figure_) == []
    plt.close(display.figure_)


def test_models_share_axes(profile):
    """Each profile has its color and the name of its model; the axes start at 0."""
    ax = ErrorProfileDisplay.from_profile(profile, name="trees", label="distance (km)").ax_
    display = ErrorProfileDisplay.from_profile(profile, name="network", ax=ax)
    assert display.ax_ is ax
    lines = [line for line in ax.lines if line.get_gid() == "profile"]
    assert len({line.get_color() for line in lines}) == 2
    assert {text.partition(":")[0] for text in legend_texts(ax)} == {"trees", "network"}
    assert ax.get_ylim()[0] == 0
    plt.close(ax.figure)
