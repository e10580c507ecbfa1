"""Maps: equal to predictions of the flattened table, whatever the blocks and the source."""

import warnings

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from small_rasters import (
    CELL,
    CORNER,
    COVARIATES,
    CRS,
    DATE,
    HEIGHT,
    LAND_USES,
    WIDTH,
    Counting,
    as_dataset,
    bands_of,
    cell_table,
    survey,
    write_raster,
    write_stack,
)

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor, XGBoostBaseline, predict_map
from sptgnn_sklearn.maps.covariate_stack import decode_band
from sptgnn_sklearn.spatial.crs import resolve_crs, transform_coordinates

PARTS = ["mean", "std", "aleatoric", "epistemic", "lower", "upper"]
SETTINGS = {"date": DATE, "categories": {"land_use": LAND_USES}, "verbose": 0}


def network(**settings):
    chosen = {"n_members": 2, "max_epochs": 2, "base": None, "random_state": 0, "time": "date"}
    return SpTGNNRegressor(**(chosen | {"crs": CRS, "elevation": "elevation"} | settings))


@pytest.fixture(scope="module")
def model():
    X, y = survey()
    return network().fit(X, y)


@pytest.fixture(scope="module")
def table():
    return cell_table()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, table):
    return write_stack(tmp_path_factory.mktemp("rasters"), bands_of(table))


def flat(layers):
    return {name: layers[name].to_numpy().ravel() for name in layers}


def test_map_is_the_prediction_of_the_flattened_table(model, stack, table):
    """All layers of all cells, from GeoTIFFs, are what the model says of the same rows."""
    found = flat(predict_map(model, stack, layers=PARTS, coverage=0.8, **SETTINGS))
    expected = model.predict_uncertainty(table)
    limits = model.predict_interval(table, coverage=0.8)
    for name in ("mean", "std", "aleatoric", "epistemic"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(found["lower"], limits[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found["upper"], limits[:, 1], rtol=1e-5)


def test_all_layers_come_from_one_pass(model, stack, monkeypatch):
    """The network is asked once for each block, however many layers are wanted."""
    asked = []
    predict = type(model.ensemble_).predict
    monkeypatch.setattr(
        type(model.ensemble_), "predict", lambda self, t: asked.append(len(t)) or predict(self, t)
    )
    predict_map(model, stack, layers=PARTS, block_size=32, **SETTINGS)
    assert asked == [32 * 32, 32 * 24, 8 * 32, 8 * 24]


@pytest.mark.parametrize("block_size", [16, 48])
def test_tiles_leave_no_trace(model, stack, block_size):
    """Other blocks change nothing but rounding."""
    whole = flat(predict_map(model, stack, layers=PARTS, **SETTINGS))
    tiled = flat(predict_map(model, stack, layers=PARTS, block_size=block_size, **SETTINGS))
    for name in PARTS:
        np.testing.assert_allclose(tiled[name], whole[name], rtol=1e-5, atol=1e-5)


def test_sources_agree(model, stack, table):
    """A Dataset, a mapping of files and a sequence of files of the same values give one map."""
    numbers, land_use = stack
    names = [name for name in COVARIATES if name != "land_use"]
    mapping = {name: (numbers, name) for name in names} | {"land_use": land_use}
    by_number = {name: (numbers, i + 1) for i, name in enumerate(names)} | {"land_use": land_use}
    maps = [
        flat(predict_map(model, source, **SETTINGS))["mean"]
        for source in (stack, mapping, by_number, as_dataset(bands_of(table)))
    ]
    for other in maps[1:]:
        np.testing.assert_array_equal(other, maps[0])


def test_result_lies_on_the_grid_of_the_source(model, stack):
    """Shape, transform, reference system and missing value are those of a raster."""
    found = predict_map(model, stack, nodata_output=-9, **SETTINGS)
    with xr.open_dataset(stack[0], engine="rasterio") as source:
        assert found["mean"].rio.transform() == source.rio.transform()
        np.testing.assert_array_equal(found["x"], source["x"])
    assert found.rio.crs == CRS
    assert found["mean"].shape == (HEIGHT, WIDTH)
    assert found["mean"].dtype == np.float32
    assert found["std"].rio.nodata == -9


@pytest.mark.parametrize("tile", [16, None])
def test_missing_covariates_are_nodata(model, table, tmp_path, tile):
    """A cell without a covariate is nodata in all layers, and the others are as before."""
    bands = bands_of(table)
    full = flat(predict_map(model, write_stack(tmp_path, bands), **SETTINGS))
    bands["cov_1"] = bands["cov_1"].copy()
    bands["cov_1"][:16, :16] = np.nan
    bands["elevation"] = bands["elevation"].copy()
    bands["elevation"][20, 30] = -3.4e38
    bands["land_use"] = bands["land_use"].copy()
    bands["land_use"][0, 50] = 0
    holes = np.full((HEIGHT, WIDTH), False)
    holes[:16, :16] = holes[20, 30] = holes[0, 50] = True
    found = predict_map(model, write_stack(tmp_path, bands, tile=tile), **SETTINGS)
    for name, values in flat(found).items():
        np.testing.assert_array_equal(np.isnan(values), holes.ravel())
        np.testing.assert_allclose(values[~holes.ravel()], full[name][~holes.ravel()], rtol=1e-5)


def test_gaps_are_handed_on_where_that_is_wanted(model, table):
    """With skip_nodata=False a model that takes gaps gets them; cells without anything stay."""
    bands = bands_of(table)
    bands["cov_1"] = bands["cov_1"].copy()
    bands["cov_1"][:4] = np.nan
    empty = {name: values.astype(float) for name, values in bands.items()}
    for values in empty.values():
        values[0, :5] = np.nan
    found = flat(predict_map(model, as_dataset(empty), skip_nodata=False, **SETTINGS))["mean"]
    gaps = table.copy()
    gaps.loc[: 4 * WIDTH - 1, "cov_1"] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found)), np.arange(5))
    np.testing.assert_allclose(found[5:], model.predict(gaps)[5:], rtol=1e-5)


