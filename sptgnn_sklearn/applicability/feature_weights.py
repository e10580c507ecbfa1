"""What each column of X is worth to a regressor, as weights of an index of dissimilarity.

Three ways: the loss that shuffling a column causes in given rows, the same in rows that were held
out from the regressor, or what the regressor itself says of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

__all__ = ["IMPORTANCES", "given_weights", "model_importance", "out_of_block", "permutation"]

WeightSplits = Sequence[tuple[np.ndarray, np.ndarray]]
_INNER = ("best_estimator_", "regressor_")
_BY_SHUFFLING = 'Use importance="permutation" or "held_out", or give the weights.'


def permutation(
    estimator: Any, X: Any, y: np.ndarray, splits: WeightSplits | None = None, **settings: Any
) -> np.ndarray:
    """Return the loss that shuffling each column of the given rows causes.

    Parameters
    ----------
    estimator : regressor or classifier
        Where it is not fitted, a clone is fitted to X and y.
    X : DataFrame or ndarray of shape (n, p)
    y : ndarray of shape (n,)
    splits : object, default=None
        Not used.
    **settings
        `n_repeats`, `random_state` and `n_jobs` of `sklearn.inspection.permutation_importance`.

    Returns
    -------
    ndarray of shape (p,)
        Mean rise of the squared error, or for a classifier mean fall of the accuracy. Negative
        where shuffling helped.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.applicability.feature_weights import permutation
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> found = permutation(LinearRegression(), X, 3 * X[:, 0], n_repeats=2, random_state=0)
    >>> (found > 1).tolist()
    [True, False]
    """
    fitted = _fitted(estimator, X, y)
    return _shuffled(fitted, X, y, is_regressor(estimator), settings)


def out_of_block(
    estimator: Any, X: Any, y: np.ndarray, splits: WeightSplits | None = None, **settings: Any
) -> np.ndarray:
    """Return the loss that shuffling each column causes in rows that were not trained on.

    A clone is fitted to each fold's training rows and predicts its test rows; columns are shuffled
    over all test rows together, so folds may be as small as one row.

    Parameters
    ----------
    estimator, X, y, **settings
        As in `permutation`; here X and y are always fitted to.
    splits : list of (train, test)

    Returns
    -------
    ndarray of shape (p,)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.applicability.feature_weights import out_of_block
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> folds = list(KFold(5).split(X))
    >>> found = held_out(LinearRegression(), X, X[:, 0], folds, n_repeats=2, random_state=0)
    >>> (found > 1).tolist()
    [True, False]
    """
    if splits is None:
        raise ValueError('importance="held_out" needs folds: give them as cv.')
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator  # which has to be fitted anew
    models = [
        clone(estimator).fit(_safe_indexing(X, train), _safe_indexing(y, train))
        for train, _ in splits
    ]
    rows = np.concatenate([test for _, test in splits])
    together = _OfFolds(models, np.cumsum([len(test) for _, test in splits])[:-1])
    return _shuffled(
        together,
        _safe_indexing(X, rows),
        _safe_indexing(y, rows),
        is_regressor(estimator),
        settings,
    )


def model_importance(
    estimator: Any, X: Any, y: np.ndarray, splits: WeightSplits | None = None, **settings: Any
) -> np.ndarray:
    """Return what a regressor says of its columns: its `feature_importances_` or `coef_`.

    Parameters
    ----------
    estimator : regressor
        Itself with one of these attributes, or a search, a pipeline or a transform of the target
        around one that has them. Where it is not fitted, a clone is fitted to X and y.
    X : DataFrame or ndarray of shape (n, p)
    y : ndarray of shape (n,)
    splits, **settings : object
        Not used.

    Returns
    -------
    ndarray of shape (p,)
        Importances, or magnitudes of coefficients times the standard deviations of the columns that
        they belong to.

    Raises
    ------
    ValueError
        If the regressor has neither attribute, or steps before it make other columns of X.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.applicability.feature_weights import model_importance
    >>> X = np.array([[0.0, 10.0], [1.0, 30.0], [2.0, 20.0]])
    >>> model = LinearRegression().fit(X, X @ [1.0, 0.1])
    >>> (model_importance(model, X, None) / X.std(axis=0)).round(6).tolist()
    [1.0, 0.1]
    """
    n_columns = X.shape[1]
    model, steps = _innermost_estimator(_fitted(estimator, X, y))
    place = np.arange(n_columns)
    inputs = X
    for step in steps:
        place = place[_kept_columns(step, inputs)]
        inputs = step.transform(inputs)
    found = getattr(model, "feature_importances_", None)
    if found is None and hasattr(model, "coef_"):
        coefficients = np.abs(np.asarray(model.coef_, dtype=np.float64))
        coefficients = np.atleast_2d(coefficients).mean(axis=0)
        found = coefficients * np.asarray(inputs, dtype=np.float64).std(axis=0)
    if found is None:
        raise ValueError(
            f"importance='native': {type(model).__name__} has neither feature_importances_ nor "
            f"coef_. {_BY_SHUFFLING}"
        )
    if len(found) != len(place):
        raise ValueError(
            f"importance='native': {type(model).__name__} has importances of {len(found)} columns "
            f"and X has {n_columns}. {_BY_SHUFFLING}"
        )
    weights = np.zeros(n_columns)  # of columns that a step left out
    weights[place] = found
    return weights


IMPORTANCES: Mapping[str, Callable[..., np.ndarray]] = {
    "permutation": permutation,
    "held_out": out_of_block,
    "native": model_importance,
}


def given_weights(given: Any, columns: Sequence[Hashable]) -> np.ndarray:
    """Return weights that a user gave, in the order of the columns.

    Parameters
    ----------
    given : mapping or Series by label, or array-like of shape (p,)
    columns : sequence of p labels

    Returns
    -------
    ndarray of shape (p,)

    Raises
    ------
    ValueError
        If a column has no weight, one is unknown, or weights are negative, infinite or all 0.

    Examples
    --------
    >>> from sptgnn_sklearn.applicability.feature_weights import given_weights
    >>> given_weights({"clay": 1, "rain": 2}, ["rain", "clay"]).tolist()
    [2.0, 1.0]
    """
    if isinstance(given, pd.Series):
        given = given.to_dict()
    if isinstance(given, Mapping):
        lacking = [label for label in columns if label not in given]
        unknown = [label for label in given if label not in columns]
        if lacking or unknown:
            raise ValueError(
                f"importance must give a weight to each column measured by: it lacks {lacking} and "
                f"has {unknown} besides. Give 0 to a column that shall not count."
            )
        given = [given[label] for label in columns]
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (len(columns),):
        raise ValueError(
            f"importance must hold one weight for each of the {len(columns)} columns measured by; "
            f"its shape is {weights.shape}."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(
            "importance must hold finite weights of 0 or more, and one above 0; "
            f"found {weights.tolist()}."
        )
    return weights


class _OfFolds:
    """Predicts the test rows of all folds, one fold after the other, each by its own model."""

    def __init__(self, models: list[Any], ends: np.ndarray) -> None:
        self.models = models
        self.ends = ends

    # permutation_importance takes nothing without this method, but only predicts.
    def fit(self, X: Any, y: Any) -> _OfFolds:
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict each part of the rows by its own model."""
        parts = np.split(np.arange(X.shape[0]), self.ends)
        found = [
            model.predict(_safe_indexing(X, part))
            for model, part in zip(self.models, parts, strict=True)
        ]
        return np.concatenate(found)


