"""What each ingredient of the method is worth on a table: refits with one of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import check_cv, cross_validate

__all__ = ["INGREDIENTS", "ablation"]

# Name: the parameters of SpTGNNRegressor that are changed.
INGREDIENTS: dict[str, dict[str, Any]] = {
    "no base estimator": {"base_estimator": None},
    "no graph": {"relations": ()},
    "spatial relation only": {"relations": ("spatial",)},
    "no spatial relation": {"relations": ("spectral", "elevation")},
    "no spectral relation": {"relations": ("spatial", "elevation")},
    "no elevation relation": {"relations": ("spatial", "spectral")},
    "no messages": {"network__messages": False},
    "no neighbor targets": {"network__neighbor_targets": False},
    "no mixture of experts": {"network__n_experts": 0},
    "no Moran penalty": {"network__moran_weight": 0.0},
    "no position": {"streams": ("covariates", "time", "imagery")},
    "no time": {"streams": ("covariates", "position", "imagery")},
    "squared errors (beta=1)": {"network__beta": 1.0},
    "one ensemble member": {"n_estimators": 1},
    "ten ensemble members": {"n_estimators": 10},
    "two attention layers": {"network__n_layers": 2},
    "no early stopping": {"n_iter_no_change": None},
}
# Ingredients that a model without such a column does not have.
_NEEDS = {"no elevation relation": "elevation", "no time": "time"}


def ablation(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    ingredients: Mapping[str, Mapping[str, Any]] | None = None,
    scoring: Any = None,
    groups: Any = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Refit with each ingredient changed, and tell what that does to the score.

    Parameters
    ----------
    estimator : SpTGNNRegressor, or a Pipeline or other wrapper that holds one
        With `random_state` set, or differences are of seeds as well.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    cv : int, splitter or iterable of (train, test), default=None
        Folds, the same for all. None is five random folds; spatial ones are better.
    ingredients : mapping of str to mapping of parameters, default=None
        What is changed, by name. None takes those of the study in the documentation, without
        those that need a column which the estimator was not given.
    scoring : str or callable, default=None
        None is R2.
    groups : array-like of shape (n_samples,), default=None
        For `cv`.
    n_jobs : int, default=None
        Folds at a time.

    Returns
    -------
    DataFrame
        A line for the estimator as it is ("as given") and one for each change: mean and std of the
        score over folds, and mean and std of its difference to the first line, fold by fold.

    Raises
    ------
    ValueError
        If there is no SpTGNNRegressor inside, or a change is of an unknown parameter.

    Notes
    -----
    Folds share training rows, so their spread is less than that of new surveys: a mean difference
    of less than one standard deviation shows nothing.

    Examples
    --------
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.inspection import ablation
    >>> survey = make_soil_survey(n_samples=150, random_state=0)
    >>> model = SpTGNNRegressor(n_estimators=2, max_epochs=5, base_estimator=None, random_state=0)
    >>> change = {"no graph": {"relations": ()}}
    >>> found = ablation(
    ...     model, survey.data.drop(columns="date"), survey.target, cv=3, ingredients=change
    ... )
    >>> found.index.tolist()
    ['as given', 'no graph']
    >>> found.columns.tolist()
    ['score', 'score_std', 'difference', 'difference_std']
    """
    prefix = _prefix(estimator)
    known = estimator.get_params()
    if ingredients is None:
        ingredients = {
            name: change
            for name, change in INGREDIENTS.items()
            if known.get(prefix + _NEEDS.get(name, ""), "none needed") is not None
        }
    # Splits are drawn once, so that differences are paired whatever the splitter.
    splits = list(check_cv(5 if cv is None else cv).split(X, y, groups))
    scores = {}
    for name, change in {"as given": {}, **ingredients}.items():
        model = clone(estimator).set_params(
            **{prefix + parameter: value for parameter, value in change.items()}
        )
        scores[name] = cross_validate(
            model, X, y, cv=splits, scoring=scoring, n_jobs=n_jobs, error_score="raise"
        )["test_score"]
    found = np.array(list(scores.values()))
    difference = found - found[0]
    return pd.DataFrame(
        {
            "score": found.mean(axis=1),
            "score_std": found.std(axis=1, ddof=1),
            "difference": difference.mean(axis=1),
            "difference_std": difference.std(axis=1, ddof=1),
        },
        index=pd.Index(scores, name="variant"),
    )


def _prefix(estimator: Any) -> str:
    """Return what precedes the parameters of the model inside of wrappers."""
    names = estimator.get_params()
    suffix = "n_member_groups"  # a parameter of no other estimator
    found = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    if len(found) != 1:
        raise ValueError(
            f"ablation needs one SpTGNNRegressor inside the estimator; found {len(found)} in "
            f"{type(estimator).__name__}."
        )
    return found[0]
