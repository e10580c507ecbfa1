"""Buffered leave-one-out, and leave-location-and-time-out."""

import numpy as np
import pandas as pd
import pytest
from fold_helpers import dated_samples, split_lists
from scipy.spatial.distance import cdist
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from sptgnn_sklearn.model_selection import BufferedLeaveOneOut, LeaveLocationAndTimeOut


@pytest.fixture(scope="module")
def table():
    return dated_samples()


def test_training_rows_are_outside_the_buffer(table):
    """Rows nearer than the distance are not trained on; each row is tested once."""
    xy = table[["x", "y"]].to_numpy()
    distance = cdist(xy, xy)
    splitter = BufferedLeaveOneOut(15.0)
    splits = list(splitter.split(table))
    assert len(splits) == splitter.get_n_splits(table) == 30
    np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in splits])), np.arange(60))
    for train, test in splits:
        np.testing.assert_array_equal(train, np.flatnonzero((distance[test] >= 15.0).all(axis=0)))


def test_distance_in_kilometers():
    """A tenth of a degree of latitude is 11.1 km."""
    X = pd.DataFrame({"lon": [5.0] * 4, "lat": [50.0, 50.1, 50.2, 50.3]})
    results = [train.tolist() for train, _ in BufferedLeaveOneOut(15.0).split(X)]
    assert results == [[2, 3], [3], [0], [0, 1]]


def test_rows_at_exactly_the_distance_are_kept():
    """The distance is exclusive, and two locations are enough."""
    X = np.column_stack([np.arange(5.0), np.zeros(5)])
    results = [train.tolist() for train, _ in BufferedLeaveOneOut(2.0).split(X)]
    assert results == [[2, 3, 4], [3, 4], [0, 4], [0, 1], [0, 1, 2]]
    assert [t.tolist() for t, _ in BufferedLeaveOneOut(1.0).split(X[:2])] == [[1], [0]]


def test_n_locations_draws_a_sample(table):
    """The sample of locations depends on the seed; None tests all of them."""
    splitter = BufferedLeaveOneOut(5.0, n_locations=4)
    tested = [test.tolist() for _, test in splitter.split(table)]
    assert len(tested) == splitter.get_n_splits(table) == 4
    assert tested == [test.tolist() for _, test in splitter.split(table)]
    other = BufferedLeaveOneOut(5.0, n_locations=4, random_state=1)
    assert tested != [test.tolist() for _, test in other.split(table)]
    result = cross_val_predict(
        LinearRegression(), table[["x", "y"]], table["rain"], cv=BufferedLeaveOneOut(1.0)
    )
    assert np.isfinite(result).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": -1}, "distance must be .* found -1"),
        (
            {"distance": 1e4},
            r"^distance=10000.0 unit leaves no training rows for the location of row \d*[02468]:",
        ),
        ({"distance": 1.0, "n_locations": 0}, "n_locations must be"),
    ],
)
def test_invalid_buffers_raise(table, settings, message):
    """The error names the parameter and what was found."""
    with pytest.raises(ValueError, match=message):
        list(BufferedLeaveOneOut(**settings).split(table))
    with pytest.raises(ValueError, match=r"^X must be passed"):
        BufferedLeaveOneOut(1.0).get_n_splits()
    with pytest.raises(ValueError, match="at 1 location"):
        list(BufferedLeaveOneOut(1.0).split(np.zeros((5, 2))))


def test_locations_and_times_are_held_out(table):
    """Training and test rows share no location and no period; each row is tested once."""
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
    """If most rows have one date, the periods have equal numbers of dates."""
    X = pd.DataFrame({"x": np.arange(20.0), "y": 0.0, "year": [1990.0] * 14 + [2000.0, 2010.0] * 3})
    splits = list(LeaveLocationAndTimeOut(2, n_periods=3, time="year").split(X))
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(20))
    X = pd.DataFrame(
        {"x": np.arange(24.0), "y": 0.0, "year": [1990] * 20 + [1991, 1992, 1993] * 1 + [1993]}
    )
    tested = [set(X["year"].iloc[test]) for _, test in split_by_year(X, n_periods=3)]
    assert {frozenset(years) for years in tested} <= {
        frozenset(part) for part in ({1990, 1991}, {1990}, {1991}, {1992}, {1993})
    }
    assert sorted(np.concatenate([test for _, test in split_by_year(X, n_periods=3)])) == list(
        range(24)
    )


def test_periods_have_similar_numbers_of_rows():
    """The midpoint of a date's rows determines its period."""
    rows = {1990: 1, 1991: 6, 1992: 1, 1993: 1, 1994: 1}
    X = pd.DataFrame({"x": np.arange(10.0), "y": 0.0, "year": np.repeat([*rows], [*rows.values()])})
    tested = [set(X["year"].iloc[test]) for _, test in split_by_year(X)]
    assert all(years <= {1990, 1991} or years <= {1992, 1993, 1994} for years in tested)


def split_by_year(X, **settings):
    return list(LeaveLocationAndTimeOut(2, time="year", **settings).split(X))


def test_folds_without_training_rows_raise():
    """All other locations were sampled in the same period only."""
    X = pd.DataFrame({"x": [0.0, 0.0, 1.0], "y": 0.0, "year": [1990, 2020, 1990]})
    with pytest.raises(
        ValueError,
        match=r"^No training rows for fold [01] of locations and period [01]",
    ):
        split_by_year(X)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {"n_periods": 4}, "n_periods=4 .* column 'date' holds 3"),
        ({}, {"n_periods": 1}, "n_periods must be an integer of at least 2"),
        ({}, {"n_splits": 31}, "n_splits=31 folds need"),
        ({}, {"n_splits": 1}, "^n_splits must be an integer of at least 2"),
        ({}, {"time": "when"}, "^time='when'"),
        ({"date": "soon"}, {}, "'date'"),
        (
            {"date": pd.NaT},
            {},
            "^Column 'date' has no date in 60 of 60 rows",
        ),
    ],
)
def test_invalid_dates_and_parameters_raise(table, change, settings, message):
    """The error names the column or the parameter."""
    with pytest.raises(ValueError, match=message):
        list(LeaveLocationAndTimeOut(**{"time": "date", **settings}).split(table.assign(**change)))


def test_folds_depend_on_random_state(table):
    """Folds are reproducible by default, with seed 0; other seeds change them."""
    settings = {"n_splits": 3, "time": "date"}
    folds = [
        split_lists(LeaveLocationAndTimeOut(**settings, random_state=seed), table)
        for seed in range(4)
    ]
    assert split_lists(LeaveLocationAndTimeOut(**settings), table) == folds[0]
    assert any(other != folds[0] for other in folds[1:])
    default = LeaveLocationAndTimeOut(time="date")
    assert (default.n_splits, default.n_periods) == (5, 2)
