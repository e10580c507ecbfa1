"""Compiled functions where nothing may be written."""

import numpy as np

from sptgnn_sklearn.utils import jit as compiling
from sptgnn_sklearn.utils.jit import compiled, prefetch


def test_without_a_folder_functions_are_compiled_all_the_same(monkeypatch):
    """Where numba finds no place for its cache, each process compiles for itself."""
    real = compiling.njit

    def nowhere(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(compiling, "njit", nowhere)

    @compiling.compiled
    def doubled(values):
        return 2 * values

    np.testing.assert_array_equal(doubled(np.arange(3)), [0, 2, 4])
    assert doubled.signatures


def test_asking_ahead_changes_nothing():
    """What is asked for is read later or never; the result is that of reading."""

    @compiled
    def total(values, order):
        found = 0.0
        for i in range(len(order)):
            prefetch(values, order[min(i + 1, len(order) - 1)], 0)
            found += values[order[i]].sum()
        return found

    values = np.random.RandomState(0).normal(size=(1000, 16))
    order = np.random.RandomState(1).permutation(1000)
    np.testing.assert_allclose(total(values, order), values.sum())
