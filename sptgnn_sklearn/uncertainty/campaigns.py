"""Shifts of laboratories or sampling campaigns, as a part of the correlation of errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .correlated_draws import keyed_normals

__all__ = ["CampaignShifts", "in_same_campaign"]

_UNKNOWN = np.uint64(0)  # key of a row without a label
_LEAST_ROWS = 2  # of a campaign whose shift differs from the noise of a row


@dataclass(frozen=True)
class CampaignShifts:
    """Random shifts that the rows of a campaign share.

    Attributes
    ----------
    share : float
        Variance of the shifts relative to that of the standardized errors.
    keys : ndarray of shape (k,) of uint64
        Campaigns of the training rows that some ensemble member held out.
    centers : ndarray of shape (k, d + 1)
        Mean position and year of their rows, divided by `scale`.
    scale : ndarray of shape (d + 1,)
        Standard deviations of positions and years in the survey. The year of a survey without known
        dates has scale 0 and is not used.

    Notes
    -----
    Predictions are made without campaign, and near its rows they contain the shift of a campaign.
    Rows without a label therefore share the shift of the campaign whose mean position and date is
    the nearest. This is the largest error that shifts can cause: where campaigns overlap in space
    and time, a prediction averages over several of them.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.campaigns import CampaignShifts
    >>> keys = np.array([7, 7, 9, 9], dtype=np.uint64)
    >>> line = np.array([[0.0], [1.0], [0.0], [1.0]])
    >>> found = CampaignShifts.from_rows(keys, line, np.array([2001.0, 2002, 2011, 2012]))
    >>> found.assign(None, line[:2], np.array([2003.0, 2020])).tolist()
    [7, 9]
    """

    share: float
    keys: np.ndarray
    centers: np.ndarray
    scale: np.ndarray

    @classmethod
    def from_rows(
        cls, keys: np.ndarray, positions: np.ndarray, time: np.ndarray | None
    ) -> CampaignShifts | None:
        """Return the campaigns of training rows, with a share of 0.

        None if fewer than two campaigns have several rows.
        """
        points = _points(positions, time)
        labels, index, count = np.unique(keys, return_inverse=True, return_counts=True)
        if np.sum((count >= _LEAST_ROWS) & (labels != _UNKNOWN)) < 2:
            return None
        known = np.isfinite(points)
        filled, n_known = np.where(known, points, 0.0), np.maximum(known.sum(axis=0), 1)
        middle = filled.sum(axis=0) / n_known
        scale = np.sqrt((np.where(known, points - middle, 0.0) ** 2).sum(axis=0) / n_known)
        # One scale for all axes of space, so that distances are those of the survey.
        scale[:-1] = np.sqrt(np.mean(scale[:-1] ** 2))
        n = np.column_stack([np.bincount(index, column) for column in known.T])
        total = np.column_stack([np.bincount(index, column) for column in filled.T])
        # A campaign without dates has the mean date of all.
        centers = np.divide(total, n, where=n > 0, out=np.tile(middle, (len(labels), 1)))
        kept = labels != _UNKNOWN
        return cls(0.0, labels[kept], _scaled(centers[kept], scale), scale)

    def assign(
        self, keys: np.ndarray | None, positions: np.ndarray, time: np.ndarray | None
    ) -> np.ndarray:
        """Return the campaign (m,) of each row: its own, or else the nearest."""
        keys = np.full(len(positions), _UNKNOWN) if keys is None else keys.copy()
        unknown = keys == _UNKNOWN
        points = _scaled(_points(positions, time)[unknown], self.scale)
        found = np.empty(len(points), dtype=np.uint64)
        dated = np.isfinite(points[:, -1])
        for rows, axes in ((dated, slice(None)), (~dated, slice(-1))):
            if rows.any():
                nearest = cKDTree(self.centers[:, axes]).query(points[rows, axes])[1]
                found[rows] = self.keys[nearest]
        keys[unknown] = found
        return keys

    def draw(self, keys: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Return the shifts (m, n) of rows, which are functions of campaign and seed."""
        labels, index = np.unique(keys, return_inverse=True)
        return np.sqrt(self.share) * keyed_normals(labels, n, seed)[index]


def in_same_campaign(keys: np.ndarray | None, n: int) -> np.ndarray:
    """Return whether two of n rows (n, n) are known to be of one campaign."""
    if keys is None:
        return np.zeros((n, n), dtype=bool)
    return (keys[:, None] == keys) & (keys != _UNKNOWN)


def _points(positions: np.ndarray, time: np.ndarray | None) -> np.ndarray:
    time = np.full(len(positions), np.nan) if time is None else time
    return np.column_stack([positions, time])


def _scaled(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Divide by the scale; axes without variation count as 0."""
    return np.where(scale > 0, points / np.where(scale > 0, scale, 1.0), 0.0)
