"""Spatial basis functions as covariates of a regressor.

Multi-resolution Wendland functions as in LatticeKrig (Nychka et al. 2015, J. Comput. Graph. Stat.
24) and DeepKriging (Chen et al. 2024, Statistica Sinica 34): centers on regular grids, each twice
as fine as the one before, with a support of 2.5 spacings.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

_SUPPORT = 2.5  # spacings between centers
_COARSEST = 4  # centers along the longer side of the coarsest grid
_LEVELS = 4  # at most
_ROWS_PER_FUNCTION = 2  # finer grids need more training rows


class SpatialBasis(TransformerMixin, BaseEstimator):
    """Transformer that appends Wendland functions of the first two columns.

    The coarsest grid is always used, finer ones while there are at least two training rows for each
    function. Functions without training rows in their support are left out.
    """

    def fit(self, X, y=None):
        """Place the centers over the bounding box of the training rows."""
        xy = np.unique(np.asarray(X, dtype=float)[:, :2], axis=0)
        low, high = xy.min(axis=0), xy.max(axis=0)
        side = float((high - low).max()) or 1.0
        centers, radii, n_functions = [], [], 0
        for level in range(_LEVELS):
            spacing = side / ((_COARSEST - 1) * 2**level)
            axes = [np.arange(a, b + spacing / 2, spacing) for a, b in zip(low, high, strict=True)]
            grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
            grid = grid[_wendland(xy, grid, _SUPPORT * spacing).any(axis=0)]
            if level and (n_functions + len(grid)) * _ROWS_PER_FUNCTION > len(xy):
                break
            n_functions += len(grid)
            centers.append(grid)
            radii.append(_SUPPORT * spacing)
        self.centers_, self.radii_ = centers, radii
        return self

    def transform(self, X):
        """Append the functions to the columns."""
        X = np.asarray(X, dtype=float)
        levels = zip(self.centers_, self.radii_, strict=True)
        return np.hstack([X, *(_wendland(X[:, :2], grid, radius) for grid, radius in levels)])


def _wendland(xy: np.ndarray, centers: np.ndarray, radius: float) -> np.ndarray:
    """Return Wendland functions with four continuous derivatives, 1 at the center."""
    distance = np.linalg.norm(xy[:, None] - centers[None], axis=-1) / radius
    polynomial = (35 * distance**2 + 18 * distance + 3) / 3
    return np.clip(1 - distance, 0, None) ** 6 * polynomial
