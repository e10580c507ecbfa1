"""Roles of columns, and the arrays of tables."""

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
from small_tables import ROLES, table_with_roles

from sptgnn_sklearn.table import coordinate_columns
from sptgnn_sklearn.table import schema as schema_module
from sptgnn_sklearn.table.schema import ROLE_CONSTRAINTS, SampleTable, TableSchema, named_roles
from sptgnn_sklearn.utils.atomic_fit import atomic_fit

UNIFORM = np.random.default_rng(0).uniform(size=40)
STANDARD = (UNIFORM - UNIFORM.mean()) / UNIFORM.std()


def test_columns_have_their_roles():
    """Named roles are assigned, coordinates are recognized, other columns are covariates."""
    schema = TableSchema.fit(table_with_roles(), **ROLES)
    assert schema.coordinates == ("lon", "lat")
    assert schema.reference.crs == "EPSG:4326"
    assert schema.numeric == ("height", "clay", "limed")
    assert schema.categorical == {"use": ("crop", "grass")}
    assert (schema.time, schema.elevation, schema.site) == ("date", "height", "profile")
    assert schema.spectral == ("clay",)
    assert schema.spectral_positions == [1]
    assert schema.ignored == ()
    assert schema.labels == tuple(table_with_roles().columns)


def test_roles_by_position_equal_roles_by_name():
    """Positions, also negative ones, are resolved to labels."""
    by_position = {"time": 3, "elevation": -4, "site": np.int64(0), "spectral": (5,)}
    by_name = TableSchema.fit(table_with_roles(), coordinates=("lon", "lat"), **ROLES)
    assert TableSchema.fit(table_with_roles(), coordinates=(1, 2), **by_position) == by_name


