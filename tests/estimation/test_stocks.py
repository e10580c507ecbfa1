"""Stocks by hand, and the distribution of uncertain values."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import spearmanr, truncnorm

from sptgnn_sklearn.estimation import UncertainValue, equivalent_thickness, soil_mass, stock
from sptgnn_sklearn.estimation.stocks import (
    check_content,
    check_correlation,
    check_layer,
    follow_scores,
    rank_normal_scores,
)

PERCENT = {"content_unit": "%"}


@pytest.mark.parametrize(
    ("arguments", "unit", "expected"),
    [
        ((2.0, 1.3, 30.0), "%", 78.0),
        ((20.0, 1.3, 30.0), "g/kg", 78.0),
        ((2.0, 1.3, 30.0, 0.1), "%", 70.2),
        ((1.5, 1.2, 20.0, 0.25), "%", 27.0),
        ((45.0, 0.2, 100.0), "%", 900.0),  # peat
    ],
)
def test_stocks_by_hand(arguments, unit, expected):
    """% x g/cm3 x cm is t/ha; a content of 2 % in 30 cm at 1.3 g/cm3 is 78 t/ha."""
    found = stock(*arguments, content_unit=unit)
    assert isinstance(found, float)
    assert found == pytest.approx(expected)


def test_masses_and_equivalent_thickness_by_hand():
    """30 cm at 1.2 g/cm3 are 3600 t/ha, which 1.5 g/cm3 have in 24 cm, with 20 % stones in 30."""
    assert soil_mass(1.2, 30) == pytest.approx(3600)
    assert soil_mass(1.2, 30, 0.5) == pytest.approx(1800)
    assert equivalent_thickness(3600, 1.5) == pytest.approx(24)
    assert equivalent_thickness(3600, 1.5, 0.2) == pytest.approx(30)
    np.testing.assert_allclose(
        equivalent_thickness(soil_mass([1.2, 1.3], 30.0), [1.0, 1.3]), [36, 30]
    )


def test_stock_at_equivalent_mass_by_hand():
    """Compaction alone adds 25 % at a fixed depth and nothing at an equivalent mass."""
    before = stock(2.0, 1.2, 30.0, **PERCENT)
    fixed = stock(2.0, 1.5, 30.0, **PERCENT)
    equivalent = stock(2.0, 1.5, equivalent_thickness(soil_mass(1.2, 30.0), 1.5), **PERCENT)
    assert (before, fixed) == pytest.approx((72, 90))
    assert equivalent == pytest.approx(before)


def test_shapes_of_values_and_draws():
    """One dimension is cells, two are cells and draws."""
    cells, draws = np.array([1.0, 2.0, 3.0]), np.arange(1.0, 13).reshape(3, 4) / 10
    np.testing.assert_allclose(stock(cells, 1.0, 10.0, **PERCENT), [10, 20, 30])
    np.testing.assert_allclose(stock(draws, 1.0, 10.0, **PERCENT), 10 * draws)
    np.testing.assert_allclose(stock(draws, cells / 2, 10.0, **PERCENT), 5 * draws * cells[:, None])
    np.testing.assert_allclose(stock(1.0, draws, cells, **PERCENT), draws * cells[:, None])
    assert stock(1.0, UncertainValue(1.3, 0.1), 30, **PERCENT, n_samples=7).shape == (7,)
    assert stock(cells, UncertainValue(1.3, 0.1), 30, **PERCENT).shape == (3, 200)
    assert stock(draws, UncertainValue(1.3, 0.1), 30, **PERCENT).shape == (3, 4)


def test_errors_of_independent_factors():
    """The variance of a product of independent factors is a closed form."""
    content, density = UncertainValue(2.0, 0.2), UncertainValue(1.3, 0.1)
    draws = stock(content, density, 30.0, **PERCENT, n_samples=100_000, random_state=1)
    relative = (1 + 0.1**2) * (1 + (0.1 / 1.3) ** 2) - 1
    assert draws.mean() == pytest.approx(78, rel=0.002)
    assert draws.std() == pytest.approx(78 * np.sqrt(relative), rel=0.01)


@pytest.mark.parametrize("correlation", [-0.9, -0.5, 0.7, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_correlation_to_the_content_is_that_of_a_copula(correlation, shared):
    """Rank correlation of a Gaussian copula: 6 / pi arcsin(r / 2); margins stay the same."""
    rng = np.random.default_rng(0)
    content = np.exp(rng.normal(0.5, 0.3, (1, 20_000)))
    density = UncertainValue(1.3, 0.1, shared=shared)
    draws = stock(content, density, 30.0, **PERCENT, correlation=correlation)
    found = draws[0] / content[0] / 30
    expected = 6 / np.pi * np.arcsin(correlation / 2)
    assert spearmanr(found, content[0])[0] == pytest.approx(expected, abs=0.02)
    assert (found.mean(), found.std()) == pytest.approx((1.3, 0.1), rel=0.02)


def test_shared_errors_are_the_same_at_all_cells():
    """Others are drawn for each cell."""
    content = np.array([1.0, 2.0, 4.0])
    shared = stock(content, UncertainValue(1.3, 0.1), 10, **PERCENT)
    np.testing.assert_allclose(shared[2], 4 * shared[0])
    own = stock(content, UncertainValue(1.3, 0.1, shared=False), 10, **PERCENT, n_samples=5000)
    assert abs(np.corrcoef(own)[0, 1]) < 0.05
    np.testing.assert_array_equal(shared, stock(content, UncertainValue(1.3, 0.1), 10, **PERCENT))


@pytest.mark.parametrize(
    ("mean", "std", "upper"), [(1.0, 1.0, np.inf), (0.2, 0.3, 1.0), (-0.5, 1.0, np.inf)]
)
def test_truncated_distribution_equals_that_of_scipy(mean, std, upper):
    """Quantiles and mean of a normal distribution cut off at 0 and at an upper limit."""
    reference = truncnorm(-mean / std, (upper - mean) / std, mean, std)
    value, scores = UncertainValue(mean, std), np.array([-2.0, 0.0, 1.5])
    np.testing.assert_allclose(value.quantiles(scores, upper)[0], reference.ppf(ndtr(scores)))
    assert value.expectation(upper) == pytest.approx(reference.mean())


def test_values_without_error_and_of_several_cells():
    """A std of 0 is the value itself; cells have their own mean and std."""
    value = UncertainValue([1.0, 1.5], [0.0, 0.1])
    np.testing.assert_allclose(value.expectation(), [1.0, 1.5])
    found = value.quantiles(np.array([[-1.0, 0.0, 1.0]]))
    np.testing.assert_allclose(found, [[1, 1, 1], [1.4, 1.5, 1.6]], rtol=1e-6)


def test_scores_of_ranks():
    """Ties share their score; mixtures of scores have variance 1."""
    np.testing.assert_allclose(rank_normal_scores(np.array([[3.0, 3.0]])), [[0, 0]])
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 1, 50_000))
    assert follow_scores(one, other, -0.6).std() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content_unit": "mg/kg"}, "content_unit.*'mg/kg'"),
        ({"content": 120.0}, "content must be up to 100 %.*found 120"),
        ({"content": [1.0, np.nan]}, r"content.*found nan \(1 of 2"),
        ({"bulk_density": 1300}, r"bulk_density.*kg/m3.*found 1300"),
        ({"bulk_density": 0.0}, "bulk_density.*found 0"),
        ({"bulk_density": "bd"}, "bulk_density='bd'.*estimate_stock"),
        ({"bulk_density": UncertainValue(1.3, -0.1)}, "std of bulk_density.*found -0.1"),
        ({"bulk_density": UncertainValue(np.ones((2, 2)), 0.1)}, r"shape \(2, 2\)"),
        ({"content": UncertainValue(2.0, -1)}, "std of content"),
        ({"thickness": -5}, "thickness.*found -5"),
        ({"coarse_fragments": 20}, r"coarse_fragments.*20 % are 0\.2.*found 20"),
        ({"content": np.ones((2, 3, 4))}, r"content.*shape \(2, 3, 4\)"),
        ({"content": [1.0, 2.0], "thickness": [1, 2, 3]}, "numbers of cells differ.*2.*3"),
        ({"content": np.ones((1, 5)), "n_samples": 6}, "n_samples=6.*5 draws"),
        ({"correlation": -2}, "correlation.*found -2"),
        ({"correlation": 0.5}, "correlation needs an UncertainValue of bulk_density"),
        ({"correlation": 0.5, "bulk_density": UncertainValue(1, 0.1)}, "draws of the content"),
    ],
)
def test_invalid_arguments_raise(change, message):
    """Messages have the parameter, what was found, and the unit."""
    arguments = {"content": 2.0, "bulk_density": 1.3, "thickness": 30.0, "content_unit": "%"}
    with pytest.raises(ValueError, match=message):
        stock(**{**arguments, **change})


def test_checks_of_single_properties():
    """Masses are positive; valid values pass."""
    with pytest.raises(ValueError, match=r"reference_mass.*found 0"):
        equivalent_thickness(0.0, 1.3)
    assert check_content(np.array([[1.0, 900.0, 2.0]]), "%") == 0.01  # a median of draws
    check_layer(1.3, None, 0.0)
    check_correlation(-1)
