"""Checks of scalar parameters and random states."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["as_random_state", "require_count", "require_positive_pair"]


def as_random_state(rng: Any) -> np.random.RandomState:
    """Return a RandomState for a random state of scikit-learn or a Generator of numpy.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.validation import as_random_state
    >>> type(as_random_state(np.random.default_rng(0))).__name__
    'RandomState'
    """
    if isinstance(rng, np.random.Generator):
        rng = int(rng.integers(2**32 - 1))
    return check_random_state(rng)


def require_count(name: str, value: Any, least: int = 1) -> None:
    """Raise a ValueError unless a parameter is an integer of at least `least`.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.validation import require_count
    >>> require_count("n_splits", 2.5, least=2)
    Traceback (most recent call last):
        ...
    ValueError: n_splits must be an integer of at least 2; found 2.5.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}; found {value!r}.")


def require_positive_pair(name: str, value: Any, whole: bool = False) -> np.ndarray:
    """Return one or two positive numbers as an array, or raise a ValueError."""
    expected = "two positive integers" if whole else "one positive number or two"
    try:
        pair = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        pair = np.array([np.nan])
    right_size = pair.shape == (2,) or (pair.shape == () and not whole)
    if not right_size or not (np.isfinite(pair) & (pair > 0)).all():
        raise ValueError(f"{name} must be {expected}; found {value!r}.")
    if whole and (pair != np.floor(pair)).any():
        raise ValueError(f"{name} must be {expected}; found {value!r}.")
    return pair
