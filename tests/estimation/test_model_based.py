"""Model-based estimates of zones, against closed forms of their errors."""

import tracemalloc
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from known_draws import COLUMNS, KnownDraws, cell_table, known_model
from shapely.geometry import box
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor
from sptgnn_sklearn.estimation import estimate, estimate_change
from sptgnn_sklearn.estimation.cells import is_stream, iterate_tables


def one_row(table):
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weights", [None, np.arange(1.0, 13)], ids=["equal", "areas"])
def test_std_and_effective_number_of_cells_have_their_closed_form(share, weights):
    """Var = s2 (share + (1 - share) sum w2 / (sum w)2) of errors with a common part."""
    cells, model = cell_table(12), known_model(std=0.7, share=share)
    row = one_row(estimate(model, cells, weights=weights))
    w = np.ones(12) if weights is None else weights
    kish = (w**2).sum() / w.sum() ** 2
    assert row["estimate"] == pytest.approx(np.average(cells["value"], weights=w))
    assert row["std"] == pytest.approx(0.7 * np.sqrt(share + (1 - share) * kish))
    assert row["n_effective"] == pytest.approx(1 / (share + (1 - share) * kish))
    assert row["n_cells"] == 12


def test_interval_and_probabilities_are_those_of_draws_of_the_mean():
    """Limits are quantiles, and p< and p> shares, of the draws of the mean of the zone."""
    cells, model = cell_table(6), known_model(share=0.8)
    table = estimate(model, cells, below=[2.0, 2.5], above=2.5, coverage=0.8, n_samples=400)
    means = model.sample_y(cells, 400, random_state=0).mean(axis=0)
    np.testing.assert_allclose(table[["lower", "upper"]], np.quantile(means, [[0.1, 0.9]]))
    expected = [[(means < 2).mean(), (means < 2.5).mean(), (means > 2.5).mean()]]
    np.testing.assert_allclose(table[["p<2.0", "p<2.5", "p>2.5"]], expected)
    # The errors are normal.
    std = table["std"].iloc[0]
    assert table["upper"].iloc[0] - cells["value"].mean() == pytest.approx(1.28 * std, rel=0.15)


def test_total_is_the_mean_times_the_area():
    """Estimate, std and limits of a total are those of the mean, multiplied."""
    cells, model = cell_table(9, ha=np.arange(2.0, 11)), known_model()
    mean = one_row(estimate(model, cells, weights="ha"))
    total = one_row(estimate(model, cells, weights="ha", statistic="total", unit="t/ha"))
    names = ["estimate", "std", "lower", "upper"]
    np.testing.assert_allclose(total[names], mean[names] * cells["ha"].sum())
    assert total["n_effective"] == pytest.approx(mean["n_effective"])


def test_constant_weight_is_the_area_of_all_cells():
    """A number is the area of each cell."""
    total = one_row(estimate(known_model(), cell_table(4), weights=0.25, statistic="total"))
    assert total["estimate"] == pytest.approx(cell_table(4)["value"].sum() / 4)


@pytest.mark.parametrize(
    "split",
    [
        lambda cells: {"cells": cells, "block_rows": 5},
        lambda cells: {"cells": iter([cells[:3], cells[3:3], cells[3:]])},
        lambda cells: {"cells": [cells[:7], cells[7:]], "block_rows": 4},
    ],
    ids=["rows", "iterator", "list"],
)
@pytest.mark.parametrize(
    "statistic", ["mean", "total", lambda v, w: np.average(v > 2.5, weights=w)]
)
def test_streaming_equals_the_whole(split, statistic):
    """Blocks of any size give the same table, with zones that blocks cut."""
    farm = np.array(list("abcacbbaccba"), dtype=object)
    cells = cell_table(12, farm=farm, ha=np.arange(1.0, 13))
    settings = {"zones": "farm", "weights": "ha", "statistic": statistic, "below": 2.6}
    whole = estimate(known_model(), cells, **settings)
    parts = estimate(known_model(), **split(cells), **settings)
    pd.testing.assert_frame_equal(parts, whole)
    assert whole.index.tolist() == ["a", "b", "c"]
    assert whole.index.name == "farm"


class CommonError(KnownDraws):
    """One error of all cells, of any number."""

    def sample_y(self, X, n_samples=1, random_state=None):
        error = np.random.default_rng(random_state).standard_normal(n_samples)
        return self.predict(X)[:, None] + error


