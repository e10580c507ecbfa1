"""Inside of a fitted `SpTGNNRegressor`: its graph, its experts and how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..table.coordinate_columns import locate_coordinates
from .maps import draw_groups, draw_map, dress_map, legend_beside
from .style import (
    COLORS,
    LINE_STYLE,
    VALUE_COLORMAP,
    import_pyplot,
    legend_above,
    new_axes,
    point_area,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_experts", "plot_graph", "plot_training"]

# Colour of each relation, and how far its edges bend: one pair of rows may be joined by several.
_EDGES = {
    "spatial": (COLORS[0], 0.0),
    "spectral": (COLORS[1], 0.12),
    "elevation": (COLORS[3], -0.12),
}
_BEND = np.linspace(0, 1, 13)
_SHOWN_NEIGHBORS = 250  # edges of one relation that are drawn in full colour; more are drawn paler
_LOSS, _ERROR = COLORS[0], COLORS[5]


def plot_graph(
    estimator: Any,
    X: Any,
    *,
    relations: str | Sequence[str] | None = None,
    rows: Any = None,
    n_neighbors: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw the graph of a fitted `SpTGNNRegressor`: who sends to whom, by which relation.

    Parameters
    ----------
    estimator : SpTGNNRegressor
        Fitted.
    X : DataFrame or array-like of shape (n_samples, n_features)
        The table that it was fitted on.
    relations : str or sequence of str, default=None
        Relations to draw; None draws all that are in use.
    rows : array-like of int or bool, default=None
        Positions in X, or a mask, of the rows that are joined to their neighbours; None takes all.
    n_neighbors : int, default=1
        Nearest neighbours of each row that are drawn. The network may see more, but a map soon is
        covered by them.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        A line from each row to its neighbours, in the colour of the relation, straight in space
        and bent in the others, so that two rows may be joined by several. The legend counts them.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X is not the table of the fit, a relation is not in use, `rows` are not in X, or there
        is no graph.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.plotting import plot_graph
    >>> survey = make_soil_survey(n_samples=60, random_state=0)
    >>> model = SpTGNNRegressor(time="date", base=None, n_members=2, max_epochs=2)
    >>> model = model.fit(survey.data, survey.target)
    >>> ax = plot_graph(model, survey.data, relations="spatial", n_neighbors=2)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['spatial: 120 edges']
    """
    check_is_fitted(estimator)
    wanted = [relations] if isinstance(relations, str) else relations
    names = tuple(estimator.relations_ if wanted is None else wanted)
    odd = [name for name in names if name not in estimator.relations_]
    if odd or not names:
        raise ValueError(f"relations={odd} are not in use; in use: {estimator.relations_}.")
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1; found {n_neighbors}.")
    xy, frame, axes = _places(estimator, X)
    lists = {
        name: estimator.kneighbors(None, n_neighbors, return_distance=False, relation=name)
        for name in names
    }
    n_rows = len(lists[names[0]])
    if len(xy) != n_rows:
        raise ValueError(f"X must be the table of the fit, of {n_rows} rows; found {len(xy)}.")
    target_nodes = _positions(rows, n_rows)
    ax = ax if ax is not None else new_axes()
    edges = {name: _edge_segments(xy, target_nodes, lists[name][target_nodes]) for name in names}
    # Relations with long edges would hide the others, so they lie below.
    lengths = {
        name: np.linalg.norm(np.diff(ends, axis=1), axis=2).sum() for name, ends in edges.items()
    }
    for name, ends in edges.items():
        color, bend = _EDGES[name]
        ax.plot(
            *_as_one_line(ends, bend),
            color=color,
            linewidth=1.0,
            alpha=float(np.clip(_SHOWN_NEIGHBORS / max(len(ends), 1), 0.3, 0.9)),
            zorder=1 + 1 / (1 + lengths[name] / max(lengths.values())),
            label=f"{name}: {len(ends)} edges",
        )
    area = point_area(n_rows) / 2
    ax.scatter(xy[:, 0], xy[:, 1], s=area, color=LINE_STYLE, linewidths=0, zorder=3)
    if rows is not None:
        ax.scatter(
            xy[target_nodes, 0],
            xy[target_nodes, 1],
            s=4 * area,
            color=COLORS[5],
            edgecolors="white",
            zorder=4,
            label="rows that receive",
        )
    dress_map(ax, xy, frame, axes)
    for line in legend_beside(ax, "relation").get_lines():
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
    """Draw which expert of a fitted `SpTGNNRegressor` serves where.

    Parameters
    ----------
    estimator : SpTGNNRegressor
        Fitted, with a mixture of experts.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows to be served, such as the training table or the cells of a map.
    member : int, default=0
        Member of the ensemble. Experts of different members have nothing to do with each other.
    expert : int, default=None
        Draw the share of this expert, from 0 to 1. None draws the expert with the greatest share
        of each row.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Experts are numbered from 0, as in ``expert_weights``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If there is no mixture, or no such member or expert.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.plotting import plot_experts
    >>> survey = make_soil_survey(n_samples=60, random_state=0)
    >>> model = SpTGNNRegressor(time="date", base=None, n_members=2, max_epochs=2)
    >>> ax = plot_experts(model.fit(survey.data, survey.target), survey.data)
    >>> ax.get_legend().get_title().get_text()
    'expert'
    """
    shares = estimator.expert_weights(X)
    n_members, n_experts = (len(level) for level in shares.columns.levels)
    for name, value, many in (("member", member, n_members), ("expert", expert or 0, n_experts)):
        if not 0 <= value < many:
            raise ValueError(f"{name} must lie between 0 and {many - 1}; found {value}.")
    own = shares[member].to_numpy()
    xy, frame, axes = _places(estimator, X)
    if expert is not None:
        return draw_map(
            xy,
            frame,
            axes,
            own[:, expert],
            ax=ax,
            label=f"share of expert {expert}",
            cmap=VALUE_COLORMAP,
            vmin=0.0,
            vmax=1.0,
        )
    first = own.argmax(axis=1)
    groups = [(str(number), np.flatnonzero(first == number)) for number in range(n_experts)]
    return draw_groups(xy, frame, axes, groups, ax=ax, title="expert")


