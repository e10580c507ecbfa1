"""Fine-tuned image encoders of the ensemble members, over a shared frozen trunk.

Tuned stages hold the weights of all members, member axis first as in `network`, so that optimizer,
clipping, weight averaging and the choice of the best epoch treat them like all other weights. The
stages below are frozen and shared, and run once for rows that all members encode.

Members do not share tuned weights, because each is evaluated on rows that the others train on.
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

# Rows grouped by available modalities: positions, and chips (B, C, S, S) by modality.
Groups = Sequence[tuple[np.ndarray, dict[str, Tensor]]]


class MemberEncoders(nn.Module):
    """Image encoders of all ensemble members, from chips to the image stream.

    Parameters
    ----------
    stages : Sequential
        The whole encoder from which every member starts.
    n_members : int
    fine_tune : True or int
        Tuned stages: all, or that number of last blocks and the pooling after them.
    center, spread : ndarray of shape (D,)
        Mean and standard deviation of the embeddings, for standardization.
    recompute : bool, default=False
        Gradient checkpointing: recompute the activations of each block in the backward pass, which
        takes a third more time and a fraction of the memory.
    source : EncoderSource, default=None
        Name and modalities of the encoder, required to save it.
    """

    def __init__(
        self,
        stages: nn.Sequential,
        n_members: int,
        fine_tune: bool | int,
        center: np.ndarray,
        spread: np.ndarray,
        recompute: bool = False,
        source: EncoderSource | None = None,
    ):
        super().__init__()
        self.source, self.fine_tune = source, fine_tune
        if fine_tune is True:
            trunk, tail = nn.Sequential(), stages
        else:
            trunk, tail = split_stages(stages, fine_tune)
        self.n_members, self.recompute = n_members, recompute
        self.trunk: nn.Sequential = _to_buffers(copy.deepcopy(trunk))
        self.tail: nn.Sequential = _repeat_weights(copy.deepcopy(tail), n_members)
        self.register_buffer("center", torch.as_tensor(center, dtype=torch.float32))
        self.register_buffer("spread", torch.as_tensor(spread, dtype=torch.float32))

    def __deepcopy__(self, memo: dict[int, Any]) -> MemberEncoders:
        """Copy the tuned stages and share the frozen trunk."""
        memo[id(self.trunk)] = self.trunk
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        clone.__dict__.update({name: copy.deepcopy(v, memo) for name, v in self.__dict__.items()})
        return clone

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack_stages, pack_stages(self, self.tail)

    @property
    def width(self) -> int:
        """Width of the image stream: the embedding and an indicator of missing images."""
        return len(self.get_buffer("center")) + 1

    def resized(self, n_members: int) -> MemberEncoders:
        """Return encoders of `n_members` members, all with the first member's weights."""
        clone = copy.deepcopy(self)
        clone.n_members = n_members
        for module in clone.tail.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                first = weight.detach()[:1].expand(n_members, *weight.shape[1:])
                setattr(module, name, nn.Parameter(first.clone()))
        return clone

    def forward(self, groups: Sequence[Groups], n_rows: int) -> Tensor:
        """Encode a batch of rows of each member.

        Parameters
        ----------
        groups : sequence of M Groups
        n_rows : int

        Returns
        -------
        Tensor of shape (M, n_rows, D + 1)
            Standardized embeddings, and a last column that is 1 where a row has no image.
        """
        streams = []
        for weights, own in zip(self._weights(), groups, strict=True):
            parts = [(rows, self._tail(weights, self._trunk(chips))) for rows, chips in own]
            streams.append(self._stream(parts, n_rows))
        return torch.stack(streams)

    def encode_for_all(self, groups: Groups, n_rows: int) -> Tensor:
        """Encode the same rows with every member, running the trunk once; (M, n_rows, D + 1)."""
        tokens = [(rows, self._trunk(chips)) for rows, chips in groups]
        streams = [
            self._stream([(rows, self._tail(weights, x)) for rows, x in tokens], n_rows)
            for weights in self._weights()
        ]
        return torch.stack(streams)

    def _weights(self) -> list[list[dict[str, Tensor]]]:
        """Return the weights of each member and tuned stage."""
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
        recompute = self.recompute and torch.is_grad_enabled()
        with mixed_precision(self.get_buffer("center").device):
            for stage, own in zip(self.tail, weights, strict=True):
                if recompute and not isinstance(x, dict):
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
        rows = torch.from_numpy(np.concatenate([rows for rows, _ in parts])).to(center.device)
        found = (torch.cat([embedding for _, embedding in parts]) - center) / spread
        return blank.index_copy(0, rows, nn.functional.pad(found, (0, 1)))


def apply_dihedral(chips: Tensor, elements: Tensor) -> Tensor:
    """Rotate and mirror each chip by an element of the dihedral group of the square.

    Parameters
    ----------
    chips : Tensor of shape (B, C, S, S)
    elements : Tensor of shape (B,), int
        0 to 3 are quarter turns; 4 to 7 are the same after mirroring.

    Returns
    -------
    Tensor of shape (B, C, S, S)

    Examples
    --------
    >>> import torch
    >>> from sptgnn_sklearn.encoders.finetuning import apply_dihedral
    >>> apply_dihedral(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([4])).tolist()
    [[[[2, 1], [4, 3]]]]
    """
    turned = torch.empty_like(chips)
    for element in elements.unique().tolist():
        rows = (elements == element).nonzero().squeeze(1)
        some = chips[rows].flip(-1) if element >= 4 else chips[rows]
        turned[rows] = some.rot90(element % 4, (-2, -1))
    return turned


def _to_buffers(stages: nn.Sequential) -> nn.Sequential:
    """Replace parameters by buffers, which optimizer, averaging and best epoch leave unchanged."""
    for module in stages.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach().clone())
    return stages.eval()


def _repeat_weights(stages: nn.Sequential, n_members: int) -> nn.Sequential:
    """Repeat every weight for each member, along a new first axis."""
    for module in stages.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            copies = weight.detach().expand(n_members, *weight.shape).clone()
            setattr(module, name, nn.Parameter(copies))
    return stages
