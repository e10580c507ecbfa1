"""Blocks of cells: columns, locations and weights."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from known_draws import KnownDraws, cell_table, known_model
from sklearn.linear_model import LinearRegression

from sptgnn_sklearn.estimation.cells import (
    CellReader,
    ModelColumns,
    as_column,
    choose_block_rows,
    is_stream,
    iterate_blocks,
)
from sptgnn_sklearn.estimation.zone_assignment import read_zones


def read(cells, *, model=None, zones=None, weights=None, block_rows=5):
    columns = ModelColumns.from_model(known_model() if model is None else model)
    reader = CellReader(columns, read_zones(zones), weights, block_rows)
    return reader, list(reader.blocks(cells))


def test_blocks_leave_out_cells_without_weight_or_zone():
    """The mask has the rows of the block, and counts continue over blocks."""
    farm = ["a", None, "a", "b", "b", "b", None]
    reader, blocks = read(cell_table(7), zones=farm, weights=[1, 1, 0, 2, 3, 4, 5.0])
    assert [block.kept.tolist() for block in blocks] == [[True, False, False, True, True], [1, 0]]
    assert np.concatenate([block.weights for block in blocks]).tolist() == [1, 2, 3, 4]
    assert [list(block.zones) for block in blocks] == [["a", "b", "b"], ["b"]]
    assert (reader.n_rows, reader.n_outside) == (7, 2)
    np.testing.assert_array_equal(blocks[0].locations.xy, [[0, 0], [30, 0], [40, 0]])


def test_columns_of_the_model_are_selected_in_their_order():
    """Other columns, such as areas and labels, are not passed to the model."""
    columns = ModelColumns.from_model(known_model())
    frame = cell_table(3, ha=1.0)[["ha", "year", "x", "y", "value", "cell"]]
    assert columns.select(frame).columns.tolist() == cell_table().columns.tolist()


def test_arrays_for_models_without_names():
    """A model fitted on an array gets an array."""
    X = np.arange(12.0).reshape(4, 3)
    columns = ModelColumns.from_model(LinearRegression().fit(X, X[:, 0]))
    (frame,) = iterate_blocks(X, 10)
    np.testing.assert_array_equal(columns.select(frame), X)
    assert columns.locate(frame) is None


def geographic_model():
    cells = cell_table(3).rename(columns={"x": "lon", "y": "lat"})
    return KnownDraws().fit(cells), cells


def test_points_become_the_coordinate_columns_of_the_model():
    """UTM points are longitudes and latitudes for a model of these; their own CRS locates them."""
    model, cells = geographic_model()
    cells = cells.assign(lon=[33.0, 33.1, 33.2], lat=[45.0, 45.1, 45.2])
    points = gpd.points_from_xy(cells["lon"], cells["lat"], crs=4326)
    utm = gpd.GeoDataFrame(cells.drop(columns=["lon", "lat"]), geometry=points).to_crs(32636)
    (frame,) = iterate_blocks(utm, 10)
    columns = ModelColumns.from_model(model)
    selected = columns.select(frame)
    np.testing.assert_allclose(selected[["lon", "lat"]], cells[["lon", "lat"]], atol=1e-8)
    located = columns.locate(frame)
    assert located.reference.crs == "EPSG:32636"
    assert located.xy[0, 0] == pytest.approx(500_000)


def test_points_of_a_grid_of_degrees_weigh_by_latitude_for_a_projected_model():
    """The grid of the cells decides on weights, not the CRS of the model."""
    model, cells = geographic_model()
    points = gpd.points_from_xy([33.0, 33.1, 33.2], [0.0, 60.0, 60.0], crs=4326)
    frame = gpd.GeoDataFrame(cells.drop(columns=["lon", "lat"]), geometry=points)
    _, (block,) = read(frame, model=model)
    np.testing.assert_allclose(block.weights, [1, 0.5, 0.5])
    _, (block,) = read(frame.to_crs(32636), model=model)
    np.testing.assert_allclose(block.weights, [1, 1, 1])


def test_latitudes_in_grads():
    """100 grads are 90 degrees."""
    _, cells = geographic_model()
    points = gpd.points_from_xy([33.0] * 3, [0.0, 50.0, 100.0], crs=4807)
    frame = gpd.GeoDataFrame(cells.drop(columns=["lon", "lat"]), geometry=points)
    _, (block,) = read(frame, model=geographic_model()[0])
    np.testing.assert_allclose(block.weights, [1, np.sqrt(0.5), 0], atol=1e-9)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (iter([cell_table()]), True),
        ((table for table in [cell_table()]), True),
        ([cell_table(), cell_table()], True),
        (cell_table(), False),
        (np.zeros((3, 2)), False),
        ([[1.0, 2.0]], False),
        ([], False),
    ],
)
def test_streams(cells, expected):
    """Iterators and lists of tables are streams; tables and arrays are not."""
    assert is_stream(cells) == expected


def test_large_blocks_are_cut_and_empty_ones_skipped():
    """No block exceeds the number of rows."""
    parts = iter([cell_table(7), cell_table(3)[:0], cell_table(2)])
    assert [len(block) for block in iterate_blocks(parts, 3)] == [3, 3, 1, 2]


def test_rows_of_a_block_follow_the_number_of_draws():
    """A block has four million values."""
    assert choose_block_rows(None, 4000) == 1000
    assert choose_block_rows(7, 4000) == 7


def test_columns_of_one_dimension():
    """A table of one column is a column."""
    assert as_column("zones", pd.DataFrame({"a": [1, 2]}, index=[5, 6])).index.tolist() == [0, 1]


def test_columns_that_predictions_do_not_need_may_be_missing():
    """Ids and campaigns are filled in as missing, others are not."""
    model, cells = geographic_model()
    columns = ModelColumns.from_model(model)
    (frame,) = iterate_blocks(cells, 10)
    label = next(name for name in columns.inputs.labels if name not in ("lon", "lat"))
    optional = replace(columns, inputs=replace(columns.inputs, optional=frozenset({label})))
    assert optional.select(frame.drop(columns=label))[label].isna().all()
    with pytest.raises(ValueError, match=label):
        columns.select(frame.drop(columns=label))
