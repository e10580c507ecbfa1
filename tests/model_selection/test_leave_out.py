"""Buffered leave-one-out, places and times left out together, environmental blocks."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from sptgnn_sklearn.model_selection import (
    BufferedLeaveOneOut,
    EnvironmentalBlockKFold,
    LeaveLocationAndTimeOut,
    SpatialBlockKFold,
)
from sptgnn_sklearn.spatial.blocks import hexagon_labels


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "x": rng.uniform(0, 100, 60),
            "y": rng.uniform(0, 100, 60),
            "rain": rng.normal(600, 100, 60),
            "clay": rng.normal(20, 5, 60),
            "date": pd.to_datetime(rng.choice(["1990-05-01", "2005-05-01", "2020-05-01"], 60)),
        }
    )
    X.loc[1::2, ["x", "y"]] = X.loc[0::2, ["x", "y"]].to_numpy()
    return X


def test_a_buffer_is_a_distance(table):
    """Rows at the distance train, nearer ones do not; each row is tested once."""
    places = table[["x", "y"]].to_numpy()
    apart = cdist(places, places)
    splitter = BufferedLeaveOneOut(15.0)
    splits = list(splitter.split(table))
    assert len(splits) == splitter.get_n_splits(table) == 30
    np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in splits])), np.arange(60))
    for train, test in splits:
        np.testing.assert_array_equal(train, np.flatnonzero((apart[test] >= 15.0).all(axis=0)))


def test_a_buffer_is_in_kilometres():
    """A tenth of a degree of latitude is 11.1 km."""
    X = pd.DataFrame({"lon": [5.0] * 4, "lat": [50.0, 50.1, 50.2, 50.3]})
    found = [train.tolist() for train, _ in BufferedLeaveOneOut(15.0).split(X)]
    assert found == [[2, 3], [3], [0], [0, 1]]


def test_as_far_as_the_distance_is_far_enough():
    """Rows at exactly the distance train; two locations are enough."""
    X = np.column_stack([np.arange(5.0), np.zeros(5)])
    found = [train.tolist() for train, _ in BufferedLeaveOneOut(2.0).split(X)]
    assert found == [[2, 3, 4], [3, 4], [0, 4], [0, 1], [0, 1, 2]]
    assert [t.tolist() for t, _ in BufferedLeaveOneOut(1.0).split(X[:2])] == [[1], [0]]


def test_some_locations(table):
    """A sample of the locations is drawn by the seed; whole cross-validation runs with all."""
    splitter = BufferedLeaveOneOut(5.0, n_locations=4)
    tested = [test.tolist() for _, test in splitter.split(table)]
    assert len(tested) == splitter.get_n_splits(table) == 4
    assert tested == [test.tolist() for _, test in splitter.split(table)]
    other = BufferedLeaveOneOut(5.0, n_locations=4, random_state=1)
    assert tested != [test.tolist() for _, test in other.split(table)]
    found = cross_val_predict(
        LinearRegression(), table[["x", "y"]], table["rain"], cv=BufferedLeaveOneOut(1.0)
    )
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": -1}, "distance must be a distance of zero or more"),
        (
            {"distance": 1e4},
            r"^distance=10000.0 unit leaves no training rows for the location of row \d*[02468]: "
            r"all others are nearer. Use a smaller distance.$",
        ),
        ({"distance": 1.0, "n_locations": 0}, "n_locations must be"),
    ],
)
def test_impossible_buffers(table, settings, message):
    """The error names what is wrong."""
    with pytest.raises(ValueError, match=message):
        list(BufferedLeaveOneOut(**settings).split(table))
    with pytest.raises(ValueError, match=r"^The number of folds is that of .*: pass X.$"):
        BufferedLeaveOneOut(1.0).get_n_splits()
    with pytest.raises(ValueError, match="lie at 1 location"):
        list(BufferedLeaveOneOut(1.0).split(np.zeros((5, 2))))


def test_places_and_times(table):
    """No training row shares a location or a period with a test row; each row is tested once."""
    splitter = LeaveLocationAndTimeOut(3, n_periods=3, time="date")
    splits = list(splitter.split(table))
    assert len(splits) == splitter.get_n_splits(table) == splitter.get_n_splits() == 9
    np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in splits])), np.arange(60))
    for train, test in splits:
        assert not set(table["date"].iloc[train]) & set(table["date"].iloc[test])
        assert not set(table["x"].iloc[train]) & set(table["x"].iloc[test])
    again = LeaveLocationAndTimeOut(3, n_periods=3, time=4).split(table)
    assert all((a == c).all() for (_, a), (_, c) in zip(splits, again, strict=True))


def test_a_frequent_date_leaves_no_period_empty():
    """With most rows of one date, periods are of equally many dates."""
    X = pd.DataFrame({"x": np.arange(20.0), "y": 0.0, "year": [1990.0] * 14 + [2000.0, 2010.0] * 3})
    splits = list(LeaveLocationAndTimeOut(2, n_periods=3, time="year").split(X))
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(20))
    X = pd.DataFrame(
        {"x": np.arange(24.0), "y": 0.0, "year": [1990] * 20 + [1991, 1992, 1993] * 1 + [1993]}
    )
    tested = [set(X["year"].iloc[test]) for _, test in _llto(X, n_periods=3)]
    assert {frozenset(years) for years in tested} <= {
        frozenset(part) for part in ({1990, 1991}, {1990}, {1991}, {1992}, {1993})
    }
    assert sorted(np.concatenate([test for _, test in _llto(X, n_periods=3)])) == list(range(24))


def test_periods_have_about_equally_many_rows():
    """A date goes to the period in which the middle of its rows falls."""
    rows = {1990: 1, 1991: 6, 1992: 1, 1993: 1, 1994: 1}
    X = pd.DataFrame({"x": np.arange(10.0), "y": 0.0, "year": np.repeat([*rows], [*rows.values()])})
    tested = [set(X["year"].iloc[test]) for _, test in _llto(X)]
    assert all(years <= {1990, 1991} or years <= {1992, 1993, 1994} for years in tested)


def _llto(X, **settings):
    return list(LeaveLocationAndTimeOut(2, time="year", **settings).split(X))


def test_a_fold_without_training_rows():
    """Where all other places were sampled in the same period only."""
    X = pd.DataFrame({"x": [0.0, 0.0, 1.0], "y": 0.0, "year": [1990, 2020, 1990]})
    with pytest.raises(
        ValueError,
        match=r"^No rows train for fold [01] of locations and period [01]: each other row is at "
        r"one of its locations or in its period. Use fewer folds.$",
    ):
        _llto(X)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {"n_periods": 4}, "n_periods=4 needs as many dates; column 'date' holds 3"),
        ({}, {"n_periods": 1}, "n_periods must be an integer of at least 2"),
        ({}, {"n_splits": 31}, "n_splits=31 folds need"),
        ({}, {"n_splits": 1}, "^n_splits must be an integer of at least 2"),
        ({}, {"time": "when"}, "^time='when' names a column"),
        ({"date": "soon"}, {}, "'date'"),
        (
            {"date": pd.NaT},
            {},
            r"^Column 'date' lacks the date in .*: fill in or drop these rows.$",
        ),
    ],
)
def test_impossible_places_and_times(table, change, settings, message):
    """The error names the column or the parameter."""
    with pytest.raises(ValueError, match=message):
        list(LeaveLocationAndTimeOut(**{"time": "date", **settings}).split(table.assign(**change)))


def test_environmental_blocks(table):
    """Test rows are of other conditions than training rows; locations stay whole."""
    X = table.drop(columns="date")
    folds = np.full(60, -1)
    for fold, (train, test) in enumerate(EnvironmentalBlockKFold(3).split(X)):
        folds[test] = fold
        assert len(train) + len(test) == 60
    assert set(folds) == {0, 1, 2}
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    between = X[["rain", "clay"]].groupby(folds).mean()
    assert (between.std() > 0.3 * X[["rain", "clay"]].std()).any()
    by_rain = [t.tolist() for _, t in EnvironmentalBlockKFold(2, columns=["rain"]).split(X)]
    means = X["rain"].groupby(np.arange(60) // 2).transform("mean")
    low, high = sorted(by_rain, key=lambda rows: means.iloc[rows].mean())
    assert means.iloc[low].max() < means.iloc[high].min()


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            {"soil": "loam"},
            {},
            r"\['soil'\] hold text or categories, .*: name the numeric columns that make the "
            "conditions in columns=.$",
        ),
        ({"rain": 1.0, "clay": np.nan}, {"columns": ["rain", "clay"]}, "do not vary"),
        ({}, {"columns": ["slope"]}, "^columns='slope' names a column"),
        ({}, {"n_splits": 1}, "^n_splits must be an integer of at least 2"),
        ({}, {"n_blocks": 2}, "n_blocks must be an integer of at least 5"),
        (
            {"rain": [1.0, 1.0, 2.0, 2.0] * 15, "clay": 1.0},
            {"n_splits": 3},
            "^n_splits=3 folds need at least as many different conditions; X has 2.$",
        ),
    ],
)
def test_impossible_environments(table, change, settings, message):
    """The error names columns that cannot serve."""
    X = table.drop(columns="date").assign(**change)
    with pytest.raises(ValueError, match=message):
        list(EnvironmentalBlockKFold(**settings).split(X))


def test_mixed_columns_are_named(table):
    """Also where kinds of columns are found out."""
    X = table.drop(columns="date").assign(soil=[1, "b"] * 30)
    with pytest.raises(TypeError, match="Column 'soil' holds 1 and 'b'"):
        list(EnvironmentalBlockKFold(2).split(X))


def test_conditions_are_standardised():
    """A column counts by its deviations, whatever its unit; a gap is average."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 100, (40, 2)), columns=["x", "y"])
    X["small"] = np.repeat([0.0, 0.04], 20) + rng.normal(0, 0.001, 40) + 5.0
    X["large"] = rng.normal(0, 1e4, 40)
    X.loc[3, "small"] = np.nan
    found = EnvironmentalBlockKFold(2)._conditions(X, ["x", "y"])
    known = X[["small", "large"]]
    expected = ((known - known.mean()) / known.std(ddof=0)).fillna(0.0)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    splits = [test for _, test in EnvironmentalBlockKFold(2, columns=["small"]).split(X)]
    parts = [set(rows) - {3} for rows in splits]
    assert set(range(20)) - {3} in parts


