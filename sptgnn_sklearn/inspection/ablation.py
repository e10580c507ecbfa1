"""Ablation study: cross-validated score after changing one ingredient of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import check_cv, cross_validate

__all__ = ["INGREDIENTS", "ablation"]

# Changed parameters of SpTGNNRegressor by name of the variant.
INGREDIENTS: dict[str, dict[str, Any]] = {
    "no base estimator": {"base_estimator": None},
    "XGBoost as base estimator": {"base_estimator": "xgboost"},
    "no graph": {"relations": ()},
    "spatial relation only": {"relations": ("spatial",)},
    "no spatial relation": {"relations": ("spectral", "elevation")},
    "no spectral relation": {"relations": ("spatial", "elevation")},
    "no elevation relation": {"relations": ("spatial", "spectral")},
    "no messages": {"network__messages": False},
    "no neighbor targets": {"network__neighbor_targets": False},
    "no mixture of experts": {"network__n_experts": 0},
    "no Moran penalty": {"network__moran_weight": 0.0},
    "no position": {"network__streams": ("covariates", "time", "imagery")},
    "no time": {"network__streams": ("covariates", "position", "imagery")},
    "squared errors (beta=1)": {"network__beta": 1.0},
    "one ensemble member": {"n_estimators": 1},
    "ten ensemble members": {"n_estimators": 10},
    "two attention layers": {"network__n_layers": 2},
    "no early stopping": {"n_iter_no_change": None},
}
# Variants that equal the model as given if this parameter is None.
_REQUIRED_COLUMNS = {"no elevation relation": "elevation", "no time": "time"}


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
    """Cross-validate a model with one ingredient changed at a time (ablation study).

    Parameters
    ----------
    estimator : SpTGNNRegressor, or a Pipeline or other meta-estimator around one
        Set its `random_state`, otherwise differences include those of seeds.
    X : DataFrame or array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    cv : int, splitter or iterable of (train, test), default=None
        Folds, the same for all variants. None means five unshuffled folds; spatial folds are
        recommended.
    ingredients : mapping of str to mapping of parameters, default=None
        Changed parameters of `SpTGNNRegressor` by name of the variant, for example
        ``{"no experts": {"network__n_experts": 0}}``. None uses the variants of the study in the
        documentation, without those of columns that the estimator does not use.
    scoring : str or callable, default=None
        Score as in `cross_validate`. None means R2.
    groups : array-like of shape (n_samples,), default=None
        Groups passed to `cv`.
    n_jobs : int, default=None
        Number of folds fitted in parallel.

    Returns
    -------
    DataFrame
        One row for the unchanged estimator ("as given") and one per variant, with the mean and
        standard deviation over folds of the score and of its difference to the first row.

    Raises
    ------
    ValueError
        If `estimator` contains no SpTGNNRegressor, or a changed parameter is unknown.

    Notes
    -----
    Folds share training rows, so scores vary less between folds than between independent samples:
    a mean difference below one standard deviation is not evidence of an effect.

    Examples
    --------
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.inspection import ablation
    >>> survey = make_soil_survey(n_samples=150, random_state=0)
    >>> model = SpTGNNRegressor(n_estimators=2, max_epochs=5, base_estimator=None, random_state=0)
    >>> changes = {"no graph": {"relations": ()}}
    >>> table = ablation(
    ...     model, survey.data.drop(columns="date"), survey.target, cv=3, ingredients=changes
    ... )
    >>> table.index.tolist()
    ['as given', 'no graph']
    >>> table.columns.tolist()
    ['score', 'score_std', 'difference', 'difference_std']
    """
    prefix = _parameter_prefix(estimator)
    parameters = estimator.get_params()
    if ingredients is None:
        ingredients = {
            name: changes
            for name, changes in INGREDIENTS.items()
            if parameters.get(prefix + _REQUIRED_COLUMNS.get(name, ""), "none") is not None
        }
    # Folds are drawn once, so that differences are paired even with a random splitter.
    splits = list(check_cv(5 if cv is None else cv).split(X, y, groups))
    scores = {}
    for name, changes in {"as given": {}, **ingredients}.items():
        model = clone(estimator).set_params(
            **{prefix + parameter: value for parameter, value in changes.items()}
        )
        scores[name] = cross_validate(
            model, X, y, cv=splits, scoring=scoring, n_jobs=n_jobs, error_score="raise"
        )["test_score"]
    score = np.array(list(scores.values()))
    difference = score - score[0]
    return pd.DataFrame(
        {
            "score": score.mean(axis=1),
            "score_std": score.std(axis=1, ddof=1),
            "difference": difference.mean(axis=1),
            "difference_std": difference.std(axis=1, ddof=1),
        },
        index=pd.Index(scores, name="variant"),
    )


def _parameter_prefix(estimator: Any) -> str:
    """Return the prefix of the parameters of the SpTGNNRegressor inside meta-estimators."""
    unique = "n_member_groups"  # no other regressor has this parameter
    names = estimator.get_params()
    prefixes = [name.removesuffix(unique) for name in names if name.endswith(unique)]
    if len(prefixes) != 1:
        raise ValueError(
            f"estimator must contain one SpTGNNRegressor; found {len(prefixes)} in "
            f"{type(estimator).__name__}."
        )
    return prefixes[0]
