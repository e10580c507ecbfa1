"""Sparse mixture of experts with top-k routing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import MemberLinear


class MixtureOfExperts(nn.Module):
    """Sparse mixture of experts over the encoded streams, with `top_k` experts for each row.

    Every expert is computed and the unused ones are masked, which is faster at this size than
    gathering rows. The balance loss is that of Fedus et al. (2021), eq. 4, for top-k; the z-loss
    that of Zoph et al. (2022), eq. 5.
    """

    def __init__(
        self, n_members: int, n_in: int, hidden: int, width: int, n_experts: int, top_k: int
    ):
        super().__init__()
        self.n_experts, self.top_k = n_experts, min(top_k, n_experts)
        self.router = MemberLinear(n_members, n_in, n_experts)
        self.hidden = MemberLinear(n_members, n_in, n_experts * hidden)
        self.output = MemberLinear(n_members, n_experts * hidden, width)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return gates (M, B, E) that sum to one, balance loss (M,) and z-loss (M,)."""
        logits = self.router(x)
        probabilities = logits.softmax(-1)
        kept = probabilities.topk(self.top_k, dim=-1).indices
        chosen = torch.zeros_like(probabilities).scatter_(-1, kept, 1.0)
        gates = probabilities * chosen
        gates = gates / gates.sum(-1, keepdim=True)
        load = chosen.mean(1) / self.top_k
        balance = self.n_experts * (load * probabilities.mean(1)).sum(-1)
        return gates, balance, logits.logsumexp(-1).square().mean(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, balance, z_loss = self.gates(x)
        hidden = F.silu(self.hidden(x)).unflatten(-1, (self.n_experts, -1))  # (M, B, E, hidden)
        # Gates scale the hidden units, so that the weighted sum of experts is a single product.
        return self.output((hidden * gates.unsqueeze(-1)).flatten(-2)), balance, z_loss
