"""Uncertainty of regressors inside Pipelines, searches and TransformedTargetRegressors."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from .utils.distribution_columns import (
    DistributionColumns,
    check_coverage,
    choose_limits,
    quantile_column,
)
from .utils.target_transforms import (
    inverse_draws,
    inverse_interval,
    inverse_target,
    transform_increases,
    transform_target,
)

__all__ = [
    "innermost_estimator",
    "predict_interval",
    "predict_mean_std",
    "predict_normal_quantiles",
    "predict_probability",
    "predict_quantiles",
    "predict_uncertainty",
    "sample_y",
    "wrapped_estimator",
]

_LINEARITY_TOLERANCE = 1e-6  # largest deviation from a linear transform, in standard deviations


def wrapped_estimator(estimator: Any) -> Any | None:
    """Return the estimator directly inside a Pipeline, search or TransformedTargetRegressor.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    estimator or None
        The last step of a Pipeline, ``best_estimator_`` or ``regressor_``; None for any other
        estimator and for a search or TransformedTargetRegressor that is not fitted.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn.meta_estimators import wrapped_estimator
    >>> wrapped_estimator(make_pipeline("passthrough", LinearRegression()))
    LinearRegression()
    """
    if isinstance(estimator, Pipeline):
        return estimator[-1]
    if isinstance(estimator, TransformedTargetRegressor):
        return getattr(estimator, "regressor_", None)
    return getattr(estimator, "best_estimator_", None)


def innermost_estimator(estimator: Any) -> Any:
    """Return the regressor inside any nesting of Pipelines, searches and transformed targets.

    Parameters
    ----------
    estimator : estimator

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn.meta_estimators import innermost_estimator
    >>> innermost_estimator(make_pipeline(make_pipeline(LinearRegression())))
    LinearRegression()
    """
    while (inner := wrapped_estimator(estimator)) is not None:
        estimator = inner
    return estimator


def predict_uncertainty(
    estimator: Any,
    X: Any,
    coverage: float | Sequence[float] | None = None,
    quantiles: float | Sequence[float] | None = None,
    below: float | Sequence[float] | None = None,
    above: float | Sequence[float] | None = None,
) -> pd.DataFrame:
    """Predict the mean and its uncertainty with a regressor inside meta-estimators.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor` or any regressor with ``predict_uncertainty``, optionally inside
        Pipelines, searches such as GridSearchCV, and TransformedTargetRegressors with a linear
        transform.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.
    coverage, quantiles, below, above : float or sequence of float, default=None
        Intervals, quantiles and probabilities to add, as in `SpTGNNRegressor.predict_uncertainty`;
        limits are in the unit of y.

    Returns
    -------
    DataFrame of shape (n_samples, 4 + n_added)
        Columns mean, std, aleatoric and epistemic, in the unit of y, and those of the parameters:
        lower and upper, q05, ``p<2.0``, ``p>3.5``.

    Raises
    ------
    TypeError
        If no such regressor is found inside the supported meta-estimators.
    ValueError
        If a transform of the target is not linear, so that standard deviations have no inverse, or
        a parameter is invalid.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn import SpTGNNRegressor, predict_uncertainty
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=100, random_state=0)
    >>> settings = {"time": "date", "n_estimators": 2, "max_epochs": 2}
    >>> model = SpTGNNRegressor(base_estimator=None, **settings)
    >>> pipe = make_pipeline("passthrough", model).fit(survey.data, survey.target)
    >>> predict_uncertainty(pipe, survey.data.head(3), quantiles=0.05).shape
    (3, 5)
    """
    requested = DistributionColumns.check(coverage, quantiles, below, above)
    return _delegate(estimator, X, "predict_uncertainty", requested.parameters)


def predict_interval(estimator: Any, X: Any, coverage: float = 0.9) -> np.ndarray:
    """Predict intervals with a regressor inside meta-estimators.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor`, MAPIE's or any other regressor with ``predict_interval``, optionally
        inside Pipelines, searches such as GridSearchCV, and TransformedTargetRegressors.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.
    coverage : float, default=0.9
        Nominal coverage of the intervals.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Lower and upper limit, in the unit of y. Transforms of the target must be monotone. A limit
        is infinite where the inverse transform has no value, as that of PowerTransformer beyond the
        range of the transform.

    Raises
    ------
    TypeError
        If no such regressor is found inside the supported meta-estimators.
    ValueError
        If `coverage` is not a level of a regressor of MAPIE, which has them since its construction.

    Examples
    --------
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> import numpy as np
    >>> from sptgnn_sklearn import SpTGNNRegressor, predict_interval
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=100, random_state=0)
    >>> settings = {"time": "date", "n_estimators": 2, "max_epochs": 2}
    >>> model = SpTGNNRegressor(base_estimator=None, **settings)
    >>> logarithm = TransformedTargetRegressor(model, func=np.log1p, inverse_func=np.expm1)
    >>> logarithm = logarithm.fit(survey.data, survey.target.clip(0))
    >>> predict_interval(logarithm, survey.data.head(3), coverage=0.8).shape
    (3, 2)
    """
    return _delegate(estimator, X, "predict_interval", {"coverage": check_coverage(coverage)})


def predict_probability(
    estimator: Any,
    X: Any,
    *,
    below: float | Sequence[float] | None = None,
    above: float | Sequence[float] | None = None,
) -> np.ndarray:
    """Predict probabilities below or above limits with a regressor inside meta-estimators.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor` or any regressor with ``predict_probability``, optionally inside
        Pipelines, searches such as GridSearchCV, and TransformedTargetRegressors with a monotone
        transform.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.
    below, above : float or sequence of float, default=None
        Limits in the unit of y; either `below` or `above` is given.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_limits)
        As `SpTGNNRegressor.predict_probability`.

    Raises
    ------
    TypeError
        If no such regressor is found inside the supported meta-estimators.
    ValueError
        If both or none of `below` and `above` are given, a limit is NaN, or a transform of the
        target has no value at a limit.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn import SpTGNNRegressor, predict_probability
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=100, random_state=0)
    >>> settings = {"time": "date", "n_estimators": 2, "max_epochs": 2}
    >>> model = SpTGNNRegressor(base_estimator=None, **settings)
    >>> pipe = make_pipeline("passthrough", model).fit(survey.data, survey.target)
    >>> predict_probability(pipe, survey.data.head(3), below=20).shape
    (3,)
    """
    limits, is_above, is_single = choose_limits(below, above)
    settings = {"above" if is_above else "below": limits.tolist()}
    found = _delegate(estimator, X, "predict_probability", settings)
    return found[:, 0] if is_single else found


def sample_y(
    estimator: Any,
    X: Any,
    n_samples: int = 1,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Draw samples from the joint predictive distribution of a regressor inside meta-estimators.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor` or any regressor with ``sample_y``, optionally inside Pipelines, searches
        such as GridSearchCV, and TransformedTargetRegressors.
    X : DataFrame or array-like of shape (n_rows, n_features)
        Input of the outermost estimator.
    n_samples : int, default=1
        Number of draws.
    random_state : int, RandomState or None, default=None
        As in `SpTGNNRegressor.sample_y`.

    Returns
    -------
    ndarray of shape (n_rows, n_samples)
        In the unit of y. With a nonlinear transform of the target their mean is not ``predict``,
        which is the inverse of the mean on the transformed scale.

    Raises
    ------
    TypeError
        If no such regressor is found inside the supported meta-estimators.
    ValueError
        If the inverse transform of the target has no value at a draw.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn import sample_y
    >>> X = np.arange(9.0)[:, None]
    >>> pipe = make_pipeline("passthrough", GaussianProcessRegressor(optimizer=None))
    >>> pipe = pipe.fit(X, X[:, 0])
    >>> sample_y(pipe, X[:3] + 0.5, n_samples=4, random_state=0).shape
    (3, 4)
    """
    settings = {"n_samples": n_samples, "random_state": random_state}
    return _delegate(estimator, X, "sample_y", settings)


def predict_mean_std(estimator: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Predict the mean and the standard deviation with a regressor inside meta-estimators.

    Parameters
    ----------
    estimator : fitted regressor
        Any regressor with ``predict_uncertainty`` or ``predict(X, return_std=True)``, optionally
        inside Pipelines, searches, and TransformedTargetRegressors with a linear transform.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.

    Returns
    -------
    mean, std : ndarray of shape (n_samples,)
        In the unit of y.

    Raises
    ------
    TypeError
        If no such regressor is found inside the supported meta-estimators.
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
    """Predict quantiles with a regressor inside meta-estimators, if it has any.

    Parameters
    ----------
    estimator : fitted regressor
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.
    quantiles : sequence of float
        Increasing levels, symmetric around 0.5, so that decreasing transforms are supported.

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles) or None
        None if the innermost regressor has no ``predict_quantiles``.

    Examples
    --------
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.meta_estimators import predict_quantiles
    >>> predict_quantiles(BayesianRidge().fit([[0.0], [1.0]], [0.0, 1.0]), [[0.5]], [0.5]) is None
    True
    """
    if not hasattr(innermost_estimator(estimator), "predict_quantiles"):
        return None
    return _delegate(estimator, X, "predict_quantiles", {"quantiles": quantiles})


def predict_normal_quantiles(estimator: Any, X: Any, quantiles: Sequence[float]) -> np.ndarray:
    """Return quantiles of normal distributions with the predicted means and standard deviations.

    Parameters
    ----------
    estimator : fitted regressor
        As in `predict_mean_std`, but transforms of the target may be nonlinear: the distributions
        are normal on the scale on which the innermost regressor predicts.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Input of the outermost estimator.
    quantiles : sequence of float
        Increasing levels, symmetric around 0.5.

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles)
        In the unit of y.

    Raises
    ------
    TypeError
        If the innermost regressor predicts no standard deviation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.linear_model import BayesianRidge
    >>> from sptgnn_sklearn.meta_estimators import predict_normal_quantiles
    >>> X, y = np.arange(9.0)[:, None], np.exp(np.arange(9.0))
    >>> model = TransformedTargetRegressor(BayesianRidge(), func=np.log, inverse_func=np.exp)
    >>> predict_normal_quantiles(model.fit(X, y), X[:2], [0.05, 0.95]).round(1)
    array([[1. , 1. ],
           [2.7, 2.7]])
    """
    return _delegate(estimator, X, "normal_quantiles", {"quantiles": quantiles})


def _call_method(estimator: Any, X: Any, method: str, settings: dict[str, Any]) -> Any:
    """Call a method of an estimator; return None if the estimator lacks it."""
    if method == "normal_quantiles":
        moments = _call_method(estimator, X, "predict_std", {})
        if moments is None:
            return None
        mean, std = moments[["mean", "std"]].to_numpy(dtype=float).T[:, :, None]
        return mean + std * ndtri(settings["quantiles"])
    if method == "predict_interval" and _has_fixed_levels(estimator):
        return _fixed_interval(estimator, X, **settings)
    if method == "predict_std":
        if hasattr(estimator, "predict_uncertainty"):
            return estimator.predict_uncertainty(X)
        if "return_std" not in inspect.signature(estimator.predict).parameters:
            return None
        mean, std = estimator.predict(X, return_std=True)
        return pd.DataFrame({"mean": mean, "std": std})
    return getattr(estimator, method)(X, **settings) if hasattr(estimator, method) else None


def _has_fixed_levels(estimator: Any) -> bool:
    found = getattr(estimator, "predict_interval", None)
    return found is not None and "coverage" not in inspect.signature(found).parameters


def _fixed_interval(estimator: Any, X: Any, coverage: float) -> np.ndarray:
    """Return the intervals of an estimator whose levels were chosen before, as those of MAPIE."""
    found = estimator.predict_interval(X)
    intervals = np.asarray(found[1] if isinstance(found, tuple) else found, dtype=float)
    intervals = intervals[:, :, None] if intervals.ndim == 2 else intervals
    name, n_levels = type(estimator).__name__, intervals.shape[-1]
    # MAPIE has no public attribute of its levels.
    tails = (vars(estimator).get(attribute) for attribute in ("_alphas", "_alpha", "alpha"))
    levels = 1 - np.ravel(next((tail for tail in tails if tail is not None), [])).astype(float)
    if len(levels) != n_levels:
        if n_levels == 1:
            return intervals[:, :, 0]
        raise ValueError(
            f"{name}.predict_interval returns intervals of {n_levels} unknown levels: construct it "
            f"with one, coverage={coverage:g}."
        )
    if not np.isclose(levels, coverage).any():
        raise ValueError(
            f"coverage={coverage:g} is not a level of {name}, whose confidence_level is "
            f"{', '.join(f'{level:g}' for level in levels)}: pass one of these."
        )
    return intervals[:, :, np.abs(levels - coverage).argmin()]


def _delegate(estimator: Any, X: Any, method: str, settings: dict[str, Any]) -> Any:
    """Call a method of the innermost estimator; transform X on the way in and the result back."""
    if isinstance(estimator, Pipeline):
        prepared = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return _delegate(estimator[-1], prepared, method, settings)
    inner = wrapped_estimator(estimator)
    if inner is not None:
        if isinstance(estimator, TransformedTargetRegressor):
            return _delegate_transformed(estimator, inner, X, method, settings)
        return _delegate(inner, X, method, settings)
    name = type(estimator).__name__
    if hasattr(estimator, "best_score_") or hasattr(estimator, "best_params_"):
        raise TypeError(f"{name} was fitted with refit=False, so it holds no fitted estimator.")
    found = _call_method(estimator, X, method, settings)
    if found is None:
        has_moments = method in ("predict_std", "normal_quantiles")
        what = "predict(X, return_std=True)" if has_moments else method
        other = "" if method == "sample_y" else ", or wrap the regressor by MAPIE"
        raise TypeError(
            f"{name} has no {what}. Use SpTGNNRegressor, optionally inside a Pipeline, a search or "
            f"a TransformedTargetRegressor{other}."
        )
    return found


def _delegate_transformed(
    estimator: TransformedTargetRegressor, inner: Any, X: Any, method: str, settings: dict[str, Any]
) -> Any:
    """Call a method of the regressor of a transformed target; return results in the unit of y."""
    if method == "predict_std":
        return _inverse_moments(estimator, _delegate(inner, X, method, settings))
    if method == "predict_probability":
        return _delegate(inner, X, method, _transform_limits(estimator, **settings)[0])
    if method == "sample_y":
        return inverse_draws(estimator, _delegate(inner, X, method, settings))
    if method == "predict_uncertainty":
        return _inverse_uncertainty(estimator, inner, X, DistributionColumns.check(**settings))
    return inverse_interval(estimator, _delegate(inner, X, method, settings))


def _inverse_uncertainty(
    estimator: TransformedTargetRegressor, inner: Any, X: Any, requested: DistributionColumns
) -> pd.DataFrame:
    """Return moments, intervals, quantiles and probabilities on the original scale."""
    # A decreasing transform turns a quantile into that of the opposite level.
    levels = [*requested.quantiles, *(round(1 - level, 12) for level in requested.quantiles)]
    levels = sorted({quantile_column(level): level for level in levels}.values())
    limits, increases = _transform_limits(estimator, requested.below, requested.above)
    passed = replace(
        requested,
        quantiles=tuple(levels),
        below=tuple(limits.get("below", ())),
        above=tuple(limits.get("above", ())),
    )
    found = _delegate(inner, X, "predict_uncertainty", passed.parameters)
    values = found[passed.names].to_numpy()
    # The errors behind an interval are the same on every scale.
    support = [name for name in found if name == "n_effective" or name.startswith("certified")]
    moments = _inverse_moments(estimator, found.drop(columns=[*passed.names, *support]))
    n_limits = 2 * len(passed.coverage)
    parts = [
        inverse_interval(estimator, values[:, first : first + 2]) for first in range(0, n_limits, 2)
    ]
    if levels:
        back = inverse_interval(estimator, values[:, n_limits : n_limits + len(levels)])
        names = [quantile_column(level) for level in levels]
        parts.append(back[:, [names.index(quantile_column(q)) for q in requested.quantiles]])
    probability = values[:, n_limits + len(levels) :]
    # A decreasing transform swaps the two kinds of limits, and the order of their columns.
    parts.append(probability if increases else np.roll(probability, len(requested.below), axis=1))
    columns = np.concatenate(parts, axis=1)
    added = dict(zip(requested.names, columns.T, strict=True))
    numeric = [name for name in moments if pd.api.types.is_numeric_dtype(moments[name].dtype)]
    others = [name for name in moments if name not in numeric]  # the geometry
    added |= {name: found[name] for name in support}
    return moments.assign(**added)[[*numeric, *added, *others]]


def _transform_limits(
    estimator: TransformedTargetRegressor, below: Sequence[float] = (), above: Sequence[float] = ()
) -> tuple[dict[str, list[float]], bool]:
    """Return limits on the transformed scale by parameter, and whether the transform increases."""
    limits = np.array([*below, *above], dtype=float)
    finite = np.isfinite(limits)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        increases = transform_increases(estimator, limits[finite])
        moved = limits.copy() if increases else -limits
        moved[finite] = transform_target(estimator, limits[finite])
    if np.isnan(moved).any():
        raise ValueError(
            f"TransformedTargetRegressor with {estimator.transformer_} has no value at the limit "
            f"{limits[np.isnan(moved).argmax()]:g}: choose a limit in the range of the target."
        )
    first, second = moved[: len(below)].tolist(), moved[len(below) :].tolist()
    names = ("below", "above") if increases else ("above", "below")
    found = dict(zip(names, (first, second), strict=True))
    return {name: values for name, values in found.items() if values}, increases


def _inverse_moments(estimator: TransformedTargetRegressor, found: pd.DataFrame) -> pd.DataFrame:
    """Return moments on the original scale; the transform must be linear."""
    mean, std = found["mean"].to_numpy(), found["std"].to_numpy()
    low, middle, high = (inverse_target(estimator, mean + side * std) for side in (-1, 0, 1))
    width = (high - low) / 2
    # NaN, where the inverse has no value, is not linear either.
    if not np.all(np.abs(high + low - 2 * middle) <= _LINEARITY_TOLERANCE * np.abs(width)):
        raise ValueError(
            f"TransformedTargetRegressor with {estimator.transformer_} is not linear, so "
            "standard deviations cannot be transformed back. Use predict_interval, or "
            "SpTGNNRegressor(target_transform='log1p') without the wrapper."
        )
    ratio = np.abs(np.divide(width, std, out=np.zeros_like(width), where=std > 0))
    parts = {
        name: ratio * found[name]
        for name in found.columns
        if name != "mean" and pd.api.types.is_numeric_dtype(found[name].dtype)
    }
    return found.assign(mean=middle, **parts)
