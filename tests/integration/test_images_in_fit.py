"""Tests of the estimator with images: TerraMind on small chips, frozen and fine-tuned."""

import contextlib
import copy
import os
import pickle
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from small_encoder import write_chips
from small_models import make_regressor

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.encoders.terramind import FrozenEncoder, split_stages
from sptgnn_sklearn.table.image_columns import ImageColumn
from sptgnn_sklearn.uncertainty.blending import Blend

pytestmark = pytest.mark.filterwarnings("ignore:weights=None")
N = 48
SETTINGS = {
    "images": {
        "DEM": "dem",
        "layers": ImageColumn("layers", mean=(670.0,) * 3, std=(300.0,) * 3),
    },
    "weights": None,
    "base_estimator": None,
    "n_estimators": 2,
    "max_epochs": 2,
    "n_neighbors": 4,
    "hidden_size": 16,
    "random_state": 0,
}
requires_permissions = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="this user may read everything"
)


def make_survey(folder, n=N, seed=0):
    """Return a table whose target depends on the chips only; some rows lack one or both images."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    X = pd.DataFrame(
        {
            "x": rng.uniform(0, 1e4, n),
            "y": rng.uniform(0, 1e4, n),
            "clay": rng.normal(size=n),
            "dem": write_chips(folder, n, seed=seed, signal=signal),
            "layers": write_chips(folder, n, channels=3, seed=seed),
        }
    )
    X.loc[[1, 5], "layers"] = None
    X.loc[5, "dem"] = None
    return X, pd.Series(2 + signal + 0.1 * rng.normal(size=n))


@pytest.fixture
def survey(tmp_path):
    return make_survey(tmp_path)


@pytest.fixture
def make_model(tmp_path):
    def make(**parameters):
        return make_regressor(**{**SETTINGS, "cache_dir": tmp_path / "cache", **parameters})

    return make


@pytest.fixture
def encoded(monkeypatch):
    """Numbers of rows that the frozen encoder has encoded in this test."""
    counts = []
    original = FrozenEncoder.__call__

    def counting(self, chips):
        counts.append(len(next(iter(chips.values()))))
        return original(self, chips)

    monkeypatch.setattr(FrozenEncoder, "__call__", counting)
    return counts


def test_images_improve_predictions(survey, make_model):
    """A signal in the chips is learned from frozen embeddings only."""
    X, y = survey
    settings = {"max_epochs": 60, "streams": ("imagery", "covariates", "position")}
    model = make_model(**settings).fit(X[:36], y[:36])
    assert model.streams_ == ("imagery", "covariates", "position")
    r2_with_images = r2_score(y[36:], model.predict(X[36:]))
    model_without_images = make_model(**settings, images=None).fit(
        X[:36].drop(columns=["dem", "layers"]), y[:36]
    )
    r2_without_images = r2_score(
        y[36:], model_without_images.predict(X[36:].drop(columns=["dem", "layers"]))
    )
    assert r2_with_images > 0.3
    assert r2_with_images > r2_without_images + 0.3


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_without_images_are_predicted(survey, make_model):
    """Rows without images, and tables without text, get predictions."""
    X, y = survey
    model = make_model(fine_tune=1).fit(X, y)
    without = X.assign(dem=None, layers=np.nan)
    assert np.isfinite(model.predict(without)).all()
    assert np.isfinite(model.predict(np.zeros((1, 5)))).all()
    # Without shrinkage: after so few epochs the blend may predict the mean for all rows.
    model.ensemble_.postprocessor = replace(model.ensemble_.postprocessor, blend=Blend())
    assert not np.allclose(model.predict(without), model.predict(X))


@pytest.mark.parametrize("fine_tune", [False, 1])
def test_predictions_are_independent_of_the_batch(survey, make_model, fine_tune):
    """A prediction depends on its own row and chips only."""
    X, y = survey
    model = make_model(fine_tune=fine_tune).fit(X, y)
    together = model.predict(X)
    alone = np.concatenate([model.predict(X.iloc[[row]]) for row in range(0, N, 5)])
    np.testing.assert_allclose(alone, together[::5], atol=1e-5)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_allclose(model.predict(X.iloc[order]), together[order], atol=1e-5)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_same_seed_gives_identical_fit(survey, make_model, fine_tune):
    """Also with another row order."""
    X, y = survey
    order = np.random.default_rng(1).permutation(N)
    first = make_model(fine_tune=fine_tune).fit(X, y)
    second = make_model(fine_tune=fine_tune).fit(X.iloc[order], y.iloc[order])
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


def test_fine_tuning_changes_the_last_blocks_only(survey, make_model):
    """Frozen stages are unchanged; each member changes its own copy of the others."""
    X, y = survey
    model = make_model(fine_tune=2).fit(X, y)
    encoders, start = model.ensemble_.network.image_encoders, model.embedder_.encoder.stages
    frozen = start[: len(encoders.trunk)].state_dict()
    assert len(encoders.trunk) == 1 + 10
    assert all(torch.equal(encoders.trunk.state_dict()[name], v) for name, v in frozen.items())
    before = dict(split_stages(start, 2)[1].named_parameters())
    for name, after in encoders.tail.named_parameters():
        for member in after:
            assert not torch.equal(member, before[name]), name
        assert not torch.equal(after[0], after[1]), name


class CompareBank(Callback):
    """Compare the stored image features with newly encoded ones after each epoch."""

    def __init__(self):
        self.gaps = []

    def on_epoch_end(self, net, **kwargs):
        graph = net.module_
        bank = graph.get_buffer("stream_imagery")
        rows = np.arange(bank.shape[1])
        with torch.no_grad():
            fresh = graph.ema_network.image_encoders.encode_for_all(
                graph.data.fine_tuning.chips.groups(rows), len(rows)
            )
        self.gaps.append(float((fresh - bank).abs().max()))


def test_image_features_are_updated_each_epoch(survey, make_model):
    """Neighbors are encoded with the current weights."""
    X, y = survey
    compare = CompareBank()
    make_model(fine_tune=1, max_epochs=3, n_iter_no_change=None, callbacks=[compare]).fit(X, y)
    assert len(compare.gaps) == 3
    assert max(compare.gaps) < 1e-4


def test_member_groups_fine_tune_alike(survey, make_model):
    """Groups in processes equal the joint pass."""
    X, y = survey
    settings = {"fine_tune": 1, "n_iter_no_change": None}
    joint = make_model(**settings).fit(X, y)
    apart = make_model(**settings, n_member_groups=2, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(apart.predict(X), joint.predict(X), atol=0.02)


def test_gradient_checkpointing_keeps_results(survey, make_model):
    """Gradient checkpointing changes time and memory only."""
    X, y = survey
    plain = make_model(fine_tune=2).fit(X, y)
    again = make_model(fine_tune=2, gradient_checkpointing=True).fit(X, y)
    np.testing.assert_allclose(again.predict(X), plain.predict(X), atol=1e-4)


def test_pickle_and_deepcopy(survey, make_model):
    """Copies predict the same."""
    X, y = survey
    model = make_model(fine_tune=1).fit(X, y)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    assert clone(model).get_params()["images__columns"] == SETTINGS["images"]


@pytest.mark.filterwarnings("ignore:Without training data")
@pytest.mark.parametrize("fine_tune", [False, 1])
def test_saved_model_contains_the_encoder(survey, make_model, fine_tune, tmp_path):
    """Predictions need neither the file of weights nor the cache."""
    X, y = survey
    model = make_model(fine_tune=fine_tune).fit(X, y)
    model.save(tmp_path / "model")
    again = SpTGNNRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    if fine_tune:
        with pytest.raises(
            ValueError, match="training_data=False is not supported with fine-tuned"
        ):
            model.save(tmp_path / "shared", training_data=False)
        return
    model.save(tmp_path / "shared", training_data=False, coordinate_grid=100.0)
    shared = SpTGNNRegressor.load(tmp_path / "shared")
    assert shared.images.cache_dir is None
    assert shared.embedder_.directory is None
    assert np.isfinite(shared.predict(X)).all()


def test_grid_search_encodes_each_chip_once(survey, make_model, encoded):
    """Folds and candidates share the cache; one of the N rows has no image."""
    X, y = survey
    search = GridSearchCV(make_model(), {"n_neighbors": [3, 4]}, cv=3).fit(X, y)
    assert sum(encoded) == N - 1
    search.predict(X)
    assert sum(encoded) == N - 1


def test_cache_dir_false_writes_nothing(survey, make_model, tmp_path, encoded, monkeypatch):
    """No file is written, also not in the user's folder."""
    X, y = survey
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "home"))
    make_model(cache_dir=False).fit(X, y)
    make_model(cache_dir=False).fit(X, y)
    assert sum(encoded) == 2 * (N - 1)
    assert not (tmp_path / "home").exists()
    make_model(cache_dir=None).fit(X, y)
    assert list((tmp_path / "home").rglob("*.sqlite3"))


