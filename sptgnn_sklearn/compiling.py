"""How loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(function: Callable) -> Any:
    """Compile a function by numba when it is first called.

    It holds no lock of the interpreter. Sums may be reordered, so that they use the processor's
    vector units; numbers that are not finite stay what they are. What is compiled is kept on disk
    for later processes, where numba finds a folder that it may write to.

    Parameters
    ----------
    function : function
        Of arrays and numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.compiling import compiled
    >>> @compiled
    ... def total(values):
    ...     found = 0.0
    ...     for value in values:
    ...         found += value
    ...     return found
    >>> total(np.array([1.0, 2.0]))
    3.0
    """
    options = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no such folder
        return njit(**options)(function)
