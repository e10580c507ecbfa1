"""Network shape and the named tuples that pass between its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

IMAGERY = "imagery"  # the stream whose last column is one where a row has no image


@dataclass(frozen=True)
class NetworkShape:
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
    hidden_size: int = 64
    n_heads: int = 4
    n_layers: int = 1
    n_experts: int = 4
    top_k: int = 2
    messages: bool = True
    neighbor_targets: bool = True
    dropout: float = 0.2
    feature_dropout: float = 0.1
    neighbor_dropout: float = 0.1
    image_dropout: float = 0.1


class SourceNodes(NamedTuple):
    """Training rows as their neighbours see them; computed without gradient."""

    states: list[Tensor]  # one for each layer: (M, N, D)
    baseline: Tensor  # (M, N), the part of the target that needs no neighbour
    targets: Tensor  # (N,), standardised


class Neighborhood(NamedTuple):
    """Who sends to each row of a batch."""

    source_index: Tensor  # (M, R, B, K), positions in the context, -1 is nobody
    edges: Tensor  # (M, R, B, K, F), standardised log distances of `EdgeScale`


class EncodedNodes(NamedTuple):
    """What rows are before they receive anything."""

    state: Tensor  # (M, B, D)
    baseline: Tensor  # (M, B), the part of the target that needs no neighbour
    balance: Tensor  # (M,), load-balance loss of the router
    z_loss: Tensor  # (M,), keeps router logits small


class NodePredictions(NamedTuple):
    """What the heads say about each row, in standardised units of the target."""

    mean: Tensor  # (M, B)
    log_variance: Tensor  # (M, B)
    baseline: Tensor  # (M, B), trained by its own loss and detached in the mean
    balance: Tensor  # (M,), load-balance loss of the router
    z_loss: Tensor  # (M,), keeps router logits small


class ImageEncoders(Protocol):
    """Image encoders of the members, as the network calls them.

    `encoders.finetuning.MemberEncoders` is the implementation.
    """

    def __call__(self, groups: Sequence[Any], n_rows: int) -> Tensor:
        """Encode each member's own rows: (M, n_rows, D + 1)."""

    def encode_for_all(self, groups: Any, n_rows: int) -> Tensor:
        """Encode the same rows by every member: (M, n_rows, D + 1)."""

    def resized(self, n_members: int) -> ImageEncoders:
        """Return encoders for another number of members."""
