"""Kill -9 at random moments: the next run finishes with the result of an uninterrupted one."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_rasters import CRS, HEIGHT, WIDTH, CountingRegressor, write_raster

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, predict_map
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.encoders.embedding import ChipLoader
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.table.image_columns import ImageColumn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning"),
]
N_KILLS = 20
SURVEY = make_soil_survey(n_samples=80, random_state=0)


def train(folder):
    """Return predictions of a fit of some seconds with checkpoints."""
    model = SpTGNNRegressor(
        n_neighbors=4,
        base_estimator=None,
        n_estimators=2,
        network=NetworkConfig(hidden_size=16),
        max_epochs=60,
        checkpoint_dir=folder / "states",
        random_state=0,
    )
    predicted = model.fit(SURVEY.data, SURVEY.target).predict(SURVEY.data)
    assert not list((folder / "states").glob("*.safetensors"))
    return predicted


class Mean:
    """A slow encoder: mean and standard deviation of a chip."""

    fingerprint, width = "mean", 2

    def __call__(self, chips):
        time.sleep(0.004)
        values = chips["DEM"]
        return np.stack([values.mean(axis=(1, 2, 3)), values.std(axis=(1, 2, 3))], axis=1)


def embed(folder):
    """Return the embeddings of 900 chips, cached on disk in batches."""
    paths = [str(folder.parent / "chips" / f"{i}.npy") for i in range(900)]
    paths = {"DEM": np.array(paths, dtype=object)}
    loader = ChipLoader.fit(paths, {"DEM": ImageColumn("dem")}, chip_size=None, on_error="raise")
    cache = EmbeddingCache(folder / "cache", loader.namespace(Mean()), Mean.width)
    return loader.embed(paths, Mean(), cache, workers=1, batch_size=4)[0]


class Slow(CountingRegressor):
    """A slow regressor."""

    def predict(self, X):
        time.sleep(0.08)
        return super().predict(X)


def predict(folder):
    """Return the bytes of a map of twelve blocks, each of which is a file."""
    path, rasters = folder / "map.tif", {name: folder.parent / f"{name}.tif" for name in "ab"}
    model = Slow().fit(pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]}))
    if not path.exists():  # it does if the kill came after the last block
        predict_map(model, rasters, path=path, block_size=16, crs=CRS, verbose=0)
    content = path.read_bytes()
    path.unlink()
    return np.frombuffer(content, np.uint8)


def write_inputs(folder):
    """Write the chips and rasters of all kinds of work."""
    (folder / "chips").mkdir()
    for i in range(900):
        np.save(folder / "chips" / f"{i}.npy", np.full((16, 16), float(i), dtype=np.float32))
    bands = np.random.default_rng(0).normal(size=(2, HEIGHT, WIDTH)).astype("float32")
    for name, values in zip("ab", bands, strict=True):
        write_raster(folder / f"{name}.tif", values)


def start(work, folder):
    """Start a process that does the work and writes its result."""

    def run():
        values = work(folder)
        np.save(folder / "part.npy", values)
        os.replace(folder / "part.npy", folder / "result.npy")

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def result(folder: Path):
    values = np.load(folder / "result.npy")
    (folder / "result.npy").unlink()
    return values


@pytest.mark.parametrize("work", [train, embed, predict], ids=lambda work: work.__name__)
def test_killed_work_resumes(work, tmp_path):
    """The result is the same bit for bit after twenty kills at random moments."""
    write_inputs(tmp_path)
    (tmp_path / "whole").mkdir()
    begin = time.monotonic()
    start(work, tmp_path / "whole").join()
    seconds = time.monotonic() - begin
    expected = result(tmp_path / "whole")
    rng, n_kills, n_results = np.random.default_rng(0), 0, 0
    while n_kills < N_KILLS:
        folder = tmp_path / str(n_results)
        folder.mkdir(exist_ok=True)
        process = start(work, folder)
        process.join(rng.uniform(0, 0.6 * seconds))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            n_kills += 1
        process.join()
        if process.exitcode == 0:
            np.testing.assert_array_equal(result(folder), expected)
            n_results += 1
    start(work, folder).join()
    np.testing.assert_array_equal(result(folder), expected)
