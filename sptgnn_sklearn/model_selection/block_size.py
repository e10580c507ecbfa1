"""How far errors are alike, and so how large blocks should be."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.utils import check_consistent_length, check_random_state

from ..spatial.distances import to_local_plane
from .locations import read_locations

__all__ = ["suggest_block_size"]

_FEWEST = 30
_FEWEST_LAGS = 4


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
    """Suggest a size of blocks: the range of the variogram of residuals.

    Rows farther apart than this err independently, so blocks of this size, or a buffer this wide,
    leave the model nothing to copy. Take residuals of held-out rows: those of the fit are small
    and say little, and the target itself has a longer range than what covariates leave of it.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_samples, n_features)
        Table that holds the coordinates.
    residuals : array-like of shape (n_samples,)
        Such as ``y - cross_val_predict(model, X, y)``.
    coordinates, crs
        As in `SpatialBlockKFold`.
    model : str, default="spherical"
        Any model of scikit-gstat: "spherical", "exponential", "gaussian", "matern", ...
    n_lags : int, default=20
        Classes of distance, equally wide, up to a third of the diagonal of the area.
    max_rows : int, default=2000
        A larger table is sampled, as all pairs of rows are looked at.
    random_state : int, RandomState or None, default=0
        Draws the sample.

    Returns
    -------
    size : float
        Effective range in km for geographic coordinates, else in units of the CRS.

    Raises
    ------
    ImportError
        If scikit-gstat is not installed.
    ValueError
        If there are fewer than 30 locations, a residual is not finite or all are equal, or no
        variogram can be fitted.

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
    survey = read_locations(X, coordinates, crs)
    residuals = np.asarray(residuals, dtype=float).reshape(-1)
    check_consistent_length(survey.xy, residuals)
    if not np.isfinite(residuals).all():
        raise ValueError(f"residuals hold NaN or inf in {(~np.isfinite(residuals)).sum()} rows.")
    # Repeated samples of a place say nothing of distance: one value for each.
    value = survey.centers(residuals[:, None])[:, 0]
    plane = survey.centers(to_local_plane(survey.xy, survey.reference))
    if len(plane) < _FEWEST or not np.ptp(value) > 0:
        raise ValueError(
            f"A variogram needs {_FEWEST} locations and residuals that differ; found {len(plane)} "
            f"locations and a spread of {np.ptp(value):.3g}."
        )
    if len(plane) > max_rows:
        rows = check_random_state(random_state).choice(len(plane), max_rows, replace=False)
        plane, value = plane[rows], value[rows]
    far = float(np.linalg.norm(np.ptp(plane, axis=0))) / 3
    # Classes without any pair cannot be fitted; few places need wide classes.
    pairs = pdist(plane)
    while n_lags > _FEWEST_LAGS and not np.histogram(pairs, n_lags, (0, far))[0].all():
        n_lags -= 1
    try:
        variogram = Variogram(
            plane,
            value,
            model=model,
            n_lags=n_lags,
            bin_func="even",
            maxlag=far,
            use_nugget=True,
            fit_sigma="linear",  # short distances, which tell the range, count for more
        )
        return float(variogram.parameters[0])
    except (RuntimeError, AttributeError, ValueError) as error:
        raise ValueError(f"No {model!r} variogram fits these residuals: {error}") from error
