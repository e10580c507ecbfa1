"""The scores that need a stated uncertainty, and others, as scorers of scikit-learn.

Of an estimator that has ``predict_quantiles`` they score the distribution that it states, however
skewed; of others a normal one with their mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.metrics import make_scorer

from ..meta_estimators import predict_mean_std, predict_quantiles
from .accuracy import concordance_correlation, rpiq
from .quantiles import calibration_error_of_quantiles, crps_of_quantiles
from .uncertainty import (
    crps_gaussian,
    expected_calibration_error,
    interval_coverage,
    interval_score,
    tail_coverage,
)

__all__ = [
    "concordance_correlation_scorer",
    "make_interval_coverage_scorer",
    "make_interval_score_scorer",
    "make_tail_coverage_scorer",
    "neg_calibration_error_scorer",
    "neg_crps_scorer",
    "rpiq_scorer",
]

_SCORE_LEVELS = tuple(np.arange(1, 200) / 200)


@dataclass(frozen=True, repr=False)
class _UncertaintyScorer:
    """Callable ``(estimator, X, y) -> -score``; a plain value, so it copies and pickles."""

    of_quantiles: Callable[[Any, np.ndarray, Sequence[float]], float]
    of_normal: Callable[[Any, np.ndarray, np.ndarray], float]
    levels: tuple[float, ...]
    name: str

    def __repr__(self) -> str:
        return self.name

    def __call__(self, estimator: Any, X: Any, y_true: Any) -> float:
        quantiles = predict_quantiles(estimator, X, self.levels)
        if quantiles is None:
            return -self.of_normal(y_true, *predict_mean_std(estimator, X))
        return -self.of_quantiles(y_true, quantiles, self.levels)

    def _accept_sample_weight(self) -> bool:
        # Searches of scikit-learn ask this when weights are passed, and warn the user.
        return False


neg_crps_scorer = _UncertaintyScorer(
    crps_of_quantiles, crps_gaussian, _SCORE_LEVELS, "neg_crps_scorer"
)
neg_calibration_error_scorer = _UncertaintyScorer(
    calibration_error_of_quantiles,
    expected_calibration_error,
    _SCORE_LEVELS,
    "neg_calibration_error_scorer",
)
concordance_correlation_scorer = make_scorer(concordance_correlation)
rpiq_scorer = make_scorer(rpiq)


def make_interval_score_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central intervals: minus their mean interval score.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y) -> float``
        At most 0; greater is better. The estimator has to state quantiles by
        ``predict_quantiles``, or a standard deviation by ``predict(X, return_std=True)`` or
        ``predict_uncertainty``, itself or inside of Pipelines, searches and
        TransformedTargetRegressors.

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
    return _of_intervals(interval_score, coverage, "make_interval_score_scorer")


def make_interval_coverage_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central intervals: minus how far their coverage is off.

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
    return _of_intervals(_gap, coverage, "make_interval_coverage_scorer")


def make_tail_coverage_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central intervals: minus how far the worse of their two tails is off.

    An interval that is shifted to one side may cover as many values as it should.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y) -> float``
        Minus the greater of the distances of the shares below and above the interval from half of
        what it leaves out; greater is better, 0 is best. For estimators as in
        `make_interval_score_scorer`.

    Raises
    ------
    ValueError
        If `coverage` is not between 0 and 1.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import make_tail_coverage_scorer
    >>> make_tail_coverage_scorer(0.8)
    make_tail_coverage_scorer(0.8)
    """
    return _of_intervals(_worse_tail, coverage, "make_tail_coverage_scorer")


Score = Callable[[Any, np.ndarray, np.ndarray, float], float]  # of y, lower, upper and coverage


def _of_intervals(score: Score, coverage: float, name: str) -> _UncertaintyScorer:
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1; found {coverage!r}.")
    return _UncertaintyScorer(
        partial(_of_ends, score=score, coverage=coverage),
        partial(_of_moments, score=score, coverage=coverage),
        ((1 - coverage) / 2, (1 + coverage) / 2),
        f"{name}({coverage})",
    )


def _of_ends(
    y: Any, ends: np.ndarray, levels: Sequence[float], score: Score, coverage: float
) -> float:
    return score(y, ends[:, 0], ends[:, 1], coverage)


def _of_moments(y: Any, mean: np.ndarray, std: np.ndarray, score: Score, coverage: float) -> float:
    reach = ndtri((1 + coverage) / 2) * std
    return score(y, mean - reach, mean + reach, coverage)


def _gap(y: Any, lower: np.ndarray, upper: np.ndarray, coverage: float) -> float:
    return abs(coverage - interval_coverage(y, lower, upper))


def _worse_tail(y: Any, lower: np.ndarray, upper: np.ndarray, coverage: float) -> float:
    return max(abs(share - (1 - coverage) / 2) for share in tail_coverage(y, lower, upper))