def test_nodata_costs_nothing():
    """Only cells with data are predicted, and blocks without any not at all."""
    a = np.full((HEIGHT, WIDTH), np.nan)
    a[20:, 40:] = 1.0
    X = pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]})
    counting = Counting().fit(X)
    source = as_dataset({"a": a, "b": np.ones_like(a)})
    found = predict_map(counting, source, crs=CRS, block_size=20, nodata_output=-1, verbose=0)
    assert (counting.calls, counting.rows) == (1, 20 * 16)
    assert (found["mean"].to_numpy()[np.isnan(a)] == -1).all()


def test_gaps_are_nodata_for_models_that_do_not_take_them(table):
    """LinearRegression refuses gaps, so it never gets any."""
    bands = {name: bands_of(table)[name].copy() for name in ("cov_0", "cov_1")}
    bands["cov_0"][3] = np.nan
    linear = LinearRegression().fit(*_covariates_only(["cov_0", "cov_1"]))
    found = predict_map(linear, as_dataset(bands), skip_nodata=False, verbose=0)["mean"]
    assert np.isnan(found[3]).all()
    assert np.isfinite(found[:3]).all()


def _covariates_only(names):
    X, y = survey()
    return X[names], y


@pytest.mark.parametrize("names", [["cov_0", "cov_1"], ["x", "y", "cov_0", "cov_1"]])
def test_plain_regressors_give_the_mean(stack, table, names):
    """Any regressor of scikit-learn is mapped by its columns, with or without coordinates."""
    linear = LinearRegression().fit(*_covariates_only(names))
    found = predict_map(linear, stack, crs=CRS if "x" in names else None, verbose=0)
    assert list(found) == ["mean"]
    expected = linear.predict(table[names])
    np.testing.assert_allclose(flat(found)["mean"], expected, rtol=1e-5)


def test_plain_regressors_give_std_where_they_have_it(stack, table):
    """predict(return_std=True) makes the second layer, through a search too."""
    names = ["cov_0", "cov_1"]
    search = GridSearchCV(BayesianRidge(), {"max_iter": [50]}, cv=3)
    search.fit(*_covariates_only(names))
    found = flat(predict_map(search, stack, verbose=0))
    mean, std = search.best_estimator_.predict(table[names], return_std=True)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["std"], std, rtol=1e-5)


def test_regressors_without_names_take_bands_by_position(table):
    """A model of a bare array gets coordinates and covariates in the order of fit."""
    X, y = survey()
    bare = network(time=None, elevation=None).fit(X[["x", "y", "cov_0", "cov_1"]].to_numpy(), y)
    bands = {name: bands_of(table)[name] for name in ("cov_0", "cov_1")}
    found = flat(predict_map(bare, as_dataset(bands), verbose=0))["mean"]
    expected = bare.predict(table[["x", "y", "cov_0", "cov_1"]].to_numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="of which 2 are covariates; the map has 4"):
        predict_map(bare, as_dataset(bands_of(table)), verbose=0)


