"""Tests of cross-fitting folds: whole locations, complete, near and far."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from sptgnn_sklearn.ensemble.member_folds import N_FOLDS, make_member_folds

N_LOCATIONS = 200


def survey(n_locations=N_LOCATIONS, n_rows=500, seed=0):
    """Return positions and location ids in a square, some locations with many rows."""
    rng = np.random.default_rng(seed)
    locations = rng.uniform(0, 100, (n_locations, 2))
    location = np.concatenate(
        [np.arange(n_locations), rng.integers(0, n_locations, n_rows - n_locations)]
    )
    return locations[location], location


def draw(n_members=5, seed=0, **settings):
    space, location = survey(**settings)
    return make_member_folds(space, location, n_members, np.random.RandomState(seed))


def labels_of(member_folds):
    return [*member_folds.member, *member_folds.far_folds]


def test_locations_are_not_split():
    """All rows of a location share a fold."""
    member_folds = draw(n_members=12)
    for folds in labels_of(member_folds):
        assert pd.Series(folds).groupby(member_folds.location).nunique().max() == 1


@pytest.mark.parametrize("n_members", [1, 5, 7, 10])
def test_each_round_is_a_partition(n_members):
    """The members of a round hold out disjoint sets of similar size that cover all rows."""
    member_folds = draw(n_members=n_members)
    rounds = member_folds.fold_rounds(n_members)
    assert rounds.tolist() == [member // N_FOLDS for member in range(n_members)]
    assert len(member_folds.member) == rounds[-1] + 1
    for number in range(rounds[-1] + 1):
        held = [member_folds.held_out(number * N_FOLDS + fold) for fold in range(N_FOLDS)]
        np.testing.assert_array_equal(np.sum(held, axis=0), 1)
        assert {rows.sum() for rows in held} <= set(range(80, 121))


def test_rounds_differ():
    """Further rounds of members hold out other rows."""
    member_folds = draw(n_members=10)
    assert (member_folds.held_out(0) != member_folds.held_out(5)).any()


def test_half_of_the_blocks_are_held_out_whole():
    """Rows of whole blocks share their fold with all neighbors, other rows with one in five."""
    space, location = survey(n_locations=2000, n_rows=2000)
    folds = make_member_folds(space, location, 5, np.random.RandomState(0)).member[0]
    around = folds[cKDTree(space).query(space, k=6)[1][:, 1:]]
    share = (around == folds[:, None]).mean(axis=1)
    assert 0.35 < (share > 0.7).mean() < 0.55
    assert 0.35 < (share < 0.5).mean() < 0.55


def test_far_folds_have_blocks_of_several_sizes():
    """Blocks get smaller, so rows get closer to those of other folds."""
    space, location = survey(n_locations=2000, n_rows=2000)
    gaps = []
    for folds in make_member_folds(space, location, 5, np.random.RandomState(0)).far_folds:
        nearest = [
            cKDTree(space[folds != fold]).query(space[folds == fold])[0] for fold in range(N_FOLDS)
        ]
        gaps.append(np.median(np.concatenate(nearest)))
    # Locations are about one apart.
    assert gaps[0] > 1.5 * gaps[1]
    assert gaps[1] > 1.3 * gaps[2]
    assert gaps[2] > 2


def test_one_far_fold_array_per_block_size():
    """Block sizes are a parameter."""
    space, location = survey()
    member_folds = make_member_folds(
        space, location, 5, np.random.RandomState(0), far_blocks=(8, 20)
    )
    assert len(member_folds.far_folds) == 2


def test_random_state_determines_folds():
    """Equal seeds give equal folds."""
    one, same, other = draw(seed=3), draw(seed=3), draw(seed=4)
    for first, second in zip(labels_of(one), labels_of(same), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (one.member != other.member).any()


@pytest.mark.parametrize("n_locations", [2, 3, 4, 5, 9, 10, 11, 14, 15, 19, 20, 21, 25, 40])
@pytest.mark.parametrize("seed", range(3))
def test_few_locations_give_fewer_folds(n_locations, seed):
    """Each row is held out once, and each member holds out some rows but not all."""
    member_folds = draw(n_locations=n_locations, n_rows=60, seed=seed)
    held = np.array([member_folds.held_out(member) for member in range(N_FOLDS)])
    if n_locations >= N_FOLDS:
        np.testing.assert_array_equal(held.sum(axis=0), 1)
    assert held.any(axis=0).all()
    assert held.any(axis=1).all()
    assert not held.all(axis=1).any()
    for folds in labels_of(member_folds):
        assert len(set(folds)) >= 2
        assert pd.Series(folds).groupby(member_folds.location).nunique().max() == 1
    assert len(member_folds.far_folds) == (3 if n_locations >= 2 * N_FOLDS else 0)


def test_nearly_equal_locations_give_fewer_blocks():
    """K-means may find fewer clusters than requested."""
    space = np.array([[i * 1e-300, 0.0] for i in range(24)] + [[5.0, 5.0]])
    member_folds = make_member_folds(space, np.arange(25), 5, np.random.RandomState(0))
    for folds in labels_of(member_folds):
        assert len(set(folds)) >= 2


def test_sites_with_several_coordinates_share_a_fold():
    """The rows of a site share a fold although their coordinates differ."""
    space, _ = survey()
    site = np.arange(500) % 90
    member_folds = make_member_folds(space, site, 5, np.random.RandomState(0))
    for folds in labels_of(member_folds):
        assert pd.Series(folds).groupby(site).nunique().max() == 1


def test_blocks_are_compact_for_locations_with_many_rows():
    """Blocks are compact whatever the number of rows per location."""
    space, location = survey(n_locations=200, n_rows=3000)
    folds = make_member_folds(space, location, 5, np.random.RandomState(0)).far_folds[0]
    first = np.unique(location, return_index=True)[1]
    nearest = cKDTree(space[first]).query(space[first], k=2)[1][:, 1]
    assert (folds[first] == folds[first][nearest]).mean() > 0.8


def test_single_location_raises():
    """The error names the columns to check."""
    with pytest.raises(ValueError, match=r"All 30 rows .*coordinates and site"):
        make_member_folds(np.zeros((30, 2)), np.zeros(30, dtype=int), 5, np.random.RandomState(0))
