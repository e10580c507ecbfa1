"""Compilation of loops with numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(function: Callable) -> Any:
    """Compile a function with numba at its first call.

    It releases the GIL. Sums may be reordered for vectorization; NaN and infinities are handled as
    without compilation. Machine code is cached on disk if numba finds a writable folder.

    Parameters
    ----------
    function : function of arrays and numbers

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.jit import compiled
    >>> @compiled
    ... def total(values):
    ...     result = 0.0
    ...     for value in values:
    ...         result += value
    ...     return result
    >>> total(np.array([1.0, 2.0]))
    3.0
    """
    options = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no writable cache folder
        return njit(**options)(function)
