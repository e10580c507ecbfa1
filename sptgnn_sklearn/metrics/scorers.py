"""The scores that need a stated uncertainty, and others, as scorers of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.metrics import make_scorer

from ..delegation import predict_mean_std
from .accuracy import lins_ccc, rpiq
from .uncertainty import (
    crps_gaussian,
    expected_calibration_error,
    interval_coverage,
    interval_score,
)

__all__ = [
    "lins_ccc_scorer",
    "make_interval_coverage_scorer",
    "make_interval_score_scorer",
    "neg_calibration_error_scorer",
    "neg_crps_scorer",
    "rpiq_scorer",
]


@dataclass(frozen=True, repr=False)
class _UncertaintyScorer:
    """Callable ``(estimator, X, y) -> -score``; a plain value, so it copies and pickles."""

    score: Callable[[Any, np.ndarray, np.ndarray], float]
    name: str

    def __repr__(self) -> str:
        return self.name

    def __call__(self, estimator: Any, X: Any, y_true: Any) -> float:
        return -self.score(y_true, *predict_mean_std(estimator, X))

    def _accept_sample_weight(self) -> bool:
        # Searches of scikit-learn ask this when weights are passed, and warn the user.
        return False


neg_crps_scorer = _UncertaintyScorer(crps_gaussian, "neg_crps_scorer")
neg_calibration_error_scorer = _UncertaintyScorer(
    expected_calibration_error, "neg_calibration_error_scorer"
)
lins_ccc_scorer = make_scorer(lins_ccc)
rpiq_scorer = make_scorer(rpiq)


def make_interval_score_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central normal intervals: minus their mean interval score.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y) -> float``
        At most 0; greater is better. The estimator has to state a standard deviation: by
        ``predict(X, return_std=True)`` or ``predict_uncertainty``, itself or inside of Pipelines,
        searches and TransformedTargetRegressors.

    Raises
    ------
    ValueError
        If `coverage` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sptgnn_sklearn.metrics import make_interval_score_scorer
    >>> X = np.arange(6.0)[:, None]
    >>> model = GaussianProcessRegressor(alpha=0.1).fit(X, np.sin(X[:, 0]))
    >>> -3 < make_interval_score_scorer(0.9)(model, X, np.sin(X[:, 0])) < 0
    True
    """
    _check(coverage)
    return _UncertaintyScorer(
        partial(_score_of_intervals, coverage=coverage), f"make_interval_score_scorer({coverage})"
    )


def make_interval_coverage_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central normal intervals: minus how far their coverage is off.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y) -> float``
        ``-|coverage - share of rows inside|``; greater is better, 0 is best. For estimators as in
        `make_interval_score_scorer`.

    Raises
    ------
    ValueError
        If `coverage` is not between 0 and 1.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import make_interval_coverage_scorer
    >>> make_interval_coverage_scorer(0.8)
    make_interval_coverage_scorer(0.8)
    """
    _check(coverage)
    return _UncertaintyScorer(
        partial(_distance_of_coverage, coverage=coverage),
        f"make_interval_coverage_scorer({coverage})",
    )


def _score_of_intervals(y: Any, mean: np.ndarray, std: np.ndarray, coverage: float) -> float:
    reach = ndtri((1 + coverage) / 2) * std
    return interval_score(y, mean - reach, mean + reach, coverage)


def _distance_of_coverage(y: Any, mean: np.ndarray, std: np.ndarray, coverage: float) -> float:
    reach = ndtri((1 + coverage) / 2) * std
    return abs(coverage - interval_coverage(y, mean - reach, mean + reach))


def _check(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1; found {coverage!r}.")
