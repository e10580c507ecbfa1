"""Calibration recovers known factors and shapes, and changes little with few rows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import interval_coverage
from sptgnn_sklearn.uncertainty.calibration import (
    Calibration,
    CalibrationData,
    _error_shape,
    excess_variance,
)
from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs

N = 20_000


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def calibration_data(error, variance=None, excess=None, distance=None, weight=None):
    one = np.ones_like(error)
    return CalibrationData(
        error,
        one if variance is None else variance,
        0 * one if excess is None else excess,
        CalibrationInputs(distance),
        one if weight is None else weight,
        np.arange(len(error)),
    )


def test_no_calibration_changes_nothing(rng):
    """None gives the factor 1 and unchanged levels."""
    result = Calibration.fit(calibration_data(rng.normal(size=9)), None)
    assert result.factor(np.ones(3)) == 1.0
    levels = np.array([0.1, 0.5])
    assert result.adjust_levels(levels) is levels


@pytest.mark.parametrize("case", ["weight on one row", "rounding"])
def test_equal_distances_give_no_slope(rng, case):
    """The slope is 0 if one row has all the weight or distances differ by rounding only."""
    if case == "rounding":
        weights, distance = np.ones(30), 1000.0 + 1e-10 * rng.normal(size=30)
    else:
        weights, distance = np.where(np.arange(30) == 7, 1e14, 1e-320), np.arange(1.0, 31)
    result = Calibration.fit(
        calibration_data(rng.normal(size=30), distance=distance, weight=weights), "quantile"
    )
    assert result.slope == 0
    assert np.isfinite(result.log_factor)


@pytest.mark.parametrize("distance", [None, "same", "random"])
def test_constant_factor_is_recovered(rng, distance):
    """Errors twice as wide as predicted give a factor of 4, with and without distances."""
    known = {"same": np.ones(N), "random": rng.uniform(1, 100, size=N), None: None}[distance]
    result = Calibration.fit(calibration_data(2 * rng.normal(size=N), distance=known), "scale")
    np.testing.assert_allclose(result.factor(known), 4, rtol=0.06)


def test_factor_grows_with_distance_and_never_falls(rng):
    """A power law of distance is recovered; errors that fall with distance give no slope."""
    distance = np.exp(rng.uniform(0, 4, size=N))
    error = distance**0.25 * rng.normal(size=N)  # variance: square root of distance
    result = Calibration.fit(calibration_data(error, distance=distance), "scale")
    probe = np.array([2.0, 20.0])
    np.testing.assert_allclose(result.factor(probe), probe**0.5, rtol=0.06)
    assert result.factor(np.array([1e9])) == pytest.approx(result.factor(np.array([np.exp(4.0)])))
    assert np.isfinite(result.factor(np.array([0.0, np.inf]))).all()
    falling = Calibration.fit(calibration_data(error / distance**0.5, distance=distance), "scale")
    assert falling.slope == 0


def test_correct_variances_are_not_changed(rng):
    """Heteroscedastic errors with known variance get a factor of 1 and the same levels."""
    variance = np.exp(rng.normal(size=N))
    error = np.sqrt(variance) * rng.normal(size=N)
    result = Calibration.fit(calibration_data(error, variance=variance), "quantile")
    assert result.factor(None) == pytest.approx(1, rel=0.03)
    levels = np.array([0.05, 0.3, 0.5, 0.95])
    np.testing.assert_allclose(result.adjust_levels(levels), levels, atol=0.01)


def test_shape_of_heavy_tailed_and_shifted_errors_is_recovered(rng):
    """Quantiles at calibrated levels are those of the true distribution of errors."""
    for truth in (t(3, scale=1 / np.sqrt(3)), norm(loc=0.3, scale=0.9)):
        error = truth.rvs(size=N, random_state=rng)
        result = Calibration.fit(calibration_data(error), "quantile")
        levels = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
        found_quantiles = norm.ppf(result.adjust_levels(levels), scale=np.sqrt(result.factor(None)))
        np.testing.assert_allclose(found_quantiles, truth.ppf(levels), atol=0.12)


def test_adjusted_levels_are_monotone(rng):
    """Levels increase within [0, 1], also beyond those that the rows determine."""
    for n in (3, 30, 3000):
        result = Calibration.fit(calibration_data(rng.standard_t(2, size=n)), "quantile")
        levels = result.adjust_levels(np.linspace(1e-5, 1 - 1e-5, 4001))
        assert (np.diff(levels) >= 0).all()
        assert 0 <= levels[0] < levels[-1] <= 1


def test_few_rows_leave_the_shape_normal(rng):
    """Five rows change the levels of the tails by less than 0.06."""
    result = Calibration.fit(calibration_data(rng.normal(size=5)), "quantile")
    levels = np.array([0.05, 0.5, 0.95])
    np.testing.assert_allclose(result.adjust_levels(levels), levels, atol=0.06)


def test_weights_equal_repeated_rows(rng):
    """Weights give the factor of repeated rows, up to the effect of the prior."""
    error, distance = rng.normal(size=400), rng.uniform(1, 9, size=400)
    weight = rng.randint(1, 4, size=400)
    copies = np.repeat(np.arange(400), weight)
    weighted = Calibration.fit(calibration_data(error, distance=distance, weight=weight), "scale")
    repeated = Calibration.fit(calibration_data(error[copies], distance=distance[copies]), "scale")
    np.testing.assert_allclose(weighted.factor(distance), repeated.factor(distance), rtol=0.03)


@pytest.mark.parametrize("n_members", [2, 5, 20])
def test_correction_for_the_number_of_members(rng, n_members):
    """Calibration on single members with independent errors holds for their ensemble mean."""
    noise, member_sd = 1.0, 0.7
    y = rng.normal(scale=noise, size=N)
    members = rng.normal(scale=member_sd, size=(n_members, N))
    single = y - members[0]
    between = members.var(0)
    variance = noise**2 + between
    excess = excess_variance(between, np.ones(N), n_members)
    result = Calibration.fit(calibration_data(single, variance=variance, excess=excess), "scale")
    new = rng.normal(scale=noise, size=N), rng.normal(scale=member_sd, size=(n_members, N))
    error = new[0] - new[1].mean(0)
    calibrated = result.factor(None) * (noise**2 + new[1].var(0))
    assert np.mean(error**2) / np.mean(calibrated) == pytest.approx(1, abs=0.05)
    without = Calibration.fit(calibration_data(single, variance=variance), "scale")
    uncorrected = without.factor(None) * (noise**2 + new[1].var(0))
    expected = (noise**2 + member_sd**2 / n_members) / (noise**2 + member_sd**2)
    assert np.mean(error**2) / np.mean(uncorrected) == pytest.approx(expected, abs=0.05)


def test_intervals_of_new_rows_are_calibrated():
    """On a simulated data set the coverage of central intervals is near the nominal one."""
    survey = make_soil_survey(n_samples=900, random_state=1)
    train, test = survey.data[:500], survey.data[500:]
    model = SpTGNNRegressor(time="date", elevation="elevation", random_state=0)
    model.fit(train, survey.target[:500])
    for coverage in (0.5, 0.9):
        limits = model.predict_quantiles(test, [(1 - coverage) / 2, (1 + coverage) / 2])
        result = interval_coverage(survey.target[500:], *limits.T)
        assert result == pytest.approx(coverage, abs=0.07)


def test_scale_of_sample_weights_does_not_matter(rng):
    """Weights a thousand times smaller give the same calibration."""
    error, distance = rng.normal(size=50), rng.uniform(1, 9, size=50)
    weight = rng.uniform(1, 2, size=50)
    results = [
        Calibration.fit(calibration_data(error, distance=distance, weight=w), "quantile")
        for w in (weight, weight / 1000)
    ]
    np.testing.assert_allclose(results[0].factor(distance), results[1].factor(distance), rtol=1e-6)
    np.testing.assert_allclose(results[0].shape, results[1].shape, rtol=1e-6)


@pytest.mark.parametrize("distance", [None, "random"])
def test_factor_is_that_of_the_variance_without_measurement_errors(rng, distance):
    """Errors are three times the predicted variance plus known noise of 0, 1 or 9."""
    known = None if distance is None else rng.uniform(1, 100, size=N)
    noise = rng.choice([0.0, 1.0, 9.0], size=N)
    error = np.sqrt(3 + noise) * rng.normal(size=N)
    data = calibration_data(error, distance=known)
    result = Calibration.fit(replace(data, noise=noise), "scale")
    np.testing.assert_allclose(result.factor(known), 3, rtol=0.06)
    assert np.mean(Calibration.fit(data, "scale").factor(known)) > 5


def test_slope_with_distance_is_recovered_with_measurement_errors(rng):
    """The power law of test_factor_grows_with_distance_and_never_falls, with noise."""
    distance = np.exp(rng.uniform(0, 4, size=N))
    noise = rng.choice([0.0, 4.0], size=N)
    error = np.sqrt(distance**0.5 + noise) * rng.normal(size=N)
    data = replace(calibration_data(error, distance=distance), noise=noise)
    result = Calibration.fit(data, "scale")
    probe = np.array([2.0, 20.0])
    np.testing.assert_allclose(result.factor(probe), probe**0.5, rtol=0.1)


@pytest.mark.parametrize("kind", [None, "scale", "quantile"])
def test_no_measurement_errors_change_nothing(rng, kind):
    """Noise of zero gives the calibration without noise, up to the prior of the factor."""
    data = calibration_data(2 * rng.normal(size=N), distance=np.ones(N))
    plain, zero = (
        Calibration.fit(replace(data, noise=noise), kind) for noise in (None, np.zeros(N))
    )
    assert zero.log_factor == pytest.approx(plain.log_factor, abs=1e-3)
    np.testing.assert_allclose(zero.scores, plain.scores, rtol=1e-3)


def test_scores_include_measurement_errors(rng):
    """Scores are standardized by the sum of both variances, so that they have variance 1."""
    noise = rng.choice([0.0, 9.0], size=N)
    data = replace(calibration_data(np.sqrt(1 + noise) * rng.normal(size=N)), noise=noise)
    scores = Calibration.fit(data, None).scores
    for rows in (noise == 0, noise > 0):
        assert scores[rows].std() == pytest.approx(1, rel=0.03)


def test_few_rows_with_large_errors_keep_the_predicted_variance(rng):
    """Where errors hide the variance, its factor is near 1 and not at a limit."""
    for _ in range(20):
        data = replace(calibration_data(4 * rng.normal(size=30)), noise=np.full(30, 16.0))
        assert 0.25 < Calibration.fit(data, "scale").factor(None) < 4


def test_excess_of_fewer_members_is_a_share_of_the_whole_error(rng):
    """With predicted variance 2, excess 1 and noise 3, errors of variance 6 give a factor of 1."""
    one = np.ones(N)
    data = calibration_data(np.sqrt(6.0) * rng.normal(size=N), variance=2 * one, excess=one)
    data = replace(data, noise=3 * one)
    assert Calibration.fit(data, "scale").factor(None) == pytest.approx(1, rel=0.06)


def test_one_outlier_does_not_determine_the_tail():
    """Beyond five errors the shape is normal; with many errors the tail is fitted."""
    rng = np.random.default_rng(0)
    few, many = rng.standard_t(3, size=150), rng.standard_t(3, size=50_000)
    clean = _error_shape(few, np.ones(150))
    outlier = _error_shape(np.r_[few[1:], 40.0], np.ones(150))
    np.testing.assert_allclose(outlier, clean, atol=0.6)  # the fifth error is another one
    assert (np.diff(clean) > 0).all()
    assert _error_shape(many, np.ones(50_000))[-1] > 6  # the 99.87 % quantile is 8
    np.testing.assert_allclose(np.diff(clean)[-20:], np.diff(clean)[-1])
