"""Tests of the decorator that makes fit all or nothing."""

import inspect
import pickle

import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data

from sptgnn_sklearn.utils.atomic_fit import atomic_fit


class Mean(BaseEstimator):
    """An estimator whose fit sets and deletes attributes before it fails."""

    def __init__(self, error=None, callback=None):
        self.error = error
        self.callback = callback

    @atomic_fit
    def fit(self, X, y=None, *, sample_weight=None):
        """Fit the mean."""
        X = validate_data(self, X)
        self.partial_ = sample_weight
        if self.callback is not None:
            self.callback()
        if self.error is not None:
            raise self.error
        self.mean_ = X.mean(0)
        return self


class Child(Mean):
    """A subclass that extends fit."""

    def fit(self, X, y=None):
        super().fit(X, y)
        self.range_ = self.mean_ - self.mean_.min()
        return self


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError, SystemExit])
@pytest.mark.parametrize("kind", [Mean, Child])
def test_estimator_is_unchanged_if_fit_raises(error, kind):
    """A first fit leaves no attribute; a refit leaves those of the previous fit."""
    model = kind(error=error("stop"))
    before = dict(vars(model))
    with pytest.raises(error):
        model.fit([[1.0, 2.0]])
    assert vars(model) == before
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    model.set_params(error=None).fit([[1.0], [3.0]])
    model.set_params(error=error("stop"))
    before = dict(vars(model))
    with pytest.raises(error):
        model.fit([[1.0, 2.0, 3.0]])
    assert vars(model) == before and model.n_features_in_ == 1


def test_successful_fit_replaces_all_attributes():
    """Attributes that fit deletes, such as names of features, are deleted; fit returns self."""
    pd = pytest.importorskip("pandas")
    model = Mean()
    assert model.fit(pd.DataFrame({"a": [1.0, 3.0]}), sample_weight=1) is model
    assert model.feature_names_in_.tolist() == ["a"] and model.partial_ == 1
    assert model.fit([[5.0, 6.0]]) is model
    assert not hasattr(model, "feature_names_in_")
    assert (model.n_features_in_, model.partial_, model.mean_.tolist()) == (2, None, [5.0, 6.0])


def test_estimator_is_unchanged_while_fit_runs():
    """Another thread or a callback finds the previous model; what it sets is kept."""
    model = Mean().fit([[1.0]])

    def callback():
        assert model.n_features_in_ == 1 and model.partial_ is None
        model.note = "set during fit"
        model.partial_ = "by the callback"

    model.set_params(callback=callback).fit([[1.0, 2.0]], sample_weight=2)
    assert (model.n_features_in_, model.note, model.partial_) == (
        2,
        "set during fit",
        "by the callback",
    )


def test_signature_documentation_and_copies_are_kept():
    """scikit-learn inspects the signature; estimators are cloned and pickled."""
    assert list(inspect.signature(Mean().fit).parameters) == ["X", "y", "sample_weight"]
    assert Mean.fit.__doc__ == "Fit the mean."
    model = pickle.loads(pickle.dumps(clone(Mean()).fit([[1.0]])))
    assert model.mean_ == 1
