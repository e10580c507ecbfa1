"""Tests of unusual tables: errors, warnings, and valid input of any kind."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from small_models import make_regressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

N = 30
RNG = np.random.default_rng(0)
Y = RNG.normal(size=N)
LON, LAT = RNG.uniform(5, 6, N), RNG.uniform(50, 51, N)
CLAY, HEIGHT = RNG.uniform(size=N), RNG.normal(100, 20, N)


def survey(**changes):
    """Return a small survey; arguments replace or add columns, and None drops one."""
    columns = {
        "lon": LON,
        "lat": LAT,
        "clay": CLAY,
        "height": HEIGHT,
        "use": pd.Series(["crop", "grass", "wood"] * (N // 3)),
        "date": pd.date_range("2001-01-01", periods=N, freq="17D"),
    }
    columns.update(changes)
    return pd.DataFrame({name: value for name, value in columns.items() if value is not None})


def planar(**changes):
    """Return the same survey in meters."""
    return survey(**{"lon": None, "lat": None, "x": 1e5 * LON, "y": 1e5 * LAT, **changes})


def replace_entry(values, position, value):
    """Return a copy of a column with one entry replaced."""
    values = np.array(values, dtype=object)
    values[position] = value
    return values


def make_smallest_model(**parameters):
    """Return the smallest network with all components, trained for one epoch."""
    defaults = {
        "base_estimator": None,
        "n_estimators": 1,
        "max_epochs": 1,
        "hidden_size": 8,
        "n_experts": 2,
    }
    roles = {"n_neighbors": 4, "random_state": 0}
    return make_regressor(**{**defaults, **roles, **parameters})


def assert_works(X, queries=None, y=Y, sample_weight=None, **parameters):
    """Fit and predict; all returned numbers must be finite."""
    model = make_smallest_model(**parameters).fit(X, y, sample_weight=sample_weight)
    assert_finite(model.predict_uncertainty(X if queries is None else queries))
    return model


def assert_finite(table):
    """Check all columns but epistemic, which a single member does not have."""
    assert np.isfinite(table.drop(columns="epistemic")).all(axis=None)


@pytest.fixture
def no_training(monkeypatch):
    """Fail the test if a network is trained."""

    def train_members(*args, **kwargs):
        pytest.fail("training started")

    monkeypatch.setattr("sptgnn_sklearn.ensemble.fit.train_members", train_members)


BAD_COORDINATES = {
    "no table": (survey()["lon"], {}, "2-dimensional container"),
    "one column": (survey()[["clay"]], {}, r"1 feature\(s\).*minimum of 2"),
    "gone": (
        survey(lat=None),
        {"coordinates": ("lon", "lat")},
        r"coordinates='lat' is not a column",
    ),
    "text": (
        survey(lat=replace_entry(LAT, 3, "north")),
        {},
        r"'lat' must hold numbers.*3, value 'north'",
    ),
    "comma": (
        survey(lat=[f"5,{i}" for i in range(N)]),
        {},
        r"'lat' must hold numbers.*value '5,0'",
    ),
    "objects": (survey(lat=replace_entry(LAT, 3, {})), {}, r"'lat' must hold numbers.*3, value {}"),
    "NaN": (
        survey(lat=replace_entry(LAT, 3, np.nan)),
        {},
        r"'lat' holds NaN in 1 of 30 rows .*3\)",
    ),
    "None": (survey(lon=replace_entry(LON, 3, None)), {}, r"'lon' holds NaN in 1 of 30 rows .*3\)"),
    "infinity": (
        survey(lon=replace_entry(LON, 3, np.inf)),
        {},
        r"'lon' must hold finite.*3, value inf",
    ),
    "huge": (planar(x=replace_entry(LON, 3, 1e300)), {}, r"'x' must hold numbers between -1e\+15"),
    "range": (
        survey(lat=replace_entry(LAT, 3, 95.0)),
        {},
        r"'lat' holds latitudes outside -90 .*95",
    ),
    "metres": (survey(lon=1e5 * LON), {}, r"'lon' holds longitudes outside.*set crs"),
    "order": (survey(), {"coordinates": ("lat", "lon")}, r"coordinates=\('lon', 'lat'\)"),
    "swapped": (survey(lon=LAT, lat=LON + 100), {}, r"'lat' holds latitudes outside.*seem swapped"),
    "standardized": (
        survey(lon=(LON - LON.mean()) / LON.std(), lat=(LAT - LAT.mean()) / LAT.std()),
        {},
        r"'lon' and 'lat' are standardized.*Scale the covariates only",
    ),
    "min-max": (
        survey(lon=(LON - LON.min()) / np.ptp(LON), lat=(LAT - LAT.min()) / np.ptp(LAT)),
        {},
        r"'lon' and 'lat' are standardized.*MinMaxScaler",
    ),
    "crs": (survey(), {"crs": "EPSG:1"}, r"crs='EPSG:1' .*EPSG code"),
    "geocentric": (survey(), {"crs": 4978}, r"crs=4978 is a Geocentric CRS.*Convert"),
}


@pytest.mark.parametrize("case", BAD_COORDINATES)
@pytest.mark.usefixtures("no_training")
def test_invalid_coordinates_raise(case):
    """The error names the column, the first row and a remedy, before training."""
    X, parameters, message = BAD_COORDINATES[case]
    with pytest.raises(ValueError, match=message):
        make_smallest_model(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ({"lon": 5.0, "lat": 50.0}, "All 30 rows are at one location"),
        ({"site": "P1"}, "All 30 rows .*coordinates and site"),
    ],
)
@pytest.mark.filterwarnings("ignore:n_neighbors=4 is larger than")
@pytest.mark.usefixtures("no_training")
def test_single_location_raises(coordinates, message):
    """A single location is most likely an error in the coordinates."""
    with pytest.raises(ValueError, match=message):
        make_smallest_model(site="site" if "site" in coordinates else None).fit(
            survey(**coordinates), Y
        )


@pytest.mark.usefixtures("no_training")
def test_sites_of_mixed_types_raise():
    """Site ids of types that cannot be compared raise."""
    site = [1, 2, datetime.date(2001, 1, 1)] * (N // 3)
    with pytest.raises(ValueError, match=r"site ids cannot be sorted.*all strings or all numbers"):
        make_smallest_model(site="site").fit(survey(site=site), Y)


@pytest.mark.parametrize("role", ["coordinates", "time", "elevation", "site", "spectral"])
@pytest.mark.usefixtures("no_training")
def test_roles_of_missing_columns_raise(role):
    """The error names the role, the column and the existing columns."""
    value = {"coordinates": ("lon", "altitude"), "spectral": ["altitude"]}.get(role, "altitude")
    with pytest.raises(ValueError, match=rf"{role}='altitude' .*its columns are \['lon', 'lat'"):
        make_smallest_model(**{role: value}).fit(survey(), Y)


BAD_ROLES = {
    "two roles": ({"time": "date", "site": "date"}, r"'date' has two roles, time and site"),
    "coordinate and time": ({"time": "lon"}, r"'lon' has two roles, coordinates and time"),
    "coordinate twice": ({"coordinates": ("lon", "lon")}, r"coordinates must be two columns"),
    "three coordinates": ({"coordinates": ("lon", "lat", "height")}, r"must be two columns"),
    "elevation of text": ({"elevation": "use"}, r"elevation='use' must be numeric.*pd.to_numeric"),
    "spectral text": ({"spectral": ["clay", "use"]}, r"spectral='use' must be numeric"),
}


@pytest.mark.parametrize("case", BAD_ROLES)
@pytest.mark.usefixtures("no_training")
def test_conflicting_roles_raise(case):
    """The error names the column and its roles, before training."""
    parameters, message = BAD_ROLES[case]
    with pytest.raises(ValueError, match=message):
        make_smallest_model(**parameters).fit(survey(), Y)


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("last spring", r"'date' must hold dates.*1 of 30 rows .*position 3, value 'last spring'"),
        ("03/04/2001", r"'date' holds dates such as '03/04/2001'.*pd.to_datetime\(X\['date'\]"),
        (12.0, r"'date' must hold dates.*position 3, value 12.0"),
        (datetime.date(9999, 12, 31), r"'date' must hold dates.*position 3, value 9999-12-31"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_invalid_dates_raise(date, message):
    """The error names the column, the row and the value."""
    with pytest.raises(ValueError, match=message):
        make_smallest_model(time="date").fit(
            survey(date=replace_entry(["2001-05-03"] * N, 3, date)), Y
        )


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (
            replace_entry(CLAY, 3, np.inf),
            ValueError,
            r"'clay' must hold finite.*position 3, value inf",
        ),
        (
            replace_entry(CLAY, 3, -3.4e38),
            ValueError,
            r"'clay' must hold numbers between.*data to NaN",
        ),
        (replace_entry(CLAY, 3, "<0.1"), TypeError, r"'clay' holds .* and '<0.1': .*pd.to_numeric"),
        (replace_entry(CLAY, 3, [1]), TypeError, r"'clay' holds .* and \[1\]"),
        (CLAY + 1j, ValueError, r"Complex data not supported: column 'clay'"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_invalid_covariates_raise(column, error, message):
    """The error names the column, the row and a remedy, before training."""
    X = survey(clay=pd.Series(column).infer_objects())
    with pytest.raises(error, match=message):
        make_smallest_model().fit(X, Y)


@pytest.mark.usefixtures("no_training")
def test_duplicated_column_names_raise():
    """The error lists the names."""
    with pytest.raises(ValueError, match=r"X has duplicated column names: \['clay'\]"):
        make_smallest_model().fit(survey().rename(columns={"height": "clay"}), Y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            replace_entry(Y, 3, np.nan),
            r"y contains NaN in 1 of 30 rows \(row position 3\): drop rows",
        ),
        (replace_entry(Y, 3, np.inf), r"y contains infinity in 1 of 30 rows \(row position 3\)"),
        (replace_entry(Y, 3, None), r"y contains NaN in 1 of 30 rows \(row position 3\)"),
        (replace_entry(Y, 3, "much"), r"'y' must hold numbers.*position 3, value 'much'"),
        (Y * 1e300, r"largest magnitude in y .* change the unit of y"),
        (None, "the target y is None"),
        (Y[:-1], r"inconsistent numbers of samples: \[30, 29\]"),
        (np.column_stack([Y, Y]), "y should be a 1d array"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_invalid_targets_raise(y, message):
    """The error names the rows without a valid target."""
    with pytest.raises(ValueError, match=message):
        make_smallest_model().fit(survey(), y)


@pytest.mark.usefixtures("no_training")
def test_log1p_of_targets_below_minus_one_raises():
    """The error gives the smallest target."""
    with pytest.raises(ValueError, match=r"target_transform='log1p' .* -4"):
        make_smallest_model(target_transform="log1p").fit(survey(), np.append(Y[1:], -4.0))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(30,\)"),
        (
            replace_entry(np.ones(N), 3, -1),
            r"sample_weight is negative in 1 of 30 rows .*position 3",
        ),
        (replace_entry(np.ones(N), 3, np.nan), "sample_weight contains NaN"),
        (np.zeros(N), "at least one non-zero number|with a positive weight"),
        (np.arange(N) < 4, r"Found 4 sample.*positive weight.*minimum of 5"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_invalid_sample_weights_raise(weight, message):
    """The error names the problem of the weights."""
    with pytest.raises(ValueError, match=message):
        make_smallest_model().fit(survey(), Y, sample_weight=np.asarray(weight, dtype=float))


@pytest.mark.parametrize("n_rows", [0, 1, 4])
@pytest.mark.usefixtures("no_training")
def test_too_few_rows_raise(n_rows):
    """The error gives the number of rows and the minimum."""
    with pytest.raises(
        ValueError, match=r"Found array with 0 sample|Found [14] sample.*minimum of 5"
    ):
        make_smallest_model().fit(survey()[:n_rows], Y[:n_rows])


BAD_PARAMETERS = [
    {"n_neighbors": 0},
    {"n_neighbors": 2.5},
    {"relations": "spatial"},
    {"relations": ("spatial", "social")},
    {"relations": None},
    {"streams": ("covariates", "images")},
    {"coordinates": "lon"},
    {"spectral": "clay"},
    {"base_estimator": "lightgbm"},
    {"base_estimator": SpTGNNRegressor},
    {"target_transform": "sqrt"},
    {"n_estimators": 0},
    {"n_heads": 3},
    {"dropout": 1.0},
    {"max_epochs": 0},
    {"learning_rate": -1.0},
    {"beta": 2.0},
    {"calibration": "platt"},
    {"device": None},
    {"random_state": "seed"},
]


@pytest.mark.parametrize("parameters", BAD_PARAMETERS, ids=str)
@pytest.mark.usefixtures("no_training")
def test_invalid_parameters_raise(parameters):
    """The error names the parameter, before training."""
    name = next(iter(parameters))
    with pytest.raises((ValueError, TypeError), match=name):
        make_smallest_model(**parameters).fit(survey(), Y)


@pytest.fixture(scope="module")
def fitted():
    """A model with all roles."""
    return make_smallest_model(time="date", elevation="height").fit(survey(), Y)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (survey(clay=None), r"now missing:\n- clay"),
        (survey(date=None), r"now missing:\n- date"),
        (survey(silt=1.0), r"unseen at fit time:\n- silt"),
        (survey()[:0], r"Found array with 0 sample"),
        (survey().to_numpy(), "Pass text, categories and dates in a DataFrame"),
        (np.zeros((2, 3)), "X has 3 features, but SpTGNNRegressor is expecting 6"),
        (survey(clay="wet"), r"'clay' must hold numbers.*30 of 30 rows.*value 'wet'"),
        (
            survey(height=replace_entry(HEIGHT, 3, "high")),
            r"'height' must hold numbers.*3, value 'high'",
        ),
        (
            survey(clay=replace_entry(CLAY, 3, np.inf)),
            r"'clay' must hold finite numbers.*position 3",
        ),
        (survey(clay=replace_entry(CLAY, 3, -3.4e38)), r"'clay' must hold numbers between"),
        (
            survey(lon=replace_entry(LON, 3, np.nan)),
            r"'lon' holds NaN in 1 of 30 rows .*position 3",
        ),
        (survey(lat=500.0), r"'lat' holds latitudes outside"),
        (survey(date="soon"), r"'date' must hold dates.*value 'soon'"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_invalid_queries_raise(fitted, queries, message):
    """Tables are checked in predict as in fit."""
    with pytest.raises(ValueError, match=message):
        fitted.predict(queries)


def test_constant_columns_are_ignored_with_a_warning():
    """Constant and empty covariates are listed in one warning."""
    X = survey(one=1.0, empty=np.nan, word="a", nothing=None).drop(columns="date")
    with pytest.warns(UserWarning, match=r"are ignored: \['one', 'empty', 'word'\]") as seen:
        assert_works(X)
    assert len(seen) == 1


def test_n_neighbors_is_reduced_with_a_warning():
    """Five rows have at most four neighbors."""
    with pytest.warns(UserWarning, match=r"n_neighbors=10 .* 4; n_neighbors=4 is used"):
        model = assert_works(survey()[:5], y=Y[:5], n_neighbors=10)
    assert model.kneighbors(survey()[:2], return_distance=False).shape[1] <= 5


def test_unseen_categories_warn_once():
    """One warning lists all columns with unseen categories."""
    X = survey(soil=pd.Series(["loam", "peat"] * (N // 2)))
    model = make_smallest_model().fit(X, Y)
    with pytest.warns(UserWarning, match=r"{'use': 30, 'soil': 15}") as seen:
        result = model.predict(X.assign(use="moor", soil=["loam", "rock"] * (N // 2)))
    assert len(seen) == 1
    assert np.isfinite(result).all()


def test_unknown_coordinate_names_warn():
    """The first two columns are used, and the warning names the parameter."""
    X = survey().rename(columns={"lon": "r", "lat": "h"})
    with pytest.warns(UserWarning, match=r"the first two, 'r' and 'h', .* coordinates=\(x_column"):
        assert assert_works(X).columns_.coordinates == ("r", "h")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_missing_values_in_covariates(missing):
    """Missing values of any kind are valid, in fit and predict."""
    X = survey(
        clay=replace_entry(CLAY, [1, 5], missing),
        use=replace_entry(survey()["use"], [1, 5], missing),
        height=replace_entry(HEIGHT, [1, 2], missing),
        date=replace_entry(survey()["date"], [1, 3], missing),
    )
    assert_works(X, time="date", elevation="height")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_missing_values_in_queries_only(fitted, missing):
    """All values of a query except its coordinates may be missing."""
    X = pd.DataFrame({name: [missing] * N for name in survey().columns}, index=range(N))
    assert_finite(fitted.predict_uncertainty(X.assign(lon=LON, lat=LAT)))


COVARIATES = {
    "boolean": CLAY > 0.5,
    "nullable boolean": pd.array(replace_entry(CLAY > 0.5, 3, None), dtype="boolean"),
    "boolean objects": replace_entry(CLAY > 0.5, 3, None),
    "nullable integers": pd.array(replace_entry(np.arange(N), 3, None), dtype="Int64"),
    "unsigned": np.arange(N, dtype=np.uint8),
    "half precision": CLAY.astype(np.float16),
    "arrow floats": pd.array(CLAY, dtype="double[pyarrow]"),
    "arrow integers": pd.array([None, *range(1, N)], dtype="int32[pyarrow]"),
    "arrow text": pd.array([None, *"ab" * 14, "a"], dtype="string[pyarrow]"),
    "arrow decimals": pd.array([Decimal(i) for i in range(N)], pd.ArrowDtype(pa.decimal128(9, 2))),
    "arrow dates": pd.array([datetime.date(2001, 1, 1 + i) for i in range(N)], "date32[pyarrow]"),
    "decimals": [Decimal(i) / 7 for i in range(N)],
    "mixed numbers": [Decimal(1), 2.5, np.int8(3), True, None] * 6,
    "sparse": pd.arrays.SparseArray(np.where(CLAY > 0.5, CLAY, 0.0), fill_value=0.0),
    "categories": pd.Categorical(["a", "b", None] * 10, categories=["a", "b", "unused"]),
    "coded categories": pd.Categorical([1, 2, 3] * 10),
    "ordered categories": pd.Categorical(["low", "high"] * 15, ["low", "high"], ordered=True),
    "intervals": pd.cut(CLAY, 3),
    "text": pd.array(["a", "b", None] * 10, dtype="str"),
    "text objects": np.array(["a", "b", None] * 10, dtype=object),
    "datetimes": pd.date_range("2001", periods=N, freq="3D"),
    "aware datetimes": pd.date_range("2001", periods=N, freq="3D", tz="Asia/Tokyo"),
    "date objects": [datetime.date(2001, 1, 1 + i) for i in range(N)],
    "durations": pd.timedelta_range("1D", periods=N),
    "periods": pd.period_range("2001-01", periods=N, freq="M"),
    "collinear": 3 * CLAY - 1,
    "copy": CLAY.copy(),
    "huge": (CLAY - 0.5) * 1e30,
    "tiny": (CLAY - 0.5) * 1e-300,
    "denormal": np.arange(N) * 5e-324,
    "far from zero": 1e15 + np.arange(N),
    "outlier": replace_entry(CLAY, 3, 1e29).astype(float),
    "signed zeros": np.where(CLAY > 0.5, 0.0, -0.0) + (np.arange(N) == 3),
    "one that differs": np.arange(N) == 3,
}


@pytest.mark.parametrize("kind", COVARIATES)
def test_covariates_of_all_dtypes(kind):
    """Covariates of all pandas dtypes are valid, without warnings."""
    X = survey(more=pd.Series(COVARIATES[kind]), height=None, date=None)
    model = assert_works(X)
    assert "more" in {*model.columns_.numeric, *model.columns_.categorical}
    assert model.columns_.ignored == ()


@pytest.mark.parametrize("magnitude", [-1e30, 1e30, 1e-300])
def test_large_numbers_stay_finite_in_single_precision(magnitude):
    """The largest accepted numbers are finite in the single precision of trees."""
    X = survey(more=magnitude * np.linspace(0.1, 1, N))
    model = assert_works(X, base_estimator="xgboost")
    matrix = model.ensemble_.features.tree_features(model.columns_.transform(X))
    assert np.isfinite(matrix.astype(np.float32)).all()


DATES = {
    "naive": pd.date_range("2001-01-01", periods=N, freq="40D"),
    "aware": pd.date_range("2001-01-01", periods=N, freq="40D", tz="Europe/Paris"),
    "with gaps": replace_entry(pd.date_range("2001-01-01", periods=N), [0, 3], pd.NaT),
    "text": pd.date_range("2001-01-01", periods=N, freq="40D").strftime("%Y-%m-%d"),
    "text with gaps": replace_entry(["2001-05-03", "2002-06-04"] * 15, 3, None),
    "decimal years": 1990.5 + np.arange(N) / 7,
    "whole years": 1990 + np.arange(N),
    "compact": [20010101 + i for i in range(N)],
    "date objects": [datetime.date(2001, 1, 1 + i) for i in range(N)],
    "arrow": pd.array(pd.date_range("2001", periods=N), dtype="timestamp[us][pyarrow]"),
    "one day": pd.Timestamp("2001-05-03"),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_of_all_kinds(kind):
    """Dates give a time stream, with missing values."""
    dates = DATES[kind] if kind == "one day" else pd.Series(DATES[kind])
    model = assert_works(survey(date=dates), time="date")
    assert "time" in model.streams_


def test_dates_that_are_all_missing_are_ignored():
    """A time column without any date is listed as ignored."""
    with pytest.warns(UserWarning, match=r"are ignored: \['date'\]"):
        model = assert_works(survey(date=pd.NaT), time="date")
    assert "time" not in model.streams_


@pytest.mark.parametrize("names", [["lon", "lat"], ["lon", "lat", "clay"], ["lon", "lat", "use"]])
def test_tables_of_few_columns(names):
    """Coordinates alone, or with one covariate, are valid."""
    assert_works(survey()[names])


PLACES = {
    "duplicated places": (LON.round(1), LAT.round(0)),
    "two places": (5.0 + np.arange(N) % 2, 50.0),
    "eleven places": (5.0 + np.arange(N) % 11, 50.0),
    "date line": (np.where(LON < 5.5, LON + 174.5, LON - 185.5), LAT),
    "0 to 360": (LON + 350 - 5, LAT),
    "poles": (LON * 30, np.where(np.arange(N) % 2, 90.0, -90.0)),
    "signed zeros": (np.where(CLAY > 0.5, 0.0, -0.0), LAT),
    "one line": (5.0, LAT),
}


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.filterwarnings("ignore:n_neighbors=4 is larger than:UserWarning")
def test_locations_anywhere_on_earth(case):
    """Dense clusters, the date line and the poles are valid."""
    lon, lat = PLACES[case]
    assert_works(survey(lon=lon, lat=lat))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e9])
def test_planar_coordinates_of_any_unit(scale):
    """Nanometers and megameters are valid, also far from the origin."""
    assert_works(planar(x=scale * (LON - 5), y=scale * (LAT - 1e4)))


def test_duplicated_rows_equal_weights():
    """A row twice equals a weight of two."""
    X = survey()
    repeated_rows = np.append(np.arange(N), [3, 3, 7])
    repeated = make_smallest_model().fit(X.iloc[repeated_rows], Y[repeated_rows])
    weight = np.ones(N)
    weight[[3, 7]] = [3, 2]
    weighted = make_smallest_model().fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(repeated.predict(X), weighted.predict(X))


def test_variation_in_rows_of_weight_zero_is_ignored():
    """Values that occur in rows of weight zero only are ignored."""
    weight = (np.arange(N) < 25).astype(float)
    X = survey(
        more=np.where(weight, 1.0, np.arange(N)),
        gone=np.where(weight, np.nan, CLAY),
        height=np.where(weight, np.nan, HEIGHT),
        date=survey()["date"].where(weight == 0),
    )
    with pytest.warns(UserWarning, match="ignored") as caught:
        assert_works(X, sample_weight=weight, time="date", elevation="height")
    listed = " ".join(str(warning.message) for warning in caught)
    assert all(name in listed for name in ("more", "gone", "height", "date"))


@pytest.mark.parametrize("value", [0.0, 7.5, -1e6])
def test_constant_target(value):
    """A constant target is predicted without division by zero."""
    assert_works(survey(), y=np.full(N, value))


@pytest.mark.parametrize("unit", [1e-29, 1e29])
def test_targets_of_any_unit(unit):
    """Predictions scale with the unit of the target."""
    plain = make_smallest_model().fit(survey(), Y).predict(survey())
    result = make_smallest_model().fit(survey(), unit * Y).predict(survey())
    np.testing.assert_allclose(result, np.float32(unit) * plain, rtol=1e-3, atol=1e-3 * unit)


INDEXES = {
    "duplicated": np.arange(N) // 3,
    "text": [f"row {i}" for i in range(N)],
    "levels": pd.MultiIndex.from_product([range(3), range(N // 3)]),
    "dates": pd.DatetimeIndex(["2001-01-01"] * N),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_index_does_not_matter(kind):
    """The index of X, even with duplicates, only labels the result."""
    X = survey()
    plain = assert_works(X, time="date").predict(X)
    labelled = X.set_axis(pd.Index(INDEXES[kind]), axis=0)
    model = assert_works(labelled, time="date", y=pd.Series(Y, index=labelled.index))
    np.testing.assert_array_equal(model.predict(labelled), plain)
    pd.testing.assert_index_equal(model.predict_uncertainty(labelled).index, labelled.index)


ARRAYS = {
    "Fortran order": np.asfortranarray,
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "big-endian": lambda X: X.astype(">f8"),
    "list": lambda X: X.tolist(),
    "objects": lambda X: X.astype(object),
}


@pytest.mark.parametrize("layout", ARRAYS)
def test_arrays_of_any_layout(layout):
    """Memory layout and container do not change results."""
    X = np.column_stack([LON, LAT, CLAY, HEIGHT])
    plain = make_smallest_model(crs=4326).fit(X, Y).predict(X)
    other = ARRAYS[layout](X)
    np.testing.assert_array_equal(make_smallest_model(crs=4326).fit(other, Y).predict(other), plain)


def test_inputs_are_not_modified():
    """Arrays of the caller are not written to."""
    X, y, weight = np.column_stack([LON, LAT, CLAY]), Y.copy(), np.ones(N)
    for array in (X, y, weight):
        array.setflags(write=False)
    assert_works(X, y=y, sample_weight=weight, crs=4326)
    table, before = survey(), survey()
    assert_works(table, time="date", elevation="height")
    pd.testing.assert_frame_equal(table, before)


def test_integer_column_labels():
    """Integer labels are matched before positions."""
    X = pd.DataFrame({7: CLAY, 1: LON, 0: LAT, 2: HEIGHT})
    model = assert_works(X, coordinates=(1, 0), elevation=2, crs=4326)
    assert model.columns_.coordinates == (1, 0)
    assert model.columns_.elevation == 2


def test_row_of_zeros_is_predicted(fitted):
    """Tools that probe a model with zeros get a number, with scikit-learn's warning."""
    with pytest.warns(UserWarning, match="valid feature names|not occur in the training"):
        assert np.isfinite(fitted.predict(np.zeros((1, 6)))).all()


