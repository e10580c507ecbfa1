"""Layers of a map: availability, one pass of the model, and the area of applicability."""

import numpy as np
import pytest
from map_models import (
    ALL_LAYERS,
    SETTINGS,
    fit_counting,
    flatten,
    make_network,
    map_in_blocks,
    survey_columns,
)
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from small_rasters import CRS, HEIGHT, WIDTH, as_dataset, bands_of, survey, write_raster

from sptgnn_sklearn import (
    AreaOfApplicability,
    predict_interval,
    predict_map,
    predict_probability,
)
from sptgnn_sklearn.maps import layers as layers_module
from sptgnn_sklearn.maps.layers import choose_layers
from sptgnn_sklearn.meta_estimators import predict_quantiles


def test_default_layers_depend_on_the_estimator(model):
    """Mean, the standard deviation if available, and aoa if there is an area."""
    X, _ = survey_columns(["cov_0", "cov_1"])
    area = AreaOfApplicability(cv=5).fit(X)
    assert choose_layers(LinearRegression(), None, None) == ("mean",)
    assert choose_layers(BayesianRidge(), None, area) == ("mean", "std", "aoa")
    assert choose_layers(make_pipeline("passthrough", model), None, None) == ("mean", "std")
    assert choose_layers(model, "upper", None) == ("upper",)


def test_all_layers_come_from_one_pass(model, stack, monkeypatch):
    """The network predicts each block once for all layers."""
    sizes = []
    predict = type(model.ensemble_).predict
    monkeypatch.setattr(
        type(model.ensemble_), "predict", lambda self, t: sizes.append(len(t)) or predict(self, t)
    )
    predict_map(model, stack, layers=ALL_LAYERS, block_size=32, **SETTINGS)
    assert sizes == [32 * 32, 32 * 24, 8 * 32, 8 * 24]


def test_blocks_are_predicted_in_batches(columns, monkeypatch):
    """Batches bound the memory, and do not change the map."""
    bands = {name: np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)) for name in "ab"}
    expected = predict_map(fit_counting(columns), as_dataset(bands), crs=CRS, verbose=0)
    monkeypatch.setattr(layers_module, "_BATCH_ROWS", 1000)
    counting = fit_counting(columns)
    result = predict_map(counting, as_dataset(bands), crs=CRS, verbose=0)
    assert counting.calls == 3  # of 2240 cells
    np.testing.assert_array_equal(result["mean"], expected["mean"])


@pytest.mark.parametrize("names", [["cov_0", "cov_1"], ["x", "y", "cov_0", "cov_1"]])
def test_other_regressors_give_the_mean(stack, table, names):
    """Any regressor of scikit-learn, with or without coordinates among its columns."""
    linear = LinearRegression().fit(*survey_columns(names))
    result = predict_map(linear, stack, crs=CRS if "x" in names else None, verbose=0)
    assert list(result) == ["mean"]
    np.testing.assert_allclose(flatten(result)["mean"], linear.predict(table[names]), rtol=1e-5)


def test_other_regressors_give_std_if_they_have_it(stack, table):
    """predict(return_std=True) gives the second layer, inside a search too."""
    names = ["cov_0", "cov_1"]
    search = GridSearchCV(BayesianRidge(), {"max_iter": [50]}, cv=3)
    search.fit(*survey_columns(names))
    result = flatten(predict_map(search, stack, verbose=0))
    mean, std = search.best_estimator_.predict(table[names], return_std=True)
    np.testing.assert_allclose(result["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(result["std"], std, rtol=1e-5)


def test_wrapped_networks_keep_all_layers(stack, table):
    """A Pipeline inside a linear transform of the target keeps roles and layers."""
    X, y = survey()
    inner = make_pipeline("passthrough", make_network())
    wrapped = TransformedTargetRegressor(
        inner, func=lambda v: v / 10, inverse_func=lambda v: v * 10
    ).fit(X, y)
    result = flatten(predict_map(wrapped, stack, layers=ALL_LAYERS, **SETTINGS))
    plain = wrapped.regressor_[-1].predict_uncertainty(table, coverage=0.9)
    for name in ALL_LAYERS:
        np.testing.assert_allclose(result[name], 10 * plain[name], rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["median"], r"layers has 'median'"),
        (["epistmic"], "did you mean 'epistemic'"),
        (["Mean"], "did you mean 'mean'"),
        (["p=2"], r"'p=2', .* probabilities such as 'p<2.0'"),
        (["q0"], "between 0 and 100 %"),
        (["q105"], "between 0 and 100 %"),
        (["p<nan"], "must not be NaN"),
        ([3], "layers has 3"),
        (["q05"], "'q05' is not available from LinearRegression"),
        (["mean", "mean"], "distinct"),
        ([], r"layers=\[\]"),
        (["mean", "std"], "'std' is not available from LinearRegression"),
        (["aoa"], "'aoa' needs area="),
    ],
)
def test_unavailable_layers_raise(layers, message):
    """Unknown and repeated names, and layers that the regressor or its area cannot give."""
    with pytest.raises(ValueError, match=message):
        choose_layers(LinearRegression(), layers, None)