@pytest.mark.parametrize(
    "changed", [{"augment": False}, {"images__learning_rate": 1e-5}, {"layer_decay": 0.5}]
)
def test_each_fine_tuning_option_has_an_effect(survey, make_model, changed):
    """Each option changes the fine-tuned weights."""
    X, y = survey
    settings = {"fine_tune": 2, "max_epochs": 1}
    first, second = (
        make_model(**settings, **more).fit(X, y).ensemble_.network.image_encoders.state_dict()
        for more in ({}, changed)
    )
    name = next(name for name in first if name.startswith("tail.0.") and "fc1.weight" in name)
    assert not torch.equal(first[name], second[name])


@pytest.mark.parametrize("spectral", [None, "embeddings", "covariates", ["clay"]])
def test_spectral_similarity_sources(survey, make_model, spectral):
    """Embeddings are the default with images."""
    X, y = survey
    model = make_model(spectral=spectral).fit(X, y)
    distance, index = model.kneighbors(relation="spectral")
    features = model.ensemble_.features
    if spectral in (None, "embeddings"):
        embedding = model._parse(X)[1].embedding
        known = ~np.isnan(embedding).any(axis=1)
        assert known.sum() == N - 1
        assert (index[5] == -1).all()
        assert not (index == 5).any()
        nearest = [
            np.argsort(np.where(known, gaps, np.inf))[1] for gaps in _gaps(features, model, X)
        ]
        np.testing.assert_array_equal(index[known, 0], np.array(nearest)[known])
        assert np.isfinite(distance[known]).all()
    else:
        assert features.image_axes is None
        assert (index >= 0).all()


