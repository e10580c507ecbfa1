"""Weights of the columns of X for the dissimilarity index.

Weights are permutation importances of training rows or of held-out rows, the importances or
coefficients of the model, or numbers given by the user.
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

from ..meta_estimators import wrapped_estimator
from ..model_selection.splits import Split

__all__ = [
    "IMPORTANCES",
    "check_weights",
    "held_out_weights",
    "native_weights",
    "permutation_weights",
]

_ALTERNATIVES = 'Use importance="permutation" or "held_out", or pass the weights.'


def permutation_weights(
    estimator: Any, X: Any, y: np.ndarray, splits: Sequence[Split] | None = None, **settings: Any
) -> np.ndarray:
    """Return permutation importances of the columns of X.

    Parameters
    ----------
    estimator : regressor or classifier
        If it is not fitted, a clone is fitted to X and y.
    X : DataFrame or ndarray of shape (n, p)
    y : ndarray of shape (n,)
    splits : object, default=None
        Not used.
    **settings
        `n_repeats`, `random_state` and `n_jobs` of `sklearn.inspection.permutation_importance`.

    Returns
    -------
    ndarray of shape (p,)
        Mean increase of the squared error, or for a classifier mean decrease of the accuracy;
        negative if shuffling improved the predictions.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.applicability.feature_weights import permutation_weights
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> weights = permutation_weights(
    ...     LinearRegression(), X, 3 * X[:, 0], n_repeats=2, random_state=0
    ... )
    >>> (weights > 1).tolist()
    [True, False]
    """
    fitted = _ensure_fitted(estimator, X, y)
    return _permutation_loss(fitted, X, y, is_regressor(estimator), settings)


def held_out_weights(
    estimator: Any, X: Any, y: np.ndarray, splits: Sequence[Split] | None = None, **settings: Any
) -> np.ndarray:
    """Return permutation importances of the columns of X in held-out rows.

    A clone is fitted to the training rows of each fold and predicts its test rows. Columns are
    shuffled over the test rows of all folds together, so folds of a single row are possible.

    Parameters
    ----------
    estimator, X, y
        As in `permutation_weights`; the estimator is always fitted again.
    splits : list of (train, test)
    **settings
        As in `permutation_weights`.

    Returns
    -------
    ndarray of shape (p,)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.applicability.feature_weights import held_out_weights
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> folds = list(KFold(5).split(X))
    >>> settings = {"n_repeats": 2, "random_state": 0}
    >>> weights = held_out_weights(LinearRegression(), X, X[:, 0], folds, **settings)
    >>> (weights > 1).tolist()
    [True, False]
    """
    if splits is None:
        raise ValueError('importance="held_out" needs folds: pass them as cv.')
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator  # a frozen estimator is not fitted again
    models = [
        clone(estimator).fit(_safe_indexing(X, train), _safe_indexing(y, train))
        for train, _ in splits
    ]
    rows = np.concatenate([test for _, test in splits])
    pooled = _PooledFolds(models, np.cumsum([len(test) for _, test in splits])[:-1])
    return _permutation_loss(
        pooled,
        _safe_indexing(X, rows),
        _safe_indexing(y, rows),
        is_regressor(estimator),
        settings,
    )


def native_weights(
    estimator: Any, X: Any, y: np.ndarray, splits: Sequence[Split] | None = None, **settings: Any
) -> np.ndarray:
    """Return `feature_importances_` or scaled magnitudes of `coef_` for the columns of X.

    Parameters
    ----------
    estimator : regressor
        Regressor with one of these attributes, optionally inside searches, Pipelines and
        TransformedTargetRegressors. If it is not fitted, a clone is fitted to X and y.
    X : DataFrame or ndarray of shape (n, p)
    y : ndarray of shape (n,)
    splits, **settings : object
        Not used.

    Returns
    -------
    ndarray of shape (p,)
        Importances, or magnitudes of coefficients times the standard deviations of their columns.

    Raises
    ------
    ValueError
        If the regressor has neither attribute, or the steps before it output other columns.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.applicability.feature_weights import native_weights
    >>> X = np.array([[0.0, 10.0], [1.0, 30.0], [2.0, 20.0]])
    >>> model = LinearRegression().fit(X, X @ [1.0, 0.1])
    >>> (native_weights(model, X, None) / X.std(axis=0)).round(6).tolist()
    [1.0, 0.1]
    """
    n_columns = X.shape[1]
    model, transformers = _unwrap_model(_ensure_fitted(estimator, X, y))
    columns = np.arange(n_columns)
    inputs = X
    for transformer in transformers:
        columns = columns[_kept_columns(transformer, inputs)]
        inputs = transformer.transform(inputs)
    importances = getattr(model, "feature_importances_", None)
    if importances is None and hasattr(model, "coef_"):
        coefficients = np.abs(np.asarray(model.coef_, dtype=np.float64))
        coefficients = np.atleast_2d(coefficients).mean(axis=0)
        importances = coefficients * np.asarray(inputs, dtype=np.float64).std(axis=0)
    if importances is None:
        raise ValueError(
            f"importance='native': {type(model).__name__} has neither feature_importances_ nor "
            f"coef_. {_ALTERNATIVES}"
        )
    if len(importances) != len(columns):
        raise ValueError(
            f"importance='native': {type(model).__name__} has importances of {len(importances)} "
            f"columns, but X has {n_columns}. {_ALTERNATIVES}"
        )
    weights = np.zeros(n_columns)  # 0 for columns that a step dropped
    weights[columns] = importances
    return weights


IMPORTANCES: Mapping[str, Callable[..., np.ndarray]] = {
    "permutation": permutation_weights,
    "held_out": held_out_weights,
    "native": native_weights,
}


def check_weights(importance: Any, columns: Sequence[Hashable]) -> np.ndarray:
    """Check the weights given by the user, and return them in the order of the columns.

    Parameters
    ----------
    importance : mapping or Series by label, or array-like of shape (p,)
    columns : sequence of p labels

    Returns
    -------
    ndarray of shape (p,)

    Raises
    ------
    ValueError
        If a column has no weight, a label is unknown, or weights are negative, infinite or all 0.

    Examples
    --------
    >>> from sptgnn_sklearn.applicability.feature_weights import check_weights
    >>> check_weights({"clay": 1, "rain": 2}, ["rain", "clay"]).tolist()
    [2.0, 1.0]
    """
    if isinstance(importance, pd.Series):
        importance = importance.to_dict()
    if isinstance(importance, Mapping):
        missing = [label for label in columns if label not in importance]
        unknown = [label for label in importance if label not in columns]
        if missing or unknown:
            raise ValueError(
                f"importance must hold a weight for each selected column; missing {missing}, "
                f"unknown {unknown}. Use 0 to ignore a column."
            )
        importance = [importance[label] for label in columns]
    weights = np.asarray(importance, dtype=np.float64)
    if weights.shape != (len(columns),):
        raise ValueError(
            f"importance must hold one weight for each of the {len(columns)} selected columns; "
            f"found shape {weights.shape}."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(
            "importance must hold finite weights of at least 0, not all 0; "
            f"found {weights.tolist()}."
        )
    return weights


class _PooledFolds:
    """Predictor of the concatenated test rows of all folds, with one model per fold."""

    def __init__(self, models: list[Any], ends: np.ndarray) -> None:
        self.models = models
        self.ends = ends

    # permutation_importance requires this method, but does not call it.
    def fit(self, X: Any, y: Any) -> _PooledFolds:
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the test rows of each fold with its model."""
        parts = np.split(np.arange(X.shape[0]), self.ends)
        predictions = [
            model.predict(_safe_indexing(X, rows))
            for model, rows in zip(self.models, parts, strict=True)
        ]
        return np.concatenate(predictions)


