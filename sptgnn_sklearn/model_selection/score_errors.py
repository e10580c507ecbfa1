"""Standard errors and confidence intervals of scores of pooled out-of-fold predictions.

All scores are functions of weighted sums over rows. A jackknife leaves out one block of locations
at a time, by subtracting its sums, and computes the scores of the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from scipy.stats import t as student_t

from ..metrics.validation import aligned_vectors, check_metric_weight
from ..spatial.blocks import cluster_labels, location_ids
from ..spatial.crs import SpatialReference
from ..spatial.distances import to_metric_coordinates
from ..table.categories import site_labels
from ..table.coordinate_columns import locate_coordinates
from ..utils.distribution_columns import check_coverage
from ..utils.validation import require_count

__all__ = [
    "INTERVAL_COLUMNS",
    "SCORES_WITH_ERRORS",
    "are_spatial",
    "block_sums",
    "default_n_blocks",
    "error_blocks",
    "jackknife_intervals",
    "paired_differences",
    "score_differences",
    "score_intervals",
    "scores_of_sums",
]

SCORES_WITH_ERRORS = ("R2", "RMSE", "MAE", "ME", "CCC")
INTERVAL_COLUMNS = ("estimate", "std_error", "low", "high")
_FEWEST_BLOCKS = 10
_N_BOOTSTRAPS = 1000
_CANCELLATION = 1e-12


class _Scale(NamedTuple):
    """Scale on which the estimate of a score is close to normal."""

    to: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]  # of `back`, as a function of the score


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values


_LOG = _Scale(np.log, np.exp, np.abs)
_SCALES = {
    "R2": _Scale(lambda r2: np.log(1 - r2), lambda t: 1 - np.exp(t), lambda r2: 1 - r2),
    "RMSE": _LOG,
    "MAE": _LOG,
    "ME": _Scale(_unchanged, _unchanged, np.ones_like),
    "CCC": _Scale(np.arctanh, np.tanh, lambda ccc: 1 - ccc**2),
}


def score_intervals(
    y_true: Any,
    y_pred: Any,
    coordinates: Any,
    *,
    crs: Any = None,
    site: Any = None,
    sample_weight: Any = None,
    folds: Any = None,
    n_blocks: int | None = None,
    confidence: float = 0.9,
) -> pd.DataFrame:
    """Return R2, RMSE, MAE, ME and CCC with standard errors and confidence intervals.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured values and out-of-fold predictions.
    coordinates : array-like of shape (n_samples, 2) or DataFrame
        As in `morans_i`.
    crs : int, str or pyproj.CRS, default=None
        CRS of the coordinates.
    site : array-like of shape (n_samples,), default=None
        Site ids: rows of one site are in one block, as those of equal coordinates are.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the scores, as from `inverse_intensity_weights`. They are not regarded as
        estimated.
    folds : array-like of shape (n_samples,), default=None
        Test fold of each row, which decides on the default of `n_blocks`. None means random folds.
    n_blocks : int, default=None
        Number of compact blocks of locations that are left out in turn. None is half of the number
        n of locations or, if the nearest location is in the same fold for most of them, as in
        spatial folds, ``3 * sqrt(n)``; at least 10 if there are as many locations. As many blocks
        as locations assume independent errors; fewer and larger blocks include the correlation of
        errors at nearby locations.
    confidence : float, default=0.9
        Nominal coverage of the intervals.

    Returns
    -------
    intervals : DataFrame
        One row per score, named by the index R2, RMSE, MAE, ME and CCC, with the columns estimate,
        std_error, low and high. All but the estimate are NaN with a single block, which leaves
        nothing to compare, and where a score without some block is undefined, as where all other
        predictions are exact.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, a weight is negative, `n_blocks` is not a positive
        integer, or `confidence` is not between 0 and 1.

    See Also
    --------
    score_differences : Paired differences of two models.
    compare_models : Cross-validation, with these intervals in ``scores()``.

    Notes
    -----
    The jackknife leaves out one of g blocks at a time. With the score t on its scale,
    ``(g - 1) / g * sum((t_j - t)**2)`` is its squared standard error, and the interval has
    quantiles of Student's t with g - 1 degrees of freedom [1]_. The scales are ``log(1 - R2)``,
    ``log RMSE``, ``log MAE``, ME itself and ``artanh CCC`` [2]_, so intervals of all but ME are
    asymmetric. Standard errors are those of the scale times its slope at the estimate.

    The errors are those of sampling: another survey of the same area and size would give another
    score. They do not include that models of all rows are more accurate than those of the folds,
    nor what samples in a part of the area leave unknown about the rest, nor the difference to
    other areas. The numbers of blocks were chosen by simulated surveys of 200 random samples
    (``benchmarks/score_errors.py``).

    References
    ----------
    .. [1] Wolter, K. M. (2007). Introduction to variance estimation, 2nd ed., Springer, chapter 4,
       with blocks of locations as primary sampling units.
    .. [2] Lin, L. I.-K. (1989). A concordance correlation coefficient to evaluate reproducibility.
       Biometrics, 45, 255-268.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection import score_intervals
    >>> rng = np.random.default_rng(0)
    >>> xy, y = rng.uniform(size=(200, 2)), rng.normal(size=200)
    >>> score_intervals(y, y + rng.normal(scale=0.5, size=200), xy).loc["RMSE"].round(3).tolist()
    [0.508, 0.024, 0.469, 0.55]
    """
    confidence = check_coverage(confidence, "confidence")
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    weight = check_metric_weight(sample_weight, len(y_true))
    blocks = _blocks_of_rows(coordinates, crs, site, folds, n_blocks, len(y_true))
    return jackknife_intervals(block_sums(y_true, y_pred, blocks, weight), confidence)


def score_differences(
    y_true: Any,
    y_pred: Any,
    reference_pred: Any,
    coordinates: Any,
    *,
    crs: Any = None,
    site: Any = None,
    sample_weight: Any = None,
    folds: Any = None,
    n_blocks: int | None = None,
    confidence: float = 0.9,
) -> pd.DataFrame:
    """Return the differences of the scores of two models, with paired standard errors.

    Both models are scored without the same blocks, so what makes some rows hard to predict for both
    does not add to the error of the difference.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured values and out-of-fold predictions.
    reference_pred : array-like of shape (n_samples,)
        Out-of-fold predictions of the model to compare with, from the same folds.
    coordinates, crs, site, sample_weight, folds, n_blocks, confidence
        As in `score_intervals`.

    Returns
    -------
    differences : DataFrame
        One row per score, named by the index, with the columns estimate (score of `y_pred` minus
        score of `reference_pred`), std_error, low, high and share_better: the share of 1000
        resamples of the blocks, drawn with replacement, in which `y_pred` has the better score
        (the smaller absolute value of ME); ties count by half. NaN as in `score_intervals`.

    Raises
    ------
    ValueError
        As `score_intervals`.

    Notes
    -----
    The jackknife of `score_intervals`, of differences on their own scale.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection import score_differences
    >>> rng = np.random.default_rng(0)
    >>> xy, y = rng.uniform(size=(200, 2)), rng.normal(size=200)
    >>> near = y + rng.normal(scale=0.5, size=200)
    >>> far = near + rng.normal(scale=0.3, size=200)
    >>> score_differences(y, near, far, xy).loc["RMSE"].round(3).tolist()
    [-0.07, 0.023, -0.107, -0.032, 1.0]
    """
    confidence = check_coverage(confidence, "confidence")
    y_true, y_pred, reference_pred = aligned_vectors(
        y_true=y_true, y_pred=y_pred, reference_pred=reference_pred
    )
    weight = check_metric_weight(sample_weight, len(y_true))
    blocks = _blocks_of_rows(coordinates, crs, site, folds, n_blocks, len(y_true))
    own, other = (block_sums(y_true, pred, blocks, weight) for pred in (y_pred, reference_pred))
    return paired_differences(own, other, confidence)


def default_n_blocks(n_locations: int, spatial_folds: bool = False) -> int:
    """Return the number of blocks of `score_intervals` for a number of locations.

    Examples
    --------
    >>> from sptgnn_sklearn.model_selection.score_errors import default_n_blocks
    >>> [default_n_blocks(n) for n in (1, 10, 200, 5000)]
    [1, 10, 100, 2500]
    >>> [default_n_blocks(n, spatial_folds=True) for n in (1, 10, 200, 5000)]
    [1, 10, 42, 212]
    """
    n_blocks = 3 * n_locations**0.5 if spatial_folds else n_locations / 2
    return min(n_locations, max(_FEWEST_BLOCKS, round(n_blocks)))


def are_spatial(folds: np.ndarray, location: np.ndarray, centers: np.ndarray) -> bool:
    """Return whether most locations are held out together with their nearest location.

    Parameters
    ----------
    folds : ndarray of shape (n_samples,)
        Test fold of each row.
    location : ndarray of shape (n_samples,) of int
    centers : ndarray of shape (n_locations, d)
        Points of `to_metric_coordinates`.
    """
    if len(centers) < 2:
        return False
    fold = np.empty(len(centers), dtype=folds.dtype)
    fold[location] = folds
    nearest = cKDTree(centers).query(centers, k=2)[1][:, 1]
    return bool(np.mean(fold == fold[nearest]) > 0.5)


def error_blocks(
    xy: np.ndarray,
    reference: SpatialReference,
    location: np.ndarray,
    n_blocks: int | None = None,
    folds: np.ndarray | None = None,
) -> np.ndarray:
    """Return the block of each row: compact groups of whole locations.

    Parameters
    ----------
    xy : ndarray of shape (n_samples, 2)
    reference : SpatialReference
    location : ndarray of shape (n_samples,) of int
        Labels of `location_ids`.
    n_blocks : int, default=None
    folds : ndarray of shape (n_samples,), default=None
        As in `score_intervals`.

    Returns
    -------
    blocks : ndarray of shape (n_samples,) of int

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection.score_errors import error_blocks
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> xy = np.array([[0.0, 0.0], [9.0, 9.0], [0.0, 1.0], [9.0, 8.0]])
    >>> error_blocks(xy, resolve_crs(None, ["x", "y"]), np.arange(4), n_blocks=2)
    array([0, 1, 0, 1])
    """
    n_rows = np.bincount(location)
    points = to_metric_coordinates(xy, reference)
    centers = np.column_stack([np.bincount(location, axis) / n_rows for axis in points.T])
    if n_blocks is None:
        spatial = folds is not None and are_spatial(folds, location, centers)
        n_blocks = default_n_blocks(len(n_rows), spatial)
    require_count("n_blocks", n_blocks)
    if n_blocks >= len(n_rows):
        return location
    return cluster_labels(centers, n_blocks)[location]


def block_sums(
    y_true: np.ndarray, y_pred: np.ndarray, blocks: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the sums (n_blocks, 9) over the rows of each block from which all scores follow.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
    blocks : ndarray of shape (n_samples,) of int
    weight : ndarray of shape (n_samples,), default=None
        Blocks of rows without weight are left out.
    """
    weight = np.ones(len(y_true)) if weight is None else weight
    # Squares of large values close to each other would lose the digits that differ.
    # The clipped mean of a constant target is exact.
    middle = np.clip(np.average(y_true, weights=weight), y_true.min(), y_true.max())
    error, y, pred = y_pred - y_true, y_true - middle, y_pred - middle
    terms = [np.ones_like(y), y, y**2, pred, pred**2, y * pred, np.abs(error), error, error**2]
    sums = np.column_stack([np.bincount(blocks, weight * term) for term in terms])
    return sums[sums[:, 0] > 0]


