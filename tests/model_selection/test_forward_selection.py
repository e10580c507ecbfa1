"""Forward selection: known answers, results, roles, kinds of tables, errors."""

import pickle

import geopandas
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer, r2_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from small_models import make_regressor

from sptgnn_sklearn import XGBoostBaseline, predict_map, predict_uncertainty
from sptgnn_sklearn.metrics import neg_crps_scorer
from sptgnn_sklearn.model_selection import ForwardSelection, SpatialBlockKFold
from sptgnn_sklearn.spatial.crs import resolve_crs

FOREST = RandomForestRegressor(20, min_samples_leaf=3, random_state=0)
TREES = XGBoostBaseline(n_estimators=15, max_depth=3, random_state=0)


def survey_with_artefact(seed):
    """Return a survey of 300 rows whose target has two covariates and a spatial field.

    The column "artefact" is a plane that says where a row is, and has no effect on the target.
    """
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 100, (300, 2))
    waves = np.random.default_rng(1000 + seed)
    frequency, phase = waves.normal(size=(60, 2)) / 12, waves.uniform(0, 2 * np.pi, 60)
    field = np.sqrt(2 / 60) * np.cos(xy @ frequency.T + phase).sum(axis=1)
    clay, rain = rng.normal(size=(2, 300))
    X = pd.DataFrame(
        {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "clay": clay,
            "rain": rain,
            "artefact": xy[:, 0] + 0.5 * xy[:, 1],
            "noise": rng.normal(size=300),
        }
    )
    return X, clay + rain + field + rng.normal(scale=0.2, size=300)


def linear_survey(n=80, p=5, seed=0, noise=0.3):
    """Return coordinates and p covariates, of which the first and the third matter."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"c{k}" for k in range(p)])
    X.insert(2, "lon", rng.uniform(5, 7, n))
    X.insert(3, "lat", rng.uniform(51, 53, n))
    return X, (2 * X["c0"] - X["c2"]).to_numpy() + rng.normal(scale=noise, size=n)


def select_by(folds, seed):
    X, y = survey_with_artefact(seed)
    return ForwardSelection(FOREST, cv=list(folds.split(X)), tol="standard_error").fit(
        X.drop(columns=["x", "y"]), y
    )


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_random_folds_select_a_spatial_artefact_and_blocks_do_not(seed):
    """A surface without effect helps to predict next to training rows, not in held-out blocks."""
    random = select_by(KFold(5, shuffle=True, random_state=0), seed)
    block = select_by(SpatialBlockKFold(5, n_blocks=10), seed)
    assert {"clay", "rain", "artefact"} <= set(random.selected_columns_)
    assert block.selected_columns_ == ["clay", "rain"]
    assert block.score_ < random.score_


def test_columns_with_a_role_always_stay():
    """Coordinates, dates and the site stay and are no candidates; the covariates are found."""
    X, y = linear_survey()
    X = X.assign(date=pd.date_range("2010", periods=80, freq="100D"), plot=np.arange(80) // 2)
    model = XGBoostBaseline(time="date", site="plot", n_estimators=40, random_state=0)
    selection = ForwardSelection(model, keep=["c4"], max_columns=2).fit(X, y)
    assert selection.kept_columns_ == ["lon", "lat", "c4", "date", "plot"]
    assert selection.selected_columns_ == ["c0", "c2"]
    expected = ["c0", "lon", "lat", "c2", "c4", "date", "plot"]
    assert selection.get_feature_names_out().tolist() == expected
    assert selection.estimator_.feature_names_in_.tolist() == expected
    candidates = {label for added in selection.results_["added"] for label in added}
    assert candidates == {"c0", "c1", "c2", "c3"}


def test_default_folds_are_blocks_of_the_coordinates_and_whole_sites():
    """Results equal those of the splitter with the coordinates, and sites as groups."""
    X, y = linear_survey()
    X = X.rename(columns={"lon": "east", "lat": "north"}).assign(plot=np.arange(80) // 4)
    model = XGBoostBaseline(
        coordinates=("east", "north"), crs=4326, site="plot", n_estimators=5, random_state=0
    )
    default = ForwardSelection(model, min_columns=1, max_columns=1).fit(X, y)
    folds = SpatialBlockKFold(coordinates=("east", "north"), crs=4326)
    pairs = list(folds.split(X, groups=X["plot"]))
    given = ForwardSelection(model, min_columns=1, max_columns=1, cv=pairs).fit(X, y)
    pd.testing.assert_frame_equal(default.results_, given.results_)


def test_first_step_compares_all_pairs():
    """Two covariates that help only together are found by pairs, not one by one."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 4)), columns=list("abcd"))
    y = np.sign(X["b"] * X["d"]) + 0.5 * X["a"]
    pairs = ForwardSelection(FOREST, cv=5, max_columns=2).fit(X, y)
    assert pairs.selected_columns_ == ["b", "d"]
    assert pairs.results_["n_columns"].tolist() == [2] * 6
    single = ForwardSelection(FOREST, cv=5, min_columns=1, max_columns=1).fit(X, y)
    assert single.selected_columns_ == ["a"]


