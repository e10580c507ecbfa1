"""Checks for missing, swapped, scaled and out-of-range coordinates."""

import warnings

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sptgnn_sklearn.spatial.coordinate_checks import check_coordinates
from sptgnn_sklearn.spatial.crs import SpatialReference, resolve_crs

DEGREES = SpatialReference("EPSG:4326", geographic=True, unit="km")
GRADS = SpatialReference("EPSG:4807", geographic=True, unit="km")
METERS = SpatialReference("EPSG:28992", geographic=False, unit="metre")
LONLAT = ("lon", "lat")


@pytest.mark.parametrize("reference", [DEGREES, METERS])
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_nonfinite_coordinates_raise(reference, value, word):
    """The error contains the column, the number of rows and their positions."""
    xy = np.ones((20, 2))
    xy[[3, 7, 8, 11, 12, 19], 1] = value
    message = rf"'lat' holds {word}|'lat' holds infinite values \({word}"
    with pytest.raises(ValueError, match=message) as error:
        check_coordinates(xy, reference, LONLAT, fitting=False)
    assert "6 of 20 rows (row positions 3, 7, 8, 11, 12, ...)" in str(error.value)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        (
            1,
            90.5,
            "'lat' holds latitudes outside -90 to 90 in 1 of 3 rows (row position 2, value 90",
        ),
        (1, -91.0, "'lat' holds latitudes outside -90 to 90"),
        (0, -181.0, "'lon' holds longitudes outside -180 to 360"),
        (0, 361.0, "'lon' holds longitudes outside -180 to 360"),
    ],
)
def test_out_of_range_coordinates_raise(column, value, text):
    """The error contains the column, the rows and the value."""
    xy = np.array([[150.0, 60.0], [151.0, 61.0], [152.0, 62.0]])
    xy[2, column] = value
    with pytest.raises(ValueError) as error:
        check_coordinates(xy, DEGREES, LONLAT)
    assert text in str(error.value)
    check_coordinates(xy, METERS, LONLAT)


def test_extreme_coordinates_are_valid():
    """Poles, the date line and longitudes from 0 to 360 are valid."""
    xy = np.array([[-180.0, -90.0], [180.0, 90.0], [360.0, 0.0], [0.0, 0.0]])
    check_coordinates(xy, DEGREES, LONLAT)
    check_coordinates(xy / 0.9, GRADS, LONLAT)
    with pytest.raises(ValueError, match=r"'lat'.*-100 to 100.*101"):
        check_coordinates(np.array([[150.0, 101.0]]), GRADS, LONLAT)


def test_swapped_names_raise():
    """Columns named latitude first raise even if the values are in range."""
    xy = np.array([[50.9, 5.7], [51.0, 5.8]])
    with pytest.raises(ValueError, match=r"swapped.*coordinates=\('Lon', 'Lat'\)"):
        check_coordinates(xy, DEGREES, ("Lat", "Lon"))
    check_coordinates(xy, DEGREES, (0, 1))


def test_swapped_values_raise():
    """Latitudes in the range of longitudes only are reported as swapped."""
    xy = np.array([[-33.0, 151.0], [-35.0, 149.0]])
    with pytest.raises(ValueError, match=r"'b' holds latitudes.*swapped.*\('b', 'a'\)"):
        check_coordinates(xy, DEGREES, ("a", "b"))
    with pytest.raises(ValueError, match="set crs"):
        check_coordinates(np.array([[180_000.0, 330_000.0]]), DEGREES, ("a", "b"))


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scaled_coordinates_of_known_crs_raise_in_fit(scaler, dtype):
    """The output of a scaler is rejected in a training table only."""
    xy = np.random.default_rng(0).uniform((5, 50), (7, 52), size=(60, 2)).astype(dtype)
    scaled = scaler.fit_transform(xy).astype(np.float64)
    with pytest.raises(ValueError, match=f"{type(scaler).__name__}.*ColumnTransformer"):
        check_coordinates(scaled, DEGREES, LONLAT)
    check_coordinates(scaled, DEGREES, LONLAT, fitting=False)
    with pytest.raises(
        ValueError, match=rf"coordinates of {METERS.crs}: .*{type(scaler).__name__}"
    ):
        check_coordinates(scaled, METERS, ("x", "y"))
    check_coordinates(scaler.fit_transform(xy[:9]).astype(np.float64), DEGREES, LONLAT)
    check_coordinates(xy.astype(np.float64), DEGREES, LONLAT)
    # A single column can be scaled by chance, for example across the equator.
    check_coordinates(np.column_stack([scaled[:, 0], xy[:, 1]]), DEGREES, LONLAT)
    check_coordinates(scaled + np.array([0.0, 0.5]), DEGREES, LONLAT)
    check_coordinates(scaled * np.array([1.0, 1.1]), DEGREES, LONLAT)


