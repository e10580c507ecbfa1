"""Uncertainty through the wrappers of scikit-learn, which hand on `predict` and little else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

__all__ = [
    "innermost",
    "predict_interval",
    "predict_mean_std",
    "predict_quantiles",
    "predict_uncertainty",
]

_LIMIT_COLUMNS = ("lower", "upper")
_NOT_LINEAR = 1e-6  # how far, of a standard deviation, the inverse of a linear transform may err


def innermost(estimator: Any) -> Any:
    """Return the regressor inside of Pipelines, searches and TransformedTargetRegressors.

    Parameters
    ----------
    estimator : fitted regressor

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn.meta_estimators import innermost
    >>> innermost(make_pipeline("passthrough", LinearRegression()))
    LinearRegression()
    """
    if isinstance(estimator, Pipeline):
        return innermost(estimator[-1])
    for attribute in ("best_estimator_", "regressor_"):
        if hasattr(estimator, attribute):
            return innermost(getattr(estimator, attribute))
    return estimator


def predict_uncertainty(estimator: Any, X: Any, coverage: float | None = None) -> pd.DataFrame:
    """Predict mean and uncertainty by the estimator inside of wrappers.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor` or any that has ``predict_uncertainty``, itself or within Pipelines,
        searches such as GridSearchCV, and TransformedTargetRegressors of linear transforms.
    X : DataFrame or array-like of shape (n_samples, n_features)
        As the outermost estimator takes it.
    coverage : float, default=None
        Adds the limits of `predict_interval` at this coverage, from the same pass.

    Returns
    -------
    DataFrame of shape (n_samples, 4) or (n_samples, 6)
        Columns mean, std, aleatoric and epistemic, in the unit of y; with `coverage` also lower and
        upper.

    Raises
    ------
    TypeError
        If there is no such estimator inside, or it is within a wrapper that is not known.
    ValueError
        If a transform of the target is not linear: standard deviations cannot be taken back.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn import SpTGNNRegressor, predict_uncertainty
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=100, random_state=0)
    >>> model = SpTGNNRegressor(time="date", n_members=2, max_epochs=2, base=None)
    >>> pipe = make_pipeline("passthrough", model).fit(survey.data, survey.target)
    >>> predict_uncertainty(pipe, survey.data.head(3)).shape
    (3, 4)
    """
    settings = {} if coverage is None else {"coverage": coverage}
    return _delegate(estimator, X, "predict_uncertainty", settings)


def predict_interval(estimator: Any, X: Any, coverage: float = 0.9) -> np.ndarray:
    """Predict intervals by the estimator inside of wrappers.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor` or any that has ``predict_interval``, itself or within Pipelines,
        searches such as GridSearchCV, and TransformedTargetRegressors.
    X : DataFrame or array-like of shape (n_samples, n_features)
        As the outermost estimator takes it.
    coverage : float, default=0.9
        Share of new rows whose targets the intervals shall hold.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Lower and upper limit, in the unit of y. A transform of the target is taken to be monotone.

    Raises
    ------
    TypeError
        If there is no such estimator inside, or it is within a wrapper that is not known.

    Examples
    --------
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> import numpy as np
    >>> from sptgnn_sklearn import SpTGNNRegressor, predict_interval
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=100, random_state=0)
    >>> model = SpTGNNRegressor(time="date", n_members=2, max_epochs=2, base=None)
    >>> logarithm = TransformedTargetRegressor(model, func=np.log1p, inverse_func=np.expm1)
    >>> logarithm = logarithm.fit(survey.data, survey.target.clip(0))
    >>> predict_interval(logarithm, survey.data.head(3), coverage=0.8).shape
    (3, 2)
    """
    return _delegate(estimator, X, "predict_interval", {"coverage": coverage})


def predict_mean_std(estimator: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Predict mean and standard deviation by the estimator inside of wrappers.

    Parameters
    ----------
    estimator : fitted regressor
        Any that has ``predict_uncertainty`` or takes ``predict(X, return_std=True)``, itself or
        within Pipelines, searches, and TransformedTargetRegressors of linear transforms.
    X : DataFrame or array-like of shape (n_samples, n_features)
        As the outermost estimator takes it.

    Returns
    -------
    mean, std : ndarray of shape (n_samples,)
        In the unit of y.

    Raises
    ------
    TypeError
        If there is no such estimator inside, or it is within a wrapper that is not known.
    ValueError
        If a transform of the target is not linear.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sptgnn_sklearn.meta_estimators import predict_mean_std
    >>> X = np.arange(9.0)[:, None]
    >>> search = GridSearchCV(BayesianRidge(), {"max_iter": [100]}, cv=2).fit(X, X[:, 0])
    >>> mean, std = predict_mean_std(search, X)
    >>> mean.round(1).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    """
    found = _delegate(estimator, X, "predict_std", {})
    return found["mean"].to_numpy(), found["std"].to_numpy()


