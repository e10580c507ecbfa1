"""Parts shared by figures: ticks, limits, labels, and the missing matplotlib."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_checks import random_locations

from sptgnn_sklearn.plotting import plot_map
from sptgnn_sklearn.plotting.drawing import (
    BaseDisplay,
    log1p_ticks,
    padded_limits,
    three_digits,
    with_unit,
)


def test_missing_matplotlib_raises(monkeypatch):
    """Without matplotlib, drawing raises an error that names the extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sptgnn-sklearn\[plot\]"):
        plot_map(random_locations(), np.arange(40.0))


def test_display_keeps_axes_and_root_figure():
    """The figure of axes on a subfigure is the whole figure."""
    figure = plt.figure()
    ax = figure.subfigures(1, 2)[0].subplots()
    display = BaseDisplay()
    display._set_axes(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0.0, 100.0), [0, 1, 3, 10, 30, 100]),
        ((0.0, 1.0), [0.0, 0.1, 0.2, 0.5, 1.0]),
        ((20.0, 400.0), [20, 30, 50, 70, 100, 200, 300]),
        ((1.0, 17.0), [1, 2, 3, 5, 7, 10, 15]),
    ],
)
def test_log1p_ticks_are_round_and_spaced(limits, expected):
    """Ticks are round multiples of powers of ten, at least five, with room for labels."""
    assert log1p_ticks(*limits) == pytest.approx(expected)


def test_padded_limits():
    """The margin is 4 % of the range on the scale of the axis, and not 0 for equal values."""
    values = np.array([0.0, 10.0])
    assert padded_limits(values, log1p=False) == pytest.approx((-0.4, 10.4))
    lowest, highest = padded_limits(values, log1p=True)
    assert np.log1p([lowest, highest]) == pytest.approx(np.log(11) * np.array([-0.04, 1.04]))
    assert padded_limits(np.array([2.0, 2.0]), log1p=False) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.0, "1.00"), (12.34, "12.3"), (12345.6, "12346")],
)
def test_three_digits(value, expected):
    """Numbers have three significant digits, and all digits before the decimal point."""
    assert three_digits(value) == expected


def test_units_are_in_parentheses():
    """A label without a unit has no parentheses."""
    assert (with_unit("clay", "%"), with_unit("pH", "")) == ("clay (%)", "pH")
