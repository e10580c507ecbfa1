"""Joint draws: the correlation of errors is found again, and regional means are covered."""

import numpy as np
import pytest
from scipy.stats import kstest

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.error_correlation import (
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
        n_members=2,
        max_epochs=5,
        random_state=0,
    ).fit(survey.data, survey.target)


@pytest.mark.parametrize(("share", "reach"), [(0.9, 20.0), (0.5, 60.0)])
def test_the_correlation_is_found_again(share, reach):
    """Fitted to many draws on average, it is that which they were drawn from."""
    rng = np.random.RandomState(0)
    positions = rng.uniform(0, 200, size=(1500, 2))
    draws = ErrorCorrelogram(share, reach).draw(positions, 12, rng)
    found = [ErrorCorrelogram.fit(draw, positions, rng) for draw in draws.T]
    assert np.mean([one.share for one in found]) == pytest.approx(share, abs=0.12)
    assert np.median([one.practical_range for one in found]) == pytest.approx(reach, rel=0.3)


def test_errors_that_have_nothing_in_common_get_no_correlation():
    """Independent errors: nearly none is found; too few rows: none at all."""
    rng = np.random.RandomState(0)
    positions = rng.uniform(size=(2000, 2))
    found = ErrorCorrelogram.fit(rng.normal(size=2000), positions, rng)
    assert found.share * matern_correlation(0.05, found.practical_range) < 0.1
    assert ErrorCorrelogram.fit(np.ones(3), positions[:3], rng).share == 0
    assert ErrorCorrelogram.fit(np.ones(50), np.zeros((50, 2)), rng).share == 0


def test_draws_have_the_covariance_they_claim():
    """Standard normal at every place, and alike by distance as the formula says."""
    rng = np.random.RandomState(0)
    positions = np.column_stack([np.array([0.0, 3.0, 10.0, 30.0, 500.0]), np.zeros(5)])
    draws = ErrorCorrelogram(0.8, 30.0).draw(positions, 20_000, rng)
    expected = 0.8 * matern_correlation(positions[:, 0], 30.0)
    expected[0] = 1.0
    np.testing.assert_allclose(np.cov(draws)[0], expected, atol=0.08)
    np.testing.assert_allclose(draws.var(axis=1), 1, atol=0.05)


def test_values_at_scores_are_quantiles():
    """Exact at the knots and for normal rows, in between and beyond."""
    rows = np.array([[3.0], [-1.0]]) + np.array([[2.0], [0.5]]) * SCORES
    scores = np.array([[-4.5, 0.1, 4.0], [-4.0, 0.0, 5.0]])
    expected = np.array([[3.0], [-1.0]]) + np.array([[2.0], [0.5]]) * scores
    np.testing.assert_allclose(quantiles_at_scores(rows, scores), expected)


def test_each_row_alone_follows_its_quantiles(survey, model):
    """Over draws a row's own levels are uniform."""
    X = survey.data.head(5)
    draws = model.sample(X, 2000, random_state=0)
    levels = np.linspace(0.01, 0.99, 99)
    quantiles = model.predict_quantiles(X, levels)
    for row, known in zip(draws, quantiles, strict=True):
        reached = np.interp(row, known, levels)
        inside = (reached > 0.01) & (reached < 0.99)
        assert kstest((reached[inside] - 0.01) / 0.98, "uniform").statistic < 0.06


def test_the_same_seed_gives_the_same_draws_wherever_they_are_cut(survey, model):
    """The part that rows share is a function of the place: tiles fit together."""
    whole = model.sample(survey.data, 3, random_state=7)
    np.testing.assert_array_equal(whole, model.sample(survey.data, 3, random_state=7))
    assert not np.array_equal(whole, model.sample(survey.data, 3, random_state=8))
    positions = np.random.RandomState(0).uniform(size=(100, 2))
    shared = ErrorCorrelogram(1.0, 0.3)
    one = shared.draw(positions, 4, np.random.RandomState(1))
    other = shared.draw(positions[60:], 4, np.random.RandomState(1))
    np.testing.assert_allclose(one[60:], other, atol=1e-4)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "many"])
def test_a_number_of_draws_that_cannot_be_is_refused(survey, model, n_samples):
    """The message says what was found."""
    with pytest.raises(ValueError, match=f"n_samples must be.*{n_samples!r}"):
        model.sample(survey.data, n_samples)


@pytest.mark.slow
def test_means_over_regions_are_covered():
    """The 90 % interval of a block's mean holds the truth about as often as that.

    Rows that err by themselves would promise far too much.
    """
    joint, network_only = [], []
    for seed in range(8):
        survey = make_soil_survey(n_samples=1000, random_state=seed)
        X, y = survey.data, survey.target.to_numpy()
        model = SpTGNNRegressor(time="date", elevation="elevation", random_state=0)
        model.fit(X[:400], y[:400])
        test, observed = X[400:], y[400:]
        draws = model.sample(test, 400, random_state=0)
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
            network_only.append(abs(draws[rows].mean() - truth) <= width)
    assert np.mean(joint) == pytest.approx(0.9, abs=0.08)
    assert np.mean(network_only) < 0.8