def test_memory_is_that_of_a_block():
    """Four times as many cells from a generator need no more memory."""
    model = CommonError().fit(cell_table())

    def peak(n_blocks):
        blocks = (cell_table(1000, zone=number % 7) for number in range(n_blocks))
        tracemalloc.start()
        estimate(model, blocks, "zone", n_samples=50)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # imports
    assert peak(40) < 1.2 * peak(10)


def test_tables_of_polars_are_read():
    """A table of polars, and blocks of it, equal the same table of pandas."""
    polars = pytest.importorskip("polars")
    cells = cell_table(8, farm=list("abababab"))
    table = polars.from_pandas(cells)
    expected = estimate(known_model(), cells, "farm")
    for form in (table, iter([table[:3], table[3:]])):
        pd.testing.assert_frame_equal(estimate(known_model(), form, "farm"), expected)


def test_geographic_cells_weigh_by_the_cosine_of_latitude():
    """Cells of a grid of degrees have areas in proportion to it; on projected grids all are 1."""
    cells = cell_table(5).rename(columns={"x": "lon", "y": "lat"})
    cells["lat"] = [0.0, 30.0, 45.0, 60.0, 80.0]
    model = KnownDraws().fit(cells)
    row = one_row(estimate(model, cells))
    weights = np.cos(np.radians(cells["lat"]))
    assert row["estimate"] == pytest.approx(np.average(cells["value"], weights=weights))
    given = one_row(estimate(model, cells, weights=np.ones(5)))
    assert given["estimate"] == pytest.approx(cells["value"].mean())


def test_function_of_the_cells_is_computed_draw_by_draw():
    """The share of the area below a limit is that of each draw, not that of predictions."""
    cells, model = cell_table(10, zone=["a"] * 4 + ["b"] * 6), known_model(std=0.4)
    weights = np.arange(1.0, 11)

    def share_below(values, weights):
        return np.average(values < 2.45, weights=weights)

    table = estimate(model, cells, "zone", weights=weights, statistic=share_below)
    draws = model.sample_y(cells[COLUMNS], 200, random_state=0)
    for zone, rows in (("a", slice(0, 4)), ("b", slice(4, 10))):
        expected = [share_below(draw, weights[rows]) for draw in draws[rows].T]
        assert table.loc[zone, "estimate"] == pytest.approx(np.mean(expected))
        assert table.loc[zone, "std"] == pytest.approx(np.std(expected, ddof=1))
    mean = estimate(model, cells, "zone", weights=weights)
    np.testing.assert_allclose(table["n_effective"], mean["n_effective"])


def polygons():
    """Return three squares along the line of cells; the last has no cells."""
    squares = [box(-5, -5, 35, 5), box(35, -5, 85, 5), box(500, 0, 510, 9)]
    return gpd.GeoDataFrame({"farm": ["north", "a", "empty"]}, geometry=squares).set_index("farm")


def test_polygons_equal_labels_and_have_rows_without_cells():
    """Cells are assigned by their coordinates; rows have the order of the polygons."""
    cells = cell_table(12)
    with pytest.warns(UserWarning) as caught:
        table = estimate(known_model(), cells, polygons())
    texts = [str(warning.message) for warning in caught]
    assert any("['empty']" in text for text in texts)
    assert any("3 of 12 cells are in no zone" in text for text in texts)
    assert table.index.tolist() == ["north", "a", "empty"]
    labels = ["north"] * 4 + ["a"] * 5 + [None] * 3
    with pytest.warns(UserWarning, match="3 of 12"):
        expected = estimate(known_model(), cells, labels)
    pd.testing.assert_frame_equal(
        table.loc[["a", "north"]], expected, check_names=False, check_dtype=False
    )
    assert table.loc["empty"].drop("n_cells").isna().all()
    assert table.loc["empty", "n_cells"] == 0


def test_unused_categories_are_zones_without_cells():
    """A categorical column has a row for each category, in their order."""
    cells = cell_table(4, soil=pd.Categorical(["peat", "clay"] * 2, ["peat", "sand", "clay"]))
    with pytest.warns(UserWarning, match="sand"):
        table = estimate(known_model(), cells, "soil")
    assert table.index.tolist() == ["peat", "sand", "clay"]
    assert table["n_cells"].tolist() == [2, 0, 2]


