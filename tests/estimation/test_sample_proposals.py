"""Proposals of further samples."""

import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from known_draws import cell_table, known_model
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from small_models import make_regressor

from sptgnn_sklearn.estimation import propose_samples
from sptgnn_sklearn.estimation.cells import ModelColumns
from sptgnn_sklearn.estimation.sample_proposals import _covariates

METHODS = ("greedy", "kmeans", "latin_hypercube", "random")
SIDE = 12
GRID = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2).astype(float)
CELLS = pd.DataFrame({"x": GRID[:, 0], "y": GRID[:, 1], "slope": np.sin(GRID[:, 0])})
KERNEL = RBF([3.0, 3.0, 1e3]) + WhiteKernel(0.1)


def process():
    """Return a Gaussian process of samples in the west."""
    samples = CELLS[CELLS["x"] < 3].iloc[::3]
    return GaussianProcessRegressor(KERNEL, optimizer=None).fit(samples, samples["y"])


def propose(n=5, **options):
    return propose_samples(process(), CELLS, n, block_rows=len(CELLS), **options)


def exact_std(rows, cells=CELLS):
    """Return the standard deviation of the mean of all cells after samples, by linear algebra."""
    known = np.r_[process().X_train_, cells.to_numpy()[rows]]
    smooth, weights = RBF([3.0, 3.0, 1e3]), np.full(len(cells), 1 / len(cells))
    values = cells.to_numpy()
    # The draws of a cell are those of a measurement, with noise.
    variance = weights @ (smooth(values) + 0.1 * np.eye(len(values))) @ weights
    shared = smooth(known, values) @ weights
    shared[len(process().X_train_) :] += 0.1 / len(cells)
    return np.sqrt(variance - shared @ np.linalg.solve(KERNEL(known), shared))


def test_greedy_samples_lower_the_error_as_predicted():
    """More than those of the other methods; the predicted error is that of kriging."""
    tables = {method: propose(6, method=method, n_samples=4000) for method in METHODS}
    for table in tables.values():
        assert len(set(table["row"])) == 6
        assert (np.diff(table["std"]) < 0).all()
        np.testing.assert_array_equal(table["x"], CELLS["x"].iloc[table["row"]])
        assert table["std"].iloc[-1] == pytest.approx(exact_std(table["row"]), rel=0.1)
    last = {method: exact_std(table["row"]) for method, table in tables.items()}
    assert last["greedy"] == min(last.values())
    assert (tables["greedy"]["x"] > 2).all()  # the west has samples
    assert tables["greedy"]["relative_std"].between(0, 1).all()


def test_cells_objective_and_existing_samples():
    """Known samples are avoided, and the error of the cells falls."""
    table = propose(4, objective="cells")
    assert (np.diff(table["std"]) < 0).all()
    east = CELLS[CELLS["x"] > 7]
    avoiding = propose(4, objective="cells", samples=east, n_samples=2000)
    assert (avoiding["x"] < 8).all() and (table["x"] > 7).any()
    assert avoiding["std"].iloc[0] < table["std"].iloc[0]


def test_zones_and_weights():
    """Only cells of zones with a weight are proposed, also from a stream of blocks."""
    labels = np.where(CELLS["x"] > 5, "east", None)
    weights = np.where(CELLS["y"] > 5, 1.0, 0.0)
    table = propose(5, zones=labels, weights=weights)
    assert (table["x"] > 5).all() and (table["y"] > 5).all()
    model = known_model()
    cells = cell_table(20, farm=["a", "b"] * 10)
    whole = propose_samples(model, cells, 4, zones="farm")
    streamed = propose_samples(model, iter([cells[:7], cells[7:]]), 4, zones="farm")
    pd.testing.assert_frame_equal(whole, streamed, atol=1e-6)


def test_cost_moves_samples_to_cheap_cells():
    """The greatest gain for the cost; costs are a column or an array."""
    cost = np.where(CELLS["y"] < 6, 1.0, 50.0)
    table = propose(5, cost=cost)
    assert (table["y"] < 6).all() and (table["cost"] == 1).all()
    by_name = propose_samples(
        process(), CELLS.assign(price=cost), 5, cost="price", block_rows=len(CELLS)
    )
    pd.testing.assert_frame_equal(table, by_name)


def test_cells_are_proposed_once():
    """Also if the errors of all cells are known, or cells have equal errors."""
    model, cells = known_model(), cell_table(12)
    table = propose_samples(model, cells, 12, samples=cells)
    assert sorted(table["row"]) == list(range(12))
    assert (table["std"] == 0).all() and table["relative_std"].isna().all()
    copies = pd.concat([cells, cells.assign(x=cells["x"] + 1)], ignore_index=True)
    table = propose_samples(model, copies, 20)
    assert table["row"].is_unique and table["relative_std"].le(1).all()


