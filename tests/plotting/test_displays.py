"""Figures: what is drawn where, and that nothing overlaps or lacks a unit."""

import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray
from scipy.stats import norm
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline

matplotlib.use("agg")

import matplotlib.pyplot as plt

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import KNNDMKFold, SpatialBlockKFold
from sptgnn_sklearn.model_selection.comparison import compare_models
from sptgnn_sklearn.plotting import (
    FoldsDisplay,
    ObservedPredictedDisplay,
    ReliabilityDisplay,
    plot_calibration,
    plot_comparison,
    plot_experts,
    plot_fold_distances,
    plot_folds,
    plot_graph,
    plot_map,
    plot_observed_predicted,
    plot_training,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def places(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"lon": rng.uniform(5, 15, n), "lat": rng.uniform(55, 65, n)})


@pytest.fixture(scope="module")
def result():
    X = places()
    y = X["lat"] - 50 + np.random.default_rng(1).normal(size=40)
    models = {"gp": GaussianProcessRegressor(alpha=1.0, normalize_y=True), "mean": DummyRegressor()}
    folds = {"random": KFold(4), "other": KFold(5)}
    return compare_models(models, X, y, folds, progress=False)


@pytest.fixture(scope="module")
def survey():
    return make_soil_survey(60, random_state=0)


@pytest.fixture(scope="module")
def model(survey):
    settings = {"n_members": 2, "max_epochs": 3, "n_neighbors": 4, "random_state": 0}
    model = SpTGNNRegressor(time="date", elevation="elevation", base=None, **settings)
    return model.fit(survey.data, survey.target)


def points(ax):
    """Positions of the points of all scatters of some axes."""
    found = [part.get_offsets() for part in ax.collections if hasattr(part, "get_sizes")]
    return np.concatenate([np.asarray(offsets) for offsets in found])


def words(ax):
    return " ".join(text.get_text() for text in ax.texts)


def overlapping_texts(figure):
    """Pairs of visible texts whose boxes on the canvas overlap."""
    figure.canvas.draw()
    beyond = tick_labels_beyond_their_axis(figure)
    boxes = [
        (text.get_text(), text.get_window_extent().shrunk(0.98, 0.9))
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip() and text not in beyond
    ]
    return [
        (first, second)
        for number, (first, box) in enumerate(boxes)
        for second, other in boxes[number + 1 :]
        if box.overlaps(other)
    ]


def tick_labels_beyond_their_axis(figure):
    """Labels that exist, but are not drawn."""
    labels = set()
    for ax in figure.findobj(matplotlib.axes.Axes):
        for axis in (ax.xaxis, ax.yaxis):
            least, most = sorted(axis.get_view_interval())
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if not least <= tick.get_loc() <= most:
                    labels |= {tick.label1, tick.label2}
    return labels


def test_a_raster_is_told_how_it_is_drawn():
    """A map of `predict_map` is no list of samples."""
    raster = xarray.Dataset({"mean": (("y", "x"), np.zeros((2, 2)))})
    for given in (raster, raster["mean"]):
        with pytest.raises(TypeError, match=r'soil\["mean"\].plot\(ax=ax\)'):
            plot_map(given, "mean")


def test_map_of_degrees_has_true_shape():
    """Points are where they belong, and a km is equally long in both directions at mid latitude."""
    X = places()
    ax = plot_map(X, np.arange(40.0), label="clay (%)")
    np.testing.assert_array_equal(points(ax), X)
    middle = (X["lat"].min() + X["lat"].max()) / 2
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(middle)))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("longitude (°)", "latitude (°)")
    assert ax.child_axes[0].get_ylabel() == "clay (%)"


def test_map_of_metres_is_labelled_in_kilometres():
    """A projected map has equal axes and shows km; an unknown plane shows its own numbers."""
    xy = np.array([[500_000.0, 5_000_000.0], [504_000.0, 5_004_000.0]])
    ax = plot_map(xy, [1.0, 2.0], crs="EPSG:32631")
    ax.figure.canvas.draw()
    assert ax.get_aspect() == 1.0
    assert ax.get_xlabel().endswith("(km)")
    assert "502" in [label.get_text() for label in ax.get_xticklabels()]
    plain = plot_map(pd.DataFrame(xy, columns=["x", "y"]), [1.0, 2.0])
    plain.figure.canvas.draw()
    assert plain.get_xlabel() == "x"
    assert "502000" in [label.get_text() for label in plain.get_xticklabels()]
    assert not plain.yaxis.get_offset_text().get_text()


