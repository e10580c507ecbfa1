"""Importances of columns: what models of known formulas give, and where none can be had."""

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
    given_weights,
    model_importance,
    out_of_block,
    permutation,
)

SHUFFLING = {"n_repeats": 20, "random_state": 0}


def table(n=200):
    """Three independent columns of other units; y is 1 and 3 standard deviations of two."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, 3)) * [1, 100, 0.01], columns=["a", "b", "c"])
    return X, X["a"].to_numpy() + 3 * X["b"].to_numpy() / 100


def share(weights):
    return (weights / weights.max()).round(6)


def test_shuffling_raises_the_squared_error_by_twice_the_variance():
    """A column's part of the variance is lost once and added once."""
    X, y = table()
    found = permutation(LinearRegression().fit(X, y), X, y, **SHUFFLING)
    expected = 2 * np.array([X["a"].var(), 9 * (X["b"] / 100).var(), 0])
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=1e-9)
    folds = list(KFold(4).split(X))
    np.testing.assert_allclose(
        out_of_block(LinearRegression(), X, y, folds, **SHUFFLING), expected, rtol=0.1, atol=1e-9
    )


def test_held_out_rows_tell_memory_from_knowledge():
    """A model that remembers its rows finds noise important in them, and not in held-out rows."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    model = KNeighborsRegressor(1).fit(X, y)
    remembered = permutation(model, X, y, **SHUFFLING)
    folds = list(LeaveOneOut().split(X))
    known = out_of_block(model, X, y, folds, **SHUFFLING)
    assert (remembered > 1).all()
    assert (known < 0.3 * remembered).all()
    np.testing.assert_array_equal(
        out_of_block(FrozenEstimator(model), X, y, folds, **SHUFFLING), known
    )


def test_held_out_rows_are_predicted_by_the_model_of_their_fold():
    """Two halves follow opposite formulas, so that each is mispredicted by the other's model."""
    X = np.arange(8.0)[:, None]
    y = np.r_[X[:4, 0], -X[4:, 0]]
    halves = [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))]
    found = out_of_block(LinearRegression(), X, y, halves, n_repeats=2000, random_state=0)
    # The error of a row is its x plus the x that the model is shown: squared 4 x^2 unshuffled, and
    # on average x^2 + mean(x^2) + 2 x mean(x) when the other x is any row's.
    square, mean = (X**2).mean(), X.mean()
    assert found[0] == pytest.approx(2 * square + 2 * mean**2 - 4 * square, abs=0.4)


def test_classifiers_lose_accuracy():
    """Classes of any name count right or wrong."""
    X, y = table()
    kind = np.where(y > 0, "wet", "dry")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    found = permutation(model, X, kind, **SHUFFLING)
    assert found[1] > found[0] > found[2]


def test_models_that_are_not_fitted_are_fitted():
    """The model that was given stays as it is."""
    X, y = table()
    model = LinearRegression()
    assert share(model_importance(model, X, y)).tolist() == pytest.approx(
        share(model_importance(LinearRegression().fit(X, y), X, y)).tolist()
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
def test_native_finds_the_model_inside(wrap):
    """Coefficients of standard deviations are the same wherever the regressor is."""
    X, y = table()
    model = wrap(LinearRegression())
    fitted = model.fit(X, y) if not isinstance(model, FrozenEstimator) else model
    if isinstance(model, FrozenEstimator):
        model.estimator.fit(X, y)
    expected = [X["a"].std(ddof=0), 3 * X["b"].std(ddof=0) / 100, 0]
    np.testing.assert_allclose(model_importance(fitted, X, y), expected, atol=1e-9)


@pytest.mark.parametrize(
    "model", [RandomForestRegressor(20, random_state=0), XGBRegressor(n_estimators=20)]
)
def test_native_reads_importances_of_trees(model):
    """They are those of the model itself."""
    X, y = table()
    np.testing.assert_array_equal(
        model_importance(model.fit(X, y), X, y), model.feature_importances_
    )


def test_native_of_a_dropped_column_is_zero():
    """A column that a step leaves out counts for nothing."""
    X, y = table()
    some = ColumnTransformer([("some", "passthrough", ["c", "b"])])
    model = make_pipeline(some, LinearRegression())
    found = model_importance(model.fit(X, y), X, y)
    assert found[0] == 0
    assert found[1] > 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KNeighborsRegressor(), "KNeighborsRegressor has neither feature_importances_ nor coef_"),
        (make_pipeline(PCA(2), LinearRegression()), "the step PCA makes columns"),
        (
            make_pipeline(OneHotEncoder(sparse_output=False), LinearRegression()),
            "the step OneHotEncoder makes columns",
        ),
    ],
)
def test_native_says_what_it_cannot_read(model, message):
    """And names the other ways."""
    X, y = table(20)
    with pytest.raises(ValueError, match=rf"{message}.* Use importance=\"permutation\""):
        model_importance(model.fit(X, y), X, y)


def test_held_out_needs_folds():
    """Without cv there is nothing held out."""
    X, y = table(20)
    with pytest.raises(ValueError, match="give them as cv"):
        out_of_block(LinearRegression(), X, y, None)


def test_weights_of_a_series_go_by_name():
    """As a mapping does, whatever the order."""
    given = pd.Series({"b": 2.0, "a": 1.0})
    assert given_weights(given, ["a", "b"]).tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"lacks \['c'\] and has \['b'\] besides"):
        given_weights(given, ["a", "c"])