def jackknife_intervals(sums: np.ndarray, confidence: float) -> pd.DataFrame:
    """Return the table of `score_intervals` from `block_sums`."""
    estimate, left = scores_of_sums(sums.sum(axis=0)), scores_of_sums(_sums_without_each(sums))
    rows = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, scale in _SCALES.items():
            middle = scale.to(estimate[name])
            error = _jackknife_error(scale.to(left[name]), middle)
            reach = _student_quantile(len(sums), confidence) * error
            limits = np.sort([scale.back(middle - reach), scale.back(middle + reach)])
            # An exact score that no block changes has no distribution.
            exact = np.all(left[name] == estimate[name])
            rows[name] = (
                (estimate[name], 0.0, estimate[name], estimate[name])
                if exact and len(sums) > 1
                else (estimate[name], scale.slope(estimate[name]) * error, *limits)
            )
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(INTERVAL_COLUMNS), dtype=float)


def paired_differences(sums: np.ndarray, reference: np.ndarray, confidence: float) -> pd.DataFrame:
    """Return the table of `score_differences` from the `block_sums` of two models."""
    pair = np.stack([sums, reference])
    estimate, left = scores_of_sums(pair.sum(axis=1)), scores_of_sums(_sums_without_each(pair))
    n_blocks = len(sums)
    counts = np.random.default_rng(0).multinomial(
        n_blocks, np.full(n_blocks, 1 / n_blocks), _N_BOOTSTRAPS
    )
    drawn = scores_of_sums(counts @ pair)
    rows = {}
    for name in SCORES_WITH_ERRORS:
        difference = estimate[name][0] - estimate[name][1]
        error = _jackknife_error(left[name][0] - left[name][1], difference)
        reach = _student_quantile(n_blocks, confidence) * error
        gain = _gain(name, drawn[name])
        defined = n_blocks > 1 and np.isfinite(gain).all()
        better = np.mean((gain > 0) + 0.5 * (gain == 0)) if defined else np.nan
        rows[name] = (difference, error, difference - reach, difference + reach, better)
    columns = [*INTERVAL_COLUMNS, "share_better"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)


