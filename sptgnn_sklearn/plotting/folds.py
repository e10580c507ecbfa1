"""Figures of cross-validation folds: a map of the folds, and their test-to-train distances."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from ..model_selection.splits import Split, read_folds
from ..spatial.crs import SpatialReference
from ..spatial.distances import chord_to_distance, to_metric_coordinates
from ..table.coordinate_columns import locate_coordinates
from .drawing import COLORS, LINE_COLOR, BaseDisplay, new_axes, with_unit
from .maps import draw_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FoldsDisplay", "plot_fold_distances"]

# Label, line style and color of each kind of distance.
_DISTANCE_LINES = {
    "test_to_train": ("test row to training rows", "-", COLORS[0]),
    "prediction_to_sample": ("prediction location to samples", "--", COLORS[5]),
    "sample_to_sample": ("sample to other samples", ":", LINE_COLOR),
}


class FoldsDisplay(BaseDisplay):
    """Map of the test rows of cross-validation folds.

    Create it by `from_cv`. Each fold has its color and marker, and the legend counts its test rows.
    The display keeps the folds, so that it can be drawn again if the splitter is random.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table with the coordinates.
    splits : list of (train, test)
        Row positions of each fold.
    coordinates, crs
        As in `SpatialBlockKFold`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the last drawing.
    figure_ : matplotlib.figure.Figure
        Figure of the last drawing.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.model_selection import SpatialBlockKFold
    >>> from sptgnn_sklearn.plotting import FoldsDisplay
    >>> meuse = load_meuse()
    >>> display = FoldsDisplay.from_cv(meuse.data, SpatialBlockKFold(3), crs=meuse.crs)
    >>> len(display.splits)
    3
    """

    def __init__(
        self,
        X: Any,
        splits: list[Split],
        *,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
    ):
        self.X = X
        self.splits = splits
        self.coordinates = coordinates
        self.crs = crs

    @classmethod
    def from_cv(
        cls,
        X: Any,
        cv: Any,
        *,
        y: Any = None,
        groups: Any = None,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        ax: Axes | None = None,
    ) -> FoldsDisplay:
        """Split a table and draw its folds.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table with the coordinates.
        cv : splitter, int, labels or iterable of (train, test)
        y, groups : array-like of shape (n_samples,), default=None
            Passed to the splitter.
        coordinates, crs
            As in `SpatialBlockKFold`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        FoldsDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `cv` cannot split X.
        """
        return cls(X, read_folds(cv, X, y, groups), coordinates=coordinates, crs=crs).plot(ax)

    def plot(self, ax: Axes | None = None) -> FoldsDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a new figure.

        Returns
        -------
        self
        """
        xy, reference, names = locate_coordinates(self.X, self.coordinates, self.crs)
        groups = [(str(fold), test) for fold, (_, test) in enumerate(self.splits, start=1)]
        self._set_axes(draw_groups(xy, reference, names, groups, ax=ax, title="fold"))
        return self


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
    """Plot distributions of nearest-neighbor distances: test-to-train and prediction-to-sample.

    Folds represent the predictions of a map if both distributions agree (Mila et al. 2022, Methods
    in Ecology and Evolution 13, 1304-1316).

    Parameters
    ----------
    X, cv, y, groups
        As in `FoldsDisplay.from_cv`.
    prediction_points : DataFrame or array-like of shape (n, 2), default=None
        Prediction locations in the coordinate reference system of X. None takes those of a
        `KNNDMKFold` as `cv`, if any.
    coordinates, crs
        As in `FoldsDisplay.from_cv`.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Cumulative distribution functions of the distances.

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
    xy, reference, names = locate_coordinates(X, coordinates, crs)
    splits = read_folds(cv, X, y, groups)
    points = to_metric_coordinates(xy, reference)
    distances = {
        "test_to_train": np.concatenate(
            [_nearest_distances(points[test], points[train], reference) for train, test in splits]
        ),
        "sample_to_sample": _nearest_distances(points, points, reference, exclude_self=True),
    }
    if prediction_points is not None:
        has_names = set(names) <= set(getattr(prediction_points, "columns", ()))
        target_xy = locate_coordinates(
            prediction_points, names if has_names else None, reference.crs
        )[0]
        targets = to_metric_coordinates(target_xy, reference)
        distances["prediction_to_sample"] = _nearest_distances(targets, points, reference)
    elif hasattr(cv, "distances_"):  # set by the call of split above
        distances["prediction_to_sample"] = cv.distances_["prediction_to_sample"]
    ax = ax if ax is not None else new_axes()
    for name, (label, style, color) in _DISTANCE_LINES.items():
        if name in distances:
            values = np.r_[0.0, np.sort(distances[name])]
            share = np.linspace(0, 1, len(values))
            ax.step(values, share, where="post", linestyle=style, color=color, label=label)
    unit = {"metre": "m", "unit": ""}.get(reference.unit, reference.unit)
    ax.set(
        xlabel=with_unit("distance to the nearest row", unit),
        ylabel="share within this distance",
        ylim=(0, 1.02),  # a line at 1 is not clipped
    )
    ax.set_xlim(left=0)
    ax.legend(loc="lower right", frameon=False)
    return ax


def _nearest_distances(
    points: np.ndarray,
    others: np.ndarray,
    reference: SpatialReference,
    exclude_self: bool = False,
) -> np.ndarray:
    """Return the distance on the ground from each point to the nearest of the others."""
    chord = cKDTree(others).query(points, k=2 if exclude_self else 1)[0]
    return chord_to_distance(chord[:, 1] if exclude_self else chord, reference)
