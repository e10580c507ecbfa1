"""Encoders that are tuned: one for each member of the ensemble, over a trunk that they share.

Stages that are tuned hold the weights of all members, member axis first as in `network`, so that
optimiser, clipping, averaging and the choice of the best epoch treat them like all other weights.
Stages below are shared, frozen, and run once for rows that all members read.

Members must not share what is tuned: a member is judged on rows that the others were trained on.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ..utils.device import mixed_precision
from .terramind import EncoderSource, pack_stages, split_stages, unpack_stages

__all__ = ["Groups", "MemberEncoders", "apply_dihedral"]

# Rows by the set of modalities that they have: positions, and chips (B, C, S, S) by modality.
Groups = Sequence[tuple[np.ndarray, dict[str, Tensor]]]


class MemberEncoders(nn.Module):
    """Encoders of all members, from chips to the image stream.

    Parameters
    ----------
    stages : Sequential
        The whole encoder from which every member starts.
    n_members : int
    tuned : True or int
        All stages, or the last so many blocks and the pooling after them.
    centre, spread : ndarray of shape (D,)
        By which embeddings are standardised.
    recompute : bool, default=False
        Compute activations of each block again in the backward pass, for a third more time and a
        fraction of the memory.
    source : EncoderSource, default=None
        Needed where the encoders are to be saved.
    """

    def __init__(
        self,
        stages: nn.Sequential,
        n_members: int,
        tuned: bool | int,
        center: np.ndarray,
        spread: np.ndarray,
        recompute: bool = False,
        source: EncoderSource | None = None,
    ):
        super().__init__()
        self.source, self.tuned = source, tuned
        if tuned is True:
            trunk, tail = nn.Sequential(), stages
        else:
            trunk, tail = split_stages(stages, tuned)
        self.n_members, self.recompute = n_members, recompute
        self.trunk: nn.Sequential = _frozen(copy.deepcopy(trunk))
        self.tail: nn.Sequential = _stacked(copy.deepcopy(tail), n_members)
        self.register_buffer("center", torch.as_tensor(center, dtype=torch.float32))
        self.register_buffer("spread", torch.as_tensor(spread, dtype=torch.float32))

    def __deepcopy__(self, memo: dict[int, Any]) -> MemberEncoders:
        """Copy what is tuned; the frozen trunk is shared."""
        memo[id(self.trunk)] = self.trunk
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(v, memo) for name, v in self.__dict__.items()})
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack_stages, pack_stages(self, self.tail)

    @property
    def width(self) -> int:
        """Width of the stream: the embedding, and whether there is none."""
        return len(self.get_buffer("center")) + 1

    def resized(self, n_members: int) -> MemberEncoders:
        """Return encoders for another number of members, all with the first member's weights."""
        twin = copy.deepcopy(self)
        twin.n_members = n_members
        for module in twin.tail.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                first = weight.detach()[:1].expand(n_members, *weight.shape[1:])
                setattr(module, name, nn.Parameter(first.clone()))
        return twin

    def forward(self, groups: Sequence[Groups], n_rows: int) -> Tensor:
        """Encode each member's own rows.

        Parameters
        ----------
        groups : sequence of M Groups
        n_rows : int

        Returns
        -------
        Tensor of shape (M, n_rows, D + 1)
            Standardised embeddings and a last column that is one where a row has no image.
        """
        streams = []
        for weights, own in zip(self._weights(), groups, strict=True):
            parts = [(places, self._tail(weights, self._trunk(chips))) for places, chips in own]
            streams.append(self._stream(parts, n_rows))
        return torch.stack(streams)

    def encode_for_all(self, groups: Groups, n_rows: int) -> Tensor:
        """Encode the same rows by every member, the trunk once; returns (M, n_rows, D + 1)."""
        tokens = [(places, self._trunk(chips)) for places, chips in groups]
        streams = [
            self._stream([(places, self._tail(weights, x)) for places, x in tokens], n_rows)
            for weights in self._weights()
        ]
        return torch.stack(streams)

    def _weights(self) -> list[list[dict[str, Tensor]]]:
        """Weights of each member, stage by stage."""
        stages = [
            {name: weight.unbind(0) for name, weight in stage.named_parameters()}
            for stage in self.tail
        ]
        return [
            [{name: parts[member] for name, parts in stage.items()} for stage in stages]
            for member in range(self.n_members)
        ]

    @torch.no_grad()
    def _trunk(self, chips: dict[str, Tensor]) -> Any:
        device = self.get_buffer("center").device
        moved = {name: values.to(device, non_blocking=True) for name, values in chips.items()}
        with mixed_precision(device):
            return self.trunk(moved)

    def _tail(self, weights: list[dict[str, Tensor]], x: Any) -> Tensor:
        again = self.recompute and torch.is_grad_enabled()
        with mixed_precision(self.get_buffer("center").device):
            for stage, own in zip(self.tail, weights, strict=True):
                if again and not isinstance(x, dict):
                    x = checkpoint(functional_call, stage, own, x, use_reentrant=False)
                else:
                    x = functional_call(stage, own, (x,))
        return x.float()

    def _stream(self, parts: list[tuple[np.ndarray, Tensor]], n_rows: int) -> Tensor:
        center, spread = self.get_buffer("center"), self.get_buffer("spread")
        blank = torch.zeros(n_rows, self.width, device=center.device)
        blank[:, -1] = 1.0
        if not parts:
            return blank
        places = torch.from_numpy(np.concatenate([rows for rows, _ in parts])).to(center.device)
        found = (torch.cat([embedding for _, embedding in parts]) - center) / spread
        return blank.index_copy(0, places, nn.functional.pad(found, (0, 1)))


def apply_dihedral(chips: Tensor, ways: Tensor) -> Tensor:
    """Turn and mirror each chip in one of the eight ways that a square allows.

    Parameters
    ----------
    chips : Tensor of shape (B, C, S, S)
    ways : Tensor of shape (B,), int
        0 to 7: quarter turns, and 4 more if mirrored.

    Returns
    -------
    Tensor of shape (B, C, S, S)

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.encoders.finetuning import apply_dihedral
    >>> turn(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([4])).tolist()
    [[[[2, 1], [4, 3]]]]
    """
    turned = torch.empty_like(chips)
    for way in ways.unique().tolist():
        rows = (ways == way).nonzero().squeeze(1)
        some = chips[rows].flip(-1) if way >= 4 else chips[rows]
        turned[rows] = some.rot90(way % 4, (-2, -1))
    return turned


def _frozen(stages: nn.Sequential) -> nn.Sequential:
    """Turn weights into buffers: no optimiser, average or best epoch can touch them."""
    for module in stages.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach().clone())
    return stages.eval()


def _stacked(stages: nn.Sequential, n_members: int) -> nn.Sequential:
    """Repeat every weight for each member, along a new first axis."""
    for module in stages.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            copies = weight.detach().expand(n_members, *weight.shape).clone()
            setattr(module, name, nn.Parameter(copies))
    return stages
