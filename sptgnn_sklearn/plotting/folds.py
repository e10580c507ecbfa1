"""Folds on a map, and how far their test rows are from what trains."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from ..model_selection.splits import read_folds
from ..spatial.crs import SpatialReference
from ..spatial.distances import chord_to_distance, to_metric_coordinates
from ..table.coordinate_columns import locate_coordinates
from .maps import draw_groups
from .style import COLORS, LINE_STYLE, new_axes, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_fold_distances", "plot_folds"]

_LABELS = {
    "test_to_train": "test row to training rows",
    "prediction_to_sample": "prediction place to samples",
    "sample_to_sample": "sample to other samples",
}


def plot_folds(
    X: Any,
    cv: Any,
    *,
    y: Any = None,
    groups: Any = None,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw which rows each fold tests.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table that holds the coordinates.
    cv : splitter, int, labels or iterable of (train, test)
    y, groups : array-like of shape (n_samples,), default=None
        For splitters that look at them.
    coordinates, crs
        As in `SpatialBlockKFold`.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Each fold with its colour and marker, and the number of its test rows.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If `cv` cannot split X.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.model_selection import SpatialBlockKFold
    >>> from sptgnn_sklearn.plotting import plot_folds
    >>> meuse = load_meuse()
    >>> ax = plot_folds(meuse.data, SpatialBlockKFold(3), crs=meuse.crs)
    >>> len(ax.get_legend().get_texts())
    3
    """
    xy, frame, names = locate_coordinates(X, coordinates, crs)
    splits = read_folds(cv, X, y, groups)
    groups = [(str(fold), test) for fold, (_, test) in enumerate(splits, start=1)]
    return draw_groups(xy, frame, names, groups, ax=ax, title="fold")


def plot_fold_distances(
    X: Any,
    cv: Any,
    *,
    y: Any = None,
    groups: Any = None,
    prediction_points: Any = None,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how far test rows are from training rows, against what the map asks for.

    Parameters
    ----------
    X, cv, y, groups, coordinates, crs
        As in `plot_folds`.
    prediction_points : DataFrame or array-like of shape (n, 2), default=None
        Places to be predicted, in the system of X. None takes those that a `KNNDMKFold` as `cv`
        was given.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Distribution functions of distances to the nearest row: folds are honest for the map where
        the line of test rows follows that of prediction places.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If `cv` cannot split X.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sklearn.model_selection import KFold
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import plot_fold_distances
    >>> meuse = load_meuse()
    >>> ax = plot_fold_distances(meuse.data, KFold(5, shuffle=True), crs=meuse.crs)
    >>> ax.get_xlabel()
    'distance to the nearest row (m)'
    """
    xy, frame, names = locate_coordinates(X, coordinates, crs)
    splits = read_folds(cv, X, y, groups)
    space = to_metric_coordinates(xy, frame)
    found = {
        "test_to_train": np.concatenate(
            [_ground(space[test], space[train], frame) for train, test in splits]
        ),
        "sample_to_sample": _ground(space, space, frame, itself=True),
    }
    if prediction_points is not None:
        named = set(names) <= set(getattr(prediction_points, "columns", ()))
        places = locate_coordinates(prediction_points, names if named else None, frame.crs)[0]
        found["prediction_to_sample"] = _ground(to_metric_coordinates(places, frame), space, frame)
    elif hasattr(cv, "distances_"):  # of the call of split above
        found["prediction_to_sample"] = cv.distances_["prediction_to_sample"]
    ax = ax if ax is not None else new_axes()
    styles = {"test_to_train": "-", "prediction_to_sample": "--", "sample_to_sample": ":"}
    colors = {"test_to_train": COLORS[0], "prediction_to_sample": COLORS[5]}
    for name, style in styles.items():
        if name in found:
            values = np.r_[0.0, np.sort(found[name])]
            share = np.linspace(0, 1, len(values))
            ax.step(
                values,
                share,
                where="post",
                linestyle=style,
                color=colors.get(name, LINE_STYLE),
                label=_LABELS[name],
            )
    unit = {"metre": "m", "unit": ""}.get(frame.unit, frame.unit)
    ax.set(
        xlabel=with_unit("distance to the nearest row", unit),
        ylabel="share within this distance",
        ylim=(0, 1.02),  # a line along the upper end is not cut in half
    )
    ax.set_xlim(left=0)
    ax.legend(loc="lower right", frameon=False)
    return ax


def _ground(
    points: np.ndarray, others: np.ndarray, frame: SpatialReference, itself: bool = False
) -> np.ndarray:
    """Distance on the ground from each point to the nearest other."""
    chord = cKDTree(others).query(points, k=2 if itself else 1)[0]
    return chord_to_distance(chord[:, 1] if itself else chord, frame)
