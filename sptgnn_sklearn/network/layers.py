"""Batched linear, normalization and stream-encoder layers, one per ensemble member."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MemberLinear(nn.Module):
    """Linear layer of each ensemble member: (M, B, n_in) to (M, B, n_out)."""

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
        if self.weight.shape[-1] == 1:  # matrix products are slow for a single column
            column = self.weight.transpose(1, 2)
            return torch.linalg.vecdot(x.to(column.dtype), column).unsqueeze(-1) + self.bias
        return torch.baddbmm(self.bias, x, self.weight)


class MemberNorm(nn.Module):
    """Layer normalization with a gain and an offset for each ensemble member."""

    def __init__(self, n_members: int, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(n_members, 1, width))
        self.offset = nn.Parameter(torch.zeros(n_members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:]) * self.gain + self.offset


class StreamEncoder(nn.Module):
    """Encoder of one input stream: a two-layer perceptron with a linear skip connection."""

    def __init__(self, n_members: int, n_in: int, hidden: int, width: int):
        super().__init__()
        self.hidden = MemberLinear(n_members, n_in, hidden)
        self.output = MemberLinear(n_members, hidden, width)
        self.skip = MemberLinear(n_members, n_in, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(F.silu(self.hidden(x))) + self.skip(x)
