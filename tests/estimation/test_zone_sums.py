"""Accumulated statistics of zones, against numpy over all cells."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.estimation.zone_sums import (
    ZoneSums,
    check_statistic,
    distribution_row,
    zone_table,
)

RNG = np.random.default_rng(0)
DRAWS = RNG.normal(5, 2, (40, 30))
PREDICTIONS = np.linspace(4, 6, 40)
WEIGHTS = RNG.uniform(0.5, 2, 40)
ZONES = RNG.integers(0, 4, 40)


def filled(statistic, edges=(0, 13, 13, 40), zones=ZONES):
    sums = ZoneSums(statistic, 30)
    for start, stop in pairwise(edges):
        rows = slice(start, stop)
        outside = DRAWS[rows, 0] > 6
        sums.add(zones[rows], WEIGHTS[rows], PREDICTIONS[rows], DRAWS[rows], outside)
    return sums


def by_zone(function):
    sums = filled("mean")
    return np.array([function(label == ZONES) for label in sums.labels])


def weighted(values):
    return lambda rows: np.average(values[rows], axis=0, weights=WEIGHTS[rows])


def test_means_totals_and_shares_equal_numpy():
    """Blocks and the order of zones in them have no influence."""
    mean, total = filled("mean"), filled("total")
    np.testing.assert_allclose(mean.draws(), by_zone(weighted(DRAWS)))
    np.testing.assert_allclose(mean.estimates(), by_zone(weighted(PREDICTIONS)))
    np.testing.assert_allclose(mean.outside_share, by_zone(weighted(DRAWS[:, 0] > 6)))
    np.testing.assert_array_equal(mean.n_cells, by_zone(lambda rows: rows.sum()))
    np.testing.assert_allclose(total.draws(), mean.draws() * mean.weights[:, None])
    np.testing.assert_allclose(total.estimates(), mean.estimates() * mean.weights)


@pytest.mark.parametrize("statistic", ["mean", "total", lambda v, w: v.max()])
def test_effective_number_is_a_ratio_of_variances(statistic):
    """It is that of the mean, whatever the statistic."""
    variance = by_zone(weighted(DRAWS)).var(axis=1, ddof=1)
    expected = by_zone(weighted(DRAWS.var(axis=1, ddof=1))) / variance
    np.testing.assert_allclose(filled(statistic).n_effective(), expected)


def test_functions_get_all_cells_of_a_zone():
    """A maximum needs every cell; its estimate is the mean over draws."""
    sums = filled(lambda values, weights: values.max())
    expected = by_zone(lambda rows: DRAWS[rows].max(axis=0))
    np.testing.assert_allclose(sums.draws(), expected)
    np.testing.assert_allclose(sums.estimates(), expected.mean(axis=1))


def test_zones_without_variation_have_no_effective_number():
    """0 / 0 is NaN."""
    sums = ZoneSums("mean", 3)
    sums.add(["a"], np.ones(1), np.ones(1), np.ones((1, 3)))
    assert np.isnan(sums.n_effective()).all()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pd.Categorical(["b", "a", "b"]), ["b", "a"]),
        (np.array([2.0, 1.0, 2.0]), [2.0, 1.0]),
        (np.array([("a", 1), ("b", 2), ("a", 1), None], dtype=object)[:3], None),
        ([True, False, True], [True, False]),
    ],
)
def test_labels_of_any_type(labels, expected):
    """Labels keep their values."""
    sums = ZoneSums("total", 2)
    sums.add(labels, np.ones(3), np.arange(3.0), np.arange(6.0).reshape(3, 2))
    assert sums.labels == (expected or [("a", 1), ("b", 2)])
    np.testing.assert_array_equal(sums.estimates(), [2, 1])


def test_columns_of_a_distribution():
    """std has n - 1 degrees of freedom; limits are strict."""
    found = distribution_row(np.array([1.0]), np.array([[1.0, 2, 3, 4]]), 0.5, [2.0], [2.0])
    assert list(found) == ["estimate", "std", "lower", "upper", "p<2.0", "p>2.0"]
    numbers = [float(column[0]) for column in found.values()]
    assert numbers == pytest.approx([1.0, np.sqrt(5 / 3), 1.75, 3.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("labels", "known", "order"),
    [
        (["b", "a"], [], ["a", "b"]),
        ([2, "a"], [], [2, "a"]),
        (["b", "a"], ["b", "c"], ["b", "c", "a"]),
        ([("b", 1), ("a", 2)], [], [("a", 2), ("b", 1)]),
    ],
)
@pytest.mark.filterwarnings("ignore:1 zones have no cells")
def test_rows_of_a_table_are_sorted_behind_the_known_ones(labels, known, order):
    """Labels of several types keep their order."""
    columns = {"estimate": np.array([1.0, 2.0]), "n_cells": np.array([3, 4])}
    settings = {"name": "zone", "n_rows": 7, "n_outside": 0, "stacklevel": 2}
    table = zone_table(columns, labels, known=known, **settings)
    assert table.index.tolist() == order
    assert table["n_cells"].dtype == np.int64
    assert table["estimate"].loc[[labels[0]]].tolist() == [1.0]


@pytest.mark.parametrize("statistic", ["mean", "total", max])
def test_known_statistics(statistic):
    """Names and functions are returned as they are."""
    assert check_statistic(statistic) is statistic
