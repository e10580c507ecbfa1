"""Weights of columns: known importances, meta-estimators, and errors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBRegressor

from sptgnn_sklearn.applicability.feature_weights import (
    check_weights,
    held_out_weights,
    native_weights,
    permutation_weights,
)

SHUFFLING = {"n_repeats": 20, "random_state": 0}


def table(n=200):
    """Return three independent columns; y is the sum of 1 and 3 standard deviations of two."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, 3)) * [1, 100, 0.01], columns=["a", "b", "c"])
    return X, X["a"].to_numpy() + 3 * X["b"].to_numpy() / 100


def share(weights):
    return (weights / weights.max()).round(6)


def test_permutation_weights_are_twice_the_explained_variance():
    """Shuffling a column removes its variance from the predictions and adds it as error."""
    X, y = table()
    result = permutation_weights(LinearRegression().fit(X, y), X, y, **SHUFFLING)
    expected = 2 * np.array([X["a"].var(), 9 * (X["b"] / 100).var(), 0])
    np.testing.assert_allclose(result, expected, rtol=0.1, atol=1e-9)
    folds = list(KFold(4).split(X))
    np.testing.assert_allclose(
        held_out_weights(LinearRegression(), X, y, folds, **SHUFFLING),
        expected,
        rtol=0.1,
        atol=1e-9,
    )


def test_memorizing_models_need_held_out_rows():
    """Noise is important to a 1-nearest-neighbor model in training rows only."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    model = KNeighborsRegressor(1).fit(X, y)
    in_training = permutation_weights(model, X, y, **SHUFFLING)
    folds = list(LeaveOneOut().split(X))
    held_out = held_out_weights(model, X, y, folds, **SHUFFLING)
    assert (in_training > 1).all()
    assert (held_out < 0.3 * in_training).all()
    np.testing.assert_array_equal(
        held_out_weights(FrozenEstimator(model), X, y, folds, **SHUFFLING), held_out
    )


def test_held_out_rows_are_predicted_by_the_model_of_their_fold():
    """Two halves have opposite slopes, so the model of one half mispredicts the other."""
    X = np.arange(8.0)[:, None]
    y = np.r_[X[:4, 0], -X[4:, 0]]
    halves = [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))]
    result = held_out_weights(LinearRegression(), X, y, halves, n_repeats=2000, random_state=0)
    # The error of a row is its x plus the x passed to the model: squared 4 x^2 without shuffling,
    # and on average x^2 + mean(x^2) + 2 x mean(x) with shuffling.
    square, mean = (X**2).mean(), X.mean()
    assert result[0] == pytest.approx(2 * square + 2 * mean**2 - 4 * square, abs=0.4)


def test_classifiers_are_scored_by_accuracy():
    """The weights of a classifier with string labels rank the columns."""
    X, y = table()
    label = np.where(y > 0, "wet", "dry")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    result = permutation_weights(model, X, label, **SHUFFLING)
    assert result[1] > result[0] > result[2]


def test_unfitted_models_are_cloned():
    """A clone is fitted, and the model passed stays unfitted."""
    X, y = table()
    model = LinearRegression()
    assert share(native_weights(model, X, y)).tolist() == pytest.approx(
        share(native_weights(LinearRegression().fit(X, y), X, y)).tolist()
    )
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        lambda model: make_pipeline(StandardScaler(), "passthrough", model),
        lambda model: make_pipeline(
            ColumnTransformer([("2", StandardScaler(), ["b", "c"]), ("1", "passthrough", ["a"])]),
            model,
        ),
        lambda model: GridSearchCV(make_pipeline(StandardScaler(), model), {}, cv=2),
        lambda model: TransformedTargetRegressor(model),
        lambda model: FrozenEstimator(make_pipeline(StandardScaler(), model)),
    ],
    ids=["plain", "pipeline", "columns", "search", "target", "frozen"],
)  # fmt: skip
def test_native_weights_of_meta_estimators(wrap):
    """Coefficients times standard deviations are the same inside any meta-estimator."""
    X, y = table()
    model = wrap(LinearRegression())
    fitted = model.fit(X, y) if not isinstance(model, FrozenEstimator) else model
    if isinstance(model, FrozenEstimator):
        model.estimator.fit(X, y)
    expected = [X["a"].std(ddof=0), 3 * X["b"].std(ddof=0) / 100, 0]
    np.testing.assert_allclose(native_weights(fitted, X, y), expected, atol=1e-9)


@pytest.mark.parametrize(
    "model", [RandomForestRegressor(20, random_state=0), XGBRegressor(n_estimators=20)]
)
def test_native_weights_of_trees(model):
    """The weights equal feature_importances_."""
    X, y = table()
    np.testing.assert_array_equal(native_weights(model.fit(X, y), X, y), model.feature_importances_)


def test_native_weight_of_a_dropped_column_is_zero():
    """A column dropped by a transformer gets weight 0."""
    X, y = table()
    some = ColumnTransformer([("some", "passthrough", ["c", "b"])])
    model = make_pipeline(some, LinearRegression())
    result = native_weights(model.fit(X, y), X, y)
    assert result[0] == 0
    assert result[1] > 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KNeighborsRegressor(), "KNeighborsRegressor .*feature_importances_"),
        (make_pipeline(PCA(2), LinearRegression()), "step PCA"),
        (
            make_pipeline(OneHotEncoder(sparse_output=False), LinearRegression()),
            "step OneHotEncoder",
        ),
    ],
)
def test_models_without_native_weights_raise(model, message):
    """The error names the model or step, and the alternatives."""
    X, y = table(20)
    with pytest.raises(ValueError, match=rf"importance='native'.*{message}.*permutation"):
        native_weights(model.fit(X, y), X, y)


def test_held_out_weights_need_folds():
    """The error names the parameter cv."""
    X, y = table(20)
    with pytest.raises(ValueError, match=r'importance="held_out" .*cv'):
        held_out_weights(LinearRegression(), X, y, None)


def test_weights_of_a_series_are_matched_by_label():
    """The order of labels has no influence; missing and unknown labels raise."""
    importance = pd.Series({"b": 2.0, "a": 1.0})
    assert check_weights(importance, ["a", "b"]).tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"missing \['c'\], unknown \['b'\]"):
        check_weights(importance, ["a", "c"])
