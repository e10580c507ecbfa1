"""Prediction methods of SpTGNNRegressor: uncertainty columns and probabilities."""

import warnings

import numpy as np
import pytest
from small_models import make_regressor

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.prediction_methods import PredictionMethods

SETTINGS = {"time": "date", "base_estimator": None, "n_estimators": 2, "max_epochs": 4}
LEVELS = np.array([0.01, 0.05, 0.3, 0.5, 0.8, 0.95, 0.99])


@pytest.fixture(scope="module")
def survey():
    return make_soil_survey(150, random_state=0)


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"target_transform": "log1p"},
        {"calibration": "scale"},
        {"target_bounds": (10.0, 30.0)},
        {"target_transform": "log1p", "target_bounds": (0.0, None)},
        {"calibration": "local"},
    ],
    ids=["plain", "log1p", "scale", "bounds", "log1p and bounds", "local"],
)
def fitted(request, survey):
    model = make_regressor(**SETTINGS, random_state=0, **request.param)
    return model.fit(survey.data, np.clip(survey.target, 0, None))


def test_probability_below_a_quantile_is_its_level(fitted, survey):
    """The probabilities are those of the calibrated distribution of predict_quantiles."""
    X = survey.data.head(20)
    quantiles = fitted.predict_quantiles(X, LEVELS)
    bounds = (-np.inf, np.inf)
    if fitted.target_bounds is not None:
        low, high = fitted.target_bounds
        bounds = (low, np.inf if high is None else high)
    for row, values in enumerate(quantiles):
        inside = (values > bounds[0]) & (values < bounds[1])
        found = fitted.predict_probability(X.iloc[[row]], below=values)[0]
        np.testing.assert_allclose(found[inside], LEVELS[inside], atol=1e-6)
        assert (found[values <= bounds[0]] == 0).all()
        assert (found[values >= bounds[1]] == 1).all()


def test_probabilities_increase_with_the_limit(fitted, survey):
    """They increase from 0 to 1, and below and above add up to 1."""
    limits = [-np.inf, -1e9, -5.0, *np.linspace(0, 60, 61), 1e9, np.inf]
    below = fitted.predict_probability(survey.data, below=limits)
    above = fitted.predict_probability(survey.data, above=limits)
    assert below.shape == (150, len(limits))
    assert (np.diff(below, axis=1) >= 0).all()
    assert (below[:, 0] == 0).all() and (below[:, -1] == 1).all()
    np.testing.assert_array_equal(below + above, 1)
    if fitted.target_bounds is not None:
        assert (fitted.predict_probability(survey.data, below=fitted.target_bounds[0]) == 0).all()
    single = fitted.predict_probability(survey.data, above=20)
    np.testing.assert_array_equal(single, above[:, limits.index(20.0)])


def test_columns_equal_the_single_methods(fitted, survey):
    """One call returns what the methods for arrays return, bit for bit."""
    X = survey.data.set_index(np.arange(150) + 7)
    table = fitted.predict_uncertainty(
        X, coverage=[0.8, 0.9], quantiles=(0.95, 0.05), below=[12, 15.5], above=20
    )
    requested = [
        "mean", "std", "aleatoric", "epistemic", "lower_80", "upper_80", "lower_90", "upper_90",
        "q95", "q05", "p<12.0", "p<15.5", "p>20.0",
    ]  # fmt: skip
    support = (
        ["n_effective", "certified_80", "certified_90"] if fitted.calibration == "local" else []
    )
    assert table.columns.tolist() == requested + support
    assert table.index.equals(X.index)
    for coverage in (80, 90):
        np.testing.assert_array_equal(
            table[[f"lower_{coverage}", f"upper_{coverage}"]],
            fitted.predict_interval(X, coverage / 100),
        )
    np.testing.assert_array_equal(table[["q95", "q05"]], fitted.predict_quantiles(X, (0.95, 0.05)))
    np.testing.assert_array_equal(
        table[["p<12.0", "p<15.5"]], fitted.predict_probability(X, below=[12, 15.5])
    )
    np.testing.assert_array_equal(table["p>20.0"], fitted.predict_probability(X, above=20))
    one = fitted.predict_uncertainty(X, coverage=0.9)
    assert one.columns.tolist()[4:] == ["lower", "upper"] + [
        name.removesuffix("_80") for name in support[:2]
    ]


def test_shares_of_draws_are_the_probabilities(survey):
    """Draws of a row lie below a limit as often as predicted."""
    model = make_regressor(**SETTINGS, random_state=0).fit(survey.data, survey.target)
    X, limit = survey.data.head(40), float(np.median(survey.target))
    shares = (model.sample_y(X, 4000, random_state=0) < limit).mean(axis=1)
    np.testing.assert_allclose(shares, model.predict_probability(X, below=limit), atol=0.03)


def test_invalid_arguments_raise_before_the_prediction(survey):
    """Each message names the parameter; predictions take no time before it."""

    class Unused(PredictionMethods):
        def _predict(self, X):
            raise AssertionError("predicted")

    model = Unused()
    with pytest.raises(ValueError, match=r"coverage .*did you mean 0\.9\?"):
        model.predict_interval(None, coverage=90)
    with pytest.raises(ValueError, match=r"coverage .*did you mean 0\.9\?"):
        model.predict_uncertainty(None, coverage=90)
    with pytest.raises(ValueError, match=r"quantiles .*did you mean 0\.95\?"):
        model.predict_uncertainty(None, quantiles=95)
    with pytest.raises(ValueError, match=r"quantiles .*did you mean \[0\.05, 0\.95\]\?"):
        model.predict_quantiles(None, [5, 95])
    with pytest.raises(ValueError, match="below must not be NaN"):
        model.predict_probability(None, below=np.nan)
    with pytest.raises(ValueError, match="needs either below or above"):
        model.predict_probability(None)


@pytest.mark.parametrize("target_transform", [None, "log1p"])
def test_constant_target(survey, target_transform):
    """Limits on either side of the constant have probability 0 or 1; so has the constant."""
    y = np.full(150, 3.0)
    model = make_regressor(**SETTINGS, target_transform=target_transform, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(survey.data, y)
    constant = model.predict(survey.data)[0]
    below = model.predict_probability(survey.data, below=[2.9, constant, 3.1])
    assert (below == [0, 0, 1]).all()
