"""Figures of a fitted `SpTGNNRegressor`: its graph, experts and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..table.coordinate_columns import locate_coordinates
from .drawing import (
    COLORS,
    LINE_COLOR,
    VALUE_COLORMAP,
    add_legend_above,
    import_pyplot,
    new_axes,
    point_area,
)
from .maps import ColorScale, add_legend_beside, draw_groups, draw_map, format_map_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_experts", "plot_graph", "plot_training"]

# Color and curvature of the edges of each relation; relations may share a pair of rows.
_EDGE_STYLES = {
    "spatial": (COLORS[0], 0.0),
    "spectral": (COLORS[1], 0.12),
    "elevation": (COLORS[3], -0.12),
}
_CURVE_STEPS = np.linspace(0, 1, 13)
_MAX_OPAQUE_EDGES = 250  # more edges of a relation are drawn more transparent
_LOSS_COLOR, _ERROR_COLOR = COLORS[0], COLORS[5]


def plot_graph(
    estimator: Any,
    X: Any,
    *,
    relations: str | Sequence[str] | None = None,
    rows: Any = None,
    n_neighbors: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw the graph of a fitted `SpTGNNRegressor`: the edges of each relation on a map.

    Parameters
    ----------
    estimator : SpTGNNRegressor
        Fitted estimator.
    X : DataFrame or array-like of shape (n_samples, n_features)
        The table of the fit.
    relations : str or sequence of str, default=None
        Relations to draw; None draws all relations in use.
    rows : array-like of int or bool, default=None
        Positions or mask of the target nodes, the rows of X whose neighbors are drawn; None takes
        all.
    n_neighbors : int, default=1
        Number of nearest neighbors drawn for each row. The network may use more.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Map with a line from each row to its neighbors, in the color of the relation: straight for
        spatial edges and curved for others, so that edges do not cover each other. The legend
        counts the edges.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X is not the table of the fit, a relation is not in use, `rows` are not in X, or the
        model has no graph.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.plotting import plot_graph
    >>> survey = make_soil_survey(n_samples=60, random_state=0)
    >>> model = SpTGNNRegressor(time="date", base_estimator=None, n_estimators=2, max_epochs=2)
    >>> model = model.fit(survey.data, survey.target)
    >>> ax = plot_graph(model, survey.data, relations="spatial", n_neighbors=2)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['spatial: 120 edges']
    """
    check_is_fitted(estimator)
    if relations is None:
        relations = estimator.relations_
    names = (relations,) if isinstance(relations, str) else tuple(relations)
    unused = [name for name in names if name not in estimator.relations_]
    if unused or not names:
        raise ValueError(f"relations={unused} are not in use; in use: {estimator.relations_}.")
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1; found {n_neighbors}.")
    xy, reference, labels = _locate_rows(estimator, X)
    neighbors = {
        name: estimator.kneighbors(None, n_neighbors, return_distance=False, relation=name)
        for name in names
    }
    n_rows = len(neighbors[names[0]])
    if len(xy) != n_rows:
        raise ValueError(f"X must be the table of the fit, of {n_rows} rows; found {len(xy)}.")
    targets = _select_rows(rows, n_rows)
    ax = ax if ax is not None else new_axes()
    edges = {name: _edge_segments(xy, targets, neighbors[name][targets]) for name in names}
    # Relations with long edges are drawn below the others, which they would hide.
    lengths = {
        name: np.linalg.norm(np.diff(ends, axis=1), axis=2).sum() for name, ends in edges.items()
    }
    for name, ends in edges.items():
        color, curvature = _EDGE_STYLES[name]
        ax.plot(
            *_join_segments(ends, curvature),
            color=color,
            linewidth=1.0,
            alpha=float(np.clip(_MAX_OPAQUE_EDGES / max(len(ends), 1), 0.3, 0.9)),
            zorder=1 + 1 / (1 + lengths[name] / max(lengths.values())),
            label=f"{name}: {len(ends)} edges",
        )
    area = point_area(n_rows, ax) / 2
    ax.scatter(xy[:, 0], xy[:, 1], s=area, color=LINE_COLOR, linewidths=0, zorder=3)
    if rows is not None:
        ax.scatter(
            xy[targets, 0],
            xy[targets, 1],
            s=4 * area,
            color=COLORS[5],
            edgecolors="white",
            zorder=4,
            label="target nodes",
        )
    format_map_axes(ax, xy, reference, labels)
    for line in add_legend_beside(ax, "relation").get_lines():
        line.set(alpha=1.0, linewidth=1.5)
    return ax


