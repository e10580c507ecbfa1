"""Coverage of prediction intervals in groups of rows, with exact binomial limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betainc, betaincinv

from ..utils.distribution_columns import check_coverage, check_shares
from .uncertainty import interval_coverage, interval_score, tail_coverage
from .validation import aligned_vectors, check_metric_weight, weighted_mean

__all__ = ["binomial_limits", "coverage_by_group"]


def coverage_by_group(
    y: Any,
    lower: Any,
    upper: Any,
    groups: Any,
    coverage: float = 0.9,
    *,
    confidence: float = 0.95,
    sample_weight: Any = None,
) -> pd.DataFrame:
    """Return the coverage of prediction intervals in each group of rows, with binomial limits.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Measured values.
    lower, upper : array-like of shape (n_samples,)
        Limits, which belong to the interval. They may be infinite.
    groups : array-like of shape (n_samples,)
        Group of each row, for example its soil type. Rows without a label are a group of their own,
        because intervals may fail where a map unit is unknown.
    coverage : float, default=0.9
        Nominal coverage of the intervals.
    confidence : float, default=0.95
        Confidence of the limits of the observed coverage.
    sample_weight : array-like of shape (n_samples,), default=None
        Sampling weights; only their ratios matter, and rows of weight 0 are dropped.

    Returns
    -------
    DataFrame of shape (n_groups, 12)
        One row per group that occurs, in the order of the categories or of the sorted labels, with
        a missing label last. Columns:

        - group: label of the group; NaN for rows without one
        - n: number of rows
        - n_effective: number of equally weighted rows with the same precision [2]_; n without
          weights
        - coverage: share of rows inside their interval
        - low, high: limits of the coverage at the level `confidence` [1]_
        - below, above: shares of rows below and above their interval
        - width: mean width of the intervals, in the unit of `y`
        - interval_score: `interval_score`, in the unit of `y`
        - p_value: probability of this coverage or a lower one if the nominal coverage holds
        - consistent: whether the nominal coverage is between low and high

    Raises
    ------
    ValueError
        If lengths differ, a value is NaN, a lower limit is above its upper one, a weight is
        negative, or `coverage` or `confidence` is not between 0 and 1.

    See Also
    --------
    sptgnn_sklearn.inspection.coverage_table : Groups made from a model and its table.

    Notes
    -----
    The limits are those of Clopper and Pearson for independent rows. Of several rows of one
    location, or of rows that are close to each other, the errors are correlated, and the limits are
    then too narrow. At a confidence of 95 % about one in twenty groups, usually fewer, is not
    consistent by chance.

    With weights the number of rows is Kish's effective one, as in [3]_.

    References
    ----------
    .. [1] Clopper, C. J., Pearson, E. S. (1934). The use of confidence or fiducial limits
       illustrated in the case of the binomial. Biometrika 26, 404-413.
    .. [2] Kish, L. (1965). Survey Sampling. Wiley, New York: ``sum(w)**2 / sum(w**2)``.
    .. [3] Korn, E. L., Graubard, B. I. (1998). Confidence intervals for proportions with small
       expected number of positive counts estimated from survey data. Survey Methodology 24,
       193-201.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.metrics import coverage_by_group
    >>> noise = np.random.default_rng(0).normal(size=400)
    >>> soil = np.repeat(["peat", "sand"], 200)
    >>> y = noise * np.where(soil == "peat", 2.0, 1.0)  # the intervals assume 1 everywhere
    >>> table = coverage_by_group(y, np.full(400, -1.645), np.full(400, 1.645), soil)
    >>> table[["group", "n", "coverage", "low", "high", "consistent"]].round(2)
      group    n  coverage   low  high  consistent
    0  peat  200      0.60  0.53  0.67       False
    1  sand  200      0.92  0.88  0.96        True
    """
    coverage, confidence = check_coverage(coverage), _check_confidence(confidence)
    y, lower, upper = aligned_vectors(
        y=y, lower=lower, upper=upper, may_be_infinite=("lower", "upper")
    )
    weight = check_metric_weight(sample_weight, len(y))
    interval_coverage(y, lower, upper)  # checks all rows, so that positions in messages are right
    labels = _as_categorical(groups, len(y))
    rows = []
    for code in [*range(len(labels.categories)), -1]:
        used = labels.codes == code
        if weight is not None:
            used &= weight > 0
        if used.any():
            name = np.nan if code < 0 else labels.categories[code]
            part = None if weight is None else weight[used]
            values = (y[used], lower[used], upper[used])
            rows.append({"group": name} | _describe(*values, part, coverage, confidence))
    names = [row.pop("group") for row in rows]
    table = pd.DataFrame(rows)
    # As floats, integer labels beside a missing one would change.
    has_missing = bool((labels.codes < 0).any())
    table.insert(0, "group", pd.Series(names, dtype=object if has_missing else None))
    return table


def _describe(
    y: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    weight: np.ndarray | None,
    coverage: float,
    confidence: float,
) -> dict[str, Any]:
    """Return the columns of one group."""
    n = len(y)
    # Relative to the largest one, because squares of tiny weights are 0.
    weight = None if weight is None else weight / weight.max()
    n_effective = n if weight is None else weight.sum() ** 2 / np.square(weight).sum()
    observed = interval_coverage(y, lower, upper, sample_weight=weight)
    inside = float(np.sum((lower <= y) & (y <= upper)))
    n_inside = inside if weight is None else n_effective * (0 if inside == 0 else observed)
    n_inside = n_effective if inside == n else n_inside
    low, high = binomial_limits(n_inside, n_effective, confidence)
    below, above = tail_coverage(y, lower, upper, sample_weight=weight)
    width = np.subtract(upper, lower, out=np.zeros_like(y), where=upper > lower)
    return {
        "n": n,
        "n_effective": float(n_effective),
        "coverage": observed,
        "low": low,
        "high": high,
        "below": below,
        "above": above,
        "width": float(weighted_mean(width, weight)),
        "interval_score": interval_score(y, lower, upper, coverage, sample_weight=weight),
        "p_value": _lower_tail(n_inside, n_effective, coverage),
        "consistent": low <= coverage <= high,
    }


def binomial_limits(n_inside: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the exact limits of a share (Clopper and Pearson 1934, Biometrika 26, 404-413).

    Parameters
    ----------
    n_inside, n : float
        Number of rows inside, and of all rows; effective numbers need not be integers.
    confidence : float
        Confidence of the two-sided limits.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics.coverage import binomial_limits
    >>> [round(limit, 3) for limit in binomial_limits(9, 10, 0.95)]
    [0.555, 0.997]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if n_inside <= 0 else float(betaincinv(n_inside, n - n_inside + 1, tail))
    high = 1.0 if n_inside >= n else float(betaincinv(n_inside + 1, n - n_inside, 1 - tail))
    return low, high


def _lower_tail(n_inside: float, n: float, share: float) -> float:
    """Return the binomial probability of at most `n_inside` of `n` rows."""
    return 1.0 if n_inside >= n else float(betainc(n - n_inside, n_inside + 1, 1 - share))


def _check_confidence(confidence: Any) -> float:
    if np.ndim(confidence) != 0:
        raise ValueError(f"confidence must be one number, such as 0.95; found {confidence!r}.")
    return float(check_shares("confidence", confidence)[0])


def _as_categorical(groups: Any, n_samples: int) -> pd.Categorical:
    """Return group labels with sorted categories; labels that cannot be sorted keep their order."""
    values = groups if isinstance(groups, pd.Series | pd.Categorical) else pd.Series(groups)
    if np.ndim(groups) != 1 or len(values) != n_samples:
        raise ValueError(
            f"groups must hold one label for each of {n_samples} rows; found shape "
            f"{np.shape(groups)}."
        )
    return pd.Categorical(values)
