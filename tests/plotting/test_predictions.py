"""Displays of predictions: points, intervals, reliability curves, and any estimator."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_checks import legend_texts, scatter_points
from scipy.stats import norm
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn.plotting import ObservedPredictedDisplay, ReliabilityDisplay

Y = np.array([1.0, 2.0, 3.0, 4.0])
MEAN = np.array([1.0, 2.0, 3.0, 2.0])


def test_observed_against_predicted():
    """Predicted values are horizontal; R2 and RMSE are in the corner, units in the labels."""
    ax = ObservedPredictedDisplay.from_predictions(Y, MEAN, unit="g/kg").ax_
    np.testing.assert_array_equal(scatter_points(ax), np.column_stack([MEAN, Y]))
    (text,) = ax.texts
    assert text.get_text() == "R² 0.20\nRMSE 1.00 g/kg"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted (g/kg)", "observed (g/kg)")
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_legend() is None


def test_intervals_are_bars():
    """Rows outside their interval have another color, and the legend has both shares."""
    display = ObservedPredictedDisplay.from_predictions(Y, MEAN, MEAN - 1, MEAN + 1, coverage=0.9)
    bars, inside, outside = display.ax_.collections
    np.testing.assert_array_equal(bars.get_segments()[3], [[2.0, 1.0], [2.0, 3.0]])
    assert len(inside.get_offsets()) == 3
    np.testing.assert_array_equal(outside.get_offsets(), [[2.0, 4.0]])
    assert legend_texts(display.ax_) == ["in 90 % interval: 75 %", "outside: 25 %"]
    unknown = ObservedPredictedDisplay.from_predictions(Y, MEAN, MEAN - 1, MEAN + 1)
    assert legend_texts(unknown.ax_)[0] == "inside: 75 %"


@pytest.mark.parametrize("limit", ["lower", "upper"])
def test_single_limit_raises(limit):
    """Intervals need both limits."""
    with pytest.raises(ValueError, match="lower and upper"):
        ObservedPredictedDisplay.from_predictions([1.0, 2.0], [1.0, 2.0], **{limit: [0.0, 3.0]})
    assert plt.get_fignums() == []


def test_log1p_axes():
    """Axes are scaled by log(1 + value), with round ticks, also for intervals below -1."""
    y = np.array([0.0, 1.0, 10.0, 100.0])
    ax = ObservedPredictedDisplay.from_predictions(y, y, y - 5, y + 5, log1p=True).ax_
    ax.figure.canvas.draw()
    assert ax.get_xticks().tolist() == [0, 1, 3, 10, 30, 100]
    middle = ax.transAxes.inverted().transform(ax.transData.transform((9.05, 9.05)))
    np.testing.assert_allclose(middle, 0.5, atol=0.01)


def test_limits_contain_all_intervals():
    """Both axes show the ends of all intervals; infinite ends are cut at the edge."""
    ax = ObservedPredictedDisplay.from_predictions(Y, MEAN, MEAN - 9, [2, 3, 4, 32]).ax_
    lowest, highest = ax.get_ylim()
    assert lowest < -8
    assert highest > 32
    upper = np.where(MEAN > 2, np.inf, MEAN + 1)
    ax = ObservedPredictedDisplay.from_predictions(Y, MEAN, MEAN - 1, upper).ax_
    highest = ax.get_ylim()[1]
    assert highest < 5
    assert ax.collections[0].get_segments()[2][1, 1] > highest


def test_logarithmic_axes_are_named():
    """The labels have the unit and the scale."""
    ax = ObservedPredictedDisplay.from_predictions(Y, MEAN, unit="%", log1p=True).ax_
    assert ax.get_xlabel() == "predicted (%), log scale"
    assert ax.get_ylabel() == "observed (%), log scale"


def test_limits_may_be_given():
    """Both axes have the limits given."""
    ax = ObservedPredictedDisplay.from_predictions(Y, MEAN, limits=(0.0, 9.0)).ax_
    assert ax.get_xlim() == ax.get_ylim() == (0.0, 9.0)


def test_given_axes_are_used():
    """Displays draw on the axes given and can be drawn again on others."""
    figure, (left, right) = plt.subplots(1, 2)
    display = ObservedPredictedDisplay.from_predictions(Y, MEAN, ax=left)
    assert display.ax_ is left
    assert display.figure_ is figure
    assert display.plot(right, unit="%") is display
    assert display.ax_ is right
    assert right.get_xlabel() == "predicted (%)"
    assert len(plt.get_fignums()) == 1


def test_reliability_curves():
    """True quantiles are on the diagonal, narrow ones below it; models can share axes."""
    rng = np.random.default_rng(0)
    levels = np.linspace(0.01, 0.99, 99)
    y = rng.normal(size=20_000)
    quantiles = np.tile(norm.ppf(levels), (len(y), 1))
    ax = ReliabilityDisplay.from_predictions(y, quantiles, levels, name="true").ax_
    ReliabilityDisplay.from_predictions(y, 0.5 * quantiles, levels, name="narrow", ax=ax)
    _, true, narrow = ax.lines
    np.testing.assert_allclose(true.get_ydata(), true.get_xdata(), atol=0.02)
    assert (narrow.get_ydata()[1:-1] < narrow.get_xdata()[1:-1]).all()
    assert true.get_label().startswith("true: mean gap 0.00")
    assert true.get_color() != narrow.get_color()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("nominal coverage", "observed coverage")


def test_invalid_quantiles_raise():
    """The error names the argument."""
    quantiles = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"levels .*symmetric"):
        ReliabilityDisplay.from_predictions([0.0, 1.0], quantiles, [0.1, 0.5, 0.8])
    with pytest.raises(ValueError, match=r"quantiles .*\(2, 3\)"):
        ReliabilityDisplay.from_predictions([0.0, 1.0], quantiles, [0.1, 0.9])


def test_displays_of_network_in_pipeline(model, survey):
    """Displays of an estimator within a Pipeline have its intervals and quantiles."""
    X, y = survey.data, survey.target
    pipe = make_pipeline("passthrough", model)
    display = ObservedPredictedDisplay.from_estimator(pipe, X, y, coverage=0.8, unit="g/kg")
    np.testing.assert_array_equal(display.mean, model.predict(X))
    np.testing.assert_array_equal(
        np.column_stack([display.lower, display.upper]), model.predict_interval(X, 0.8)
    )
    assert legend_texts(display.ax_)[0].startswith("in 80 % interval: ")
    assert display.ax_.get_xlabel() == "predicted (g/kg)"
    without = ObservedPredictedDisplay.from_estimator(pipe, X, y, coverage=None)
    assert without.lower is None
    levels = np.arange(1, 10) / 10
    display = ReliabilityDisplay.from_estimator(pipe, X, y, levels=9)
    np.testing.assert_array_equal(display.levels, levels)
    np.testing.assert_array_equal(display.quantiles, model.predict_quantiles(X, levels))
    assert display.ax_.lines[1].get_label().startswith("SpTGNNRegressor: ")


def test_displays_of_other_regressors(survey):
    """Estimators without intervals have points; standard deviations are those of normals."""
    X, y = survey.data.filter(like="cov_"), survey.target
    ridge = BayesianRidge().fit(X, y)
    assert ObservedPredictedDisplay.from_estimator(ridge, X, y).ax_.get_legend() is None
    display = ReliabilityDisplay.from_estimator(ridge, X, y, levels=3, name="ridge")
    mean, std = ridge.predict(X, return_std=True)
    np.testing.assert_allclose(display.quantiles[:, 2], norm.ppf(0.75, mean, std))
    assert display.name == "ridge"
    linear = LinearRegression().fit(X, y)
    with pytest.raises(TypeError, match="LinearRegression has no"):
        ReliabilityDisplay.from_estimator(linear, X, y)
    with pytest.raises(ValueError, match="levels must be at least 2; found 1"):
        ReliabilityDisplay.from_estimator(ridge, X, y, levels=1)
