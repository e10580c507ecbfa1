"""The estimator with images: real TerraMind on small chips, frozen and tuned."""

import copy
import os
import pickle
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

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.encoders.terramind import FrozenEncoder, split_stages
from sptgnn_sklearn.table.image_columns import ImageColumn
from sptgnn_sklearn.uncertainty.blending import Blend

pytestmark = pytest.mark.filterwarnings("ignore:encoder_weights=None")
N = 48
QUICK = {
    "images": {
        "DEM": "dem",
        "layers": ImageColumn("layers", mean=(670.0,) * 3, std=(300.0,) * 3),
    },
    "encoder_weights": None,
    "base": None,
    "n_members": 2,
    "max_epochs": 2,
    "n_neighbors": 4,
    "hidden_size": 16,
    "random_state": 0,
}
needs_rights = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="this user may read everything"
)


def make_survey(folder, n=N, seed=0):
    """A table whose target is in the chips only; some rows lack one image, one lacks both."""
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
def quick(tmp_path):
    def make(**parameters):
        return SpTGNNRegressor(**{**QUICK, "cache_dir": tmp_path / "cache", **parameters})

    return make


@pytest.fixture
def encoded(monkeypatch):
    """Rows that the frozen encoder was given since the start of the test."""
    count = []
    real = FrozenEncoder.__call__

    def counting(self, chips):
        count.append(len(next(iter(chips.values()))))
        return real(self, chips)

    monkeypatch.setattr(FrozenEncoder, "__call__", counting)
    return count


def test_images_are_read_and_matter(survey, quick):
    """What the chips alone tell is learned from frozen embeddings; without them it is not."""
    X, y = survey
    settings = {"max_epochs": 60, "streams": ("imagery", "covariates", "position")}
    model = quick(**settings).fit(X[:36], y[:36])
    assert model.streams_ == ("imagery", "covariates", "position")
    seen = r2_score(y[36:], model.predict(X[36:]))
    unseen = quick(**settings, images=None).fit(X[:36].drop(columns=["dem", "layers"]), y[:36])
    blind = r2_score(y[36:], unseen.predict(X[36:].drop(columns=["dem", "layers"])))
    assert seen > 0.3
    assert seen > blind + 0.3


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_may_lack_images(survey, quick):
    """A row without images is predicted from all else, and one without any column of text too."""
    X, y = survey
    model = quick(fine_tune=1).fit(X, y)
    without = X.assign(dem=None, layers=np.nan)
    assert np.isfinite(model.predict(without)).all()
    assert np.isfinite(model.predict(np.zeros((1, 5)))).all()
    # The members themselves: so few epochs may earn the network no trust, and then all rows are
    # predicted by the mean.
    model.ensemble_.postprocessor = replace(model.ensemble_.postprocessor, blend=Blend(1.0, 1.0))
    assert not np.allclose(model.predict(without), model.predict(X))


@pytest.mark.parametrize("fine_tune", [False, 1])
def test_rows_are_predicted_one_by_one_alike(survey, quick, fine_tune):
    """A prediction depends on its own row and its own chips, not on the batch."""
    X, y = survey
    model = quick(fine_tune=fine_tune).fit(X, y)
    together = model.predict(X)
    alone = np.concatenate([model.predict(X.iloc[[row]]) for row in range(0, N, 5)])
    np.testing.assert_allclose(alone, together[::5], atol=1e-5)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_allclose(model.predict(X.iloc[order]), together[order], atol=1e-5)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_same_seed_same_bits(survey, quick, fine_tune):
    """Two fits agree to the last bit, with rows in another order too; the turns are drawn alike."""
    X, y = survey
    order = np.random.default_rng(1).permutation(N)
    first = quick(fine_tune=fine_tune).fit(X, y)
    second = quick(fine_tune=fine_tune).fit(X.iloc[order], y.iloc[order])
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


