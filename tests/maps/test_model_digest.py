"""Digest of fitted estimators: equal for equal models, however they were made."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from map_models import make_network
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from small_rasters import CRS, survey

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.maps.model_digest import estimator_digest

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5]


def make_log_pipe(factor=1.0):
    scale = FunctionTransformer(lambda values: values * factor)
    pipe = make_pipeline(StandardScaler(), scale, LinearRegression())
    return TransformedTargetRegressor(pipe, func=np.sinh, inverse_func=np.arcsinh)


MODELS = {
    "linear": LinearRegression,
    "forest": lambda: RandomForestRegressor(5, random_state=0),
    "neighbors": lambda: KNeighborsRegressor(3),
    "process": GaussianProcessRegressor,
    "search": lambda: GridSearchCV(RandomForestRegressor(3, random_state=0), {"max_depth": [2]}),
    "functions": make_log_pipe,
    "random_state": lambda: RandomForestRegressor(3, random_state=np.random.RandomState(0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_equal_fits_have_equal_digests(name):
    """Timings, predictions and progress settings do not count; the target does."""
    first, second, other = MODELS[name]().fit(X, Y), MODELS[name]().fit(X, Y), MODELS[name]()
    second.predict(X)
    assert estimator_digest(first) == estimator_digest(second)
    y = Y.copy()
    y[0] += 1e-3
    assert estimator_digest(other.fit(X, y)) != estimator_digest(first)


@pytest.mark.parametrize("name", ["linear", "forest", "neighbors", "process", "search"])
def test_pickles_have_the_digest_of_the_original(name):
    model = MODELS[name]().fit(X, Y)
    assert estimator_digest(pickle.loads(pickle.dumps(model))) == estimator_digest(model)


@pytest.mark.slow
def test_digest_is_that_of_another_process():
    """Hash seeds, addresses and import order have no influence."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_model_digest import MODELS, X, Y, estimator_digest\n"
        "print([estimator_digest(make().fit(X, Y)) for make in MODELS.values()])"
    )
    run = [sys.executable, "-c", code, __file__.rpartition("/")[0]]
    paths = [path for path in sys.path if path]
    outputs = {
        subprocess.run(
            run,
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(paths), "OMP_NUM_THREADS": "1"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("base", [None, "xgboost"])
def test_networks_keep_their_digest(base, tmp_path):
    """A network that was fitted again, has predicted, or was saved and loaded is the same model."""
    table, y = survey(60)
    model = make_network(base_estimator=base, max_epochs=1, n_estimators=1).fit(table, y)
    digest = estimator_digest(model)
    model.predict(table)
    model.save(tmp_path / "model")
    again = make_network(
        base_estimator=base, max_epochs=1, n_estimators=1, n_jobs=2, verbose=0
    ).fit(table, y)
    assert estimator_digest(model) == digest
    assert estimator_digest(SpTGNNRegressor.load(tmp_path / "model")) == digest
    assert estimator_digest(again) == digest
    assert estimator_digest(again.set_params(random_state=1).fit(table, y)) != digest
    with_weight = next(model.ensemble_.network.parameters())
    with_weight.data.reshape(-1)[0] += 1e-6
    assert estimator_digest(model) != digest


def test_boosted_trees_keep_their_digest(tmp_path):
    table, y = survey(80)
    one, two = (
        XGBoostBaseline(n_estimators=3, crs=CRS, time="date", random_state=0).fit(table, y)
        for _ in range(2)
    )
    one.predict(table)
    assert estimator_digest(one) == estimator_digest(two)
    two.set_params(n_estimators=4).fit(table, y)
    assert estimator_digest(one) != estimator_digest(two)


class Holder(RegressorMixin, BaseEstimator):
    """An estimator with one fitted attribute of any kind."""

    def __init__(self, state=None):
        self.state_ = state


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        (1.0, np.nextafter(1.0, 2.0)),
        ("1", 1),
        (None, "None"),
        (np.zeros(3), np.zeros((1, 3))),
        (np.zeros(3), np.zeros(3, dtype=np.float32)),
        (np.array(["a", None], dtype=object), np.array(["a", "None"], dtype=object)),
        (["ab", "c"], ["a", "bc"]),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({1, 2}, {1, 3}),
        (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (csr_matrix([[0.0, 1.0]]), csr_matrix([[1.0, 0.0]])),
        (lambda x: x + 1, lambda x: x + 2),
        (np.log, np.exp),
    ],
)
def test_values_of_all_kinds_count(one, other):
    assert estimator_digest(Holder(one)) != estimator_digest(Holder(other))
    assert estimator_digest(Holder(one)) == estimator_digest(Holder(one))


def test_state_that_cannot_be_pickled_counts_by_its_class():
    """Locks, generators and references to the object itself raise no error."""
    import threading

    one, two = (Holder([threading.Lock(), (i for i in "ab")]) for _ in range(2))
    one.itself_, two.itself_ = one, two
    assert estimator_digest(one) == estimator_digest(two)


def test_shared_and_copied_parts_are_equal():
    """Whether two attributes share an array does not change the predictions."""
    shared, copied = Holder(), Holder()
    values = np.arange(3.0)
    shared.state_, copied.state_ = [values, values], [values, values.copy()]
    assert estimator_digest(shared) == estimator_digest(copied)