def test_labels_take_precedence_over_positions():
    """If labels are integers, an integer is a label first."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 4)), columns=[3, 2, 1, 0])
    schema = TableSchema.fit(X, coordinates=(0, 1), elevation=2)
    assert schema.coordinates == (0, 1)
    assert schema.elevation == 2
    np.testing.assert_array_equal(schema.transform(X).elevation, X[2])


def test_transform_returns_arrays():
    """Arrays have the values of their columns; missing numbers are NaN, missing levels -1."""
    X = table_with_roles()
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


def test_rows_do_not_depend_on_other_rows():
    """Transforming selected rows equals selecting transformed rows, with any index."""
    X = table_with_roles()
    schema = TableSchema.fit(X, **ROLES)
    rows = np.array([7, 2, 2, 11])
    part = X.iloc[rows].set_axis(pd.MultiIndex.from_tuples([(1, 1)] * 4), axis=0)
    for one, other in zip(
        dataclasses.astuple(schema.transform(part)),
        dataclasses.astuple(schema.transform(X).take(rows)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_take_keeps_absent_arrays():
    """Arrays of absent roles are None also after take."""
    X = table_with_roles()[["lon", "lat"]]
    table = TableSchema.fit(X).transform(X).take(np.array([1, 0]))
    assert (table.elevation, table.time, table.site) == (None, None, None)
    assert table.numeric.shape == table.categories.shape == (2, 0)


def test_constant_columns_are_ignored():
    """One warning lists constant and empty columns; a column with missing values varies."""
    X = table_with_roles(
        one=1.0,
        empty=np.nan,
        nothing=None,
        word="a",
        half=[2.0, None] * 6,
        half_word=["a", None] * 6,
    )
    with pytest.warns(UserWarning, match=r"ignored: \['one', 'empty', 'nothing', 'word'\]") as seen:
        schema = TableSchema.fit(X, **ROLES)
    assert len(seen) == 1
    assert schema.ignored == ("one", "empty", "nothing", "word")
    assert "half" in schema.numeric
    assert schema.categorical["half_word"] == ("a",)
    assert schema.transform(X).numeric.shape == (12, 4)


def test_constant_columns_lose_their_role():
    """Constant elevation, missing dates and constant spectral columns are ignored."""
    X = table_with_roles(height=1.0, date=pd.NaT)
    with pytest.warns(UserWarning, match=r"ignored: \['height', 'date'\]"):
        schema = TableSchema.fit(X, **{**ROLES, "spectral": ["height", "clay", "clay"]})
    assert (schema.elevation, schema.time) == (None, None)
    assert schema.spectral == ("clay",)
    table = schema.transform(X)
    assert (table.elevation, table.time) == (None, None)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("dtype", ["object", "str", "category", "Int64"])
def test_missing_site_is_none(missing, dtype):
    """Missing ids of any type are returned as None."""
    ids = [7, missing] * 6 if dtype == "Int64" else ["a", missing] * 6
    X = table_with_roles(profile=pd.Series(ids, dtype=object).astype(dtype))
    if dtype == "str":
        # Missing entries are texts such as "None" in pandas 2.
        X["profile"] = X["profile"].where(pd.Series(ids).notna())
    site = TableSchema.fit(X, site="profile").transform(X).site
    assert site[0] == ids[0]
    assert all(value is None for value in site[1::2])


def test_dates_without_role_are_numeric():
    """A datetime column without role is a covariate in decimal years, with a warning."""
    X = table_with_roles()
    with pytest.warns(UserWarning, match=r"^Column 'date' holds dates .*time='date'"):
        schema = TableSchema.fit(X, site="profile")
    assert "date" in schema.numeric
    assert schema.transform(X).numeric[0, 0] == 2001
    with warnings.catch_warnings(action="error"):
        TableSchema.fit(X.assign(analysed=X["date"]), site="profile", time="date")
        TableSchema.fit(X.drop(columns="date"), site="profile")


@pytest.mark.parametrize("role", ["coordinates", "time", "elevation", "site", "spectral"])
@pytest.mark.parametrize("absent", ["nowhere", 8, -9, True, ["lon"], 1.5])
def test_roles_of_absent_columns_raise(role, absent):
    """The error contains the role, the label and the existing columns."""
    value = {"coordinates": ("lon", absent), "spectral": [absent]}.get(role, absent)
    with pytest.raises(ValueError, match=rf"{role}=.*columns are \['profile'"):
        TableSchema.fit(table_with_roles(), **{role: value})


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"time": "lon"}, r"'lon' has two roles, coordinates and time"),
        ({"elevation": "lat"}, r"'lat' has two roles, coordinates and elevation"),
        ({"time": "date", "elevation": "date"}, r"'date' has two roles, time and elevation"),
        ({"site": "profile", "time": 0}, r"'profile' has two roles, time and site"),
        ({"spectral": ["clay", "lon"]}, r"'lon' has two roles, coordinates and spectral"),
        ({"time": "date", "spectral": ["date"]}, r"'date' has two roles, time and spectral"),
        ({"coordinates": ("lon", "lon")}, r"coordinates must be two columns"),
        ({"coordinates": ("lon",)}, r"coordinates must be two columns.*found \('lon',\)"),
        ({"coordinates": ("lon", "lat", "height")}, r"coordinates must be two columns"),
        ({"coordinates": "lon"}, r"coordinates must be a sequence of columns; found 'lon'"),
        ({"coordinates": 3}, r"coordinates must be a sequence of columns; found 3"),
        ({"spectral": "clay"}, r"spectral must be a sequence of columns; found 'clay'"),
        ({"spectral": ["use"]}, r"spectral='use' must be numeric.*pd.to_numeric\(X\['use'\]"),
        ({"elevation": "use"}, r"elevation='use' must be numeric"),
        ({"time": "use"}, r"'use' must hold dates"),
        ({"coordinates": ("lon", "use")}, r"'use' must hold numbers"),
        ({"crs": "nonsense"}, r"crs='nonsense'"),
    ],
)
def test_invalid_roles_raise(roles, message):
    """The error contains the column and the role."""
    with pytest.raises(ValueError, match=message):
        TableSchema.fit(table_with_roles(), **roles)


def test_elevation_may_be_spectral():
    """Both are covariates, so these roles are not exclusive."""
    schema = TableSchema.fit(table_with_roles(), elevation="height", spectral=["height", "clay"])
    assert schema.spectral == ("height", "clay")


def test_images_and_sites_are_exclusive_roles():
    """The error contains the column and both roles."""
    X = table_with_roles().assign(path="a.tif")
    with pytest.raises(ValueError, match=r"'profile' has two roles, site and spectral"):
        TableSchema.fit(X, site="profile", spectral=["profile"])
    with pytest.raises(ValueError, match=r"'path' has two roles, .*images\['DEM'\]"):
        TableSchema.fit(X, site="path", images={"DEM": "path"})
    with pytest.raises(ValueError, match=r"'path' has two roles"):
        TableSchema.fit(X, spectral=["path"], images={"DEM": "path"})
    with pytest.raises(ValueError, match=r"images\['DEM'\]='chip' is not a column"):
        TableSchema.fit(X, images={"DEM": "chip"})


def test_unknown_roles_raise():
    """A misspelled role is not ignored."""
    with pytest.raises(TypeError, match="elevations"):
        TableSchema.fit_transform(table_with_roles(), elevations="height")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("lon", np.nan, r"'lon' holds NaN in 1 of 12 rows \(row position 5\)"),
        ("lon", np.inf, r"'lon' must hold finite numbers.*row position 5, value inf"),
        ("lat", 99.0, r"'lat' holds latitudes outside.*row position 5, value 99"),
        ("lon", "east", r"'lon' must hold numbers.*row position 5, value 'east'"),
        ("lon", 1e300, r"'lon' must hold numbers between -1e\+15 and 1e\+15"),
        ("clay", -3.4e38, r"'clay' must hold numbers between -1e\+30 .* missing data to NaN"),
        ("clay", np.inf, r"'clay' must hold finite numbers.*row position 5, value inf"),
        ("clay", "wet", r"'clay' must hold numbers.*row position 5, value 'wet'"),
        ("date", "soon", r"'date' must hold dates.*row position 5, value 'soon'"),
    ],
)
def test_invalid_values_raise_in_transform(column, value, message):
    """The error contains the column, the row position and the value."""
    schema = TableSchema.fit(table_with_roles(), **ROLES)
    X = table_with_roles().astype({column: object})
    X.loc[5, column] = value
    with pytest.raises(ValueError, match=message):
        schema.transform(X)


def test_scaled_coordinates_raise_in_fit_only():
    """Queries may have mean 0 and standard deviation 1 by chance."""
    X = table_with_roles(21)[["lon", "lat", "clay"]]
    X[["lon", "lat"]] = (X[["lon", "lat"]] - X[["lon", "lat"]].mean()) / X[["lon", "lat"]].std(
        ddof=0
    )
    with pytest.raises(ValueError, match="'lon' and 'lat' are standardized"):
        TableSchema.fit(X)
    assert len(TableSchema.fit(table_with_roles()[["lon", "lat", "clay"]]).transform(X)) == 21


@pytest.mark.parametrize("gone", ["lat", "date", "height", "use"])
def test_missing_columns_raise_in_transform(gone):
    """The error lists the missing and the existing columns."""
    schema = TableSchema.fit(table_with_roles(), **ROLES)
    with pytest.raises(ValueError, match=rf"X lacks the columns \['{gone}'\].*it has \['profile'"):
        schema.transform(table_with_roles().drop(columns=gone))


def test_kinds_of_columns_are_those_of_fit():
    """Queries are parsed by the kind of the training column, whatever their dtype."""
    schema = TableSchema.fit(
        table_with_roles(code=pd.Series([1, 2] * 6, dtype="category")), **ROLES
    )
    X = table_with_roles(code=[1.0, np.nan] + [2.0] * 10)
    X["clay"] = X["clay"].map(str)
    X["limed"] = X["limed"].astype("boolean").where(X.index > 0)
    table = schema.transform(X)
    np.testing.assert_array_equal(table.categories[:3, 1], [0, -1, 1])
    np.testing.assert_array_equal(table.numeric[:, 1], table_with_roles()["clay"])
    assert np.isnan(table.numeric[0, 2])


def test_unseen_categories_warn_once():
    """One warning counts unseen categories by column; their code is -2."""
    schema = TableSchema.fit(table_with_roles(soil=["loam", "peat"] * 6), **ROLES)
    X = table_with_roles(soil=["loam", "rock", "sand"] + [None] * 9, use=["crop"] * 11 + ["moor"])
    with pytest.warns(UserWarning, match=r"{'use': 1, 'soil': 2}") as seen:
        table = schema.transform(X)
    assert len(seen) == 1
    np.testing.assert_array_equal(table.categories[:4, 1], [0, -2, -2, -1])


@pytest.mark.parametrize("named", ["training", "queries", "neither"])
def test_tables_without_names_are_matched_by_position(named):
    """Columns of an array are those of fit in the same order."""
    X = table_with_roles()[["height", "lon", "lat", "clay"]]
    bare = X.to_numpy()
    training, queries = {
        "training": (X, bare),
        "queries": (bare, X),
        "neither": (bare, bare),
    }[named]
    schema = TableSchema.fit(training, coordinates=(1, 2), elevation=0, crs=4326)
    table = schema.transform(queries)
    np.testing.assert_array_equal(table.coordinates, bare[:, 1:3])
    np.testing.assert_array_equal(table.elevation, bare[:, 0])
    with pytest.raises(ValueError, match="X lacks the columns"):
        schema.transform(queries[["lon", "lat"]] if named == "queries" else queries[:, :2])


def test_rows_of_zeros_are_valid():
    """Year 0 is a missing date and '0' an unseen level."""
    schema = TableSchema.fit(table_with_roles(), **ROLES)
    with pytest.warns(UserWarning, match=r"\(column: rows\): {'use': 1}"):
        table = schema.transform(np.zeros((1, 8)))
    assert np.isnan(table.time[0])


def test_tables_of_other_libraries_are_converted():
    """Objects with to_pandas give the same results as the DataFrame."""
    X = table_with_roles().drop(columns=["use", "profile"])
    schema = TableSchema.fit(pa.table(X), time="date")
    assert schema == TableSchema.fit(X, time="date")
    np.testing.assert_array_equal(
        schema.transform(pa.table(X)).numeric, schema.transform(X).numeric
    )


def test_labels_may_be_tuples():
    """Columns of a MultiIndex are named by their tuples."""
    X = table_with_roles()[["lon", "lat", "clay"]]
    X.columns = pd.MultiIndex.from_tuples([("place", "lon"), ("place", "lat"), ("lab", "clay")])
    schema = TableSchema.fit(X, coordinates=(("place", "lon"), ("place", "lat")))
    assert schema.numeric == (("lab", "clay"),)
    assert schema.transform(X).coordinates.shape == (12, 2)


def test_length_of_table():
    """The length is the number of rows, also without covariates."""
    assert len(SampleTable(np.zeros((3, 2)), np.empty((3, 0)), np.empty((3, 0), dtype=int))) == 3


def test_path_columns_warn_without_role():
    """Columns of image paths without role warn; with a role they are read as images."""
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": 0.0, "chip": ["a.tif", "b.TIF", None]})
    with pytest.warns(UserWarning, match=r"'chip' holds paths such as 'a.tif'.*images="):
        TableSchema.fit(X)
    schema = TableSchema.fit(X, images={"DEM": "chip"})
    assert schema.images == {"DEM": "chip"}
    assert not schema.categorical
    assert schema.transform(X).images["DEM"].tolist() == ["a.tif", "b.TIF", None]


def test_named_roles_are_those_of_the_parameters():
    """A kind of similarity is not a column; images are reduced to their columns."""
    roles = {"coordinates": ("a", "b"), "crs": 28992, "time": "t", "elevation": "e", "site": "s"}
    roles |= {"noise_std": "lab_sd", "campaign": "lab"}
    plain = SimpleNamespace(**roles, spectral=None, images=None)
    assert named_roles(plain) == {**roles, "spectral": None}
    full = SimpleNamespace(**roles, spectral=["ndvi"], images={"S2L2A": "path", "DEM": 3})
    expected = {**roles, "spectral": ["ndvi"], "images": {"S2L2A": "path", "DEM": 3}}
    assert named_roles(full) == expected
    kind = SimpleNamespace(**roles, spectral="embeddings", images=None)
    assert named_roles(kind) == {**roles, "spectral": None}
    with pytest.raises((TypeError, ValueError), match="images"):
        named_roles(SimpleNamespace(**roles, spectral=None, images=[1]))


def test_take_selects_rows_of_all_arrays():
    """Rows are in the given order."""
    names = ("coordinates", "numeric", "categories", "elevation", "time", "site", "campaign")
    arrays = {name: np.arange(12).reshape(6, 2) + i for i, name in enumerate(names)}
    more = {"embedding": np.ones((6, 3)), "indices": np.arange(6.0)[:, None]}
    table = SampleTable(**arrays, images={"DEM": np.arange(6)}, **more)
    taken = table.take(np.array([4, 1]))
    assert len(taken) == 2
    for name, values in {**arrays, **more}.items():
        np.testing.assert_array_equal(getattr(taken, name), values[[4, 1]])
    np.testing.assert_array_equal(taken.images["DEM"], [4, 1])


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
def test_warnings_contain_column_and_point_to_the_user(more, message, method):
    """Each is issued once, at the caller of the estimator whose fit calls the schema."""
    X = pd.DataFrame({"x": UNIFORM, "y": UNIFORM[::-1], "clay": np.arange(40.0)}).assign(**more)
    X = X.drop(columns=[label for label, values in more.items() if values is None])

    class Estimator:
        @atomic_fit
        def fit(self):
            getattr(TableSchema, method)(X)

    with pytest.warns(UserWarning, match=message) as seen:
        Estimator().fit(); line = inspect.currentframe().f_lineno  # fmt: skip # noqa: E702
    (warning,) = seen
    assert warning.category is UserWarning
    assert (warning.filename, warning.lineno) == (__file__, line)


def test_repeated_levels_of_categories_do_not_warn():
    """Up to 32 levels, or levels in half of the rows, are valid without warning."""
    X = pd.DataFrame({"x": UNIFORM, "y": UNIFORM[::-1]})
    TableSchema.fit(X.assign(few=[f"class {i % 32}" for i in range(40)]))
    TableSchema.fit(X.assign(half=[f"class {i // 2}" for i in range(40)]))


def test_text_with_many_levels_warns():
    """Numbers stored as text, or ids, are likely mistakes."""
    X = table_with_roles(60, clay=[f"0,{i}" for i in range(60)])
    with pytest.warns(UserWarning, match=r"'clay' is text with 60 distinct values in 60 rows"):
        TableSchema.fit(X, site="profile")


@pytest.mark.parametrize("kind", ["plain", "gaps", "categories", "constant", "array", "arrow"])
def test_fit_transform_equals_fit_followed_by_transform(kind):
    """Schema, arrays, dtypes and warnings are the same for all kinds of columns."""
    X, roles = (
        table_with_roles(path=[f"chip{i}.tif" for i in range(12)]),
        dict(ROLES, images={"DEM": "path"}),
    )
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
        schema, result = TableSchema.fit_transform(X, **roles)
    assert schema == expected
    arrays, expected_arrays = vars(result) | result.images, vars(table) | table.images
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
    """Invalid coordinates, covariates, dates and sites have the same messages."""
    X = table_with_roles().astype({column: object})
    X.loc[5, column] = value
    with pytest.raises((TypeError, ValueError), match=f"'{column}'") as separate:
        TableSchema.fit(X, **ROLES).transform(X)
    with pytest.raises(separate.type) as joint:
        TableSchema.fit_transform(X, **ROLES)
    assert str(joint.value) == str(separate.value)


def test_fit_transform_parses_each_column_once(monkeypatch):
    """Coordinates, numbers, categories, dates, sites and image paths are read once."""
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
    X = table_with_roles(path=[f"chip{i}.tif" for i in range(12)])
    TableSchema.fit_transform(X, **ROLES, images={"DEM": "path"})
    assert sorted(read) == sorted(X.columns)


def test_every_role_has_constraints():
    """Estimators share the constraints of all parameters that `named_roles` reads."""
    roles = {"coordinates", "crs", "time", "elevation", "spectral", "site", "images"}
    roles |= {"noise_std", "campaign"}
    assert set(ROLE_CONSTRAINTS) == roles
    valid = dict.fromkeys(roles) | {"spectral": "indices", "images": {"DEM": "path"}}
    validate_parameter_constraints(ROLE_CONSTRAINTS, valid, "Model")
    for invalid in ({"coordinates": 3}, {"spectral": "colors"}, {"images": ["path"]}):
        (name,) = invalid
        with pytest.raises(ValueError, match=f"The '{name}' parameter of Model"):
            validate_parameter_constraints(ROLE_CONSTRAINTS, valid | invalid, "Model")


def test_noise_std_is_no_covariate():
    """The column is read as standard deviations, where missing is 0, and is no covariate."""
    X = table_with_roles(lab_sd=[0.5, None, 0.0] * 4)
    schema, table = TableSchema.fit_transform(X, **ROLES, noise_std="lab_sd")
    assert schema.noise_std == "lab_sd"
    assert "lab_sd" not in (*schema.numeric, *schema.categorical, *schema.ignored)
    np.testing.assert_array_equal(table.noise_std, [0.5, 0.0, 0.0] * 4)
    np.testing.assert_array_equal(table.take(np.array([3, 1])).noise_std, [0.5, 0.0])
    np.testing.assert_array_equal(schema.transform(X.assign(lab_sd=1.0)).noise_std, np.ones(12))
    assert TableSchema.fit_transform(X, **ROLES)[1].noise_std is None


def test_noise_std_without_variation_is_not_ignored():
    """One laboratory has one standard deviation, and an unknown one is missing."""
    for value in (0.5, np.nan):
        X = table_with_roles(lab_sd=value)
        schema, table = TableSchema.fit_transform(X, **ROLES, noise_std="lab_sd")
        assert schema.ignored == ()
        np.testing.assert_array_equal(table.noise_std, np.full(12, np.nan_to_num(value)))


@pytest.mark.parametrize("role", ["time", "elevation", "site", "spectral", "coordinates"])
def test_noise_std_has_no_other_role(role):
    """The column of another role cannot be noise_std."""
    roles = {**ROLES, "coordinates": ("lon", "lat")}
    label = {**roles, "spectral": "clay", "coordinates": "lat"}[role]
    with pytest.raises(ValueError, match=f"'{label}' has two roles.*noise_std|{role}"):
        TableSchema.fit(table_with_roles(), **roles, noise_std=label)


def test_transform_needs_the_column_of_noise_std():
    """A table without the column differs from that of fit."""
    X = table_with_roles(lab_sd=0.5)
    schema = TableSchema.fit(X, **ROLES, noise_std="lab_sd")
    with pytest.raises(ValueError, match=r"lacks the columns \['lab_sd'\]"):
        schema.transform(X.drop(columns="lab_sd"))
