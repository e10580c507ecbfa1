"""Transform of targets, with moments and quantiles of the inverse."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from sptgnn_sklearn.table.target_scaling import TargetScaler, choose_transform, mixture_quantiles

SKEWED = np.random.default_rng(0).lognormal(1.0, 0.8, 300)
WEIGHT = np.random.default_rng(1).integers(1, 4, 300).astype(float)


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_transformed_targets_have_mean_zero_and_variance_one(transform):
    """Weights equal repetition, and the inverse restores targets."""
    scaler = TargetScaler.fit(SKEWED, WEIGHT, transform)
    z = scaler.transform(SKEWED)
    assert np.average(z, weights=WEIGHT) == pytest.approx(0, abs=1e-12)
    assert np.average(z**2, weights=WEIGHT) == pytest.approx(1)
    np.testing.assert_allclose(scaler.inverse_transform(z), SKEWED)
    repeated = np.repeat(SKEWED, WEIGHT.astype(int))
    again = TargetScaler.fit(repeated, np.ones(len(repeated)), transform)
    assert (again.center, again.scale) == pytest.approx((scaler.center, scaler.scale))


def test_moments_without_transform_are_linear():
    """Mean and variance are those of a linear map."""
    scaler = TargetScaler(None, center=10.0, scale=2.0)
    mean, variance = scaler.moments(np.array([0.0, 1.0]), np.array([1.0, 4.0]))
    np.testing.assert_allclose(mean, [10, 12])
    np.testing.assert_allclose(variance, [4, 16])


@pytest.mark.parametrize("mean", [-1.0, 0.0, 1.5])
@pytest.mark.parametrize("variance", [0.01, 0.3, 1.0])
def test_log_normal_moments_equal_simulated_moments(mean, variance):
    """Mean and variance of y agree with those of many transformed draws."""
    scaler = TargetScaler("log1p", center=1.2, scale=0.7)
    draws = np.random.default_rng(0).normal(size=2_000_000) * np.sqrt(variance) + mean
    y = scaler.inverse_transform(draws)
    result = scaler.moments(np.array(mean), np.array(variance))
    assert result[0] == pytest.approx(y.mean(), rel=0.01)
    assert result[1] == pytest.approx(y.var(), rel=0.03)


def test_log_normal_moments_are_finite():
    """Predictions far outside the training targets are finite in single precision."""
    scaler = TargetScaler("log1p", center=1.0, scale=1.0)
    huge = np.array([1e4])
    mean, variance = scaler.moments(huge, huge)
    for value in (mean, np.sqrt(variance), scaler.inverse_transform(huge)):
        assert np.isfinite(value.astype(np.float32)).all()


@pytest.mark.parametrize("value", [-1.0, -3.5])
def test_log1p_of_targets_below_minus_one_raises(value):
    """The error contains the parameter and the value."""
    with pytest.raises(ValueError, match=rf"target_transform='log1p' .*{value:g}"):
        TargetScaler.fit(np.append(SKEWED, value), np.ones(301), "log1p")


@pytest.mark.parametrize("value", [0.0, 0.1, -7e5, 1e-30, 1e30])
@pytest.mark.parametrize("function", [None, "auto"])
def test_constant_targets_have_scale_zero(value, function):
    """The computed deviation of equal numbers is a rounding error; all predictions are equal."""
    y = np.full(7, value)
    scaler = TargetScaler.fit(y, np.linspace(0.1, 1, 7), function)
    assert (scaler.center, scaler.scale) == (value, 0.0)
    np.testing.assert_array_equal(scaler.transform(y), np.zeros(7))
    z = np.array([-3.0, 0.0, 5.0])
    np.testing.assert_array_equal(scaler.inverse_transform(z), np.full(3, value))
    np.testing.assert_array_equal(scaler.moments(z, np.ones(3)), [np.full(3, value), np.zeros(3)])


@pytest.mark.parametrize("unit", [1e-29, 1e29])
def test_transform_does_not_depend_on_the_unit(unit):
    """Targets in any valid unit have the same standardized values."""
    scaler = TargetScaler.fit(SKEWED * unit, WEIGHT, None)
    expected = TargetScaler.fit(SKEWED, WEIGHT, None).transform(SKEWED)
    np.testing.assert_allclose(scaler.transform(SKEWED * unit), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("y", "transform"),
    [
        (SKEWED, "log1p"),
        (np.append(SKEWED, -0.5), None),  # negative
        (np.linspace(0, 1, 50), None),  # not skewed
        (-np.log(SKEWED) + 9, None),
        (100 - SKEWED, None),  # skewed to the left
        (np.full(50, 3.0), None),
        (np.append(np.full(50, 3.0), np.nextafter(3.0, 4.0)), None),
    ],
)
def test_auto_log_transforms_skewed_targets(y, transform):
    """Targets must be non-negative, skewed to the right, and less skewed after log1p."""
    assert choose_transform(y) == transform
    assert TargetScaler.fit(y, np.ones(len(y)), "auto").function == transform


def test_auto_compares_skewness_before_and_after():
    """A logarithm that would only invert the skewness is not applied."""
    # log1p stretches the tail of small values: here it gives a longer tail to the left.
    y = np.concatenate([np.full(3, 0.0), np.full(60, 20.0), np.full(4, 60.0)])
    assert choose_transform(y) is None


MEAN = np.random.default_rng(2).normal(size=(5, 7))
STD = np.random.default_rng(3).uniform(0.05, 2.0, (5, 7))
LEVELS = np.array([0.001, 0.05, 0.3, 0.5, 0.95, 0.9999])


def test_mixture_quantiles_equal_roots():
    """Each quantile is the root of the mixture's distribution function."""
    result = mixture_quantiles(MEAN, STD, LEVELS)
    assert result.shape == (7, 6)
    for row in range(7):
        for column, level in enumerate(LEVELS):
            expected = brentq(
                lambda y, row=row, level=level: (
                    norm.cdf(y, MEAN[:, row], STD[:, row]).mean() - level
                ),
                -30,
                30,
                xtol=1e-13,
            )
            assert result[row, column] == pytest.approx(expected, abs=1e-9)