def _gaps(features, model, X):
    space = features.image_space(model._parse(X)[1])
    return np.linalg.norm(space[:, None] - space[None], axis=-1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(b"II*\0 not a raster"), "Row 7, column 'dem'"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "Row 7, column 'dem'"),
        (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
        (lambda path: np.save(path, np.full((16, 16), np.nan)), "has no data"),
        (lambda path: np.save(path, np.zeros((2, 16, 16))), "has 2 bands where DEM has 1"),
        (lambda path: np.save(path, np.zeros((5, 16))), "is 5 x 16 pixels"),
        pytest.param(lambda path: path.chmod(0), "Permission denied", marks=requires_permissions),
    ],
)
def test_unusable_chips(survey, make_model, damage, message):
    """An error with row, column and file, or a warning and a missing image."""
    X, y = survey
    strict = make_model().fit(X, y)
    lenient = make_model(on_error="ignore").fit(X, y)
    path = Path(X["dem"][7])
    damage(path)
    with pytest.raises(ValueError, match="Row 7, column 'dem'") as error:
        strict.predict(X)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    with pytest.warns(UserWarning, match="1 "):
        result = lenient.predict(X)
    absent = X.copy()
    absent.loc[7, "dem"] = None
    np.testing.assert_allclose(result, lenient.predict(absent), atol=1e-6)
    with pytest.raises(ValueError, match="Row 7, column 'dem'"):
        make_model().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"images": None, "spectral": "indices"}, "spectral='indices' needs images"),
        ({"fine_tune": 3, "streams": ("covariates",)}, "fine_tune=3 needs the stream 'imagery'"),
        ({"fine_tune": 99}, "fine_tune=99 must be True, False or .* from 1 to 12"),
        ({"images": {"DEM": "nowhere"}}, r"images\['DEM'\]='nowhere' is not a column of X"),
        ({"images": {"DEM": "clay"}}, "Column 'clay' has no usable image of DEM"),
        ({"images": {"DEM": "dem", "S1GRD": "dem"}}, "the column 'dem' for more than one"),
        ({"images": {}}, "must be a mapping of modality to column"),
        ({"chip_size": 20}, "chip_size=20"),
        ({"encoder": "resnet50"}, "encoder='resnet50' is unknown"),
        ({"time": "dem"}, r"'dem' .*(time|images)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Column .* holds paths")
def test_invalid_parameters_raise(survey, make_model, parameters, message):
    """Invalid parameters are named before training."""
    X, y = survey
    if parameters.get("images", SETTINGS["images"]) is None:
        X = X.drop(columns=["dem", "layers"])
    with pytest.raises(ValueError, match=message):
        make_model(**parameters).fit(X, y)


def test_baseline_ignores_images(survey):
    """The baseline reads the same table without the images."""
    X, y = survey
    model = XGBoostBaseline(images=SETTINGS["images"], n_estimators=5, random_state=0).fit(X, y)
    plain = XGBoostBaseline(n_estimators=5, random_state=0).fit(X[["x", "y", "clay"]], y)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X[["x", "y", "clay"]]))


def test_two_processes_share_the_cache(survey, make_model, tmp_path):
    """Simultaneous fits store each embedding once."""
    X, y = survey
    Parallel(n_jobs=2)(delayed(make_model().fit)(X, y) for _ in range(2))
    rows = []
    for path in (tmp_path / "cache").rglob("*.sqlite3"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows += database.execute("SELECT count(*) FROM embeddings").fetchone()
    assert sum(rows) == N - 1
