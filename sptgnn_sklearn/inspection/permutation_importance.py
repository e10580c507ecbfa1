"""Permutation importance of groups of columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..meta_estimators import innermost_estimator
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
    """Return the permutation importance of groups of columns.

    The columns of a group are shuffled together: a shuffled longitude with the original latitude
    would be a location without samples.

    Parameters
    ----------
    estimator : fitted estimator
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows that were not used for training: in training rows the location alone identifies the
        target.
    y : array-like of shape (n_samples,)
    groups : mapping of str to sequence of labels or positions, default=None
        Columns of each group. None uses the streams of an `SpTGNNRegressor`, optionally inside
        Pipelines and searches: position, covariates, time and imagery. For other models it uses the
        coordinates (columns with common names, else the first two) and each other column.
    scoring : str or callable, default=None
        Score as in `sklearn.metrics.check_scoring`. None means ``estimator.score``.
    n_repeats : int, default=5
        Number of times each group is shuffled.
    random_state : int, RandomState or None, default=None
        Seed of shuffling.

    Returns
    -------
    DataFrame
        One row per group, in decreasing order of importance: mean and standard deviation over
        repeats of the decrease of the score, and the columns.

    Raises
    ------
    ValueError
        If a group has an unknown column or no columns.

    Notes
    -----
    Of two correlated columns in different groups, both can seem unimportant, because the model can
    use either of them [1]_.

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
    >>> importance = grouped_permutation_importance(model, X, X["x"], random_state=0)
    >>> importance.index.tolist(), bool(importance.loc["position", "mean"] > 0.5)
    (['position', 'noise'], True)
    """
    check_is_fitted(estimator)
    require_count("n_repeats", n_repeats)
    frame = as_dataframe(X)
    if hasattr(type(X), "columns"):  # tables of other libraries, and geometries as two columns
        X = frame
    if groups is None:
        columns = _default_groups(estimator, frame)
    else:
        columns = {
            name: [
                find_column(frame, label, f"groups[{name!r}]") for label in _as_label_list(labels)
            ]
            for name, labels in groups.items()
        }
    empty = [name for name, labels in columns.items() if not labels]
    if empty or not columns:
        raise ValueError(
            f"groups must hold at least one group with columns; found {len(columns)} groups, "
            f"without columns: {empty}."
        )
    score = check_scoring(estimator, scoring=scoring)
    rng = check_random_state(random_state)
    baseline = score(estimator, X, y)
    rows = []
    for name, labels in columns.items():
        losses = []
        for _ in range(n_repeats):
            order = rng.permutation(len(frame))
            losses.append(baseline - score(estimator, _shuffle(X, frame, labels, order), y))
        rows.append((name, np.mean(losses), np.std(losses), labels))
    table = pd.DataFrame(rows, columns=["group", "mean", "std", "columns"]).set_index("group")
    return table.sort_values("mean", ascending=False, kind="stable")


def _as_label_list(labels: Any) -> list[Any]:
    return [labels] if isinstance(labels, str | int) else list(labels)


def _shuffle(X: Any, frame: pd.DataFrame, labels: Sequence[Hashable], order: np.ndarray) -> Any:
    """Return X, of the same type, with some columns in another order of rows."""
    if isinstance(X, pd.DataFrame):
        shuffled = X.copy()
        for label in labels:
            shuffled[label] = X[label].array[order]  # keeps the dtype and the index
        return shuffled
    positions = np.flatnonzero(frame.columns.isin(list(labels)))
    values = np.array(X, copy=True)
    values[:, positions] = values[order][:, positions]
    return values


def _default_groups(estimator: Any, frame: pd.DataFrame) -> dict[str, list[Hashable]]:
    schema = getattr(innermost_estimator(estimator), "columns_", None)
    if isinstance(schema, TableSchema):
        streams = {
            "position": list(schema.coordinates),
            "covariates": [*schema.numeric, *schema.categorical],
            "time": [] if schema.time is None else [schema.time],
            "imagery": list(schema.images.values()),
        }
        if {label for labels in streams.values() for label in labels} <= set(frame.columns):
            return {name: labels for name, labels in streams.items() if labels}
    try:
        pair: list[Hashable] = list(locate_coordinates(frame, None, None)[2])
    except ValueError:
        pair = []
    single: dict[str, list[Hashable]] = {
        str(label): [label] for label in frame.columns if label not in pair
    }
    return {"position": pair, **single} if pair else single
