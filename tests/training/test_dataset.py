"""Subsets of the members of a training set."""

import numpy as np
from small_training import training_set


def test_subset_of_members_shares_rows_and_lists():
    """Held-out masks and rounds are those of the members; all else is the same object."""
    data = training_set(n_members=3)
    data.rounds = np.array([0, 0, 1])
    part = data.for_members(np.array([2, 0]))
    np.testing.assert_array_equal(part.held_out, data.held_out[[2, 0]])
    np.testing.assert_array_equal(part.rounds, [1, 0])
    assert part.rows is data.rows and part.candidates is data.candidates
