"""Longitudes of one location: beyond 180 degrees, on the date line and at the poles."""

import numpy as np
import pandas as pd
import pytest
from fold_helpers import split_lists

from sptgnn_sklearn import XGBoostBaseline
from sptgnn_sklearn.model_selection import (
    BufferedLeaveOneOut,
    EnvironmentalBlockKFold,
    KNNDMKFold,
    LeaveLocationAndTimeOut,
    SpatialBlockKFold,
)
from sptgnn_sklearn.model_selection.locations import read_locations
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.spatial.longitudes import longitude_start, wrap_longitudes
from sptgnn_sklearn.table.coordinate_columns import locate_coordinates
from sptgnn_sklearn.table.schema import TableSchema

WGS84 = resolve_crs(4326, [])
N = 60
RNG = np.random.default_rng(0)
LON, LAT = RNG.uniform(-12, 12, N), RNG.uniform(40, 50, N)


def twins():
    """Return a table in which each location occurs as -180 to 180 and as 0 to 360."""
    once = pd.DataFrame(
        {
            "lon": LON,
            "lat": LAT,
            "rain": RNG.normal(size=N),
            "date": pd.date_range("2001-01-01", periods=N, freq="9D"),
        }
    )
    again = once.assign(lon=once["lon"] % 360)
    return pd.concat([once, again], ignore_index=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((-10.0, 50.0), (350.0, 50.0)),
        ((-9.9, 50.0), (350.1, 50.0)),
        ((-0.123456789, 5.0), (359.876543211, 5.0)),
        ((-180.0, 5.0), (180.0, 5.0)),
        ((-179.7, -17.0), (180.3, -17.0)),
        ((12.0, 90.0), (-77.0, 90.0)),
        ((0.0, -90.0), (359.0, -90.0)),
        ((0.0, 3.0), (360.0, 3.0)),
    ],
)
def test_one_location_has_one_pair_of_coordinates(one, other):
    """Both ways to write a location are equal, in a table and in the queries of a schema."""
    both = np.array([one, other])
    first, second = wrap_longitudes(both, WGS84)
    np.testing.assert_array_equal(first, second)
    X = pd.DataFrame(both, columns=["lon", "lat"])
    assert read_locations(X, None, None).unit.tolist() == [0, 0]
    schema = TableSchema.fit(pd.DataFrame({"lon": LON, "lat": LAT}))
    np.testing.assert_allclose(*schema.transform(X).coordinates, atol=1e-12)


def test_arbitrary_numbers_equal_their_twins():
    """Rounding of longitude + 360 does not separate twins."""
    units = read_locations(twins(), None, None).unit
    np.testing.assert_array_equal(units[:N], units[N:])
    assert len(set(units)) == N


@pytest.mark.parametrize("longitudes", [LON, LON + 185.0, np.linspace(-179.9, 180.0, N), [0, 360]])
def test_tables_of_one_convention_are_unchanged(longitudes):
    """The same object is returned for -180 to 180, and for 0 to 360 without their ends."""
    xy = np.column_stack([longitudes, LAT[: len(longitudes)]])
    if len(longitudes) == N:
        assert wrap_longitudes(xy, WGS84) is xy
    else:
        np.testing.assert_array_equal(wrap_longitudes(xy, WGS84)[:, 0], [0, 0])


def test_queries_follow_the_convention_of_fit():
    """A survey across the date line in 0 to 360 accepts queries in -180 to 180, and the reverse."""
    pacific = np.array([[177.0, -17.0], [182.0, -18.0]])
    start = longitude_start(pacific, WGS84)
    np.testing.assert_array_equal(
        wrap_longitudes(np.array([[-178.0, -18.0]]), WGS84, start), [[182.0, -18.0]]
    )
    np.testing.assert_array_equal(
        wrap_longitudes(pacific, WGS84, -180.0), [[177.0, -17.0], [-178.0, -18.0]]
    )


def test_other_units_and_projections():
    """A circle has 400 grads; projected coordinates are returned unchanged."""
    grads = resolve_crs(4807, [])
    np.testing.assert_array_equal(
        wrap_longitudes(np.array([[-10.0, 5.0], [390.0, 5.0]]), grads), [[-10.0, 5.0]] * 2
    )
    xy = np.array([[-10.0, 5.0], [350.0, 90.0]])
    assert wrap_longitudes(xy, resolve_crs(3857, [])) is xy
    assert locate_coordinates(pd.DataFrame(xy, columns=["x", "y"]))[0].tolist() == xy.tolist()


SPLITTERS = {
    "blocks": SpatialBlockKFold(3),
    "buffer": BufferedLeaveOneOut(distance=0.0, n_locations=8),
    "location and time": LeaveLocationAndTimeOut(n_splits=3, time="date"),
    "environmental": EnvironmentalBlockKFold(n_splits=3, columns=["rain"]),
    "knndm": KNNDMKFold(3, prediction_points=np.column_stack([LON + 1, LAT])),
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_splitters_keep_twins_together(name):
    """No location is in the training and the test set."""
    X = twins()
    location = np.tile(np.arange(N), 2)
    for train, test in split_lists(SPLITTERS[name], X):
        assert not set(location[train]) & set(location[test])


def test_models_predict_twins_alike():
    """Fit and predict do not depend on the convention of a row."""
    X = twins().drop(columns="date")
    X["lon"] = X["lon"].round(6)
    y = X["lat"] + X["rain"]
    mixed = X[:N].copy()
    mixed.loc[::2, "lon"] %= 360
    model = XGBoostBaseline(n_estimators=20, random_state=0)
    expected = model.fit(X[:N], y[:N]).predict(X[:N])
    np.testing.assert_allclose(model.predict(X[N:]), expected)
    np.testing.assert_allclose(model.fit(mixed, y[:N]).predict(X[:N]), expected, rtol=1e-6)
