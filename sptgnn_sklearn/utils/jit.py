"""How loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["compiled", "prefetch"]


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
    >>> from sptgnn_sklearn.utils.jit import compiled
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


@intrinsic
def prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of a place of a matrix, which is read soon, and do not wait for it.

    For compiled functions. Processors foresee places that follow one another, but not those of a
    list.

    Parameters
    ----------
    array : ndarray of shape (n, m)
        C-contiguous.
    row, column : int
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = cgutils.get_item_pointer2(
            context,
            builder,
            table.data,
            cgutils.unpack_tuple(builder, table.shape),
            cgutils.unpack_tuple(builder, table.strides),
            signature.args[0].layout,
            list(arguments[1:]),
        )
        anything, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [anything, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # To read, to keep in all caches, as data: "Code generator intrinsics" of LLVM's reference.
        how = [number(0), number(3), number(1)]
        builder.call(ask, [builder.bitcast(place, anything), *how])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate
