"""Spatial references from a CRS or from column names, and transforms between CRSs."""

import dataclasses
import json

import numpy as np
import pyproj
import pytest

from sptgnn_sklearn.spatial.crs import SpatialReference, resolve_crs, transform_coordinates

DEGREES = SpatialReference("EPSG:4326", geographic=True, unit="km")
GRADS = SpatialReference("EPSG:4807", geographic=True, unit="km")
METERS = SpatialReference("EPSG:28992", geographic=False, unit="metre")
LONLAT = ("lon", "lat")


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
def test_lon_lat_names_imply_wgs84(names):
    """Without a CRS, common names of longitude and latitude imply EPSG:4326."""
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
def test_other_names_imply_unknown_plane(names):
    """Other column names imply a plane of unknown CRS and unit."""
    assert resolve_crs(None, names) == SpatialReference(None, geographic=False, unit="unit")


@pytest.mark.parametrize(
    ("crs", "expected"),
    [
        (4326, DEGREES),
        (np.int64(4326), DEGREES),
        ("epsg:4326", DEGREES),
        (pyproj.CRS(4326), DEGREES),
        (pyproj.CRS(4326).to_wkt(), DEGREES),
        (("EPSG", 28992), METERS),
        (4979, DEGREES),
        ("EPSG:4326+5773", DEGREES),
        (7415, METERS),
        (4807, GRADS),
        (2225, SpatialReference("EPSG:2225", geographic=False, unit="US survey foot")),
        ("ESRI:102022", SpatialReference("ESRI:102022", geographic=False, unit="metre")),
    ],
)
def test_crs_inputs_are_equivalent(crs, expected):
    """Codes, strings, objects and WKT agree; 3D and compound CRSs are reduced to two axes."""
    assert resolve_crs(crs, ("x", "y")) == expected


def test_crs_without_authority_is_stored_as_wkt():
    """A CRS without an authority is stored as WKT and survives a round trip through JSON."""
    reference = resolve_crs("+proj=laea +lat_0=5 +lon_0=20 +units=km", ("x", "y"))
    assert reference.unit == "kilometre"
    assert not reference.geographic
    assert pyproj.CRS(reference.crs).coordinate_operation.method_name.startswith(
        "Lambert Azimuthal"
    )
    assert SpatialReference(**json.loads(json.dumps(dataclasses.asdict(reference)))) == reference


def test_similar_crs_gets_no_epsg_code():
    """UTM on an unknown datum is not ED50, although both use the same ellipsoid."""
    assert not resolve_crs("+proj=utm +zone=33 +ellps=intl", ("x", "y")).crs.startswith("EPSG")


def test_crs_takes_precedence_over_names():
    """A given CRS is used even if the columns are named lon and lat."""
    assert resolve_crs(28992, LONLAT) == METERS


@pytest.mark.parametrize("crs", ["EPSG:99", "WGS 85", 4326.0, object(), "", ["x"], True])
def test_invalid_crs_raises(crs):
    """The error contains the parameter and the value."""
    with pytest.raises(ValueError, match=r"crs=.*EPSG code"):
        resolve_crs(crs, LONLAT)


@pytest.mark.parametrize(("crs", "kind"), [(4978, "Geocentric"), (5773, "Vertical")])
def test_crs_without_horizontal_axes_raises(crs, kind):
    """Geocentric and vertical CRSs have no pair of horizontal coordinates."""
    with pytest.raises(ValueError, match=f"crs={crs} is a {kind} CRS"):
        resolve_crs(crs, LONLAT)


def test_coordinates_are_transformed():
    """The false origin of the Dutch grid is at the church tower of Amersfoort."""
    tower = transform_coordinates(np.array([[155_000.0, 463_000.0]]), 28992, DEGREES)
    np.testing.assert_allclose(tower, [[5.3872, 52.1552]], atol=1e-4)


def test_transform_between_planets_raises():
    """The error contains both systems."""
    with pytest.raises(ValueError, match=r"'Moon .*' to 'WGS 84'"):
        transform_coordinates(np.zeros((1, 2)), "IAU_2015:30100", DEGREES)
