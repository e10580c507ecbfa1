"""Deduplication of rows and their canonical order."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from sptgnn_sklearn.table.deduplication import deduplicate
from sptgnn_sklearn.table.schema import SampleTable


def crowded_table(n=200, seed=0):
    """Return rows with few distinct values, many of them identical, and missing values."""
    rng = np.random.default_rng(seed)
    numeric = rng.integers(0, 2, (n, 2)).astype(float)
    numeric[rng.uniform(size=n) < 0.2, 0] = np.nan
    table = SampleTable(
        coordinates=rng.integers(0, 2, (n, 2)).astype(float),
        numeric=numeric,
        categories=rng.integers(-2, 1, (n, 1)),
        elevation=numeric[:, 1],
        time=np.where(rng.uniform(size=n) < 0.5, 2001.5, np.nan),
        site=np.array(["b", "a"], dtype=object)[rng.integers(0, 2, n)],
    )
    weight = np.where(rng.uniform(size=n) < 0.2, 0, rng.uniform(size=n))
    return table, rng.integers(0, 2, n).astype(float), weight


def content(table, y, row):
    """Return all values of a row, with NaN equal to itself."""
    values = [*table.coordinates[row], *table.numeric[row], *table.categories[row], y[row]]
    values += [] if table.time is None else [table.time[row]]
    values += [] if table.site is None else [table.site[row]]
    return tuple("missing" if value != value else value for value in values)


def test_merged_rows_equal_those_of_a_dictionary():
    """Each distinct row occurs once with the sum of its weights; zero weights are dropped."""
    table, y, weight = crowded_table()
    merged = deduplicate(table, y, weight)
    sums = {}
    for row in range(len(y)):
        if weight[row]:
            key = content(table, y, row)
            sums[key] = sums.get(key, 0) + weight[row]
    assert len(merged.rows) == len(sums) < (weight > 0).sum()
    for row, total in zip(merged.rows, merged.weight, strict=True):
        assert total == pytest.approx(sums[content(table, y, row)])
    for row, distinct in enumerate(merged.inverse):
        if weight[row]:
            assert content(table, y, merged.rows[distinct]) == content(table, y, row)
        else:
            assert distinct == -1


def test_order_depends_on_content_only():
    """Shuffled rows give the same rows, weights and order, bit for bit."""
    table, y, weight = crowded_table()
    merged = deduplicate(table, y, weight)
    order = np.random.default_rng(1).permutation(len(y))
    again = deduplicate(table.take(order), y[order], weight[order])
    first = [content(table, y, row) for row in merged.rows]
    assert [content(table, y, order[row]) for row in again.rows] == first
    np.testing.assert_array_equal(again.weight, merged.weight)
    np.testing.assert_array_equal(again.inverse, merged.inverse[order])


def test_weights_equal_repetition():
    """A row of weight three equals three copies of the row."""
    table, y, _ = crowded_table(40)
    weight = np.random.default_rng(2).integers(0, 4, 40)
    weighted = deduplicate(table, y, weight.astype(float))
    copies = np.repeat(np.arange(40), weight)
    repeated = deduplicate(table.take(copies), y[copies], np.ones(len(copies)))
    np.testing.assert_array_equal(weighted.weight, repeated.weight)
    np.testing.assert_array_equal(
        table.coordinates[weighted.rows], table.coordinates[copies[repeated.rows]]
    )


def test_sums_of_weights_do_not_depend_on_row_order():
    """Sums are equal bit for bit, so that fits are too."""
    table = two_rows().take(np.zeros(50, dtype=int))
    weight = np.random.default_rng(0).uniform(size=50)
    sums = {
        deduplicate(table, np.zeros(50), np.random.default_rng(seed).permutation(weight)).weight[0]
        for seed in range(10)
    }
    assert len(sums) == 1


def two_rows(**changes):
    """Return two copies of a row, with changes in the second."""
    table = SampleTable(
        coordinates=np.zeros((2, 2)),
        numeric=np.zeros((2, 1)),
        categories=np.zeros((2, 1), dtype=int),
        time=np.full(2, 2001.0),
        site=np.array(["a", "a"], dtype=object),
    )
    for name, value in changes.items():
        getattr(table, name)[1] = value
    return table


@pytest.mark.parametrize(
    "change",
    [
        {"coordinates": [0, 1e-9]},
        {"numeric": 1},
        {"numeric": np.nan},
        {"categories": -1},
        {"time": 2002},
        {"time": np.nan},
        {"site": "b"},
        {"site": None},
    ],
)
def test_rows_with_any_difference_are_not_merged(change):
    """Rows are merged only if all model inputs are equal."""
    assert len(deduplicate(two_rows(), np.zeros(2), np.ones(2)).rows) == 1
    assert len(deduplicate(two_rows(**change), np.zeros(2), np.ones(2)).rows) == 2
    assert len(deduplicate(two_rows(), np.array([0.0, 1.0]), np.ones(2)).rows) == 2


def test_equal_values_with_different_bits_are_merged():
    """Negative zero equals zero, and NaNs with different bits are equal."""
    table = two_rows(coordinates=[-0.0, 0.0])
    other_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    table.numeric[:, 0] = [np.nan, other_nan]
    assert len(deduplicate(table, np.array([-0.0, 0.0]), np.ones(2)).rows) == 1


def test_missing_site_differs_from_text_none():
    """A missing site is not merged with a site named "None"."""
    table = two_rows()
    table.site[:] = [None, None]
    assert len(deduplicate(table, np.zeros(2), np.ones(2)).rows) == 1
    table.site[:] = ["None", None]
    assert len(deduplicate(table, np.zeros(2), np.ones(2)).rows) == 2


def test_first_copy_is_kept():
    """Of identical rows the first with positive weight is returned."""
    table = two_rows().take(np.array([0, 1, 0, 1]))
    merged = deduplicate(table, np.zeros(4), np.array([0.0, 2.0, 1.0, 4.0]))
    assert merged.rows.tolist() == [1]
    assert merged.weight.tolist() == [7.0]
    assert merged.inverse.tolist() == [-1, 0, 0, 0]


def test_rows_of_a_larger_table():
    """Positions refer to the larger table; its other rows have no distinct row."""
    merged = deduplicate(two_rows(), np.zeros(2), np.ones(2))
    larger = merged.among(np.array([False, True, False, True]))
    assert larger.rows.tolist() == [1]
    assert larger.weight.tolist() == [2.0]
    assert larger.inverse.tolist() == [-1, 0, -1, 0]


def test_rows_that_differ_in_measurement_error_are_different():
    """Two laboratories that find the same value are two rows; equal errors are merged."""
    table = SampleTable(
        coordinates=np.zeros((4, 2)),
        numeric=np.zeros((4, 1)),
        categories=np.empty((4, 0), dtype=int),
    )
    noisy = replace(table, noise_std=np.array([0.5, 0.0, 0.5, 1.0]))
    assert len(deduplicate(table, np.ones(4), np.ones(4)).rows) == 1
    merged = deduplicate(noisy, np.ones(4), np.ones(4))
    np.testing.assert_array_equal(noisy.noise_std[merged.rows], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(merged.weight, [1.0, 2.0, 1.0])