def test_random_samples_are_weighted():
    """From all cells, whatever the number of candidates."""
    weights = np.where(np.arange(50) < 5, 1000.0, 1.0)
    rows = [
        propose_samples(
            known_model(),
            cell_table(50),
            2,
            method="random",
            weights=weights,
            max_candidates=1,
            random_state=seed,
        )["row"]
        for seed in range(30)
    ]
    assert np.mean(np.concatenate(rows) < 5) > 0.9


def test_coordinates_are_those_of_the_model():
    """Points in another CRS are transformed."""
    cells = CELLS.head(40).assign(x=CELLS["x"] + 5e5, y=CELLS["y"] + 5e6)
    model = make_regressor(
        crs="EPSG:32636", base_estimator=None, hidden_size=8, max_epochs=2, n_estimators=2
    ).fit(cells, np.cos(CELLS["y"].head(40)))
    geometry = gpd.points_from_xy(cells["x"], cells["y"])
    points = gpd.GeoDataFrame(cells[["slope"]], geometry=geometry, crs=32636).to_crs(4326)
    table = propose_samples(model, points, 3, random_state=0)
    expected = cells.iloc[table["row"]]
    np.testing.assert_allclose(table[["x", "y"]], expected[["x", "y"]], atol=1e-3)


def test_infinite_covariates_are_missing():
    """They have no quantile."""
    model = known_model()
    table = cell_table(12).assign(value=np.r_[np.inf, np.arange(11.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = _covariates(table, ModelColumns.from_model(model))
    assert np.isfinite(rows).all()


def test_costs_of_cells_outside_of_zones_are_not_read():
    """By name and as an array; rows in messages are those of the table."""
    cells = cell_table(12, price=[1.0, np.nan] * 6)
    zones, model = ["a", None] * 6, known_model()
    by_name = propose_samples(model, cells, 3, zones=zones, cost="price")
    array = propose_samples(model, cells, 3, zones=zones, cost=cells["price"])
    pd.testing.assert_frame_equal(by_name, array)
    odd = cells.assign(price=[1.0] * 11 + [-1.0])
    with pytest.raises(ValueError, match=r"cost='price' must be positive; .*row position 11"):
        propose_samples(model, odd, 3, cost="price", block_rows=4)
    with pytest.raises(ValueError, match=r"weights has negative .*row position 11"):
        propose_samples(model, odd, 3, weights="price", block_rows=4)


def test_large_maps_have_random_candidates():
    """The estimate is that of all cells."""
    table = propose(5, max_candidates=20)
    assert len(set(table["row"])) == 5
    again = propose(5, max_candidates=20)
    pd.testing.assert_frame_equal(table, again)
    assert table["std"].iloc[0] > propose(5)["std"].iloc[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be an integer of at least 1"),
        ({"n": 200}, "n=200 samples need as many cells .* found 144 of 144"),
        ({"zones": [None] * 144}, "n=5 samples need as many cells .* found 0 of 144"),
        ({"n": 5, "max_candidates": 4}, "n=5 exceeds max_candidates=4"),
        ({"n": 5, "n_samples": 20}, "n_samples=20 draws are too few for 5 samples"),
        ({"method": "clhs"}, "method must be one of"),
        ({"objective": "total"}, "objective must be one of"),
        ({"cost": "price"}, "cost='price' is not a column of cells"),
        ({"cost": np.zeros(144)}, "cost must be positive"),
        ({"cost": np.ones(10)}, "cost must have one value per row of cells; found 10 values"),
        ({"cost": np.ones(150)}, "cost must have 144 values"),
        ({"cost": 3.0}, "cost must be one column of values"),
        ({"cost": np.ones(144), "method": "kmeans"}, "cost is only used by method='greedy'"),
        ({"samples": CELLS[["x", "y"]]}, "samples lack the columns"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        propose(**{"n": 5} | arguments)


def test_methods_need_their_columns():
    """k-means coordinates, the Latin hypercube covariates."""
    table = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": 0.0})
    model = GaussianProcessRegressor(RBF(), optimizer=None).fit(table, [0, 1, 2, 3.0])
    with pytest.raises(ValueError, match="'kmeans' needs coordinates"):
        propose_samples(model, table, 2, method="kmeans", block_rows=4)
    places = table.rename(columns={"a": "x", "b": "y"})
    model = GaussianProcessRegressor(RBF(), optimizer=None).fit(places, [0, 1, 2, 3.0])
    with pytest.raises(ValueError, match="needs numeric covariates"):
        propose_samples(model, places, 2, method="latin_hypercube", block_rows=4)
