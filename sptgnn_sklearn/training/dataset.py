"""Training rows, their neighbor lists and held-out masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..encoders.chip_cache import ChipCache
from ..encoders.finetuning import MemberEncoders
from ..network.inference import NodeTensors
from ..table.measurement_error import noise_weight


@dataclass(frozen=True)
class FineTuningData:
    """Image chips and initial encoders for fine-tuning.

    Attributes
    ----------
    chips : ChipCache
        Image chips of all training rows.
    encoders : MemberEncoders
        Initial encoders of the members.
    """

    chips: ChipCache
    encoders: MemberEncoders


@dataclass
class TrainingSet:
    """Training rows, targets and neighbor lists of the ensemble members.

    Attributes
    ----------
    rows : NodeTensors
        All training rows.
    targets, weight : ndarray of shape (n,)
        Standardized targets and sample weights.
    candidates : ndarray of shape (V, n, R, C) of int32
        Candidate neighbors in each graph variant: first the nearest rows, then the nearest rows
        outside the row's own block, for each partition into blocks.
    held_out : ndarray of shape (M, n) of bool
        Rows that each member does not train on.
    held_out_neighbors : ndarray of shape (n_rounds, n, R, K)
        Nearest rows outside the row's own fold, for each round of cross-fitting folds.
    rounds : ndarray of shape (M,)
        Round of folds of each member.
    n_neighbors : int
    fine_tuning : FineTuningData or None
        None without fine-tuning of image encoders.
    noise : ndarray of shape (n,) or None
        Variances of measurement errors of the targets, in standardized units; None without any.
    score_weight : ndarray of shape (n,)
        Weights of squared errors of held-out rows.
    """

    rows: NodeTensors
    targets: np.ndarray
    weight: np.ndarray
    candidates: np.ndarray
    held_out: np.ndarray
    held_out_neighbors: np.ndarray
    rounds: np.ndarray
    n_neighbors: int
    fine_tuning: FineTuningData | None = None
    noise: np.ndarray | None = None

    @property
    def score_weight(self) -> np.ndarray:
        if self.noise is None:
            return self.weight
        return self.weight * noise_weight(self.noise, self.weight)

    def for_members(self, members: np.ndarray) -> TrainingSet:
        """Return the training set of a subset of the members."""
        changed = {"held_out": self.held_out[members], "rounds": self.rounds[members]}
        return TrainingSet(**{**vars(self), **changed})