def _permutation_loss(
    estimator: Any, X: Any, y: np.ndarray, regression: bool, settings: Mapping[str, Any]
) -> np.ndarray:
    # Unlike R2, squared errors can be pooled over the rows of all folds.
    score = _negative_squared_error if regression else _accuracy
    return permutation_importance(estimator, X, y, scoring=score, **settings).importances_mean


def _negative_squared_error(estimator: Any, X: Any, y: np.ndarray) -> float:
    return -float(np.mean((np.asarray(estimator.predict(X)) - y) ** 2))


def _accuracy(estimator: Any, X: Any, y: np.ndarray) -> float:
    return float(np.mean(np.asarray(estimator.predict(X)) == y))


def _ensure_fitted(estimator: Any, X: Any, y: Any) -> Any:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return clone(estimator).fit(X, y)
    return estimator


def _unwrap_model(estimator: Any) -> tuple[Any, list[Any]]:
    """Return the model inside meta-estimators and the transformers of its pipelines."""
    transformers: list[Any] = []
    while not hasattr(estimator, "feature_importances_"):
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
            continue
        inner = wrapped_estimator(estimator)
        if inner is None:
            break
        if isinstance(estimator, Pipeline):
            steps = [step for _, step in estimator.steps[:-1]]
            transformers += [step for step in steps if step not in (None, "passthrough")]
        estimator = inner
    return estimator, transformers


def _kept_columns(transformer: Any, X: Any) -> list[int]:
    """Return the input position of each output column of a transformer."""
    names_in = [str(label) for label in X.columns] if hasattr(X, "columns") else None
    names_in = names_in or [f"x{position}" for position in range(X.shape[1])]
    try:
        names_out = [str(name) for name in transformer.get_feature_names_out()]
    except (AttributeError, ValueError):
        names_out = []
    positions = [_feature_position(name, names_in) for name in names_out]
    if not positions or None in positions or len(set(positions)) < len(positions):
        raise ValueError(
            f"importance='native': the step {type(transformer).__name__} outputs columns that are "
            f"not columns of X. {_ALTERNATIVES}"
        )
    return [position for position in positions if position is not None]


def _feature_position(name: str, names_in: list[str]) -> int | None:
    """Return the position of an output name, with or without the prefix of a ColumnTransformer."""
    for candidate in (name, name.partition("__")[2]):
        if candidate in names_in:
            return names_in.index(candidate)
    return None
