"""The network, top to bottom: streams, mixture of experts, relational attention, targets, heads.

All members of the ensemble run in one pass. The first axis of every parameter and activation is the
member, and members share nothing, so the batched pass is an ensemble and not one large network.

Letters in shape comments: M members, B rows of the batch, R relations, K neighbours, H heads,
D width of a state, E experts, F edge features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .aggregation import Received, Sent, Table, aggregate, table_places
from .devices import mixed_precision

if TYPE_CHECKING:
    from .images.members import MemberEncoders

LOG_VARIANCE_RANGE = (-9.0, 1.5)  # of a standardised target: a sd of 0.01 to 2 times its own
_N_BASES = 8  # radial bases for each edge feature
_BASIS_REACH = 2.5  # the outermost bases, in standard deviations of the log distance
_SLOPE_RATE = 8.0  # distance decay must move far in few steps, so its parameter is amplified
_START_SLOPES = (0.0, 0.5, 1.0, 2.0)  # heads start as inverse-distance weights of these powers
_START_SURPRISE = 0.6  # share of the spatial neighbours' surprise that the mean starts with
_SURPRISE = 1  # its place among the injected values
IMAGERY = "imagery"  # the stream whose last column is one where a row has no image


@dataclass(frozen=True)
class Architecture:
    """Everything that fixes the shape of the network.

    Parameters
    ----------
    streams : dict of str to int
        Name and input width of each stream.
    relations : tuple of str
        Edge types; empty switches the graph off.
    edge_features : tuple of str
        Names of the edge features.
    own_feature : tuple of int
        For each relation the edge feature that is its own distance, or -1.
    n_members : int
    width : int
        Size D of a node state.
    n_heads, n_layers : int
        Heads of each relation; attention layers, of which the last carries the targets.
    n_experts, top_k : int
        Experts of the mixture and how many serve a row; ``n_experts=0`` is one plain residual MLP.
    messages, neighbour_targets : bool
        Whether attention carries node states, and whether the last layer carries targets.
    dropout, feature_dropout, neighbour_dropout, image_dropout : float
        Rates on states, on input features, on neighbours and on all images of a row. The last
        trains the state of a row without image, which may be met in queries only.
    """

    streams: dict[str, int]
    relations: tuple[str, ...]
    edge_features: tuple[str, ...]
    own_feature: tuple[int, ...]
    n_members: int = 5
    width: int = 64
    n_heads: int = 4
    n_layers: int = 1
    n_experts: int = 4
    top_k: int = 2
    messages: bool = True
    neighbour_targets: bool = True
    dropout: float = 0.2
    feature_dropout: float = 0.1
    neighbour_dropout: float = 0.1
    image_dropout: float = 0.1


class Context(NamedTuple):
    """Training rows as their neighbours see them; computed without gradient."""

    states: list[Tensor]  # one for each layer: (M, N, D)
    baseline: Tensor  # (M, N), the part of the target that needs no neighbour
    targets: Tensor  # (N,), standardised


class Neighbourhood(NamedTuple):
    """Who sends to each row of a batch."""

    senders: Tensor  # (M, R, B, K), positions in the context, -1 is nobody
    edges: Tensor  # (M, R, B, K, F), standardised log distances of `EdgeScale`


class Encoded(NamedTuple):
    """What rows are before they receive anything."""

    state: Tensor  # (M, B, D)
    baseline: Tensor  # (M, B), the part of the target that needs no neighbour
    balance: Tensor  # (M,), load-balance loss of the router
    z_loss: Tensor  # (M,), keeps router logits small


class Output(NamedTuple):
    """What the heads say about each row, in standardised units of the target."""

    mean: Tensor  # (M, B)
    log_variance: Tensor  # (M, B)
    baseline: Tensor  # (M, B), trained by its own loss and detached in the mean
    balance: Tensor  # (M,), load-balance loss of the router
    z_loss: Tensor  # (M,), keeps router logits small


class EdgeScale(nn.Module):
    """Distances of any unit to standardised logarithms, on the scale of the training graph.

    The logarithm is what inverse-distance weights are linear in. A floor of a tenth of the typical
    distance keeps coincident rows finite. A distance that is not known (NaN) counts as typical.
    """

    def __init__(self, n_features: int):
        super().__init__()
        self.floor: Tensor
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("floor", torch.ones(n_features))
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def learn(self, distances: Tensor) -> None:
        """Set the scale from the distances (n_edges, F) of the training graph."""
        typical = distances.nanmedian(dim=0).values
        self.floor = torch.where(typical > 0, 0.1 * typical, torch.ones_like(typical))
        logs = (distances + self.floor).log()
        for feature, values in enumerate(logs.T):
            known = values[~values.isnan()]
            if len(known) > 1:
                self.centre[feature] = known.mean()
                self.spread[feature] = known.std().clamp(min=0.1)

    def forward(self, distances: Tensor) -> Tensor:
        return (((distances + self.floor).log() - self.centre) / self.spread).nan_to_num(nan=0.0)


class MemberLinear(nn.Module):
    """One affine map for each member: (M, B, n_in) to (M, B, n_out)."""

    def __init__(self, n_members: int, n_in: int, n_out: int, zero: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))
        self.scale = 0.0 if zero else 1 / math.sqrt(max(n_in, 1))

    def start(self, generators: Sequence[torch.Generator]) -> None:
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


class MixtureOfExperts(nn.Module):
    """Sparse mixture: a router picks `top_k` experts for each row; each reads all streams.

    At this size every expert is computed and masked, which is faster than gathering rows. The
    balance loss is that of Fedus et al. (2021), eq. 4, for top-k; the z-loss that of Zoph et al.
    (2022), eq. 5.
    """

    def __init__(
        self, n_members: int, n_in: int, hidden: int, width: int, n_experts: int, top_k: int
    ):
        super().__init__()
        self.n_experts, self.top_k = n_experts, min(top_k, n_experts)
        self.router = MemberLinear(n_members, n_in, n_experts)
        self.into = MemberLinear(n_members, n_in, n_experts * hidden)
        self.out = MemberLinear(n_members, n_experts * hidden, width)

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
        hidden = F.silu(self.into(x)).unflatten(-1, (self.n_experts, -1))  # (M, B, E, hidden)
        # A weighted sum of expert outputs is one product once the gates scale the hidden units.
        return self.out((hidden * gates.unsqueeze(-1)).flatten(-2)), balance, z_loss


class RelationalAttention(nn.Module):
    """Attention over the neighbours of each relation, with a "nobody" that may take the weight.

    logit = LeakyReLU(a q_i + b k_j) - slope log d_ij + bases(edge_ij) W, a softmax within each
    relation (relational graph attention; Busbridge et al. 2019, eq. 3 and 6) whose last place is
    "nobody" with logit 0: a row without informative neighbours receives little. The sums over
    neighbours themselves are those of `aggregation.aggregate`.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        a = architecture
        n_relations = len(a.relations)
        self.heads = (n_relations, a.n_heads)
        self.messages = a.messages
        self.receiver = MemberLinear(a.n_members, a.width, n_relations * a.n_heads)
        self.sender = nn.Parameter(torch.zeros(a.n_members, n_relations, a.width, a.n_heads))
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
        self.register_buffer("centres", torch.linspace(-_BASIS_REACH, _BASIS_REACH, _N_BASES))

    def start(self, generators: Sequence[torch.Generator]) -> None:
        """Draw the sender weights of each member from its own generator."""
        with torch.no_grad():
            for weight, generator in zip(self.sender, generators, strict=True):
                weight.normal_(generator=generator).mul_(1 / math.sqrt(weight.shape[1]))

    def forward(
        self,
        state: Tensor,
        sent: Sent,
        around: Neighbourhood,
        spread: Tensor,
        keep: Tensor,
    ) -> Received:
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
            sent.table or self.distance_logits(spread),
            sent,
            around.senders,
            around.edges,
            keep,
            messages=self.messages,
        )

    def distance_logits(self, spread: Tensor) -> Table:
        """Trust by distance alone, feature by feature, (M, R, F, T, H)."""
        centres, start_slope = self.get_buffer("centres"), self.get_buffer("start_slope")
        own = self.get_buffer("own_feature")
        places = table_places(spread)
        gap = centres[1] - centres[0]
        bases = torch.exp(-(((places[:, None] - centres) / gap) ** 2))  # (T, bases)
        bend = bases @ self.bases.unflatten(2, (own.shape[1], _N_BASES))  # (M, R, F, T, H)
        slope = start_slope + _SLOPE_RATE * self.slope_change  # (M, R, H)
        line = self.level[:, :, None, None, :] - (
            places[:, None] * spread[:, None, None] * slope[:, :, None, None, :]
        )
        return Table(bend + own[:, :, None, None] * line)