def test_results_are_pooled_scores_of_each_set():
    """Scores equal those of pooled predictions by scikit-learn, gains their differences."""
    X, y = linear_survey()
    folds = list(KFold(4).split(X))
    selection = ForwardSelection(LinearRegression(), keep=["lon", "lat"], cv=folds).fit(X, y)
    table = selection.results_
    for _, row in table[table["step"] == 1].iterrows():
        columns = ["lon", "lat", *row["added"]]
        predicted = cross_val_predict(LinearRegression(), X[columns], y, cv=folds)
        assert row["score"] == pytest.approx(r2_score(y, predicted))
    chosen = table[table["selected"]].reset_index(drop=True)
    assert chosen["added"][0] == ("c0", "c2")
    assert chosen["step"].tolist() == list(range(1, len(chosen) + 1))
    np.testing.assert_allclose(chosen["gain"][1:], np.diff(chosen["score"]))
    assert selection.score_ == chosen["score"].iloc[-1] == table["score"].max()
    last = table[table["step"] == table["step"].max()]
    assert last["selected"].any() or (last["gain"] <= 0).all()


def test_number_of_fits():
    """The formula of the docstring, for a selection that adds all covariates."""

    class Counting(LinearRegression):
        n_calls = 0

        def fit(self, X, y):
            Counting.n_calls += 1
            return super().fit(X, y)

    X, y = linear_survey(60, p=6)
    selection = ForwardSelection(Counting(), keep=["lon", "lat"], cv=3, tol=-100.0).fit(X, y)
    assert len(selection.selected_columns_) == 6
    assert selection.n_fits_ == Counting.n_calls == 3 * (15 + 4 * 5 // 2) + 1


@pytest.mark.parametrize(("tol", "n_selected"), [(0.02, 2), (-100.0, 5)])
def test_tolerance(tol, n_selected):
    """A gain below the tolerance ends the selection."""
    X, y = linear_survey(noise=1.0)
    settings = {"keep": ["lon", "lat"], "cv": 5, "tol": tol}
    selection = ForwardSelection(LinearRegression(), **settings).fit(X, y)
    assert len(selection.selected_columns_) == n_selected


def test_standard_error_as_tolerance():
    """Covariates are added while the best gain exceeds its own standard error."""
    X, y = linear_survey(noise=1.0)
    settings = {"keep": ["lon", "lat"], "cv": 5, "min_columns": 1, "tol": "standard_error"}
    table = ForwardSelection(LinearRegression(), **settings).fit(X, y).results_
    best = table.loc[table.groupby("step")["score"].idxmax()]
    exceeds = best["gain"] > best["gain_standard_error"]
    assert exceeds.tolist()[1:] == best["selected"].tolist()[1:]
    assert best["selected"].tolist() == [True] * (len(best) - 1) + [False]


def test_start_from_the_columns_that_stay():
    """With min_columns=0 noise is not selected; the first step has one set without covariates."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(100, 4)), columns=list("abcd"))
    settings = {"keep": ["a"], "cv": 5, "min_columns": 0, "tol": "standard_error"}
    selection = ForwardSelection(LinearRegression(), **settings).fit(X, X["a"])
    assert selection.selected_columns_ == []
    assert selection.support_.tolist() == [True, False, False, False]
    assert selection.results_["added"].iloc[0] == ()


def test_equal_scores_select_the_first():
    """Copies of a covariate are not distinguished by chance."""
    X, y = linear_survey()
    X = X[["c1", "c0", "c2"]].assign(copy=X["c0"])
    selection = ForwardSelection(LinearRegression(), cv=4, max_columns=2).fit(X, y)
    assert selection.selected_columns_ == ["c0", "c2"]


@pytest.mark.parametrize("scoring", ["neg_mean_absolute_error", neg_crps_scorer])
def test_other_scorers(scoring):
    """Errors and the CRPS of pooled predictions select the covariates that matter."""
    X, y = linear_survey()
    settings = {"keep": ["lon", "lat"], "cv": 4, "max_columns": 2, "scoring": scoring}
    selection = ForwardSelection(make_pipeline(StandardScaler(), BayesianRidge()), **settings)
    assert selection.fit(X, y).selected_columns_ == ["c0", "c2"]
    assert selection.score_ < 0


def test_prediction_and_score_are_those_of_the_fitted_estimator():
    """The estimator is fitted to the selected columns of all rows."""
    X, y = linear_survey()
    selection = ForwardSelection(LinearRegression(), keep=["lon", "lat"], cv=4, max_columns=2)
    selection.fit(X, y)
    columns = ["c0", "lon", "lat", "c2"]
    expected = LinearRegression().fit(X[columns], y)
    np.testing.assert_allclose(selection.predict(X), expected.predict(X[columns]))
    assert selection.score(X, y) == pytest.approx(expected.score(X[columns], y))
    assert not hasattr(selection, "predict_uncertainty")


def test_uncertainty_of_the_estimator():
    """Uncertainty is that of the fitted estimator, also inside a Pipeline."""
    X, y = linear_survey(60)
    small = make_regressor(
        base_estimator=None,
        n_estimators=2,
        hidden_size=8,
        n_experts=0,
        max_epochs=2,
        random_state=0,
    )
    model = make_pipeline("passthrough", small)
    selection = ForwardSelection(model, cv=2, min_columns=1, max_columns=1).fit(X, y)
    columns = selection.get_feature_names_out().tolist()
    expected = selection.estimator_[-1].predict_uncertainty(X[columns], coverage=0.8)
    pd.testing.assert_frame_equal(predict_uncertainty(selection, X, coverage=0.8), expected)
    np.testing.assert_array_equal(
        selection.predict_interval(X, 0.8), expected[["lower", "upper"]].to_numpy()
    )
    assert selection.predict_quantiles(X).shape == (60, 3)
    assert selection.predict_probability(X, below=0.0).shape == (60,)


@pytest.mark.parametrize("kind", ["array", "names", "numbers"])
def test_roles_by_position(kind):
    """Columns before a role may be left out, and its position moves."""
    X, y = linear_survey()
    table = {"array": X.to_numpy(), "names": X, "numbers": X.set_axis(range(10, 17), axis=1)}[kind]
    model = clone(TREES).set_params(coordinates=(2, 3), crs=4326, elevation=-1)
    settings = {"cv": 3, "max_columns": 2}
    selection = ForwardSelection(model, **settings).fit(table, y)
    named = clone(TREES).set_params(coordinates=("lon", "lat"), elevation="c4")
    expected = ForwardSelection(named, **settings).fit(X, y)
    np.testing.assert_array_equal(selection.support_, expected.support_)
    np.testing.assert_allclose(selection.predict(table), expected.predict(X))
    assert type(selection.transform(table)) is type(table)


def test_geodataframe():
    """The points stay as coordinates with their CRS, and equal columns give equal results."""
    X, y = linear_survey()
    points = geopandas.points_from_xy(X["lon"], X["lat"], crs=4326)
    geo = geopandas.GeoDataFrame(X.drop(columns=["lon", "lat"]), geometry=points).to_crs(32631)
    selection = ForwardSelection(TREES, max_columns=2).fit(geo, y)
    assert selection.kept_columns_ == ["geometry.x", "geometry.y"]
    assert resolve_crs(32631, ["x", "y"]).crs == selection.estimator_.columns_.reference.crs
    assert selection.predict(geo).shape == (80,)
    plain = geo.drop(columns="geometry").assign(x=geo.geometry.x, y=geo.geometry.y)
    table = ForwardSelection(clone(TREES).set_params(crs=32631), max_columns=2).fit(plain, y)
    assert table.selected_columns_ == selection.selected_columns_
    # An estimator without roles does not get the points.
    ridge = ForwardSelection(Ridge(), max_columns=2).fit(geo, y)
    assert ridge.selected_columns_ == ["c0", "c2"]
    assert ridge.kept_columns_ == []


def test_text_and_missing_values():
    """Categories are candidates; covariates of estimators with roles may be missing."""
    X, y = linear_survey()
    use = np.where(X["c1"] > 0, "wood", "crop")
    X = X.assign(use=use).mask(np.random.default_rng(0).uniform(size=(80, 8)) < 0.05)
    X[["lon", "lat"]] = linear_survey()[0][["lon", "lat"]]
    y = y + 5 * (use == "wood")
    selection = ForwardSelection(TREES, cv=3, max_columns=2).fit(X, y)
    assert set(selection.selected_columns_) == {"c0", "use"}
    assert selection.transform(X)["use"].dtype == X["use"].dtype
    encoder = OneHotEncoder(handle_unknown="ignore")
    text = pd.DataFrame({"use": use, "soil": np.resize(["a", "b", "c"], 80)})
    text["plot"] = np.resize(["p", "q"], 80)
    model = make_pipeline(encoder, Ridge())
    found = ForwardSelection(model, cv=4, min_columns=1, max_columns=1).fit(text, y)
    assert found.selected_columns_ == ["use"]


def test_pipelines_clones_pickles_and_cross_validation():
    """The selection is a step, a last step, and can be cloned, pickled and cross-validated."""
    X, y = linear_survey()
    selection = ForwardSelection(Ridge(), keep=["lon", "lat"], cv=4, max_columns=2)
    first = make_pipeline(selection, LinearRegression()).fit(X, y)
    assert first[-1].n_features_in_ == 4
    scaled = make_pipeline(StandardScaler().set_output(transform="pandas"), clone(selection))
    assert cross_val_score(scaled, X, y, cv=3).min() > 0.9
    restored = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(restored.predict(X), first.predict(X))
    assert clone(first[0]).get_params()["keep"] == ["lon", "lat"]
    arrays = make_pipeline(StandardScaler(), ForwardSelection(Ridge(), cv=4)).fit(X, y)
    assert {0, 4} <= set(arrays[-1].selected_columns_)


def test_parallel_and_verbose(capsys):
    """Workers give the same results; each step prints a line."""
    X, y = linear_survey()
    settings = {"keep": ["lon", "lat"], "cv": 3, "max_columns": 3, "tol": -1.0}
    one = ForwardSelection(Ridge(), verbose=1, **settings).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "step 1: c0, c2" in lines[0]
    two = ForwardSelection(Ridge(), n_jobs=2, **settings).fit(X, y)
    pd.testing.assert_frame_equal(one.results_, two.results_)


def test_groups_weights_and_metadata_routing():
    """Groups are those of the splitter, and weights those of the fits, in both modes."""
    X, y = linear_survey()
    X, groups = X.drop(columns=["lon", "lat"]), np.arange(80) % 7
    weight = np.random.default_rng(0).uniform(size=80)
    selection = ForwardSelection(Ridge(), cv=GroupKFold(4), max_columns=2)
    selection.fit(X, y, groups=groups, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        model = Ridge().set_fit_request(sample_weight=True)
        scoring = get_scorer("r2").set_score_request(sample_weight=False)
        routed = ForwardSelection(model, cv=GroupKFold(4), max_columns=2, scoring=scoring)
        routed.fit(X, y, groups=groups, sample_weight=weight)
        plain = ForwardSelection(Ridge(), cv=4, max_columns=2).fit(X, y)
    assert plain.selected_columns_ == ["c0", "c2"]
    pd.testing.assert_frame_equal(selection.results_, routed.results_)
    unweighted = ForwardSelection(Ridge(), cv=GroupKFold(4), max_columns=2).fit(X, y, groups=groups)
    assert not np.allclose(unweighted.results_["score"], selection.results_["score"])


def test_map():
    """A map reads the covariates of the whole table."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    X, y = linear_survey()
    selection = ForwardSelection(TREES, cv=3, max_columns=2).fit(X, y)
    east, north = np.linspace(5, 7, 6), np.linspace(53, 51, 5)
    values = np.random.default_rng(0).normal(size=(5, 5, 6))
    names = [f"c{k}" for k in range(5)]
    grid = {"y": north, "x": east}
    cells = xarray.Dataset(
        {name: (("y", "x"), layer) for name, layer in zip(names, values, strict=True)}, coords=grid
    )
    soil = predict_map(selection, cells.rio.write_crs(4326))
    lon, lat = np.meshgrid(east, north)
    table = pd.DataFrame({name: layer.ravel() for name, layer in zip(names, values, strict=True)})
    table = table.assign(lon=lon.ravel(), lat=lat.ravel())[list(X.columns)]
    np.testing.assert_allclose(
        np.asarray(soil["mean"]).ravel(), selection.predict(table), rtol=1e-5
    )


def test_errors_name_the_parameter():
    """Unknown columns, wrong limits, folds, estimators and scores."""
    X, y = linear_survey()
    for settings, message in [
        ({"keep": ["C9"]}, "keep='C9'"),
        ({"max_columns": 1}, "max_columns=1 .* min_columns=2"),
        ({"min_columns": 0, "keep": None}, "min_columns=0 .* keep"),
        ({"cv": [(np.arange(40), np.arange(40, 80))]}, "cv .* found 1"),
        ({"min_columns": -1}, "'min_columns'"),
        ({"tol": "se"}, "'tol'"),
        ({"scoring": lambda model, X, y: np.nan}, "scoring .* nan"),
    ]:
        selection = ForwardSelection(Ridge(), **{"cv": 3, "keep": ["lon", "lat"], **settings})
        with pytest.raises(ValueError, match=message):
            selection.fit(X, y)
        assert not hasattr(selection, "support_")
    with pytest.raises(ValueError, match=r"estimator .* LogisticRegression"):
        ForwardSelection(LogisticRegression()).fit(X, y)
    ridge = ForwardSelection(Ridge(), cv=3, keep=["lon", "lat"]).fit(X, y)
    with pytest.raises(ValueError, match="c4"):
        ridge.predict(X.drop(columns="c4"))
    with pytest.raises(ValueError, match="NaN"):
        ridge.transform(X.assign(c4=np.nan))
