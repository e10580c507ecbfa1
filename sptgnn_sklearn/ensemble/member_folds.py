"""Which rows hide from which while the model is fitted.

Two kinds of partition of the training rows, both of whole places:

member
    One fold for each member. In one half of the survey's blocks places are dealt one by one, in the
    other half block by block, so what a member never saw tells how the model does both near the
    data and away from them. The base's out-of-fold predictions come from the same folds, so that
    base and members are compared on equal terms.
far
    Blocks of several sizes dealt to folds. In training a row sometimes receives from the other
    folds only, and so learns what neighbours are worth at every distance.
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
    place : ndarray of shape (n,)
        Rows of one place share a label.
    member : ndarray of shape (n_rounds, n)
        Row r belongs to the folds of members r * N_FOLDS, r * N_FOLDS + 1, ... Where there are
        fewer than N_FOLDS places, members share folds: each must have rows to be judged by.
    far : list of ndarray of shape (n,)
        One for each size of block; none where there are too few places to be far from any.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.ensemble.member_folds import make_member_folds
    >>> space = np.random.RandomState(0).uniform(size=(60, 2))
    >>> parts = make_member_folds(space, np.arange(60), n_members=5, rng=np.random.RandomState(0))
    >>> sum(parts.held_out(member) for member in range(5)).tolist() == [1] * 60
    True
    """

    place: np.ndarray
    member: np.ndarray
    far_folds: list[np.ndarray]

    def held_out(self, member: int) -> np.ndarray:
        """Return the mask of the rows that a member does not train on."""
        folds = self.member[member // N_FOLDS]
        return folds == member % N_FOLDS % (folds.max() + 1)

    @staticmethod
    def fold_rounds(n_members: int) -> np.ndarray:
        """Return the round that each member belongs to."""
        return np.arange(n_members) // N_FOLDS


def make_member_folds(
    space: np.ndarray,
    place: np.ndarray,
    n_members: int,
    rng: np.random.RandomState,
    far_blocks: Sequence[int] = _FAR_BLOCKS,
) -> MemberFolds:
    """Draw the partitions.

    Parameters
    ----------
    space : ndarray of shape (n, d)
        Rows in the space of distances.
    place : ndarray of shape (n,) of int
        Labels 0 to n_places - 1.
    n_members : int
        Members of the ensemble.
    rng : RandomState
        Source of all random numbers.
    far_blocks : sequence of int
        Numbers of blocks of the far partitions.

    Returns
    -------
    Partitions

    Raises
    ------
    ValueError
        If all rows lie at one place.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.ensemble.member_folds import make_member_folds
    >>> place = np.repeat(np.arange(3), 4)
    >>> parts = make_member_folds(
    ...     np.eye(3)[place], place, n_members=1, rng=np.random.RandomState(0)
    ... )
    >>> [len(set(parts.member[0][place == i])) for i in range(3)]  # a place is never divided
    [1, 1, 1]
    """
    n_places = int(place.max()) + 1
    if n_places < 2:
        raise ValueError(
            f"All {len(place)} rows lie at one place, from which no model of space can be learnt. "
            "Check which columns are the coordinates and the site, or use a tabular regressor."
        )
    n_folds = min(N_FOLDS, n_places)
    n_rounds = -(-n_members // N_FOLDS)
    return MemberFolds(
        place=place,
        member=np.array([_half_and_half(space, place, n_folds, rng) for _ in range(n_rounds)]),
        far_folds=[
            _deal(_blocks(space, place, n_blocks, rng), n_folds, rng)
            for n_blocks in far_blocks
            if n_places >= 2 * n_folds
        ],
    )


def _blocks(
    space: np.ndarray, place: np.ndarray, n_blocks: int, rng: np.random.RandomState
) -> np.ndarray:
    """Compact blocks of whole places, fewer than asked for where places are few."""
    n_places = int(place.max()) + 1
    count = np.bincount(place)
    # A site may have several coordinates; its mean keeps it in one block.
    center = np.column_stack([np.bincount(place, weights=axis) / count for axis in space.T])
    wanted = int(np.clip(n_blocks, 2, max(2, n_places // 3)))
    return cluster_labels(center, wanted, rng)[place]


def _half_and_half(
    space: np.ndarray, place: np.ndarray, n_folds: int, rng: np.random.RandomState
) -> np.ndarray:
    n_places = int(place.max()) + 1
    if n_places < 4 * n_folds:
        return _deal(place, n_folds, rng)
    block = _blocks(space, place, _MEMBER_BLOCKS, rng)
    whole = rng.permutation(block.max() + 1)[: (block.max() + 1) // 2]
    # Labels of blocks that stay whole must not collide with those of places.
    labels = np.where(np.isin(block, whole), n_places + block, place)
    return _deal(np.unique(labels, return_inverse=True)[1], n_folds, rng)


def _deal(labels: np.ndarray, n_folds: int, rng: np.random.RandomState) -> np.ndarray:
    """Deal labels to folds, to fewer where there are fewer labels (many rows at few places)."""
    return assign_folds(labels, min(n_folds, len(np.unique(labels))), rng)
