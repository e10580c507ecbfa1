"""Block size from the range of the residual variogram."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.utils import check_consistent_length, check_random_state

from ..spatial.distances import to_local_plane
from .locations import read_locations

__all__ = ["suggest_block_size"]

_MIN_LOCATIONS = 30
_MIN_LAGS = 4
# Pure noise is below one of the first two in most samples, or at a bound.
_MIN_SHARE, _MIN_EXPLAINED, _NEAR_BOUND = 0.1, 0.25, 0.99


def suggest_block_size(
    X: Any,
    residuals: Any,
    *,
    coordinates: Sequence[Hashable] | None = None,
    crs: Any = None,
    model: str = "spherical",
    n_lags: int = 20,
    max_rows: int = 2000,
    random_state: Any = 0,
) -> float:
    """Return the range of the residual variogram, as a block size or buffer for spatial folds.

    Errors of rows farther apart than this range are uncorrelated. Use out-of-fold residuals:
    residuals of training rows are too small, and the range of the target itself is longer than that
    of the residuals.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table with the coordinates.
    residuals : array-like of shape (n_samples,)
        For example ``y - cross_val_predict(model, X, y)``.
    coordinates, crs
        As in `SpatialBlockKFold`.
    model : str, default="spherical"
        Variogram model of scikit-gstat: "spherical", "exponential", "gaussian", "matern", ...
    n_lags : int, default=20
        Number of distance classes of equal width, up to a third of the diagonal of the area. Fewer
        are used if a class has no pairs.
    max_rows : int, default=2000
        Size of the random sample used for larger tables, because all pairs are compared.
    random_state : int, RandomState or None, default=0
        Seed of the sample.

    Returns
    -------
    size : float
        Effective range in km for geographic coordinates, else in units of the CRS.

    Raises
    ------
    ImportError
        If scikit-gstat is not installed.
    ValueError
        If there are fewer than 30 locations, residuals are not finite or all equal, or the
        variogram cannot be fitted.

    Warns
    -----
    UserWarning
        If the range is at a bound of the fit, or residuals are hardly correlated in space.

    Examples
    --------
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> from sptgnn_sklearn.model_selection import suggest_block_size
    >>> survey = make_soil_survey(400, covariate_sd=0, elevation_sd=0, random_state=0)
    >>> size = suggest_block_size(survey.data, survey.target - survey.target.mean())
    >>> bool(10 < size < 150)  # the field has a range of 50 km
    True
    """
    try:
        from skgstat import Variogram
    except ImportError as error:
        raise ImportError(
            'suggest_block_size needs scikit-gstat: pip install "sptgnn-sklearn[demo]".'
        ) from error
    locations = read_locations(X, coordinates, crs)
    residuals = np.asarray(residuals, dtype=float).reshape(-1)
    check_consistent_length(locations.xy, residuals)
    if not np.isfinite(residuals).all():
        raise ValueError(
            f"residuals hold NaN or inf in {(~np.isfinite(residuals)).sum()} rows: drop these rows."
        )
    # Pairs of samples at one location have distance 0, so they are averaged.
    value = locations.centers(residuals[:, None])[:, 0]
    plane = locations.centers(to_local_plane(locations.xy, locations.reference))
    if len(plane) < _MIN_LOCATIONS or not np.ptp(value) > 0:
        raise ValueError(
            f"A variogram needs at least {_MIN_LOCATIONS} locations and residuals that vary; found "
            f"{len(plane)} locations and residuals with a range of {np.ptp(value):.3g}."
        )
    if len(plane) > max_rows:
        rows = check_random_state(random_state).choice(len(plane), max_rows, replace=False)
        plane, value = plane[rows], value[rows]
    max_lag = float(np.linalg.norm(np.ptp(plane, axis=0))) / 3
    # Classes without pairs cannot be fitted, so few locations need wider classes.
    pairs = pdist(plane)
    while n_lags > _MIN_LAGS and not np.histogram(pairs, n_lags, (0, max_lag))[0].all():
        n_lags -= 1
    try:
        variogram = Variogram(
            plane,
            value,
            model=model,
            n_lags=n_lags,
            bin_func="even",
            maxlag=max_lag,
            use_nugget=True,
            fit_sigma="linear",  # larger weights of short distances, which determine the range
        )
        size = float(variogram.parameters[0])
    except (RuntimeError, AttributeError, ValueError) as error:
        raise ValueError(f"A {model!r} variogram cannot be fitted: {error}") from error
    _warn_unreliable_range(variogram, size, max_lag)
    return size


def _warn_unreliable_range(variogram: Any, size: float, max_lag: float) -> None:
    """Warn if the range is a bound of the fit, or residuals are hardly correlated in space."""
    nugget, sill = variogram.parameters[-1], variogram.parameters[1]
    share = sill / (sill + nugget)
    # Variance between the distance classes that the model explains, weighted by pairs.
    semivariance, pairs = variogram.experimental, variogram.bin_count
    misfit = np.average((semivariance - variogram.transform(variogram.bins)) ** 2, weights=pairs)
    mean = np.average(semivariance, weights=pairs)
    total = np.average((semivariance - mean) ** 2, weights=pairs)
    explained = 1 - misfit / total if total > 0 else 0.0
    at_upper_bound = size > _NEAR_BOUND * max_lag
    if share < _MIN_SHARE or (explained < _MIN_EXPLAINED and not at_upper_bound):
        reason = (
            f"residuals are hardly correlated in space (structured share of the sill {share:.0%}, "
            f"variance between distance classes explained by the variogram {max(explained, 0):.0%})"
        )
        remedy = "choose folds by the distances of the map instead, by KNNDMKFold"
    elif at_upper_bound:
        reason = f"it is the upper bound of the fit, the largest distance class ({max_lag:.4g})"
        remedy = "remove a trend from the residuals, or use larger blocks"
    elif size < max_lag / len(semivariance) / 2:
        reason = "it is shorter than the first distance class resolves"
        remedy = "increase n_lags, or use blocks of a few locations"
    else:
        return
    warnings.warn(
        f"The range {size:.4g} is not a reliable block size, because {reason}: {remedy}.",
        UserWarning,
        stacklevel=3,
    )
