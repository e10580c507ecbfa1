"""Groups of locations, their means, and coarse quantiles."""

import numpy as np
import pytest

from sptgnn_sklearn.persistence.microaggregation import (
    LocationGroups,
    coarse_quantiles,
    group_locations,
    usual_diameter,
)


@pytest.mark.parametrize("size", [2, 5, 8])
@pytest.mark.parametrize("shape", ["uniform", "clusters", "line", "lattice"])
def test_groups_have_a_least_size_and_diameter(size, shape):
    """Also for clustered, collinear and regular locations."""
    rng = np.random.RandomState(0)
    points = {
        "uniform": rng.uniform(size=(300, 2)),
        "clusters": rng.randint(9, size=(300, 1)) + rng.normal(scale=1e-4, size=(300, 2)),
        "line": np.column_stack([np.arange(300.0), np.zeros(300)]),
        "lattice": np.stack(np.meshgrid(np.arange(20.0), np.arange(15.0)), -1).reshape(-1, 2),
    }[shape]
    diameter = usual_diameter(points, size)
    labels = group_locations(points, size, diameter)
    assert np.bincount(labels).min() >= size
    assert all(np.ptp(points[labels == g], axis=0).max() >= diameter for g in set(labels))
    assert len(set(labels)) >= 300 / (4 * size)


def test_each_location_counts_once():
    """Many samples at one location do not dominate a mean or a code."""
    groups = LocationGroups(np.array([0, 0, 0, 1, 2]), np.array([0, 0, 0]))
    values = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    assert groups.mean(values).tolist() == [5.0]
    assert groups.most_frequent(np.array([[4], [4], [4], [7], [7]])).tolist() == [[7]]


def test_means_need_values_of_half_of_the_locations():
    """A single known value is not given away as a mean."""
    groups = LocationGroups(np.arange(8), np.repeat([0, 1], 4))
    values = np.array([1.0, np.nan, np.nan, np.nan, 1.0, 3.0, np.nan, np.nan])
    np.testing.assert_array_equal(groups.mean(values), [np.nan, 2.0])


def test_coarse_quantiles_are_means_of_several_locations():
    """No exact value remains; extremes and values of one location with many rows are averaged."""
    rng = np.random.RandomState(0)
    values = rng.lognormal(sigma=2, size=200)
    found = coarse_quantiles(values, np.arange(200), 5, 200)
    ordered = np.sort(values)
    assert not np.isin(found, values).any()
    np.testing.assert_allclose(found[[0, -1]], [ordered[:5].mean(), ordered[-5:].mean()])
    repeated = np.repeat(values[:40], 5)
    assert not np.isin(
        coarse_quantiles(repeated, np.repeat(np.arange(40), 5), 5, 200), values
    ).any()


def test_coarse_quantiles_keep_common_values():
    """Zeros that most rows share stay zeros; a column without values gives zeros."""
    values = np.concatenate([np.zeros(80), np.arange(1.0, 21.0), [np.nan]])
    found = coarse_quantiles(values, np.arange(101), 5, 100)
    assert (found[:75] == 0).all()
    assert (coarse_quantiles(np.full(3, np.nan), np.arange(3), 2, 4) == 0).all()