def _shuffled(
    estimator: Any, X: Any, y: np.ndarray, regression: bool, settings: Mapping[str, Any]
) -> np.ndarray:
    # A squared error and not R2, because differences of it can be pooled over rows.
    score = _negative_squared_error if regression else _accuracy
    return permutation_importance(estimator, X, y, scoring=score, **settings).importances_mean


def _negative_squared_error(estimator: Any, X: Any, y: np.ndarray) -> float:
    return -float(np.mean((np.asarray(estimator.predict(X)) - y) ** 2))


def _accuracy(estimator: Any, X: Any, y: np.ndarray) -> float:
    return float(np.mean(np.asarray(estimator.predict(X)) == y))


def _fitted(estimator: Any, X: Any, y: Any) -> Any:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return clone(estimator).fit(X, y)
    return estimator


def _innermost_estimator(estimator: Any) -> tuple[Any, list[Any]]:
    """Return the innermost model and the transformers before it."""
    steps: list[Any] = []
    while True:
        if isinstance(estimator, Pipeline):
            found = [step for _, step in estimator.steps if step not in (None, "passthrough")]
            steps += found[:-1]
            estimator = found[-1]
            continue
        inner = [getattr(estimator, name) for name in _INNER if hasattr(estimator, name)]
        if isinstance(estimator, FrozenEstimator):
            inner = [estimator.estimator]
        if not inner or hasattr(estimator, "feature_importances_"):
            return estimator, steps
        estimator = inner[0]


def _kept_columns(step: Any, X: Any) -> list[int]:
    """Return which input column each output column of a transformer is."""
    names = [str(label) for label in X.columns] if hasattr(X, "columns") else None
    try:
        made = [str(name) for name in step.get_feature_names_out()]
    except (AttributeError, ValueError):
        made = []
    known = names or [f"x{position}" for position in range(X.shape[1])]
    place = [_feature_position(name, known) for name in made]
    if not place or None in place or len(set(place)) < len(place):
        raise ValueError(
            f"importance='native': the step {type(step).__name__} makes columns that are not those "
            f"of X. {_BY_SHUFFLING}"
        )
    return [found for found in place if found is not None]


def _feature_position(name: str, known: list[str]) -> int | None:
    """Return the position of a name; column transformers put their own before it."""
    for candidate in (name, name.partition("__")[2]):
        if candidate in known:
            return known.index(candidate)
    return None