def test_map_says_when_colours_end_before_values_do():
    """The colour bar is pointed at the ends that values go beyond."""
    for limits, extend in (
        ({}, "neither"),
        ({"vmax": 30.0}, "max"),
        ({"vmin": 3.0}, "min"),
        ({"vmin": 3.0, "vmax": 30.0}, "both"),
    ):
        ax = plot_map(places(), np.arange(40.0), **limits)
        assert ax.collections[0].colorbar.extend == extend


def test_axes_that_are_given_are_drawn_on():
    """Both plots use and return the axes that they are given."""
    _, (left, right) = plt.subplots(1, 2)
    assert plot_map(places(), np.arange(40.0), ax=left) is left
    assert plot_observed_predicted([1.0, 2.0], [1.0, 3.0], ax=right) is right
    assert len(plt.get_fignums()) == 1


def test_observed_against_predicted_by_hand():
    """Predicted is horizontal; the corner holds R2 and RMSE with its unit, the axes the unit."""
    y, mean = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 2.0])
    ax = plot_observed_predicted(y, mean, unit="g/kg")
    np.testing.assert_array_equal(points(ax), np.column_stack([mean, y]))
    assert "R² 0.20" in words(ax)
    assert "RMSE 1.00 g/kg" in words(ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted (g/kg)", "observed (g/kg)")
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_legend() is None


def test_intervals_are_bars_and_the_legend_counts_them():
    """A row outside its interval is of another colour; the legend has both shares."""
    y, mean = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 2.0])
    ax = plot_observed_predicted(y, mean, mean - 1, mean + 1, level=0.9)
    bars, inside, outside = ax.collections
    np.testing.assert_array_equal(bars.get_segments()[3], [[2.0, 1.0], [2.0, 3.0]])
    assert len(inside.get_offsets()) == 3
    np.testing.assert_array_equal(outside.get_offsets(), [[2.0, 4.0]])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["in 90 % interval: 75 %", "outside: 25 %"]


def test_half_an_interval_is_refused():
    """One limit without the other is an error, whichever it is."""
    with pytest.raises(ValueError, match="both lower and upper"):
        plot_observed_predicted([1.0, 2.0], [1.0, 2.0], lower=[0.0, 0.0])


def test_logarithmic_axes_spread_a_skewed_target():
    """Zero is on the axis, ticks are round numbers, and bars below -1 do no harm."""
    y = np.array([0.0, 1.0, 10.0, 100.0])
    ax = plot_observed_predicted(y, y, y - 5, y + 5, log1p=True)
    ax.figure.canvas.draw()
    assert ax.get_xticks().tolist() == [0, 1, 3, 10, 30, 100]
    middle = ax.transAxes.inverted().transform(ax.transData.transform((9.05, 9.05)))
    np.testing.assert_allclose(middle, 0.5, atol=0.01)


def test_points_shrink_where_they_are_many():
    """Points of a large table are smaller, and never larger or smaller than can be seen well."""

    def area(n):
        return plot_map(places(n), np.arange(float(n))).collections[0].get_sizes()[0]

    assert 3 <= area(50_000) < area(500) < area(5) <= 40
    assert plot_map(places(), np.arange(40.0), size=7).collections[0].get_sizes()[0] == 7


def test_comparison_has_a_row_for_each_kind_of_folds(result):
    """Maps of mean and spread and the scatter are of the chosen model's held-out predictions."""
    figure = plot_comparison(result, "gp", name="carbon", unit="g/kg")
    assert len(figure.axes) == 6
    for kind, line in zip(("random", "other"), np.reshape(figure.axes, (2, 3)), strict=True):
        found = result.select(kind, "gp")
        assert line[0].get_title() == f"{kind} folds: prediction"
        np.testing.assert_array_equal(line[0].collections[0].get_array(), found["mean"])
        np.testing.assert_array_equal(line[1].collections[0].get_array(), found["std"])
        order = np.lexsort(points(line[2]).T)
        expected = found[["mean", "observed"]].to_numpy()
        np.testing.assert_array_equal(points(line[2])[order], expected[np.lexsort(expected.T)])
        assert line[0].child_axes[0].get_ylabel() == "carbon (g/kg)"
        assert line[1].child_axes[0].get_ylabel() == "standard deviation (g/kg)"
        assert "90 % interval" in line[2].get_legend().get_texts()[0].get_text()


