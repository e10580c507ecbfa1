"""Conformal limits against order statistics, and their coverage."""

import numpy as np
import pytest
from mapie import conformity_scores
from mapie.regression import SplitConformalRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.conformal import (
    certified_rows,
    conformal_limits,
    uncertified_limits,
)


def test_limits_are_order_statistics():
    """Of n scores the k-th from either end, k = floor((n + 1) alpha / 2)."""
    scores = np.random.RandomState(0).normal(size=997)
    low, high = conformal_limits(scores, 0.9)
    assert (low, high) == tuple(np.sort(scores)[[48, -49]])


def test_limits_widen_where_errors_are_too_few():
    """20 errors are enough for 90 %; with none, half as many errors are outside, in proportion."""
    scores = np.random.RandomState(0).permutation(999).astype(float)
    number = np.array([1e6, 20.0, 19.999, 10.0, 0.0])
    limits = np.array(conformal_limits(scores, 0.9))
    found = uncertified_limits(scores, 0.9, number, limits)
    np.testing.assert_array_equal(found[:2], [limits, limits])
    # Ranks floor(50 (1 + n / 20) / 2) of 999 scores, which equal their positions.
    np.testing.assert_array_equal(found[2:], [[48, 950], [36, 962], [24, 974]])
    assert certified_rows(0.9, number).tolist() == [True, True, False, False, False]
    assert certified_rows(0.95, np.array([39.9, 40.0])).tolist() == [False, True]
    assert certified_rows(0.5, np.array([3.9, 4.0])).tolist() == [False, True]


def test_average_coverage_is_nominal():
    """The coverage averaged over many small samples of held-out rows is the nominal one."""
    rng = np.random.RandomState(0)
    results = []
    for _ in range(400):
        low, high = conformal_limits(rng.standard_t(3, size=39), 0.9)
        new = rng.standard_t(3, size=500)
        results.append(np.mean((low <= new) & (new <= high)))
    assert np.mean(results) == pytest.approx(0.9, abs=0.01)


def test_limits_equal_those_of_standardized_scores():
    """MAPIE's score for models with predicted standard deviations gives the same intervals."""
    if not hasattr(conformity_scores, "StdConformityScore"):
        pytest.skip("this version of MAPIE has no such score")
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, size=(300, 1))
    y = np.sin(X[:, 0]) + 0.2 * rng.normal(size=300)
    model = GaussianProcessRegressor(RBF() + WhiteKernel(), random_state=0).fit(X[:60], y[:60])
    mapie = SplitConformalRegressor(
        model,
        confidence_level=0.8,
        conformity_score=conformity_scores.StdConformityScore(sym=False),
        prefit=True,
    ).conformalize(X[60:160], y[60:160])
    _, expected = mapie.predict_interval(X[160:])
    mean, std = model.predict(X[60:160], return_std=True)
    low, high = conformal_limits((y[60:160] - mean) / std, 0.8)
    mean, std = model.predict(X[160:], return_std=True)
    result = np.column_stack([mean + low * std, mean + high * std])
    np.testing.assert_allclose(result, expected[:, :, 0], rtol=1e-6)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 1.5, 0.95])
def test_invalid_coverage_raises(coverage):
    """Coverage outside (0, 1), or too close to 0 or 1 for the number of rows, is named."""
    with pytest.raises(ValueError, match=f"coverage.*{coverage}"):
        conformal_limits(np.arange(39.0), coverage)


def test_intervals_of_the_estimator_reach_nominal_coverage():
    """Coverage on new rows of two data sets is nominal, and wider intervals contain narrower ones.

    Coverages of a single data set share the same held-out rows and vary together.
    """
    inside: dict[float, list[np.ndarray]] = {0.5: [], 0.8: [], 0.95: []}
    for seed in (2, 3):
        survey = make_soil_survey(n_samples=800, random_state=seed)
        model = SpTGNNRegressor(
            time="date",
            elevation="elevation",
            base_estimator="xgboost",
            target_transform="auto",
            random_state=0,
        )
        model.fit(survey.data[:400], survey.target[:400])
        test, observed = survey.data[400:], survey.target[400:].to_numpy()
        before = None
        for coverage, result in inside.items():
            low, high = model.predict_interval(test, coverage).T
            result.append((low <= observed) & (observed <= high))
            assert before is None or ((low <= before[0]) & (before[1] <= high)).all()
            before = low, high
    for coverage, result in inside.items():
        assert np.mean(result) == pytest.approx(coverage, abs=0.07)
    with pytest.raises(ValueError, match="coverage"):
        model.predict_interval(test, 1.2)
