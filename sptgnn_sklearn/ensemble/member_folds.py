"""Cross-fitting folds: held-out locations of each ensemble member, and blocks hidden in training.

Both kinds of folds consist of whole locations.

member
    One fold per ensemble member. In half of the survey's blocks locations are assigned one by one,
    in the other half block by block, so that held-out errors represent predictions near the data
    and away from them. The base model is cross-fitted on the same folds.
far
    Blocks of several sizes, assigned to folds. In training, a row sometimes has neighbors in the
    other folds only, so that the network learns the value of neighbors at every distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spatial.blocks import assign_folds, cluster_labels

__all__ = ["N_FOLDS", "MemberFolds", "make_member_folds"]

N_FOLDS = 5
_MEMBER_BLOCKS = 40
_FAR_BLOCKS = (10, 40, 150)


@dataclass(frozen=True)
class MemberFolds:
    """Fold labels of the training rows.

    Attributes
    ----------
    location : ndarray of shape (n,)
        Location id of each row.
    member : ndarray of shape (n_rounds, n)
        Row r holds the folds of members r * N_FOLDS, r * N_FOLDS + 1, ... With fewer than N_FOLDS
        locations, members share folds, because each member needs held-out rows.
    far_folds : list of ndarray of shape (n,)
        One array per block size; empty if there are too few locations.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.ensemble.member_folds import make_member_folds
    >>> space = np.random.RandomState(0).uniform(size=(60, 2))
    >>> folds = make_member_folds(space, np.arange(60), n_members=5, rng=np.random.RandomState(0))
    >>> folds.masks(5).sum(axis=0).tolist() == [1] * 60
    True
    """

    location: np.ndarray
    member: np.ndarray
    far_folds: list[np.ndarray]

    def held_out(self, member: int) -> np.ndarray:
        """Return the mask (n,) of the rows that a member holds out."""
        folds = self.member[member // N_FOLDS]
        return folds == member % N_FOLDS % (folds.max() + 1)

    def masks(self, n_members: int) -> np.ndarray:
        """Return the masks (n_members, n) of the held-out rows of all members."""
        return np.array([self.held_out(member) for member in range(n_members)])

    @staticmethod
    def fold_rounds(n_members: int) -> np.ndarray:
        """Return the round (n_members,) of each member, a row of `member`."""
        return np.arange(n_members) // N_FOLDS


def make_member_folds(
    space: np.ndarray,
    location: np.ndarray,
    n_members: int,
    rng: np.random.RandomState,
    far_blocks: Sequence[int] = _FAR_BLOCKS,
) -> MemberFolds:
    """Draw the cross-fitting folds.

    Parameters
    ----------
    space : ndarray of shape (n, d)
        Metric coordinates.
    location : ndarray of shape (n,) of int
        Location ids, 0 to n_locations - 1.
    n_members : int
    rng : RandomState
    far_blocks : sequence of int
        Numbers of blocks of the far folds.

    Returns
    -------
    MemberFolds

    Raises
    ------
    ValueError
        If all rows are at one location.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.ensemble.member_folds import make_member_folds
    >>> location = np.repeat(np.arange(3), 4)
    >>> folds = make_member_folds(np.eye(3)[location], location, 1, np.random.RandomState(0))
    >>> [len(set(folds.member[0][location == i])) for i in range(3)]  # locations are not split
    [1, 1, 1]
    """
    n_locations = int(location.max()) + 1
    if n_locations < 2:
        raise ValueError(
            f"All {len(location)} rows are at one location, so no spatial model can be fitted. "
            "Check the columns of coordinates and site, or use a tabular regressor."
        )
    n_folds = min(N_FOLDS, n_locations)
    n_rounds = -(-n_members // N_FOLDS)
    return MemberFolds(
        location=location,
        member=np.array(
            [_draw_member_folds(space, location, n_folds, rng) for _ in range(n_rounds)]
        ),
        far_folds=[
            _assign(_compact_blocks(space, location, n_blocks, rng), n_folds, rng)
            for n_blocks in far_blocks
            if n_locations >= 2 * n_folds
        ],
    )


def _compact_blocks(
    space: np.ndarray, location: np.ndarray, n_blocks: int, rng: np.random.RandomState
) -> np.ndarray:
    """Block labels of whole locations; fewer blocks if there are few locations."""
    n_locations = int(location.max()) + 1
    count = np.bincount(location)
    # A site may have several coordinates; its mean keeps it in one block.
    centers = np.column_stack([np.bincount(location, weights=axis) / count for axis in space.T])
    n_clusters = int(np.clip(n_blocks, 2, max(2, n_locations // 3)))
    return cluster_labels(centers, n_clusters, rng)[location]


def _draw_member_folds(
    space: np.ndarray, location: np.ndarray, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    """Folds of single locations in half of the blocks and of whole blocks in the other half."""
    n_locations = int(location.max()) + 1
    if n_locations < 4 * n_folds:
        return _assign(location, n_folds, rng)
    block = _compact_blocks(space, location, _MEMBER_BLOCKS, rng)
    whole = rng.permutation(block.max() + 1)[: (block.max() + 1) // 2]
    # Labels of whole blocks start after the location ids, so that they do not collide.
    labels = np.where(np.isin(block, whole), n_locations + block, location)
    return _assign(np.unique(labels, return_inverse=True)[1], n_folds, rng)


def _assign(labels: np.ndarray, n_folds: int, rng: np.random.RandomState) -> np.ndarray:
    """Assign labels to folds; with fewer labels than folds there are fewer folds."""
    return assign_folds(labels, min(n_folds, len(np.unique(labels))), rng)
