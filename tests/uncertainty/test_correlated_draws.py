"""Keyed random numbers, joint draws, and the coverage of regional means."""

import numpy as np
import pytest
from scipy.stats import kstest

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.uncertainty.correlated_draws import (
    SCORES,
    keyed_normals,
    quantiles_at_scores,
    row_keys,
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


def test_calls_with_one_seed_are_joint_draws(survey, model):
    """Parts equal the whole, and identical rows share their noise, other dates do not."""
    whole = model.sample_y(survey.data, 50, random_state=7)
    order = np.random.RandomState(0).permutation(len(whole))
    np.testing.assert_allclose(model.sample_y(survey.data.iloc[order], 50, 7), whole[order])
    parts = [model.sample_y(survey.data[rows], 50, 7) for rows in (slice(0, 33), slice(33, None))]
    np.testing.assert_allclose(np.vstack(parts), whole, rtol=1e-4)
    later = survey.data.assign(date=survey.data["date"] + np.timedelta64(4 * 365, "D"))
    assert np.abs(model.sample_y(later, 50, 7) - whole).min() > 0


def test_random_numbers_are_functions_of_key_column_and_seed():
    """They are standard normal, and neither keys, columns nor seeds are correlated."""
    keys = np.arange(300, dtype=np.uint64)
    draws = keyed_normals(keys, 400, seed=1)
    assert draws.shape == (300, 400)
    assert kstest(draws.ravel(), "norm").pvalue > 0.001
    np.testing.assert_array_equal(keyed_normals(keys[7:9], 400, seed=1), draws[7:9])
    np.testing.assert_array_equal(keyed_normals(keys, 20, seed=1), draws[:, :20])
    others = (keyed_normals(keys, 400, seed=2), draws[:, ::-1], draws[::-1])
    for other in others:
        assert abs(np.corrcoef(draws.ravel(), other.ravel())[0, 1]) < 0.01


def test_keys_are_those_of_the_values():
    """Minus zero is zero, missing values are equal, and the column counts."""
    values = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [np.nan, 1.0], [-np.nan, 1.0]])
    keys = row_keys([values])
    assert keys.dtype == np.uint64
    assert keys[0] == keys[1] and keys[3] == keys[4]
    assert len(set(keys.tolist())) == 3
    np.testing.assert_array_equal(row_keys([values[:, 0], values[:, 1]]), keys)
    numbers = np.random.RandomState(0).normal(size=100_000)
    assert len(set(row_keys([numbers]).tolist())) > 99_900
    np.testing.assert_array_equal(row_keys([numbers[:99] * (1 + 1e-15)]), row_keys([numbers[:99]]))


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