def test_rows_of_a_comparison_share_colours_and_ranges(result):
    """Random and other folds can be compared by eye."""
    upper, lower = np.reshape(plot_comparison(result, "gp").axes, (2, 3))
    for number in (0, 1):
        first, second = upper[number].collections[0], lower[number].collections[0]
        assert first.get_clim() == second.get_clim()
    assert upper[2].get_xlim() == lower[2].get_xlim()


def test_comparison_of_a_model_without_uncertainty_has_no_map_of_it(result):
    """The training mean has a map and a scatter without bars; one kind of folds is one row."""
    figure = plot_comparison(result, "mean", folds="other", title="Mean")
    assert len(figure.axes) == 2
    assert figure.axes[1].get_legend() is None
    assert figure.get_suptitle() == "Mean"


@pytest.mark.parametrize("wide", [False, True])
def test_no_text_of_a_comparison_overlaps_another(result, wide):
    """Labels, ticks, titles and legends keep apart on tall and on wide maps."""
    if wide:
        moved = result.predictions.assign(x=lambda table: 10 * table["x"] - 100)
        result = type(result)(result.table, moved, result.level, result.frame, result.axes)
    figure = plot_comparison(result, "gp", name="organic carbon", unit="g/kg")
    assert overlapping_texts(figure) == []


def test_unknown_names_are_refused_before_drawing(result):
    """A model or kind of folds that was not compared is an error that names those that were."""
    with pytest.raises(ValueError, match="gp"):
        plot_comparison(result, "xgb")
    with pytest.raises(ValueError, match="random"):
        plot_comparison(result, "gp", folds=["block"])
    assert plt.get_fignums() == []


