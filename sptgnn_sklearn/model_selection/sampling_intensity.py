"""Weights of clustered samples by the inverse of their sampling intensity.

The kernel estimate of the intensity at a sample is divided by the mean kernel over the prediction
area, which corrects for the edges of the area: both are means over points, so the size of the area
is not needed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist
from sklearn.utils import gen_batches

from ..spatial.crs import SpatialReference
from ..spatial.distances import (
    EARTH_RADIUS_KM,
    chord_to_distance,
    from_local_plane,
    plane_origin,
    to_local_plane,
    to_metric_coordinates,
)
from .locations import SampleLocations, check_distance, read_locations
from .prediction_area import prediction_locations

__all__ = ["choose_bandwidth", "inverse_intensity_weights"]

_N_AREA_POINTS = 2500
_LARGEST_WEIGHT = 10.0  # of a mean of 1
_MOST_PAIRS_AT_ONCE = 4_000_000
_N_BANDWIDTHS = 20
_MOST_BANDWIDTH_LOCATIONS = 1500


def inverse_intensity_weights(
    X: Any,
    *,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    area: Any = None,
    bandwidth: float | None = None,
) -> np.ndarray:
    """Return weights of the scores of clustered samples: the inverse of their sampling intensity.

    A score with these weights is an estimate for the area, to which each part contributes by its
    size and not by the number of its samples. Pass them as `sample_weight` to metrics or
    `compare_models`, with random folds.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Samples, with their coordinates.
    coordinates, crs
        As in `SpatialBlockKFold`.
    area : array-like of shape (n, 2), DataFrame, geometry or path of a raster, default=None
        Area of the map, as `prediction_points` of `KNNDMKFold`: points evenly distributed over it,
        such as its cells, or a polygon or raster. None is the convex hull of the samples.
    bandwidth : float, default=None
        Standard deviation of the normal kernel, in km for a geographic CRS and otherwise in the
        unit of the CRS. None maximizes the likelihood of each location without itself, between a
        fifth and twice Scott's rule.

    Returns
    -------
    weights : ndarray of shape (n_samples,)
        With a mean of 1 before the largest are limited to 10, which bounds the influence of a
        single sample. Samples outside of the area have small weights, far outside 0.

    Raises
    ------
    ValueError
        If coordinates are invalid, `bandwidth` is not a positive number, all samples are too far
        from the area, or the samples have no convex hull.

    See Also
    --------
    KNNDMKFold : Folds with the prediction distances of a map.

    Notes
    -----
    Weights of the scores of random folds by the inverse intensity are due to [1]_. The intensity at
    a sample is the sum of the kernels of all samples, its own included, divided by the share of its
    kernel inside the area [2]_. Rows of one location share the weight of a single one. The
    bandwidth of [1]_ follows another criterion; in simulations (`benchmarks/clustered_samples.py`)
    that of the likelihood had less bias for strongly clustered samples.

    Weights cannot replace samples: parts of the area far from all samples stay unknown.

    References
    ----------
    .. [1] de Bruin, S., Brus, D. J., Heuvelink, G. B. M., van Ebbenhorst Tengbergen, T., &
       Wadoux, A. M. J.-C. (2022). Dealing with clustered samples for assessing map accuracy by
       cross-validation. Ecological Informatics, 69, 101665.
    .. [2] Diggle, P. (1985). A kernel method for smoothing point process data. Applied Statistics,
       34, 138-147. Likelihood cross-validation: Loader, C. (1999). Local regression and
       likelihood, Springer.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection import inverse_intensity_weights
    >>> rng = np.random.default_rng(0)
    >>> west, east = rng.uniform(0, 10, (400, 2)), rng.uniform(0, 10, (200, 2)) + [10, 0]
    >>> weights = inverse_intensity_weights(np.vstack([west, east]))
    >>> round(float(weights[400:].mean() / weights[:400].mean()), 1)
    1.7
    """
    samples = read_locations(X, coordinates, crs)
    if bandwidth is not None:
        check_distance("bandwidth", bandwidth)
        if bandwidth == 0:
            raise ValueError("bandwidth must be positive; found 0.")
    area_points, share = _area_points(area, samples)
    points = to_metric_coordinates(samples.xy, samples.reference)
    locations, row, n_rows = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    if bandwidth is None:
        bandwidth = choose_bandwidth(locations, area_points, share, samples.reference)
    own, inside = (
        _mean_kernel(locations, others, weight, bandwidth, samples.reference)
        for others, weight in ((locations, n_rows / n_rows.sum()), (area_points, share))
    )
    weights = (inside / own)[row.reshape(-1)]
    if not weights.any():
        raise ValueError(
            f"area is far from all samples, more than {bandwidth:.3g} {samples.reference.unit}: "
            "check its coordinates and crs."
        )
    return np.minimum(weights / weights.mean(), _LARGEST_WEIGHT)


def choose_bandwidth(
    locations: np.ndarray, area_points: np.ndarray, share: np.ndarray, reference: SpatialReference
) -> float:
    """Return the bandwidth with the largest likelihood of each location without itself.

    Parameters
    ----------
    locations : ndarray of shape (n_locations, d)
        Distinct points of `to_metric_coordinates`. Of many, an even sample is used.
    area_points : ndarray of shape (n_points, d)
    share : ndarray of shape (n_points,)
        Share of the area of each of its points; the sum is 1.
    reference : SpatialReference

    Returns
    -------
    bandwidth : float
        In km for a geographic CRS, else in the unit of the CRS.
    """
    n = len(locations)
    # Scott's rule for two dimensions, with the mean variance of the two.
    scott = n ** (-1 / 6) * np.sqrt(locations.var(axis=0).sum() / 2)
    if n < 3 or scott == 0:
        raise ValueError(
            f"bandwidth cannot be chosen for {n} location(s) of samples; set it as a number."
        )
    step = -(-n // _MOST_BANDWIDTH_LOCATIONS)
    used = np.random.default_rng(0).permutation(n)[::step]
    locations, n = locations[used], len(used)
    best, largest = scott, -np.inf
    for bandwidth in scott * np.geomspace(0.2, 2.0, _N_BANDWIDTHS):
        equal = np.full(n, 1 / n)
        own = _mean_kernel(locations, locations, equal, bandwidth, reference)
        others = (n * own - 1) / (n - 1)  # the kernel is 1 at its center
        inside = _mean_kernel(locations, area_points, share, bandwidth, reference)
        known = inside > 0  # a location far outside of the area has no intensity in it
        with np.errstate(divide="ignore"):
            likelihood = np.log(others[known] / inside[known]).mean() if known.any() else -np.inf
        if likelihood > largest:
            best, largest = bandwidth, likelihood
    return float(best)


def _mean_kernel(
    points: np.ndarray,
    others: np.ndarray,
    weight: np.ndarray,
    bandwidth: float,
    reference: SpatialReference,
) -> np.ndarray:
    """Return the mean over `others` of a normal kernel around each point, 1 at its center."""
    mean = np.empty(len(points))
    for rows in gen_batches(len(points), max(1, _MOST_PAIRS_AT_ONCE // len(others))):
        distance = chord_to_distance(cdist(points[rows], others), reference)
        mean[rows] = np.exp(-0.5 * (distance / bandwidth) ** 2) @ weight
    return mean


def _area_points(area: Any, samples: SampleLocations) -> tuple[np.ndarray, np.ndarray]:
    """Return points of `to_metric_coordinates` and the share of the area of each."""
    if area is None:
        xy, size = _hull_points(samples.xy, samples.reference)
    else:
        xy = prediction_locations(area, samples, _N_AREA_POINTS, name="area")
        if len(xy) > 4 * _N_AREA_POINTS:  # cells of a map
            xy = np.random.default_rng(0).permutation(xy)[: 4 * _N_AREA_POINTS]
        size = np.ones(len(xy))
    return to_metric_coordinates(xy, samples.reference), size / size.sum()


def _hull_points(xy: np.ndarray, reference: SpatialReference) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates of a regular grid over the convex hull, and sizes of its cells."""
    origin = plane_origin(xy, reference)
    plane = np.unique(to_local_plane(xy, reference, origin), axis=0)
    try:
        hull = ConvexHull(plane)
    except (QhullError, ValueError) as error:
        raise ValueError(
            f"area: the {len(plane)} location(s) of the samples are on a line and have no convex "
            "hull; pass the area of the map."
        ) from error
    size = np.sqrt(hull.volume / _N_AREA_POINTS)
    axes = [
        np.arange(low + size / 2, high, size)
        for low, high in zip(plane.min(axis=0), plane.max(axis=0), strict=True)
    ]
    grid = np.column_stack([axis.ravel() for axis in np.meshgrid(*axes)])
    inside = (grid @ hull.equations[:, :2].T + hull.equations[:, 2] <= 0).all(axis=1)
    # A narrow hull can lie between the nodes of the grid.
    grid = grid[inside] if inside.any() else plane
    # The azimuthal equidistant projection stretches areas away from the origin.
    angle = np.hypot(*grid.T) / EARTH_RADIUS_KM if reference.geographic else np.zeros(len(grid))
    return from_local_plane(grid, reference, origin), np.sinc(angle / np.pi)