def test_quantiles_of_one_gaussian():
    """A mixture of one Gaussian has its quantiles."""
    result = mixture_quantiles(MEAN[:1], STD[:1], LEVELS)
    np.testing.assert_allclose(result, norm.ppf(LEVELS, MEAN[0][:, None], STD[0][:, None]))


def test_mixture_quantiles_agree_with_simulation():
    """The share of draws below each quantile is its level."""
    result = mixture_quantiles(MEAN, STD, LEVELS)
    rng = np.random.default_rng(0)
    member = rng.integers(0, 5, 100_000)
    y = rng.normal(MEAN[member], STD[member])
    share = (y[:, :, None] <= result[None]).mean(axis=0)
    np.testing.assert_allclose(share, np.broadcast_to(LEVELS, (7, 6)), atol=0.005)


def test_mixture_quantiles_do_not_cross():
    """Quantiles are non-decreasing also for levels that differ in the last digits."""
    levels = np.sort(np.append(np.random.default_rng(4).uniform(size=50), [0.5, 0.5 + 1e-15]))
    assert (np.diff(mixture_quantiles(MEAN, STD, levels), axis=1) >= 0).all()


def test_noise_variance_is_standardized():
    """Errors of half a standard deviation have a variance of a quarter; a huge one is limited."""
    scaler = TargetScaler(None, center=10.0, scale=2.0)
    noise = scaler.noise_variance(np.array([1.0, 0.0, 1e9]), np.zeros(3))
    np.testing.assert_array_equal(noise, [0.25, 0.0, 1e6])
    constant = TargetScaler(None, center=10.0, scale=0.0)
    np.testing.assert_array_equal(constant.noise_variance(np.ones(2), np.ones(2)), 0.0)