def test_baseline_is_mapped_by_the_same_call(stack, table):
    """XGBoostBaseline knows its columns, and has a mean."""
    X, y = survey()
    trees = XGBoostBaseline(n_estimators=20, crs=CRS, time="date", random_state=0).fit(X, y)
    found = predict_map(trees, stack, **SETTINGS)
    assert list(found) == ["mean"]
    np.testing.assert_allclose(flat(found)["mean"], trees.predict(table), rtol=1e-5)


def test_wrappers_are_looked_through(stack, table):
    """Pipeline and a linear transform of the target keep roles and all layers."""
    X, y = survey()
    inner = make_pipeline("passthrough", network())
    wrapped = TransformedTargetRegressor(
        inner, func=lambda v: v / 10, inverse_func=lambda v: v * 10
    ).fit(X, y)
    found = flat(predict_map(wrapped, stack, layers=PARTS, **SETTINGS))
    plain = wrapped.regressor_[-1].predict_uncertainty(table, coverage=0.9)
    for name in PARTS:
        np.testing.assert_allclose(found[name], 10 * plain[name], rtol=1e-4)


def test_categories_reach_encoders_as_levels(stack, table):
    """A Pipeline that one-hot encodes texts gets texts, not numbers."""
    names = ["land_use", "cov_0"]
    encode = make_column_transformer((OneHotEncoder(), ["land_use"]), remainder="passthrough")
    pipe = make_pipeline(encode, LinearRegression()).fit(*_covariates_only(names))
    found = flat(predict_map(pipe, stack, categories={"land_use": LAND_USES}, verbose=0))["mean"]
    np.testing.assert_allclose(found, pipe.predict(table[names]), rtol=1e-5)


def test_numbers_without_a_level_are_nodata(model, table):
    """A class that the caller does not name, such as water, is not predicted."""
    bands = bands_of(table)
    bands["land_use"] = bands["land_use"].copy()
    bands["land_use"][5] = 9
    found = predict_map(model, as_dataset(bands), **SETTINGS)["mean"]
    assert np.isnan(found[5]).all()
    assert np.isfinite(found[6]).all()