SPLITTERS = {
    "buffer": (BufferedLeaveOneOut, {"distance": 10.0, "n_locations": 12}),
    "places and times": (LeaveLocationAndTimeOut, {"n_splits": 3, "time": "date"}),
    "environment": (EnvironmentalBlockKFold, {"n_splits": 3, "columns": ["rain", "clay"]}),
}


def _splits(splitter, X, groups=None):
    return [(a.tolist(), b.tolist()) for a, b in splitter.split(X, None, groups)]


@pytest.mark.parametrize("name", SPLITTERS)
def test_coordinates_are_those_that_are_named(name, table):
    """By name beside columns of usual names, and by crs where names say nothing."""
    make, settings = SPLITTERS[name]
    expected = _splits(make(**settings), table)
    assert _splits(make(**settings, random_state=0), table) == expected
    renamed = table.rename(columns={"x": "east", "y": "north"}).assign(x=np.arange(60.0), y=0.0)
    named = make(**settings, coordinates=("east", "north"))
    assert named.get_n_splits(renamed) == len(expected)
    assert _splits(named, renamed) == expected
    degrees = table.assign(x=table["x"] / 100 + 5, y=table["y"] / 100 + 60)
    by_name = _splits(make(**settings), degrees.rename(columns={"x": "lon", "y": "lat"}))
    assert _splits(make(**settings, crs=4326), degrees) == by_name
    if name == "buffer":  # the only one in which distances count
        with pytest.raises(ValueError, match=r"10.0 unit leaves no training rows"):
            _splits(make(**settings), degrees)
    with pytest.raises(ValueError, match="itudes beyond"):
        _splits(make(**settings, crs=4326), table.assign(x=table["x"] * 1e4))
    if name != "environment":
        with pytest.raises(ValueError, match="itudes beyond"):
            make(**settings, crs=4326).get_n_splits(table.assign(x=table["x"] * 1e4))


