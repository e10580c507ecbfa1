"""Files of fitted estimators: equal predictions after loading, and errors for other files."""

import json
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from saved_models import NOISE_STD, SMALL_SETTINGS, X, Y, assert_same_predictions, fit_model
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from xgboost import XGBRegressor

from sptgnn_sklearn import ImageColumn, SpTGNNRegressor, TerraMindImages
from sptgnn_sklearn.persistence.model_file import SCHEMA, fitted_attributes, load_model, save_model
from sptgnn_sklearn.utils.safe_file import FileError, read, write


def test_loaded_model_equals_the_saved_one(model, saved):
    """Predictions, parameters, neighbors, attention weights and training rows."""
    again = SpTGNNRegressor.load(saved)
    assert_same_predictions(model, again)
    assert repr(again.get_params()) == repr(model.get_params())
    assert again.network.hidden_size == 8
    assert again.relations_ == model.relations_
    assert again.columns_ == model.columns_
    assert list(again.feature_names_in_) == list(model.feature_names_in_)
    np.testing.assert_array_equal(again.oob_prediction_, model.oob_prediction_)
    for one, other in zip(again.kneighbors(), model.kneighbors(), strict=True):
        np.testing.assert_array_equal(one, other)
    pd.testing.assert_frame_equal(again.attention_weights(X), model.attention_weights(X))
    assert again.to_hetero_data().num_nodes == model.to_hetero_data().num_nodes


def test_model_loads_in_a_new_process(model, saved, tmp_path):
    """Nothing of the process that saved the model is needed."""
    out = tmp_path / "out.npy"
    X.to_pickle(tmp_path / "X.pickle")
    program = (
        "import sys, numpy, pandas; from sptgnn_sklearn import SpTGNNRegressor;"
        "m = SpTGNNRegressor.load(sys.argv[1]);"
        "numpy.save(sys.argv[3], m.predict(pandas.read_pickle(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, saved, tmp_path / "X.pickle", out]
    subprocess.run(list(map(str, command)), check=True)
    np.testing.assert_allclose(np.load(out), model.predict(X), rtol=1e-5)


def test_file_is_safetensors_with_json(saved):
    """Other programs can read the arrays, and the columns and versions without the state."""
    assert all(values.dtype != object for values in load_file(saved).values())
    content, _ = read(saved, "model")
    assert content["schema"] == SCHEMA
    assert content["columns"]["categorical"]["soil"] == ["a", "b"]
    assert {"python", "torch", "numpy"} <= set(content["versions"])


@pytest.mark.filterwarnings("ignore:Without training data")
@pytest.mark.parametrize("training_data", [True, False])
def test_parameter_objects_are_restored(model, training_data, tmp_path):
    """NetworkConfig and TerraMindImages; folders in which a fit would write are dropped."""
    images = TerraMindImages(
        {"DEM": ImageColumn("dem", scale=10.0, bands=("B4",)), "RGB": "photo"},
        weights=tmp_path / "own.pt",
        cache_dir=str(tmp_path),
        fine_tune=2,
    )
    params = model.get_params(deep=False)
    params |= {"images": images, "checkpoint_dir": tmp_path}
    settings = {"training_data": training_data}
    save_model(tmp_path / "m", params, fitted_attributes(model), **settings)
    result, _ = load_model(tmp_path / "m")
    assert result["network"].get_params() == params["network"].get_params()
    expected = images.get_params(deep=False)
    expected |= {"cache_dir": None}
    assert result["checkpoint_dir"] is None
    if not training_data:
        expected |= {"weights": "own.pt"}
        content = (tmp_path / "m").read_bytes()
        assert str(tmp_path).encode() not in content
    assert result["images"].get_params(deep=False) == expected


@pytest.mark.filterwarnings("ignore:Without training data")
def test_weights_that_are_no_path_are_kept(model, tmp_path):
    """The names "pretrained" and None do not depend on the machine."""
    for weights in ("pretrained", None):
        images = TerraMindImages({"DEM": "dem"}, weights=weights)
        params = model.get_params(deep=False) | {"images": images}
        save_model(tmp_path / "m", params, fitted_attributes(model), training_data=False)
        assert load_model(tmp_path / "m")[0]["images"].weights == weights


@pytest.mark.parametrize(
    "settings",
    [
        {"relations": ()},
        {"network": {"n_layers": 2, "n_experts": 0}},
        {"random_state": np.random.RandomState(3), "target_bounds": (0, None)},
        {"calibration": None, "network": {"messages": False, "streams": ("covariates",)}},
        {"spectral": ["elevation"]},
        {"n_iter_no_change": None},
    ],
    ids=", ".join,
)
def test_models_with_other_parameters(settings, tmp_path):
    """Parameters that remove or add parts of the model."""
    model = fit_model(**settings)
    model.save(tmp_path / "m")
    assert_same_predictions(model, SpTGNNRegressor.load(tmp_path / "m"))


@pytest.mark.parametrize("kind", ["coordinates", "categories", "dates"])
def test_models_without_numeric_covariates(tmp_path, kind):
    """A table of coordinates, with or without categories or dates, is saved and loaded."""
    others = {"coordinates": [], "categories": ["soil"], "dates": ["date"]}
    table = X[["lon", "lat", *others[kind]]]
    settings = {"time": "date"} if kind == "dates" else {}
    model = SpTGNNRegressor(n_estimators=1, max_epochs=1, random_state=0, **settings)
    path = tmp_path / "model.safetensors"
    model.fit(table, Y).save(path)
    np.testing.assert_array_equal(SpTGNNRegressor.load(path).predict(table), model.predict(table))


def test_models_without_column_names(tmp_path):
    """Labels are positions, not texts."""
    array = X[["lon", "lat", "elevation"]].to_numpy()
    model = SpTGNNRegressor(coordinates=[0, 1], **SMALL_SETTINGS, base_estimator=None).fit(array, Y)
    model.save(tmp_path / "m")
    again = SpTGNNRegressor.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(array), model.predict(array))