def test_levels_that_are_numbers_need_no_list(table):
    """Codes that were categories in training are the same categories on the map."""
    X, y = survey()
    codes = {level: code for code, level in LAND_USES.items()}
    coded = X.assign(land_use=X["land_use"].astype(object).map(codes).astype("category"))
    model = network().fit(coded, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no level is unknown
        found = predict_map(model, as_dataset(bands_of(table)), date=DATE, verbose=0)
    rows = table.assign(land_use=table["land_use"].astype(object).map(codes))
    np.testing.assert_allclose(flat(found)["mean"], model.predict(rows), rtol=1e-5)


def test_categories_have_to_be_explained(model, stack):
    """Numbers for text levels without a list are an error, and so is a list of other levels."""
    with pytest.raises(ValueError, match=r"'land_use' is a category with the levels .'cropland'"):
        predict_map(model, stack, date=DATE, verbose=0)
    with pytest.raises(ValueError, match=r"has the levels .'sea'., and the estimator was fitted"):
        predict_map(model, stack, date=DATE, categories={"land_use": {1: "sea"}}, verbose=0)


def test_unknown_categories_are_said_once(table):
    """A level that training did not have is one warning for the map, not one for each block."""
    X, y = survey()
    codes = {level: code for code, level in LAND_USES.items()}
    coded = X.assign(land_use=X["land_use"].astype(object).map(codes).astype("category"))
    model = network().fit(coded, y)
    bands = bands_of(table)
    bands["land_use"] = bands["land_use"].copy()
    bands["land_use"][::7] = 9
    with pytest.warns(UserWarning, match="Categories that were not") as caught:
        predict_map(model, as_dataset(bands), date=DATE, block_size=20, verbose=0)
    assert len(caught) == 1


def test_date_fills_the_column_of_time(model, stack, table):
    """Date, text and year are the date of every row; without one it is unknown, and said so."""
    settings = SETTINGS | {"date": None}
    by_date = flat(predict_map(model, stack, **SETTINGS))["mean"]
    by_text = flat(predict_map(model, stack, **(SETTINGS | {"date": "2012-06-01"})))["mean"]
    np.testing.assert_array_equal(by_text, by_date)
    early = flat(predict_map(model, stack, **(SETTINGS | {"date": 2006.5})))["mean"]
    np.testing.assert_allclose(early, model.predict(table.assign(date=2006.5)), rtol=1e-5)
    with pytest.warns(UserWarning, match="predicted for an unknown date"):
        undated = flat(predict_map(model, stack, **settings))["mean"]
    np.testing.assert_allclose(undated, model.predict(table.assign(date=np.nan)), rtol=1e-5)
    with pytest.raises(ValueError, match="knows no column of time"):
        linear = LinearRegression().fit(*_covariates_only(["cov_0"]))
        predict_map(linear, stack, date=DATE, verbose=0)


def test_values_may_be_the_same_everywhere(stack, table):
    """A number in a mapping, or a variable without dimensions, fills its column."""
    names = ["cov_0", "cov_1"]
    linear = LinearRegression().fit(*_covariates_only(names))
    expected = linear.predict(table[names].assign(cov_1=0.5))
    by_number = predict_map(linear, {"cov_0": (stack[0], "cov_0"), "cov_1": 0.5}, verbose=0)
    np.testing.assert_allclose(flat(by_number)["mean"], expected, rtol=1e-5)
    dataset = as_dataset({"cov_0": bands_of(table)["cov_0"]}).assign(cov_1=0.5)
    np.testing.assert_allclose(
        flat(predict_map(linear, dataset, verbose=0))["mean"], expected, rtol=1e-5
    )


def test_sites_and_constants_need_no_band(stack, table):
    """Columns that tell the model nothing are filled with gaps."""
    X, y = survey()
    more = X.assign(profile=np.arange(len(X)) // 2, lab=1.0)
    with pytest.warns(UserWarning, match="without any variation"):
        model = network(site="profile").fit(more, y)
    found = flat(predict_map(model, stack, **SETTINGS))["mean"]
    expected = model.predict(table.assign(profile=None, lab=np.nan))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# ---------------------------------------------------------------------------- reference systems


def test_cells_are_moved_to_the_system_of_the_model(table):
    """A model of longitude and latitude gets these from a raster in metres."""
    X, y = survey()
    frame = resolve_crs("EPSG:4326", [])
    moved = transform_coordinates(X[["x", "y"]].to_numpy(), CRS, frame)
    geographic = X.drop(columns=["x", "y"]).assign(lon=moved[:, 0], lat=moved[:, 1])
    model = network(crs=None).fit(geographic, y)
    lon, lat = transform_coordinates(table[["x", "y"]].to_numpy(), CRS, frame).T
    expected = model.predict(table.drop(columns=["x", "y"]).assign(lon=lon, lat=lat))
    found = flat(predict_map(model, as_dataset(bands_of(table)), **SETTINGS))["mean"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_missing_systems_are_said(model, table):
    """Neither a raster nor a model without a reference system passes in silence."""
    bands = bands_of(table)
    with pytest.warns(UserWarning, match=r"covariates have no CRS; .*\(EPSG:32636\)"):
        bare = predict_map(model, as_dataset(bands, crs=None), **SETTINGS)
    np.testing.assert_array_equal(
        flat(bare)["mean"], flat(predict_map(model, as_dataset(bands), **SETTINGS))["mean"]
    )
    linear = LinearRegression().fit(*_covariates_only(["x", "y", "cov_0"]))
    with pytest.warns(UserWarning, match=r"CRS of the estimator's coordinates .* is not known"):
        predict_map(linear, as_dataset(bands), verbose=0)


def test_places_that_cannot_be_are_refused_before_anything_is_predicted(table):
    """Metres without a reference system are no longitudes."""
    X, y = survey(crs="EPSG:4326")
    model = network(crs=None).fit(X, y)
    with (
        pytest.warns(UserWarning, match="have no CRS"),
        pytest.raises(ValueError, match="coordinates are none in EPSG:4326"),
    ):
        predict_map(model, as_dataset(bands_of(table), crs=None), **SETTINGS)


def test_systems_must_not_contradict(model, stack):
    """crs and coordinates are for models that do not know their own."""
    with pytest.raises(ValueError, match="fitted with coordinates in EPSG:32636"):
        predict_map(model, stack, crs="EPSG:4326", **SETTINGS)
    with pytest.raises(ValueError, match="fitted with the coordinates"):
        predict_map(model, stack, coordinates=("cov_0", "cov_1"), **SETTINGS)
    with pytest.raises(ValueError, match="must name two columns"):
        predict_map(model, stack, coordinates=("x", "z"), **SETTINGS)


# ----------------------------------------------------------------------------------- bad rasters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 20}, "shape 40 x 56 against 20 x 56"),
        ({"shift": 300.0}, r"transform \(2000, .* against \(2000, 0, 440300"),
        ({"crs": "EPSG:32635"}, "CRS EPSG:32636 against EPSG:32635"),
    ],
)
def test_rasters_that_do_not_align_are_named(model, table, tmp_path, change, message):
    """Both files, and whether shape, transform or reference system differ."""
    bands = bands_of(table)
    first = write_raster(tmp_path / "first.tif", bands["cov_0"])
    moved = rasterio.Affine(CELL, 0, CORNER[0] + change.get("shift", 0), 0, -CELL, CORNER[1])
    second = write_raster(
        tmp_path / "second.tif",
        bands["cov_1"][: change.get("rows", HEIGHT)],
        crs=change.get("crs", CRS),
        transform=moved,
    )
    with pytest.raises(ValueError, match=message) as found:
        predict_map(model, {"cov_0": first, "cov_1": second}, **SETTINGS)
    assert "first.tif" in str(found.value)
    assert "second.tif" in str(found.value)


def test_missing_band_names_the_column(model, stack):
    """What is missing, and what there is."""
    with pytest.raises(ValueError, match=r"columns \['elevation', 'cov_0', 'cov_1'\].*land_use"):
        predict_map(model, stack[1], **SETTINGS)


def test_bands_have_to_be_told_apart(model, stack, tmp_path, table):
    """Several bands for one column, a band that is not there, and one name twice."""
    with pytest.raises(ValueError, match=r"has the bands 1 to 3, named .*: say which is 'cov_0'"):
        predict_map(model, {"cov_0": stack[0]}, **SETTINGS)
    with pytest.raises(ValueError, match="has no band 'cov_7' but the bands 1 to 3"):
        predict_map(model, {"cov_0": (stack[0], "cov_7")}, **SETTINGS)
    with pytest.raises(ValueError, match=r"several bands named \['elevation', 'cov_0', 'cov_1'\]"):
        predict_map(model, [stack[0], stack[0]], **SETTINGS)
    with pytest.raises(TypeError, match=r"source\['cov_0'\]=None must be a path"):
        predict_map(model, {"cov_0": None}, **SETTINGS)


def test_files_that_cannot_be_opened_are_named(model, tmp_path):
    """A file that is not there, and one that is no raster."""
    (tmp_path / "text.tif").write_text("no raster")
    for name in ("nowhere.tif", "text.tif"):
        with pytest.raises(ValueError, match=f"{name}' cannot be opened"):
            predict_map(model, tmp_path / name, **SETTINGS)


def test_rasters_of_too_many_bands_are_refused(model, tmp_path):
    """Only damaged files claim so many, and each costs time."""
    path = write_raster(tmp_path / "many.tif", np.zeros((4097, 2, 2), "uint8"))
    with pytest.raises(ValueError, match=r"many.tif' has 4097 bands, and 4096 are the most"):
        predict_map(model, path, **SETTINGS)


def test_rasters_need_a_place(table, tmp_path):
    """A raster without transform, or turned, and a Dataset of more dimensions are refused."""
    linear = LinearRegression().fit(*_covariates_only(["cov_0"]))
    bands = {"cov_0": bands_of(table)["cov_0"]}
    turned = rasterio.Affine(10, 5, 0, 5, -10, 0)
    path = write_raster(tmp_path / "turned.tif", bands["cov_0"], transform=turned)
    with pytest.raises(ValueError, match=r"has no coordinates|not georeferenced"):
        predict_map(linear, {"cov_0": path}, verbose=0)
    nowhere = tmp_path / "nowhere.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        write_raster(nowhere, bands["cov_0"], transform=rasterio.Affine.identity())
    with pytest.raises(ValueError, match=r"nowhere.tif' is not georeferenced"):
        predict_map(linear, {"cov_0": nowhere}, verbose=0)
    layered = as_dataset(bands).expand_dims(time=2)
    with pytest.raises(ValueError, match=r"'cov_0' .* dimensions .*'time'"):
        predict_map(linear, layered, verbose=0)
    with pytest.raises(ValueError, match="no coordinates along"):
        predict_map(linear, as_dataset(bands).drop_vars(["x", "y"]), verbose=0)
    with pytest.raises(TypeError, match=r"must be an xarray.Dataset"):
        predict_map(linear, 3, verbose=0)


def test_layers_are_checked(model, stack):
    """Layers that are unknown, twice there, or that this model cannot give."""
    linear = LinearRegression().fit(*_covariates_only(["cov_0"]))
    for layers, message in (
        (["median"], "must name some of"),
        (["mean", "mean"], "each once"),
        (["mean", "std"], "LinearRegression does not give the layer 'std'"),
        (["aoa"], "needs area="),
    ):
        with pytest.raises(ValueError, match=message):
            predict_map(linear, stack, layers=layers, verbose=0)
    with pytest.raises(ValueError, match=r"nodata_output=1e"):
        predict_map(linear, stack, nodata_output=1e300, verbose=0)
    with pytest.raises(ValueError, match="block_size=0"):
        predict_map(linear, stack, block_size=0, verbose=0)


# ------------------------------------------------------------------------- area of applicability


def test_area_of_applicability_is_a_layer(model, stack, table):
    """Inside and index are those of the area; cells without what it needs are nodata."""
    names = ["cov_0", "cov_1", "elevation"]
    X, _ = survey()
    area = AreaOfApplicability(columns=names, cv=5).fit(X[names])
    found = flat(predict_map(model, stack, area=area, layers=["aoa", "dissimilarity"], **SETTINGS))
    index = area.dissimilarity_index(table[names])
    np.testing.assert_allclose(found["dissimilarity"], index, rtol=1e-5)
    np.testing.assert_array_equal(found["aoa"], index <= area.threshold_)
    assert 0 < found["aoa"].mean() < 1
    default = predict_map(model, stack, area=area, **SETTINGS)
    assert list(default) == ["mean", "std", "aoa"]


def test_area_without_names_takes_the_columns_of_the_model(table):
    """An area of a bare array gets the rows of a model of a bare array, gaps left out."""
    X, y = survey()
    rows = X[["x", "y", "cov_0", "cov_1"]].to_numpy()
    bare = network(time=None, elevation=None).fit(rows, y)
    area = AreaOfApplicability(columns=[2, 3]).fit(rows)
    bands = {name: bands_of(table)[name].copy() for name in ("cov_0", "cov_1")}
    bands["cov_1"][0, 0] = np.nan
    source = as_dataset(bands)
    found = predict_map(
        bare, source, area=area, layers=["mean", "dissimilarity"], skip_nodata=False, verbose=0
    )
    index = area.dissimilarity_index(table[["x", "y", "cov_0", "cov_1"]].to_numpy())
    np.testing.assert_allclose(flat(found)["dissimilarity"][1:], index[1:], rtol=1e-5)
    assert np.isnan(found["dissimilarity"][0, 0])
    assert np.isfinite(found["mean"][0, 0])


# --------------------------------------------------------------------------------- missing values


def test_numbers_that_stand_for_missing_are_read(table):
    """A declared nodata value counts in variables of whole numbers and of floats."""
    linear = LinearRegression().fit(*_covariates_only(["cov_0", "cov_1"]))
    bands = {name: bands_of(table)[name].copy() for name in ("cov_0", "cov_1")}
    bands["cov_0"][0, :3] = -9999
    source = as_dataset(bands)
    source["cov_0"] = source["cov_0"].rio.write_nodata(-9999)
    found = predict_map(linear, source, verbose=0)["mean"].to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found)), np.arange(3))