def test_several_targets_raise(stack):
    """A map shows one target."""
    X, y = survey_columns(["cov_0"])
    linear = LinearRegression().fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="predicts 2 targets"):
        predict_map(linear, stack, verbose=0)


def test_overflow_of_single_precision_raises(rasters, columns):
    """Values beyond the range of the map would become infinite."""
    write_raster(rasters["a"], np.full((HEIGHT, WIDTH), 1e20))
    with pytest.raises(ValueError, match=r"layer 'mean' has 1e\+40 in 256 cells"):
        map_in_blocks(fit_counting(columns, factor=1e20), rasters)


# ------------------------------------------------------------------------- area of applicability


def test_area_of_applicability_is_a_layer(model, stack, table):
    """Both layers equal those of the area."""
    names = ["cov_0", "cov_1", "elevation"]
    X, _ = survey()
    area = AreaOfApplicability(columns=names, cv=5).fit(X[names])
    layers = ["aoa", "dissimilarity"]
    result = flatten(predict_map(model, stack, area=area, layers=layers, **SETTINGS))
    index = area.dissimilarity_index(table[names])
    np.testing.assert_allclose(result["dissimilarity"], index, rtol=1e-5)
    np.testing.assert_array_equal(result["aoa"], index <= area.threshold_)
    assert 0 < result["aoa"].mean() < 1


def test_area_without_names_takes_the_columns_of_the_model(table):
    """An area fitted on an array gets the rows of the model; its layers are nodata in gaps."""
    X, y = survey()
    names = ["x", "y", "cov_0", "cov_1"]
    rows = X[names].to_numpy()
    bare = make_network(time=None, elevation=None).fit(rows, y)
    area = AreaOfApplicability(columns=[2, 3]).fit(rows)
    bands = {name: bands_of(table)[name].copy() for name in ("cov_0", "cov_1")}
    bands["cov_1"][0, 0] = np.nan
    layers = ["mean", "dissimilarity"]
    result = predict_map(
        bare, as_dataset(bands), area=area, layers=layers, skip_nodata=False, verbose=0
    )
    index = area.dissimilarity_index(table[names].to_numpy())
    np.testing.assert_allclose(flatten(result)["dissimilarity"][1:], index[1:], rtol=1e-5)
    assert np.isnan(result["dissimilarity"][0, 0])
    assert np.isfinite(result["mean"][0, 0])


