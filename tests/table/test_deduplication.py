"""Identical rows merged and the rest in an order that does not depend on where they stood."""

import struct

import numpy as np
import pytest

from sptgnn_sklearn.table.deduplication import deduplicate
from sptgnn_sklearn.table.schema import SampleTable


def crowded_table(n=200, seed=0):
    """Rows of few values, so that many are identical, with gaps."""
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
    """All that a row holds, with NaN equal to itself."""
    values = [*table.coordinates[row], *table.numeric[row], *table.categories[row], y[row]]
    values += [] if table.time is None else [table.time[row]]
    values += [] if table.site is None else [table.site[row]]
    return tuple("gap" if value != value else value for value in values)


def test_merged_rows_agree_with_a_dictionary():
    """Each distinct content is there once, with the sum of its weights, and none of weight zero."""
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
    """Shuffled rows merge into the same rows, weights and order, to the last bit."""
    table, y, weight = crowded_table()
    merged = deduplicate(table, y, weight)
    order = np.random.default_rng(1).permutation(len(y))
    again = deduplicate(table.take(order), y[order], weight[order])
    first = [content(table, y, row) for row in merged.rows]
    assert [content(table, y, order[row]) for row in again.rows] == first
    np.testing.assert_array_equal(again.weight, merged.weight)
    np.testing.assert_array_equal(again.inverse, merged.inverse[order])


def test_a_weight_is_a_repetition():
    """A row of weight three and the row three times merge alike."""
    table, y, _ = crowded_table(40)
    weight = np.random.default_rng(2).integers(0, 4, 40)
    weighted = deduplicate(table, y, weight.astype(float))
    copies = np.repeat(np.arange(40), weight)
    repeated = deduplicate(table.take(copies), y[copies], np.ones(len(copies)))
    np.testing.assert_array_equal(weighted.weight, repeated.weight)
    np.testing.assert_array_equal(
        table.coordinates[weighted.rows], table.coordinates[copies[repeated.rows]]
    )


def test_sums_of_weights_do_not_depend_on_order():
    """Not even in the last digit, which decides what a seed gives."""
    table = two_rows().take(np.zeros(50, dtype=int))
    weight = np.random.default_rng(0).uniform(size=50)
    sums = {
        deduplicate(table, np.zeros(50), np.random.default_rng(seed).permutation(weight)).weight[0]
        for seed in range(10)
    }
    assert len(sums) == 1


def two_rows(**changes):
    """Twice the same row, the second one changed."""
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
def test_a_difference_anywhere_keeps_rows_apart(change):
    """Rows merge only if nothing that the model may read differs."""
    assert len(deduplicate(two_rows(), np.zeros(2), np.ones(2)).rows) == 1
    assert len(deduplicate(two_rows(**change), np.zeros(2), np.ones(2)).rows) == 2
    assert len(deduplicate(two_rows(), np.array([0.0, 1.0]), np.ones(2)).rows) == 2


def test_equal_values_of_different_bits_are_equal():
    """Negative zero is zero, and one NaN is as good as another."""
    table = two_rows(coordinates=[-0.0, 0.0])
    other_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    table.numeric[:, 0] = [np.nan, other_nan]
    assert len(deduplicate(table, np.array([-0.0, 0.0]), np.ones(2)).rows) == 1


def test_a_row_without_a_site_is_not_one_of_that_name():
    """A missing site is no site called None."""
    table = two_rows()
    table.site[:] = [None, None]
    assert len(deduplicate(table, np.zeros(2), np.ones(2)).rows) == 1
    table.site[:] = ["None", None]
    assert len(deduplicate(table, np.zeros(2), np.ones(2)).rows) == 2


def test_the_first_copy_stands_for_all():
    """Of identical rows the first one of positive weight is kept."""
    table = two_rows().take(np.array([0, 1, 0, 1]))
    merged = deduplicate(table, np.zeros(4), np.array([0.0, 2.0, 1.0, 4.0]))
    assert merged.rows.tolist() == [1]
    assert merged.weight.tolist() == [7.0]
    assert merged.inverse.tolist() == [-1, 0, 0, 0]
