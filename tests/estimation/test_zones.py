"""Zones and the estimators of means and totals in them."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.estimation.design_arguments import read_design
from sptgnn_sklearn.estimation.zones import Target, Zones, standard_error


def test_zones_without_units_come_last():
    """Labels are those of the rows, of the cells, and of the sizes."""
    zones, size = Zones.read(
        ["b", "a"], 2, {"b": 1.0, "a": 2.0, "d": 3.0, "c": 4.0}, pd.Index(["a", "c"])
    )
    assert zones.labels.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(zones.sizes, [2, 1, 4, 3])
    assert size == 10
    assert zones.rows(1).tolist() == [True, False]


def test_whole_population_is_one_zone():
    """Without labels all rows are in one zone, with the known size."""
    zones, size = Zones.read(None, 3, 50)
    assert (zones.codes.tolist(), zones.sizes.tolist(), size) == ([0, 0, 0], [50], 50)


@pytest.mark.parametrize(
    ("statistic", "estimator", "size", "expected"),
    [
        ("mean", "hajek", None, 16 / 6),
        ("mean", "hajek", 12, 16 / 6),
        ("mean", "horvitz_thompson", 12, 16 / 12),
        ("total", "hajek", None, 16),
        ("total", "hajek", 12, 12 * 16 / 6),
        ("total", "horvitz_thompson", 12, 16),
    ],
)
def test_estimators(statistic, estimator, size, expected):
    """Weights 1, 2 and 3 of values 6, 5 and 0, by formula."""
    design, values = read_design(4, weights=[1, 2, 3, 9]), np.array([6.0, 5.0, 0.0, 8.0])
    in_zone = np.array([True, True, True, False])
    estimate, _ = Target(statistic, estimator).estimate(design, values, in_zone, size)
    assert estimate == pytest.approx(expected)


def test_standard_error_without_degrees_of_freedom():
    """One random unit has no std, one that is in every sample has 0."""
    one = np.array([True, False, False])
    assert np.isnan(standard_error(read_design(3), np.ones(3), one))
    census = read_design(3, population_size=3, fpc=True)
    assert standard_error(census, np.ones(3), one) == 0
