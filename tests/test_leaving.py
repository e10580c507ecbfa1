"""Buffered leave-one-out, places and times left out together, environmental blocks, block size."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from sptgnn_sklearn.blocks import hexagon_labels
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import (
    BufferedLeaveOneOut,
    EnvironmentalBlockKFold,
    LeaveLocationAndTimeOut,
    SpatialBlockKFold,
    suggest_block_size,
)


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


def test_some_locations(table):
    """A sample of the locations is drawn by the seed; whole cross-validation runs with all."""
    splitter = BufferedLeaveOneOut(5.0, n_locations=4)
    tested = [test.tolist() for _, test in splitter.split(table)]
    assert len(tested) == splitter.get_n_splits(table) == 4
    assert tested == [test.tolist() for _, test in splitter.split(table)]
    found = cross_val_predict(
        LinearRegression(), table[["x", "y"]], table["rain"], cv=BufferedLeaveOneOut(1.0)
    )
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": -1}, "distance must be a distance of zero or more"),
        ({"distance": 1e4}, "leaves no training rows for the location of row 0|leaves no training"),
        ({"distance": 1.0, "n_locations": 0}, "n_locations must be"),
    ],
)
def test_impossible_buffers(table, settings, message):
    """The error names what is wrong."""
    with pytest.raises(ValueError, match=message):
        list(BufferedLeaveOneOut(**settings).split(table))
    with pytest.raises(ValueError, match="pass X"):
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


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {"n_periods": 4}, "n_periods=4 needs as many dates; column 'date' holds 3"),
        ({}, {"n_periods": 1}, "n_periods must be an integer of at least 2"),
        ({}, {"n_splits": 31}, "n_splits=31 folds need"),
        ({}, {"time": "when"}, "when"),
        ({"date": pd.NaT}, {}, "lacks the date in"),
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
        ({"soil": "loam"}, {}, r"\['soil'\] hold text or categories"),
        ({"rain": 1.0, "clay": np.nan}, {"columns": ["rain", "clay"]}, "do not vary"),
        ({}, {"columns": ["slope"]}, "slope"),
        ({}, {"n_blocks": 2}, "n_blocks must be an integer of at least 5"),
        ({"rain": [1.0, 1.0, 2.0, 2.0] * 15, "clay": 1.0}, {}, "different conditions"),
    ],
)
def test_impossible_environments(table, change, settings, message):
    """The error names columns that cannot serve."""
    X = table.drop(columns="date").assign(**change)
    with pytest.raises(ValueError, match=message):
        list(EnvironmentalBlockKFold(**settings).split(X))


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


def test_block_size_follows_the_range():
    """Errors with a longer range ask for larger blocks; the estimate is near the truth."""
    found = []
    for range_km in (40.0, 120.0):
        sizes = []
        for seed in range(3):
            survey = make_soil_survey(
                500,
                covariate_sd=0,
                elevation_sd=0,
                season_sd=0,
                trend_sd=0,
                range_km=range_km,
                random_state=seed,
            )
            sizes.append(suggest_block_size(survey.data, survey.target - survey.target.mean()))
        found.append(np.median(sizes) / range_km)
    assert 0.5 < found[0] < 2
    assert 0.5 < found[1] < 2


def test_impossible_block_sizes(table):
    """Too few places, constant or missing residuals are refused."""
    with pytest.raises(ValueError, match="residuals that differ"):
        suggest_block_size(table, np.zeros(60))
    with pytest.raises(ValueError, match="residuals hold NaN or inf in 1 rows"):
        suggest_block_size(table, np.r_[np.nan, np.ones(59)])
    with pytest.raises(ValueError, match="30 locations"):
        suggest_block_size(table.iloc[:20], np.arange(20.0))
    survey = make_soil_survey(300, random_state=0)
    assert suggest_block_size(survey.data, survey.target, max_rows=200) > 0
