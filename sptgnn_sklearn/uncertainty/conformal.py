"""Conformal intervals from held-out rows, through MAPIE."""

from __future__ import annotations

import numpy as np
from sklearn.dummy import DummyRegressor

__all__ = ["conformal_limits"]


def conformal_limits(scores: np.ndarray, coverage: float) -> tuple[float, float]:
    """Return how many standard deviations below and above its mean a new row's interval reaches.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Errors of held-out rows over their predicted standard deviation.
    coverage : float
        Share of new rows that intervals shall hold, between 0 and 1; what they miss lies to equal
        parts below and above.

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
    standardised scores (Lei et al. 2018, J. Am. Stat. Assoc. 113, 1094-1111, section 5.2). MAPIE
    finds their quantiles, corrected for the number of rows.

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

    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1; found {coverage!r}.")
    # MAPIE asks for so many rows on each side.
    needed = 2 * int(np.ceil(max(1 / coverage, 1 / (1 - coverage)) - 1e-9))
    if len(scores) < needed:
        raise ValueError(
            f"coverage={coverage} takes {needed} held-out rows to learn from, and there are "
            f"{len(scores)}. predict_quantiles has no such limit."
        )
    # On standardised errors every row has the same interval, around zero: one row is enough.
    zero = DummyRegressor(strategy="constant", constant=0.0).fit([[0.0]], [0.0])
    draws = np.random.get_state()  # noqa: NPY002
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
        # MAPIE draws from numpy's global state, which is the user's, without any use for it here.
        np.random.set_state(draws)  # noqa: NPY002
    return float(low), float(high)