def _blocks_of_rows(
    coordinates: Any, crs: Any, site: Any, folds: Any, n_blocks: int | None, n_rows: int
) -> np.ndarray:
    xy, reference, _ = locate_coordinates(coordinates, None, crs)
    if len(xy) != n_rows:
        raise ValueError(f"coordinates have {len(xy)} rows, but y_true {n_rows}.")
    for name, values in (("site", site), ("folds", folds)):
        if values is not None and len(values) != n_rows:
            raise ValueError(f"{name} has {len(values)} values, but y_true {n_rows}.")
    location = location_ids(xy, None if site is None else site_labels(site))
    labels = None if folds is None else pd.factorize(np.asarray(folds))[0]
    return error_blocks(xy, reference, location, n_blocks, labels)


def scores_of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Return scores (...) from sums (..., 9); NaN where they are not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
        y, y2, pred, pred2, product, absolute, error, squared = means
        # Rounding leaves tiny negative variances of constant values.
        variance = np.maximum(y2 - y**2, 0.0)
        spread = variance + np.maximum(pred2 - pred**2, 0.0) + (y - pred) ** 2
        squared = np.maximum(squared, 0.0)
        return {
            "R2": np.where(variance > 0, 1 - squared / variance, np.nan),
            "RMSE": np.sqrt(squared),
            "MAE": np.maximum(absolute, 0.0),
            "ME": error,
            "CCC": 2 * (product - y * pred) / spread,
        }


def _sums_without_each(sums: np.ndarray) -> np.ndarray:
    """Return the sums (..., n_blocks, 9) over all other blocks."""
    total = sums.sum(axis=-2, keepdims=True)
    left = total - sums
    # Rounding of the difference is no error of a prediction.
    errors = [6, 8]
    left[..., errors] *= left[..., errors] > _CANCELLATION * total[..., errors]
    return left


def _jackknife_error(left: np.ndarray, estimate: np.ndarray) -> float:
    g = len(left)
    if g < 2:
        return np.nan
    error = np.sqrt((g - 1) / g * np.square(left - estimate).sum())
    return float(error) if np.isfinite(error) else np.nan


def _student_quantile(n_blocks: int, confidence: float) -> float:
    return float(student_t.ppf((1 + confidence) / 2, n_blocks - 1)) if n_blocks > 1 else np.nan


def _gain(name: str, scores: np.ndarray) -> np.ndarray:
    """Return by how much the first of two scores is better than the second."""
    own, other = scores
    if name in ("R2", "CCC"):
        return own - other
    return np.abs(other) - np.abs(own)
