"""The spatio-temporal graph neural network, from the input streams to mean and log-variance.

All ensemble members run in one batched pass. The first axis of every parameter and activation is
the member, and members share no parameters.

Letters in shape comments: M members, B rows of the batch, N source nodes, R relations, K neighbors,
H heads, D width of a state, E experts, F edge features.
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

LOG_VARIANCE_RANGE = (-9.0, 1.5)  # sd of 0.01 to 2 in standardized units of the target
_INITIAL_RESIDUAL_WEIGHT = 0.6  # initial weight of the spatial neighbors' residuals in the mean
_RESIDUAL = 1  # its position in `neighbor_target_inputs`


class SpTGNN(nn.Module):
    """Spatio-temporal graph neural network of all ensemble members.

    Parameters
    ----------
    shape : NetworkShape
    image_encoders : ImageEncoders or None, default=None
        Image encoders fine-tuned with the network, which compute the stream "imagery". None leaves
        that stream, if any, as given.
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
            self.message_projection = nn.ModuleList(
                MemberLinear(
                    a.n_members, len(a.relations) * a.hidden_size, a.hidden_size, zero=True
                )
                for _ in range(a.n_layers if a.messages else 0)
            )
        n_target_inputs = 0
        if a.relations and a.neighbor_targets:
            n_target_inputs = len(a.relations) * a.n_heads * (4 + len(a.edge_features))
            self.neighbor_target_head = MemberLinear(a.n_members, n_target_inputs, 1, zero=True)
        self.mean_head = nn.Sequential(
            MemberLinear(a.n_members, a.hidden_size, a.hidden_size),
            nn.SiLU(),
            MemberLinear(a.n_members, a.hidden_size, 1, zero=True),
        )
        self.variance_head = nn.Sequential(
            MemberLinear(a.n_members, a.hidden_size + n_target_inputs, a.hidden_size),
            nn.SiLU(),
            MemberLinear(a.n_members, a.hidden_size, 1, zero=True),
        )

    def reset_parameters(self, generators: list[torch.Generator]) -> SpTGNN:
        """Draw the initial weights of each member from its own generator, kept for dropout."""
        self.generators = generators
        for module in self.modules():
            if isinstance(module, (MemberLinear, RelationalGraphAttention)):
                module.reset_parameters(generators)
        if "spatial" in self.shape.relations and self.shape.neighbor_targets:
            self._init_as_interpolation()
        return self

    @torch.no_grad()
    def _init_as_interpolation(self) -> None:
        """Initialize the mean as inverse-distance interpolation of the baseline's residuals."""
        a = self.shape
        weight = self.neighbor_target_head.weight.view(a.n_members, len(a.relations), a.n_heads, -1)
        initial = _INITIAL_RESIDUAL_WEIGHT / a.n_heads
        weight[:, a.relations.index("spatial"), :, _RESIDUAL] = initial

    @property
    def width(self) -> int:
        """Width D of a node state."""
        return self.shape.hidden_size

    def encode(self, streams: Mapping[str, Tensor]) -> EncodedNodes:
        """Encode streams (M, B, width of stream) into node states."""
        a = self.shape
        # Only the large products: heads, attention and all predictions stay in single precision.
        with mixed_precision(self.baseline.weight.device) if self.training else nullcontext():
            encoded = [
                encoder(self.dropout(self.drop_images(name, streams[name]), a.feature_dropout))
                for name, encoder in self.encoders.items()
            ]
            concatenated = torch.cat(encoded, dim=-1)  # (M, B, streams * D), as in `gates`
            if a.n_experts:
                update, balance, z_loss = self.mixture(concatenated)
            else:
                update = self.residual(concatenated)
                balance = z_loss = update.new_zeros(len(update))
        state = self.norm(torch.stack(encoded).sum(0).to(self.baseline.weight.dtype))
        state = state + self.dropout(update, a.dropout)
        return EncodedNodes(state, self.baseline(state).squeeze(-1), balance, z_loss)

    def propagate(
        self,
        layer: int,
        state: Tensor,
        source_features: SourceFeatures,
        neighborhood: Neighborhood,
    ) -> tuple[Tensor, AggregatedMessages]:
        """Apply one attention layer: return the new state (M, B, D) and the messages."""
        a = self.shape
        keep = neighborhood.source_index >= 0
        if self.training and a.neighbor_dropout:
            keep = keep & (self._draw_uniform(keep.shape, state) >= a.neighbor_dropout)
        messages = self.attention[layer](
            state, source_features, neighborhood, self.edge_scale.spread, keep
        )
        if messages.states is not None:
            states = messages.states.transpose(1, 2).flatten(2)  # (M, B, R D)
            state = state + self.dropout(self.message_projection[layer](states), a.dropout)
        return state, messages

    def source_features(
        self, context: SourceNodes, *, cached: bool = False
    ) -> list[SourceFeatures]:
        """Return the source features of each attention layer.

        In the last layer they include the target, the residual of the baseline and its square.

        Parameters
        ----------
        context : SourceNodes
        cached : bool, default=False
            Whether to precompute the projections of the source features, for fixed weights.
        """
        if not self.shape.relations:
            return []
        extras = None
        if self.shape.neighbor_targets:
            residual = context.targets - context.baseline
            parts = [context.targets.expand_as(residual), residual, residual.square()]
            extras = torch.stack(parts, dim=-1)
        extras_by_layer = [None] * (len(context.states) - 1) + [extras]
        features_by_layer = [
            SourceFeatures.from_nodes(*nodes)
            for nodes in zip(context.states, extras_by_layer, strict=True)
        ]
        if not cached:
            return features_by_layer
        return [
            self.cache_projections(layer, features)
            for layer, features in enumerate(features_by_layer)
        ]

    @torch.no_grad()
    def cache_projections(self, layer: int, source_features: SourceFeatures) -> SourceFeatures:
        """Add the projections of source features by the current weights of a layer."""
        attention = cast(RelationalGraphAttention, self.attention[layer])
        return source_features.with_cached_projections(
            attention.key, attention.distance_logits(self.edge_scale.spread)
        )

    def forward(
        self,
        streams: Mapping[str, Tensor],
        neighborhood: Neighborhood,
        source_features: Sequence[SourceFeatures],
    ) -> NodePredictions:
        """Predict rows from their own streams and their neighbors.

        Parameters
        ----------
        streams : mapping of str to Tensor of shape (M, B, width of stream)
        neighborhood : Neighborhood
        source_features : sequence of SourceFeatures
            Of each attention layer.
        """
        state, baseline, *router = self.encode(streams)
        mean, log_variance = self.decode(state, baseline, neighborhood, source_features)
        return NodePredictions(mean, log_variance, baseline, *router)

    def decode(
        self,
        state: Tensor,
        baseline: Tensor,
        neighborhood: Neighborhood,
        source_features: Sequence[SourceFeatures],
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (M, B) of rows encoded by `encode`."""
        a = self.shape
        mean, variance_inputs = baseline.detach(), [state]
        if a.relations:
            for layer, layer_features in enumerate(source_features):
                state, messages = self.propagate(layer, state, layer_features, neighborhood)
            variance_inputs = [state]
            if a.neighbor_targets:
                target_inputs = self.neighbor_target_inputs(messages.sums, mean)
                mean = mean + self.neighbor_target_head(target_inputs).squeeze(-1)
                variance_inputs.append(target_inputs)
        mean = mean + self.mean_head(state).squeeze(-1)
        log_variance = self.variance_head(torch.cat(variance_inputs, dim=-1)).squeeze(-1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def gates(self, streams: Mapping[str, Tensor]) -> Tensor:
        """Return gate weights (M, B, E) of the experts, in evaluation mode."""
        encoded = [encoder(streams[name]) for name, encoder in self.encoders.items()]
        return self.mixture.gates(torch.cat(encoded, dim=-1))[0]

    def explain(
        self,
        streams: Mapping[str, Tensor],
        neighborhood: Neighborhood,
        source_features: Sequence[SourceFeatures],
    ) -> tuple[Tensor, Tensor]:
        """Return expert gates and attention weights, in evaluation mode.

        Returns
        -------
        gates : Tensor of shape (M, B, E)
            Gate weights of the experts; without a mixture E is 0.
        weights : Tensor of shape (M, R, B, K)
            Attention weights of the last layer, averaged over heads; the rest up to 1 is
            unassigned. Without relations R is 0.
        """
        a = self.shape
        state = self.encode(streams).state
        gates = self.gates(streams) if a.n_experts else state.new_zeros((*state.shape[:2], 0))
        if not a.relations:
            return gates, state.new_zeros(
                (len(state), 0, state.shape[1], neighborhood.source_index.shape[-1])
            )
        for layer, layer_features in enumerate(source_features):
            state, messages = self.propagate(layer, state, layer_features, neighborhood)
        return gates, messages.weights.mean(-1)

    @staticmethod
    def neighbor_target_inputs(sums: Tensor, baseline: Tensor) -> Tensor:
        """Return inputs (M, B, R H (4 + F)) of the heads from the targets of the neighbors.

        For each relation and head, with the attention mass s = sum_j w_ij: the centered target
        sum_j w_ij y_j - s m_i, the residual sum_j w_ij (y_j - m_j), its variance, s, and the mean
        edge features.

        Targets enter only here, after the last layer, and no row is its own neighbor: the
        prediction of a training row does not depend on its own target.

        Parameters
        ----------
        sums : Tensor of shape (M, R, B, H, 4 + F)
            Weighted sums of the last layer.
        baseline : Tensor of shape (M, B)
        """
        attention_mass, target, residual, square, *edges = sums.unbind(-1)  # each (M, R, B, H)
        centered_target = target - attention_mass * baseline[:, None, :, None]
        parts = [centered_target, residual, square - residual.square(), attention_mass, *edges]
        return torch.stack(parts, dim=-1).transpose(1, 2).flatten(2)

    def drop_images(self, name: str, stream: Tensor) -> Tensor:
        """Replace the images of random rows by the missing image, in training mode."""
        rate = self.shape.image_dropout
        if name != IMAGERY or not self.training or rate == 0:
            return stream
        missing = torch.zeros_like(stream[0, 0])
        missing[-1] = 1.0
        dropped = self._draw_uniform((*stream.shape[:2], 1), stream) < rate
        return torch.where(dropped, missing, stream)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """Apply dropout with each member's own generator, in training mode."""
        if not self.training or rate == 0:
            return x
        return x * (self._draw_uniform(x.shape, x) >= rate) / (1 - rate)

    def _draw_uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return uniform numbers of a shape (M, ...) from each member's own generator."""
        if self.generators is None:
            raise RuntimeError("Dropout needs generators: call reset_parameters first.")
        numbers = torch.empty(shape, device=like.device)
        for part, generator in zip(numbers, self.generators, strict=True):
            part.uniform_(generator=generator)
        return numbers