def plot_experts(
    estimator: Any,
    X: Any,
    *,
    member: int = 0,
    expert: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a map of the expert weights of a fitted `SpTGNNRegressor`.

    Parameters
    ----------
    estimator : SpTGNNRegressor
        Fitted estimator with a mixture of experts.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows to draw, such as the training table or the cells of a map.
    member : int, default=0
        Ensemble member. Experts of different members are unrelated.
    expert : int, default=None
        Expert whose weight is drawn, from 0 to 1. None draws the expert with the greatest weight
        of each row.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Map, with experts numbered from 0 as in ``expert_weights``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If the model has no mixture of experts, or no such member or expert.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.plotting import plot_experts
    >>> survey = make_soil_survey(n_samples=60, random_state=0)
    >>> model = SpTGNNRegressor(time="date", base_estimator=None, n_estimators=2, max_epochs=2)
    >>> ax = plot_experts(model.fit(survey.data, survey.target), survey.data)
    >>> ax.get_legend().get_title().get_text()
    'expert'
    """
    weights = estimator.expert_weights(X)
    n_members, n_experts = (len(level) for level in weights.columns.levels)
    for name, value, count in (("member", member, n_members), ("expert", expert or 0, n_experts)):
        if not 0 <= value < count:
            raise ValueError(f"{name} must lie between 0 and {count - 1}; found {value}.")
    member_weights = weights[member].to_numpy()
    xy, reference, labels = _locate_rows(estimator, X)
    if expert is not None:
        return draw_map(
            xy,
            reference,
            labels,
            member_weights[:, expert],
            ColorScale(f"weight of expert {expert}", VALUE_COLORMAP, 0.0, 1.0),
            ax=ax,
        )
    top_expert = member_weights.argmax(axis=1)
    groups = [(str(number), np.flatnonzero(top_expert == number)) for number in range(n_experts)]
    return draw_groups(xy, reference, labels, groups, ax=ax, title="expert")


def plot_training(estimator: Any, *, ax: Axes | None = None) -> Axes:
    """Plot training loss and held-out error of a fitted `SpTGNNRegressor` by epoch.

    Parameters
    ----------
    estimator : SpTGNNRegressor
        Fitted estimator.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The left axis has the loss. With early stopping, the right axis has the error of each member
        on its held-out rows (thin lines), the mean of members (thick line), and a ring at the
        lowest error of each member: the epoch whose weights it keeps.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    Errors are mean squared errors of the standardized target; its mean as prediction has error 1.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.plotting import plot_training
    >>> survey = make_soil_survey(n_samples=60, random_state=0)
    >>> model = SpTGNNRegressor(time="date", base_estimator=None, n_estimators=2, max_epochs=2)
    >>> ax = plot_training(model.fit(survey.data, survey.target))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('epoch', 'training loss')
    """
    check_is_fitted(estimator)
    losses, errors = _read_history(estimator.history_)
    ax = ax if ax is not None else new_axes()
    style: dict[str, Any] = {"marker": "o", "markersize": 3}
    for number, loss in enumerate(losses):
        label = None if number else "training loss"
        ax.plot(_epoch_numbers(loss), loss, color=_LOSS_COLOR, linestyle="--", label=label, **style)
    ax.set(xlabel="epoch", ylabel="training loss", xlim=(0.5, max(map(len, losses)) + 0.5))
    ax.yaxis.label.set_color(_LOSS_COLOR)
    ax.xaxis.set_major_locator(import_pyplot().MaxNLocator(integer=True))
    handles = ax.get_legend_handles_labels()[0]
    if len(errors):
        right = ax.twinx()
        epochs = _epoch_numbers(errors[0])
        right.plot(epochs, errors.T, color=_ERROR_COLOR, linewidth=0.8, alpha=0.5)
        (mean,) = right.plot(
            epochs, errors.mean(0), color=_ERROR_COLOR, label="held-out error", **style
        )
        best = np.nanargmin(errors, axis=1)
        rings = right.scatter(
            epochs[best],
            errors[np.arange(len(errors)), best],
            s=40,
            facecolors="none",
            edgecolors=LINE_COLOR,
            zorder=3,
            label="epoch kept by a member",
        )
        right.set_ylabel("held-out squared error (standardized)", color=_ERROR_COLOR)
        handles += [mean, rings]
    add_legend_above(ax, handles=handles)
    return ax


def _locate_rows(estimator: Any, X: Any) -> tuple[np.ndarray, Any, tuple[Any, Any]]:
    """Return the coordinates of X, their reference and labels, by the roles of the estimator."""
    schema = estimator.columns_
    return locate_coordinates(X, schema.coordinates, schema.reference.crs)


def _select_rows(rows: Any, n_rows: int) -> np.ndarray:
    """Return the positions of selected rows, given as positions, mask or None for all."""
    if rows is None:
        return np.arange(n_rows)
    selected = np.atleast_1d(np.asarray(rows))
    if selected.dtype == bool and len(selected) == n_rows:
        return np.flatnonzero(selected)
    if selected.dtype.kind not in "iu" or not ((selected >= 0) & (selected < n_rows)).all():
        raise ValueError(f"rows must be positions from 0 to {n_rows - 1}; found {rows!r}.")
    return selected


def _edge_segments(xy: np.ndarray, targets: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return both ends (e, 2, 2) of edges to targets (m,) from sources (m, K); -1 is no source."""
    is_edge = sources >= 0
    target = np.broadcast_to(targets[:, None], sources.shape)[is_edge]
    return np.stack([xy[target], xy[sources[is_edge]]], axis=1)


def _join_segments(ends: np.ndarray, curvature: float) -> np.ndarray:
    """Return edges (e, 2, 2) as one line with gaps (2, k), because many lines are slow to draw.

    The middle of an edge is shifted sideways by `curvature` times its length.
    """
    start, along = ends[:, :1], np.diff(ends, axis=1)
    sideways = along[..., ::-1] * [-1, 1]
    at = (_CURVE_STEPS if curvature else _CURVE_STEPS[[0, -1]])[:, None]
    curves = start + at * along + 4 * curvature * at * (1 - at) * sideways
    gaps = np.full((len(ends), 1, 2), np.nan)
    return np.concatenate([curves, gaps], axis=1).reshape(-1, 2).T


def _epoch_numbers(values: np.ndarray) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _read_history(history: list[dict]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the losses of each group of members, and held-out errors (n_members, n_epochs).

    Errors are NaN after the last epoch of a member's group. There are none without early stopping.
    """
    starts = [number for number, entry in enumerate(history) if entry["epoch"] == 1]
    runs = [history[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    losses = [np.array([entry["train_loss"] for entry in run]) for run in runs]
    errors_by_run = [
        np.array([entry.get("held_out_mse_by_member", []) for entry in run]).T for run in runs
    ]
    n_epochs = max(map(len, losses))
    padded = [
        np.pad(errors, ((0, 0), (0, n_epochs - errors.shape[1])), constant_values=np.nan)
        for errors in errors_by_run
    ]
    return losses, np.concatenate(padded)
