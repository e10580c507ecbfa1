"""Compiled functions without a cache folder and with infinite values."""

import numpy as np

from sptgnn_sklearn.utils import jit as jit_module
from sptgnn_sklearn.utils.jit import compiled


def test_functions_are_compiled_without_a_cache_folder(monkeypatch):
    """If numba finds no writable folder, each process compiles for itself."""
    njit = jit_module.njit

    def njit_without_folder(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(jit_module, "njit", njit_without_folder)

    @jit_module.compiled
    def doubled(values):
        return 2 * values

    np.testing.assert_array_equal(doubled(np.arange(3)), [0, 2, 4])
    assert doubled.signatures


def test_nan_and_infinities_are_kept():
    """The optimizations do not assume finite values."""

    @compiled
    def count_finite(values):
        result = 0
        for value in values:
            result += np.isfinite(value)
        return result

    assert count_finite(np.array([1.0, np.nan, np.inf, -np.inf])) == 1
