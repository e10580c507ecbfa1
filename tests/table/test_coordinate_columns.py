"""Coordinate columns: lookup, parsing and conversion to DataFrames."""

import warnings

import numpy as np
import pandas as pd
import pytest
from small_tables import table_with_roles

from sptgnn_sklearn.table.coordinate_columns import (
    as_dataframe,
    find_column,
    find_columns,
    locate_coordinates,
)
from sptgnn_sklearn.table.schema import TableSchema


@pytest.mark.parametrize(
    ("names", "coordinates"),
    [
        (["clay", "Y", "X"], ("X", "Y")),
        (["lat", "lon", "x", "y"], ("x", "y")),
        (["clay", "Latitude", " LONGITUDE "], (" LONGITUDE ", "Latitude")),
        (["northing", "clay", "easting"], ("easting", "northing")),
        (["decimalLatitude", "decimalLongitude", "clay"], ("decimalLongitude", "decimalLatitude")),
        (["first", "second"], ("first", "second")),
    ],
)
def test_recognized_coordinate_names(names, coordinates):
    """Easting or longitude is first, in any order of columns and in any case."""
    X = pd.DataFrame(np.random.default_rng(0).uniform(5, 6, (4, len(names))), columns=names)
    assert TableSchema.fit(X).coordinates == coordinates
    assert locate_coordinates(X)[2] == coordinates


def test_unrecognized_names_use_first_two_columns():
    """A warning contains the columns and the parameter."""
    X = pd.DataFrame(np.random.default_rng(0).uniform(5, 6, (4, 3)), columns=["r", "h", "clay"])
    with pytest.warns(UserWarning, match=r"the first two, 'r' and 'h', .*coordinates="):
        assert TableSchema.fit(X).coordinates == ("r", "h")
    with pytest.warns(UserWarning, match="the first two, 'r' and 'h'"):
        assert locate_coordinates(X)[2] == ("r", "h")


def test_coordinates_equal_those_of_the_schema():
    """Splitters and scorers use the same coordinates as estimators."""
    X = table_with_roles()
    xy, reference, labels = locate_coordinates(X, ("lon", "lat"), crs="EPSG:4258")
    schema = TableSchema.fit(X, coordinates=("lon", "lat"), crs="EPSG:4258")
    np.testing.assert_array_equal(xy, schema.transform(X).coordinates)
    assert (reference, labels) == (schema.reference, schema.coordinates)


def test_scaling_is_checked_in_fit_only():
    """Parts of a table may be scaled by chance; labels and positions are resolved."""
    X = pd.DataFrame({"lon": [1.0, -1.0] * 6, "lat": [-1.0, 1.0] * 6, "a": 0.5, "b": 2.0})
    with warnings.catch_warnings(action="error"):
        locate_coordinates(X)
    xy, reference, labels = locate_coordinates(X, ("a", "b"))
    assert labels == ("a", "b") and reference.crs is None and (xy == [0.5, 2.0]).all()
    assert locate_coordinates(X, (-2, -1), 28992)[2] == ("a", "b")
    with pytest.raises(ValueError, match="standardized longitude and latitude"):
        TableSchema.fit(X)


def test_single_column_raises():
    """Coordinates need two columns."""
    with pytest.raises(ValueError, match=r"1 feature\(s\) .* minimum of 2 is required"):
        TableSchema.fit(np.zeros((5, 1)))


def test_duplicated_names_raise():
    """The error lists the duplicated labels."""
    X = table_with_roles().rename(columns={"limed": "clay"})
    with pytest.raises(ValueError, match=r"X has duplicated column names: \['clay'\]"):
        TableSchema.fit(X)


def test_byte_order_is_made_native():
    """Pandas cannot take rows of columns in another byte order; X is not changed."""
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": 0.0, "clay": np.array([1, 2, 3], dtype=">f8")})
    result = as_dataframe(X)
    assert X["clay"].dtype == ">f8"
    pd.testing.assert_frame_equal(
        result.iloc[[2, 0]], as_dataframe(X.astype("float64")).iloc[[2, 0]]
    )


def test_failed_conversion_to_pandas_raises():
    """The error contains that of the other library."""

    class Odd:
        def to_pandas(self):
            raise KeyError("no such type")

    with pytest.raises(
        ValueError,
        match=r"cannot be converted .*\('no such type'\)",
    ):
        as_dataframe(Odd())


def test_dataframes_are_returned_unchanged():
    """No copy is made."""
    X = table_with_roles()
    assert as_dataframe(X) is X


def test_columns_are_found_by_label_and_position():
    """Repeated columns are returned once; absent ones raise with role and value."""
    X = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "c"])
    assert find_columns(X, ["c", -1, 0], "spectral") == ["c", "a"]
    with pytest.raises(ValueError, match=r"spectral=3 .*\['a', 'b', 'c'\]"):
        find_columns(X, ["a", 3], "spectral")
    with pytest.raises(ValueError, match="elevation=True"):
        find_column(X, True, "elevation")


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (("easting", "Northing"), r"'easting' is not a column.*did you mean 'Easting'\?"),
        (("Easting", "nothing"), r"did you mean 'Northing'\?"),
        (("Easting ", "Northing"), r"did you mean 'Easting'\?"),
        (("Easting", "pH"), r"\['Easting', 'Northing', 'clay'\]\.$"),
    ],
)
def test_similar_columns_are_offered(coordinates, message):
    """Case, spaces and typing errors do not hide a column."""
    X = pd.DataFrame({"Easting": [1.0, 2.0], "Northing": [3.0, 4.0], "clay": 0.1})
    with pytest.raises(ValueError, match=message):
        locate_coordinates(X, coordinates)


def test_rows_and_columns_are_no_tables():
    """A row or column of a table, in each library, is refused with the way to pass it."""
    X = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    for series in (X.iloc[0], X["x"], pd.Series(dtype=float)):
        with pytest.raises(ValueError, match=r"X is a Series: pass one row as X\.iloc\[\[0\]\]"):
            as_dataframe(series)


def test_datasets_of_samples_are_refused_with_advice():
    """An xarray Dataset of samples, of a grid, or an empty one."""
    xr = pytest.importorskip("xarray")
    samples = xr.Dataset({"x": ("sample", [1.0, 2.0]), "y": ("sample", [3.0, 4.0])})
    grid = xr.Dataset({"clay": (("y", "x"), np.zeros((2, 2)))})
    for dataset in (samples, grid, xr.Dataset()):
        with pytest.raises(TypeError, match=r"X\.to_dataframe\(\)\.reset_index\(\).*predict_map"):
            as_dataframe(dataset)
    assert as_dataframe(samples.to_dataframe().reset_index()).shape == (2, 3)


@pytest.mark.parametrize("label", [["a"], {}, ("a", ["b"]), ((1, {}),), np.arange(2)])
def test_labels_that_cannot_be_hashed_are_no_columns(label):
    """A tuple is hashable by type, but not if it contains a list."""
    with pytest.raises(ValueError, match=r"site=.* is not a column of X"):
        find_column(pd.DataFrame({"a": [1.0], "b": [2.0]}), label, "site")
