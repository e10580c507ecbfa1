"""Batched linear, normalization and stream-encoder layers, one per ensemble member."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MemberLinear(nn.Module):
    """One affine map for each member: (M, B, n_in) to (M, B, n_out)."""

    def __init__(self, n_members: int, n_in: int, n_out: int, zero: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))
        self.scale = 0.0 if zero else 1 / math.sqrt(max(n_in, 1))

    def reset_parameters(self, generators: Sequence[torch.Generator]) -> None:
        """Draw the weights of each member from its own generator."""
        with torch.no_grad():
            for weight, generator in zip(self.weight, generators, strict=True):
                weight.normal_(generator=generator).mul_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.shape[-1] == 1:  # products of matrices are slow for a single column
            column = self.weight.transpose(1, 2)
            return torch.linalg.vecdot(x.to(column.dtype), column).unsqueeze(-1) + self.bias
        return torch.baddbmm(self.bias, x, self.weight)


class MemberNorm(nn.Module):
    """Layer normalisation with one gain and offset for each member."""

    def __init__(self, n_members: int, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(n_members, 1, width))
        self.offset = nn.Parameter(torch.zeros(n_members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:]) * self.gain + self.offset


class StreamEncoder(nn.Module):
    """One stream to one state: a two-layer network beside a linear path."""

    def __init__(self, n_members: int, n_in: int, hidden: int, width: int):
        super().__init__()
        self.into = MemberLinear(n_members, n_in, hidden)
        self.out = MemberLinear(n_members, hidden, width)
        self.straight = MemberLinear(n_members, n_in, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.silu(self.into(x))) + self.straight(x)
