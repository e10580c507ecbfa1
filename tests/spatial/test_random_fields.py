"""Random fields: covariance, normalization and independence of the other positions."""

import numpy as np
import pytest

from sptgnn_sklearn.spatial.random_fields import CHUNK, make_fields, matern_frequencies

REGION = np.random.default_rng(0).uniform(-250.0, 250.0, (2000, 2))


@pytest.mark.parametrize("n_dims", [2, 3])
def test_frequencies_have_the_matern_covariance(n_dims):
    """The mean of the cosines is the Matern 3/2 correlation in two and three dimensions."""
    frequencies = matern_frequencies(200_000, n_dims, 150.0, np.random.default_rng(0))
    for distance in (10.0, 50.0, 150.0, 300.0):
        step = np.full(n_dims, distance / np.sqrt(n_dims))
        scaled = np.sqrt(3.0) * distance * 2.739 / 150.0
        expected = (1.0 + scaled) * np.exp(-scaled)
        assert np.cos(step @ frequencies).mean() == pytest.approx(expected, abs=0.01)


def test_fields_are_standardized_and_uncorrelated_over_the_region():
    """Mean is 0, variance 1 and correlation 0 over the reference positions."""
    values = make_fields([(1.0, 0.0)] * 3 + [(0.3, 0.7)] * 3, (150.0, 30.0), REGION, [1])(REGION)
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.cov(values, rowvar=False), np.eye(6), atol=1e-4)


def test_field_varies_over_its_range():
    """Values 15 km apart are correlated in a field of range 150 km, not in one of 15 km."""
    fields = make_fields([(1.0, 0.0), (0.0, 1.0)], (150.0, 15.0), REGION, [2])
    values, values_15_km_east = fields(REGION), fields(REGION + np.array([15.0, 0.0]))
    assert np.corrcoef(values[:, 0], values_15_km_east[:, 0])[0, 1] > 0.85
    assert abs(np.corrcoef(values[:, 1], values_15_km_east[:, 1])[0, 1]) < 0.2


def test_additional_fields_do_not_change_the_others():
    """The first fields do not depend on the number of fields."""
    few = make_fields([(1.0, 0.0)] * 2, (150.0, 30.0), REGION, [3])(REGION)
    many = make_fields([(1.0, 0.0)] * 5, (150.0, 30.0), REGION, [3])(REGION)
    np.testing.assert_allclose(many[:, :2], few, atol=1e-4)


def test_values_do_not_depend_on_the_batch():
    """A position has the same value in any batch and on both sides of a chunk boundary."""
    fields = make_fields([(1.0, 0.0)], (150.0, 30.0), REGION, [4])
    many = fields(np.resize(REGION, (CHUNK + 5, 2)))
    np.testing.assert_allclose(many[:2000], fields(REGION), atol=1e-5)
    np.testing.assert_allclose(many[CHUNK:], fields(np.resize(REGION, (CHUNK + 5, 2))[CHUNK:]))
