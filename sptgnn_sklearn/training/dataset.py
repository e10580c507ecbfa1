"""Training rows, their neighbor lists and held-out masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..encoders.chip_cache import ChipCache
from ..encoders.finetuning import MemberEncoders
from ..network.inference import NodeTensors


@dataclass(frozen=True)
class FineTuningData:
    """What tuning image encoders takes.

    Attributes
    ----------
    chips : ChipArchive
        Of all training rows.
    encoders : MemberEncoders
        From which the members start.
    """

    chips: ChipCache
    encoders: MemberEncoders


@dataclass
class TrainingSet:
    """What the members are trained on.

    Attributes
    ----------
    rows : Rows
        All training rows.
    targets, weight : ndarray of shape (n,)
    candidates : ndarray of shape (V, n, R, C) of int32
        Neighbour lists by variant: the true ones first, then those of each far partition.
    held_out : ndarray of shape (M, n) of bool
        Rows that each member does not train on.
    held_senders : ndarray of shape (n_rounds, n, R, K)
        Neighbours of each row outside its own fold of each round of members.
    rounds : ndarray of shape (M,)
        The round that each member belongs to.
    n_neighbors : int
    tuned : TunedImagery or None
        None where image encoders are not tuned.
    """

    rows: NodeTensors
    targets: np.ndarray
    weight: np.ndarray
    candidates: np.ndarray
    held_out: np.ndarray
    held_source_index: np.ndarray
    rounds: np.ndarray
    n_neighbors: int
    fine_tuning: FineTuningData | None = None

    def for_members(self, members: np.ndarray) -> TrainingSet:
        """Return the set as the given members see it."""
        changed = {"held_out": self.held_out[members], "rounds": self.rounds[members]}
        return TrainingSet(**{**vars(self), **changed})
