"""Frames, checks of coordinates, and the spaces that distances are taken in."""

import dataclasses
import json
import warnings

import numpy as np
import pyproj
import pytest
from scipy.spatial import cKDTree
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sptgnn_sklearn.spatial.coordinate_checks import check_coordinates
from sptgnn_sklearn.spatial.crs import SpatialReference, resolve_crs, transform_coordinates
from sptgnn_sklearn.spatial.distances import (
    EARTH_RADIUS_KM,
    chord_to_distance,
    distance_to_chord,
    plane_origin,
    to_local_plane,
    to_metric_coordinates,
)

DEGREES = SpatialReference("EPSG:4326", geographic=True, unit="km")
GRADS = SpatialReference("EPSG:4807", geographic=True, unit="km")
METRES = SpatialReference("EPSG:28992", geographic=False, unit="metre")
LONLAT = ("lon", "lat")


def haversine(a, b):
    """Great-circle km by the half-angle formula, which shares no code with the package."""
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T, np.radians(b).T
    h = np.sin((lat_b - lat_a) / 2) ** 2
    h += np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(h))


def globe(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
    )


@pytest.mark.parametrize(
    "names",
    [
        ("lon", "lat"),
        ("LON", "LAT"),
        ("Longitude", "Latitude"),
        ("long", "lat"),
        ("lng", "lat"),
        ("lon_wgs84", "lat_wgs84"),
        ("x_wgs84", "y_wgs84"),
        ("decimalLongitude", "decimalLatitude"),
        ("decimallongitude", "decimallatitude"),
        ("gps_lon", "gps_lat"),
        ("lonDD", "latDD"),
        ("Long.", "Lat."),
        ("lat", "lon"),
    ],
)
def test_names_of_longitude_and_latitude_mean_wgs84(names):
    """Without a CRS the usual names of longitude and latitude are read as EPSG:4326."""
    assert resolve_crs(None, names) == DEGREES


@pytest.mark.parametrize(
    "names",
    [
        ("x", "y"),
        ("easting", "northing"),
        ("0", "1"),
        (0, 1),
        ("lon", "y"),
        ("x_utm_wgs84", "y_utm_wgs84"),
        ("lon_rad", "lat_rad"),
        ("elongation", "plateau"),
        ("slope", "flatness"),
    ],
)
def test_other_names_mean_an_unknown_plane(names):
    """Names that are not a longitude and a latitude leave a plane of unknown unit."""
    assert resolve_crs(None, names) == SpatialReference(None, geographic=False, unit="unit")


@pytest.mark.parametrize(
    ("crs", "expected"),
    [
        (4326, DEGREES),
        (np.int64(4326), DEGREES),
        ("epsg:4326", DEGREES),
        (pyproj.CRS(4326), DEGREES),
        (pyproj.CRS(4326).to_wkt(), DEGREES),
        (("EPSG", 28992), METRES),
        (4979, DEGREES),
        ("EPSG:4326+5773", DEGREES),
        (7415, METRES),
        (4807, GRADS),
        (2225, SpatialReference("EPSG:2225", geographic=False, unit="US survey foot")),
        ("ESRI:102022", SpatialReference("ESRI:102022", geographic=False, unit="metre")),
    ],
)
def test_crs_is_read_whatever_its_form(crs, expected):
    """Codes, strings, objects and WKT agree; of 3D and compound systems the plane part is taken."""
    assert resolve_crs(crs, ("x", "y")) == expected


def test_crs_without_authority_is_kept_as_wkt():
    """A CRS of no authority survives as WKT, and the frame as JSON."""
    reference = resolve_crs("+proj=laea +lat_0=5 +lon_0=20 +units=km", ("x", "y"))
    assert reference.unit == "kilometre"
    assert not reference.geographic
    assert pyproj.CRS(reference.crs).coordinate_operation.method_name.startswith(
        "Lambert Azimuthal"
    )
    assert SpatialReference(**json.loads(json.dumps(dataclasses.asdict(reference)))) == reference


def test_crs_that_only_resembles_a_coded_one_gets_no_code():
    """UTM on an unknown datum is not ED50, whose ellipsoid it shares."""
    assert not resolve_crs("+proj=utm +zone=33 +ellps=intl", ("x", "y")).crs.startswith("EPSG")


def test_crs_beats_names():
    """A given CRS counts, even where the columns are called lon and lat."""
    assert resolve_crs(28992, LONLAT) == METRES


