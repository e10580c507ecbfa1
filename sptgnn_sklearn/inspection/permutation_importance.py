"""Importance of groups of columns that belong together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..table.coordinate_columns import as_dataframe, find_column, locate_coordinates
from ..table.schema import TableSchema
from ..utils.validation import require_count

__all__ = ["grouped_permutation_importance"]


def grouped_permutation_importance(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Mapping[str, Sequence[Hashable]] | None = None,
    scoring: Any = None,
    n_repeats: int = 5,
    random_state: Any = None,
) -> pd.DataFrame:
    """Tell how much worse a model scores when groups of columns are shuffled over the rows.

    The columns of a group move together: a shuffled longitude beside the true latitude would be a
    place where no row is.

    Parameters
    ----------
    estimator : fitted estimator
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows that were not trained on: of training rows the model knows the targets, and the place
        is then all that counts.
    y : array-like of shape (n_samples,)
    groups : mapping of str to sequence of labels or positions, default=None
        Columns of each group. None takes the streams of an `SpTGNNRegressor`, also within a
        Pipeline or a search: position, covariates, time and imagery. For other models it takes the
        coordinates (of the usual names, else the first two columns) and each other column alone.
    scoring : str or callable, default=None
        As in scikit-learn; None is the estimator's own score, R2.
    n_repeats : int, default=5
        How often each group is shuffled.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    DataFrame
        A line for each group, most important first: mean and std of the loss of score over
        repeats, and the columns.

    Raises
    ------
    ValueError
        If a group names a column that is not there, or none.

    Notes
    -----
    Columns that say the same stand in for each other, within a group and between groups: both may
    look unimportant [1]_.

    References
    ----------
    .. [1] Breiman, L. (2001). Random forests. Machine Learning 45, 5-32; groups as in Gregorutti,
       B., Michel, B., Saint-Pierre, P. (2015). Grouped variable importance with random forests.
       Computational Statistics & Data Analysis 90, 15-35.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from sptgnn_sklearn.inspection import grouped_permutation_importance
    >>> X = pd.DataFrame({"x": range(50), "y": [0.0] * 50, "noise": [1.0, 0.0] * 25})
    >>> model = KNeighborsRegressor().fit(X, X["x"])
    >>> found = grouped_permutation_importance(model, X, X["x"], random_state=0)
    >>> found.index.tolist(), bool(found.loc["position", "mean"] > 0.5)
    (['position', 'noise'], True)
    """
    check_is_fitted(estimator)
    require_count("n_repeats", n_repeats)
    frame = as_dataframe(X)
    if groups is None:
        found = _streams(estimator, frame)
    else:
        found = {
            name: [
                find_column(frame, label, f"groups[{name!r}]") for label in _as_label_list(labels)
            ]
            for name, labels in groups.items()
        }
    empty = [name for name, labels in found.items() if not labels]
    if empty or not found:
        raise ValueError(f"groups name no columns: {empty or 'there is no group'}.")
    score = check_scoring(estimator, scoring=scoring)
    rng = check_random_state(random_state)
    before = score(estimator, X, y)
    rows = []
    for name, labels in found.items():
        losses = []
        for _ in range(n_repeats):
            order = rng.permutation(len(frame))
            losses.append(before - score(estimator, _shuffle(X, frame, labels, order), y))
        rows.append((name, np.mean(losses), np.std(losses), labels))
    table = pd.DataFrame(rows, columns=["group", "mean", "std", "columns"]).set_index("group")
    return table.sort_values("mean", ascending=False, kind="stable")


def _as_label_list(labels: Any) -> list[Any]:
    return [labels] if isinstance(labels, str | int) else list(labels)


def _shuffle(X: Any, frame: pd.DataFrame, labels: Sequence[Hashable], order: np.ndarray) -> Any:
    """Return X, of its own kind, with some columns in another order of rows."""
    if isinstance(X, pd.DataFrame):
        moved = X.copy()
        for label in labels:
            moved[label] = X[label].array[order]  # of the same type, the index as it was
        return moved
    places = np.flatnonzero(frame.columns.isin(list(labels)))
    shuffled = np.array(X, copy=True)
    shuffled[:, places] = shuffled[order][:, places]
    return shuffled


def _streams(estimator: Any, frame: pd.DataFrame) -> dict[str, list[Hashable]]:
    columns = _columns_of(estimator)
    if columns is not None:
        covariates = [*columns.numeric, *columns.categorical]
        found = {
            "position": list(columns.coordinates),
            "covariates": covariates,
            "time": [] if columns.time is None else [columns.time],
            "imagery": list(columns.images.values()),
        }
        if {label for labels in found.values() for label in labels} <= set(frame.columns):
            return {name: labels for name, labels in found.items() if labels}
    try:
        pair: list[Hashable] = list(locate_coordinates(frame, None, None)[2])
    except ValueError:
        pair = []
    alone: dict[str, list[Hashable]] = {
        str(label): [label] for label in frame.columns if label not in pair
    }
    return {"position": pair, **alone} if pair else alone


def _columns_of(estimator: Any) -> TableSchema | None:
    """Return the roles that a model within Pipelines and searches has learnt."""
    while not hasattr(estimator, "columns_"):
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "regressor_"):
            estimator = estimator.regressor_
        else:
            return None
    return estimator.columns_ if isinstance(estimator.columns_, TableSchema) else None
