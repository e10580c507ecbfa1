"""Distances on the ground from rows to the samples of a model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ..model_selection.locations import nearest_distance
from ..model_selection.splits import read_folds
from ..spatial.distances import chord_to_distance, to_metric_coordinates
from ..table.coordinate_columns import locate_coordinates
from .dissimilarity import held_out_distances

__all__ = ["sample_distance"]


def sample_distance(
    X: Any,
    samples: Any = None,
    *,
    cv: Any = None,
    y: Any = None,
    groups: Any = None,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
) -> np.ndarray:
    """Return the distance from each row to the nearest sample, or to the nearest training row.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table with the coordinates.
    samples : DataFrame or array-like of shape (n, n_features), default=None
        Table with the coordinates of the samples, in the same coordinate reference system. None
        means that the rows of X are the samples.
    cv : int, splitter, array-like of shape (n_samples,) or iterable, default=None
        Folds of X, without `samples`: distances are those to the nearest training row of the fold
        that holds out the row. None is leave-one-out.
    y, groups : array-like of shape (n_samples,), default=None
        Passed to the splitter.
    coordinates, crs
        As in `SpatialBlockKFold`.

    Returns
    -------
    ndarray of shape (n_samples,)
        In km for geographic coordinates, else in units of the CRS; NaN for rows in no test set.

    Raises
    ------
    ValueError
        If both `samples` and `cv` are given, or coordinates or folds are invalid.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.applicability import sample_distance
    >>> samples = pd.DataFrame({"x": [0.0, 3.0, 9.0], "y": [0.0, 4.0, 4.0]})
    >>> sample_distance(samples).tolist(), sample_distance(samples, cv=["a", "a", "b"]).round(2)
    ([5.0, 5.0, 6.0], array([9.85, 6.  , 6.  ]))
    >>> sample_distance(pd.DataFrame({"x": [3.0], "y": [0.0]}), samples).tolist()
    [3.0]
    """
    xy, reference, names = locate_coordinates(X, coordinates, crs)
    points = to_metric_coordinates(xy, reference)
    if samples is None:
        chords = held_out_distances(points, None if cv is None else read_folds(cv, X, y, groups))
    elif cv is not None:
        raise ValueError("cv holds out rows of X, and samples are not in X: pass only one of them.")
    else:
        has_names = set(names) <= set(getattr(samples, "columns", ()))
        sample_xy = locate_coordinates(samples, names if has_names else coordinates, reference.crs)[
            0
        ]
        chords = nearest_distance(points, to_metric_coordinates(sample_xy, reference))
    return chord_to_distance(chords, reference)