def test_pickle_and_joblib(model, tmp_path):
    """Copies between processes predict the same."""
    assert_same_predictions(model, pickle.loads(pickle.dumps(model)))
    joblib.dump(model, tmp_path / "m.joblib")
    assert_same_predictions(model, joblib.load(tmp_path / "m.joblib"))


def test_callbacks_are_not_saved(tmp_path):
    """They are code; a warning is issued."""
    from skorch.callbacks import Callback

    model = fit_model(callbacks=[Callback()])
    with pytest.warns(UserWarning, match="callbacks"):
        model.save(tmp_path / "m")
    assert SpTGNNRegressor.load(tmp_path / "m").callbacks is None


# ------------------------------------------------------------------------------------ other files


def test_other_files_raise(tmp_path, saved):
    """Files of other programs, kinds and schemas, and missing files."""
    other = tmp_path / "other"
    other.write_bytes(pickle.dumps(Ridge()))
    with pytest.raises(FileError, match="not written by this package"):
        SpTGNNRegressor.load(other)
    write(other, "checkpoint", {}, {})
    with pytest.raises(FileError, match=r"checkpoint.* not a model"):
        SpTGNNRegressor.load(other)
    write(other, "model", {"schema": SCHEMA}, {})
    with pytest.raises(FileError, match="versions"):
        SpTGNNRegressor.load(other)
    with pytest.raises(FileNotFoundError):
        SpTGNNRegressor.load(tmp_path / "nothing")


@pytest.mark.parametrize("schema", [0, 2, 99, "1", None])
def test_other_schemas_raise(saved, tmp_path, schema):
    """The message has both schemas and the version that wrote the file."""
    content, arrays = read(saved, "model")
    versions = {**content["versions"], "sptgnn-sklearn": "7.8"}
    write(tmp_path / "m", "model", {**content, "schema": schema, "versions": versions}, arrays)
    message = rf"schema {schema!r}, written by sptgnn-sklearn 7\.8, .*reads schema {SCHEMA}"
    with pytest.raises(FileError, match=message):
        SpTGNNRegressor.load(tmp_path / "m")