def test_whole_numbers_keep_their_kind():
    """A band without nodata value stays whole; one with a value becomes floats in every block."""
    assert decode_band(np.array([1, 2], dtype="int16"), None).dtype == np.int16
    assert decode_band(np.array([1, 2], dtype="int16"), 9.0).dtype == np.float64


def test_south_up_grids_and_other_names_of_axes(table):
    """Rows from south to north under the names lat and lon are mapped where they are."""
    X, y = survey(crs="EPSG:4326")
    names = ["lon", "lat", "cov_0"]
    linear = LinearRegression().fit(X[names], y)
    lat, lon = np.linspace(-0.4, 0.4, 9), np.linspace(29.6, 30.4, 11)
    values = np.random.default_rng(0).normal(size=(9, 11))
    source = xr.Dataset({"cov_0": (("lat", "lon"), values)}, coords={"lat": lat, "lon": lon})
    found = predict_map(linear, source, verbose=0)["mean"]
    east, north = np.meshgrid(lon, lat)
    rows = pd.DataFrame({"lon": east.ravel(), "lat": north.ravel(), "cov_0": values.ravel()})
    assert found.dims == ("lat", "lon")
    np.testing.assert_allclose(found.to_numpy().ravel(), linear.predict(rows), rtol=1e-5)
