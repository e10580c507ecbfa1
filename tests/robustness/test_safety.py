"""Tests of threads, processes, global state and network access."""

import gc
import logging
import os
import random
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn import get_config
from small_models import make_regressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

SURVEY = make_soil_survey(n_samples=80, random_state=0)
X, Y = SURVEY.data, SURVEY.target
# Folders of this module and of the helpers, for scripts.
FOLDERS = [str(path) for path in Path(__file__).resolve().parents[:2]]
SMALL = {"n_estimators": 2, "hidden_size": 8, "n_neighbors": 4, "max_epochs": 2, "random_state": 0}
SMALLEST = SMALL | {
    "n_estimators": 1,
    "hidden_size": 4,
    "n_heads": 1,
    "n_experts": 0,
    "max_epochs": 1,
}


def make(**settings):
    return make_regressor(time="date", elevation="elevation", **SMALL | settings)


def fit_and_predict(seed):
    return make(base_estimator=None, random_state=seed).fit(X, Y).predict(X)


@pytest.fixture(scope="module")
def model():
    return make().fit(X, Y)


def predict_in_threads(model, times):
    """Return predictions of eight threads, for parts of the table, repeated."""
    parts = [X.iloc[i::8] for i in range(8)]

    def work(part):
        results = [model.predict(part) for _ in range(times)]
        assert all(np.array_equal(one, results[0]) for one in results)
        return results[0]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, parts)), [model.predict(part) for part in parts]


def assert_equal_lists(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_predict_from_many_threads(model):
    """One fitted estimator in eight threads gives identical bits."""
    assert_equal_lists(*predict_in_threads(model, 4))


@pytest.mark.slow
def test_predict_from_many_threads_for_long(model):
    """Eight threads with a thousand predictions each."""
    assert_equal_lists(*predict_in_threads(model, 1000))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_parallel_fits_equal_sequential_fits(backend):
    """Fits in joblib workers equal those of a loop."""
    alone = [fit_and_predict(seed) for seed in (1, 2, 3)]
    beside = Parallel(2, backend=backend)(delayed(fit_and_predict)(seed) for seed in (1, 2, 3))
    assert_equal_lists(alone, beside)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork is not available")
def test_fit_and_predict_after_fork(tmp_path):
    """A forked child of a multi-threaded process fits and predicts."""
    program = """
        import multiprocessing, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, at its call
        import numpy as np, torch
        sys.path[:0] = {folders!r}
        from test_safety import X, Y, make
        torch.set_num_threads(2)
        model = make(n_jobs=1).fit(X, Y)
        def child():
            again = make(n_jobs=1).fit(X, Y)
            same = np.array_equal(again.predict(X), expected)
            sys.exit(0 if same and np.array_equal(model.predict(X), expected) else 3)
        expected = model.predict(X)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(100)
        sys.exit(process.exitcode if process.exitcode is not None else 9)
    """
    program = textwrap.dedent(program).format(folders=FOLDERS)
    assert subprocess.run([sys.executable, "-c", program], timeout=150).returncode == 0


def settings_of_the_process():
    """Return the global state of the process in a comparable form."""
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch draws": torch.get_rng_state().numpy().tobytes(),
        "numpy draws": str(np.random.get_state()),  # noqa: NPY002
        "draws": random.getstate(),
        "precision": torch.get_float32_matmul_precision(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradient": torch.is_grad_enabled(),
        "errors": np.geterr(),
        "scikit-learn": get_config(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "filters": list(warnings.filters),
        "log": (logging.root.level, list(logging.root.handlers)),
    }


def test_global_state_is_unchanged(tmp_path):
    """Fit, predict, save and load do not change global state."""
    make(base_estimator=None).fit(X, Y)  # imports and first calls are over
    before = settings_of_the_process()
    one = make().fit(X, Y)
    one.predict_uncertainty(X, coverage=0.9)
    one.sample_y(X, 2, random_state=0)
    one.save(tmp_path / "m")
    SpTGNNRegressor.load(tmp_path / "m").predict(X)
    after = settings_of_the_process()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed


def test_no_network_access(tmp_path):
    """Everything but the download of pretrained weights works without sockets."""
    program = """
        import socket, sys
        def raise_error(*args, **kwargs):
            raise AssertionError(f"network access: {{args}}")
        for name in ("connect", "connect_ex", "sendto"):
            setattr(socket.socket, name, raise_error)
        socket.getaddrinfo = socket.create_connection = raise_error
        sys.path[:0] = {folders!r}
        import warnings
        warnings.simplefilter("ignore")
        from test_safety import X, Y, make
        from small_encoder import write_chips
        from pathlib import Path
        from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor
        from sptgnn_sklearn.metrics import residual_morans_i
        from sptgnn_sklearn.model_selection import SpatialBlockKFold
        folder = Path({out!r})
        model = make().fit(X, Y)
        model.save(folder / "m")
        SpTGNNRegressor.load(folder / "m").predict_interval(X)
        chips = X.assign(dem=write_chips(folder, len(X)))
        frozen = make(images={{"DEM": "dem"}}, weights=None, cache_dir=folder / "cache")
        frozen.fit(chips, Y).predict(chips)
        list(SpatialBlockKFold(3).split(X))
    """
    program = textwrap.dedent(program).format(folders=FOLDERS, out=str(tmp_path))
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]


def resident_mib():
    """Return the resident memory of this process in MiB; None if unavailable."""
    path = Path("/proc/self/statm")
    if not path.is_file():
        return None
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(resident_mib() is None, reason="the kernel does not tell the memory")
def test_memory_does_not_grow():
    """Memory is stable over two thousand fits and predictions."""
    few, y = X.head(20), Y[:20]
    level = None
    for cycle in range(2000):
        make_regressor(base_estimator=None, **SMALLEST).fit(few, y).predict(few)
        if cycle == 200:
            gc.collect()
            level = resident_mib()
    gc.collect()
    assert resident_mib() - level < 20
