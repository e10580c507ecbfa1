"""Compiled functions where nothing may be written."""

import numpy as np

from sptgnn_sklearn import compiling


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
