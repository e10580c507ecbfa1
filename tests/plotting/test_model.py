"""Figures of a fitted network: graph, experts and training."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_checks import overlapping_texts, scatter_points
from sklearn.exceptions import NotFittedError

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.plotting import plot_experts, plot_graph, plot_training


def test_figures_contain_labels_and_legends(model, survey):
    """Labels, legends and color bars are within a figure of the default size."""
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


def test_edges_connect_rows_and_neighbors(model, survey):
    """Each relation has a line with segments from rows to their neighbors."""
    xy = survey.data[["lon", "lat"]].to_numpy()
    ax = plot_graph(model, survey.data, rows=[7, 9], n_neighbors=3)
    assert [line.get_label().split(":")[0] for line in ax.lines] == list(model.relations_)
    assert len({line.get_color() for line in ax.lines}) == 3
    for line in ax.lines:
        relation, count = line.get_label().split(": ")
        assert count == "6 edges"
        vertices = line.get_xydata()
        segments = np.split(vertices, np.flatnonzero(np.isnan(vertices[:, 0])) + 1)[:-1]
        neighbors = model.kneighbors(n_neighbors=3, return_distance=False, relation=relation)
        np.testing.assert_allclose([segment[0] for segment in segments], xy[[7, 7, 7, 9, 9, 9]])
        ends = [segment[-2] for segment in segments]
        np.testing.assert_allclose(ends, xy[neighbors[[7, 9]].ravel()])
    mask = np.isin(np.arange(150), [7, 9])
    same = plot_graph(model, survey.data, relations="spatial", rows=mask, n_neighbors=3)
    (line,) = same.lines
    np.testing.assert_array_equal(line.get_xydata(), ax.lines[0].get_xydata())
    assert overlapping_texts(ax.figure) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relations": "other"}, r"relations=\['other'\] are not in use"),
        ({"n_neighbors": 0}, "n_neighbors must"),
        ({"rows": [150]}, "rows must be positions from 0 to 149"),
        ({"rows": [0.5]}, "rows must be"),
        ({"X": slice(50)}, "X must be the table of the fit, of 150 rows; found 50"),
    ],
)
def test_invalid_graph_arguments_raise(model, survey, settings, message):
    """The error names the parameter, and no empty figure is left."""
    rows = settings.pop("X", slice(None))
    with pytest.raises(ValueError, match=message):
        plot_graph(model, survey.data[rows], **settings)
    assert plt.get_fignums() == []


def test_experts_are_drawn_at_their_rows(model, survey):
    """Rows have the color of the expert with the greatest weight; one expert has a color bar."""
    weights = model.expert_weights(survey.data)[1]
    ax = plot_experts(model, survey.data, member=1)
    for expert, drawn in enumerate(ax.collections):
        rows = weights.to_numpy().argmax(axis=1) == expert
        np.testing.assert_array_equal(drawn.get_offsets(), survey.data[["lon", "lat"]][rows])
    assert len(ax.get_legend().get_texts()) == 4
    one = plot_experts(model, survey.data, member=1, expert=2)
    np.testing.assert_array_equal(one.collections[0].get_array(), weights[2])
    assert one.child_axes[0].get_ylabel() == "weight of expert 2"
    with pytest.raises(ValueError, match=r"member .*found 2"):
        plot_experts(model, survey.data, member=2)
    with pytest.raises(ValueError, match=r"expert .*found 4"):
        plot_experts(model, survey.data, expert=4)


def test_training_is_drawn_by_epoch(model, monkeypatch):
    """Losses are on the left, held-out errors on the right, with a ring at the best epoch."""
    ax = plot_training(model)
    right = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), [entry["train_loss"] for entry in model.history_]
    )
    errors = np.array([entry["held_out_mse_by_member"] for entry in model.history_])
    np.testing.assert_array_equal(right.lines[-1].get_ydata(), errors.mean(axis=1))
    best = np.column_stack([errors.argmin(axis=0) + 1, errors.min(axis=0)])
    np.testing.assert_allclose(scatter_points(right), best)
    assert overlapping_texts(ax.figure) == []
    # Groups of members are trained separately, and may stop earlier.
    monkeypatch.setattr(model, "history_", [*model.history_, *model.history_[:2]])
    ax = plot_training(model)
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 2]
    without = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}]
    monkeypatch.setattr(model, "history_", without)
    assert len(plot_training(model).figure.axes) == 1
    with pytest.raises(NotFittedError):
        plot_training(SpTGNNRegressor())
