"""Conformal intervals from held-out rows, through MAPIE."""

from __future__ import annotations

import numpy as np
from sklearn.dummy import DummyRegressor

from ..utils.distribution_columns import check_coverage

__all__ = ["certified_rows", "conformal_limits", "uncertified_limits"]

_RANK_ROUNDING = 1e-9  # 1 - 0.9 is less than 0.1


def conformal_limits(scores: np.ndarray, coverage: float) -> tuple[float, float]:
    """Return the limits of conformal prediction intervals, in standard deviations from the mean.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Errors of held-out rows over their predicted standard deviation.
    coverage : float
        Nominal coverage, between 0 and 1, with equal tails.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If there are too few rows for the coverage, or `coverage` is not between 0 and 1.

    Notes
    -----
    The intervals ``mean + std * (low, high)`` are those of split conformal prediction with
    standardized scores (Lei et al. 2018, J. Am. Stat. Assoc. 113, 1094-1111, section 5.2). MAPIE
    computes their quantiles with the finite-sample correction.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.conformal import conformal_limits
    >>> scores = np.arange(1.0, 100.0)
    >>> conformal_limits(scores, coverage=0.9)
    (5.0, 95.0)
    """
    from mapie.conformity_scores import AbsoluteConformityScore
    from mapie.regression import SplitConformalRegressor

    coverage = check_coverage(coverage)
    needed = _needed_rows(coverage)
    if len(scores) < needed:
        raise ValueError(
            f"coverage={coverage} needs {needed} held-out rows; found {len(scores)}. Use a lower "
            "coverage or predict_quantiles, which has no such limit."
        )
    # The interval of standardized errors is the same for every row, so one row is predicted.
    zero = DummyRegressor(strategy="constant", constant=0.0).fit([[0.0]], [0.0])
    global_state = np.random.get_state()  # noqa: NPY002
    try:
        conformal = SplitConformalRegressor(
            zero,
            confidence_level=coverage,
            conformity_score=AbsoluteConformityScore(sym=False),
            prefit=True,
        )
        conformal.conformalize(np.zeros((len(scores), 1)), scores)
        low, high = conformal.predict_interval(np.zeros((1, 1)))[1][0, :, 0]
    finally:
        # MAPIE advances numpy's global random state, which belongs to the user.
        np.random.set_state(global_state)  # noqa: NPY002
    return float(low), float(high)


def certified_rows(coverage: float, n_effective: np.ndarray) -> np.ndarray:
    """Return whether the effective numbers (n,) of errors are enough for a conformal interval."""
    return n_effective >= _needed_rows(coverage)


def uncertified_limits(
    scores: np.ndarray, coverage: float, n_effective: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Return limits that are wider for rows with few errors around them.

    Parameters
    ----------
    scores : ndarray of shape (m,)
        Errors of held-out rows over their predicted standard deviation.
    coverage : float
    n_effective : ndarray of shape (n,)
        Effective number of errors around each row.
    limits : ndarray of shape (2,)
        Those of `conformal_limits`.

    Returns
    -------
    ndarray of shape (n, 2)
        The share of errors outside falls in proportion to the effective number, from its nominal
        value where the number is just enough to half of it where there is no error around.
    """
    share = np.minimum(n_effective / _needed_rows(coverage), 1.0)
    rank = (1 + share) / 2 * (len(scores) + 1) * (1 - coverage) / 2
    position = np.maximum((rank + _RANK_ROUNDING).astype(np.int64) - 1, 0)
    ordered = np.sort(scores)
    found = np.column_stack([ordered[position], ordered[len(scores) - 1 - position]])
    found[share >= 1] = limits
    return found


def _needed_rows(coverage: float) -> int:
    """Return MAPIE's minimum number of rows, for both tails."""
    return 2 * int(np.ceil(max(1 / coverage, 1 / (1 - coverage)) - 1e-9))
