"""Scorers of predicted uncertainty and of accuracy, for scikit-learn's ``scoring`` parameters.

Scorers of uncertainty use the quantiles of an estimator that has ``predict_quantiles``; for other
estimators they take a normal distribution with the predicted mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.metrics import make_scorer
from sklearn.utils.metadata_routing import MetadataRequest

from ..meta_estimators import predict_mean_std, predict_quantiles
from ..utils.distribution_columns import check_coverage
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
    """Scorer ``(estimator, X, y, sample_weight=None) -> -score`` that can be copied and pickled."""

    score_quantiles: Callable[..., float]
    score_normal: Callable[..., float]
    levels: tuple[float, ...]
    name: str
    requests_weight: bool | str | None = None

    def __repr__(self) -> str:
        return self.name

    def __call__(self, estimator: Any, X: Any, y_true: Any, *, sample_weight: Any = None) -> float:
        quantiles = predict_quantiles(estimator, X, self.levels)
        if quantiles is None:
            moments = predict_mean_std(estimator, X)
            return -self.score_normal(y_true, *moments, sample_weight=sample_weight)
        return -self.score_quantiles(y_true, quantiles, self.levels, sample_weight=sample_weight)

    def set_score_request(self, *, sample_weight: bool | str | None) -> _UncertaintyScorer:
        """Return a scorer that requests `sample_weight` by scikit-learn's metadata routing."""
        return replace(self, requests_weight=sample_weight)

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the metadata that the scorer requests, for scikit-learn's metadata routing."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self.requests_weight)
        return request

    def _accept_sample_weight(self) -> bool:
        # Read by scikit-learn's searches where metadata routing is off.
        return True


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
    """Make a scorer of central intervals: the negative mean interval score.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y, sample_weight=None) -> float``
        At most 0; greater is better. The estimator must have ``predict_quantiles``,
        ``predict_uncertainty`` or ``predict(X, return_std=True)``, and may be wrapped in Pipelines,
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
    return _make_interval_scorer(interval_score, coverage, "make_interval_score_scorer")


def make_interval_coverage_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central intervals: the negative error of their coverage.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y, sample_weight=None) -> float``
        ``-|coverage - fraction of rows inside|``; greater is better, 0 is best. Estimators are as
        in `make_interval_score_scorer`.

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
    return _make_interval_scorer(_coverage_gap, coverage, "make_interval_coverage_scorer")


def make_tail_coverage_scorer(coverage: float = 0.9) -> _UncertaintyScorer:
    """Make a scorer of central intervals: the negative error of the worse of their two tails.

    It detects intervals that are shifted to one side, even if their coverage is nominal.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage of the intervals, between 0 and 1.

    Returns
    -------
    scorer : callable ``(estimator, X, y, sample_weight=None) -> float``
        Minus the greater of ``|(1 - coverage) / 2 - fraction of rows|`` below and above the
        intervals; greater is better, 0 is best. Estimators are as in `make_interval_score_scorer`.

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
    return _make_interval_scorer(_worst_tail_gap, coverage, "make_tail_coverage_scorer")


# Called as score(y, lower, upper, coverage, sample_weight=...).
IntervalScore = Callable[..., float]


def _make_interval_scorer(score: IntervalScore, coverage: float, name: str) -> _UncertaintyScorer:
    coverage = check_coverage(coverage)
    return _UncertaintyScorer(
        partial(_score_limits, score=score, coverage=coverage),
        partial(_score_normal_limits, score=score, coverage=coverage),
        ((1 - coverage) / 2, (1 + coverage) / 2),
        f"{name}({coverage})",
    )


def _score_limits(
    y: Any,
    limits: np.ndarray,
    levels: Sequence[float],
    *,
    score: IntervalScore,
    coverage: float,
    sample_weight: Any,
) -> float:
    return score(y, limits[:, 0], limits[:, 1], coverage, sample_weight=sample_weight)


def _score_normal_limits(
    y: Any,
    mean: np.ndarray,
    std: np.ndarray,
    *,
    score: IntervalScore,
    coverage: float,
    sample_weight: Any,
) -> float:
    half_width = ndtri((1 + coverage) / 2) * std
    limits = (mean - half_width, mean + half_width)
    return score(y, *limits, coverage, sample_weight=sample_weight)


def _coverage_gap(
    y: Any, lower: np.ndarray, upper: np.ndarray, coverage: float, *, sample_weight: Any
) -> float:
    return abs(coverage - interval_coverage(y, lower, upper, sample_weight=sample_weight))


def _worst_tail_gap(
    y: Any, lower: np.ndarray, upper: np.ndarray, coverage: float, *, sample_weight: Any
) -> float:
    tails = tail_coverage(y, lower, upper, sample_weight=sample_weight)
    return max(abs(fraction - (1 - coverage) / 2) for fraction in tails)