@pytest.mark.parametrize("crs", ["EPSG:99", "WGS 85", 4326.0, object(), "", ["x"], True])
def test_unknown_crs_is_named(crs):
    """The error says which parameter is wrong, what was given, and what to give."""
    with pytest.raises(ValueError, match=r"crs=.* is not a coordinate reference system.*EPSG"):
        resolve_crs(crs, LONLAT)


@pytest.mark.parametrize(("crs", "kind"), [(4978, "Geocentric"), (5773, "Vertical")])
def test_crs_without_a_plane_is_refused(crs, kind):
    """Two coordinates of a geocentric or vertical system are no place."""
    with pytest.raises(ValueError, match=f"crs={crs} is a {kind} CRS"):
        resolve_crs(crs, LONLAT)


@pytest.mark.parametrize("reference", [DEGREES, METRES])
@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_missing_and_infinite_coordinates_are_located(reference, bad, word):
    """The error names the column, the number of rows and their positions."""
    xy = np.ones((20, 2))
    xy[[3, 7, 8, 11, 12, 19], 1] = bad
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
            "'lat' holds latitudes beyond -90 to 90 in 1 of 3 rows (row position 2, value 90",
        ),
        (1, -91.0, "'lat' holds latitudes beyond -90 to 90"),
        (0, -181.0, "'lon' holds longitudes beyond -180 to 360"),
        (0, 361.0, "'lon' holds longitudes beyond -180 to 360"),
    ],
)
def test_coordinates_out_of_range_are_located(column, value, text):
    """Degrees beyond their range are refused with column, row and value."""
    xy = np.array([[150.0, 60.0], [151.0, 61.0], [152.0, 62.0]])
    xy[2, column] = value
    with pytest.raises(ValueError) as error:
        check_coordinates(xy, DEGREES, LONLAT)
    assert text in str(error.value)
    check_coordinates(xy, METRES, LONLAT)


def test_limits_of_the_globe_are_coordinates():
    """Poles, the date line and longitudes counted from 0 to 360 are fine."""
    xy = np.array([[-180.0, -90.0], [180.0, 90.0], [360.0, 0.0], [0.0, 0.0]])
    check_coordinates(xy, DEGREES, LONLAT)
    check_coordinates(xy / 0.9, GRADS, LONLAT)
    with pytest.raises(ValueError, match="beyond -100 to 100"):
        check_coordinates(np.array([[150.0, 101.0]]), GRADS, LONLAT)


def test_swapped_names_are_noticed():
    """Columns named latitude first are refused even where the values would pass."""
    xy = np.array([[50.9, 5.7], [51.0, 5.8]])
    with pytest.raises(ValueError, match=r"swapped.*coordinates=\('Lon', 'Lat'\)"):
        check_coordinates(xy, DEGREES, ("Lat", "Lon"))
    check_coordinates(xy, DEGREES, (0, 1))


def test_swapped_values_are_noticed():
    """Latitudes that only longitudes could be are called swapped, not out of range."""
    xy = np.array([[-33.0, 151.0], [-35.0, 149.0]])
    with pytest.raises(ValueError, match=r"'b' holds latitudes.*swapped.*\('b', 'a'\)"):
        check_coordinates(xy, DEGREES, ("a", "b"))
    with pytest.raises(ValueError, match="set crs to the system"):
        check_coordinates(np.array([[180_000.0, 330_000.0]]), DEGREES, ("a", "b"))


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scaled_longitude_and_latitude_are_refused_when_fitting(scaler, dtype):
    """Output of a scaler is refused in a training table, and only there."""
    places = np.random.default_rng(0).uniform((5, 50), (7, 52), size=(60, 2)).astype(dtype)
    scaled = scaler.fit_transform(places).astype(np.float64)
    with pytest.raises(ValueError, match=f"{type(scaler).__name__}.*ColumnTransformer"):
        check_coordinates(scaled, DEGREES, LONLAT)
    check_coordinates(scaled, DEGREES, LONLAT, fitting=False)
    with pytest.raises(
        ValueError, match=rf"coordinates of {METRES.crs}: .*{type(scaler).__name__}"
    ):
        check_coordinates(scaled, METRES, ("x", "y"))
    check_coordinates(scaler.fit_transform(places[:9]).astype(np.float64), DEGREES, LONLAT)
    check_coordinates(places.astype(np.float64), DEGREES, LONLAT)
    # One scaled column is no sign: a survey can lie across the equator.
    check_coordinates(np.column_stack([scaled[:, 0], places[:, 1]]), DEGREES, LONLAT)
    check_coordinates(scaled + np.array([0.0, 0.5]), DEGREES, LONLAT)
    check_coordinates(scaled * np.array([1.0, 1.1]), DEGREES, LONLAT)


