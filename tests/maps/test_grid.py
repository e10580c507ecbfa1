"""Grids: their differences, windows, block edges and cell centers."""

import numpy as np
import pyproj
import pytest

from sptgnn_sklearn.maps.grid import (
    Grid,
    block_edges,
    block_windows,
    cell_centers,
    describe_difference,
    shift_longitudes,
)
from sptgnn_sklearn.spatial.crs import resolve_crs, same_crs


def make_grid(shift=0.0, step=10.0, crs="EPSG:32636"):
    x, y = 5.0 + step * np.arange(6), 35.0 - step * np.arange(4)
    return Grid(x, y, (step, 0.0, shift, 0.0, -step, 40.0), crs)


def test_rounding_is_not_a_difference_of_grids():
    """A thousandth of a cell over the whole grid is tolerated, and so is an unknown CRS."""
    assert describe_difference(make_grid(), make_grid(shift=0.009)) is None
    assert describe_difference(make_grid(), make_grid(crs=None)) is None
    assert "transform" in describe_difference(make_grid(), make_grid(shift=0.011))


def test_small_errors_of_the_cell_size_add_up_over_the_grid():
    """A cell size that is off by less than the tolerance moves the last of six columns by more."""
    assert "transform" in describe_difference(make_grid(), make_grid(step=10.009))


def test_different_crs_are_named():
    result = describe_difference(make_grid(), make_grid(crs="EPSG:32635"))
    assert result == "CRS EPSG:32636 against EPSG:32635"


def test_window_transform_starts_at_the_corner_of_the_window():
    """Column 0, row 0 of a window is its upper left corner."""
    assert make_grid().window_transform((1, 3, 2, 5)) == (10.0, 0.0, 20.0, 0.0, -10.0, 30.0)


@pytest.mark.parametrize("side", [None, 1, 100])
@pytest.mark.parametrize("tile", [None, (16, 16), (1, 70), (64, 64)])
def test_blocks_cover_the_grid_in_whole_tiles(side, tile):
    """Edges lie on tiles and run from the first to the last cell."""
    for edges, length, step in zip(
        block_edges((100, 70), tile, side), (100, 70), tile or (1, 1), strict=True
    ):
        assert (edges[0], edges[-1]) == (0, length)
        assert all(edge % min(step, length) == 0 for edge in edges[:-1])
    windows = block_windows(*block_edges((100, 70), tile, side))
    cells = sum((bottom - top) * (right - left) for top, bottom, left, right in windows)
    assert cells == 100 * 70


def test_cells_outside_the_domain_of_the_crs_are_nan():
    """A location that has no coordinates in the CRS of the model has none at all."""
    utm = resolve_crs("EPSG:32636", [])
    result = cell_centers(np.array([33.0, 33.0]), np.array([0.0, 95.0]), "EPSG:4326", utm)
    np.testing.assert_allclose(result[0], [500_000, 0], atol=1e-3)
    assert np.isnan(result[1]).all()


CODES = [32636, 4326, 3035, 28992, 2180, 31467, 25832, 5070, 27700, 2154, 3857, 2193]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "form", ["WKT2_2019", "WKT2_2015", "WKT1_GDAL", "WKT1_ESRI", "json", "proj"]
)
@pytest.mark.filterwarnings("ignore:You will likely lose important:UserWarning")
def test_crs_written_in_any_form_is_the_same(code, form):
    """Well-known text of all versions, JSON and PROJ text; only PROJ text may lack the datum."""
    crs = pyproj.CRS.from_epsg(code)
    if form == "proj":
        text = crs.to_proj4()
    elif form == "json":
        text = crs.to_json()
    else:
        text = crs.to_wkt(form)
    assert same_crs(f"EPSG:{code}", text, known_datum=form != "proj")
    assert same_crs(text, f"EPSG:{code}", known_datum=form != "proj")
    assert describe_difference(make_grid(crs=f"EPSG:{code}"), make_grid(crs=text)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("EPSG:4326", "OGC:CRS84"),
        ("EPSG:4326", "EPSG:4979"),
        ("EPSG:32636", "+proj=utm +zone=36 +datum=WGS84 +units=m +no_defs +type=crs"),
        ("EPSG:28992", "EPSG:7415"),
        ("EPSG:31370", "EPSG:31370+5710"),
    ],
)
def test_axis_order_heights_and_names_do_not_count(one, other):
    assert same_crs(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("EPSG:32636", "EPSG:32637"),
        ("EPSG:32636", "EPSG:32736"),
        ("EPSG:32636", "EPSG:25836"),
        ("EPSG:4326", "EPSG:4258"),
        ("EPSG:4326", "EPSG:4267"),
        ("EPSG:26910", "EPSG:26710"),
        ("EPSG:32636", "+proj=utm +zone=36 +datum=WGS84 +units=km"),
        ("EPSG:2263", "EPSG:32118"),
        ("EPSG:3857", "EPSG:3395"),
        ("EPSG:5513", "EPSG:5514"),
        ("EPSG:28992", "+proj=utm +zone=31 +ellps=bessel"),
    ],
)
def test_other_datums_zones_units_and_directions_count(one, other):
    assert not same_crs(one, other)
    assert not same_crs(one, other, known_datum=False)


def test_longitudes_beyond_the_range_are_shifted():
    """Those from -180 to 360 stay as they are, also in grads."""
    wgs84 = resolve_crs(4326, [])
    lon = [-190.0, -180.0, 0.0, 359.9, 360.0, 360.5, 540.0]
    result = shift_longitudes(np.column_stack([lon, np.zeros(7)]), wgs84)
    np.testing.assert_allclose(result[:, 0], [170, -180, 0, 359.9, 360, 0.5, -180])
    grads = resolve_crs("EPSG:4807", [])
    assert shift_longitudes(np.array([[410.0, 1.0]]), grads)[0, 0] == pytest.approx(10.0)
    utm = resolve_crs(32636, [])
    assert shift_longitudes(np.array([[441000.0, 1.0]]), utm)[0, 0] == 441000