def test_parameters_of_another_version_raise(saved, tmp_path):
    """A file with a parameter that the constructor does not have."""
    content, arrays = read(saved, "model")
    text = json.dumps(content).replace('"n_estimators"', '"n_members"')
    write(tmp_path / "m", "model", json.loads(text), arrays)
    with pytest.raises(FileError, match="n_members"):
        SpTGNNRegressor.load(tmp_path / "m")


def test_arrays_of_other_shapes_raise(saved, tmp_path):
    """Compiled loops would read fewer states than targets beyond their end."""
    content, arrays = read(saved, "model")
    _, fitted = load_model(saved)
    shape = tuple(fitted["ensemble_"].context.states[0].shape)
    name = next(n for n, a in arrays.items() if a.shape == shape)
    text = json.dumps(content).replace(
        f'"name": "{name}", "dtype": "<f4", "shape": [2, 90, 8]',
        f'"name": "{name}", "dtype": "<f4", "shape": [2, 80, 8]',
    )
    assert text != json.dumps(content)
    arrays[name] = arrays[name][:, :80]
    write(tmp_path / "bad", "model", json.loads(text), arrays)
    with pytest.raises(FileError, match="differ in shape"):
        SpTGNNRegressor.load(tmp_path / "bad")


def test_other_major_versions_warn(saved, tmp_path):
    """Predictions may differ between major versions of XGBoost."""
    content, arrays = read(saved, "model")
    content = {**content, "versions": {**content["versions"], "xgboost": "1.7.6"}}
    write(tmp_path / "m", "model", content, arrays)
    with pytest.warns(UserWarning, match=r"xgboost 1\.7\.6"):
        SpTGNNRegressor.load(tmp_path / "m")


def test_unfitted_estimators_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        SpTGNNRegressor().save(tmp_path / "m")


def test_objects_without_a_codec_cannot_be_saved(model, tmp_path):
    """The message has the attribute and its type, and no file is written."""
    changed = pickle.loads(pickle.dumps(model))
    changed.columns_ = replace(changed.columns_, site=complex(1, 1))
    with pytest.raises(ValueError, match=r"columns_.*site.*complex"):
        changed.save(tmp_path / "m")
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("in_list", [False, True])
def test_fitted_parameters_of_shared_models_are_unfitted(tmp_path, in_list):
    """A regressor that was fitted elsewhere does not carry its data into a shared file."""
    fitted = XGBRegressor(n_estimators=2).fit(np.zeros((3, 1)), np.arange(3.0))
    base = [fitted, "gaussian_process"] if in_list else fitted
    path = tmp_path / "shared.safetensors"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the skill that a small survey loses
        fit_model(base_estimator=base).save(path, training_data=False, min_group_size=2)
    found = SpTGNNRegressor.load(path).base_estimator
    regressor = found[0] if in_list else found
    assert regressor.n_estimators == 2
    assert not regressor.__sklearn_is_fitted__()


def test_measurement_errors_survive_a_file(noisy_model, tmp_path):
    """Role, errors of the training rows and predictions with errors are those saved."""
    noisy_model.save(tmp_path / "noisy")
    again = SpTGNNRegressor.load(tmp_path / "noisy")
    assert again.noise_std == again.columns_.noise_std == "lab_sd"
    noise = noisy_model.ensemble_.training.noise
    np.testing.assert_array_equal(again.ensemble_.training.noise, noise)
    table = X.assign(lab_sd=NOISE_STD)
    pd.testing.assert_frame_equal(
        again.predict_uncertainty(table, coverage=0.8),
        noisy_model.predict_uncertainty(table, coverage=0.8),
    )