class SpTGNN(nn.Module):
    """Spatio-temporal graph neural network for one table, all members at once.

    Parameters
    ----------
    architecture : Architecture
    image_encoders : MemberEncoders or None, default=None
        Encoders of the members that are tuned with the network and make its stream "imagery". None:
        that stream, if any, is given as it is.
    """

    def __init__(self, architecture: Architecture, image_encoders: MemberEncoders | None = None):
        super().__init__()
        self.architecture = a = architecture
        self.image_encoders: MemberEncoders | None = image_encoders
        self.generators: list[torch.Generator] | None = None
        hidden = 2 * a.width
        self.encoders = nn.ModuleDict(
            {
                name: StreamEncoder(a.n_members, n_in, hidden, a.width)
                for name, n_in in a.streams.items()
            }
        )
        self.norm = MemberNorm(a.n_members, a.width)
        n_streams = len(a.streams)
        if a.n_experts:
            self.mixture = MixtureOfExperts(
                a.n_members, n_streams * a.width, a.width // 2, a.width, a.n_experts, a.top_k
            )
        else:
            self.residual = nn.Sequential(
                MemberLinear(a.n_members, n_streams * a.width, hidden),
                nn.SiLU(),
                MemberLinear(a.n_members, hidden, a.width),
            )
        self.baseline = MemberLinear(a.n_members, a.width, 1, zero=True)
        self.edge_scale = EdgeScale(len(a.edge_features))
        if a.relations:
            self.attention = nn.ModuleList(RelationalAttention(a) for _ in range(a.n_layers))
            self.receive = nn.ModuleList(
                MemberLinear(a.n_members, len(a.relations) * a.width, a.width, zero=True)
                for _ in range(a.n_layers if a.messages else 0)
            )
        n_injected = 0
        if a.relations and a.neighbour_targets:
            # level, surprise, spread, trust and mean edge features, by relation and head
            n_injected = len(a.relations) * a.n_heads * (4 + len(a.edge_features))
            self.inject = MemberLinear(a.n_members, n_injected, 1, zero=True)
        self.mean_head = nn.Sequential(
            MemberLinear(a.n_members, a.width, a.width),
            nn.SiLU(),
            MemberLinear(a.n_members, a.width, 1, zero=True),
        )
        self.variance_head = nn.Sequential(
            MemberLinear(a.n_members, a.width + n_injected, a.width),
            nn.SiLU(),
            MemberLinear(a.n_members, a.width, 1, zero=True),
        )

    def start(self, generators: list[torch.Generator]) -> SpTGNN:
        """Initialise each member from its own generator, and draw its dropout from it."""
        self.generators = generators
        for module in self.modules():
            if isinstance(module, (MemberLinear, RelationalAttention)):
                module.start(generators)
        if "spatial" in self.architecture.relations and self.architecture.neighbour_targets:
            self._start_as_interpolation()
        return self

    @torch.no_grad()
    def _start_as_interpolation(self) -> None:
        """Begin as inverse-distance interpolation of what the baseline leaves over."""
        a = self.architecture
        weight = self.inject.weight.view(a.n_members, len(a.relations), a.n_heads, -1)
        weight[:, a.relations.index("spatial"), :, _SURPRISE] = _START_SURPRISE / a.n_heads

    @property
    def width(self) -> int:
        """Size D of a node's state."""
        return self.architecture.width

    def encode(self, streams: Mapping[str, Tensor]) -> Encoded:
        """Encode streams (M, B, width of stream)."""
        a = self.architecture
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
        return Encoded(state, self.baseline(state).squeeze(-1), balance, z_loss)

    def propagate(
        self,
        layer: int,
        state: Tensor,
        sent: Sent,
        around: Neighbourhood,
    ) -> tuple[Tensor, Received]:
        """One attention layer: the new state (M, B, D) and what was received."""
        a = self.architecture
        keep = around.senders >= 0
        if self.training and a.neighbour_dropout:
            keep = keep & (self.uniform(keep.shape, state) >= a.neighbour_dropout)
        received = self.attention[layer](state, sent, around, self.edge_scale.spread, keep)
        if received.states is not None:
            states = received.states.transpose(1, 2).flatten(2)  # (M, B, R D)
            state = state + self.drop(self.receive[layer](states), a.dropout)
        return state, received

    def sent(self, context: Context, *, settled: bool = False) -> list[Sent]:
        """Return what the rows of a context send in each layer.

        In the last layer they carry, beside their states, the target, the surprise that the
        baseline leaves over, and its square.

        Parameters
        ----------
        context : Context
        settled : bool, default=False
            Whether the weights no longer change, so that what follows from them is computed once.
        """
        if not self.architecture.relations:
            return []
        carried = None
        if self.architecture.neighbour_targets:
            surprise = context.targets - context.baseline
            parts = [context.targets.expand_as(surprise), surprise, surprise.square()]
            carried = torch.stack(parts, dim=-1)
        loads = [None] * (len(context.states) - 1) + [carried]
        return [
            self.settle(layer, Sent.of(*sent)) if settled else Sent.of(*sent)
            for layer, sent in enumerate(zip(context.states, loads, strict=True))
        ]

    @torch.no_grad()
    def settle(self, layer: int, sent: Sent) -> Sent:
        """Add what follows from the weights of a layer as they are now."""
        attention = cast(RelationalAttention, self.attention[layer])
        return sent.settled(attention.sender, attention.distance_logits(self.edge_scale.spread))

    def forward(
        self, streams: Mapping[str, Tensor], around: Neighbourhood, sent: Sequence[Sent]
    ) -> Output:
        """Predict rows that receive from the context.

        Parameters
        ----------
        streams : mapping of str to Tensor of shape (M, B, width of stream)
        around : Neighbourhood
        sent : sequence of Sent
            By the context, in each layer.
        """
        state, baseline, *router = self.encode(streams)
        mean, log_variance = self.attend(state, baseline, around, sent)
        return Output(mean, log_variance, baseline, *router)

    def attend(
        self, state: Tensor, baseline: Tensor, around: Neighbourhood, sent: Sequence[Sent]
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (M, B) of rows that are encoded as `encode` does."""
        a = self.architecture
        mean, known = baseline.detach(), [state]
        if a.relations:
            for layer, from_there in enumerate(sent):
                state, received = self.propagate(layer, state, from_there, around)
            known = [state]
            if a.neighbour_targets:
                injected = self.neighbour_targets(received.sums, mean)
                mean = mean + self.inject(injected).squeeze(-1)
                known.append(injected)
        mean = mean + self.mean_head(state).squeeze(-1)
        log_variance = self.variance_head(torch.cat(known, dim=-1)).squeeze(-1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def gates(self, streams: Mapping[str, Tensor]) -> Tensor:
        """Shares (M, B, E) of the experts, in evaluation mode."""
        encoded = [encoder(streams[name]) for name, encoder in self.encoders.items()]
        return self.mixture.gates(torch.cat(encoded, dim=-1))[0]

    def look(
        self, streams: Mapping[str, Tensor], around: Neighbourhood, sent: Sequence[Sent]
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
        a = self.architecture
        state = self.encode(streams).state
        gates = self.gates(streams) if a.n_experts else state.new_zeros((*state.shape[:2], 0))
        if not a.relations:
            return gates, state.new_zeros((len(state), 0, state.shape[1], around.senders.shape[-1]))
        for layer, from_there in enumerate(sent):
            state, received = self.propagate(layer, state, from_there, around)
        return gates, received.weights.mean(-1)

    @staticmethod
    def neighbour_targets(sums: Tensor, baseline: Tensor) -> Tensor:
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
        trust, target, surprise, square, *edges = sums.unbind(-1)  # each (M, R, B, H)
        level = target - trust * baseline[:, None, :, None]
        parts = [level, surprise, square - surprise.square(), trust, *edges]
        return torch.stack(parts, dim=-1).transpose(1, 2).flatten(2)

    def hide_images(self, name: str, stream: Tensor) -> Tensor:
        """In training take some rows' images away, as if they had none."""
        rate = self.architecture.image_dropout
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
