"""Coordinates, groups and reference systems in all splitters that read them from X."""

import numpy as np
import pandas as pd
import pytest
from fold_helpers import dated_samples, geographic_samples, split_lists
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.model_selection import (
    BufferedLeaveOneOut,
    EnvironmentalBlockKFold,
    LeaveLocationAndTimeOut,
    SpatialBlockKFold,
)
from sptgnn_sklearn.model_selection.locations import (
    check_distance,
    nearest_distance,
    read_locations,
)
from sptgnn_sklearn.table.schema import TableSchema


@pytest.fixture(scope="module")
def table():
    return dated_samples()


def test_units_are_locations_or_groups():
    """Rows at one location form a unit, and so do rows of one group."""
    X = pd.DataFrame({"lon": [5.0, 6.0, 5.0, 7.0], "lat": [50.0, 51.0, 50.0, 52.0]})
    samples = read_locations(X, None, None)
    assert samples.unit.tolist() == [0, 1, 0, 2]
    assert (samples.n_units, samples.names, samples.reference.unit) == (3, ("lon", "lat"), "km")
    np.testing.assert_array_equal(samples.centers(samples.xy), X.drop_duplicates())
    grouped = read_locations(X, None, None, groups=["a", "b", "a", "b"])
    assert grouped.unit.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(grouped.centers(samples.xy), [[5, 50], [6.5, 51.5]])


def test_nearest_distance():
    """The distance is that to the nearest of the other points."""
    points, others = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 1.0], [3.0, 0.0]])
    np.testing.assert_array_equal(nearest_distance(points, others), [1.0, 4.0])


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, True, "10", None])
def test_invalid_distances_raise(value):
    """The error names the parameter and the value."""
    check_distance("buffer", 0)
    with pytest.raises(ValueError, match=f"^buffer must .* found {value!r}"):
        check_distance("buffer", value)


def test_one_location_raises():
    """Rows at one location, or of one group, cannot be split."""
    X = geographic_samples()
    with pytest.raises(ValueError, match="12 rows of X are at 1 location"):
        list(SpatialBlockKFold().split(X.iloc[[0] * 12]))
    with pytest.raises(ValueError, match=r"1 location.*one group"):
        list(SpatialBlockKFold().split(X, groups=np.zeros(len(X))))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        list(SpatialBlockKFold().split(X, groups=[1, 2]))


@pytest.mark.parametrize("crs", [None, 32631])
def test_mixed_reference_systems_raise(crs):
    """Degrees and meters in one table raise; a projected table near its origin does not."""
    rng = np.random.default_rng(0)
    degrees = rng.uniform((5, 50), (6, 51), (40, 2))
    meters = rng.uniform((5e5, 5.5e6), (6e5, 5.6e6), (20, 2))
    mixed = pd.DataFrame(np.r_[meters, degrees], columns=["x", "y"])
    message = r"'x' and 'y' look like degrees in 40 of 60 rows \(first at row position 20\)"
    with pytest.raises(ValueError, match=message):
        list(SpatialBlockKFold(crs=crs).split(mixed))
    local = pd.DataFrame(rng.uniform(0, 20_000, (400, 2)), columns=["x", "y"])
    local.iloc[:5] /= 1000
    assert len(list(SpatialBlockKFold(crs=crs).split(local))) == 5


def test_scaled_coordinates_raise():
    """A table that was standardized before splitting raises."""
    X = geographic_samples()
    scaled = pd.DataFrame(StandardScaler().fit_transform(X), columns=X.columns)
    with pytest.raises(ValueError, match=r"standardi[sz]ed"):
        list(SpatialBlockKFold().split(scaled))


SPLITTERS = {
    "buffer": (BufferedLeaveOneOut, {"distance": 10.0, "n_locations": 12}),
    "location and time": (LeaveLocationAndTimeOut, {"n_splits": 3, "time": "date"}),
    "environmental": (EnvironmentalBlockKFold, {"n_splits": 3, "columns": ["rain", "clay"]}),
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_coordinates_and_crs(name, table):
    """Named columns take precedence over common names, and crs over the names."""
    make, settings = SPLITTERS[name]
    expected = split_lists(make(**settings), table)
    assert split_lists(make(**settings, random_state=0), table) == expected
    renamed = table.rename(columns={"x": "east", "y": "north"}).assign(x=np.arange(60.0), y=0.0)
    named = make(**settings, coordinates=("east", "north"))
    assert named.get_n_splits(renamed) == len(expected)
    assert split_lists(named, renamed) == expected
    degrees = table.assign(x=table["x"] / 100 + 5, y=table["y"] / 100 + 60)
    by_name = split_lists(make(**settings), degrees.rename(columns={"x": "lon", "y": "lat"}))
    assert split_lists(make(**settings, crs=4326), degrees) == by_name
    if name == "buffer":  # the only splitter with a distance
        with pytest.raises(ValueError, match=r"10.0 unit leaves no training rows"):
            split_lists(make(**settings), degrees)
    with pytest.raises(ValueError, match=r"itudes .* -90 to 90"):
        split_lists(make(**settings, crs=4326), table.assign(x=table["x"] * 1e4))
    if name != "environmental":
        with pytest.raises(ValueError, match=r"itudes .* -90 to 90"):
            make(**settings, crs=4326).get_n_splits(table.assign(x=table["x"] * 1e4))


@pytest.mark.parametrize("name", SPLITTERS)
def test_groups_stay_whole(name, table):
    """Rows of one group are tested together; too few groups and wrong lengths raise."""
    make, settings = SPLITTERS[name]
    settings = {**settings, "distance": 1.0, "n_locations": None} if name == "buffer" else settings
    groups = np.arange(60) // 10
    splitter = make(**settings)
    splits = split_lists(splitter, table, groups)
    assert len(splits) == splitter.get_n_splits(table, groups=groups)
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
    if name == "buffer":
        assert len(splits) == 6
    with pytest.raises(ValueError, match=r"1 location.*one group"):
        split_lists(splitter, table, np.zeros(60))
    for invalid in ({"groups": groups[:59]}, {"y": np.zeros(59)}):
        if name == "location and time" and "y" in invalid:
            continue  # y is not used
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            list(splitter.split(table, **invalid))
    if name != "environmental":
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            splitter.get_n_splits(table, groups=groups[:59])


@pytest.mark.parametrize(
    "groups",
    [
        [1, "1", 2, "2"],
        pd.Series([1.0, "1", 2.0, "2"], dtype=object),
        ["1", 1, "2", np.int64(2)],
        [1, 1, 2, 2],
        ["a", "a", "b", "b"],
    ],
)
def test_numbers_and_their_text_are_one_site(groups):
    """Site ids 1 and "1" are one unit in splitters and in the training rows of an estimator."""
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": 0.0, "site": groups, "clay": [1, 2, 3, 4]})
    assert read_locations(X, None, None, groups).unit.tolist() == [0, 0, 1, 1]
    table = TableSchema.fit_transform(X, site="site")[1]
    assert table.site[0] == table.site[1] != table.site[2] == table.site[3]
