"""Scores of pooled out-of-fold predictions, and their standard errors over folds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.metaestimators import available_if

from ..meta_estimators import innermost_estimator, predict_mean_std, predict_quantiles

__all__ = ["FoldModel", "PooledPredictions", "PooledScore", "jackknife_error", "pooled_score"]


@dataclass(frozen=True)
class FoldModel:
    """Model of one fold and the rows that it holds out; predictions are computed once.

    Attributes
    ----------
    model : fitted regressor
    X : DataFrame or ndarray of shape (n_test, n_features)
        Input of the model.
    """

    model: Any
    X: Any
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    def call(self, method: str, *arguments: Any) -> Any:
        """Return the result of a function of `_FOLD_METHODS` for the rows."""
        key = (method, arguments)
        if key not in self._known:
            self._known[key] = _FOLD_METHODS[method](self.model, self.X, *arguments)
        return self._known[key]


_FOLD_METHODS: dict[str, Callable[..., Any]] = {
    "predict": lambda model, X: np.asarray(model.predict(X)),
    "predict_mean_std": lambda model, X: np.column_stack(predict_mean_std(model, X)),
    "predict_quantiles": predict_quantiles,
}


def _all_have_quantiles(pooled: PooledPredictions) -> bool:
    return all(hasattr(innermost_estimator(f.model), "predict_quantiles") for f in pooled.folds)


def _all_have_std(pooled: PooledPredictions) -> bool:
    inner = [innermost_estimator(fold.model) for fold in pooled.folds]
    return all(
        hasattr(model, "predict_uncertainty")
        or "return_std" in inspect.signature(model.predict).parameters
        for model in inner
    )


class PooledPredictions(RegressorMixin, BaseEstimator):
    """Regressor for scorers that returns the pooled predictions of held-out rows.

    Parameters
    ----------
    folds : list of FoldModel

    Notes
    -----
    The X that a scorer passes is not read: it holds the test rows of all folds, in their order.
    """

    def __init__(self, folds: Sequence[FoldModel]) -> None:
        self.folds = folds

    def __sklearn_is_fitted__(self) -> bool:
        return True

    # Scorers require this method, but do not call it.
    def fit(self, X: Any, y: Any) -> PooledPredictions:
        """Return the regressor unchanged."""
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions of all test rows."""
        return np.concatenate([fold.call("predict") for fold in self.folds])

    @available_if(_all_have_quantiles)
    def predict_quantiles(self, X: Any, quantiles: Sequence[float]) -> np.ndarray:
        """Return the predicted quantiles of all test rows (n, n_quantiles)."""
        levels = tuple(float(level) for level in quantiles)
        return np.concatenate([fold.call("predict_quantiles", levels) for fold in self.folds])

    @available_if(_all_have_std)
    def predict_uncertainty(self, X: Any) -> pd.DataFrame:
        """Return mean and standard deviation of all test rows."""
        moments = np.concatenate([fold.call("predict_mean_std") for fold in self.folds])
        return pd.DataFrame(moments, columns=["mean", "std"])


@dataclass(frozen=True)
class PooledScore:
    """Score of the pooled predictions of all folds, and its standard error.

    Attributes
    ----------
    value : float
    without_fold : ndarray of shape (n_folds,)
        The score without the test rows of each fold.
    """

    value: float
    without_fold: np.ndarray

    @property
    def standard_error(self) -> float:
        """Jackknife standard error over folds."""
        return jackknife_error(self.without_fold)


def pooled_score(
    scorer: Callable[..., float],
    folds: Sequence[FoldModel],
    X_parts: Sequence[Any],
    y_parts: Sequence[np.ndarray],
    params: Sequence[Mapping[str, Any]] | None = None,
) -> PooledScore:
    """Score the test rows of all folds together.

    Parameters
    ----------
    scorer : callable ``(estimator, X, y) -> float``
        Scorer of scikit-learn or of `sptgnn_sklearn.metrics`.
    folds : list of FoldModel
        At least two.
    X_parts : list of DataFrame or ndarray of shape (n_test, n_features)
        Test rows of each fold, passed to the scorer; the columns may differ from those of the
        models.
    y_parts : list of ndarray of shape (n_test,)
    params : list of dict of str to ndarray of shape (n_test,), default=None
        Further arguments of the scorer for the rows of each fold, such as `sample_weight`.

    Returns
    -------
    PooledScore

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.metrics import get_scorer
    >>> from sptgnn_sklearn.model_selection.pooled_scores import FoldModel, pooled_score
    >>> X = np.zeros((2, 1))
    >>> folds = [FoldModel(DummyRegressor().fit(X, [mean, mean]), X) for mean in (1.0, 2.0)]
    >>> y = [np.array([1.0, 3.0]), np.array([2.0, 2.0])]
    >>> pooled_score(get_scorer("neg_mean_squared_error"), folds, [X, X], y).value
    -1.0
    """

    def score(used: Sequence[int]) -> float:
        X = _stack_rows([X_parts[k] for k in used])
        y = np.concatenate([y_parts[k] for k in used])
        arguments = {name: np.concatenate([given[k][name] for k in used]) for name in given[0]}
        return float(scorer(PooledPredictions([folds[k] for k in used]), X, y, **arguments))

    given = [{} for _ in folds] if params is None else params
    numbers = range(len(folds))
    without = [score([other for other in numbers if other != k]) for k in numbers]
    return PooledScore(score(numbers), np.array(without))


def jackknife_error(without_fold: np.ndarray) -> float:
    """Return the jackknife standard error of a statistic, with folds left out one at a time.

    Parameters
    ----------
    without_fold : ndarray of shape (n_folds,)
        The statistic of the rows without each fold.

    Returns
    -------
    float

    Notes
    -----
    For a mean over folds of equal size this is the standard deviation of the fold means over the
    root of their number. Unlike that of fold scores, it is defined for scores of pooled rows such
    as R2 [1]_.

    References
    ----------
    .. [1] Efron, B., Stein, C. (1981). The jackknife estimate of variance. Annals of Statistics 9,
       586-596; equation 1.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.pooled_scores import jackknife_error
    >>> round(jackknife_error(np.array([2.5, 2.0, 1.5])), 4)  # of the mean of 1, 2 and 3
    0.5774
    """
    n_folds = len(without_fold)
    spread = without_fold - without_fold.mean()
    return float(np.sqrt((n_folds - 1) / n_folds * (spread @ spread)))


def _stack_rows(parts: Sequence[Any]) -> Any:
    if not isinstance(parts[0], pd.DataFrame):
        return np.concatenate(parts)
    stacked = pd.concat(parts)
    stacked.attrs = parts[0].attrs  # the CRS of a geometry
    return stacked