def test_missing_matplotlib_is_said_with_the_remedy(monkeypatch):
    """Without matplotlib the module can be imported, and drawing names the extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sptgnn-sklearn\[plot\]"):
        plot_map(places(), np.arange(40.0))


def test_folds_are_drawn_with_their_rows():
    """Each fold has its own colour and marker, and the legend counts its rows."""
    X = places()
    ax = plot_folds(X, SpatialBlockKFold(4))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sum(int(text.split()[1]) for text in texts) == 40
    assert len(ax.collections) == 4
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("longitude (°)", "latitude (°)")
    with pytest.raises(ValueError, match="cv must be"):
        plot_folds(X, None)


def test_fold_distances_are_distribution_functions():
    """Lines end at one; the places of kNNDM folds, or those given, have a line of their own."""
    X = places()
    cv = KNNDMKFold(4, prediction_points=places(200, seed=1))
    ax = plot_fold_distances(X, cv)
    assert len(ax.lines) == 3
    other = plot_fold_distances(X, KFold(4), prediction_points=places(200, seed=1)[["lat", "lon"]])
    for line, same in zip(ax.lines[1:], other.lines[1:], strict=True):
        assert (line.get_xdata()[0], line.get_ydata()[0], line.get_ydata()[-1]) == (0, 0, 1)
        np.testing.assert_allclose(line.get_xdata(), same.get_xdata())
    assert len(plot_fold_distances(X, GroupKFold(4), groups=np.arange(40)).lines) == 2
    assert ax.get_xlabel() == "distance to the nearest row (km)"
    meters = plot_fold_distances(X, KFold(4), crs="EPSG:3857")
    assert meters.get_xlabel() == "distance to the nearest row (m)"
    plain = plot_fold_distances(X.set_axis(["x", "y"], axis=1), KFold(4))
    assert plain.get_xlabel() == "distance to the nearest row"


def test_calibration_curves():
    """Right quantiles lie on the diagonal, narrow ones below it; models share the axes."""
    rng = np.random.default_rng(0)
    levels = np.linspace(0.01, 0.99, 99)
    y = rng.normal(size=20_000)
    quantiles = np.tile(norm.ppf(levels), (len(y), 1))
    ax = plot_calibration(y, quantiles, levels, label="right")
    ax = plot_calibration(y, 0.5 * quantiles, levels, label="narrow", ax=ax)
    _, right, narrow = ax.lines
    np.testing.assert_allclose(right.get_ydata(), right.get_xdata(), atol=0.02)
    assert (narrow.get_ydata()[1:-1] < narrow.get_xdata()[1:-1]).all()
    assert right.get_label().startswith("right: mean gap 0.00")
    assert right.get_color() != narrow.get_color()
    with pytest.raises(ValueError, match="symmetric"):
        plot_calibration(y, quantiles[:, :3], levels[:3])
    with pytest.raises(ValueError, match="found shape"):
        plot_calibration(y, quantiles[:, :3], levels)


def test_nothing_is_cut_off_at_the_edge_of_a_figure(model, survey):
    """Labels, legends and colour bars lie within a figure of the default size."""
    for ax in (
        plot_graph(model, survey.data),
        plot_experts(model, survey.data),
        plot_experts(model, survey.data, expert=0),
        plot_training(model),
    ):
        ax.figure.canvas.draw()
        box = ax.figure.get_tightbbox()
        assert min(box.x0, box.y0) >= 0
        assert (box.max <= ax.figure.get_size_inches()).all()


def test_edges_join_rows_to_their_neighbours(model, survey):
    """Each relation has a line of its own that starts at rows and ends at their neighbours."""
    xy = survey.data[["lon", "lat"]].to_numpy()
    ax = plot_graph(model, survey.data, rows=[7, 9], n_neighbors=3)
    assert [line.get_label().split(":")[0] for line in ax.lines] == list(model.relations_)
    assert len({line.get_color() for line in ax.lines}) == 3
    for line in ax.lines:
        relation, said = line.get_label().split(": ")
        assert said == "6 edges"
        drawn = line.get_xydata()
        pieces = np.split(drawn, np.flatnonzero(np.isnan(drawn[:, 0])) + 1)[:-1]
        source_index = model.kneighbors(n_neighbors=3, return_distance=False, relation=relation)
        np.testing.assert_allclose([piece[0] for piece in pieces], xy[[7, 7, 7, 9, 9, 9]])
        np.testing.assert_allclose(
            [piece[-2] for piece in pieces], xy[source_index[[7, 9]].ravel()]
        )
    mask = np.isin(np.arange(60), [7, 9])
    same = plot_graph(model, survey.data, relations="spatial", rows=mask, n_neighbors=3)
    (line,) = same.lines
    np.testing.assert_array_equal(line.get_xydata(), ax.lines[0].get_xydata())
    assert overlapping_texts(ax.figure) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relations": "kinship"}, r"relations=\['kinship'\] are not in use"),
        ({"n_neighbors": 0}, "n_neighbors must"),
        ({"rows": [60]}, "rows must be positions from 0 to 59"),
        ({"rows": [0.5]}, "rows must be"),
        ({"X": slice(50)}, "X must be the table of the fit, of 60 rows; found 50"),
    ],
)
def test_a_graph_that_cannot_be_drawn_is_an_error(model, survey, settings, message):
    """The error names the parameter, and no empty figure is left."""
    rows = settings.pop("X", slice(None))
    with pytest.raises(ValueError, match=message):
        plot_graph(model, survey.data[rows], **settings)
    assert plt.get_fignums() == []


def test_experts_are_drawn_where_they_serve(model, survey):
    """Rows have the colour of their first expert; the share of one has a colour bar."""
    shares = model.expert_weights(survey.data)[1]
    ax = plot_experts(model, survey.data, member=1)
    for expert, drawn in enumerate(ax.collections):
        rows = shares.to_numpy().argmax(axis=1) == expert
        np.testing.assert_array_equal(drawn.get_offsets(), survey.data[["lon", "lat"]][rows])
    assert len(ax.get_legend().get_texts()) == 4
    one = plot_experts(model, survey.data, member=1, expert=2)
    np.testing.assert_array_equal(one.collections[0].get_array(), shares[2])
    assert one.child_axes[0].get_ylabel() == "share of expert 2"
    with pytest.raises(ValueError, match="member must lie between 0 and 1; found 2"):
        plot_experts(model, survey.data, member=2)
    with pytest.raises(ValueError, match="expert must lie between 0 and 3"):
        plot_experts(model, survey.data, expert=4)


def test_training_is_drawn_by_epoch(model, monkeypatch):
    """Losses on the left, held-out errors on the right, and a ring at each member's best epoch."""
    ax = plot_training(model)
    right = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), [entry["train_loss"] for entry in model.history_]
    )
    errors = np.array([entry["held_out_mse_by_member"] for entry in model.history_])
    np.testing.assert_array_equal(right.lines[-1].get_ydata(), errors.mean(axis=1))
    best = np.column_stack([errors.argmin(axis=0) + 1, errors.min(axis=0)])
    np.testing.assert_allclose(points(right), best)
    assert overlapping_texts(ax.figure) == []
    # Groups of members that were trained apart, one of which stopped earlier.
    monkeypatch.setattr(model, "history_", [*model.history_, *model.history_[:2]])
    ax = plot_training(model)
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 2]
    without = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}]
    monkeypatch.setattr(model, "history_", without)
    assert len(plot_training(model).figure.axes) == 1
    with pytest.raises(NotFittedError):
        plot_training(SpTGNNRegressor())


