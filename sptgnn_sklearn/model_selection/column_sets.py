"""Cross-validated scores of an estimator with sets of covariates."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from .pooled_scores import FoldModel, PooledScore, jackknife_error, pooled_score
from .role_columns import RoleColumns
from .splits import Split

__all__ = ["ColumnSetEvaluation", "take_columns"]


@dataclass(frozen=True)
class ColumnSetEvaluation:
    """Scores of sets of covariates in the same rows, folds and settings.

    Attributes
    ----------
    estimator : regressor
    X : DataFrame or ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    splits : list of (train, test)
    roles : RoleColumns
        Columns with a role of the estimator.
    kept : tuple of int
        Positions of the columns that are in every set, including those with a role.
    scorer : callable ``(estimator, X, y) -> float``
    fit_params, score_params : dict
        Arguments of the fits and of the scorer; entries per row are split.
    """

    estimator: Any
    X: Any
    y: np.ndarray
    splits: list[Split]
    roles: RoleColumns
    kept: tuple[int, ...]
    scorer: Any
    fit_params: dict[str, Any]
    score_params: dict[str, Any]

    def columns(self, covariates: Sequence[int]) -> list[int]:
        """Return the positions of covariates and of the columns that stay, in the order of X."""
        return sorted({*self.kept, *covariates})

    def evaluate(self, covariates: Sequence[int]) -> PooledScore:
        """Return the pooled score of held-out rows.

        Parameters
        ----------
        covariates : sequence of int
            Positions in X.
        """
        columns = self.columns(covariates)
        table = take_columns(self.X, columns)
        folds = []
        for train, test in self.splits:
            model = self.roles.set_roles(clone(self.estimator), columns)
            params = _check_method_params(self.X, self.fit_params, indices=train)
            model.fit(_safe_indexing(table, train), self.y[train], **params)
            folds.append(FoldModel(model, _safe_indexing(table, test)))
        tests = [test for _, test in self.splits]
        return pooled_score(
            self.scorer,
            folds,
            [_safe_indexing(self.X, test) for test in tests],
            [self.y[test] for test in tests],
            [_check_method_params(self.X, self.score_params, indices=test) for test in tests],
        )

    def tabulate(
        self,
        step: int,
        sets: Sequence[tuple[int, ...]],
        selected: tuple[int, ...],
        scores: Sequence[PooledScore],
        best: PooledScore | None,
    ) -> pd.DataFrame:
        """Return the rows of one step in the table of results."""
        rows = []
        for columns, score in zip(sets, scores, strict=True):
            gain = gain_error = np.nan
            if best is not None:
                gain = score.value - best.value
                gain_error = jackknife_error(score.without_fold - best.without_fold)
            added: tuple[Hashable, ...] = tuple(
                self.roles.labels[position] for position in columns[len(selected) :]
            )
            rows.append(
                {
                    "step": step,
                    "added": added,
                    "n_columns": len(columns),
                    "score": score.value,
                    "standard_error": score.standard_error,
                    "gain": gain,
                    "gain_standard_error": gain_error,
                    "selected": False,
                }
            )
        return pd.DataFrame(rows)


def take_columns(X: Any, columns: Sequence[int] | np.ndarray) -> Any:
    """Return the columns of a DataFrame or array at the given positions."""
    positions = list(columns)
    return X.iloc[:, positions] if isinstance(X, pd.DataFrame) else X[:, positions]
