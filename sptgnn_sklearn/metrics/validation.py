"""Validation and weighted means of metric arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def aligned_vectors(*, may_be_infinite: Sequence[str] = (), **arrays: Any) -> list[np.ndarray]:
    """Return arrays as float vectors of equal length, or raise a ValueError.

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
        invalid = np.isnan(vector) if name in may_be_infinite else ~np.isfinite(vector)
        if invalid.any():
            raise ValueError(
                f"{name} holds NaN or infinite values in {invalid.sum()} of {len(vector)} rows "
                f"(first at position {invalid.argmax()}); drop these rows."
            )
        vectors.append(vector)
    lengths = {name: len(vector) for name, vector in zip(arrays, vectors, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Arrays must have equal lengths; found {lengths}.")
    return vectors


def check_metric_weight(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Return sample weights as a vector of `n_samples` values; None stays None.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics.validation import check_metric_weight
    >>> check_metric_weight([1, 2], 2)
    array([1., 2.])
    """
    if sample_weight is None:
        return None
    (weight,) = aligned_vectors(sample_weight=sample_weight)
    if len(weight) != n_samples:
        raise ValueError(f"sample_weight must hold {n_samples} values; found {len(weight)}.")
    if (weight < 0).any() or not weight.any():
        raise ValueError(
            "sample_weight must hold no negative and at least one positive value; found "
            f"{weight.min():g} to {weight.max():g}."
        )
    return weight


def weighted_mean(values: np.ndarray, weight: np.ndarray | None) -> Any:
    """Return the mean over rows, weighted unless `weight` is None.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.metrics.validation import weighted_mean
    >>> float(weighted_mean(np.array([1.0, np.inf, 4.0]), np.array([1.0, 0.0, 2.0])))
    3.0
    """
    if weight is None:
        return values.mean(axis=0)
    used = weight > 0  # a weight of 0 drops the row, also where its value is infinite
    return np.average(values[used], axis=0, weights=weight[used])
