"""Tabular regressors that are base models: construction, sample weights and cross-fitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone, is_regressor
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from ..table.measurement_error import noise_weight

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor
    from xgboost import XGBRegressor

__all__ = [
    "boosted_forests",
    "boosted_trees",
    "extra_trees",
    "fit_base",
    "make_base",
    "out_of_fold",
]

_MOST_REPEATS = 20  # limit of repeated rows per row, for regressors without sample weights
_WIDE = 60  # columns; wider tables use fewer columns per tree and fewer bins
# Trees of small tables take microseconds per parallel region: threads gain nothing, and if other
# processes use the cores, each region waits for a thread without a core.
_MIN_CELLS_PER_THREAD = 50_000


def boosted_trees(
    random_state: int | None = None,
    n_jobs: int | None = None,
    *,
    n_columns: int = 0,
    n_cells: int | None = None,
    **settings: Any,
) -> XGBRegressor:
    """Return the XGBoost regressor that is both the default base model and the baseline.

    Moderate depth and learning rate with row and column subsampling; suited to a few hundred to
    tens of thousands of samples without tuning.

    Parameters
    ----------
    random_state : int or None
        Seed of the sampling.
    n_jobs : int or None
        Number of threads; None means 1.
    n_columns : int, default=0
        Columns of the table. In wide tables, which often have many similar columns, fewer columns
        per tree and coarser bins are as accurate in a third of the time.
    n_cells : int, default=None
        Rows times columns of the table; small tables use fewer threads, which does not change the
        trees. None uses `n_jobs` threads.
    **settings
        Parameters of XGBRegressor that override these defaults.

    Examples
    --------
    >>> from sptgnn_sklearn.ensemble.base_regressor import boosted_trees
    >>> boosted_trees(max_depth=3).max_depth
    3
    """
    from xgboost import XGBRegressor

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
    if n_columns > _WIDE:
        defaults |= {"colsample_bytree": 0.3, "max_bin": 64}
    threads = effective_n_jobs(n_jobs)
    if n_cells is not None:
        threads = min(threads, max(1, n_cells // _MIN_CELLS_PER_THREAD))
    return XGBRegressor(**{**defaults, **settings}, random_state=random_state, n_jobs=threads)


def boosted_forests(random_state: int | None = None, *, n_columns: int = 0) -> XGBRegressor:
    """Return boosted small forests, which vary less than boosted trees on a few hundred rows.

    Each round fits five shallow trees to half of the rows, and each of their nodes considers other
    columns.

    Parameters
    ----------
    random_state : int or None
    n_columns : int, default=0
        Columns of the table; wide tables use fewer of them and coarser bins.

    Examples
    --------
    >>> from sptgnn_sklearn.ensemble.base_regressor import boosted_forests
    >>> boosted_forests().num_parallel_tree
    5
    """
    from xgboost import XGBRegressor

    wide = n_columns > _WIDE
    return XGBRegressor(
        n_estimators=100,
        num_parallel_tree=5,
        learning_rate=0.06,
        max_depth=5,
        min_child_weight=3.0,
        subsample=0.5,
        colsample_bynode=0.2 if wide else 0.3,
        reg_lambda=3.0,
        tree_method="hist",
        max_bin=64 if wide else 256,
        random_state=random_state,
        n_jobs=1,
    )


def extra_trees(random_state: int | None = None, *, n_columns: int = 0) -> ExtraTreesRegressor:
    """Return extremely randomized trees, whose predictions are smoother than those of a forest.

    Parameters
    ----------
    random_state : int or None
    n_columns : int, default=0
        Columns of the table; each split considers fewer of the columns of wide tables.

    Examples
    --------
    >>> from sptgnn_sklearn.ensemble.base_regressor import extra_trees
    >>> extra_trees().min_samples_leaf
    2
    """
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(
        n_estimators=100,
        min_samples_leaf=2,
        max_features=1 / 3 if n_columns > _WIDE else 0.5,
        random_state=random_state,
    )


def make_base(
    base: Any, random_state: int, n_jobs: int | None, shape: tuple[int, ...] | None = None
) -> Any | None:
    """Return an unfitted regressor for the parameter `base_estimator`, or None.

    Parameters
    ----------
    base : None, "xgboost" or regressor
        A regressor is cloned. All its random states that are None are set; if it does not support
        missing values, it is preceded by median imputation.
    random_state : int
    n_jobs : int or None
        Largest number of threads of "xgboost".
    shape : pair of int, default=None
        Rows and columns of the table, for "xgboost".

    Raises
    ------
    ValueError
        If `base` is neither None, "xgboost" nor a scikit-learn regressor.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sptgnn_sklearn.ensemble.base_regressor import make_base
    >>> list(make_base(Ridge(), random_state=0, n_jobs=None).named_steps)
    ['simpleimputer', 'ridge']
    """
    if base is None:
        return None
    if isinstance(base, str) and base == "xgboost":
        if shape is None:
            return boosted_trees(random_state, n_jobs)
        return boosted_trees(random_state, n_jobs, n_columns=shape[1], n_cells=shape[0] * shape[1])
    if isinstance(base, type) or not hasattr(base, "fit") or not is_regressor(base):
        raise ValueError(
            f"base_estimator={base!r} is invalid; pass None, 'xgboost' or a scikit-learn regressor "
            "such as RandomForestRegressor()."
        )
    base = clone(base)
    seeds = {
        name: random_state
        for name, value in base.get_params(deep=True).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    base.set_params(**seeds)
    if get_tags(base).input_tags.allow_nan:
        return base
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), base)


def fit_base(
    base: Any,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    noise: np.ndarray | None = None,
) -> Any:
    """Fit a clone of the base model, with sample weights if it supports them.

    Parameters
    ----------
    base : regressor
        If it does not support sample weights, rows are repeated by their integer weights.
    X : ndarray of shape (n, p)
    y, weight : ndarray of shape (n,)
    noise : ndarray of shape (n,), default=None
        Variances of measurement errors. They reduce sample weights by `noise_weight`, and are not
        used by a base model without sample weights.

    Returns
    -------
    regressor

    Raises
    ------
    ValueError
        If weights are not integers and the base model does not support sample weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.ensemble.base_regressor import fit_base
    >>> X, y = np.array([[0.0], [0.0]]), np.array([1.0, 4.0])
    >>> fit_base(LinearRegression(), X, y, weight=np.array([2.0, 1.0])).predict(X).round(3)
    array([2., 2.])
    """
    base = clone(base)
    key = _weight_key(base)
    if key is not None:
        weight = weight if noise is None else weight * noise_weight(noise, weight)
        return base.fit(X, y, **{key: weight})
    if weight.min() < weight.max():
        counts = np.rint(weight).astype(int)
        if not np.allclose(counts, weight) or counts.sum() > _MOST_REPEATS * len(y):
            raise ValueError(
                f"sample_weight differs between rows, but base_estimator={base!r} does not support "
                "sample weights: use integer weights, no weights or another base_estimator."
            )
        X, y = np.repeat(X, counts, axis=0), np.repeat(y, counts)
    return base.fit(X, y)


def out_of_fold(
    base: Any,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    folds: np.ndarray,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Return cross-fitted predictions: each row is predicted without its own fold.

    Parameters
    ----------
    base : regressor
    X : ndarray of shape (n, p)
    y, weight : ndarray of shape (n,)
    folds : ndarray of shape (n,) of int
        If there is only one fold, all rows get the weighted mean.
    noise : ndarray of shape (n,), default=None
        As in `fit_base`.

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sptgnn_sklearn.ensemble.base_regressor import out_of_fold
    >>> X, y = np.zeros((3, 1)), np.array([1.0, 2.0, 6.0])
    >>> out_of_fold(DummyRegressor(), X, y, np.ones(3), folds=np.array([0, 0, 1]))
    array([6. , 6. , 1.5])
    """
    predictions = np.empty(len(y))
    for fold in np.unique(folds):
        inside = folds == fold
        if inside.all():
            predictions[inside] = np.average(y, weights=weight)
            continue
        own = None if noise is None else noise[~inside]
        model = fit_base(base, X[~inside], y[~inside], weight[~inside], own)
        predictions[inside] = model.predict(X[inside])
    return predictions


def _weight_key(base: Any) -> str | None:
    """Return the fit parameter for sample weights, also of a pipeline's last step, or None."""
    if hasattr(base, "steps"):
        name, last = base.steps[-1]
        key = _weight_key(last)
        return None if key is None else f"{name}__{key}"
    return "sample_weight" if has_fit_parameter(base, "sample_weight") else None
