"""Correlogram of errors in space and time: fits to draws from a known one, and its draws."""

import numpy as np
import pytest

from sptgnn_sklearn.uncertainty.error_correlogram import ErrorCorrelogram, matern_correlation

N = 1000


def draw_errors(correlogram, seed, n=N, years=8, visits=1):
    """Return errors, positions and times of random rows; a place is visited `visits` times."""
    rng = np.random.default_rng(seed)
    places = np.tile(rng.uniform(0, 100, (n // visits, 2)), (visits, 1))
    time = 2010 + rng.uniform(0, years, n)
    keys = np.arange(n, dtype=np.uint64)
    return correlogram.draw(places, time, keys, 1, seed=seed)[:, 0], places, time


@pytest.mark.parametrize(("share", "practical_range"), [(0.9, 20.0), (0.5, 60.0)])
def test_spatial_correlogram_is_recovered(share, practical_range):
    """Correlograms fitted to many draws agree on average with the true one."""
    rng = np.random.RandomState(0)
    positions = rng.uniform(0, 200, size=(1500, 2))
    keys = np.arange(1500, dtype=np.uint64)
    draws = ErrorCorrelogram(share, practical_range).draw(positions, None, keys, 12, seed=0)
    results = [ErrorCorrelogram.fit(draw, positions, None, rng) for draw in draws.T]
    assert np.mean([one.share for one in results]) == pytest.approx(share, abs=0.12)
    assert np.median([one.practical_range for one in results]) == pytest.approx(
        practical_range, rel=0.3
    )
    assert all(one.persistence == 1 and one.year_share == 0 for one in results)


@pytest.mark.parametrize("visits", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("persistence", [0.0, 0.5, 1.0])
def test_space_time_correlogram_is_recovered(persistence, visits):
    """The range within a factor of 1.5 in three of four samples, and the persistence on average."""
    known = ErrorCorrelogram(0.5, 30.0, persistence, 4.0)
    found = [
        ErrorCorrelogram.fit(*draw_errors(known, seed, visits=visits), np.random.RandomState(0))
        for seed in range(8)
    ]
    ranges = np.array([one.practical_range for one in found])
    assert np.mean((ranges > 20) & (ranges < 45)) >= 0.75
    assert np.mean([one.share for one in found]) == pytest.approx(0.5, abs=0.1)
    assert all(one.knows_time for one in found)
    assert np.mean([one.persistence for one in found]) == pytest.approx(persistence, abs=0.2)
    if persistence == 0:
        assert np.median([one.time_range for one in found]) == pytest.approx(4.0, rel=0.5)


def test_errors_that_years_share_are_recovered():
    """With 30 years; a share of 0 is found in most samples without one."""
    known = ErrorCorrelogram(0.2, 30.0, 0.5, 4.0, year_share=0.3)
    none = ErrorCorrelogram(0.2, 30.0, 0.5, 4.0)
    found = [
        [
            ErrorCorrelogram.fit(*draw_errors(one, seed, years=30), np.random.RandomState(0))
            for seed in range(6)
        ]
        for one in (known, none)
    ]
    assert np.mean([one.year_share for one in found[0]]) == pytest.approx(0.3, abs=0.1)
    assert sum(one.year_share == 0 for one in found[1]) >= 4


def test_independent_errors_get_no_correlation():
    """Less than 0.1 in 17 of 20 samples; too few or coincident rows have exactly none."""
    none = ErrorCorrelogram(0.0, 1.0)
    found = [
        ErrorCorrelogram.fit(*draw_errors(none, seed, n=600), np.random.RandomState(0))
        for seed in range(20)
    ]
    near = [one.correlation(1.0, 0.0, True) for one in found]
    assert sum(value < 0.1 for value in near) >= 17
    rng = np.random.RandomState(0)
    many = rng.uniform(size=(2000, 2))
    fitted = ErrorCorrelogram.fit(rng.normal(size=2000), many, None, rng)
    assert fitted.correlation(0.05, 0.0, False) < 0.1
    positions = many[:50]
    for score, places in ((np.ones(3), positions[:3]), (np.ones(50), np.zeros((50, 2)))):
        assert ErrorCorrelogram.fit(score, places, None, rng).share == 0
    assert ErrorCorrelogram.fit(np.zeros(50), positions, np.arange(50.0), rng).share == 0


@pytest.mark.parametrize("seed", [12, 30, 86])
def test_flat_optima_are_no_error(seed):
    """For these uncorrelated errors an optimizer stops at its limit of evaluations."""
    rng = np.random.RandomState(seed)
    positions, score = rng.uniform(size=(300, 2)), rng.normal(size=300)
    fitted = ErrorCorrelogram.fit(score, positions, None, rng)
    assert abs(fitted.correlation(0.1, 0.0, False)) < 0.2


def test_unknown_time_gives_changes_the_largest_error():
    """Dates of one year cannot tell: errors in different years are independent."""
    score, places, _ = draw_errors(ErrorCorrelogram(0.8, 30.0), 0)
    fitted = ErrorCorrelogram.fit(score, places, np.full(N, 2012.5), np.random.RandomState(0))
    assert fitted.share == pytest.approx(0.8, abs=0.15)
    assert not fitted.knows_time
    assert fitted.correlation(0.0, 0.0, True) > 0.6
    assert fitted.correlation(0.0, 3.0, False) == pytest.approx(fitted.level_share, abs=1e-3)
    alone = ErrorCorrelogram.fit(score, places, None, np.random.RandomState(0))
    assert alone.correlation(0.0, 3.0, False) == alone.share + alone.level_share
    missing = ErrorCorrelogram.fit(score, places, np.full(N, np.nan), np.random.RandomState(0))
    assert missing.persistence == 0


def test_level_is_the_variance_of_the_mean_error():
    """Of independent rows 1 / n; of correlated ones the average of their correlations."""
    rng = np.random.RandomState(0)
    places = rng.uniform(0, 100, (400, 2))
    independent = ErrorCorrelogram.fit(rng.normal(size=400), places, None, rng)
    assert 1 / 400 <= independent.level_share < 0.02
    keys = np.arange(400, dtype=np.uint64)
    known = ErrorCorrelogram(0.9, 40.0)
    score = known.draw(places, None, keys, 1, seed=1)[:, 0]
    fitted = ErrorCorrelogram.fit(score, places, None, rng)
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    spatial = fitted.share * matern_correlation(distance, fitted.practical_range)
    np.fill_diagonal(spatial, 1.0)
    assert fitted.level_share == pytest.approx(spatial.mean(), rel=0.02)


def test_draws_have_the_covariance_of_the_correlogram():
    """In space, in time, within years, and at unknown dates, with unit variance everywhere."""
    known = ErrorCorrelogram(0.6, 30.0, 0.5, 4.0, year_share=0.2)
    places = np.column_stack([[0.0, 0.0, 0.0, 10.0, 30.0, 500.0, 0.0], np.zeros(7)])
    time = np.array([2012.1, 2012.9, 2014.1, 2012.1, 2012.1, 2012.1, np.nan])
    draws = known.draw(places, time, np.arange(7, dtype=np.uint64), 20_000, seed=0)
    np.testing.assert_allclose(draws.var(axis=1), 1, atol=0.05)
    expected = known.correlation(
        places[:6, 0], np.abs(time[:6] - time[0]), np.floor(time[:6]) == 2012
    )
    expected[0] = 1.0
    np.testing.assert_allclose(np.cov(draws)[0, :6], expected, atol=0.08)


def test_draws_are_functions_of_place_time_and_key():
    """Parts equal the whole; rows of equal keys are equal."""
    known = ErrorCorrelogram(0.6, 0.3, 0.5, 4.0, year_share=0.2)
    rng = np.random.RandomState(0)
    places, time = rng.uniform(size=(100, 2)), 2010 + rng.uniform(0, 5, 100)
    keys = np.arange(100, dtype=np.uint64)
    whole = known.draw(places, time, keys, 4, seed=1)
    part = known.draw(places[60:], time[60:], keys[60:], 4, seed=1)
    np.testing.assert_allclose(part, whole[60:], atol=1e-4)
    assert not np.allclose(known.draw(places, time, keys, 4, seed=2), whole)
    twice = known.draw(places[[0, 0]], time[[0, 0]], keys[[0, 0]], 4, seed=1)
    np.testing.assert_array_equal(twice[0], twice[1])
    other = known.draw(places[[0, 0]], time[[0, 0]], keys[:2], 4, seed=1)
    assert (other[0] != other[1]).all()


def test_matern_correlation_at_the_practical_range():
    found = matern_correlation(np.array([0.0, 5.0, 10.0]), 10.0)
    assert found[0] == 1
    assert found[2] == pytest.approx(0.05, abs=1e-3)


def with_measurement_errors(errors, seed):
    """Return errors of variance 1, of which 4/5 is independent in half of the rows, and shares."""
    rng = np.random.default_rng(seed + 100)
    share = np.where(np.arange(len(errors)) % 2, 0.2, 1.0)
    return np.sqrt(share) * errors + np.sqrt(1 - share) * rng.normal(size=len(errors)), share


def test_correlogram_is_that_without_measurement_errors():
    """Independent errors in half of the rows hide the correlation unless their share is known."""
    positions = np.random.default_rng(0).uniform(0, 200, (N, 2))
    keys = np.arange(N, dtype=np.uint64)
    draws = ErrorCorrelogram(0.8, 60.0).draw(positions, None, keys, 8, seed=0)
    found = {True: [], False: []}
    for seed, draw in enumerate(draws.T):
        score, share = with_measurement_errors(draw, seed)
        for known, results in found.items():
            given = share if known else None
            rng = np.random.RandomState(0)
            results.append(ErrorCorrelogram.fit(score, positions, None, rng, given).share)
    assert np.mean(found[True]) == pytest.approx(0.8, abs=0.12)
    assert np.mean(found[False]) < 0.65


def test_correlation_in_time_is_that_without_measurement_errors():
    """Shares of place, time and year are those of errors without measurement errors."""
    known = ErrorCorrelogram(0.4, 30.0, 0.5, 4.0, year_share=0.3)
    found = []
    for seed in range(6):
        errors, positions, time = draw_errors(known, seed, years=30)
        score, share = with_measurement_errors(errors, seed)
        rng = np.random.RandomState(0)
        found.append(ErrorCorrelogram.fit(score, positions, time, rng, share))
    assert np.mean([one.share for one in found]) == pytest.approx(0.4, abs=0.12)
    assert np.mean([one.year_share for one in found]) == pytest.approx(0.3, abs=0.12)


def test_share_of_one_changes_nothing():
    """Errors without measurement error give the correlogram of no share, bit for bit."""
    errors = draw_errors(ErrorCorrelogram(0.5, 30.0, 0.5, 4.0), 0)
    plain, known = (
        ErrorCorrelogram.fit(*errors, np.random.RandomState(0), share)
        for share in (None, np.ones(N))
    )
    assert plain == known
