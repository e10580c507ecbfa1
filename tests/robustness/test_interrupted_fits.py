"""A fit that fails or is interrupted leaves the estimator as it was, or completely fitted."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from small_encoder import small_stages, write_chips
from small_models import make_regressor

from sptgnn_sklearn import AreaOfApplicability, SpTGNNRegressor, TerraMindEmbedder, XGBoostBaseline

STAGES = {
    "validation": "sptgnn_sklearn.regressor.TableSchema.fit_transform",
    "images": "sptgnn_sklearn.regressor.fit_embedder",
    "features": "sptgnn_sklearn.ensemble.fit.FeatureEncoder.fit",
    "graph": "sptgnn_sklearn.ensemble.fit.KNNGraph",
    "base": "sptgnn_sklearn.ensemble.base_models.fit_base",
    "members": "sptgnn_sklearn.ensemble.fit.concatenate_members",
    "calibration": "sptgnn_sklearn.ensemble.fit.Postprocessor.fit",
    "out of fold": "sptgnn_sklearn.regressor.PredictiveDistribution",
}
ERRORS = [KeyboardInterrupt, MemoryError, ValueError]
N = 60


class Interrupt(Callback):
    """Callback that raises at the end of a batch of an epoch."""

    def __init__(self, epoch, error):
        self.epoch = epoch
        self.error = error

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.epoch + 1:
            raise self.error("stopped")


def small(**changes):
    """An estimator that fits in half a second."""
    parameters = {"hidden_size": 4, "n_heads": 1, "n_experts": 0, "n_neighbors": 3}
    training = {"n_estimators": 2, "max_epochs": 5, "random_state": 0, "base_estimator": Ridge()}
    return make_regressor(**{**parameters, **training, **changes})


def _tables():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(N, 3)), columns=["x", "y", "clay"])
    X["use"] = rng.choice(["field", "forest"], N)
    other = X.assign(use=rng.choice(["a", "b", "c"], N), band=rng.normal(size=N))
    return X, 10 * X["clay"].to_numpy() + rng.normal(size=N), other, 5000 + 100 * rng.normal(size=N)


X, Y, OTHER, OTHER_Y = _tables()


def raiser(error):
    def fail(*args, **kwargs):
        raise error("stopped")

    return fail


def assert_not_fitted(model, tmp_path):
    """No method and no representation of an unfitted model suggests that it is fitted."""
    assert set(vars(model)) == set(model.get_params(deep=False))
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    for call in (lambda: model.predict(X), lambda: model.save(tmp_path / "model.safetensors")):
        with pytest.raises(NotFittedError):
            call()
    html = model._repr_html_()
    assert "Not fitted" in html
    assert not (tmp_path / "model.safetensors").exists()


@pytest.fixture(scope="module")
def pickled():
    return pickle.dumps(small().fit(X, Y))


@pytest.fixture
def fitted(pickled):
    """A fitted estimator of the test's own."""
    return pickle.loads(pickled)


@pytest.mark.parametrize(
    ("stage", "error"),
    [*((stage, KeyboardInterrupt) for stage in STAGES), ("base", MemoryError), ("graph", OSError)],
)
def test_failed_fit_changes_nothing(stage, error, fitted, tmp_path, monkeypatch):
    """A first fit leaves the estimator unfitted, a refit leaves the previous model."""
    before, predictions = dict(vars(fitted)), fitted.predict(X)
    first = small()
    monkeypatch.setattr(STAGES[stage], raiser(error))
    for model in (first, fitted):
        with pytest.raises(error, match="stopped"):
            model.fit(OTHER, OTHER_Y)
    monkeypatch.undo()
    assert_not_fitted(first, tmp_path)
    assert vars(fitted) == before
    np.testing.assert_array_equal(fitted.predict(X), predictions)
    assert fitted.feature_names_in_.tolist() == list(X.columns)
    np.testing.assert_array_equal(first.fit(X, Y).predict(X), predictions)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("epoch", "error"), [(0, KeyboardInterrupt), (0, MemoryError), (3, MemoryError)]
)
def test_failed_training_changes_nothing(groups, epoch, error, fitted, tmp_path):
    """Ctrl-C in the first epoch, or an error in any epoch, in one group of members or in two."""
    before, predictions = dict(vars(fitted)), fitted.predict(X)
    stop = {"callbacks": [Interrupt(epoch, error)], "n_member_groups": groups}
    first = small(**stop)
    with pytest.raises(error):
        first.fit(OTHER, OTHER_Y)
    assert_not_fitted(first, tmp_path)
    fitted.set_params(**stop)
    with pytest.raises(error):
        fitted.fit(OTHER, OTHER_Y)
    assert vars(fitted) == {**before, **stop}
    np.testing.assert_array_equal(fitted.predict(X), predictions)


