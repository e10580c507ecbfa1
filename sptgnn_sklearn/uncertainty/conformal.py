"""Conformal intervals from held-out rows, through MAPIE."""

from __future__ import annotations

import numpy as np
from sklearn.dummy import DummyRegressor

from ..utils.distribution_columns import check_coverage

__all__ = ["conformal_limits"]


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
    # MAPIE's minimum number of rows, for both tails.
    needed = 2 * int(np.ceil(max(1 / coverage, 1 / (1 - coverage)) - 1e-9))
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
