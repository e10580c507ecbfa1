"""Kill -9 at random moments: the next run finishes with the result of an unbroken one."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_models import make_regressor
from small_rasters import CRS, HEIGHT, WIDTH, Counting, write_raster

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.encoders.embedding import ChipLoader
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.table.image_columns import ImageColumn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning"),
]
KILLS = 20
SURVEY = make_soil_survey(n_samples=80, random_state=0)


def train(folder):
    """A fit of some seconds that keeps its state; its predictions."""
    settings = {"n_estimators": 2, "hidden_size": 16, "n_neighbors": 4, "max_epochs": 60}
    model = make_regressor(
        **settings, base_estimator=None, random_state=0, checkpoint_dir=folder / "states"
    )
    predicted = model.fit(SURVEY.data, SURVEY.target).predict(SURVEY.data)
    assert not list((folder / "states").glob("*.safetensors"))
    return predicted


class Mean:
    """An encoder that takes its time."""

    fingerprint, width = "mean", 2

    def __call__(self, chips):
        time.sleep(0.004)
        values = chips["DEM"]
        return np.stack([values.mean(axis=(1, 2, 3)), values.std(axis=(1, 2, 3))], axis=1)


def embed(folder):
    """Embeddings of some hundred chips, kept on disk as they are made."""
    paths = [str(folder.parent / "chips" / f"{i}.npy") for i in range(900)]
    images = {"DEM": np.array(paths, dtype=object)}
    columns = {"DEM": ImageColumn("dem")}
    imagery = ChipLoader.fit(images, columns, chip_size=None, on_error="raise")
    store = EmbeddingCache(folder / "store", imagery.namespace(Mean()), Mean.width)
    return imagery.embed(images, Mean(), store, workers=1, batch_size=4)[0]


class Slow(Counting):
    """A regressor that takes its time."""

    def predict(self, X):
        time.sleep(0.08)
        return super().predict(X)


def draw(folder):
    """A map of twelve blocks, each of which is kept."""
    rasters = {name: folder.parent / f"{name}.tif" for name in "ab"}
    model = Slow().fit(pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]}))
    predict_map(model, rasters, path=folder / "map.tif", block_size=16, crs=CRS, verbose=0)
    content = (folder / "map.tif").read_bytes()
    (folder / "map.tif").unlink()
    return np.frombuffer(content, np.uint8)


def write_inputs(folder):
    """Chips and rasters that the work reads."""
    (folder / "chips").mkdir()
    for i in range(900):
        np.save(folder / "chips" / f"{i}.npy", np.full((16, 16), float(i), dtype=np.float32))
    bands = np.random.default_rng(0).normal(size=(2, HEIGHT, WIDTH)).astype("float32")
    for name, values in zip("ab", bands, strict=True):
        write_raster(folder / f"{name}.tif", values)


def start(work, folder):
    """Do the work in a process of its own that writes its result when it is done."""

    def run():
        found = work(folder)
        np.save(folder / "part.npy", found)
        os.replace(folder / "part.npy", folder / "result.npy")

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def result(folder: Path):
    found = np.load(folder / "result.npy")
    (folder / "result.npy").unlink()
    return found


@pytest.mark.parametrize("work", [train, embed, draw], ids=lambda work: work.__name__)
def test_killed_work_ends_as_if_it_had_not_been(work, tmp_path):
    """Twenty kills at random moments, on the way to as many results as that takes."""
    write_inputs(tmp_path)
    (tmp_path / "unbroken").mkdir()
    begun = time.monotonic()
    start(work, tmp_path / "unbroken").join()
    whole = time.monotonic() - begun
    expected = result(tmp_path / "unbroken")
    rng, kills, round_ = np.random.default_rng(0), 0, 0
    while kills < KILLS:
        folder = tmp_path / str(round_)
        folder.mkdir(exist_ok=True)
        process = start(work, folder)
        process.join(rng.uniform(0, 0.6 * whole))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        if process.exitcode == 0:
            np.testing.assert_array_equal(result(folder), expected)
            round_ += 1
    start(work, folder).join()
    np.testing.assert_array_equal(result(folder), expected)