@pytest.mark.parametrize("name", SPLITTERS)
def test_groups_stay_whole(name, table):
    """Rows of one group are tested together; fewer groups than folds and other lengths are told."""
    make, settings = SPLITTERS[name]
    settings = {**settings, "distance": 1.0, "n_locations": None} if name == "buffer" else settings
    groups = np.arange(60) // 10
    splitter = make(**settings)
    splits = _splits(splitter, table, groups)
    assert len(splits) == splitter.get_n_splits(table, groups=groups)
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
    if name == "buffer":
        assert len(splits) == 6
    with pytest.raises(ValueError, match=r"1 location.*, rows of one group counted as one.$"):
        _splits(splitter, table, np.zeros(60))
    for wrong in ({"groups": groups[:59]}, {"y": np.zeros(59)}):
        if name == "places and times" and "y" in wrong:
            continue  # it looks at no target
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            list(splitter.split(table, **wrong))
    if name != "environment":
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            splitter.get_n_splits(table, groups=groups[:59])


@pytest.mark.parametrize("name", ["places and times", "environment"])
def test_seed_and_defaults(name, table):
    """The seed deals; without one, two calls of one splitter may differ, and seed 0 is used."""
    make, settings = SPLITTERS[name]
    seeds = [_splits(make(**settings, random_state=seed), table) for seed in range(4)]
    assert _splits(make(**settings), table) == seeds[0]
    assert any(other != seeds[0] for other in seeds[1:])
    defaults = vars(make(time="date") if name == "places and times" else make())
    assert defaults["n_splits"] == 5 and defaults["random_state"] == 0
    assert defaults.get("n_periods", 2) == 2


def test_hexagons_are_as_wide_as_asked_for():
    """No two rows of a block are farther apart than two corners of a hexagon."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 100, (3000, 2))
    folds = SpatialBlockKFold(method="hexagon", spacing=20.0)
    assert sum(len(test) for _, test in folds.split(X)) == 3000
    labels = hexagon_labels(X, 20.0)
    corner_to_corner = 20.0 * 2 / np.sqrt(3)
    for label in np.unique(labels):
        assert cdist(X[labels == label], X[labels == label]).max() <= corner_to_corner
    inner = np.bincount(labels).max() / 3000 * 100**2
    assert inner == pytest.approx(20.0**2 * np.sqrt(3) / 2, rel=0.35)
    with pytest.raises(ValueError, match="spacing"):
        list(SpatialBlockKFold(method="hexagon").split(X))
    with pytest.raises(ValueError, match="one positive number"):
        list(SpatialBlockKFold(method="hexagon", spacing=(1.0, 2.0)).split(X))
