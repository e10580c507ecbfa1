"""Correlogram of errors, joint draws, and the coverage of regional means."""

import numpy as np
import pytest
from scipy.stats import kstest

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.correlated_draws import (
    SCORES,
    ErrorCorrelogram,
    matern_correlation,
    quantiles_at_scores,
)


@pytest.fixture(scope="module")
def survey():
    return make_soil_survey(n_samples=200, random_state=0)


@pytest.fixture(scope="module")
def model(survey):
    return SpTGNNRegressor(
        time="date",
        elevation="elevation",
        target_transform="auto",
        n_estimators=2,
        max_epochs=5,
        random_state=0,
    ).fit(survey.data, survey.target)


@pytest.mark.parametrize(("share", "practical_range"), [(0.9, 20.0), (0.5, 60.0)])
def test_correlogram_is_recovered_from_draws(share, practical_range):
    """Correlograms fitted to many draws agree on average with the true one."""
    rng = np.random.RandomState(0)
    positions = rng.uniform(0, 200, size=(1500, 2))
    draws = ErrorCorrelogram(share, practical_range).draw(positions, 12, rng)
    results = [ErrorCorrelogram.fit(draw, positions, rng) for draw in draws.T]
    assert np.mean([one.share for one in results]) == pytest.approx(share, abs=0.12)
    assert np.median([one.practical_range for one in results]) == pytest.approx(
        practical_range, rel=0.3
    )


def test_independent_errors_get_no_correlation():
    """Independent errors give nearly no correlation, too few or coincident rows exactly none."""
    rng = np.random.RandomState(0)
    positions = rng.uniform(size=(2000, 2))
    result = ErrorCorrelogram.fit(rng.normal(size=2000), positions, rng)
    assert result.share * matern_correlation(0.05, result.practical_range) < 0.1
    assert ErrorCorrelogram.fit(np.ones(3), positions[:3], rng).share == 0
    assert ErrorCorrelogram.fit(np.ones(50), np.zeros((50, 2)), rng).share == 0


def test_draws_have_the_covariance_of_the_correlogram():
    """Draws have unit variance at every position, and the correlation of the formula."""
    rng = np.random.RandomState(0)
    positions = np.column_stack([np.array([0.0, 3.0, 10.0, 30.0, 500.0]), np.zeros(5)])
    draws = ErrorCorrelogram(0.8, 30.0).draw(positions, 20_000, rng)
    expected = 0.8 * matern_correlation(positions[:, 0], 30.0)
    expected[0] = 1.0
    np.testing.assert_allclose(np.cov(draws)[0], expected, atol=0.08)
    np.testing.assert_allclose(draws.var(axis=1), 1, atol=0.05)


def test_quantiles_at_scores_of_normal_rows():
    """The interpolation is exact for normal rows, at, between and beyond the knots."""
    rows = np.array([[3.0], [-1.0]]) + np.array([[2.0], [0.5]]) * SCORES
    scores = np.array([[-4.5, 0.1, 4.0], [-4.0, 0.0, 5.0]])
    expected = np.array([[3.0], [-1.0]]) + np.array([[2.0], [0.5]]) * scores
    np.testing.assert_allclose(quantiles_at_scores(rows, scores), expected)


def test_draws_of_each_row_follow_its_quantiles(survey, model):
    """The levels that the draws of a row reach are uniform."""
    X = survey.data.head(5)
    draws = model.sample_y(X, 2000, random_state=0)
    levels = np.linspace(0.01, 0.99, 99)
    quantiles = model.predict_quantiles(X, levels)
    for row, known in zip(draws, quantiles, strict=True):
        reached = np.interp(row, known, levels)
        inside = (reached > 0.01) & (reached < 0.99)
        assert kstest((reached[inside] - 0.01) / 0.98, "uniform").statistic < 0.06


def test_draws_depend_on_seed_and_position_only(survey, model):
    """The correlated part is a function of the position, so that adjacent tiles are continuous."""
    whole = model.sample_y(survey.data, 3, random_state=7)
    np.testing.assert_array_equal(whole, model.sample_y(survey.data, 3, random_state=7))
    assert not np.array_equal(whole, model.sample_y(survey.data, 3, random_state=8))
    positions = np.random.RandomState(0).uniform(size=(100, 2))
    correlogram = ErrorCorrelogram(1.0, 0.3)
    one = correlogram.draw(positions, 4, np.random.RandomState(1))
    other = correlogram.draw(positions[60:], 4, np.random.RandomState(1))
    np.testing.assert_allclose(one[60:], other, atol=1e-4)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "many"])
def test_invalid_number_of_draws_raises(survey, model, n_samples):
    """The error names n_samples and the value found."""
    with pytest.raises(ValueError, match=f"n_samples must be.*{n_samples!r}"):
        model.sample_y(survey.data, n_samples)


@pytest.mark.slow
def test_intervals_of_regional_means_are_calibrated():
    """The 90 % intervals of block means have about nominal coverage.

    Intervals that assume independent errors are much too narrow.
    """
    joint, independent = [], []
    for seed in range(8):
        survey = make_soil_survey(n_samples=1000, random_state=seed)
        X, y = survey.data, survey.target.to_numpy()
        model = SpTGNNRegressor(time="date", elevation="elevation", random_state=0)
        model.fit(X[:400], y[:400])
        test, observed = X[400:], y[400:]
        draws = model.sample_y(test, 400, random_state=0)
        std = model.predict_uncertainty(test)["std"].to_numpy()
        east, north = (
            np.digitize(test[name], np.quantile(test[name], [1 / 3, 2 / 3]))
            for name in ("lon", "lat")
        )
        for block in range(9):
            rows = 3 * east + north == block
            truth = observed[rows].mean()
            low, high = np.quantile(draws[rows].mean(axis=0), [0.05, 0.95])
            joint.append(low <= truth <= high)
            width = 1.645 * np.sqrt((std[rows] ** 2).sum()) / rows.sum()
            independent.append(abs(draws[rows].mean() - truth) <= width)
    assert np.mean(joint) == pytest.approx(0.9, abs=0.08)
    assert np.mean(independent) < 0.8


@pytest.mark.parametrize("seed", [12, 30, 86])
def test_flat_optima_are_no_error(seed):
    """For these uncorrelated errors the optimizer stops at its limit of evaluations."""
    rng = np.random.RandomState(seed)
    positions, score = rng.uniform(size=(300, 2)), rng.normal(size=300)
    fitted = ErrorCorrelogram.fit(score, positions, rng)
    correlation = fitted.share * matern_correlation(np.array([0.1]), fitted.practical_range)
    assert abs(correlation[0]) < 0.2