def test_failed_training_of_parallel_groups_changes_nothing(fitted):
    """An error in a worker of joblib."""
    before, predictions = dict(vars(fitted)), fitted.predict(X)
    stop = {"callbacks": [Interrupt(3, OSError)], "n_member_groups": 2, "n_jobs": 2}
    with parallel_config("threading"), pytest.raises(OSError, match="stopped"):
        fitted.set_params(**stop).fit(OTHER, OTHER_Y)
    assert vars(fitted) == {**before, **stop}
    np.testing.assert_array_equal(fitted.predict(X), predictions)


@pytest.mark.parametrize("groups", [1, 2])
def test_interruption_after_an_epoch_gives_a_complete_model(groups, fitted):
    """All attributes belong to the new data, and the model is calibrated."""
    fitted.set_params(callbacks=[Interrupt(3, KeyboardInterrupt)], n_member_groups=groups)
    with pytest.warns(UserWarning, match="interrupted after 3 of 5 epochs"):
        fitted.fit(OTHER, OTHER_Y)
    assert fitted.feature_names_in_.tolist() == list(OTHER.columns)
    assert len(fitted.history_) in (3 * groups, 4 * groups)
    assert abs(fitted.predict(OTHER).mean() - 5000) < 100
    interval = fitted.predict_interval(OTHER, coverage=0.8)
    assert ((interval[:, 0] < OTHER_Y) & (interval[:, 1] > OTHER_Y)).mean() > 0.6


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("make", "target", "method"),
    [
        (
            lambda: XGBoostBaseline(n_estimators=3),
            "sptgnn_sklearn.baseline.fit_base",
            "predict",
        ),
        (
            AreaOfApplicability,
            "sptgnn_sklearn.applicability.area_of_applicability.held_out_counts",
            "predict",
        ),
    ],
)
def test_failed_fit_of_other_estimators_changes_nothing(make, target, method, error, monkeypatch):
    """The baseline and the area of applicability."""
    numbers, wide = X[["x", "y", "clay"]], X[["x", "y", "clay"]].assign(more=Y[::-1])
    model, first = make().fit(numbers, Y), make()
    before, expected = dict(vars(model)), getattr(model, method)(numbers)
    monkeypatch.setattr(target, raiser(error))
    for estimator in (first, model):
        with pytest.raises(error, match="stopped"):
            estimator.fit(wide, Y)
    with pytest.raises(NotFittedError):
        getattr(first, method)(numbers)
    assert set(vars(first)) == set(first.get_params(deep=False))
    assert vars(model) == before
    np.testing.assert_array_equal(getattr(model, method)(numbers), expected)


def test_failed_fit_of_the_embedder_changes_nothing(tmp_path, monkeypatch):
    """Also scikit-learn's attributes of the columns."""
    target = "sptgnn_sklearn.encoders.terramind.build_encoder"
    monkeypatch.setattr(target, lambda *args: small_stages())
    table = pd.DataFrame({"dem": write_chips(tmp_path, 3), "a": [1.0, 2.0, 3.0]})
    model = TerraMindEmbedder({"DEM": "dem"}, weights=None, cache_dir=False).fit(table)
    first, before, expected = clone(model), dict(vars(model)), model.transform(table)
    monkeypatch.setattr(target, raiser(MemoryError))
    for estimator in (first, model):
        with pytest.raises(MemoryError):
            estimator.fit(table.assign(b=1.0))
    with pytest.raises(NotFittedError):
        first.transform(table)
    assert vars(model) == before
    np.testing.assert_array_equal(model.transform(table), expected)


def test_refused_refit_keeps_the_model(fitted):
    """Invalid input of every kind: the previous model still predicts."""
    expected = fitted.predict(X)
    refused = [
        (X, np.where(np.arange(N) == 3, np.nan, Y)),
        (X, Y[:-1]),
        (X.drop(columns="clay").assign(x=np.inf), Y),
        (X.iloc[:1], Y[:1]),
        (X.to_numpy()[:, :1], Y),
    ]
    for table, y in refused:
        with pytest.raises(ValueError, match=r"\w"):
            fitted.fit(table, y)
        np.testing.assert_array_equal(fitted.predict(X), expected)
    with pytest.raises(ValueError, match="max_epochs"):
        clone(fitted).set_params(max_epochs=0).fit(X, Y)
    assert isinstance(fitted.fit(OTHER, OTHER_Y), SpTGNNRegressor)