def test_weight_of_zero_leaves_a_cell_out():
    """Cells without weight are neither counted nor drawn."""
    cells, weights = cell_table(6), np.array([1.0, 0, 1, 1, 0, 1])
    kept = cells[weights > 0]
    pd.testing.assert_frame_equal(
        estimate(known_model(), cells, weights=weights), estimate(known_model(), kept)
    )
    assert one_row(estimate(known_model(), cells, weights=weights))["n_cells"] == 4


def test_share_outside_of_the_area_of_applicability_is_weighted():
    """Two of four cells are unlike the training rows, with 3 / 10 of the weight."""
    train = cell_table(30)
    area = AreaOfApplicability(columns=["value"]).fit(train)
    cells = cell_table(4, value=[2.0, 3.0, 50.0, 60.0], zone=["a", "a", "a", "a"])
    table = estimate(known_model(), cells, "zone", weights=[4.0, 3.0, 2.0, 1.0], area=area)
    assert table["outside_aoa"].tolist() == pytest.approx([0.3])
    named = AreaOfApplicability().fit(train[["value", "x"]])
    assert estimate(known_model(), cells, area=named)["outside_aoa"].iloc[0] >= 0.5


@pytest.mark.parametrize("random_state", [3, np.random.RandomState(3), None])
def test_all_forms_of_random_states_draw_blocks_jointly(random_state):
    """A generator gives one seed for all blocks."""
    row = one_row(
        estimate(known_model(share=0.3), cell_table(), random_state=random_state, block_rows=4)
    )
    assert row["std"] == pytest.approx(np.sqrt(0.3 + 0.7 / 12))


@pytest.mark.parametrize(
    ("wrap", "scale"),
    [
        (lambda model: make_pipeline("passthrough", model), 1),
        (lambda model: GridSearchCV(model, {}, cv=2, scoring="r2"), 1),
        (
            lambda model: TransformedTargetRegressor(
                model, func=lambda y: y / 3, inverse_func=lambda z: 3 * z
            ),
            3,
        ),
    ],
    ids=["pipeline", "search", "transformed target"],
)
def test_meta_estimators_are_unwrapped(wrap, scale):
    """The estimate is that of the regressor inside, in the unit of y."""
    cells = cell_table()
    outer = wrap(KnownDraws()).fit(cells, cells["value"])
    row, inner = one_row(estimate(outer, cells)), one_row(estimate(known_model(), cells))
    names = ["estimate", "std", "lower", "upper"]
    np.testing.assert_allclose(row[names], scale * inner[names])


def test_models_without_joint_draws_raise():
    """The message names the regressor and what to use."""
    model = make_pipeline(Ridge()).fit(cell_table()[["x", "y"]], np.arange(12.0))
    with pytest.raises(TypeError, match=r"Ridge has no sample_y.*SpTGNNRegressor"):
        estimate(model, cell_table()[["x", "y"]])


def test_draws_that_are_not_joint_raise_only_for_several_blocks():
    """A Gaussian process draws each call anew, so it has to draw all cells at once."""
    cells = cell_table()[["x", "y"]] / 30
    gaussian = GaussianProcessRegressor(optimizer=None).fit(cells[:3], [1.0, 2.0, 0.0])
    assert one_row(estimate(gaussian, cells))["std"] > 0
    for model, table in ((gaussian, cells), (known_model(joint=False), cell_table())):
        with pytest.raises(ValueError, match=r"block_rows=len\(cells\)"):
            estimate(model, table, block_rows=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistic": "median"}, "statistic.*'median'"),
        ({"statistic": "total"}, "statistic='total' needs weights"),
        ({"statistic": "total", "weights": 1.0, "unit": "g/kg"}, "unit='g/kg'"),
        ({"statistic": lambda v, w: v}, r"statistic\(values, weights\)"),
        ({"statistic": lambda v, w: np.nan}, r"one finite number; found nan"),
        ({"coverage": 90}, "coverage.*0.9"),
        ({"n_samples": 1}, "n_samples.*found 1"),
        ({"block_rows": 0}, "block_rows.*found 0"),
        ({"below": [2, 2]}, "p<2.0"),
        ({"random_state": -1}, "random_state.*found -1"),
        ({"weights": [1.0] * 11}, "weights must have 12 values.*found 11"),
        ({"weights": np.ones((12, 2))}, "weights must be one column"),
        ({"weights": [1.0, -2.0] * 6}, "weights has negative values in 6 of 12.*-2"),
        ({"weights": [1.0, np.nan] * 6}, "weights has missing values in 6 of 12"),
        ({"weights": -1.0}, "weights has negative values"),
        ({"weights": "value_"}, "weights='value_'.*did you mean 'value'"),
        ({"zones": ["a"] * 3}, "zones must have 12 values.*found 3"),
        ({"zones": "farms"}, "zones='farms' is neither a column of cells nor a file"),
        ({"zones": [None] * 12}, "No cell of 12 is in a zone"),
        ({"weights": 0.0}, "positive weight"),
        ({"cells": cell_table()[:0]}, "cells is empty"),
        ({"cells": iter([])}, "cells is empty"),
        ({"cells": cell_table().drop(columns="year")}, r"cells lack the columns \['year'\]"),
        ({"cells": [cell_table()], "weights": np.ones(12)}, "weights is an array"),
        ({"cells": [cell_table()], "zones": ["a"] * 12}, "zones is an array"),
        ({"cells": cell_table(12, value=[np.nan] + [2] * 11)}, "predict of KnownDraws.*1 of 12"),
    ],
)
def test_invalid_arguments_raise(change, message):
    """Messages have the parameter, what was found, and a remedy."""
    with pytest.raises(ValueError, match=message):
        estimate(known_model(), **{"cells": cell_table(), **change})


