"""Checks of metric arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def aligned_vectors(*, may_be_infinite: Sequence[str] = (), **arrays: Any) -> list[np.ndarray]:
    """Return arrays as vectors of one length, or say which of them is wrong and where.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics.validation import aligned_vectors
    >>> aligned_vectors(y_true=[1, 2], y_pred=[[3], [4]])
    [array([1., 2.]), array([3., 4.])]
    """
    vectors = []
    for name, array in arrays.items():
        vector = np.asarray(array, dtype=np.float64)
        if vector.ndim == 2 and vector.shape[1] == 1:
            vector = vector[:, 0]
        if vector.ndim != 1 or not len(vector):
            raise ValueError(
                f"{name} must be a vector of at least one value; found shape {vector.shape}."
            )
        bad = np.isnan(vector) if name in may_be_infinite else ~np.isfinite(vector)
        if bad.any():
            raise ValueError(
                f"{name} holds NaN or infinite values in {bad.sum()} of {len(vector)} rows "
                f"(first at position {bad.argmax()}); leave these rows out."
            )
        vectors.append(vector)
    lengths = {name: len(vector) for name, vector in zip(arrays, vectors, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Arrays must have one length; found {lengths}.")
    return vectors
