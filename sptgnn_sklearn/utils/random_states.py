"""Check of stored states of numpy's RandomState."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from .safe_file import FileError

__all__ = ["check_mersenne_twister"]

_KEY_WORDS = 624


def check_mersenne_twister(state: Any) -> None:
    """Check a state of `numpy.random.RandomState`, which reads its key at any position.

    Parameters
    ----------
    state : sequence
        Name, key, position, whether there is a second Gaussian number, and that number, as from
        ``get_state(legacy=True)``.

    Raises
    ------
    FileError
        If a value is of another type or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.random_states import check_mersenne_twister
    >>> check_mersenne_twister(np.random.RandomState(0).get_state(legacy=True))
    """
    if not isinstance(state, list | tuple) or len(state) != 5:
        raise FileError("A random state does not have five values.")
    name, key, position, has_gauss, gauss = state
    valid = (
        isinstance(name, str)
        and name == "MT19937"
        and isinstance(key, np.ndarray)
        and key.dtype == np.uint32
        and key.shape == (_KEY_WORDS,)
        and isinstance(position, Integral)
        and 0 <= int(position) <= _KEY_WORDS
        and isinstance(has_gauss, Integral)
        and int(has_gauss) in (0, 1)
        and isinstance(gauss, Real)
        and bool(np.isfinite(float(gauss)))
    )
    if not valid:
        raise FileError("A random state has an invalid key, position or Gaussian number.")
