"""Grids: their differences, windows, block edges and cell centers."""

import numpy as np
import pytest

from sptgnn_sklearn.maps.grid import (
    Grid,
    block_edges,
    block_windows,
    cell_centers,
    describe_difference,
)
from sptgnn_sklearn.spatial.crs import resolve_crs


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
