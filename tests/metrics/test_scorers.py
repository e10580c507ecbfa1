"""Scorers of uncertainty in scikit-learn's tools."""

import pickle

import numpy as np
import pytest
from mapie.metrics.regression import regression_coverage_score
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.meta_estimators import predict_quantiles
from sptgnn_sklearn.metrics import (
    calibration_error_of_quantiles,
    concordance_correlation_scorer,
    crps_gaussian,
    crps_of_quantiles,
    expected_calibration_error,
    interval_coverage,
    interval_score,
    make_interval_coverage_scorer,
    make_interval_score_scorer,
    make_tail_coverage_scorer,
    neg_calibration_error_scorer,
    neg_crps_scorer,
    reliability_curve,
    rpiq_scorer,
    tail_coverage,
)

SCORERS = {
    "crps": neg_crps_scorer,
    "ece": neg_calibration_error_scorer,
    "interval": make_interval_score_scorer(0.8),
    "coverage": make_interval_coverage_scorer(0.8),
    "tails": make_tail_coverage_scorer(0.8),
    "ccc": concordance_correlation_scorer,
    "rpiq": rpiq_scorer,
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, size=(90, 2))
    return X, 5 + 2 * X[:, 0] + rng.normal(size=90)


def test_scores_are_those_of_the_predictions(rows):
    """Each scorer is minus the score of mean and standard deviation."""
    X, y = rows
    model = BayesianRidge().fit(X, y)
    mean, std = model.predict(X, return_std=True)
    low, high = mean - norm.ppf(0.9) * std, mean + norm.ppf(0.9) * std
    expected = {
        "crps": -crps_gaussian(y, mean, std),
        "ece": -expected_calibration_error(y, mean, std),
        "interval": -interval_score(y, low, high, 0.8),
        "coverage": -abs(0.8 - interval_coverage(y, low, high)),
        "tails": -max(abs(0.1 - np.mean(y < low)), abs(0.1 - np.mean(y > high))),
    }
    assert {name: SCORERS[name](model, X, y) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: make_pipeline(StandardScaler(), model),
        lambda model: GridSearchCV(model, {"max_iter": [300]}, cv=3),
        lambda model: TransformedTargetRegressor(model, transformer=StandardScaler()),
    ],
    ids=["pipeline", "search", "target"],
)
def test_wrappers_do_not_hide_the_uncertainty(rows, wrap):
    """The scores of a linear model hardly change with the units of what it sees."""
    X, y = rows
    bare = BayesianRidge().fit(X, y)
    outer = wrap(BayesianRidge()).fit(X, y)
    assert neg_crps_scorer(outer, X, y) == pytest.approx(neg_crps_scorer(bare, X, y), rel=0.02)


def test_scorers_serve_in_searches(rows):
    """A search by CRPS finds the noise that was put in; all scores together, through pickle too."""
    X, y = rows
    model = make_pipeline(
        StandardScaler(), GaussianProcessRegressor(RBF() + WhiteKernel(0.3), optimizer=None)
    )
    grid = {"gaussianprocessregressor__kernel__k2__noise_level": [1e-4, 1.0, 100.0]}
    search = GridSearchCV(model, grid, scoring=neg_crps_scorer, cv=3).fit(X, y)
    assert list(search.best_params_.values()) == [1.0]
    copies = pickle.loads(pickle.dumps(SCORERS))
    found = cross_validate(clone(model), X, y, scoring=copies, cv=3)
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in SCORERS)
    assert repr(copies["interval"]) == "make_interval_score_scorer(0.8)"
    assert repr(copies["crps"]) == "neg_crps_scorer"


LEVELS = np.arange(1, 200) / 200