@pytest.mark.parametrize(("relative", "low", "high"), [(0.1, 0.99, 1.02), (0.2, 0.98, 1.05)])
def test_delta_method_holds_for_small_errors(relative, low, high):
    """The mean variance by the delta method is near that of log1p of simulated measurements."""
    true = np.full(1_000_000, 4.0)
    noise_std = relative * (1 + true)
    measured = true + noise_std * np.random.default_rng(0).normal(size=len(true))
    scaler = TargetScaler("log1p", center=1.0, scale=0.5)
    expected = scaler.transform(measured).var()
    assert low < scaler.noise_variance(noise_std, measured).mean() / expected < high


def test_delta_method_fails_for_large_errors():
    """At 0.3 (1 + y) the mean variance is much too large, as documented."""
    rng = np.random.default_rng(0)
    measured = 1 + 0.3 * rng.normal(size=1_000_000)
    measured = measured[measured > 0.01]
    scaler = TargetScaler("log1p", center=0.0, scale=1.0)
    noise = scaler.noise_variance(np.full(len(measured), 0.3), measured - 1)
    assert 1.4 < noise.mean() / np.log(measured).var() < 1.7


@pytest.mark.parametrize("function", [None, "log1p"])
@pytest.mark.parametrize("noise_std", [0.0, 0.1, 3.0])
def test_added_variance_keeps_means_and_adds_squares(function, noise_std):
    """The variance in the unit of y grows by the square of the error; the mean does not change."""
    scaler = TargetScaler(function, center=1.5, scale=0.8)
    mean, variance = np.array([[-1.0, 0.5], [0.0, 2.0]]), np.array([[0.2, 0.5], [0.1, 1.0]])
    before = scaler.moments(mean, variance)
    shift, added = scaler.added_variance(mean, variance, np.full(2, noise_std))
    after = scaler.moments(mean + shift, variance + added)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-12)
    np.testing.assert_allclose(after[1], before[1] + noise_std**2, rtol=1e-12)


def test_added_variance_is_the_delta_method_for_small_errors():
    """The standard deviation of log1p(y) is that of y over 1 + y."""
    scaler = TargetScaler("log1p", center=1.5, scale=0.8)
    mean, variance = np.array([[0.5]]), np.array([[1e-8]])
    y = scaler.moments(mean, variance)[0][0]
    _, added = scaler.added_variance(mean, variance, np.array([0.01]))
    np.testing.assert_allclose(added[0], scaler.noise_variance(np.array([0.01]), y), rtol=1e-4)


def test_constant_target_has_no_unit_for_errors():
    """Nothing is added to the predictions of a constant target."""
    scaler = TargetScaler(None, center=3.0, scale=0.0)
    for part in scaler.added_variance(np.zeros((2, 3)), np.ones((2, 3)), np.ones(3)):
        np.testing.assert_array_equal(part, 0.0)


@pytest.mark.parametrize("spread", [0.3, 3.0, 100.0])
def test_quantiles_of_members_far_apart(spread):
    """Newton steps cycle in some of these mixtures unless the bracket is halved."""
    rng = np.random.default_rng(0)
    mean, std = spread * rng.normal(size=(5, 2000)), np.exp(0.5 * rng.normal(size=(5, 2000)))
    levels = norm.cdf(np.linspace(-4, 4, 65))
    found = mixture_quantiles(mean, std, levels)
    reached = norm.cdf((found[None] - mean[..., None]) / std[..., None]).mean(axis=0)
    np.testing.assert_allclose(reached, np.broadcast_to(levels, reached.shape), atol=1e-11)
    rows = rng.permutation(2000)[:50]  # a row does not depend on the others
    np.testing.assert_array_equal(
        mixture_quantiles(mean[:, rows], std[:, rows], levels), found[rows]
    )