def test_displays_draw_what_the_functions_draw(model, survey):
    """A display of an estimator within a Pipeline has its intervals and quantiles."""
    X, y = survey.data, survey.target
    pipe = make_pipeline("passthrough", model)
    display = ObservedPredictedDisplay.from_estimator(pipe, X, y, coverage=0.8, unit="g/kg")
    lower, upper = model.predict_interval(X, 0.8).T
    same = plot_observed_predicted(y, model.predict(X), lower, upper, level=0.8, unit="g/kg")
    np.testing.assert_array_equal(points(display.ax_), points(same))
    texts = [ax.get_legend().get_texts()[0].get_text() for ax in (display.ax_, same)]
    assert texts[0] == texts[1]
    assert display.ax_.get_xlabel() == "predicted (g/kg)"
    assert display.figure_ is display.ax_.figure
    display = ReliabilityDisplay.from_estimator(pipe, X, y, levels=9)
    levels = np.arange(1, 10) / 10
    same = plot_calibration(y, model.predict_quantiles(X, levels), levels)
    np.testing.assert_array_equal(display.ax_.lines[1].get_ydata(), same.lines[1].get_ydata())
    assert display.ax_.lines[1].get_label().startswith("SpTGNNRegressor: ")


def test_displays_of_any_regressor(survey):
    """Without intervals points stand alone; a standard deviation is read as of a normal one."""
    X, y = survey.data.filter(like="cov_"), survey.target
    ridge = BayesianRidge().fit(X, y)
    assert ObservedPredictedDisplay.from_estimator(ridge, X, y).ax_.get_legend() is None
    display = ReliabilityDisplay.from_estimator(ridge, X, y, levels=3, name="ridge")
    mean, std = ridge.predict(X, return_std=True)
    np.testing.assert_allclose(display.quantiles[:, 2], norm.ppf(0.75, mean, std))
    _, (left, _) = plt.subplots(1, 2)
    assert display.plot(left) is display
    assert display.ax_ is left and display.figure_ is left.figure
    mute = LinearRegression().fit(X, y)
    with pytest.raises(TypeError, match="LinearRegression has no"):
        ReliabilityDisplay.from_estimator(mute, X, y)
    with pytest.raises(ValueError, match="levels must be at least 2"):
        ReliabilityDisplay.from_estimator(ridge, X, y, levels=1)


def test_folds_are_kept_by_their_display():
    """A splitter that draws at random is asked once, however often the display is drawn."""
    X = places()
    display = FoldsDisplay.from_cv(X, KFold(4, shuffle=True))
    first = points(display.ax_)
    np.testing.assert_array_equal(points(display.plot().ax_), first)
    assert not np.array_equal(first, X)
