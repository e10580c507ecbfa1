"""Display of coverage by groups."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_checks import legend_texts, overlapping_texts
from sklearn.linear_model import BayesianRidge

from sptgnn_sklearn.inspection import CoverageTable, coverage_table
from sptgnn_sklearn.plotting import CoverageDisplay


@pytest.fixture(scope="module")
def table():
    """Nominal on clay, too low on peat, too high on sand, and one row in "rare"."""
    soil = np.repeat(["clay", "peat", "rare", "sand"], [100, 50, 1, 100])
    inside = np.r_[np.arange(100) < 90, np.arange(50) < 30, [False], np.ones(100, dtype=bool)]
    side = np.repeat(["north", "south"], [150, 101])
    y, limit = np.where(inside, 0.0, 9.0), np.ones(251)
    return CoverageTable.from_predictions(y, -limit, limit, {"soil": soil, "side": side})


def test_dots_and_limits(table):
    """Each group has a dot at its coverage and a line between its limits."""
    ax = CoverageDisplay.from_table(table).ax_
    nominal, *lines = ax.lines
    assert list(nominal.get_xdata()) == [0.9, 0.9]
    limits, dots = lines[::2], lines[1::2]
    expected = table.table
    for limit, dot, (_, row) in zip(limits, dots, expected.iterrows(), strict=True):
        assert list(limit.get_xdata()) == [row["low"], row["high"]]
        assert limit.get_ydata()[0] == limit.get_ydata()[1] == dot.get_ydata()[0]
    shown = [dot.get_xdata()[0] for dot in dots]
    left = ax.get_xlim()[0]
    assert shown == [max(share, left) for share in expected["coverage"]]
    assert [dot.get_marker() for dot in dots] == ["o", "o", "v", "<", "^", "v", "^"]
    assert ax.get_xlabel() == "observed coverage of 90 % intervals, 95 % limits"
    assert legend_texts(ax) == ["consistent", "too low", "too high"]


def test_headings_and_numbers(table):
    """Headings are bold, above their groups, and the numbers of rows beside these."""
    ax = CoverageDisplay.from_table(table).ax_
    labels = {text.get_text(): text for text in ax.get_yticklabels()}
    positions = dict(zip(labels, ax.get_yticks(), strict=True))
    order = ["all rows", "soil", "clay", "peat", "rare", "sand", "side", "north", "south"]
    assert sorted(positions, key=positions.get) == order
    bold = {name for name, text in labels.items() if text.get_fontweight() == "bold"}
    assert bold == {"soil", "side"}
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    numbers = {text.xy[1]: text.get_text() for text in ax.texts}
    assert numbers[positions["peat"]] == "50" and numbers[positions["all rows"]] == "251"
    assert ax.texts[0].get_text() == "n"


def test_single_row_does_not_stretch_the_axis(table):
    """Its coverage is 0, but the axis starts near the limits of larger groups."""
    large = table.table[table.table["n"] >= 10]
    left = CoverageDisplay.from_table(table).ax_.get_xlim()[0]
    assert 0 < large["low"].min() - left < 0.1
    only = CoverageDisplay(table.table[table.table["group"] == "rare"], coverage=0.9).plot()
    assert only.ax_.get_xlim()[0] == 0


@pytest.mark.parametrize("width", [84, 174])
def test_texts_do_not_overlap_in_print(table, width):
    """At the widths of one and two columns in millimeters."""
    with plt.rc_context({"font.size": 7}):
        figure, ax = plt.subplots(figsize=(width / 25.4, 3.2), layout="constrained")
        display = CoverageDisplay.from_table(table, ax=ax)
        assert overlapping_texts(figure) == []
    assert display.ax_ is ax and display.figure_ is figure
    box = figure.get_tightbbox(figure.canvas.get_renderer())
    assert box.x0 > -0.02 and box.x1 < width / 25.4 + 0.02


def test_estimators_and_predictions():
    """Both give the figure of their table; models are checked to be fitted."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(100, 2)), columns=["x", "y"])
    y = rng.normal(size=100)
    model = BayesianRidge().fit(X, y)
    options = {"coverage": 0.8, "n_groups": 2}
    display = CoverageDisplay.from_estimator(model, X, y, ["std", "region"], **options)
    expected = coverage_table(model, X, y, ["std", "region"], **options)
    pd.testing.assert_frame_equal(display.table, expected.table)
    assert display.coverage == 0.8
    given = CoverageDisplay.from_predictions(y, y - 1, y + 1, "region", X=X, **options)
    assert given.table["coverage"].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="not fitted"):
        CoverageDisplay.from_estimator(BayesianRidge(), X, y, "std")


def test_legend_only_if_groups_differ():
    """One kind of marker needs no legend."""
    y = np.repeat([0.0, 9.0], [90, 10])
    table = CoverageTable.from_predictions(
        y, -np.ones(100), np.ones(100), {"a": np.tile([1, 2], 50)}
    )
    assert CoverageDisplay.from_table(table).ax_.get_legend() is None


def test_invalid_tables_raise(table):
    """The error names the missing column."""
    with pytest.raises(ValueError, match=r"table .*without \['low'\]"):
        CoverageDisplay(table.table.drop(columns="low"), coverage=0.9).plot()
    with pytest.raises(ValueError, match=r"table .*found 0 rows"):
        CoverageDisplay(table.table[:0], coverage=0.9).plot()
