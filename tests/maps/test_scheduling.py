"""Blocks on dask: lazy maps, and clusters of processes that lose a worker."""

import os
import signal
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from map_models import SETTINGS as NETWORK_SETTINGS
from map_models import fit_counting, make_network, with_land_use_codes
from small_rasters import (
    CRS,
    DATE,
    HEIGHT,
    WIDTH,
    CountingRegressor,
    as_dataset,
    bands_of,
    cell_table,
    survey,
    write_raster,
)

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps.scheduling import active_client

SETTINGS = {"crs": CRS, "verbose": 0}


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, HEIGHT, WIDTH))
    a[:16, :16] = np.nan
    return as_dataset({"a": a, "b": b})


@pytest.fixture
def counting(columns):
    return fit_counting(columns)


def test_dask_arrays_give_lazy_maps(source, counting):
    """Nothing is predicted before the map is computed, and the map is that of numpy arrays."""
    eager = predict_map(counting, source, **SETTINGS)["mean"]
    counting.calls = 0
    lazy = predict_map(counting, source.chunk({"y": 16, "x": 20}), **SETTINGS)["mean"]
    assert counting.calls == 0
    assert lazy.chunks == ((16, 16, 8), (20, 20, 16))
    assert lazy.rio.crs == CRS
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), eager)
    assert counting.calls == 9


def test_part_of_a_lazy_map_needs_its_blocks_only(source, counting):
    """Five by five cells of the first chunk need one prediction."""
    lazy = predict_map(counting, source.chunk({"y": 16, "x": 20}), **SETTINGS)["mean"]
    lazy[:5, :5].compute(scheduler="synchronous")
    assert counting.calls == 1


def test_variables_may_have_other_chunks_or_none(source, counting):
    """Chunks are unified, and numpy arrays are split by them."""
    eager = predict_map(counting, source, **SETTINGS)["mean"]
    mixed = source.assign(a=source["a"].chunk({"y": 16, "x": -1}))
    np.testing.assert_array_equal(predict_map(counting, mixed, **SETTINGS)["mean"], eager)
    both = mixed.assign(b=source["b"].chunk({"y": 9, "x": 13}))
    np.testing.assert_array_equal(predict_map(counting, both, **SETTINGS)["mean"], eager)


def test_dask_arrays_are_written_block_by_block(source, counting, tmp_path):
    """With a path every chunk is predicted once."""
    eager = predict_map(counting, source, **SETTINGS)["mean"]
    counting.calls = 0
    chunked = source.chunk({"y": 16, "x": 20})
    result = predict_map(counting, chunked, path=tmp_path / "soil.tif", **SETTINGS)["mean"]
    assert counting.calls == 9
    np.testing.assert_array_equal(result, eager)


def test_interrupted_run_of_dask_arrays_resumes(source, counting, tmp_path):
    """Finished blocks are not predicted again."""
    chunked = source.chunk({"y": 16, "x": 20})
    counting.fail_after, counting.error = 4, RuntimeError("power cut")
    with pytest.raises(RuntimeError, match="power cut"):
        predict_map(counting, chunked, path=tmp_path / "soil.tif", **SETTINGS)
    counting.fail_after, counting.calls = None, 0
    predict_map(counting, chunked, path=tmp_path / "soil.tif", **SETTINGS)
    assert counting.calls == 9 - 4


def test_warning_of_many_blocks_is_issued_once():
    """A level that was not in training gives one warning for the map, not one for each block."""
    X, y = survey()
    model = make_network().fit(with_land_use_codes(X), y)
    bands = bands_of(cell_table())
    bands["land_use"] = bands["land_use"].copy()
    bands["land_use"][::7] = 9
    with pytest.warns(UserWarning, match="land_use") as caught:
        predict_map(model, as_dataset(bands), date=DATE, block_size=20, verbose=0)
    assert len(caught) == 1


def test_warning_of_far_rows_is_that_of_the_map(source, columns):
    """Some blocks far from the survey are no news; a map of which most blocks are far is."""

    class Far(CountingRegressor):
        def predict(self, X):
            if X["x"].min() > self.limit_:
                warnings.warn(
                    "Most rows of X are far from all training rows", UserWarning, stacklevel=2
                )
            return super().predict(X)

    model = Far().fit(columns)
    model.limit_ = 520_000  # the last of four columns of blocks
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict_map(model, source, block_size=16, **SETTINGS)
    assert not [item for item in caught if "Most rows" in str(item.message)]
    model.limit_ = 0
    with pytest.warns(UserWarning, match="Most rows of X are far") as caught:
        predict_map(model, source, block_size=16, **SETTINGS)
    assert len(caught) == 1


def test_there_is_no_client_by_default():
    assert active_client() is None


# ------------------------------------------------------------------------- a cluster of processes


class Slow(CountingRegressor):
    """A regressor slow enough for a worker to be killed during prediction."""

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
def test_lost_worker_does_not_change_the_map(source, cluster, tmp_path, kind):
    """The map of a cluster that loses a worker equals that of one process."""
    columns = pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]})
    model = Slow().fit(columns)
    expected = predict_map(CountingRegressor().fit(columns), source, **SETTINGS)["mean"].to_numpy()
    if kind == "dask":
        covariates = source.chunk({"y": 8, "x": 14})
    else:
        covariates = {
            name: write_raster(tmp_path / f"{name}.tif", source[name].to_numpy()) for name in "ab"
        }
    path, killed = tmp_path / "soil.tif", []
    killer = threading.Thread(
        target=_kill_one, args=(cluster, path.with_name("soil.tif.parts"), killed)
    )
    killer.start()
    result = predict_map(model, covariates, path=path, block_size=16, **SETTINGS)["mean"]
    killer.join()
    assert killed, "no worker was killed"
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.slow
def test_network_on_a_cluster(cluster, tmp_path):
    """Maps of separate processes equal the local one, lazily and in a file."""
    X, y = survey()
    model = make_network().fit(X, y)
    source = as_dataset(bands_of(cell_table()))
    local = predict_map(model, source, **NETWORK_SETTINGS)
    chunked = source.chunk({"y": 20, "x": 28})
    lazy = predict_map(model, chunked, **NETWORK_SETTINGS).compute()
    written = predict_map(model, chunked, path=tmp_path / "soil.tif", **NETWORK_SETTINGS)
    for name in ("mean", "std"):
        np.testing.assert_allclose(lazy[name], local[name], rtol=1e-6)
        np.testing.assert_allclose(written[name], local[name], rtol=1e-6)
