"""Roles of columns, and tables split into arrays by them."""

import dataclasses
import inspect
import warnings
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.utils._param_validation import validate_parameter_constraints

from sptgnn_sklearn.table import coordinate_columns
from sptgnn_sklearn.table import schema as schema_module
from sptgnn_sklearn.table.coordinate_columns import as_dataframe, locate_coordinates
from sptgnn_sklearn.table.schema import ROLE_CONSTRAINTS, SampleTable, TableSchema, named_roles


def survey(n=12, **more):
    """A table with every role and kind of covariate."""
    rng = np.random.default_rng(0)
    table = {
        "profile": [f"P{i // 2}" for i in range(n)],
        "lon": rng.uniform(5, 6, n),
        "lat": rng.uniform(50, 51, n),
        "date": pd.date_range("2001-01-01", periods=n, freq="17D"),
        "height": rng.normal(100, 9, n),
        "clay": rng.uniform(size=n),
        "limed": np.arange(n) % 2 == 0,
        "use": pd.Categorical(["crop", "grass", None] * (n // 3)),
    }
    return pd.DataFrame({**table, **more})


UNIFORM = np.random.default_rng(0).uniform(size=40)
STANDARD = (UNIFORM - UNIFORM.mean()) / UNIFORM.std()
ROLES = {"time": "date", "elevation": "height", "site": "profile", "spectral": ["clay"]}


def test_every_column_gets_its_role():
    """Roles are as named, the usual coordinates are found, all else is a covariate."""
    columns = TableSchema.fit(survey(), **ROLES)
    assert columns.coordinates == ("lon", "lat")
    assert columns.reference.crs == "EPSG:4326"
    assert columns.numeric == ("height", "clay", "limed")
    assert columns.categorical == {"use": ("crop", "grass")}
    assert (columns.time, columns.elevation, columns.site) == ("date", "height", "profile")
    assert columns.spectral == ("clay",)
    assert columns.spectral_positions == [1]
    assert columns.ignored == ()
    assert columns.labels == tuple(survey().columns)


def test_roles_by_position_are_those_by_name():
    """Positions, also from the end, name the same columns."""
    by_position = {"time": 3, "elevation": -4, "site": np.int64(0), "spectral": (5,)}
    by_name = TableSchema.fit(survey(), coordinates=("lon", "lat"), **ROLES)
    assert TableSchema.fit(survey(), coordinates=(1, 2), **by_position) == by_name


def test_labels_come_before_positions():
    """Where columns are named by numbers, a number is a name first."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 4)), columns=[3, 2, 1, 0])
    columns = TableSchema.fit(X, coordinates=(0, 1), elevation=2)
    assert columns.coordinates == (0, 1)
    assert columns.elevation == 2
    np.testing.assert_array_equal(columns.transform(X).elevation, X[2])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["clay", "Y", "X"], ("X", "Y")),
        (["lat", "lon", "x", "y"], ("x", "y")),
        (["clay", "Latitude", " LONGITUDE "], (" LONGITUDE ", "Latitude")),
        (["northing", "clay", "easting"], ("easting", "northing")),
        (["decimalLatitude", "decimalLongitude", "clay"], ("decimalLongitude", "decimalLatitude")),
        (["first", "second"], ("first", "second")),
    ],
)
def test_usual_coordinate_names_are_found(names, found):
    """First the easting or longitude, whatever the order and the case in the table."""
    X = pd.DataFrame(np.random.default_rng(0).uniform(5, 6, (4, len(names))), columns=names)
    assert TableSchema.fit(X).coordinates == found
    assert locate_coordinates(X)[2] == found


def test_unknown_names_take_the_first_two_columns_with_a_warning():
    """A table may name its coordinates as it likes, but then should say so."""
    X = pd.DataFrame(np.random.default_rng(0).uniform(5, 6, (4, 3)), columns=["r", "h", "clay"])
    with pytest.warns(UserWarning, match=r"the first two, 'r' and 'h', .*coordinates="):
        assert TableSchema.fit(X).coordinates == ("r", "h")
    with pytest.warns(UserWarning, match="the first two, 'r' and 'h'"):
        assert locate_coordinates(X)[2] == ("r", "h")


def test_split_gives_plain_arrays():
    """Each array holds what its columns hold, gaps as NaN and missing levels as -1."""
    X = survey()
    X.loc[3, ["clay", "date", "profile"]] = None
    table = TableSchema.fit(X, **ROLES).transform(X)
    np.testing.assert_array_equal(table.coordinates, X[["lon", "lat"]])
    expected = X[["height", "clay", "limed"]].astype(float)
    np.testing.assert_array_equal(table.numeric, expected)
    np.testing.assert_array_equal(table.categories[:3, 0], [0, 1, -1])
    np.testing.assert_array_equal(table.elevation, X["height"])
    np.testing.assert_allclose(table.time[[0, 1]], [2001, 2001 + 17 / 365])
    assert np.isnan(table.time[3])
    assert np.isnan(table.numeric[3, 1])
    assert table.site[2] == "P1"
    assert table.site[3] is None
    assert len(table) == len(X)


def test_rows_split_alone_as_they_do_together():
    """Taking rows and splitting commute, whatever the index of the rows."""
    X = survey()
    columns = TableSchema.fit(X, **ROLES)
    rows = np.array([7, 2, 2, 11])
    part = X.iloc[rows].set_axis(pd.MultiIndex.from_tuples([(1, 1)] * 4), axis=0)
    for one, other in zip(
        dataclasses.astuple(columns.transform(part)),
        dataclasses.astuple(columns.transform(X).take(rows)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_table_without_roles_stays_without_them_when_rows_are_taken():
    """Absent arrays are None and not empty."""
    X = survey()[["lon", "lat"]]
    table = TableSchema.fit(X).transform(X).take(np.array([1, 0]))
    assert (table.elevation, table.time, table.site) == (None, None, None)
    assert table.numeric.shape == table.categories.shape == (2, 0)


def test_columns_without_variation_are_ignored_and_listed():
    """Constant and empty columns are named in one warning; a gap is a variation."""
    X = survey(
        one=1.0,
        empty=np.nan,
        nothing=None,
        word="a",
        half=[2.0, None] * 6,
        half_word=["a", None] * 6,
    )
    with pytest.warns(UserWarning, match=r"ignored: \['one', 'empty', 'nothing', 'word'\]") as seen:
        columns = TableSchema.fit(X, **ROLES)
    assert len(seen) == 1
    assert columns.ignored == ("one", "empty", "nothing", "word")
    assert "half" in columns.numeric
    assert columns.categorical["half_word"] == ("a",)
    assert columns.transform(X).numeric.shape == (12, 4)


def test_roles_without_variation_are_ignored_too():
    """An elevation that is constant, dates that are all missing and dull bands have no role."""
    X = survey(height=1.0, date=pd.NaT)
    with pytest.warns(UserWarning, match=r"ignored: \['height', 'date'\]"):
        columns = TableSchema.fit(X, **{**ROLES, "spectral": ["height", "clay", "clay"]})
    assert (columns.elevation, columns.time) == (None, None)
    assert columns.spectral == ("clay",)
    table = columns.transform(X)
    assert (table.elevation, table.time) == (None, None)


def test_text_with_a_value_in_each_row_is_questioned():
    """Numbers read as text, by a decimal comma, or ids are most likely a mistake."""
    X = survey(60, clay=[f"0,{i}" for i in range(60)])
    with pytest.warns(UserWarning, match=r"'clay' is text with 60 distinct values in 60 rows"):
        TableSchema.fit(X, site="profile")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("dtype", ["object", "str", "category", "Int64"])
def test_a_missing_site_is_none(missing, dtype):
    """However a missing id is said, and whatever the ids are, it is read as None."""
    ids = [7, missing] * 6 if dtype == "Int64" else ["a", missing] * 6
    X = survey(profile=pd.Series(ids, dtype=object).astype(dtype))
    site = TableSchema.fit(X, site="profile").transform(X).site
    assert site[0] == ids[0]
    assert all(value is None for value in site[1::2])


def test_dates_without_a_role_are_numbers():
    """A datetime column is a covariate in decimal years."""
    X = survey()
    with pytest.warns(UserWarning, match=r"^Column 'date' holds dates .*time='date'"):
        columns = TableSchema.fit(X, site="profile")
    assert "date" in columns.numeric
    assert columns.transform(X).numeric[0, 0] == 2001
    with warnings.catch_warnings(action="error"):
        TableSchema.fit(X.assign(analysed=X["date"]), site="profile", time="date")
        TableSchema.fit(X.drop(columns="date"), site="profile")


@pytest.mark.parametrize("role", ["coordinates", "time", "elevation", "site", "spectral"])
@pytest.mark.parametrize("absent", ["nowhere", 8, -9, True, ["lon"], 1.5])
def test_roles_of_absent_columns_are_refused(role, absent):
    """The error names the role, the label and the columns that there are."""
    value = {"coordinates": ("lon", absent), "spectral": [absent]}.get(role, absent)
    with pytest.raises(ValueError, match=rf"{role}=.*X does not have; its columns are \['profile'"):
        TableSchema.fit(survey(), **{role: value})


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"time": "lon"}, r"'lon' has two roles, coordinates and time"),
        ({"elevation": "lat"}, r"'lat' has two roles, coordinates and elevation"),
        ({"time": "date", "elevation": "date"}, r"'date' has two roles, time and elevation"),
        ({"site": "profile", "time": 0}, r"'profile' has two roles, time and site"),
        ({"spectral": ["clay", "lon"]}, r"'lon' has two roles, coordinates and spectral"),
        ({"time": "date", "spectral": ["date"]}, r"'date' has two roles, time and spectral"),
        ({"coordinates": ("lon", "lon")}, r"coordinates must name two columns"),
        ({"coordinates": ("lon",)}, r"coordinates must name two columns.*found \('lon',\)"),
        ({"coordinates": ("lon", "lat", "height")}, r"coordinates must name two columns"),
        ({"coordinates": "lon"}, r"coordinates must be a sequence of columns; found 'lon'"),
        ({"coordinates": 3}, r"coordinates must be a sequence of columns; found 3"),
        ({"spectral": "clay"}, r"spectral must be a sequence of columns; found 'clay'"),
        ({"spectral": ["use"]}, r"spectral='use' must be numeric.*pd.to_numeric\(X\['use'\]"),
        ({"elevation": "use"}, r"elevation='use' must be numeric"),
        ({"time": "use"}, r"'use' must hold dates"),
        ({"coordinates": ("lon", "use")}, r"'use' must hold numbers"),
        ({"crs": "nonsense"}, r"crs='nonsense' is not a coordinate reference system"),
    ],
)
def test_roles_that_columns_cannot_take_are_refused(roles, message):
    """The error names the column and what its role demands."""
    with pytest.raises(ValueError, match=message):
        TableSchema.fit(survey(), **roles)


def test_elevation_may_be_spectral():
    """Both are covariates, so these roles do not exclude each other."""
    columns = TableSchema.fit(survey(), elevation="height", spectral=["height", "clay"])
    assert columns.spectral == ("height", "clay")


def test_duplicated_names_are_refused():
    """No role can name one of two columns of one name."""
    X = survey().rename(columns={"limed": "clay"})
    with pytest.raises(ValueError, match=r"X has duplicated column names: \['clay'\]"):
        TableSchema.fit(X)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("lon", np.nan, r"'lon' holds NaN in 1 of 12 rows \(row position 5\)"),
        ("lon", np.inf, r"'lon' must hold finite numbers.*row position 5, value inf"),
        ("lat", 99.0, r"'lat' holds latitudes beyond.*row position 5, value 99"),
        ("lon", "east", r"'lon' must hold numbers.*row position 5, value 'east'"),
        ("lon", 1e300, r"'lon' must hold numbers between -1e\+15 and 1e\+15"),
        ("clay", -3.4e38, r"'clay' must hold numbers between -1e\+30 .* missing data as NaN"),
        ("clay", np.inf, r"'clay' must hold finite numbers.*row position 5, value inf"),
        ("clay", "wet", r"'clay' must hold numbers.*row position 5, value 'wet'"),
        ("date", "soon", r"'date' must hold dates.*row position 5, value 'soon'"),
    ],
)
def test_split_names_what_a_column_cannot_hold(column, value, message):
    """Queries are checked as the training table is: column, row position, value."""
    columns = TableSchema.fit(survey(), **ROLES)
    X = survey().astype({column: object})
    X.loc[5, column] = value
    with pytest.raises(ValueError, match=message):
        columns.transform(X)


def test_scaled_coordinates_are_refused_in_training_only():
    """Any few queries may happen to have mean 0 and deviation 1; a training table has not."""
    X = survey(21)[["lon", "lat", "clay"]]
    X[["lon", "lat"]] = (X[["lon", "lat"]] - X[["lon", "lat"]].mean()) / X[["lon", "lat"]].std(
        ddof=0
    )
    with pytest.raises(ValueError, match="'lon' and 'lat' are standardised"):
        TableSchema.fit(X)
    assert len(TableSchema.fit(survey()[["lon", "lat", "clay"]]).transform(X)) == 21


@pytest.mark.parametrize("gone", ["lat", "date", "height", "use"])
def test_split_names_missing_columns(gone):
    """The error lists the columns that are gone and those that are there."""
    columns = TableSchema.fit(survey(), **ROLES)
    with pytest.raises(ValueError, match=rf"X lacks the columns \['{gone}'\].*it has \['profile'"):
        columns.transform(survey().drop(columns=gone))


def test_kinds_are_those_of_training():
    """A query is read as the training column was, although it may look different."""
    columns = TableSchema.fit(survey(code=pd.Series([1, 2] * 6, dtype="category")), **ROLES)
    X = survey(code=[1.0, np.nan] + [2.0] * 10)
    X["clay"] = X["clay"].map(str)
    X["limed"] = X["limed"].astype("boolean").where(X.index > 0)
    table = columns.transform(X)
    np.testing.assert_array_equal(table.categories[:3, 1], [0, -1, 1])
    np.testing.assert_array_equal(table.numeric[:, 1], survey()["clay"])
    assert np.isnan(table.numeric[0, 2])


def test_unseen_categories_are_told_once():
    """One warning lists all columns with the number of their rows; the code is -2."""
    columns = TableSchema.fit(survey(soil=["loam", "peat"] * 6), **ROLES)
    X = survey(soil=["loam", "rock", "sand"] + [None] * 9, use=["crop"] * 11 + ["moor"])
    with pytest.warns(
        UserWarning, match=r"unknown \(column: rows\): {'use': 1, 'soil': 2}"
    ) as seen:
        table = columns.transform(X)
    assert len(seen) == 1
    np.testing.assert_array_equal(table.categories[:4, 1], [0, -2, -2, -1])


@pytest.mark.parametrize("named", ["training", "queries", "neither"])
def test_tables_without_names_go_by_position(named):
    """An array has no names: its columns are those of training, in their order."""
    X = survey()[["height", "lon", "lat", "clay"]]
    bare = X.to_numpy()
    training, queries = {
        "training": (X, bare),
        "queries": (bare, X),
        "neither": (bare, bare),
    }[named]
    columns = TableSchema.fit(training, coordinates=(1, 2), elevation=0, crs=4326)
    table = columns.transform(queries)
    np.testing.assert_array_equal(table.coordinates, bare[:, 1:3])
    np.testing.assert_array_equal(table.elevation, bare[:, 0])
    with pytest.raises(ValueError, match="X lacks the columns"):
        columns.transform(queries[["lon", "lat"]] if named == "queries" else queries[:, :2])


def test_a_row_of_zeros_is_accepted():
    """Tools that probe a model with zeros get an answer: year 0 is no date, '0' no known level."""
    columns = TableSchema.fit(survey(), **ROLES)
    with pytest.warns(UserWarning, match=r"\(column: rows\): {'use': 1}"):
        table = columns.transform(np.zeros((1, 8)))
    assert np.isnan(table.time[0])


def test_tables_of_other_libraries_are_read():
    """Whatever turns into a DataFrame is taken as one."""
    X = survey().drop(columns=["use", "profile"])
    columns = TableSchema.fit(pa.table(X), time="date")
    assert columns == TableSchema.fit(X, time="date")
    np.testing.assert_array_equal(
        columns.transform(pa.table(X)).numeric, columns.transform(X).numeric
    )
    assert as_dataframe(X) is X


def test_a_single_column_is_no_table():
    """Two coordinates are the least."""
    with pytest.raises(ValueError, match=r"1 feature\(s\) .* minimum of 2 is required"):
        TableSchema.fit(np.zeros((5, 1)))


def test_located_coordinates_are_those_of_the_columns():
    """Splitters and scorers read the same coordinates as estimators."""
    X = survey()
    xy, reference, labels = locate_coordinates(X, ("lon", "lat"), crs="EPSG:4258")
    columns = TableSchema.fit(X, coordinates=("lon", "lat"), crs="EPSG:4258")
    np.testing.assert_array_equal(xy, columns.transform(X).coordinates)
    assert (reference, labels) == (columns.reference, columns.coordinates)


def test_names_may_be_tuples():
    """Columns of a MultiIndex are named by their tuples."""
    X = survey()[["lon", "lat", "clay"]]
    X.columns = pd.MultiIndex.from_tuples([("place", "lon"), ("place", "lat"), ("lab", "clay")])
    columns = TableSchema.fit(X, coordinates=(("place", "lon"), ("place", "lat")))
    assert columns.numeric == (("lab", "clay"),)
    assert columns.transform(X).coordinates.shape == (12, 2)


def test_tables_know_their_length():
    """The length of a table is its number of rows, without covariates too."""
    assert len(SampleTable(np.zeros((3, 2)), np.empty((3, 0)), np.empty((3, 0), dtype=int))) == 3


def test_a_column_of_paths_is_told():
    """Paths without a role would be one category each."""
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": 0.0, "chip": ["a.tif", "b.TIF", None]})
    with pytest.warns(UserWarning, match=r"Column 'chip' holds paths such as 'a.tif'.*images="):
        TableSchema.fit(X)
    learned = TableSchema.fit(X, images={"DEM": "chip"})
    assert learned.images == {"DEM": "chip"}
    assert not learned.categorical
    assert learned.transform(X).images["DEM"].tolist() == ["a.tif", "b.TIF", None]


def test_bytes_of_another_order_are_turned():
    """Pandas cannot take rows of such columns, so that they are turned at the door."""
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": 0.0, "clay": np.array([1, 2, 3], dtype=">f8")})
    found = as_dataframe(X)
    assert X["clay"].dtype == ">f8"
    pd.testing.assert_frame_equal(
        found.iloc[[2, 0]], as_dataframe(X.astype("float64")).iloc[[2, 0]]
    )


def test_roles_are_those_of_the_parameters():
    """Each by its own name; kinds of similarity name no columns, and images give theirs."""
    roles = {"coordinates": ("a", "b"), "crs": 28992, "time": "t", "elevation": "e", "site": "s"}
    plain = SimpleNamespace(**roles, spectral=None, images=None)
    assert named_roles(plain) == {**roles, "spectral": None}
    full = SimpleNamespace(**roles, spectral=["ndvi"], images={"S2L2A": "path", "DEM": 3})
    expected = {**roles, "spectral": ["ndvi"], "images": {"S2L2A": "path", "DEM": 3}}
    assert named_roles(full) == expected
    kind = SimpleNamespace(**roles, spectral="embeddings", images=None)
    assert named_roles(kind) == {**roles, "spectral": None}
    with pytest.raises((TypeError, ValueError), match="images"):
        named_roles(SimpleNamespace(**roles, spectral=None, images=[1]))


def test_rows_are_taken_of_all_arrays():
    """In the order that is asked for."""
    names = ("coordinates", "numeric", "categories", "elevation", "time", "site")
    arrays = {name: np.arange(12).reshape(6, 2) + i for i, name in enumerate(names)}
    more = {"embedding": np.ones((6, 3)), "indices": np.arange(6.0)[:, None]}
    table = SampleTable(**arrays, images={"DEM": np.arange(6)}, **more)
    taken = table.take(np.array([4, 1]))
    assert len(taken) == 2
    for name, values in {**arrays, **more}.items():
        np.testing.assert_array_equal(getattr(taken, name), values[[4, 1]])
    np.testing.assert_array_equal(taken.images["DEM"], [4, 1])


def test_located_coordinates_may_be_scaled_parts():
    """Only a whole training table shows scaling; names and positions find the pair."""
    X = pd.DataFrame({"lon": [1.0, -1.0] * 6, "lat": [-1.0, 1.0] * 6, "a": 0.5, "b": 2.0})
    with warnings.catch_warnings(action="error"):
        locate_coordinates(X)
    xy, reference, labels = locate_coordinates(X, ("a", "b"))
    assert labels == ("a", "b") and reference.crs is None and (xy == [0.5, 2.0]).all()
    assert locate_coordinates(X, (-2, -1), 28992)[2] == ("a", "b")
    with pytest.raises(ValueError, match="standardised longitude and latitude"):
        TableSchema.fit(X)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"one": 1.0}, r"without any variation .*ignored: \['one'\]"),
        ({"path": [f"chip{i}.tif" for i in range(40)]}, r"'path' holds paths .*S2L2A.*'path'"),
        ({"lab": [f"<{i}" for i in range(40)]}, r"'lab' is text with 40 .* in 40 rows.*site='lab'"),
        ({"date": pd.date_range("2001-01-01", periods=40)}, r"'date' holds dates .*time='date'"),
        (
            {"x": None, "y": None, "u": UNIFORM, "v": UNIFORM},
            r"first two, 'clay' and 'u'.*coordinates=",
        ),
        ({"x": STANDARD, "y": STANDARD}, r"'x' and 'y' are the coordinates.*StandardScaler"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_warnings_name_the_column_and_the_line_of_the_user(more, message, method):
    """Each warns once, at the caller of the estimator whose `fit` calls the schema."""
    X = pd.DataFrame({"x": UNIFORM, "y": UNIFORM[::-1], "clay": np.arange(40.0)}).assign(**more)
    X = X.drop(columns=[label for label, values in more.items() if values is None])

    def fit_estimator():
        return getattr(TableSchema, method)(X)

    with pytest.warns(UserWarning, match=message) as seen:
        fit_estimator(); line = inspect.currentframe().f_lineno  # fmt: skip # noqa: E702
    (warning,) = seen
    assert warning.category is UserWarning
    assert (warning.filename, warning.lineno) == (__file__, line)


def test_repeated_levels_of_categories_do_not_warn():
    """Up to 32 levels, or as many as half of the rows, are common categories."""
    X = pd.DataFrame({"x": UNIFORM, "y": UNIFORM[::-1]})
    TableSchema.fit(X.assign(few=[f"class {i % 32}" for i in range(40)]))
    TableSchema.fit(X.assign(half=[f"class {i // 2}" for i in range(40)]))


def test_tables_that_pandas_cannot_make_are_refused():
    """With what the other library said, and what to do."""

    class Odd:
        def to_pandas(self):
            raise KeyError("no such type")

    with pytest.raises(
        ValueError,
        match=r"^X cannot be made a pandas DataFrame \('no such type'\): drop the columns of that "
        r"kind, or convert X yourself\.$",
    ):
        as_dataframe(Odd())


def test_chips_and_sites_share_no_column():
    """Also where the role is a spectral column or a chip; the error names both."""
    X = survey().assign(path="a.tif")
    with pytest.raises(ValueError, match=r"'profile' has two roles, site and spectral"):
        TableSchema.fit(X, site="profile", spectral=["profile"])
    with pytest.raises(ValueError, match=r"'path' has two roles, .*images\['DEM'\]"):
        TableSchema.fit(X, site="path", images={"DEM": "path"})
    with pytest.raises(ValueError, match=r"'path' has two roles"):
        TableSchema.fit(X, spectral=["path"], images={"DEM": "path"})
    with pytest.raises(ValueError, match=r"images\['DEM'\]='chip' names a column"):
        TableSchema.fit(X, images={"DEM": "chip"})


@pytest.mark.parametrize("kind", ["plain", "gaps", "categories", "constant", "array", "arrow"])
def test_fit_transform_equals_fit_followed_by_transform(kind):
    """Schema, arrays, dtypes and warnings are the same for every kind of column."""
    X, roles = survey(path=[f"chip{i}.tif" for i in range(12)]), dict(ROLES, images={"DEM": "path"})
    if kind == "gaps":
        X.loc[3, ["clay", "date", "profile", "path"]] = None
        X["limed"] = X["limed"].astype("boolean").where(X.index > 0)
    elif kind == "categories":
        X["code"] = pd.Series([2.0, 10.0, None] * 4, dtype="category")
        X["mixed"] = [1.0, True] * 6
        X["words"] = pd.Series(["b", None, "a"] * 4, dtype="string")
        X["interval"] = pd.cut(X["clay"], 3)
        X["day"] = X["date"].dt.date
        X["lab"] = [f"<{i}" for i in range(12)]
    elif kind == "constant":
        X = X.assign(one=1.0, date=pd.NaT, height=7.0)
    elif kind == "array":
        X, roles = X[["lon", "lat", "height", "clay"]].to_numpy(), {"elevation": 2}
    elif kind == "arrow":
        X = pa.table(X)
    with warnings.catch_warnings(record=True) as separate:
        warnings.simplefilter("always")
        expected = TableSchema.fit(X, **roles)
        table = expected.transform(X)
    with warnings.catch_warnings(record=True) as joint:
        warnings.simplefilter("always")
        schema, found = TableSchema.fit_transform(X, **roles)
    assert schema == expected
    arrays, expected_arrays = vars(found) | found.images, vars(table) | table.images
    del arrays["images"], expected_arrays["images"]
    assert arrays.keys() == expected_arrays.keys()
    for name, values in expected_arrays.items():
        if values is None:
            assert arrays[name] is None
        else:
            np.testing.assert_array_equal(arrays[name], values, strict=True)
    assert [(str(w.message), w.filename) for w in joint] == [
        (str(w.message), w.filename) for w in separate
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [("lon", np.nan), ("clay", "wet"), ("date", "soon"), ("profile", Decimal("sNaN"))],
)
def test_fit_transform_raises_the_errors_of_fit_and_transform(column, value):
    """Bad entries of coordinates, covariates, dates and sites have the same messages."""
    X = survey().astype({column: object})
    X.loc[5, column] = value
    with pytest.raises((TypeError, ValueError), match=f"'{column}'") as separate:
        TableSchema.fit(X, **ROLES).transform(X)
    with pytest.raises(separate.type) as joint:
        TableSchema.fit_transform(X, **ROLES)
    assert str(joint.value) == str(separate.value)


def test_fit_transform_parses_each_column_once(monkeypatch):
    """Coordinates, numbers, categories, dates, sites and image paths are read a single time."""
    read = []

    def count(module, function):
        original = getattr(module, function)

        def counted(column, *args):
            read.append(column.name)
            return original(column, *args)

        monkeypatch.setattr(module, function, counted)

    for function in ("to_float", "decimal_years", "encode_categories", "category_codes"):
        count(schema_module, function)
    count(schema_module, "read_paths")
    count(schema_module, "_sites")
    count(coordinate_columns, "to_float")
    X = survey(path=[f"chip{i}.tif" for i in range(12)])
    TableSchema.fit_transform(X, **ROLES, images={"DEM": "path"})
    assert sorted(read) == sorted(X.columns)


def test_unknown_roles_are_rejected():
    """A misspelled role is an error of Python and is not ignored."""
    with pytest.raises(TypeError, match="elevations"):
        TableSchema.fit_transform(survey(), elevations="height")


def test_every_role_has_constraints():
    """Estimators share the constraints of the parameters that `named_roles` reads."""
    roles = {"coordinates", "crs", "time", "elevation", "spectral", "site", "images"}
    assert set(ROLE_CONSTRAINTS) == roles
    valid = dict.fromkeys(roles) | {"spectral": "indices", "images": {"DEM": "path"}}
    validate_parameter_constraints(ROLE_CONSTRAINTS, valid, "Model")
    for wrong in ({"coordinates": 3}, {"spectral": "colors"}, {"images": ["path"]}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"The '{name}' parameter of Model"):
            validate_parameter_constraints(ROLE_CONSTRAINTS, valid | wrong, "Model")
