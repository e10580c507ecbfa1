"""Tables of polars in every public function that takes X, with the results of pandas."""

import numpy as np
import pandas as pd
import pytest
from numbered_rasters import make_raster, numbered, points
from sklearn.model_selection import KFold, cross_val_score
from small_models import make_regressor

from sptgnn_sklearn import (
    AreaOfApplicability,
    SpTGNNRegressor,
    XGBoostBaseline,
    compare_models,
    extract_chips,
    predict_interval,
    predict_probability,
    predict_uncertainty,
)
from sptgnn_sklearn.inspection import ablation, grouped_permutation_importance, local_morans_i
from sptgnn_sklearn.metrics import (
    make_interval_coverage_scorer,
    neg_abs_residual_morans_i_scorer,
    neg_crps_scorer,
    residual_morans_i,
)
from sptgnn_sklearn.model_selection import (
    BufferedLeaveOneOut,
    EnvironmentalBlockKFold,
    KNNDMKFold,
    LeaveLocationAndTimeOut,
    SpatialBlockKFold,
    spatial_blocks,
    suggest_block_size,
)
from sptgnn_sklearn.plotting import (
    FoldsDisplay,
    ObservedPredictedDisplay,
    ReliabilityDisplay,
    plot_experts,
    plot_fold_distances,
    plot_graph,
    plot_map,
)

polars = pytest.importorskip("polars")
RNG = np.random.default_rng(0)
N = 60
TABLE = pd.DataFrame(
    {
        "x": RNG.uniform(5e5, 6e5, N),
        "y": RNG.uniform(5.4e6, 5.5e6, N),
        "clay": RNG.normal(size=N),
        "land": RNG.choice(["a", "b"], N),
        "date": pd.date_range("2001-03-01", periods=N, freq="91D"),
    }
)
Y = TABLE["clay"].to_numpy() + TABLE["x"].to_numpy() / 1e5
CRS = "EPSG:32632"
TREES = XGBoostBaseline(time="date", crs=CRS, n_estimators=3, random_state=0)
SETTINGS = {"time": "date", "crs": CRS, "random_state": 0}


def as_polars(table=TABLE):
    """Return a table of polars with the same columns; it needs no pyarrow."""
    return polars.DataFrame({name: table[name].to_list() for name in table})


def network():
    settings = {"base_estimator": None, "n_estimators": 2, "max_epochs": 2, "hidden_size": 8}
    return make_regressor(**settings, n_neighbors=3, **SETTINGS)


@pytest.fixture(scope="module")
def fitted():
    """The same model, fitted to tables of pandas and of polars."""
    return network().fit(TABLE, Y), network().fit(as_polars(), polars.Series(Y))


METHODS = {
    "predict": lambda model, X: model.predict(X),
    "predict std": lambda model, X: model.predict(X, return_std=True),
    "uncertainty": lambda model, X: model.predict_uncertainty(X, 0.8, [0.1], 7.0),
    "quantiles": lambda model, X: model.predict_quantiles(X),
    "interval": lambda model, X: model.predict_interval(X),
    "probability": lambda model, X: model.predict_probability(X, above=6.0),
    "draws": lambda model, X: model.sample_y(X, 3, random_state=0),
    "neighbors": lambda model, X: model.kneighbors(X),
    "attention": lambda model, X: model.attention_weights(X),
    "experts": lambda model, X: model.expert_weights(X),
    "score": lambda model, X: model.score(X, Y),
    "function uncertainty": predict_uncertainty,
    "function interval": predict_interval,
    "function probability": lambda model, X: predict_probability(model, X, below=6.0),
    "CRPS": lambda model, X: neg_crps_scorer(model, X, Y),
    "coverage": lambda model, X: make_interval_coverage_scorer(0.8)(model, X, Y),
    "Moran's I": lambda model, X: neg_abs_residual_morans_i_scorer(model, X, Y),
    "importance": lambda model, X: grouped_permutation_importance(
        model, X, Y, n_repeats=1, random_state=0
    ),
}

