"""Moran's I of values and of residuals: spatial autocorrelation between nearest neighbors."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree
from sklearn.exceptions import UndefinedMetricWarning

from ..spatial.distances import to_metric_coordinates
from ..table.coordinate_columns import locate_coordinates
from .validation import aligned_vectors

if TYPE_CHECKING:
    from libpysal.graph import Graph

__all__ = [
    "expected_morans_i",
    "make_residual_morans_i_scorer",
    "morans_i",
    "neg_abs_residual_morans_i_scorer",
    "residual_morans_i",
]

# Distances that differ by less than this fraction of the largest coordinate are ties; otherwise
# rounding would choose between the neighbors of a point on a regular grid.
_TIE = 16 * np.finfo(float).eps
# libpysal needs about 4 GB for this number of pairs of neighbors.
_MOST_PAIRS = 30_000_000


def morans_i(values: Any, coordinates: Any, *, crs: Any = None, n_neighbors: int = 8) -> float:
    r"""Return Moran's I: the spatial autocorrelation of values.

    .. math:: I = \frac{n}{\sum_{ij} w_{ij}} \frac{\sum_{ij} w_{ij} z_i z_j}{\sum_i z_i^2}

    with deviations from the mean z and row-standardized weights w of the nearest neighbors
    [1]_. It is near +1 where neighbors have similar values; its expectation for independent values
    is `expected_morans_i`, slightly below 0.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
    coordinates : array-like of shape (n_samples, 2) or DataFrame
        Longitude and latitude, or easting and northing. In a DataFrame, columns with a usual name
        are used, or else the first two.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system. None means longitude and latitude if the columns are so named,
        and planar coordinates otherwise. Distances between geographic coordinates are those along
        great circles.
    n_neighbors : int, default=8
        Number of neighbors of each row; all other rows where there are fewer.

    Returns
    -------
    i : float
        nan, with an UndefinedMetricWarning, for fewer than two rows or constant values.

    Raises
    ------
    ValueError
        If a value or coordinate is not finite, lengths differ, `n_neighbors` is not a positive
        integer, or so many rows share a location that the pairs of them do not fit in memory.

    Notes
    -----
    Rows at the distance of the last neighbor share its weight equally, so I does not depend on the
    order of rows. Rows at the same location are each other's nearest neighbors: where most
    locations have more than `n_neighbors` rows, average them first.

    There is no `sample_weight`: a repeated row would become its own neighbor and raise I.

    Where ``n_neighbors >= n_samples - 1``, all rows are neighbors and I equals its expectation for
    any values.

    References
    ----------
    .. [1] Cliff, A. D., Ord, J. K. (1981). Spatial Processes: Models and Applications. Pion.
       Computed by esda.Moran (Rey and Anselin 2007, Review of Regional Studies 37, 5-27).

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.metrics import morans_i
    >>> east, north = np.meshgrid(np.arange(10.0), np.arange(10.0))
    >>> xy = np.column_stack([east.ravel(), north.ravel()])
    >>> round(morans_i(xy[:, 0], xy), 2)  # a trend: neighbors are similar
    0.91
    >>> checkerboard = (xy.sum(axis=1) % 2).astype(float)
    >>> round(morans_i(checkerboard, xy, n_neighbors=4), 2)
    -0.8
    """
    (values,) = aligned_vectors(values=values)
    xy, reference, _ = locate_coordinates(coordinates, None, crs)
    if len(xy) != len(values):
        raise ValueError(f"coordinates have {len(xy)} rows, but values {len(values)}.")
    if n_neighbors < 1 or n_neighbors != int(n_neighbors):
        raise ValueError(f"n_neighbors must be a positive integer; found {n_neighbors!r}.")
    # Residuals of a constant error differ by rounding only.
    if np.ptp(values) <= 16 * np.finfo(float).eps * np.abs(values).max():
        warnings.warn(
            f"Moran's I is not defined for {len(values)} row(s) without variation.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    # esda imports geopandas and numba, which takes seconds.
    from esda import Moran

    graph = neighbor_weights(
        to_metric_coordinates(xy, reference), min(int(n_neighbors), len(values) - 1)
    )
    # Moran also computes variances, unused here, which are 0 / 0 for a few rows.
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(Moran(values, graph, transformation="r", permutations=0).I)


def expected_morans_i(n_samples: int) -> float:
    """Return the expectation of Moran's I for spatially independent values.

    Parameters
    ----------
    n_samples : int
        At least 2.

    Returns
    -------
    expectation : float
        ``-1 / (n_samples - 1)`` (Cliff and Ord 1981).

    Raises
    ------
    ValueError
        If there are fewer than two samples.

    Examples
    --------
    >>> from sptgnn_sklearn.metrics import expected_morans_i
    >>> expected_morans_i(101)
    -0.01
    """
    if n_samples < 2:
        raise ValueError(f"n_samples must be at least 2; found {n_samples!r}.")
    return -1.0 / (n_samples - 1)


def residual_morans_i(
    y_true: Any, y_pred: Any, coordinates: Any, *, crs: Any = None, n_neighbors: int = 8
) -> float:
    """Return Moran's I of residuals: the spatial structure that a model does not explain.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Measured and predicted values.
    coordinates, crs, n_neighbors
        As in `morans_i`.

    Returns
    -------
    i : float
        Near `expected_morans_i`, and so near 0, for independent residuals. nan as in `morans_i`.

    Raises
    ------
    ValueError
        As `morans_i`.

    Notes
    -----
    There is no `sample_weight`, as in `morans_i`.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.metrics import residual_morans_i
    >>> rng = np.random.default_rng(0)
    >>> xy = rng.uniform(size=(300, 2))
    >>> y = np.sin(6 * xy[:, 0]) + rng.normal(scale=0.1, size=300)
    >>> round(residual_morans_i(y, np.zeros(300), xy), 2)
    0.95
    >>> round(residual_morans_i(y, np.sin(6 * xy[:, 0]), xy), 2)
    -0.01
    """
    y_true, y_pred = aligned_vectors(y_true=y_true, y_pred=y_pred)
    return morans_i(y_true - y_pred, coordinates, crs=crs, n_neighbors=n_neighbors)


@dataclass(frozen=True, repr=False)
class _ResidualMoransIScorer:
    """Scorer ``(estimator, X, y) -> -|I|`` that can be copied and pickled."""

    coordinates: Sequence[Hashable] | None = None
    crs: Any = None
    n_neighbors: int = 8

    def __repr__(self) -> str:
        settings = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        arguments = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"make_residual_morans_i_scorer({arguments})"

    def __call__(self, estimator: Any, X: Any, y_true: Any) -> float:
        coordinates, crs = self.coordinates, self.crs
        if coordinates is None:
            coordinates, role_crs = _spatial_roles(estimator, X)
            crs = role_crs if crs is None else crs
        xy, reference, _ = locate_coordinates(X, coordinates, crs)
        (y_true,) = aligned_vectors(y_true=y_true)
        (y_pred,) = aligned_vectors(y_pred=estimator.predict(X))
        i = residual_morans_i(y_true, y_pred, xy, crs=reference.crs, n_neighbors=self.n_neighbors)
        return -abs(i) if np.isfinite(i) else 0.0

    def _accept_sample_weight(self) -> bool:
        # Read by scikit-learn's searches, which warn where weights are passed.
        return False


def make_residual_morans_i_scorer(
    coordinates: Sequence[Hashable] | None = None, crs: Any = None, n_neighbors: int = 8
) -> _ResidualMoransIScorer:
    """Make a scorer of the negative absolute Moran's I of the residuals.

    Parameters
    ----------
    coordinates : pair of str or int, default=None
        Columns of the X that is scored. None takes the parameters `coordinates` and `crs` of the
        estimator, which may be wrapped in a Pipeline or a search, or else columns with usual names
        or the first two.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system of these columns.
    n_neighbors : int, default=8
        As in `morans_i`.

    Returns
    -------
    scorer : callable ``(estimator, X, y) -> float``
        ``-|I|`` of the residuals, at most 0; greater is better. It can be pickled and used as
        ``scoring`` of `cross_validate`, `GridSearchCV` and similar tools, alone or in a dict. Where
        I is undefined (one row, or equal residuals), the score is 0, with the
        UndefinedMetricWarning of `morans_i`.

    Notes
    -----
    The residuals of random predictions have little autocorrelation, too: combine this score with
    one of accuracy.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from sptgnn_sklearn.metrics import make_residual_morans_i_scorer
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.uniform(size=(500, 3)), columns=["clay", "E", "N"])
    >>> y = np.sin(9 * X["E"]) + X["clay"]
    >>> scoring = {"r2": "r2", "moran": make_residual_morans_i_scorer(coordinates=("E", "N"))}
    >>> scores = cross_validate(LinearRegression(), X, y, scoring=scoring)
    >>> bool((scores["test_moran"] < -0.2).all())
    True
    """
    return _ResidualMoransIScorer(coordinates, crs, n_neighbors)


neg_abs_residual_morans_i_scorer = make_residual_morans_i_scorer()
"""Scorer ``-|Moran's I of residuals|`` with the defaults of `make_residual_morans_i_scorer`."""


