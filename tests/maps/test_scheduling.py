"""Maps on dask: lazy, and on a cluster of processes that loses a worker."""

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from small_rasters import (
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
)

from sptgnn_sklearn import SpTGNNRegressor, predict_map

SETTINGS = {"crs": CRS, "verbose": 0}


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, HEIGHT, WIDTH))
    a[:16, :16] = np.nan
    return as_dataset({"a": a, "b": b})


@pytest.fixture
def counting():
    return Counting().fit(pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]}))


def test_dask_in_dask_out(source, counting):
    """Nothing is computed before it is asked for, and then it is the same map."""
    eager = predict_map(counting, source, **SETTINGS)["mean"]
    counting.calls = 0
    lazy = predict_map(counting, source.chunk({"y": 16, "x": 20}), **SETTINGS)["mean"]
    assert counting.calls == 0
    assert lazy.chunks == ((16, 16, 8), (20, 20, 16))
    assert lazy.rio.crs == CRS
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), eager)
    assert counting.calls == 9


def test_a_part_of_a_lazy_map_costs_a_part(source, counting):
    """Only the blocks that are looked at are predicted."""
    lazy = predict_map(counting, source.chunk({"y": 16, "x": 20}), **SETTINGS)["mean"]
    lazy[:5, :5].compute(scheduler="synchronous")
    assert counting.calls == 1


def test_variables_of_other_chunks_and_of_none(source, counting):
    """Chunks that differ are brought together, and arrays of numpy are cut to fit."""
    eager = predict_map(counting, source, **SETTINGS)["mean"]
    mixed = source.assign(a=source["a"].chunk({"y": 16, "x": -1}))
    np.testing.assert_array_equal(predict_map(counting, mixed, **SETTINGS)["mean"], eager)
    both = mixed.assign(b=source["b"].chunk({"y": 9, "x": 13}))
    np.testing.assert_array_equal(predict_map(counting, both, **SETTINGS)["mean"], eager)


def test_lazy_source_to_a_file(source, counting, tmp_path):
    """With a path the chunks are computed and written one by one."""
    eager = predict_map(counting, source, **SETTINGS)["mean"]
    counting.calls = 0
    chunked = source.chunk({"y": 16, "x": 20})
    found = predict_map(counting, chunked, path=tmp_path / "soil.tif", **SETTINGS)["mean"]
    assert counting.calls == 9
    np.testing.assert_array_equal(found, eager)


def test_stopped_run_of_a_lazy_source_goes_on(source, counting, tmp_path):
    """Blocks that are finished are not computed again."""
    chunked = source.chunk({"y": 16, "x": 20})
    counting.fail_after, counting.error = 4, RuntimeError("power cut")
    with pytest.raises(RuntimeError, match="power cut"):
        predict_map(counting, chunked, path=tmp_path / "soil.tif", **SETTINGS)
    counting.fail_after, counting.calls = None, 0
    predict_map(counting, chunked, path=tmp_path / "soil.tif", **SETTINGS)
    assert counting.calls == 9 - 4 + 4  # four are probed


# ------------------------------------------------------------------------- a cluster of processes


class Slow(Counting):
    """Leaves time to kill a worker."""

    def predict(self, X):
        time.sleep(0.3)
        return super().predict(X)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


def _kill_one(client, folder, killed):
    """Kill a worker as soon as two blocks are finished."""
    pids = list(client.run(os.getpid).values())
    deadline = time.monotonic() + 120
    while len(list(folder.glob("r*.tif"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(pids[0], signal.SIGKILL)
    killed.append(pids[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dask", "files"])
def test_lost_worker_changes_nothing(source, cluster, tmp_path, kind):
    """A worker killed on the way: the map is that of one process."""
    columns = pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]})
    model = Slow().fit(columns)
    expected = predict_map(Counting().fit(columns), source, **SETTINGS)["mean"].to_numpy()
    if kind == "dask":
        given = source.chunk({"y": 8, "x": 14})
    else:
        given = {
            name: write_raster(tmp_path / f"{name}.tif", source[name].to_numpy()) for name in "ab"
        }
    path, killed = tmp_path / "soil.tif", []
    killer = threading.Thread(
        target=_kill_one, args=(cluster, path.with_name("soil.tif.parts"), killed)
    )
    killer.start()
    found = predict_map(model, given, path=path, block_size=16, **SETTINGS)["mean"]
    killer.join()
    assert killed, "no worker was killed"
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_network_on_a_cluster(cluster, tmp_path):
    """The network of separate processes says what the local one says, lazily and to a file."""
    X, y = survey()
    model = SpTGNNRegressor(
        n_members=2, max_epochs=2, base=None, random_state=0, time="date", crs=CRS
    ).fit(X, y)
    source = as_dataset(bands_of(cell_table()))
    settings = {"date": DATE, "categories": {"land_use": LAND_USES}, "verbose": 0}
    local = predict_map(model, source, **settings)
    chunked = source.chunk({"y": 20, "x": 28})
    lazy = predict_map(model, chunked, **settings).compute()
    written = predict_map(model, chunked, path=tmp_path / "soil.tif", **settings)
    for name in ("mean", "std"):
        np.testing.assert_allclose(lazy[name], local[name], rtol=1e-6)
        np.testing.assert_allclose(written[name], local[name], rtol=1e-6)