def test_columns_of_the_area_that_cells_lack_raise():
    """The message names the missing column."""
    area = AreaOfApplicability().fit(cell_table(30, ndvi=np.arange(30.0))[["value", "ndvi"]])
    with pytest.raises(ValueError, match=r"\['ndvi'\] of area"):
        estimate(known_model(), cell_table(), area=area)


def test_fitted_model_with_points_of_another_crs(survey):
    """A small fit: geometry in UTM equals longitudes and latitudes, and correlation widens."""
    model = SpTGNNRegressor(
        time="date", base_estimator=None, n_estimators=2, max_epochs=3, random_state=0
    ).fit(survey.data, survey.target)
    cells = survey.data
    points = gpd.points_from_xy(cells["lon"], cells["lat"], crs=4326)
    utm = gpd.GeoDataFrame(cells.drop(columns=["lon", "lat"]), geometry=points).to_crs(32636)
    zones = gpd.GeoDataFrame(
        geometry=[box(27, -3, 30, 3), box(30, -3, 33, 3)], index=["west", "east"], crs=4326
    ).to_crs(32636)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = estimate(model, cells, zones, weights=1.0)
        same = estimate(model, utm, zones)
    pd.testing.assert_frame_equal(table, same, rtol=1e-4)
    west = (cells["lon"] < 30).to_numpy()
    predicted = model.predict(cells)
    assert table.loc["west", "estimate"] == pytest.approx(predicted[west].mean())
    cell_std = model.predict(cells, return_std=True)[1]
    independent = np.sqrt((cell_std[west] ** 2).sum()) / west.sum()
    assert independent * 0.9 < table.loc["west", "std"] < cell_std[west].max()


def test_blocks_of_a_fitted_model_are_drawn_jointly(survey):
    """Draws are functions of place, date and seed, so that a map may come in parts."""
    model = SpTGNNRegressor(
        time="date", n_estimators=2, max_epochs=2, base_estimator=None, random_state=0
    )
    model.fit(survey.data, survey.target)
    zones = np.arange(len(survey.data)) % 3
    whole = estimate(model, survey.data, zones, n_samples=50)
    parts = estimate(model, survey.data, zones, n_samples=50, block_rows=23)
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-4)


def test_partitions_of_dask_are_blocks():
    """Read one after the other, with the same result as the table; also for changes."""
    dask_dataframe = pytest.importorskip("dask.dataframe")
    cells = cell_table(12, farm=["a", "b"] * 6)
    lazy = dask_dataframe.from_pandas(cells, npartitions=3)
    model = known_model()
    assert is_stream(lazy) and len(list(iterate_tables(lazy))) == 3
    whole, streamed = (estimate(model, table, "farm") for table in (cells, lazy))
    pd.testing.assert_frame_equal(whole, streamed)
    after = cell_table(12, 2020.0, farm=["a", "b"] * 6)
    lazy_after = dask_dataframe.from_pandas(after, npartitions=3)
    pd.testing.assert_frame_equal(
        estimate_change(model, cells, after, "farm"),
        estimate_change(model, lazy, lazy_after, "farm"),
    )
    with pytest.raises(ValueError, match="zones is an array"):
        estimate(model, lazy, cells["farm"].tolist())
