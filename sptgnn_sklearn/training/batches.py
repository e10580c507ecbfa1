"""Batches of each ensemble member, in its own random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from sklearn.utils import gen_batches

from .dataset import TrainingSet

_NEAR_SHARE = 0.5  # share of rows that use the nearest neighbors instead of a far variant


class MemberBatches:
    """Batches of shape (M, B) with each member's own training rows in its own random order.

    All data of an epoch are copied to the GPU in advance, because copies between steps would
    synchronize with it.
    """

    def __init__(
        self,
        dataset: object,
        data: TrainingSet,
        rngs: Sequence[np.random.RandomState],
        device: str,
        batch_size: int,
    ):
        self.data, self.batch_size, self.device = data, batch_size, device
        self.rngs = rngs
        self.member_rows = [np.flatnonzero(~held_out) for held_out in data.held_out]
        self.n_rows = max(len(rows) for rows in self.member_rows)
        self.row_data = {
            "target": torch.from_numpy(data.targets.astype(np.float32)).to(device),
            "weight": torch.from_numpy(data.weight.astype(np.float32)).to(device),
            "position": data.rows.edge_inputs["distance"].to(device),
        }
        if data.noise is not None:
            self.row_data["noise"] = torch.from_numpy(data.noise.astype(np.float32)).to(device)

    def __len__(self) -> int:
        return -(-self.n_rows // self.batch_size)

    def __iter__(self) -> Iterator:
        orders, variants = [], []
        for rows, rng in zip(self.member_rows, self.rngs, strict=True):
            # Members with fewer rows start over, so that all have the same number of steps.
            passes = [rng.permutation(rows) for _ in range(-(-self.n_rows // len(rows)))]
            orders.append(np.concatenate(passes)[: self.n_rows])
            n_variants = len(self.data.candidates)
            far = 1 + rng.randint(max(1, n_variants - 1), size=self.n_rows)
            near = (rng.uniform(size=self.n_rows) < _NEAR_SHARE) | (n_variants == 1)
            variants.append(np.where(near, 0, far))
        order, variant = (
            torch.from_numpy(np.array(lists)).to(self.device) for lists in (orders, variants)
        )
        for part in gen_batches(self.n_rows, self.batch_size):
            batch = order[:, part]
            row_data = {name: values[batch] for name, values in self.row_data.items()}
            yield {"rows": batch, "variant": variant[:, part]}, row_data
