"""Mean, standard deviation and interval of any regressor, by the methods that it has."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from ..meta_estimators import (
    innermost_estimator,
    predict_interval,
    predict_mean_std,
    predict_normal_quantiles,
    predict_quantiles,
    wrapped_estimator,
)
from ..utils.distribution_columns import check_coverage

__all__ = ["PREDICTION_COLUMNS", "predict_columns", "unwrap_estimator"]

PREDICTION_COLUMNS = ("mean", "std", "lower", "upper")


def predict_columns(
    estimator: Any, X: Any, coverage: float, *, conformal: bool = False
) -> np.ndarray:
    """Predict the mean, the standard deviation and a central interval of each row.

    Parameters
    ----------
    estimator : fitted regressor
        Also inside Pipelines, searches and TransformedTargetRegressors.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.
    coverage : float
        Nominal coverage of the intervals.
    conformal : bool, default=False
        Whether ``predict_interval`` is used before ``predict_quantiles`` by a regressor that has
        both.

    Returns
    -------
    ndarray of shape (n_samples, 4)
        `PREDICTION_COLUMNS`; NaN for those that the regressor does not predict. Without the two
        methods above the intervals are normal ones. A standard deviation that is zero in all rows,
        as that of `DummyRegressor`, and that through a nonlinear transform of the target, is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.metrics.predicted_columns import predict_columns
    >>> X = np.arange(20.0)[:, None]
    >>> mean, std, lower, upper = predict_columns(BayesianRidge().fit(X, np.sin(X[:, 0])), X, 0.9).T
    >>> np.allclose(upper, mean + 1.6449 * std, atol=1e-4)
    True
    """
    coverage = check_coverage(coverage)
    estimator, X = unwrap_estimator(estimator, X)
    mean, std = _mean_and_std(estimator, X)
    columns = np.full((len(mean), len(PREDICTION_COLUMNS)), np.nan)
    columns[:, 0] = mean
    if std is not None and np.any(std):
        columns[:, 1] = std
    interval = _interval(estimator, X, coverage, columns[:, :2], conformal)
    if interval is not None:
        columns[:, 2:] = interval
    return columns


def unwrap_estimator(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the estimator inside searches and Pipelines, and X transformed by their steps.

    Their transformers, which may embed images, then run once for all methods. A
    TransformedTargetRegressor is not unwrapped: the regressor inside predicts on another scale.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sptgnn_sklearn.metrics.predicted_columns import unwrap_estimator
    >>> model = make_pipeline(FunctionTransformer(np.abs), LinearRegression())
    >>> unwrap_estimator(model.fit([[1.0], [2.0]], [2.0, 4.0]), np.array([[-3.0]]))
    (LinearRegression(), array([[3.]]))
    """
    while not isinstance(estimator, TransformedTargetRegressor):
        inner = wrapped_estimator(estimator)
        if inner is None:
            break
        if isinstance(estimator, Pipeline) and len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = inner
    return estimator, X


def _mean_and_std(estimator: Any, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the mean, and the standard deviation if it is predicted on the scale of y."""
    if _returns_std(estimator):
        return estimator.predict(X, return_std=True)
    mean = estimator.predict(X)
    inner = innermost_estimator(estimator)
    if not _has_moments(inner):
        return mean, None
    try:
        return mean, predict_mean_std(estimator, X)[1]
    except ValueError:  # of a nonlinear transform; errors of the model are raised by predict
        return mean, None


def _returns_std(estimator: Any) -> bool:
    return "return_std" in inspect.signature(estimator.predict).parameters


def _has_moments(estimator: Any) -> bool:
    return hasattr(estimator, "predict_uncertainty") or _returns_std(estimator)


def _interval(
    estimator: Any, X: Any, coverage: float, moments: np.ndarray, conformal: bool
) -> np.ndarray | None:
    """Return intervals (n, 2) of the first method that the estimator has; None without any."""
    inner = innermost_estimator(estimator)
    levels = [0.5 - coverage / 2, 0.5 + coverage / 2]
    has_quantiles = hasattr(inner, "predict_quantiles")
    if hasattr(inner, "predict_interval") and (conformal or not has_quantiles):
        return predict_interval(estimator, X, coverage)
    if has_quantiles:
        return predict_quantiles(estimator, X, levels)
    if not isinstance(estimator, TransformedTargetRegressor):
        mean, std = moments.T[:, :, None]
        return mean + std * ndtri(levels)
    if not _has_moments(inner):
        return None
    limits = predict_normal_quantiles(estimator, X, levels)
    return None if (limits[:, 0] == limits[:, 1]).all() else limits