def neighbor_weights(points: np.ndarray, n_neighbors: int) -> Graph:
    """Return row-standardized weights of the nearest neighbors, shared equally among ties."""
    from libpysal.graph import Graph

    tree = cKDTree(points)
    # Each row is its own nearest neighbor, hence the + 1.
    last = tree.query(points, k=n_neighbors + 1)[0][:, -1]
    tolerance = _TIE * np.abs(points).max()
    n_found = tree.query_ball_point(points, last + tolerance, return_length=True)
    if n_found.sum() > _MOST_PAIRS:
        raise ValueError(
            f"Up to {n_found.max()} rows of coordinates share one location or distance, in "
            f"{n_found.sum()} pairs of neighbors. Average the values of each location first."
        )
    found = tree.query_ball_point(points, last + tolerance, return_sorted=True)
    focal = np.repeat(np.arange(len(points)), n_found)
    neighbor = np.concatenate(found).astype(np.int64)
    focal, neighbor = focal[focal != neighbor], neighbor[focal != neighbor]
    distance = np.linalg.norm(points[focal] - points[neighbor], axis=1)
    tied = distance >= last[focal] - tolerance
    n_tied = np.bincount(focal, tied)
    n_nearer = np.bincount(focal, ~tied)
    share = np.where(tied, ((n_neighbors - n_nearer) / n_tied)[focal], 1.0)
    return Graph.from_arrays(focal, neighbor, share / n_neighbors)


