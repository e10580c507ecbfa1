"""Partitions of the training rows: whole places, complete, near and far."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from sptgnn_sklearn.ensemble.member_folds import N_FOLDS, make_member_folds

N_PLACES = 200


def survey(n_places=N_PLACES, n_rows=500, seed=0):
    """Places in a square, some of them with many rows: their positions and labels."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 100, (n_places, 2))
    place = np.concatenate([np.arange(n_places), rng.integers(0, n_places, n_rows - n_places)])
    return places[place], place


def draw(n_members=5, seed=0, **settings):
    space, place = survey(**settings)
    return make_member_folds(space, place, n_members, np.random.RandomState(seed))


def labels_of(parts):
    return [*parts.member, *parts.far_folds]


def test_places_are_never_divided():
    """All rows of a place are in one fold of every partition."""
    parts = draw(n_members=12)
    for folds in labels_of(parts):
        assert pd.Series(folds).groupby(parts.place).nunique().max() == 1


@pytest.mark.parametrize("n_members", [1, 5, 7, 10])
def test_each_round_holds_every_row_out_once(n_members):
    """The members of a round hold out disjoint sets of similar size, all rows together."""
    parts = draw(n_members=n_members)
    rounds = parts.fold_rounds(n_members)
    assert rounds.tolist() == [member // N_FOLDS for member in range(n_members)]
    assert len(parts.member) == rounds[-1] + 1
    for number in range(rounds[-1] + 1):
        held = [parts.held_out(number * N_FOLDS + fold) for fold in range(N_FOLDS)]
        np.testing.assert_array_equal(np.sum(held, axis=0), 1)
        assert {rows.sum() for rows in held} <= set(range(80, 121))


def test_rounds_differ():
    """More members than folds hold out other sets of rows."""
    parts = draw(n_members=10)
    assert (parts.held_out(0) != parts.held_out(5)).any()


def test_half_of_the_held_out_rows_have_neighbours_and_half_have_not():
    """Rows of whole blocks share the fold of all around them, the others that of one in five."""
    space, place = survey(n_places=2000, n_rows=2000)
    folds = make_member_folds(space, place, 5, np.random.RandomState(0)).member[0]
    around = folds[cKDTree(space).query(space, k=6)[1][:, 1:]]
    share = (around == folds[:, None]).mean(axis=1)
    assert 0.35 < (share > 0.7).mean() < 0.55
    assert 0.35 < (share < 0.5).mean() < 0.55


def test_far_partitions_have_blocks_of_several_sizes():
    """Each next partition has smaller blocks: rows are nearer to those of other folds."""
    space, place = survey(n_places=2000, n_rows=2000)
    gaps = []
    for folds in make_member_folds(space, place, 5, np.random.RandomState(0)).far_folds:
        nearest = [
            cKDTree(space[folds != fold]).query(space[folds == fold])[0] for fold in range(N_FOLDS)
        ]
        gaps.append(np.median(np.concatenate(nearest)))
    # Places are about one apart.
    assert gaps[0] > 1.5 * gaps[1]
    assert gaps[1] > 1.3 * gaps[2]
    assert gaps[2] > 2


def test_the_number_of_far_partitions_is_that_of_the_sizes():
    """Sizes are a setting."""
    space, place = survey()
    parts = make_member_folds(space, place, 5, np.random.RandomState(0), far_blocks=(8, 20))
    assert len(parts.far_folds) == 2


def test_a_seed_gives_the_same_partitions():
    """One seed one answer, another seed another."""
    one, same, other = draw(seed=3), draw(seed=3), draw(seed=4)
    for first, second in zip(labels_of(one), labels_of(same), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (one.member != other.member).any()


@pytest.mark.parametrize("n_places", [2, 3, 4, 5, 9, 10, 11, 14, 15, 19, 20, 21, 25, 40])
@pytest.mark.parametrize("seed", range(3))
def test_few_places_make_fewer_folds(n_places, seed):
    """Down to two places each row is held out, and each member holds out some rows and not all."""
    parts = draw(n_places=n_places, n_rows=60, seed=seed)
    held = np.array([parts.held_out(member) for member in range(N_FOLDS)])
    if n_places >= N_FOLDS:
        np.testing.assert_array_equal(held.sum(axis=0), 1)
    assert held.any(axis=0).all()
    assert held.any(axis=1).all()
    assert not held.all(axis=1).any()
    for folds in labels_of(parts):
        assert len(set(folds)) >= 2
        assert pd.Series(folds).groupby(parts.place).nunique().max() == 1
    assert len(parts.far_folds) == (3 if n_places >= 2 * N_FOLDS else 0)


def test_places_that_differ_by_rounding_only_are_no_trouble():
    """Fewer blocks than asked for, where most places are one for all that k-means can tell."""
    space = np.array([[i * 1e-300, 0.0] for i in range(24)] + [[5.0, 5.0]])
    parts = make_member_folds(space, np.arange(25), 5, np.random.RandomState(0))
    for folds in labels_of(parts):
        assert len(set(folds)) >= 2


def test_sites_with_several_positions_stay_together():
    """The rows of a site share a fold although they lie apart."""
    space, _ = survey()
    site = np.arange(500) % 90
    parts = make_member_folds(space, site, 5, np.random.RandomState(0))
    for folds in labels_of(parts):
        assert pd.Series(folds).groupby(site).nunique().max() == 1


def test_places_of_many_rows_lie_where_they_are():
    """Blocks are compact however many rows each place has."""
    space, place = survey(n_places=200, n_rows=3000)
    folds = make_member_folds(space, place, 5, np.random.RandomState(0)).far_folds[0]
    first = np.unique(place, return_index=True)[1]
    nearest = cKDTree(space[first]).query(space[first], k=2)[1][:, 1]
    assert (folds[first] == folds[first][nearest]).mean() > 0.8


def test_one_place_is_refused():
    """Nothing about space can be learnt at one place; the error says what to check."""
    with pytest.raises(ValueError, match=r"All 30 rows lie at one place.*coordinates and the site"):
        make_member_folds(np.zeros((30, 2)), np.zeros(30, dtype=int), 5, np.random.RandomState(0))