def test_tuning_moves_the_last_blocks_only(survey, quick):
    """Frozen stages stay those of the encoder to the last bit; each member moves the others."""
    X, y = survey
    model = quick(fine_tune=2).fit(X, y)
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
    """After each epoch encode all chips anew and compare with the memory bank."""

    def __init__(self):
        self.gaps = []

    def on_epoch_end(self, net, **kwargs):
        graph = net.module_
        bank = graph.get_buffer("stream_imagery")
        rows = np.arange(bank.shape[1])
        with torch.no_grad():
            fresh = graph.ema_network.image_encoders.encode_for_all(
                graph.data.tuned.chips.groups(rows), len(rows)
            )
        self.gaps.append(float((fresh - bank).abs().max()))


def test_memory_bank_is_fresh_after_each_epoch(survey, quick):
    """Neighbours are seen through the encoders as they are."""
    X, y = survey
    compare = CompareBank()
    quick(fine_tune=1, max_epochs=3, early_stopping=False, callbacks=[compare]).fit(X, y)
    assert len(compare.gaps) == 3
    assert max(compare.gaps) < 1e-4


def test_groups_of_members_tune_alike(survey, quick):
    """Members trained in processes of their own are those of the joint pass."""
    X, y = survey
    settings = {"fine_tune": 1, "early_stopping": False}
    joint = quick(**settings).fit(X, y)
    apart = quick(**settings, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(apart.predict(X), joint.predict(X), atol=0.02)


def test_recomputed_activations_change_nothing(survey, quick):
    """Gradient checkpointing trades time for memory and nothing else."""
    X, y = survey
    plain = quick(fine_tune=2).fit(X, y)
    again = quick(fine_tune=2, gradient_checkpointing=True).fit(X, y)
    np.testing.assert_allclose(again.predict(X), plain.predict(X), atol=1e-4)


def test_a_fitted_model_can_be_copied(survey, quick):
    """Pickled and copied models predict the same."""
    X, y = survey
    model = quick(fine_tune=1).fit(X, y)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert clone(model).get_params()["images"] == QUICK["images"]


@pytest.mark.parametrize("fine_tune", [False, 1])
def test_a_saved_model_has_its_encoder_with_it(survey, quick, fine_tune, tmp_path):
    """Chips are read and encoded as before, without the file of weights and without a cache."""
    X, y = survey
    model = quick(fine_tune=fine_tune).fit(X, y)
    model.save(tmp_path / "model")
    again = SpTGNNRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    model.save(tmp_path / "shared", training_data=False, coordinate_grid=100.0)
    shared = SpTGNNRegressor.load(tmp_path / "shared")
    assert shared.cache_dir is None
    assert shared.embedder_.directory is None
    assert np.isfinite(shared.predict(X)).all()


def test_a_search_encodes_each_chip_once(survey, quick, encoded):
    """Folds and candidates share what is kept on disk; N rows, one of them without images."""
    X, y = survey
    search = GridSearchCV(quick(), {"n_neighbors": [3, 4]}, cv=3).fit(X, y)
    assert sum(encoded) == N - 1
    search.predict(X)
    assert sum(encoded) == N - 1


def test_without_a_cache_nothing_is_kept(survey, quick, tmp_path, encoded, monkeypatch):
    """cache_dir=False writes no file, there or in the user's folder."""
    X, y = survey
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "home"))
    quick(cache_dir=False).fit(X, y)
    quick(cache_dir=False).fit(X, y)
    assert sum(encoded) == 2 * (N - 1)
    assert not (tmp_path / "home").exists()
    quick(cache_dir=None).fit(X, y)
    assert list((tmp_path / "home").rglob("*.safetensors"))


@pytest.mark.parametrize(
    "changed", [{"augment": False}, {"encoder_learning_rate": 1e-5}, {"layer_decay": 0.5}]
)
def test_settings_of_tuning_do_something(survey, quick, changed):
    """Each changes what the encoders become."""
    X, y = survey
    settings = {"fine_tune": 2, "max_epochs": 1}
    first, second = (
        quick(**settings, **more).fit(X, y).ensemble_.network.image_encoders.state_dict()
        for more in ({}, changed)
    )
    name = next(name for name in first if name.startswith("tail.0.") and "fc1.weight" in name)
    assert not torch.equal(first[name], second[name])


