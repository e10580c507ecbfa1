"""Targets to standardised units and back, with their moments and quantiles."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from sptgnn_sklearn.table.target_scaling import TargetScaler, choose_transform, mixture_quantiles

SKEWED = np.random.default_rng(0).lognormal(1.0, 0.8, 300)
WEIGHT = np.random.default_rng(1).integers(1, 4, 300).astype(float)


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_standardised_targets_have_mean_zero_and_variance_one(transform):
    """With weights counted as repetitions, and points are restored."""
    scale = TargetScaler.fit(SKEWED, WEIGHT, transform)
    z = scale.transform(SKEWED)
    assert np.average(z, weights=WEIGHT) == pytest.approx(0, abs=1e-12)
    assert np.average(z**2, weights=WEIGHT) == pytest.approx(1)
    np.testing.assert_allclose(scale.inverse_transform(z), SKEWED)
    repeated = np.repeat(SKEWED, WEIGHT.astype(int))
    again = TargetScaler.fit(repeated, np.ones(len(repeated)), transform)
    assert (again.center, again.scale) == pytest.approx((scale.center, scale.scale))


def test_moments_without_transform_are_linear():
    """Mean and variance move to the unit of y as for any linear map."""
    scale = TargetScaler(None, center=10.0, scale=2.0)
    mean, variance = scale.moments(np.array([0.0, 1.0]), np.array([1.0, 4.0]))
    np.testing.assert_allclose(mean, [10, 12])
    np.testing.assert_allclose(variance, [4, 16])


@pytest.mark.parametrize("mean", [-1.0, 0.0, 1.5])
@pytest.mark.parametrize("variance", [0.01, 0.3, 1.0])
def test_log_normal_moments_agree_with_simulation(mean, variance):
    """Mean and variance of y are those of many draws that are transformed one by one."""
    scale = TargetScaler("log1p", center=1.2, scale=0.7)
    draws = np.random.default_rng(0).normal(size=2_000_000) * np.sqrt(variance) + mean
    y = scale.inverse_transform(draws)
    found = scale.moments(np.array(mean), np.array(variance))
    assert found[0] == pytest.approx(y.mean(), rel=0.01)
    assert found[1] == pytest.approx(y.var(), rel=0.03)


def test_log_normal_moments_stay_finite():
    """A prediction far beyond the training targets is large, but no infinity and no warning."""
    scale = TargetScaler("log1p", center=1.0, scale=1.0)
    huge = np.array([1e4])
    mean, variance = scale.moments(huge, huge)
    for value in (mean, np.sqrt(variance), scale.inverse_transform(huge)):
        assert np.isfinite(value.astype(np.float32)).all()


@pytest.mark.parametrize("value", [-1.0, -3.5])
def test_logarithms_of_numbers_below_minus_one_are_refused(value):
    """The error names the value and the way out."""
    with pytest.raises(ValueError, match=rf"needs y above -1, but its least value is {value:g}"):
        TargetScaler.fit(np.append(SKEWED, value), np.ones(301), "log1p")


@pytest.mark.parametrize("value", [0.0, 0.1, -7e5, 1e-30, 1e30])
def test_a_constant_target_has_the_scale_one(value):
    """The deviation of equal numbers is a rounding error, and no scale."""
    scale = TargetScaler.fit(np.full(7, value), np.linspace(0.1, 1, 7), None)
    assert scale.scale == 1.0
    assert scale.center == pytest.approx(value)


@pytest.mark.parametrize("unit", [1e-29, 1e29])
def test_the_scale_follows_the_unit(unit):
    """Targets of any unit that is accepted are standardised to the same numbers."""
    scale = TargetScaler.fit(SKEWED * unit, WEIGHT, None)
    expected = TargetScaler.fit(SKEWED, WEIGHT, None).standardise(SKEWED)
    np.testing.assert_allclose(scale.transform(SKEWED * unit), expected, rtol=1e-9)


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
def test_auto_takes_logarithms_of_what_they_help(y, transform):
    """Only a target that is non-negative, skewed to the right, and less so after log1p."""
    assert choose_transform(y) == transform
    assert TargetScaler.fit(y, np.ones(len(y)), "auto").transform == transform


def test_auto_compares_the_skewness_before_and_after():
    """A logarithm that would only turn the skewness around is not taken."""
    # Of 1 + x only the tail of small x is stretched: here log1p leaves a longer tail to the left.
    y = np.concatenate([np.full(3, 0.0), np.full(60, 20.0), np.full(4, 60.0)])
    assert choose_transform(y) is None


MEAN = np.random.default_rng(2).normal(size=(5, 7))
STD = np.random.default_rng(3).uniform(0.05, 2.0, (5, 7))
LEVELS = np.array([0.001, 0.05, 0.3, 0.5, 0.95, 0.9999])


def test_mixture_quantiles_agree_with_root_finding():
    """Each quantile is the root of the mixture's distribution function."""
    found = mixture_quantiles(MEAN, STD, LEVELS)
    assert found.shape == (7, 6)
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
            assert found[row, column] == pytest.approx(expected, abs=1e-9)


def test_quantiles_of_one_gaussian_are_its_own():
    """An ensemble of one member is no mixture."""
    found = mixture_quantiles(MEAN[:1], STD[:1], LEVELS)
    np.testing.assert_allclose(found, norm.ppf(LEVELS, MEAN[0][:, None], STD[0][:, None]))


def test_quantiles_agree_with_simulation():
    """The share of draws below each quantile is its level."""
    found = mixture_quantiles(MEAN, STD, LEVELS)
    rng = np.random.default_rng(0)
    member = rng.integers(0, 5, 100_000)
    y = rng.normal(MEAN[member], STD[member])
    share = (y[:, :, None] <= found[None]).mean(axis=0)
    np.testing.assert_allclose(share, np.broadcast_to(LEVELS, (7, 6)), atol=0.005)


def test_quantiles_of_rising_levels_never_cross():
    """Not even those of levels that differ in the last digits."""
    levels = np.sort(np.append(np.random.default_rng(4).uniform(size=50), [0.5, 0.5 + 1e-15]))
    assert (np.diff(mixture_quantiles(MEAN, STD, levels), axis=1) >= 0).all()
