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
_BASIS_LIMIT = 2.5  # center of the outermost bases, in standard deviations of the log distance
_SLOPE_RATE = 8.0  # scales the learned slope, which would need too many steps otherwise
_INITIAL_SLOPES = (0.0, 0.5, 1.0, 2.0)  # heads start as inverse-distance weights of these powers


class EdgeScale(nn.Module):
    """Standardized log distances, scaled by the edges of the training graph.

    Inverse-distance weights are log-linear in distance. A floor of a tenth of the median distance
    keeps coincident rows finite. Missing distances (NaN) become 0, the mean.
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
        """Set floor, center and spread from the distances (n_edges, F) of the training graph."""
        median = distances.nanmedian(dim=0).values
        self.floor = torch.where(median > 0, 0.1 * median, torch.ones_like(median))
        logs = (distances + self.floor).log()
        for feature, values in enumerate(logs.T):
            known = values[~values.isnan()]
            if len(known) > 1:
                self.center[feature] = known.mean()
                self.spread[feature] = known.std().clamp(min=0.1)

    def forward(self, distances: Tensor) -> Tensor:
        return (((distances + self.floor).log() - self.center) / self.spread).nan_to_num(nan=0.0)


class RelationalGraphAttention(nn.Module):
    """Graph attention within each relation, with unassigned attention.

    logit = LeakyReLU(a q_i + b k_j) - slope log d_ij + bases(edge_ij) W, with a softmax over the
    neighbors of each relation (Busbridge et al. 2019, eq. 3 and 6). An extra entry with logit 0
    takes the unassigned attention, so that a row without informative neighbors receives small
    messages. `message_passing.aggregate` computes the sums over neighbors.
    """

    def __init__(self, shape: NetworkShape):
        super().__init__()
        a = shape
        n_relations = len(a.relations)
        self.heads = (n_relations, a.n_heads)
        self.messages = a.messages
        self.query = MemberLinear(a.n_members, a.hidden_size, n_relations * a.n_heads)
        self.key = nn.Parameter(torch.zeros(a.n_members, n_relations, a.hidden_size, a.n_heads))
        n_bases = len(a.edge_features) * _N_BASES
        self.bases = nn.Parameter(torch.zeros(a.n_members, n_relations, n_bases, a.n_heads))
        self.bias = nn.Parameter(torch.zeros(a.n_members, n_relations, a.n_heads))
        self.slope_change = nn.Parameter(torch.zeros(a.n_members, n_relations, a.n_heads))
        initial = torch.tensor(_INITIAL_SLOPES).repeat(math.ceil(a.n_heads / 4))[: a.n_heads]
        has_distance = torch.tensor([feature >= 0 for feature in a.own_feature]).float()
        self.register_buffer("initial_slope", has_distance[:, None] * initial[None, :])
        one_hot = F.one_hot(
            torch.tensor([max(feature, 0) for feature in a.own_feature], dtype=torch.long),
            max(len(a.edge_features), 1),
        )
        self.register_buffer("own_feature", one_hot.float())  # (R, F), one-hot
        self.register_buffer("centers", torch.linspace(-_BASIS_LIMIT, _BASIS_LIMIT, _N_BASES))

    def reset_parameters(self, generators: Sequence[torch.Generator]) -> None:
        """Draw the key weights of each member from its own generator."""
        with torch.no_grad():
            for weight, generator in zip(self.key, generators, strict=True):
                weight.normal_(generator=generator).mul_(1 / math.sqrt(weight.shape[1]))

    def forward(
        self,
        state: Tensor,
        source_features: SourceFeatures,
        neighborhood: Neighborhood,
        spread: Tensor,
        keep: Tensor,
    ) -> AggregatedMessages:
        """Aggregate the messages of the neighbors.

        Parameters
        ----------
        state : Tensor of shape (M, B, D)
            Target nodes.
        source_features : SourceFeatures
        neighborhood : Neighborhood
        spread : Tensor of shape (F,)
            Standard deviation of each log distance.
        keep : Tensor of shape (M, R, B, K), bool
            False for padding and dropped neighbors.
        """
        query = self.query(state).unflatten(-1, self.heads).transpose(1, 2)  # (M, R, B, H)
        return aggregate(
            query,
            self.key,
            source_features.distance_logits or self.distance_logits(spread),
            source_features,
            neighborhood.source_index,
            neighborhood.edges,
            keep,
            messages=self.messages,
        )

    def distance_logits(self, spread: Tensor) -> DistanceLogits:
        """Return the logits of each edge feature on the distance grid, (M, R, F, T, H)."""
        centers, initial_slope = self.get_buffer("centers"), self.get_buffer("initial_slope")
        one_hot = self.get_buffer("own_feature")
        grid = distance_grid(spread)
        gap = centers[1] - centers[0]
        bases = torch.exp(-(((grid[:, None] - centers) / gap) ** 2))  # (T, bases)
        curve = bases @ self.bases.unflatten(2, (one_hot.shape[1], _N_BASES))  # (M, R, F, T, H)
        slope = initial_slope + _SLOPE_RATE * self.slope_change  # (M, R, H)
        line = self.bias[:, :, None, None, :] - (
            grid[:, None] * spread[:, None, None] * slope[:, :, None, None, :]
        )
        return DistanceLogits(curve + one_hot[:, :, None, None] * line)
