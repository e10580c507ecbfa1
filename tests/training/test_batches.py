"""Batches of each member's own training rows."""

from dataclasses import replace

import numpy as np
from small_training import N, row_rngs, training_set

from sptgnn_sklearn.training.batches import MemberBatches


def test_batches_hold_the_training_rows_of_each_member():
    """An epoch covers all training rows of a member and none of its held-out rows."""
    data = training_set()
    batches = list(MemberBatches(None, data, row_rngs(), "cpu", batch_size=16))
    for member in range(2):
        rows = np.concatenate([inputs["rows"][member] for inputs, _ in batches])
        assert set(rows) == set(np.flatnonzero(~data.held_out[member]))
        assert len(rows) == (~data.held_out[member]).sum()
    inputs, row_data = batches[0]
    np.testing.assert_allclose(row_data["target"], data.targets[inputs["rows"]], rtol=1e-6)


def test_members_with_fewer_rows_start_over():
    """All members have the number of steps of the largest one."""
    data = training_set()
    data.held_out[1, :40] = True
    batches = MemberBatches(None, data, row_rngs(), "cpu", batch_size=16)
    rows = np.concatenate([inputs["rows"] for inputs, _ in batches], axis=1)
    assert rows.shape == (2, (~data.held_out[0]).sum())
    assert len(batches) == -(-rows.shape[1] // 16)
    assert set(rows[1]) == set(np.flatnonzero(~data.held_out[1]))


def test_batches_mix_near_and_far_neighbors():
    """About half of the rows of an epoch use the graph variant of other blocks."""
    batches = MemberBatches(None, training_set(), row_rngs(), "cpu", batch_size=16)
    variants = np.concatenate([inputs["variant"] for inputs, _ in batches], axis=1)
    assert 0.3 < (variants == 0).mean() < 0.7
    assert set(variants.ravel()) == {0, 1}


def test_batches_hold_known_noise():
    """Variances of measurement errors are those of the rows; there are none without the role."""
    plain = MemberBatches(None, training_set(), row_rngs(), "cpu", batch_size=16)
    assert "noise" not in next(iter(plain))[1]
    data = replace(training_set(), noise=np.arange(N) / 8)
    inputs, row_data = next(iter(MemberBatches(None, data, row_rngs(), "cpu", batch_size=16)))
    np.testing.assert_array_equal(row_data["noise"], inputs["rows"] / 8)
