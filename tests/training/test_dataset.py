"""Subsets of the members of a training set."""

from dataclasses import replace

import numpy as np
from small_training import N, training_set


def test_subset_of_members_shares_rows_and_lists():
    """Held-out masks and rounds are those of the members; all else is the same object."""
    data = training_set(n_members=3)
    data.rounds = np.array([0, 0, 1])
    part = data.for_members(np.array([2, 0]))
    np.testing.assert_array_equal(part.held_out, data.held_out[[2, 0]])
    np.testing.assert_array_equal(part.rounds, [1, 0])
    assert part.rows is data.rows and part.candidates is data.candidates


def test_scores_are_weighted_by_precision():
    """Held-out rows with known noise count less; weights keep their meaning without."""
    data = training_set()
    noise = np.where(np.arange(N) % 2, 2.0, 0.0)
    np.testing.assert_array_equal(data.score_weight, data.weight)
    weight = replace(data, noise=noise).score_weight
    assert (weight[noise == 0] == 1).all() and (weight[noise > 0] < 0.5).all()
