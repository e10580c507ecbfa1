"""Compilation of loops with numba, which is imported at the first call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any

__all__ = ["CompiledFunction", "compiled"]


class CompiledFunction:
    """A function that numba compiles at its first call.

    Other compiled functions may call it.

    Parameters
    ----------
    function : function of arrays and numbers
    """

    def __init__(self, function: Callable):
        self.__qualname__ = ""
        update_wrapper(self, function)
        self._function = function

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's function; it compiles for the types of the arguments of each call."""
        from .machine_code import make_dispatcher

        return make_dispatcher(self._function)

    def __call__(self, *args: Any) -> Any:
        """Call the compiled function."""
        return self.dispatcher(*args)

    def __reduce__(self) -> str | tuple[Any, ...]:
        local = "<" in self.__qualname__
        return (CompiledFunction, (self._function,)) if local else self.__qualname__


def compiled(function: Callable) -> CompiledFunction:
    """Compile a function with numba at its first call.

    It releases the GIL. Sums may be reordered for vectorization; NaN and infinities are handled as
    without compilation. Machine code is cached on disk where a folder is writable, see
    `machine_code.PackageCacheLocator`.

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
    return CompiledFunction(function)