KINDS = ("random", "block")
FUNCTIONS = {
    "trees": lambda X: TREES.fit(X, Y).predict(X),
    "area": lambda X: area(X).dissimilarity_index(X),
    "area predict": lambda X: area(X).predict(X),
    "area score": lambda X: area(X).score_samples(X),
    "blocks": lambda X: spatial_blocks(X, crs=CRS, n_blocks=4),
    "block size": lambda X: suggest_block_size(X, TABLE["x"] / 1e5, crs=CRS),
    "block folds": lambda X: held_out(SpatialBlockKFold(3, crs=CRS), X),
    "buffered": lambda X: held_out(BufferedLeaveOneOut(1e4, crs=CRS), X),
    "location and time": lambda X: held_out(LeaveLocationAndTimeOut(2, time="date", crs=CRS), X),
    "environmental": lambda X: held_out(EnvironmentalBlockKFold(2, columns=["clay"]), X),
    "k-NNDM": lambda X: held_out(KNNDMKFold(3, prediction_points=X, crs=CRS), X),
    "compare": lambda X: scores(compare_models(TREES, X, Y, [*KINDS], crs=CRS, progress=False)),
    "cross_val_score": lambda X: cross_val_score(TREES, X, Y, cv=SpatialBlockKFold(3, crs=CRS)),
    "ablation": lambda X: ablation(network(), X, Y, cv=KFold(2), ingredients={}),
    "residual Moran's I": lambda X: residual_morans_i(Y, np.zeros(N), X, crs=CRS),
    "local Moran's I": lambda X: local_morans_i(Y, X, crs=CRS, n_permutations=9),
}
SLOW = ("local Moran's I",)
PLOTS = {
    "folds": lambda model, X: FoldsDisplay.from_cv(X, SpatialBlockKFold(3, crs=CRS), crs=CRS),
    "distances": lambda model, X: plot_fold_distances(X, KFold(3), prediction_points=X, crs=CRS),
    "map": lambda model, X: plot_map(X, Y, crs=CRS),
    "graph": lambda model, X: plot_graph(model, X),
    "experts": lambda model, X: plot_experts(model, X),
    "observed": lambda model, X: ObservedPredictedDisplay.from_estimator(model, X, Y),
    "reliability": lambda model, X: ReliabilityDisplay.from_estimator(model, X, Y),
}


def area(X):
    return AreaOfApplicability(columns=["clay", "land"]).fit(X)


def held_out(splitter, X):
    return [test for _, test in splitter.split(X)]


def scores(result):
    return result.table.drop(columns="fit_seconds")


def assert_equal(found, expected):
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, tuple | list):
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", METHODS)
def test_methods_equal_those_of_pandas(fitted, name):
    """Fit and each prediction method give the same bits."""
    plain, model = fitted
    assert isinstance(model, SpTGNNRegressor)
    assert_equal(METHODS[name](model, as_polars()), METHODS[name](plain, TABLE))


# Local Moran's I compiles its permutations for a minute.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in FUNCTIONS],
)
@pytest.mark.filterwarnings("ignore:The range .* is not a reliable block size")
def test_functions_equal_those_of_pandas(name):
    """Baseline, area of applicability, splitters, comparison and inspection."""
    assert_equal(FUNCTIONS[name](as_polars()), FUNCTIONS[name](TABLE))


@pytest.mark.parametrize("name", PLOTS)
def test_plots_take_polars(fitted, name):
    """Plots of tables of polars are drawn."""
    plt = pytest.importorskip("matplotlib.pyplot")
    PLOTS[name](fitted[1], as_polars())
    plt.close("all")


def test_chips_of_a_polars_table(tmp_path):
    """The result is a DataFrame of pandas with the column of paths."""
    pytest.importorskip("rasterio")
    raster = make_raster(tmp_path / "raster.tif", numbered(2))
    table = points((20, 30), (17, 8))
    settings = {"column": "chip", "size": 4, "crs": "EPSG:32636"}
    found = extract_chips(raster, as_polars(table), out_dir=tmp_path / "a", **settings)
    expected = extract_chips(raster, table, out_dir=tmp_path / "a", **settings)
    pd.testing.assert_frame_equal(found, expected)


def test_lazy_tables_are_collected(fitted):
    """A lazy table is computed, as one of dask is."""
    plain, model = fitted
    lazy = as_polars().lazy()
    np.testing.assert_array_equal(model.predict(lazy), plain.predict(TABLE))
    np.testing.assert_array_equal(
        TREES.fit(lazy, Y).predict(lazy), TREES.fit(TABLE, Y).predict(TABLE)
    )
    assert_equal(
        spatial_blocks(lazy, crs=CRS, n_blocks=4), spatial_blocks(TABLE, crs=CRS, n_blocks=4)
    )
    assert_equal(area(lazy).predict(lazy), area(TABLE).predict(TABLE))
    settings = {"crs": CRS, "progress": False}
    assert_equal(*(scores(compare_models(TREES, X, Y, 3, **settings)) for X in (lazy, TABLE)))
