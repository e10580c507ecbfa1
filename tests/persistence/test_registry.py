"""Classes in model files: base estimators of other packages, and hostile contents."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from saved_models import X, assert_same_predictions, fit_model
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVR

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, TerraMindImages
from sptgnn_sklearn.ensemble.base_models import base_inputs
from sptgnn_sklearn.graph.knn_graph import KNNGraph
from sptgnn_sklearn.persistence.registry import _CLASSES, make_registry
from sptgnn_sklearn.utils.codec import decode, encode
from sptgnn_sklearn.utils.safe_file import FileError, read, write


def roundtrip(value):
    return decode(*encode(value, make_registry()), make_registry())


def test_names_in_files_are_class_names():
    """The names of the classes at the first release."""
    assert {name: kind.__name__ for name, kind in _CLASSES.items()} == {
        name: name for name in _CLASSES
    }


def test_parameter_objects_need_no_skops():
    """They are dataclasses, and are encoded by field although they are estimators."""
    for value in (NetworkConfig(n_experts=0, beta=0.25), TerraMindImages({"DEM": 3}, fine_tune=2)):
        content, _ = encode(value, make_registry())
        assert content["$"] == f"={type(value).__name__}"
        result = roundtrip(value)
        assert type(result) is type(value)
        assert result.get_params() == value.get_params()


def test_graphs_and_random_states_are_restored():
    graph = roundtrip(KNNGraph({"spatial": np.arange(8.0).reshape(4, 2)}, workers=2))
    assert graph.workers == 2
    np.testing.assert_array_equal(graph.spaces["spatial"], np.arange(8.0).reshape(4, 2))
    state = np.random.RandomState(3)
    state.normal(size=5)
    assert roundtrip(state).uniform() == state.uniform()


def test_several_base_models_are_restored_bit_for_bit(auto_model, auto_saved):
    """Without skops; cached matrices of the processes are not saved."""
    again = SpTGNNRegressor.load(auto_saved)
    assert_same_predictions(auto_model, again)
    before, after = auto_model.ensemble_.base, again.ensemble_.base
    assert after.names == before.names
    assert after.names == ("kriging_boosting", "kriging_extra_trees", "gaussian_process")
    table = auto_model.columns_.transform(X)
    features = auto_model.ensemble_.features
    inputs = base_inputs(features, table, features.relation_spaces(table))
    np.testing.assert_array_equal(after.predict(inputs), before.predict(inputs))
    np.testing.assert_array_equal(again.oob_prediction_, auto_model.oob_prediction_)
    _, arrays = read(auto_saved, "model")
    assert not any(array.shape == (90, 90) for array in arrays.values())


def test_sequences_of_base_models_are_restored(tmp_path):
    """Names and regressors, in parameters too."""
    model = fit_model(base_estimator=("gaussian_process", Ridge(alpha=2.0)))
    model.save(tmp_path / "m")
    again = SpTGNNRegressor.load(tmp_path / "m")
    assert_same_predictions(model, again)
    name, ridge = again.base_estimator
    assert (name, ridge.alpha) == ("gaussian_process", 2.0)


def test_base_estimators_of_scikit_learn(tmp_path):
    """They are saved with skops, without pickle."""
    model = fit_model(base_estimator=Ridge())
    model.save(tmp_path / "m")
    assert_same_predictions(model, SpTGNNRegressor.load(tmp_path / "m"))
    model = fit_model(base_estimator=RandomForestRegressor(3))
    model.save(tmp_path / "m")
    # Compiled code of scikit-learn does not check the nodes of trees, so skops does not trust them.
    again = SpTGNNRegressor.load(tmp_path / "m", trusted=["sklearn.tree._tree.Tree"])
    assert_same_predictions(model, again)


class OwnRidge(Ridge):
    """A base estimator that skops does not trust."""


def test_base_estimators_of_other_packages_must_be_trusted(tmp_path):
    """The message lists their types, and they are loaded only if these are passed."""
    model = fit_model(base_estimator=OwnRidge())
    model.save(tmp_path / "m")
    with pytest.raises(FileError, match=r"not trusted.*OwnRidge"):
        SpTGNNRegressor.load(tmp_path / "m")
    again = SpTGNNRegressor.load(tmp_path / "m", trusted=[f"{__name__}.OwnRidge"])
    assert_same_predictions(model, again)


@pytest.mark.parametrize("base", [SVR(), make_pipeline(StandardScaler(), SVR())])
def test_support_vector_machines_must_be_trusted(base, tmp_path):
    """libsvm does not compare the lengths of its arrays, and reads beyond their ends."""
    model = fit_model(base_estimator=base)
    model.save(tmp_path / "m")
    with pytest.raises(FileError, match=r"not trusted.*SVR"):
        SpTGNNRegressor.load(tmp_path / "m")
    again = SpTGNNRegressor.load(tmp_path / "m", trusted=["sklearn.svm._classes.SVR"])
    assert_same_predictions(model, again)


@pytest.mark.parametrize(
    "base",
    [
        make_pipeline(StandardScaler(), LinearSVR(loss="squared_epsilon_insensitive", dual=False)),
        make_pipeline(StandardScaler(), Ridge()),
    ],
)
def test_linear_models_are_trusted(base, tmp_path):
    model = fit_model(base_estimator=base)
    model.save(tmp_path / "m")
    assert_same_predictions(model, SpTGNNRegressor.load(tmp_path / "m"))


def test_archives_that_expand_are_refused(tmp_path):
    """A small file does not decompress to a large base estimator."""
    registry = make_registry()
    content, arrays = encode({"base": Ridge().fit(np.eye(2), [0, 1])}, registry)
    (name,) = arrays
    archive = io.BytesIO(arrays[name].tobytes())
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros.npy", bytes(2**26))
    arrays[name] = np.frombuffer(archive.getvalue(), np.uint8)
    text = json.dumps(content).replace(
        f"[{len(encode({'base': Ridge().fit(np.eye(2), [0, 1])}, registry)[1][name])}]",
        f"[{len(arrays[name])}]",
    )
    with pytest.raises(FileError, match="more than"):
        decode(json.loads(text), arrays, registry)


def hostile_contents(content):
    """Return contents that an attacker could write with a valid checksum, as JSON."""
    text = json.dumps(content)
    yield text.replace('"=FeatureEncoder"', '"=os.system"')
    yield text.replace('"=FeatureEncoder"', '"=SpatialReference"')
    yield text.replace('"!KNNGraph"', '"!subprocess"')
    yield text.replace('"=NetworkConfig"', '"=NetworkShape"')
    yield text.replace('"n_members": 2', '"n_members": 2000000000')
    yield text.replace('"n_layers": 1', '"n_layers": 1000000')
    yield text.replace('"hidden_size": 8', '"hidden_size": 1000000')
    yield text.replace('"relations": ', '"relation": ')
    yield text.replace('"$": "tuple"', '"$": "eval"')
    yield text.replace('"dtype": "<f8"', '"dtype": "|O"')
    yield text.replace('"dtype": "<f8"', '"dtype": "<f4"', 40)
    yield json.dumps({**content, "state": None})
    yield json.dumps({**content, "state": {"$": "dict", "items": []}})
    yield json.dumps({**content, "versions": 3})
    deep = []
    for _ in range(500):
        deep = [deep]
    yield json.dumps({**content, "state": deep})


@pytest.mark.parametrize("case", range(15))
def test_hostile_contents_raise(saved, tmp_path, case):
    """A valid checksum does not allow classes, sizes or types that the registry does not have."""
    content, arrays = read(saved, "model")
    text = list(hostile_contents(content))[case]
    assert text != json.dumps(content)
    write(tmp_path / "bad", "model", json.loads(text), arrays)
    with pytest.raises(FileError):
        SpTGNNRegressor.load(tmp_path / "bad")


def test_networks_must_be_float32_and_small(model):
    """Other weights and too many layers raise before a network is made."""
    content, arrays = encode(model.ensemble_.network, make_registry())
    double = {name: values.astype(np.float64) for name, values in arrays.items()}
    text = json.dumps(content).replace('"<f4"', '"<f8"')
    with pytest.raises(FileError, match="not float32"):
        decode(json.loads(text), double, make_registry())
    text = json.dumps(content).replace('"n_layers": 1', '"n_layers": 65')
    with pytest.raises(FileError, match="65 layers; at most 64"):
        decode(json.loads(text), arrays, make_registry())
    network = decode(content, arrays, make_registry())
    assert not any(weights.requires_grad for weights in network.parameters())
    for name, weights in model.ensemble_.network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], weights, rtol=0, atol=0)