TRANSFORMS = {
    "log": {"func": np.log1p, "inverse_func": np.expm1},
    "decreasing": {"func": lambda y: 1 / (1 + y), "inverse_func": lambda z: 1 / z - 1},
    "power": {"transformer": PowerTransformer()},
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("nested", ["outside", "pipeline", "search"])
def test_limits_of_transformed_targets_are_those_of_predict_interval(stack, table, name, nested):
    """Limits of a nonlinear transform, wherever it is nested; the mean is that of predict."""
    X, y = survey(80)
    model = TransformedTargetRegressor(make_network(max_epochs=1), **TRANSFORMS[name])
    if nested == "pipeline":
        model = make_pipeline("passthrough", model)
    elif nested == "search":
        model = GridSearchCV(model, {"regressor__n_neighbors": [5]}, cv=2)
    model.fit(X, y)
    found = flatten(
        predict_map(model, stack, layers=["lower", "mean", "upper"], coverage=0.8, **SETTINGS)
    )
    limits = predict_interval(model, table, coverage=0.8)
    np.testing.assert_allclose(found["lower"], limits[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found["upper"], limits[:, 1], rtol=1e-5)
    np.testing.assert_allclose(found["mean"], model.predict(table), rtol=1e-5)
    only = flatten(predict_map(model, stack, layers="upper", coverage=0.8, **SETTINGS))
    np.testing.assert_array_equal(only["upper"], found["upper"])


# ------------------------------------------------------------------- quantiles and probabilities

ADDED = ["q05", "q50", "q97.5", "p<20.0", "p>25.5"]


def test_layers_have_one_spelling(model):
    """That of the columns of predict_uncertainty."""
    assert choose_layers(model, ["q5", "q50.0", "p<2", "p > 3.50"], None) == (
        *("q05", "q50", "p<2.0", "p>3.5"),
    )
    with pytest.raises(ValueError, match="distinct"):
        choose_layers(model, ["q5", "q05"], None)


def test_quantiles_and_probabilities_are_those_of_the_methods(model, stack, table):
    """Bit for bit, of all cells in one block, beside the other layers."""
    layers = [*ADDED, *ALL_LAYERS]
    result = flatten(predict_map(model, stack, layers=layers, **SETTINGS))
    expected = model.predict_uncertainty(
        table, coverage=0.9, quantiles=[0.05, 0.5, 0.975], below=20, above=25.5
    )
    quantiles = model.predict_quantiles(table, [0.05, 0.5, 0.975])
    below = model.predict_probability(table, below=20)
    for name in layers:
        np.testing.assert_array_equal(result[name], expected[name].astype("float32"))
    np.testing.assert_array_equal(result["q97.5"], quantiles[:, 2].astype("float32"))
    np.testing.assert_array_equal(result["p<20.0"], below.astype("float32"))
    assert 0 < result["p>25.5"].mean() < 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_quantiles_of_transformed_targets(stack, table, name):
    """Through a nonlinear transform, also a decreasing one."""
    X, y = survey(80)
    model = TransformedTargetRegressor(make_network(max_epochs=1), **TRANSFORMS[name]).fit(X, y)
    limit = float(np.median(y))
    layers = ["q05", "q50", "mean", f"p<{limit}", f"p>{limit}"]
    found = flatten(predict_map(model, stack, layers=layers, **SETTINGS))
    quantiles = predict_quantiles(model, table, [0.05, 0.5, 0.95])
    np.testing.assert_array_equal(found["q05"], quantiles[:, 0].astype("float32"))
    np.testing.assert_array_equal(found["q50"], quantiles[:, 1].astype("float32"))
    below = predict_probability(model, table, below=limit)
    np.testing.assert_array_equal(found[f"p<{limit}"], below.astype("float32"))
    np.testing.assert_allclose(found[f"p<{limit}"] + found[f"p>{limit}"], 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coverage": 90}, "did you mean 0.9"),
        ({"coverage": "high"}, "coverage"),
        ({"layers": ["q500"]}, "between 0 and 100"),
        ({"layers": ["aoa"], "area": True}, "area=True"),
        ({"layers": ["aoa"], "area": AreaOfApplicability()}, "not fitted"),
    ],
    ids=str,
)
def test_invalid_layers_raise_before_rasters_are_opened(model, tmp_path, settings, message):
    """The source does not exist, and nothing is written."""
    with pytest.raises(ValueError, match=message):
        predict_map(model, ["nowhere.tif"], path=tmp_path / "soil.tif", **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["log", "power"])
def test_moments_of_nonlinear_transforms_raise_early(tmp_path, name):
    """A standard deviation, and a limit at which the transform has no value."""
    X, y = survey(80)
    model = TransformedTargetRegressor(make_network(max_epochs=1), **TRANSFORMS[name]).fit(X, y)
    nowhere = {"path": tmp_path / "soil.tif", "verbose": 0}
    with pytest.raises(ValueError, match="'std' has no value through the nonlinear transform"):
        predict_map(make_pipeline(model), ["nowhere.tif"], layers=["std"], **nowhere)
    if name == "log":
        with pytest.raises(ValueError, match=r"'p<-2\.0' has no value"):
            predict_map(model, ["nowhere.tif"], layers=["p<-2"], **nowhere)
    assert not list(tmp_path.iterdir())
