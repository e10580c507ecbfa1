"""Figure of a comparison: panels, shared ranges, and labels that do not overlap."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_checks import legend_texts, overlapping_texts, random_locations, scatter_points
from sklearn.dummy import DummyRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.model_selection import KFold

from sptgnn_sklearn.model_selection import compare_models
from sptgnn_sklearn.plotting import plot_comparison


@pytest.fixture(scope="module")
def result():
    """Two models, one of them without uncertainty, on two kinds of folds."""
    X = random_locations()
    y = X["lat"] - 50 + np.random.default_rng(1).normal(size=40)
    models = {"gp": GaussianProcessRegressor(alpha=1.0, normalize_y=True), "mean": DummyRegressor()}
    folds = {"random": KFold(4), "other": KFold(5)}
    return compare_models(models, X, y, folds, progress=False)


def test_rows_are_kinds_of_folds(result):
    """Each row has maps of mean and std and a scatter of the held-out predictions of the model."""
    figure = plot_comparison(result, "gp", name="carbon", unit="g/kg")
    assert len(figure.axes) == 6
    for kind, panels in zip(("random", "other"), np.reshape(figure.axes, (2, 3)), strict=True):
        expected = result.select(kind, "gp")
        # The color bars name the quantities.
        assert [ax.get_title() for ax in panels[:2]] == [f"{kind} folds", ""]
        np.testing.assert_array_equal(panels[0].collections[0].get_array(), expected["mean"])
        np.testing.assert_array_equal(panels[1].collections[0].get_array(), expected["std"])
        drawn = scatter_points(panels[2])
        pairs = expected[["mean", "observed"]].to_numpy()
        np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], pairs[np.lexsort(pairs.T)])
        assert panels[0].child_axes[0].get_ylabel() == "carbon (g/kg)"
        assert panels[1].child_axes[0].get_ylabel() == "standard deviation (g/kg)"
        assert "in 90 % interval" in legend_texts(panels[2])[0]


def test_rows_share_colors_and_ranges(result):
    """Color limits and axes are equal in all rows."""
    upper, lower = np.reshape(plot_comparison(result, "gp").axes, (2, 3))
    for number in (0, 1):
        first, second = upper[number].collections[0], lower[number].collections[0]
        assert first.get_clim() == second.get_clim()
    assert upper[2].get_xlim() == lower[2].get_xlim()


def test_model_without_uncertainty_has_no_map_of_it(result):
    """The row has a map and a scatter without intervals."""
    figure = plot_comparison(result, "mean", folds="other", title="Mean")
    assert len(figure.axes) == 2
    assert figure.axes[1].get_legend() is None
    assert figure.get_suptitle() == "Mean"


@pytest.mark.parametrize("wide", [False, True])
def test_texts_do_not_overlap(result, wide):
    """Labels, ticks, titles and legends are apart on tall and on wide maps."""
    if wide:
        moved = result.predictions.assign(x=lambda table: 10 * table["x"] - 100)
        result = replace(result, predictions=moved)
    figure = plot_comparison(result, "gp", name="organic carbon", unit="g/kg")
    assert overlapping_texts(figure) == []


def test_unknown_names_raise(result):
    """The error names the models or kinds of folds in the comparison, and no figure is left."""
    with pytest.raises(ValueError, match="gp"):
        plot_comparison(result, "xgb")
    with pytest.raises(ValueError, match="random"):
        plot_comparison(result, "gp", folds=["block"])
    assert plt.get_fignums() == []