def test_signed_zeros_are_equal():
    """Rows that differ in the sign of a zero are merged."""
    X = planar(clay=np.where(np.arange(N) % 2, 0.0, 1.0))
    minus = X.assign(clay=np.where(np.arange(N) % 2, -0.0, 1.0))
    both = pd.concat([X, minus])
    result = make_smallest_model().fit(both, np.append(Y, Y)).predict(X)
    weighted = make_smallest_model().fit(X, Y, sample_weight=np.full(N, 2.0)).predict(minus)
    np.testing.assert_array_equal(result, weighted)


def test_target_among_covariates_warns():
    """A copy of the target among the covariates is leakage."""
    survey = make_soil_survey(n_samples=30, random_state=0)
    model = SpTGNNRegressor(time="date", base_estimator=None, n_estimators=1, max_epochs=1)
    with pytest.warns(UserWarning, match=r"Column 'soc' of X equals the target y.*drop"):
        model.fit(survey.data.assign(soc=survey.target), survey.target)


def test_unsupported_tables_raise():
    """Arrays of three dimensions and Arrow columns of structures raise."""
    with pytest.raises(ValueError, match="X must have two dimensions; found 3"):
        SpTGNNRegressor().fit(np.empty((20, 0, 1)), np.zeros(20))
    frame = pd.DataFrame({"x": [1.0], "y": [2.0]})
    frame["s"] = pd.Series([{"a": 1}], dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())])))
    with pytest.raises(ValueError, match=r"X cannot be converted to a pandas DataFrame.*struct"):
        SpTGNNRegressor().fit(pa.Table.from_pandas(frame), [1.0])
