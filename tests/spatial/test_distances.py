"""Great-circle distances and local planes, compared with independent formulas."""

import numpy as np
import pyproj
import pytest
from scipy.spatial import cKDTree

from sptgnn_sklearn.spatial.crs import SpatialReference
from sptgnn_sklearn.spatial.distances import (
    EARTH_RADIUS_KM,
    chord_to_distance,
    distance_to_chord,
    from_local_plane,
    from_metric_coordinates,
    plane_origin,
    to_local_plane,
    to_metric_coordinates,
)

DEGREES = SpatialReference("EPSG:4326", geographic=True, unit="km")
GRADS = SpatialReference("EPSG:4807", geographic=True, unit="km")
METERS = SpatialReference("EPSG:28992", geographic=False, unit="metre")


def haversine(a, b):
    """Return great-circle km by the haversine formula, independent of the package."""
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T, np.radians(b).T
    h = np.sin((lat_b - lat_a) / 2) ** 2
    h += np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(h))


def globe(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
    )


def test_chords_give_great_circle_distances():
    """Distances from metric coordinates agree with the haversine formula, near and far."""
    a, b = globe(500, seed=1), globe(500, seed=2)
    b[:100] = a[:100] + np.random.default_rng(3).normal(scale=1e-4, size=(100, 2))
    chord = np.linalg.norm(
        to_metric_coordinates(a, DEGREES) - to_metric_coordinates(b, DEGREES), axis=1
    )
    np.testing.assert_allclose(chord_to_distance(chord, DEGREES), haversine(a, b), atol=1e-6)


def test_nearest_neighbors_cross_the_date_line():
    """Nearest neighbors in metric coordinates are those of the haversine formula."""
    xy = np.vstack([globe(150), [[179.99, 10.0], [-179.99, 10.0]]])
    points = to_metric_coordinates(xy, DEGREES)
    result = cKDTree(points).query(points, k=2)[1]
    distances = np.array([haversine(np.broadcast_to(row, xy.shape), xy) for row in xy])
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(result[:, 1], distances.argmin(axis=1))
    assert result[150, 1] == 151


def test_chord_and_distance_are_inverse():
    """The round trip is exact up to half the circumference of the earth."""
    distance = np.linspace(0, np.pi * EARTH_RADIUS_KM * (1 - 1e-9), 50)
    back = chord_to_distance(distance_to_chord(distance, DEGREES), DEGREES)
    np.testing.assert_allclose(back, distance, rtol=1e-7)
    assert distance_to_chord(30_000.0, DEGREES) == np.inf
    np.testing.assert_array_equal(distance_to_chord(distance, METERS), distance)
    np.testing.assert_array_equal(chord_to_distance(distance, METERS), distance)


def test_projected_coordinates_are_unchanged():
    """Coordinates of a projected CRS are metric coordinates; the plane is centered."""
    xy = np.array([[181_072.0, 333_611.0], [181_025.0, 333_558.0]])
    np.testing.assert_array_equal(to_metric_coordinates(xy, METERS), xy)
    np.testing.assert_array_equal(plane_origin(xy, METERS), [181_048.5, 333_584.5])
    np.testing.assert_array_equal(to_local_plane(xy, METERS), [[23.5, 26.5], [-23.5, -26.5]])
    np.testing.assert_array_equal(to_local_plane(xy, METERS, [181_000, 333_500])[1], [25.0, 58.0])


def test_grads_are_converted():
    """A geographic CRS in grads gives the same points as degrees."""
    xy = globe(40)
    for of_degrees, of_grads in [
        (to_metric_coordinates(xy, DEGREES), to_metric_coordinates(xy / 0.9, GRADS)),
        (to_local_plane(xy, DEGREES), to_local_plane(xy / 0.9, GRADS)),
        (plane_origin(xy, DEGREES), plane_origin(xy / 0.9, GRADS) * 0.9),
    ]:
        np.testing.assert_allclose(of_grads, of_degrees, atol=1e-8)


def test_metric_coordinates_are_inverted():
    """Coordinates are recovered with longitudes in -180 to 180, also from points off the sphere."""
    xy = globe(50)
    points = to_metric_coordinates(xy + np.array([360.0, 0.0]), DEGREES)
    np.testing.assert_allclose(from_metric_coordinates(points, DEGREES), xy, atol=1e-9)
    np.testing.assert_allclose(from_metric_coordinates(0.7 * points, DEGREES), xy, atol=1e-9)
    np.testing.assert_array_equal(from_metric_coordinates(xy, METERS), xy)


@pytest.mark.parametrize("origin", [(5.7, 50.9), (180.0, -17.0), (12.0, 90.0), (-40.0, -90.0)])
def test_local_plane_is_the_azimuthal_equidistant_projection(origin):
    """PROJ's projection of the same sphere gives the same coordinates, also at the poles."""
    xy = globe(300)
    sphere = f"+R={EARTH_RADIUS_KM * 1000} +no_defs"
    project = pyproj.Transformer.from_crs(
        f"+proj=longlat {sphere}",
        f"+proj=aeqd +lat_0={origin[1]} +lon_0={origin[0]} +units=km {sphere}",
        always_xy=True,
    )
    expected = np.column_stack(project.transform(*xy.T))
    np.testing.assert_allclose(to_local_plane(xy, DEGREES, origin), expected, atol=1e-5)


def test_local_plane_preserves_distances_from_the_origin():
    """The origin is at (0, 0), and distances from it are great-circle distances."""
    xy = np.vstack([globe(100), [[20.0, 5.0], [-160.0, -5.0]]])
    plane = to_local_plane(xy, DEGREES, origin=[20.0, 5.0])
    expected = haversine(np.broadcast_to([20.0, 5.0], xy.shape), xy)
    np.testing.assert_allclose(np.hypot(*plane.T)[:-1], expected[:-1], atol=1e-6)
    np.testing.assert_allclose(plane[100], 0.0, atol=1e-9)
    assert np.isfinite(plane[101]).all()


def test_projection_depends_on_the_origin_only():
    """With a given origin, plane coordinates do not depend on the other rows."""
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
def test_origin_is_valid_at_date_line_and_poles(xy, expected):
    """The center of locations around the date line or a pole is between them."""
    longitude, latitude = plane_origin(np.array(xy), DEGREES)
    assert latitude == pytest.approx(expected[1], abs=1e-3)
    if expected[0] is not None:
        assert abs(longitude) == pytest.approx(expected[0])


@pytest.mark.parametrize("origin", [(5.7, 50.9), (180.0, -17.0), (12.0, 90.0), (-40.0, -90.0)])
def test_local_plane_is_inverted(origin):
    """Projected locations return to where they were, also at poles and the date line."""
    xy = globe(200)
    plane = to_local_plane(xy, DEGREES, origin)
    back = from_local_plane(plane, DEGREES, origin)
    difference = to_metric_coordinates(back, DEGREES) - to_metric_coordinates(xy, DEGREES)
    np.testing.assert_allclose(difference, 0, atol=1e-6)
    np.testing.assert_allclose(from_local_plane(np.zeros((1, 2)), DEGREES, (5.0, 7.0)), [[5, 7]])
    np.testing.assert_allclose(from_local_plane(xy, METERS, (5.0, 7.0)) - (5.0, 7.0), xy)