@pytest.mark.parametrize("spectral", [None, "embeddings", "covariates", ["clay"]])
def test_what_spectral_similarity_looks_at(survey, quick, spectral):
    """Embeddings where there are images, unless something else is asked for."""
    X, y = survey
    model = quick(spectral=spectral).fit(X, y)
    distance, index = model.kneighbors(relation="spectral")
    features = model.ensemble_.features
    if spectral in (None, "embeddings"):
        embedding = model._table(X).embedding
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
    space = features.image_space(model._table(X))
    return np.linalg.norm(space[:, None] - space[None], axis=-1)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(b"II*\0 not a raster"), "Row 7, column 'dem'"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "Row 7, column 'dem'"),
        (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
        (lambda path: np.save(path, np.full((16, 16), np.nan)), "holds no data"),
        (lambda path: np.save(path, np.zeros((2, 16, 16))), "has 2 bands where DEM has 1"),
        (lambda path: np.save(path, np.zeros((5, 16))), "is 5 x 16 pixels"),
        pytest.param(lambda path: path.chmod(0), "Permission denied", marks=needs_rights),
    ],
)
def test_chips_that_cannot_be_used(survey, quick, break_it, message):
    """An error with row, column and file, or a warning and the row as if it lacked that image."""
    X, y = survey
    strict = quick().fit(X, y)
    lenient = quick(on_image_error="ignore").fit(X, y)
    path = Path(X["dem"][7])
    break_it(path)
    with pytest.raises(ValueError, match="Row 7, column 'dem'") as error:
        strict.predict(X)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    with pytest.warns(UserWarning, match="1 "):
        found = lenient.predict(X)
    absent = X.copy()
    absent.loc[7, "dem"] = None
    np.testing.assert_allclose(found, lenient.predict(absent), atol=1e-6)
    with pytest.raises(ValueError, match="Row 7, column 'dem'"):
        quick().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"images": None, "fine_tune": True}, "fine_tune needs images"),
        ({"images": None, "spectral": "indices"}, "spectral='indices' needs images"),
        ({"fine_tune": 3, "streams": ("covariates",)}, "fine_tune=3 needs the stream 'imagery'"),
        ({"fine_tune": 99}, "fine_tune=99 must be True, False or .* from 1 to 12"),
        ({"images": {"DEM": "nowhere"}}, r"images\['DEM'\]='nowhere' names a column that X does"),
        ({"images": {"DEM": "clay"}}, "Column 'clay' has no usable image of DEM"),
        ({"images": {"DEM": "dem", "S1GRD": "dem"}}, "the column 'dem' for more than one"),
        ({"images": {}}, "must be a mapping of modality to column"),
        ({"chip_size": 20}, "chip_size=20"),
        ({"encoder": "resnet50"}, "encoder='resnet50' is not known"),
        ({"time": "dem"}, r"'dem' .*(time|images)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Column .* holds paths")
def test_parameters_that_do_not_fit(survey, quick, parameters, message):
    """Each is refused by its name before anything is trained."""
    X, y = survey
    if parameters.get("images", QUICK["images"]) is None:
        X = X.drop(columns=["dem", "layers"])
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(X, y)


def test_the_baseline_leaves_images_out(survey):
    """Trees beside the network read the same table."""
    X, y = survey
    model = XGBoostBaseline(images=QUICK["images"], n_estimators=5, random_state=0).fit(X, y)
    plain = XGBoostBaseline(n_estimators=5, random_state=0).fit(X[["x", "y", "clay"]], y)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X[["x", "y", "clay"]]))


def test_two_processes_share_the_work(survey, quick, tmp_path):
    """Fits in workers at the same time leave each embedding in the cache once."""
    from safetensors.numpy import load_file

    X, y = survey
    Parallel(n_jobs=2)(delayed(quick().fit)(X, y) for _ in range(2))
    shards = list((tmp_path / "cache").rglob("*.safetensors"))
    rows = [len(next(iter(load_file(shard).values()))) for shard in shards]
    assert sum(rows) == N - 1
