"""Tests of cross-validation and member groups on a dask cluster."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_validate
from small_models import make_regressor

from sptgnn_sklearn.datasets import make_soil_survey

CV = KFold(4)


@pytest.fixture(scope="module")
def survey():
    made = make_soil_survey(80, random_state=0)
    return made.data, made.target


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


def model(**changes):
    """Return a small ensemble."""
    settings = {"n_estimators": 2, "max_epochs": 2, "base_estimator": None, "random_state": 0}
    return make_regressor(time="date", elevation="elevation", **{**settings, **changes})


class RecordProcess(RegressorMixin, BaseEstimator):
    """Fast regressor that records the process in which it is fitted."""

    def __init__(self, folder=None):
        self.folder = folder

    def fit(self, X, y):
        (self.folder / str(os.getpid())).touch()
        self.model_ = Ridge().fit(X[["lon", "lat"]], y)
        return self

    def predict(self, X):
        return self.model_.predict(X[["lon", "lat"]])


@contextmanager
def losing_a_worker(client):
    """Kill a worker as soon as it has a task."""
    client.wait_for_workers(2, timeout=120)
    pids = client.run(os.getpid)
    killed, over = [], threading.Event()

    def kill():
        while not over.is_set() and not killed:
            for worker, tasks in client.processing().items():
                if tasks and not killed:
                    os.kill(pids[worker], signal.SIGKILL)
                    killed.append(pids[worker])
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()
    assert killed, "no worker was killed"
    assert not set(killed) & set(client.run(os.getpid).values())


def test_fits_run_in_worker_processes(survey, cluster, tmp_path):
    """Scores equal those of a single process."""
    X, y = survey
    expected = cross_validate(Ridge(), X[["lon", "lat"]], y, cv=CV)["test_score"]
    with joblib.parallel_config("dask"):
        result = cross_validate(RecordProcess(tmp_path), X, y, cv=CV, n_jobs=-1)["test_score"]
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    fitted = {int(path.name) for path in tmp_path.iterdir()}
    assert fitted <= set(cluster.run(os.getpid).values())


@pytest.mark.slow
def test_folds_and_member_groups_on_a_cluster(survey, cluster):
    """Predictions equal those of a single process."""
    X, y = survey
    local = cross_val_predict(model(), X, y, cv=CV)
    one_pass = model().fit(X, y).predict(X)
    with joblib.parallel_config("dask", scatter=[X, y]):
        np.testing.assert_allclose(
            cross_val_predict(model(), X, y, cv=CV, n_jobs=-1), local, rtol=1e-6
        )
        np.testing.assert_allclose(
            model(n_member_groups=2, n_jobs=2).fit(X, y).predict(X), one_pass, rtol=1e-6
        )
        # Both at once: a task that waits for its subtasks frees its worker.
        np.testing.assert_allclose(
            cross_val_predict(model(n_member_groups=2, n_jobs=2), X, y, cv=CV, n_jobs=-1),
            local,
            rtol=1e-6,
        )


@pytest.mark.slow
def test_grid_search_on_a_cluster(survey, cluster):
    """The same choice, scores and refitted model."""
    X, y = survey
    grid = {"n_neighbors": [3, 8]}
    local = GridSearchCV(model(), grid, cv=CV).fit(X, y)
    with joblib.parallel_config("dask", scatter=[X, y]):
        far = GridSearchCV(model(), grid, cv=CV, n_jobs=-1).fit(X, y)
    assert far.best_params_ == local.best_params_
    np.testing.assert_allclose(
        far.cv_results_["mean_test_score"], local.cv_results_["mean_test_score"], rtol=1e-6
    )
    np.testing.assert_allclose(far.predict(X), local.predict(X), rtol=1e-6)


@pytest.mark.slow
def test_lost_worker_in_cross_validation(survey, cluster):
    """Folds are refitted by other workers with the same predictions."""
    X, y = survey
    expected = cross_val_predict(model(max_epochs=20), X, y, cv=CV)
    with losing_a_worker(cluster), joblib.parallel_config("dask", scatter=[X, y]):
        result = cross_val_predict(model(max_epochs=20), X, y, cv=CV, n_jobs=-1)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.slow
def test_lost_worker_in_member_groups(survey, cluster):
    """Members are trained again by another worker with the same result."""
    X, y = survey
    expected = model(max_epochs=20).fit(X, y).predict(X)
    with losing_a_worker(cluster), joblib.parallel_config("dask"):
        result = model(max_epochs=20, n_member_groups=2, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(result.predict(X), expected, rtol=1e-6)