def test_standardized_coordinates_of_unknown_crs_warn():
    """Coordinates of a bare array warn; the unit square is valid."""
    xy = np.random.default_rng(0).uniform(size=(60, 2))
    plane = SpatialReference(None, geographic=False, unit="unit")
    with pytest.warns(
        UserWarning, match=r"^Columns 0 and 1 are the coordinates, and both .* mean 0"
    ):
        check_coordinates(StandardScaler().fit_transform(xy), plane, (0, 1))
    check_coordinates(StandardScaler().fit_transform(xy), plane, (0, 1), fitting=False)
    check_coordinates(MinMaxScaler().fit_transform(xy), plane, (0, 1))
    check_coordinates(xy, plane, (0, 1))


@pytest.mark.parametrize(
    ("crs", "median", "message"),
    [
        (
            28992,
            (5.7, 50.9),
            r"'Amersfoort / RD New', .*3.2 to 7.22 .*crs=4326",
        ),
        (
            28992,
            (690_000, 5_640_000),
            r"^Columns 'x' and 'y', .*\(690000, 5640000\).*crs.$",
        ),
        (32631, (1e9, 1e9), "outside the earth in 'WGS 84 / UTM zone 31N'"),
        (2193, (5.7, 50.9), "crs=4326"),
        (28992, (155_000, 463_000), None),
        (25832, (200_000, 5_500_000), None),  # outside the zone, as for surveys of countries
        (2193, (1_700_000, 5_500_000), None),
        (3832, (0, 0), None),  # across the date line
        (3857, (19_500_000, -1_900_000), None),
        ("+proj=utm +zone=31", (5.7, 50.9), None),  # has no area of use
        (4326, (5.7, 50.9), None),
    ],
)
def test_coordinates_outside_area_of_use_warn(crs, median, message):
    """In fit, the median coordinates are compared with the area of use of the CRS."""
    xy = np.asarray(median) + np.array([[-0.1, 0.1], [0.0, 0.0], [0.1, -0.1]])
    reference = resolve_crs(crs, ["x", "y"])
    with warnings.catch_warnings(action="error"):
        check_coordinates(xy, reference, ("x", "y"), fitting=False)
        if message is None:
            check_coordinates(xy, reference, ("x", "y"))
            return
    with pytest.warns(UserWarning, match=message):
        check_coordinates(xy, reference, ("x", "y"))


def test_warnings_are_issued_at_the_stack_level():
    """The default names the caller of the function that calls its caller."""
    xy = StandardScaler().fit_transform(np.random.default_rng(0).uniform(size=(60, 2)))

    def fit_schema(**options):
        check_coordinates(xy, resolve_crs(None, ("x", "y")), ("x", "y"), **options)

    def fit_estimator(**options):
        fit_schema(**options)

    lines = []
    for options in ({}, {"stacklevel": 2}):
        with pytest.warns(UserWarning, match="'x' and 'y'") as seen:
            fit_estimator(**options)
        lines.append((seen[0].filename, seen[0].lineno))
    start = fit_schema.__code__.co_firstlineno
    assert lines[1] == (__file__, start + 1)
    assert lines[0][0] == __file__ and lines[0][1] > start + 4
