"""Relational graph attention over the neighbors of each edge type."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Neighborhood, NetworkShape
from .layers import MemberLinear
from .message_passing import (
    AggregatedMessages,
    DistanceLogits,
    SourceFeatures,
    aggregate,
    distance_grid,
)

_N_BASES = 8  # radial bases for each edge feature
_BASIS_REACH = 2.5  # the outermost bases, in standard deviations of the log distance
_SLOPE_RATE = 8.0  # distance decay must move far in few steps, so its parameter is amplified
_START_SLOPES = (0.0, 0.5, 1.0, 2.0)  # heads start as inverse-distance weights of these powers


class EdgeScale(nn.Module):
    """Distances of any unit to standardised logarithms, on the scale of the training graph.

    The logarithm is what inverse-distance weights are linear in. A floor of a tenth of the typical
    distance keeps coincident rows finite. A distance that is not known (NaN) counts as typical.
    """

    def __init__(self, n_features: int):
        super().__init__()
        self.floor: Tensor
        self.center: Tensor
        self.spread: Tensor
        self.register_buffer("floor", torch.ones(n_features))
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def fit(self, distances: Tensor) -> None:
        """Set the scale from the distances (n_edges, F) of the training graph."""
        typical = distances.nanmedian(dim=0).values
        self.floor = torch.where(typical > 0, 0.1 * typical, torch.ones_like(typical))
        logs = (distances + self.floor).log()
        for feature, values in enumerate(logs.T):
            known = values[~values.isnan()]
            if len(known) > 1:
                self.center[feature] = known.mean()
                self.spread[feature] = known.std().clamp(min=0.1)

    def forward(self, distances: Tensor) -> Tensor:
        return (((distances + self.floor).log() - self.center) / self.spread).nan_to_num(nan=0.0)


class RelationalGraphAttention(nn.Module):
    """Attention over the neighbours of each relation, with a "nobody" that may take the weight.

    logit = LeakyReLU(a q_i + b k_j) - slope log d_ij + bases(edge_ij) W, a softmax within each
    relation (relational graph attention; Busbridge et al. 2019, eq. 3 and 6) whose last place is
    "nobody" with logit 0: a row without informative neighbours receives little. The sums over
    neighbours themselves are those of `aggregation.aggregate`.
    """

    def __init__(self, shape: NetworkShape):
        super().__init__()
        a = shape
        n_relations = len(a.relations)
        self.heads = (n_relations, a.n_heads)
        self.messages = a.messages
        self.receiver = MemberLinear(a.n_members, a.hidden_size, n_relations * a.n_heads)
        self.sender = nn.Parameter(torch.zeros(a.n_members, n_relations, a.hidden_size, a.n_heads))
        n_bases = len(a.edge_features) * _N_BASES
        self.bases = nn.Parameter(torch.zeros(a.n_members, n_relations, n_bases, a.n_heads))
        self.level = nn.Parameter(torch.zeros(a.n_members, n_relations, a.n_heads))
        self.slope_change = nn.Parameter(torch.zeros(a.n_members, n_relations, a.n_heads))
        start = torch.tensor(_START_SLOPES).repeat(math.ceil(a.n_heads / 4))[: a.n_heads]
        has_own = torch.tensor([feature >= 0 for feature in a.own_feature]).float()
        self.register_buffer("start_slope", has_own[:, None] * start[None, :])
        own = F.one_hot(
            torch.tensor([max(feature, 0) for feature in a.own_feature], dtype=torch.long),
            max(len(a.edge_features), 1),
        )
        self.register_buffer("own_feature", own.float())  # (R, F), one where it is
        self.register_buffer("centers", torch.linspace(-_BASIS_REACH, _BASIS_REACH, _N_BASES))

    def reset_parameters(self, generators: Sequence[torch.Generator]) -> None:
        """Draw the sender weights of each member from its own generator."""
        with torch.no_grad():
            for weight, generator in zip(self.sender, generators, strict=True):
                weight.normal_(generator=generator).mul_(1 / math.sqrt(weight.shape[1]))

    def forward(
        self,
        state: Tensor,
        source_features: SourceFeatures,
        neighborhood: Neighborhood,
        spread: Tensor,
        keep: Tensor,
    ) -> AggregatedMessages:
        """Return what the rows receive.

        Parameters
        ----------
        state : Tensor of shape (M, B, D)
        sent : Sent
        around : Neighbourhood
        spread : Tensor of shape (F,)
            Standard deviation of each log distance.
        keep : Tensor of shape (M, R, B, K), bool
            Neighbours that are there.
        """
        query = self.receiver(state).unflatten(-1, self.heads).transpose(1, 2)  # (M, R, B, H)
        return aggregate(
            query,
            self.sender,
            source_features.table or self.distance_logits(spread),
            source_features,
            neighborhood.source_index,
            neighborhood.edges,
            keep,
            messages=self.messages,
        )

    def distance_logits(self, spread: Tensor) -> DistanceLogits:
        """Trust by distance alone, feature by feature, (M, R, F, T, H)."""
        centers, start_slope = self.get_buffer("centers"), self.get_buffer("start_slope")
        own = self.get_buffer("own_feature")
        places = distance_grid(spread)
        gap = centers[1] - centers[0]
        bases = torch.exp(-(((places[:, None] - centers) / gap) ** 2))  # (T, bases)
        bend = bases @ self.bases.unflatten(2, (own.shape[1], _N_BASES))  # (M, R, F, T, H)
        slope = start_slope + _SLOPE_RATE * self.slope_change  # (M, R, H)
        line = self.level[:, :, None, None, :] - (
            places[:, None] * spread[:, None, None] * slope[:, :, None, None, :]
        )
        return DistanceLogits(bend + own[:, :, None, None] * line)