def test_scaled_coordinates_of_an_unknown_plane_are_questioned():
    """Such as those of a bare array; a square of side one may be as it was measured."""
    places = np.random.default_rng(0).uniform(size=(60, 2))
    plane = SpatialReference(None, geographic=False, unit="unit")
    with pytest.warns(
        UserWarning, match=r"^Columns 0 and 1 are the coordinates, and both .* mean 0"
    ):
        check_coordinates(StandardScaler().fit_transform(places), plane, (0, 1))
    check_coordinates(StandardScaler().fit_transform(places), plane, (0, 1), fitting=False)
    check_coordinates(MinMaxScaler().fit_transform(places), plane, (0, 1))
    check_coordinates(places, plane, (0, 1))


@pytest.mark.parametrize(
    ("crs", "middle", "message"),
    [
        (
            28992,
            (5.7, 50.9),
            r"'Amersfoort / RD New', .*3.2 to 7.22 .*check crs. They look like deg",
        ),
        (
            28992,
            (690_000, 5_640_000),
            r"^Columns 'x' and 'y', around \(690000, 5640000\), are .*crs.$",
        ),
        (32631, (1e9, 1e9), "nowhere on earth in 'WGS 84 / UTM zone 31N'"),
        (2193, (5.7, 50.9), "They look like degrees: then it is crs=4326"),
        (28992, (155_000, 463_000), None),
        (25832, (200_000, 5_500_000), None),  # beyond the zone, as surveys of countries are
        (2193, (1_700_000, 5_500_000), None),
        (3832, (0, 0), None),  # around the date line
        (3857, (19_500_000, -1_900_000), None),
        ("+proj=utm +zone=31", (5.7, 50.9), None),  # nobody has said where it is meant for
        (4326, (5.7, 50.9), None),
    ],
)
def test_surveys_far_from_where_their_system_is_meant_for(crs, middle, message):
    """The wrong system, or degrees in one of metres, is told; by its middle alone, when fitting."""
    places = np.asarray(middle) + np.array([[-0.1, 0.1], [0.0, 0.0], [0.1, -0.1]])
    reference = resolve_crs(crs, ["x", "y"])
    with warnings.catch_warnings(action="error"):
        check_coordinates(places, reference, ("x", "y"), fitting=False)
        if message is None:
            check_coordinates(places, reference, ("x", "y"))
            return
    with pytest.warns(UserWarning, match=message):
        check_coordinates(places, reference, ("x", "y"))


def test_chords_give_great_circle_distances():
    """Distances through metric_space agree with the haversine formula, near and far."""
    a, b = globe(500, seed=1), globe(500, seed=2)
    b[:100] = a[:100] + np.random.default_rng(3).normal(scale=1e-4, size=(100, 2))
    chord = np.linalg.norm(
        to_metric_coordinates(a, DEGREES) - to_metric_coordinates(b, DEGREES), axis=1
    )
    np.testing.assert_allclose(chord_to_distance(chord, DEGREES), haversine(a, b), atol=1e-6)


def test_nearest_neighbours_cross_the_date_line():
    """Neighbours found in metric_space are those of the haversine formula."""
    xy = np.vstack([globe(150), [[179.99, 10.0], [-179.99, 10.0]]])
    points = to_metric_coordinates(xy, DEGREES)
    found = cKDTree(points).query(points, k=2)[1]
    table = np.array([haversine(np.broadcast_to(row, xy.shape), xy) for row in xy])
    np.fill_diagonal(table, np.inf)
    np.testing.assert_array_equal(found[:, 1], table.argmin(axis=1))
    assert found[150, 1] == 151


def test_chord_and_distance_are_inverse():
    """distance_to_chord undoes chord_to_distance up to half way round the globe."""
    distance = np.linspace(0, np.pi * EARTH_RADIUS_KM * (1 - 1e-9), 50)
    back = chord_to_distance(distance_to_chord(distance, DEGREES), DEGREES)
    np.testing.assert_allclose(back, distance, rtol=1e-7)
    assert distance_to_chord(30_000.0, DEGREES) == np.inf
    np.testing.assert_array_equal(distance_to_chord(distance, METRES), distance)
    np.testing.assert_array_equal(chord_to_distance(distance, METRES), distance)