def _spatial_roles(estimator: Any, X: Any) -> tuple[Sequence[Hashable] | None, Any]:
    """Return the parameters `coordinates` and `crs` of an estimator, if they apply to X."""
    transformed = False
    while not hasattr(estimator, "coordinates"):
        if hasattr(estimator, "steps"):
            transformed = transformed or len(estimator.steps) > 1
            estimator = estimator.steps[-1][1]
            continue
        inner = (
            getattr(estimator, name, None) for name in ("best_estimator_", "estimator", "regressor")
        )
        estimator = next((candidate for candidate in inner if candidate is not None), None)
        if estimator is None:
            return None, None
    coordinates, crs = estimator.coordinates, getattr(estimator, "crs", None)
    if coordinates is None or not transformed:
        return coordinates, crs
    # After transformers, labels refer to their output. Names that X has too are assumed to be the
    # same columns; positions may be others.
    columns = getattr(X, "columns", ())
    if all(isinstance(label, str) and label in columns for label in coordinates):
        return coordinates, crs
    if len(columns):
        return None, crs
    raise ValueError(
        f"coordinates={coordinates!r} of the last step of the pipeline are columns of its "
        "transformed input, and X has no column names. Use "
        "make_residual_morans_i_scorer(coordinates=...) with the columns of X."
    )