def plot_training(estimator: Any, *, ax: Axes | None = None) -> Axes:
    """Draw training loss and held-out error of a fitted `SpTGNNRegressor` by epoch.

    Parameters
    ----------
    estimator : SpTGNNRegressor
        Fitted.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on; None makes a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The loss is on the left. With early stopping the right axis has the error of each member on
        the rows that it left out, thin, their mean, thick, and a ring where each member is
        least: the epoch whose weights it keeps.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    Errors are mean squares of the standardised target: 1 is what its training mean would err.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")  # draws without a screen
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.plotting import plot_training
    >>> survey = make_soil_survey(n_samples=60, random_state=0)
    >>> model = SpTGNNRegressor(time="date", base=None, n_members=2, max_epochs=2)
    >>> ax = plot_training(model.fit(survey.data, survey.target))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('epoch', 'training loss')
    """
    check_is_fitted(estimator)
    losses, errors = _runs(estimator.history_)
    ax = ax if ax is not None else new_axes()
    style: dict[str, Any] = {"marker": "o", "markersize": 3}
    for number, loss in enumerate(losses):
        label = None if number else "training loss"
        ax.plot(_epochs(loss), loss, color=_LOSS, linestyle="--", label=label, **style)
    ax.set(xlabel="epoch", ylabel="training loss", xlim=(0.5, max(map(len, losses)) + 0.5))
    ax.yaxis.label.set_color(_LOSS)
    ax.xaxis.set_major_locator(import_pyplot().MaxNLocator(integer=True))
    handles = ax.get_legend_handles_labels()[0]
    if len(errors):
        right = ax.twinx()
        epochs = _epochs(errors[0])
        right.plot(epochs, errors.T, color=_ERROR, linewidth=0.8, alpha=0.5)
        (mean,) = right.plot(epochs, errors.mean(0), color=_ERROR, label="held-out error", **style)
        kept = np.nanargmin(errors, axis=1)
        rings = right.scatter(
            epochs[kept],
            errors[np.arange(len(errors)), kept],
            s=40,
            facecolors="none",
            edgecolors=LINE_STYLE,
            zorder=3,
            label="epoch that a member keeps",
        )
        right.set_ylabel("held-out squared error (standardised)", color=_ERROR)
        handles += [mean, rings]
    legend_above(ax, handles=handles)
    return ax


def _places(estimator: Any, X: Any) -> tuple[np.ndarray, Any, tuple[Any, Any]]:
    """Read the coordinates of X as the estimator does."""
    columns = estimator.columns_
    return locate_coordinates(X, columns.coordinates, columns.reference.crs)


def _positions(rows: Any, n_rows: int) -> np.ndarray:
    """Positions of the wanted rows, given as such or as a mask; None is all."""
    if rows is None:
        return np.arange(n_rows)
    found = np.atleast_1d(np.asarray(rows))
    if found.dtype == bool and len(found) == n_rows:
        return np.flatnonzero(found)
    if found.dtype.kind not in "iu" or not ((found >= 0) & (found < n_rows)).all():
        raise ValueError(f"rows must be positions from 0 to {n_rows - 1}; found {rows!r}.")
    return found


def _edge_segments(
    xy: np.ndarray, target_nodes: np.ndarray, source_index: np.ndarray
) -> np.ndarray:
    """Both ends (e, 2, 2) of the edges to receivers (m,) from senders (m, K); -1 is nobody."""
    there = source_index >= 0
    row = np.broadcast_to(target_nodes[:, None], source_index.shape)[there]
    return np.stack([xy[row], xy[source_index[there]]], axis=1)


def _as_one_line(ends: np.ndarray, bend: float) -> np.ndarray:
    """Return edges (e, 2, 2) as one broken line (2, k): a thousand lines would be slow to draw.

    The middle of an edge is moved to its side by `bend` of its length.
    """
    start, along = ends[:, :1], np.diff(ends, axis=1)
    aside = along[..., ::-1] * [-1, 1]
    at = (_BEND if bend else _BEND[[0, -1]])[:, None]
    curves = start + at * along + 4 * bend * at * (1 - at) * aside
    gaps = np.full((len(ends), 1, 2), np.nan)
    return np.concatenate([curves, gaps], axis=1).reshape(-1, 2).T


def _epochs(values: np.ndarray) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _runs(history: list[dict]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the losses of each group of members, and held-out errors (M, n_epochs).

    Errors are NaN after the last epoch of a member's group, and there are none without early
    stopping.
    """
    starts = [place for place, entry in enumerate(history) if entry["epoch"] == 1]
    runs = [history[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    losses = [np.array([entry["train_loss"] for entry in run]) for run in runs]
    members = [
        np.array([entry.get("held_out_mse_by_member", []) for entry in run]).T for run in runs
    ]
    longest = max(map(len, losses))
    padded = [
        np.pad(errors, ((0, 0), (0, longest - errors.shape[1])), constant_values=np.nan)
        for errors in members
    ]
    return losses, np.concatenate(padded)