def test_planes_are_their_own_metric_space():
    """Coordinates of a projected system are used as they are."""
    xy = np.array([[181_072.0, 333_611.0], [181_025.0, 333_558.0]])
    np.testing.assert_array_equal(to_metric_coordinates(xy, METRES), xy)
    np.testing.assert_array_equal(plane_origin(xy, METRES), [181_048.5, 333_584.5])
    np.testing.assert_array_equal(to_local_plane(xy, METRES), [[23.5, 26.5], [-23.5, -26.5]])
    np.testing.assert_array_equal(to_local_plane(xy, METRES, [181_000, 333_500])[1], [25.0, 58.0])


def test_grads_are_converted():
    """A geographic system in grads gives the same points as degrees do."""
    xy = globe(40)
    for of_degrees, of_grads in [
        (to_metric_coordinates(xy, DEGREES), to_metric_coordinates(xy / 0.9, GRADS)),
        (to_local_plane(xy, DEGREES), to_local_plane(xy / 0.9, GRADS)),
        (plane_origin(xy, DEGREES), plane_origin(xy / 0.9, GRADS) * 0.9),
    ]:
        np.testing.assert_allclose(of_grads, of_degrees, atol=1e-8)


def test_no_way_from_planet_to_planet():
    """PROJ's own error is turned into one that names both systems."""
    with pytest.raises(ValueError, match=r"'Moon .*' cannot be brought into 'WGS 84'"):
        transform_coordinates(np.zeros((1, 2)), "IAU_2015:30100", DEGREES)


@pytest.mark.parametrize("origin", [(5.7, 50.9), (180.0, -17.0), (12.0, 90.0), (-40.0, -90.0)])
def test_local_plane_is_the_azimuthal_equidistant_projection(origin):
    """PROJ's own projection of the same sphere gives the same coordinates, at poles too."""
    xy = globe(300)
    sphere = f"+R={EARTH_RADIUS_KM * 1000} +no_defs"
    project = pyproj.Transformer.from_crs(
        f"+proj=longlat {sphere}",
        f"+proj=aeqd +lat_0={origin[1]} +lon_0={origin[0]} +units=km {sphere}",
        always_xy=True,
    )
    expected = np.column_stack(project.transform(*xy.T))
    np.testing.assert_allclose(to_local_plane(xy, DEGREES, origin), expected, atol=1e-5)


def test_local_plane_keeps_distances_from_the_origin():
    """The origin is at (0, 0), and distances from it are great-circle distances."""
    xy = np.vstack([globe(100), [[20.0, 5.0], [-160.0, -5.0]]])
    plane = to_local_plane(xy, DEGREES, origin=[20.0, 5.0])
    expected = haversine(np.broadcast_to([20.0, 5.0], xy.shape), xy)
    np.testing.assert_allclose(np.hypot(*plane.T)[:-1], expected[:-1], atol=1e-6)
    np.testing.assert_allclose(plane[100], 0.0, atol=1e-9)
    assert np.isfinite(plane[101]).all()


def test_queries_are_projected_with_the_origin_of_the_training_rows():
    """A place has the same plane coordinates alone and among others, given one origin."""
    xy = np.random.default_rng(0).uniform((-10, 0), (40, 30), size=(50, 2))
    origin = plane_origin(xy, DEGREES)
    together = to_local_plane(xy, DEGREES)
    alone = np.vstack([to_local_plane(row[None], DEGREES, origin) for row in xy])
    np.testing.assert_allclose(alone, together, atol=1e-9)
    assert np.abs(to_local_plane(xy[:1], DEGREES)).max() < 1e-9


@pytest.mark.parametrize(
    ("xy", "expected"),
    [
        ([[179.0, 10.0], [-179.0, 10.0]], (180.0, 10.0015)),
        ([[0.0, 80.0], [90.0, 80.0], [180.0, 80.0], [270.0, 80.0]], (None, 90.0)),
        ([[0.0, 0.0], [180.0, 0.0]], (0.0, 0.0)),
    ],
)
def test_origin_knows_no_date_line_and_no_poles(xy, expected):
    """The middle of places around the date line or a pole lies between them."""
    longitude, latitude = plane_origin(np.array(xy), DEGREES)
    assert latitude == pytest.approx(expected[1], abs=1e-3)
    if expected[0] is not None:
        assert abs(longitude) == pytest.approx(expected[0])
