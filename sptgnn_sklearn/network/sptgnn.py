"""The network, top to bottom: streams, mixture of experts, relational attention, targets, heads.

All members of the ensemble run in one pass. The first axis of every parameter and activation is the
member, and members share nothing, so the batched pass is an ensemble and not one large network.

Letters in shape comments: M members, B rows of the batch, R relations, K neighbours, H heads,
D width of a state, E experts, F edge features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn

from ..utils.device import mixed_precision
from .attention import EdgeScale, RelationalGraphAttention
from .config import (
    IMAGERY,
    EncodedNodes,
    ImageEncoders,
    Neighborhood,
    NetworkShape,
    NodePredictions,
    SourceNodes,
)
from .layers import MemberLinear, MemberNorm, StreamEncoder
from .message_passing import AggregatedMessages, SourceFeatures
from .mixture_of_experts import MixtureOfExperts

LOG_VARIANCE_RANGE = (-9.0, 1.5)  # of a standardised target: a sd of 0.01 to 2 times its own
_START_RESIDUAL = 0.6  # share of the spatial neighbours' surprise that the mean starts with
_RESIDUAL = 1  # its place among the injected values


class SpTGNN(nn.Module):
    """Spatio-temporal graph neural network for one table, all members at once.

    Parameters
    ----------
    architecture : Architecture
    image_encoders : ImageEncoders or None, default=None
        Encoders of the members that are tuned with the network and make its stream "imagery". None:
        that stream, if any, is given as it is.
    """

    def __init__(self, shape: NetworkShape, image_encoders: ImageEncoders | None = None):
        super().__init__()
        self.shape = a = shape
        self.image_encoders: ImageEncoders | None = image_encoders
        self.generators: list[torch.Generator] | None = None
        hidden = 2 * a.hidden_size
        self.encoders = nn.ModuleDict(
            {
                name: StreamEncoder(a.n_members, n_in, hidden, a.hidden_size)
                for name, n_in in a.streams.items()
            }
        )
        self.norm = MemberNorm(a.n_members, a.hidden_size)
        n_streams = len(a.streams)
        if a.n_experts:
            self.mixture = MixtureOfExperts(
                a.n_members,
                n_streams * a.hidden_size,
                a.hidden_size // 2,
                a.hidden_size,
                a.n_experts,
                a.top_k,
            )
        else:
            self.residual = nn.Sequential(
                MemberLinear(a.n_members, n_streams * a.hidden_size, hidden),
                nn.SiLU(),
                MemberLinear(a.n_members, hidden, a.hidden_size),
            )
        self.baseline = MemberLinear(a.n_members, a.hidden_size, 1, zero=True)
        self.edge_scale = EdgeScale(len(a.edge_features))
        if a.relations:
            self.attention = nn.ModuleList(RelationalGraphAttention(a) for _ in range(a.n_layers))
            self.receive = nn.ModuleList(
                MemberLinear(
                    a.n_members, len(a.relations) * a.hidden_size, a.hidden_size, zero=True
                )
                for _ in range(a.n_layers if a.messages else 0)
            )
        n_injected = 0
        if a.relations and a.neighbor_targets:
            # level, surprise, spread, trust and mean edge features, by relation and head
            n_injected = len(a.relations) * a.n_heads * (4 + len(a.edge_features))
            self.inject = MemberLinear(a.n_members, n_injected, 1, zero=True)
        self.mean_head = nn.Sequential(
            MemberLinear(a.n_members, a.hidden_size, a.hidden_size),
            nn.SiLU(),
            MemberLinear(a.n_members, a.hidden_size, 1, zero=True),
        )
        self.variance_head = nn.Sequential(
            MemberLinear(a.n_members, a.hidden_size + n_injected, a.hidden_size),
            nn.SiLU(),
            MemberLinear(a.n_members, a.hidden_size, 1, zero=True),
        )

    def reset_parameters(self, generators: list[torch.Generator]) -> SpTGNN:
        """Initialise each member from its own generator, and draw its dropout from it."""
        self.generators = generators
        for module in self.modules():
            if isinstance(module, (MemberLinear, RelationalGraphAttention)):
                module.reset_parameters(generators)
        if "spatial" in self.shape.relations and self.shape.neighbor_targets:
            self._start_as_interpolation()
        return self

    @torch.no_grad()
    def _start_as_interpolation(self) -> None:
        """Begin as inverse-distance interpolation of what the baseline leaves over."""
        a = self.shape
        weight = self.inject.weight.view(a.n_members, len(a.relations), a.n_heads, -1)
        weight[:, a.relations.index("spatial"), :, _RESIDUAL] = _START_RESIDUAL / a.n_heads

    @property
    def width(self) -> int:
        """Size D of a node's state."""
        return self.shape.hidden_size

    def encode(self, streams: Mapping[str, Tensor]) -> EncodedNodes:
        """Encode streams (M, B, width of stream)."""
        a = self.shape
        # The large products only: heads, attention and all predictions keep single precision.
        with mixed_precision(self.baseline.weight.device) if self.training else nullcontext():
            encoded = [
                encoder(self.drop(self.hide_images(name, streams[name]), a.feature_dropout))
                for name, encoder in self.encoders.items()
            ]
            together = torch.cat(encoded, dim=-1)  # (M, B, streams * D), as in `look`
            if a.n_experts:
                change, balance, z_loss = self.mixture(together)
            else:
                change = self.residual(together)
                balance = z_loss = change.new_zeros(len(change))
        state = self.norm(torch.stack(encoded).sum(0).to(self.baseline.weight.dtype))
        state = state + self.drop(change, a.dropout)
        return EncodedNodes(state, self.baseline(state).squeeze(-1), balance, z_loss)

    def propagate(
        self,
        layer: int,
        state: Tensor,
        source_features: SourceFeatures,
        neighborhood: Neighborhood,
    ) -> tuple[Tensor, AggregatedMessages]:
        """One attention layer: the new state (M, B, D) and what was received."""
        a = self.shape
        keep = neighborhood.source_index >= 0
        if self.training and a.neighbor_dropout:
            keep = keep & (self.uniform(keep.shape, state) >= a.neighbor_dropout)
        received = self.attention[layer](
            state, source_features, neighborhood, self.edge_scale.spread, keep
        )
        if received.states is not None:
            states = received.states.transpose(1, 2).flatten(2)  # (M, B, R D)
            state = state + self.drop(self.receive[layer](states), a.dropout)
        return state, received

    def source_features(
        self, context: SourceNodes, *, cached: bool = False
    ) -> list[SourceFeatures]:
        """Return what the rows of a context send in each layer.

        In the last layer they carry, beside their states, the target, the surprise that the
        baseline leaves over, and its square.

        Parameters
        ----------
        context : Context
        settled : bool, default=False
            Whether the weights no longer change, so that what follows from them is computed once.
        """
        if not self.shape.relations:
            return []
        carried = None
        if self.shape.neighbor_targets:
            residual = context.targets - context.baseline
            parts = [context.targets.expand_as(residual), residual, residual.square()]
            carried = torch.stack(parts, dim=-1)
        loads = [None] * (len(context.states) - 1) + [carried]
        return [
            self.cache_projections(layer, SourceFeatures.from_nodes(*source_features))
            if cached
            else SourceFeatures.from_nodes(*source_features)
            for layer, source_features in enumerate(zip(context.states, loads, strict=True))
        ]

    @torch.no_grad()
    def cache_projections(self, layer: int, source_features: SourceFeatures) -> SourceFeatures:
        """Add what follows from the weights of a layer as they are now."""
        attention = cast(RelationalGraphAttention, self.attention[layer])
        return source_features.with_cached_projections(
            attention.sender, attention.distance_logits(self.edge_scale.spread)
        )

    def forward(
        self,
        streams: Mapping[str, Tensor],
        neighborhood: Neighborhood,
        source_features: Sequence[SourceFeatures],
    ) -> NodePredictions:
        """Predict rows that receive from the context.

        Parameters
        ----------
        streams : mapping of str to Tensor of shape (M, B, width of stream)
        around : Neighbourhood
        sent : sequence of Sent
            By the context, in each layer.
        """
        state, baseline, *router = self.encode(streams)
        mean, log_variance = self.attend(state, baseline, neighborhood, source_features)
        return NodePredictions(mean, log_variance, baseline, *router)

    def attend(
        self,
        state: Tensor,
        baseline: Tensor,
        neighborhood: Neighborhood,
        source_features: Sequence[SourceFeatures],
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (M, B) of rows that are encoded as `encode` does."""
        a = self.shape
        mean, known = baseline.detach(), [state]
        if a.relations:
            for layer, from_there in enumerate(source_features):
                state, received = self.propagate(layer, state, from_there, neighborhood)
            known = [state]
            if a.neighbor_targets:
                injected = self.neighbor_target_inputs(received.sums, mean)
                mean = mean + self.inject(injected).squeeze(-1)
                known.append(injected)
        mean = mean + self.mean_head(state).squeeze(-1)
        log_variance = self.variance_head(torch.cat(known, dim=-1)).squeeze(-1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def gates(self, streams: Mapping[str, Tensor]) -> Tensor:
        """Shares (M, B, E) of the experts, in evaluation mode."""
        encoded = [encoder(streams[name]) for name, encoder in self.encoders.items()]
        return self.mixture.gates(torch.cat(encoded, dim=-1))[0]

    def explain(
        self,
        streams: Mapping[str, Tensor],
        neighborhood: Neighborhood,
        source_features: Sequence[SourceFeatures],
    ) -> tuple[Tensor, Tensor]:
        """Return what a prediction looks at, in evaluation mode.

        Returns
        -------
        gates : Tensor of shape (M, B, E)
            Shares of the experts; without a mixture E is 0.
        weights : Tensor of shape (M, R, B, K)
            Of the neighbours in the last attention layer, mean of the heads; what is missing to 1
            is left to "nobody". Without relations R is 0.
        """
        a = self.shape
        state = self.encode(streams).state
        gates = self.gates(streams) if a.n_experts else state.new_zeros((*state.shape[:2], 0))
        if not a.relations:
            return gates, state.new_zeros(
                (len(state), 0, state.shape[1], neighborhood.source_index.shape[-1])
            )
        for layer, from_there in enumerate(source_features):
            state, received = self.propagate(layer, state, from_there, neighborhood)
        return gates, received.weights.mean(-1)

    @staticmethod
    def neighbor_target_inputs(sums: Tensor, baseline: Tensor) -> Tensor:
        """Arrange what the neighbours' targets say, as (M, B, R H (4 + F)).

        By relation and head, with s the trust sum_j w_ij: the level sum_j w_ij y_j - s m_i, the
        surprise sum_j w_ij (y_j - m_j), its spread, s, and the mean edge features.

        Targets enter only here, after the last layer, and no row is its own neighbour: there is no
        path on which a training row could see its own target.

        Parameters
        ----------
        sums : Tensor of shape (M, R, B, H, 4 + F)
            Of `aggregation.aggregate`, with what rows carry in the last layer.
        baseline : Tensor of shape (M, B)
        """
        attention_mass, target, residual, square, *edges = sums.unbind(-1)  # each (M, R, B, H)
        level = target - attention_mass * baseline[:, None, :, None]
        parts = [level, residual, square - residual.square(), attention_mass, *edges]
        return torch.stack(parts, dim=-1).transpose(1, 2).flatten(2)

    def hide_images(self, name: str, stream: Tensor) -> Tensor:
        """In training take some rows' images away, as if they had none."""
        rate = self.shape.image_dropout
        if name != IMAGERY or not self.training or rate == 0:
            return stream
        none = torch.zeros_like(stream[0, 0])
        none[-1] = 1.0
        hidden = self.uniform((*stream.shape[:2], 1), stream) < rate
        return torch.where(hidden, none, stream)

    def drop(self, x: Tensor, rate: float) -> Tensor:
        """Dropout that each member draws from its own generator."""
        if not self.training or rate == 0:
            return x
        return x * (self.uniform(x.shape, x) >= rate) / (1 - rate)

    def uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uniform numbers of a shape (M, ...), each member's from its own generator."""
        if self.generators is None:
            raise RuntimeError("start() gives the network its generators before training.")
        numbers = torch.empty(shape, device=like.device)
        for part, generator in zip(numbers, self.generators, strict=True):
            part.uniform_(generator=generator)
        return numbers