class Skewed(RegressorMixin, BaseEstimator):
    """States a lognormal distribution, by its quantiles and by its moments."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X, return_std=False):
        mean = np.full(len(X), np.exp(0.5))
        return (mean, mean * np.sqrt(np.e - 1)) if return_std else mean

    def predict_quantiles(self, X, quantiles):
        return np.tile(np.exp(norm.ppf(quantiles)), (len(X), 1))


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: make_pipeline("passthrough", m)])
def test_a_skewed_distribution_is_scored_as_it_is_stated(wrap):
    """Right quantiles have no calibration error, where a normal one with their moments has."""
    X = np.zeros((5000, 1))
    y = np.exp(norm.ppf((np.arange(5000) + 0.5) / 5000))
    model = wrap(Skewed()).fit(X, y)
    assert neg_calibration_error_scorer(model, X, y) > -0.001
    assert expected_calibration_error(y, *Skewed().predict(X, return_std=True)) > 0.1
    assert make_tail_coverage_scorer(0.9)(model, X, y) > -0.001
    assert make_interval_coverage_scorer(0.5)(model, X, y) > -0.001
    assert make_interval_score_scorer(0.9)(model, X, y) == pytest.approx(
        -interval_score(y, *np.exp(norm.ppf([[0.05], [0.95]])) * np.ones(5000), 0.9)
    )
    # Exact: twice the integral of F (1 - F) over the density, here by the sample itself.
    spread = np.abs(y[:, None] - y[::10]).mean() / 2
    assert neg_crps_scorer(model, X, y) == pytest.approx(-spread, rel=0.02)


def test_quantiles_go_through_a_curved_and_a_falling_transform():
    """Of which moments cannot be taken back; the order of levels stays."""
    X, y = np.zeros((500, 1)), np.exp(-norm.ppf((np.arange(500) + 0.5) / 500))
    outer = TransformedTargetRegressor(Skewed(), func=lambda v: 1 / v, inverse_func=lambda v: 1 / v)
    outer = outer.fit(X, y)
    found = predict_quantiles(outer, X[:1], [0.1, 0.5, 0.9])
    np.testing.assert_allclose(found[0], np.exp(norm.ppf([0.1, 0.5, 0.9])))
    assert neg_calibration_error_scorer(outer, X, y) > -0.01
    assert predict_quantiles(BayesianRidge().fit(X, y), X, [0.5]) is None


def test_the_network_is_scored():
    """By its calibrated quantiles."""
    survey = make_soil_survey(n_samples=100, random_state=0)
    model = SpTGNNRegressor(time="date", base=None, n_members=2, max_epochs=2, random_state=0)
    model.fit(survey.data, survey.target)
    quantiles = model.predict_quantiles(survey.data, LEVELS)
    expected = -crps_of_quantiles(survey.target, quantiles, LEVELS)
    assert neg_crps_scorer(model, survey.data, survey.target) == pytest.approx(expected, rel=1e-5)


def test_scores_of_quantiles_are_those_of_the_distribution(rows):
    """199 quantiles: the same calibration error, and the CRPS within 1 %; a point mass is exact."""
    X, y = rows
    mean, std = BayesianRidge().fit(X, y).predict(X, return_std=True)
    quantiles = norm.ppf(LEVELS, mean[:, None], std[:, None])
    found = calibration_error_of_quantiles(y, quantiles, LEVELS)
    assert found == pytest.approx(expected_calibration_error(y, mean, std), abs=1e-9)
    found = crps_of_quantiles(y, quantiles, LEVELS)
    assert found == pytest.approx(crps_gaussian(y, mean, std), rel=0.01)
    certain = np.repeat(mean[:, None], 199, axis=1)
    assert crps_of_quantiles(y, certain, LEVELS) == pytest.approx(np.abs(y - mean).mean())


@pytest.mark.parametrize(
    ("quantiles", "levels", "message"),
    [
        ([[1.0, 2.0]], [0.5], "a column for each of 1 levels"),
        ([[1.0, 2.0]], [0.9, 0.1], "levels must rise"),
        ([[1.0, 2.0]], [0.1, 0.8], "symmetric around 0.5"),
        ([[1.0, np.nan]], [0.1, 0.9], "quantiles contains NaN"),
    ],
)
def test_quantiles_that_do_not_fit_are_refused(quantiles, levels, message):
    """The error names the argument."""
    for score in (crps_of_quantiles, calibration_error_of_quantiles):
        with pytest.raises(ValueError, match=message):
            score([0.0], quantiles, levels)
    message = r"^A central interval has two levels; levels holds one\.$"
    with pytest.raises(ValueError, match=message):
        calibration_error_of_quantiles([0.0], [[1.0]], [0.5])


def test_intervals_of_quantiles_are_closed():
    """Values at a limit are inside, and two levels make an interval."""
    quantiles = [[0.0, 1.0]] * 4
    found = calibration_error_of_quantiles([0.0, 1.0, -1.0, 2.0], quantiles, [0.25, 0.75])
    assert found == 0.0


@pytest.mark.parametrize("score", [crps_of_quantiles, calibration_error_of_quantiles])
def test_what_is_no_quantile_is_named(score):
    """Equal levels, and what is not finite; numbers may be texts, as in a table that was read."""
    with pytest.raises(ValueError, match="levels must rise and be symmetric"):
        score([0.0], [[-1.0, 0.0, 0.0, 1.0]], [0.25, 0.5, 0.5, 0.75])
    with pytest.raises(ValueError, match=r"y .*NaN"):
        score([np.nan], [[0.0, 1.0]], [0.25, 0.75])
    with pytest.raises(ValueError, match=r"levels .*inf"):
        score([0.0], [[0.0, 1.0]], [-np.inf, np.inf])
    assert np.isfinite(score([0.0], np.array([["0", "1"]]), [0.25, 0.75]))


def test_a_model_without_uncertainty_is_refused(rows):
    """The message names it and what it lacks."""
    X, y = rows
    with pytest.raises(TypeError, match=r"LinearRegression has no predict\(X, return_std=True\)"):
        neg_crps_scorer(make_pipeline(LinearRegression()).fit(X, y), X, y)


@pytest.mark.parametrize(
    "make", [make_interval_score_scorer, make_interval_coverage_scorer, make_tail_coverage_scorer]
)
@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_a_coverage_that_cannot_be_is_refused(make, coverage):
    with pytest.raises(ValueError, match=f"coverage must lie between 0 and 1; found {coverage}"):
        make(coverage)


def test_coverage_is_that_of_mapie(rows):
    """Shares inside, below and above add up to one."""
    X, y = rows
    mean, std = BayesianRidge().fit(X, y).predict(X, return_std=True)
    low, high = mean - std, mean + std
    inside = interval_coverage(y, low, high)
    assert inside == pytest.approx(regression_coverage_score(y, np.c_[low, high])[0], abs=1e-12)
    assert inside + sum(tail_coverage(y, low, high)) == pytest.approx(1)


def test_the_calibration_error_is_a_plain_mean_over_levels(rows):
    """Mean absolute calibration error, level by level: |p - share of |z| within the p interval|."""
    X, y = rows
    mean, std = BayesianRidge().fit(X, y).predict(X, return_std=True)
    gaps = []
    for i in range(1, 100):
        half = norm.ppf(0.5 + i / 200) * std
        gaps.append(abs(i / 100 - np.mean(np.abs(y - mean) <= half)))
    assert expected_calibration_error(y, mean, std) == pytest.approx(np.mean(gaps), abs=1e-12)
    nominal, observed = reliability_curve(y, mean, std)
    assert np.abs(nominal - observed).mean() == pytest.approx(np.mean(gaps), abs=1e-12)
