"""Saved models: the same predictions after loading, and nothing else comes in."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePath

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from make_saved import FOLDER, rows
from safetensors.numpy import load_file
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from xgboost import XGBRegressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.persistence import xgboost_json as trees
from sptgnn_sklearn.persistence.model_file import SCHEMA, load_model
from sptgnn_sklearn.utils.codec import Registry, decode, encode
from sptgnn_sklearn.utils.safe_file import FileError, read, write

SURVEY = make_soil_survey(n_samples=90, random_state=0)
X, Y = (
    SURVEY.data.assign(
        soil=np.where(SURVEY.data["elevation"] > SURVEY.data["elevation"].median(), "a", "b")
    ),
    SURVEY.target,
)
SMALL = {"n_members": 2, "hidden_size": 8, "max_epochs": 2, "n_neighbors": 4, "random_state": 0}
ROLES = {"time": "date", "elevation": "elevation"}


def fitted(**settings):
    with_base = {"base": None} | settings
    return SpTGNNRegressor(**ROLES, **SMALL | with_base).fit(X, Y)


@pytest.fixture(scope="module")
def model():
    return fitted(base="xgboost", target_transform="log1p")


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return path


def assert_same(first, second):
    """All that predictions say is equal to the last digit."""
    pd.testing.assert_frame_equal(
        first.predict_uncertainty(X, coverage=0.8), second.predict_uncertainty(X, coverage=0.8)
    )
    np.testing.assert_array_equal(
        first.sample(X, 3, random_state=0), second.sample(X, 3, random_state=0)
    )


def test_loaded_model_is_the_same(model, saved):
    """Predictions, parameters, neighbours, attention and what is known of the training rows."""
    again = SpTGNNRegressor.load(saved)
    assert_same(model, again)
    assert again.get_params() == model.get_params()
    assert again.relations_ == model.relations_
    assert again.columns_ == model.columns_
    assert list(again.feature_names_in_) == list(model.feature_names_in_)
    np.testing.assert_array_equal(again.oob_prediction_, model.oob_prediction_)
    for one, other in zip(again.kneighbors(), model.kneighbors(), strict=True):
        np.testing.assert_array_equal(one, other)
    pd.testing.assert_frame_equal(again.attention(X), model.attention(X))
    assert again.to_hetero_data().num_nodes == model.to_hetero_data().num_nodes


def test_loading_in_a_new_process(model, saved, tmp_path):
    """No state of this process is needed."""
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


def test_file_is_plain_safetensors_with_json(saved):
    """Other programs can read it, and what people ask of it is near the top."""
    assert all(values.dtype != object for values in load_file(saved).values())
    content, _ = read(saved, "model")
    assert content["schema"] == 1
    assert content["columns"]["categorical"]["soil"] == ["a", "b"]
    assert {"python", "torch", "numpy"} <= set(content["versions"])


def test_every_changed_byte_is_noticed(saved, tmp_path):
    """Any flip, cut or added byte, wherever it is."""
    whole = saved.read_bytes()
    rng = np.random.default_rng(0)
    header = int.from_bytes(whole[:8], "little")
    near = np.unique(np.r_[0:40, rng.integers(0, header, 60), header : header + 20])
    bad = tmp_path / "bad.safetensors"
    for place in [*near, *rng.integers(0, len(whole), 60)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        bad.write_bytes(changed)
        with pytest.raises(FileError, match=r"bad\.safetensors"):
            SpTGNNRegressor.load(bad)
    for part in (b"", whole[:5], whole[: len(whole) // 2], whole[:-1], whole + b"\0"):
        bad.write_bytes(part)
        with pytest.raises(FileError, match=r"bad\.safetensors"):
            SpTGNNRegressor.load(bad)


def test_foreign_files_are_refused(tmp_path, saved):
    """Files of other programs, other kinds and other schemas; and a file that is not there."""
    other = tmp_path / "other"
    other.write_bytes(pickle.dumps(Ridge()))
    with pytest.raises(FileError, match="no file that this package wrote"):
        SpTGNNRegressor.load(other)
    write(other, "checkpoint", {}, {})
    with pytest.raises(FileError, match="holds a checkpoint, not a model"):
        SpTGNNRegressor.load(other)
    content, arrays = read(saved, "model")
    write(other, "model", {**content, "schema": 99}, arrays)
    with pytest.raises(FileError, match=r"schema 99, written by sptgnn-sklearn .*reads schema 1"):
        SpTGNNRegressor.load(other)
    with pytest.raises(FileNotFoundError):
        SpTGNNRegressor.load(tmp_path / "nothing")


def edits(content):
    """Contents that a hostile hand could write, with a checksum that fits."""
    text = json.dumps(content)
    yield text.replace('"=Features"', '"=os.system"')
    yield text.replace('"=Features"', '"=Frame"')
    yield text.replace('"!Searcher"', '"!subprocess"')
    yield text.replace('"n_members": 2', '"n_members": 2000000000')
    yield text.replace('"n_layers": 1', '"n_layers": 1000000')
    yield text.replace('"width": 8', '"width": 1000000')
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


def test_hostile_contents_are_refused(saved, tmp_path):
    """A checksum that fits does not let in what the registry does not name."""
    content, arrays = read(saved, "model")
    bad = tmp_path / "bad"
    for text in edits(content):
        if text == json.dumps(content):
            continue
        write(bad, "model", json.loads(text), arrays)
        with pytest.raises(FileError):
            SpTGNNRegressor.load(bad)


def test_arrays_that_do_not_belong_together_are_refused(saved, tmp_path):
    """Fewer states than targets would be read beyond their end."""
    content, arrays = read(saved, "model")
    params, learned = load_model(saved)
    assert params["n_members"] == 2
    shape = tuple(learned["ensemble_"].context.states[0].shape)
    name = next(n for n, a in arrays.items() if a.shape == shape)
    text = json.dumps(content).replace(
        f'"name": "{name}", "dtype": "<f4", "shape": [2, 90, 8]',
        f'"name": "{name}", "dtype": "<f4", "shape": [2, 80, 8]',
    )
    assert text != json.dumps(content)
    arrays[name] = arrays[name][:, :80]
    write(tmp_path / "bad", "model", json.loads(text), arrays)
    with pytest.raises(FileError, match="do not belong together"):
        SpTGNNRegressor.load(tmp_path / "bad")


def test_interrupted_save_leaves_the_old_file(model, saved, tmp_path, monkeypatch):
    """A full disk or a power cut in the middle: the file that was there is as it was."""
    path = tmp_path / "model"
    path.write_bytes(saved.read_bytes())

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_without_training_data(model, tmp_path):
    """No covariates, no exact place, no rows; predictions close to those of the whole model."""
    path = tmp_path / "shared"
    model.save(path, training_data=False)
    again = SpTGNNRegressor.load(path)
    _, arrays = read(path, "model")
    for label in model.columns_.numeric:
        own = np.sort(X[label].to_numpy(dtype=float))
        scores = model.ensemble_.training.node_features
        assert not any(a.shape == scores.shape for a in arrays.values()), label
        assert not any(
            a.shape == own.shape and np.allclose(np.sort(a), own) for a in arrays.values()
        )
    features, space = again.ensemble_.features, again.ensemble_.knn_graph.spaces["spatial"]
    cells = features.coordinates(space) / 0.01
    np.testing.assert_allclose(cells % 1, 0.5, atol=1e-4)
    with pytest.raises(ValueError, match="training_data=False"):
        again.to_hetero_data()
    with pytest.raises(ValueError, match="training_data=False"):
        again.kneighbors()
    assert not hasattr(again, "oob_prediction_")
    assert "held-out R²" in again._repr_html_()
    assert np.isfinite(again.predict(X)).all()
    change = np.std(again.predict(X) - model.predict(X)) / np.std(model.predict(X))
    assert change < 0.3
    again.attention(X.head(2))


def test_splits_of_the_base_tell_no_coordinate(model, tmp_path):
    """Splits at coordinates lie on edges of the grid; others are as they were."""
    path = tmp_path / "shared"
    model.save(path, training_data=False, coordinate_grid=0.05)
    trees = {}
    for name, one in (("own", model), ("shared", SpTGNNRegressor.load(path))):
        frame = one.ensemble_.base.get_booster().trees_to_dataframe()
        trees[name] = frame[frame["Feature"] != "Leaf"]
    coordinate = trees["own"]["Feature"].isin(["f0", "f1"])
    on_edge = trees["shared"]["Split"][coordinate] / 0.05
    np.testing.assert_allclose(on_edge, on_edge.round(), atol=1e-3)
    assert not np.allclose(trees["own"]["Split"][coordinate] / 0.05, on_edge)
    np.testing.assert_array_equal(
        trees["own"]["Split"][~coordinate], trees["shared"]["Split"][~coordinate]
    )


def test_places_need_a_grid_where_the_unit_is_unknown(tmp_path):
    """A plane of an unknown unit: the error asks for the side of a cell."""
    plane = X.rename(columns={"lon": "x", "lat": "y"})
    model = SpTGNNRegressor(**ROLES, **SMALL, base=None).fit(plane, Y)
    with pytest.raises(ValueError, match="give coordinate_grid"):
        model.save(tmp_path / "m", training_data=False)
    model.save(tmp_path / "m", training_data=False, coordinate_grid=0.1)
    for wrong in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="coordinate_grid"):
            model.save(tmp_path / "m", training_data=False, coordinate_grid=wrong)
    with pytest.raises(ValueError, match="training_data=False only"):
        model.save(tmp_path / "m", coordinate_grid=1.0)


def test_bases_of_scikit_learn(tmp_path):
    """Saved by skops, without pickle; but not where rows must stay behind."""
    model = fitted(base=Ridge())
    model.save(tmp_path / "m")
    assert_same(model, SpTGNNRegressor.load(tmp_path / "m"))
    model = fitted(base=RandomForestRegressor(3))
    model.save(tmp_path / "m")
    # Nodes of trees are read by compiled code that trusts them.
    again = SpTGNNRegressor.load(tmp_path / "m", trusted=["sklearn.tree._tree.Tree"])
    assert_same(model, again)
    model = fitted(base=KNeighborsRegressor())
    with pytest.raises(ValueError, match="may hold training rows"):
        model.save(tmp_path / "m", training_data=False)


class OwnRidge(Ridge):
    """A base that skops does not know."""


def test_bases_of_other_packages_are_asked_about(tmp_path):
    """Types that skops does not trust are named, and loaded only when they are passed."""
    model = fitted(base=OwnRidge())
    model.save(tmp_path / "m")
    with pytest.raises(FileError, match=r"not trusted.*OwnRidge"):
        SpTGNNRegressor.load(tmp_path / "m")
    again = SpTGNNRegressor.load(tmp_path / "m", trusted=[f"{__name__}.OwnRidge"])
    assert_same(model, again)


@pytest.mark.parametrize(
    "settings",
    [
        {"relations": ()},
        {"n_layers": 2, "n_experts": 0},
        {"random_state": np.random.RandomState(3), "target_bounds": (0, None)},
        {"streams": ("covariates",), "calibration": None, "messages": False},
        {"spectral": ("clay", "elevation") if "clay" in X else ["elevation"]},
    ],
)
def test_all_sorts_of_models(settings, tmp_path):
    """What parameters leave out or add."""
    model = fitted(**settings)
    model.save(tmp_path / "m")
    assert_same(model, SpTGNNRegressor.load(tmp_path / "m"))


def test_pickle_and_joblib_work_too(model, tmp_path):
    """For short-lived copies between processes."""
    assert_same(model, pickle.loads(pickle.dumps(model)))
    joblib.dump(model, tmp_path / "m.joblib")
    assert_same(model, joblib.load(tmp_path / "m.joblib"))


def test_callbacks_are_left_out_with_a_warning(tmp_path):
    """They are code."""
    from skorch.callbacks import Callback

    model = fitted(callbacks=[Callback()])
    with pytest.warns(UserWarning, match="set them again"):
        model.save(tmp_path / "m")
    assert SpTGNNRegressor.load(tmp_path / "m").callbacks is None


def test_labels_of_all_kinds(tmp_path):
    """Columns without names, and labels that are no texts."""
    array = X[["lon", "lat", "elevation"]].to_numpy()
    model = SpTGNNRegressor(coordinates=[0, 1], **SMALL, base=None).fit(array, Y)
    model.save(tmp_path / "m")
    again = SpTGNNRegressor.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(array), model.predict(array))


def test_other_versions_are_told(saved, tmp_path, monkeypatch):
    """A major version that differs deserves a look at the predictions."""
    content, arrays = read(saved, "model")
    content = {**content, "versions": {**content["versions"], "xgboost": "1.7.6"}}
    write(tmp_path / "m", "model", content, arrays)
    with pytest.warns(UserWarning, match=r"xgboost 1\.7\.6"):
        SpTGNNRegressor.load(tmp_path / "m")


def test_unfitted_estimators_have_nothing_to_save(tmp_path):
    """As for every use before fit."""
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        SpTGNNRegressor().save(tmp_path / "m")


def test_unknown_parts_are_refused_when_saving(model, tmp_path):
    """The error says what has no form in a file, and nothing is written."""
    odd = pickle.loads(pickle.dumps(model))
    odd.columns_ = replace(odd.columns_, site=complex(1, 1))
    with pytest.raises(ValueError, match=r"columns_.*site.*complex"):
        odd.save(tmp_path / "m")
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.safetensors")), ids=lambda p: p.stem)
def test_models_of_all_schemas_load_for_ever(path):
    """Files that are kept beside the tests give the predictions that they gave then."""
    model = SpTGNNRegressor.load(path)
    expected = np.loadtxt(path.with_suffix(".csv"))
    np.testing.assert_allclose(model.predict_uncertainty(rows()), expected, rtol=1e-3)


def test_there_is_a_kept_model_of_this_schema():
    """`python tests/make_saved.py` writes it when the schema changes."""
    assert (FOLDER / f"schema-{SCHEMA}.safetensors").is_file()


@pytest.fixture(scope="module")
def stumps():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 3))
    return XGBRegressor(n_estimators=2, max_depth=2).fit(points, points.sum(1)), points


def broken_trees(text):
    """Trees that XGBoost would follow to where there is nothing, and what is said."""
    booster = text["learner"]["gradient_booster"]

    def change(**fields):
        changed = json.loads(json.dumps(text))
        changed["learner"]["gradient_booster"]["model"]["trees"][1].update(fields)
        return changed

    tree = booster["model"]["trees"][1]
    n = len(tree["left_children"])
    yield change(left_children=[n + 5, *tree["left_children"][1:]]), "not there"
    yield change(left_children=[0, *tree["left_children"][1:]]), "not there"  # for ever
    yield change(right_children=[-1] * n), "not there"
    yield change(split_indices=[77, *tree["split_indices"][1:]]), "not there"
    yield change(parents=[n + 1, *tree["parents"][1:]]), "not there"
    yield change(split_type=[1] * n), "not there"
    yield change(base_weights=tree["base_weights"][1:]), "lacks nodes"
    yield change(categories=[1]), "lacks nodes"
    yield change(left_children=[0.5] * n), "whole numbers"
    yield change(tree_param={**tree["tree_param"], "size_leaf_vector": "3"}), "more than one value"
    for path, value, told in (
        (("name",), "dart", "'dart' booster"),
        (("model", "tree_info"), [0], "lacks trees"),
        (("model", "tree_info"), [0, 9], "groups"),
        (("model", "gbtree_model_param", "num_trees"), "9", "lacks trees"),
        (("model", "iteration_indptr"), [0, 1, 9], "trees that are not there"),
    ):
        changed = json.loads(json.dumps(text))
        place = changed["learner"]["gradient_booster"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        yield changed, told


def test_trees_that_lead_nowhere_are_refused(stumps):
    """Whole trees come back as they were; broken ones never reach XGBoost."""
    model, points = stumps
    again = trees.unpack_booster(trees.pack_booster(model))
    np.testing.assert_array_equal(again.predict(points), model.predict(points))
    assert not trees.unpack_booster(
        trees.pack_booster(XGBRegressor(max_depth=3))
    ).__sklearn_is_fitted__()
    for text, told in broken_trees(trees.as_text(model)):
        with pytest.raises(FileError, match=told):
            trees.from_text(XGBRegressor(), text)
    packed = trees.pack_booster(model)
    with pytest.raises(FileError, match="are cut"):
        trees.unpack_booster({**packed, "booster": packed["booster"][:-20]})


def test_values_of_all_kinds():
    """What the encoding knows comes back as it was, and the rest is named."""
    kinds = {
        "plain": [None, True, 3, 2.5, "ü", float("inf"), float("-inf")],
        3: (1, (2,), {"a"}, frozenset({1})),
        "arrays": [
            np.arange(3, dtype=np.int8),
            np.float32(1.5),
            np.array("2020-01-02", dtype="datetime64[D]"),
            np.array(["a", "bcd"]),
            np.array([1, "x", None], dtype=object).reshape(3, 1),
            np.empty((0, 4)),
            torch.arange(4).reshape(2, 2),
            np.arange(3, dtype=">i4"),
        ],
        "path": PurePath("a") / "b",
        "classless": {},
    }
    again = decode(*encode(kinds, Registry.empty()), Registry.empty())
    assert repr(again) == repr(kinds).replace("dtype='>i4'", "dtype=int32")
    for odd in (object(), np.zeros(2, dtype=[("a", int)]), 1j):
        with pytest.raises(TypeError, match=r"(has|have) no codec"):
            encode({"deep": [odd]}, Registry.empty())
    for plain in ({"$": "odd"}, {"$": "!odd"}, {"$": "=odd", "fields": {}}, {"no": "kind"}):
        with pytest.raises(FileError):
            decode(plain, {}, Registry.empty())
