"""Scorers of uncertainty: their values, and use in scikit-learn's searches with weights."""

import pickle

import numpy as np
import pytest
import sklearn
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.meta_estimators import predict_quantiles
from sptgnn_sklearn.metrics import (
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
    rpiq_scorer,
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


def test_scores_equal_negative_metrics(rows):
    """Each scorer is minus the metric of predicted means and standard deviations."""
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
def test_scorers_find_uncertainty_inside_wrappers(rows, wrap):
    """The score of a linear model hardly changes with the scaling of its inputs."""
    X, y = rows
    direct = BayesianRidge().fit(X, y)
    wrapped = wrap(BayesianRidge()).fit(X, y)
    expected = neg_crps_scorer(direct, X, y)
    assert neg_crps_scorer(wrapped, X, y) == pytest.approx(expected, rel=0.02)


def test_scorers_in_searches(rows):
    """A search by CRPS finds the simulated noise; all scorers work together, also if pickled."""
    X, y = rows
    model = make_pipeline(
        StandardScaler(), GaussianProcessRegressor(RBF() + WhiteKernel(0.3), optimizer=None)
    )
    grid = {"gaussianprocessregressor__kernel__k2__noise_level": [1e-4, 1.0, 100.0]}
    search = GridSearchCV(model, grid, scoring=neg_crps_scorer, cv=3).fit(X, y)
    assert list(search.best_params_.values()) == [1.0]
    copies = pickle.loads(pickle.dumps(SCORERS))
    result = cross_validate(clone(model), X, y, scoring=copies, cv=3)
    assert all(np.isfinite(result[f"test_{name}"]).all() for name in SCORERS)
    assert repr(copies["interval"]) == "make_interval_score_scorer(0.8)"
    assert repr(copies["crps"]) == "neg_crps_scorer"


LEVELS = np.arange(1, 200) / 200


class Skewed(RegressorMixin, BaseEstimator):
    """Predicts a lognormal distribution, by quantiles and by moments."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X, return_std=False):
        mean = np.full(len(X), np.exp(0.5))
        return (mean, mean * np.sqrt(np.e - 1)) if return_std else mean

    def predict_quantiles(self, X, quantiles):
        return np.tile(np.exp(norm.ppf(quantiles)), (len(X), 1))


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: make_pipeline("passthrough", m)])
def test_skewed_distribution_is_scored_by_quantiles(wrap):
    """True quantiles have no calibration error, unlike a normal distribution with their moments."""
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
    # The exact CRPS is half the expected difference of two draws.
    spread = np.abs(y[:, None] - y[::10]).mean() / 2
    assert neg_crps_scorer(model, X, y) == pytest.approx(-spread, rel=0.02)


def test_quantiles_through_decreasing_target_transform():
    """Quantiles keep the order of levels where moments cannot be transformed back."""
    X, y = np.zeros((500, 1)), np.exp(-norm.ppf((np.arange(500) + 0.5) / 500))
    model = TransformedTargetRegressor(Skewed(), func=lambda v: 1 / v, inverse_func=lambda v: 1 / v)
    model = model.fit(X, y)
    result = predict_quantiles(model, X[:1], [0.1, 0.5, 0.9])
    np.testing.assert_allclose(result[0], np.exp(norm.ppf([0.1, 0.5, 0.9])))
    assert neg_calibration_error_scorer(model, X, y) > -0.01
    assert predict_quantiles(BayesianRidge().fit(X, y), X, [0.5]) is None


def test_network_is_scored_by_calibrated_quantiles():
    """The CRPS scorer of the network uses predict_quantiles."""
    survey = make_soil_survey(n_samples=100, random_state=0)
    settings = {"base_estimator": None, "n_estimators": 2, "max_epochs": 2, "random_state": 0}
    model = SpTGNNRegressor(time="date", **settings)
    model.fit(survey.data, survey.target)
    quantiles = model.predict_quantiles(survey.data, LEVELS)
    expected = -crps_of_quantiles(survey.target, quantiles, LEVELS)
    assert neg_crps_scorer(model, survey.data, survey.target) == pytest.approx(expected, rel=1e-5)


def test_model_without_uncertainty_raises(rows):
    """The error names the estimator and the missing method."""
    X, y = rows
    with pytest.raises(TypeError, match=r"LinearRegression has no predict\(X, return_std=True\)"):
        neg_crps_scorer(make_pipeline(LinearRegression()).fit(X, y), X, y)


@pytest.mark.parametrize(
    "make", [make_interval_score_scorer, make_interval_coverage_scorer, make_tail_coverage_scorer]
)
@pytest.mark.parametrize("coverage", [0, 1, 90])
def test_invalid_coverage_raises(make, coverage):
    """The coverage is a fraction."""
    with pytest.raises(ValueError, match=f"coverage .*found {coverage}"):
        make(coverage)


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("has_quantiles", [False, True])
def test_weight_equals_repetition(name, has_quantiles, weight, rows):
    """A weight of 2 in a scorer equals repeating the row, for quantiles and for moments."""
    X, y = rows[0][:25], np.exp(rows[1][:25] / 5)
    model = Skewed() if has_quantiles else BayesianRidge()
    model.fit(X, y)
    result = SCORERS[name](model, X, y, sample_weight=weight)
    expected = SCORERS[name](model, np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert result == pytest.approx(expected, rel=1e-9)
    if name != "ccc" or not has_quantiles:  # constant predictions have no correlation
        assert result != pytest.approx(SCORERS[name](model, X, y), rel=1e-6)


def test_searches_pass_weights_to_scorers(rows):
    """Weights of the rows of a fold reach the scorer, with and without metadata routing."""
    X, y = rows
    weight = np.random.RandomState(1).randint(1, 5, size=len(y)).astype(float)
    expected = []
    folds = KFold(3)
    for train, test in folds.split(X):
        model = BayesianRidge().fit(X[train], y[train], sample_weight=weight[train])
        expected.append(neg_crps_scorer(model, X[test], y[test], sample_weight=weight[test]))
        assert expected[-1] != neg_crps_scorer(model, X[test], y[test])
    search = GridSearchCV(BayesianRidge(), {"max_iter": [300]}, scoring=neg_crps_scorer, cv=folds)
    search.fit(X, y, sample_weight=weight)
    results = [search.cv_results_[f"split{fold}_test_score"][0] for fold in range(3)]
    if parse_version(sklearn.__version__) >= parse_version("1.7"):  # before, only with routing
        np.testing.assert_allclose(results, expected)
    with sklearn.config_context(enable_metadata_routing=True):
        model = BayesianRidge().set_fit_request(sample_weight=True)
        params = {"sample_weight": weight}
        scorer = neg_crps_scorer.set_score_request(sample_weight=True)
        routed = cross_validate(model, X, y, cv=folds, scoring=scorer, params=params)
        np.testing.assert_allclose(routed["test_score"], expected)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            cross_validate(model, X, y, cv=folds, scoring=neg_crps_scorer, params=params)