def predict_quantiles(estimator: Any, X: Any, quantiles: Sequence[float]) -> np.ndarray | None:
    """Predict quantiles by the estimator inside of wrappers, where it states any.

    Parameters
    ----------
    estimator : fitted regressor
    X : DataFrame or array-like of shape (n_samples, n_features)
        As the outermost estimator takes it.
    quantiles : sequence of float
        Levels, rising and symmetric around 0.5, so that a transform of the target may fall.

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles) or None
        None where the estimator has no ``predict_quantiles``.

    Examples
    --------
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.meta_estimators import predict_quantiles
    >>> predict_quantiles(BayesianRidge().fit([[0.0], [1.0]], [0.0, 1.0]), [[0.5]], [0.5]) is None
    True
    """
    if not hasattr(_innermost(estimator), "predict_quantiles"):
        return None
    return _delegate(estimator, X, "predict_quantiles", {"quantiles": quantiles})


def _innermost(estimator: Any) -> Any:
    """Return what stands inside of all wrappers."""
    while True:
        if isinstance(estimator, Pipeline):
            inner = estimator[-1]
        else:
            inner = getattr(estimator, "best_estimator_", getattr(estimator, "regressor_", None))
        if inner is None:
            return estimator
        estimator = inner


def _call_method(estimator: Any, X: Any, method: str, settings: dict[str, Any]) -> Any:
    """Call a method of an estimator, or return None if it has none."""
    if method == "predict_std":
        if hasattr(estimator, "predict_uncertainty"):
            return estimator.predict_uncertainty(X)
        if "return_std" not in inspect.signature(estimator.predict).parameters:
            return None
        mean, std = estimator.predict(X, return_std=True)
        return pd.DataFrame({"mean": mean, "std": std})
    return getattr(estimator, method)(X, **settings) if hasattr(estimator, method) else None


def _delegate(estimator: Any, X: Any, method: str, settings: dict[str, Any]) -> Any:
    """Ask the innermost estimator, from the outside in, and take its answer back."""
    if isinstance(estimator, Pipeline):
        prepared = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return _delegate(estimator[-1], prepared, method, settings)
    if hasattr(estimator, "best_estimator_"):
        return _delegate(estimator.best_estimator_, X, method, settings)
    if isinstance(estimator, TransformedTargetRegressor):
        return _TAKE_BACK[method](estimator, _delegate(estimator.regressor_, X, method, settings))
    name = type(estimator).__name__
    if hasattr(estimator, "best_score_") or hasattr(estimator, "best_params_"):
        raise TypeError(f"{name} was fitted with refit=False, so it holds no fitted estimator.")
    found = _call_method(estimator, X, method, settings)
    if found is None:
        what = "predict(X, return_std=True)" if method == "predict_std" else method
        raise TypeError(
            f"{name} has no {what}. SpTGNNRegressor has; it may stand in a Pipeline, a search or "
            "a TransformedTargetRegressor. For other regressors, wrap them by MAPIE."
        )
    return found


def _inverse(estimator: TransformedTargetRegressor, values: np.ndarray) -> np.ndarray:
    back = estimator.transformer_.inverse_transform(np.reshape(values, (-1, 1)))
    return np.reshape(back, np.shape(values))


def _interval_back(estimator: TransformedTargetRegressor, found: np.ndarray) -> np.ndarray:
    return np.sort(_inverse(estimator, found), axis=1)  # a falling transform turns limits around


def _uncertainty_back(estimator: TransformedTargetRegressor, found: pd.DataFrame) -> pd.DataFrame:
    """Move moments through the inverse of the transform, which must be linear for that."""
    mean, std = found["mean"].to_numpy(), found["std"].to_numpy()
    low, middle, high = (_inverse(estimator, mean + side * std) for side in (-1, 0, 1))
    width = (high - low) / 2
    if np.any(np.abs(high + low - 2 * middle) > _NOT_LINEAR * np.abs(width)):
        raise ValueError(
            f"TransformedTargetRegressor with {estimator.transformer_} is not linear, so that a "
            "standard deviation cannot be taken back through it. Use predict_interval, or "
            "SpTGNNRegressor(target_transform='log1p') without the wrapper."
        )
    ratio = np.abs(np.divide(width, std, out=np.zeros_like(width), where=std > 0))
    limits = [name for name in _LIMIT_COLUMNS if name in found.columns]
    parts = {name: ratio * found[name] for name in found.columns if name not in ("mean", *limits)}
    if limits:
        moved = _interval_back(estimator, found[limits].to_numpy())
        parts |= dict(zip(limits, moved.T, strict=True))
    return found.assign(mean=middle, **parts)


_TAKE_BACK: dict[str, Callable[..., Any]] = {
    "predict_std": _uncertainty_back,
    "predict_uncertainty": _uncertainty_back,
    "predict_interval": _interval_back,
    "predict_quantiles": _interval_back,
}
