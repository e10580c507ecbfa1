"""The tabular base: a regressor that the network corrects.

How far the network's correction is trusted is decided on training rows that neither has seen, so
each training row also gets the prediction of a copy of the base that was fitted without its fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter
from xgboost import XGBRegressor


def boosted_trees(random_state: int | None = None, n_jobs: int | None = None, **settings: Any):
    """Return the XGBoost regressor that serves both as base and as baseline.

    Moderate depth and learning rate with row and column sampling: sound for a few hundred to some
    ten thousand samples without tuning.
    """
    defaults = {
        "n_estimators": 500,
        "learning_rate": 0.04,
        "max_depth": 6,
        "min_child_weight": 3.0,
        "subsample": 0.8,
        "colsample_bytree": 0.5,
        "reg_lambda": 1.0,
        "tree_method": "hist",
    }
    return XGBRegressor(**{**defaults, **settings}, random_state=random_state, n_jobs=n_jobs)


def make_base(base: Any, random_state: int, n_jobs: int | None) -> Any | None:
    """Return an unfitted regressor for the parameter `base`, or None.

    Raises
    ------
    ValueError
        If `base` is neither None, "xgboost" nor a scikit-learn regressor.
    """
    if base is None:
        return None
    if isinstance(base, str) and base == "xgboost":
        return boosted_trees(random_state, n_jobs)
    if not hasattr(base, "fit") or not is_regressor(base):
        raise ValueError(
            f"base={base!r} is not known; pass None, 'xgboost' or a scikit-learn regressor."
        )
    base = clone(base)
    if "random_state" in base.get_params(deep=False) and base.random_state is None:
        base.set_params(random_state=random_state)
    if get_tags(base).input_tags.allow_nan:
        return base
    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), base)


def fit_base(base: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    """Fit a copy of the base, with weights where it takes them.

    Raises
    ------
    ValueError
        If weights differ and the base cannot take any.
    """
    base = clone(base)
    final = base.steps[-1] if hasattr(base, "steps") else None
    if has_fit_parameter(final[1] if final else base, "sample_weight"):
        key = f"{final[0]}__sample_weight" if final else "sample_weight"
        return base.fit(X, y, **{key: weight})
    if weight.min() < weight.max():
        raise ValueError(f"sample_weight differs between rows, but base={base!r} takes none.")
    return base.fit(X, y)


def out_of_fold(
    base: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Predict every row by a copy of the base that was fitted without the row's fold.

    Parameters
    ----------
    base : regressor
    X : ndarray of shape (n, p)
    y, weight : ndarray of shape (n,)
    folds : ndarray of shape (n,) of int

    Returns
    -------
    ndarray of shape (n,)
    """
    predictions = np.empty(len(y))
    for fold in np.unique(folds):
        inside = folds == fold
        if inside.all():
            predictions[inside] = np.average(y, weights=weight)
            continue
        model = fit_base(base, X[~inside], y[~inside], weight[~inside])
        predictions[inside] = model.predict(X[inside])
    return predictions
