"""Network shape and the named tuples that pass between its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from ..utils.documentation_link import DocumentationLink
from ..utils.parameter_names import ParameterNames

if TYPE_CHECKING:
    from torch import Tensor

STREAMS = ("imagery", "covariates", "position", "time")
IMAGERY = "imagery"  # name of the image stream, whose last column is 1 in rows without image


@dataclass(repr=False, eq=False)
class NetworkConfig(DocumentationLink, ParameterNames, BaseEstimator):
    """Layer sizes, ingredients and loss weights of the network.

    Passed as ``SpTGNNRegressor(network=NetworkConfig(...))``. It has `get_params`, so that a search
    reaches each parameter as ``network__hidden_size``.

    Parameters
    ----------
    streams : sequence of {"imagery", "covariates", "position", "time"}, default=all four
        Input streams of the nodes. Those whose columns are missing are dropped.
    hidden_size : int, default=64
        Width of the hidden states; a multiple of `n_heads`.
    n_heads : int, default=4
        Attention heads of each relation.
    n_layers : int, default=1
        Attention layers. Only the last one reads the targets of the neighbors.
    n_experts : int, default=4
        Experts of the mixture over the input streams; 0 replaces the mixture by one residual MLP.
    top_k : int, default=2
        Number of experts used for each row.
    messages : bool, default=True
        Whether attention aggregates the hidden states of the neighbors.
    neighbor_targets : bool, default=True
        Whether the last attention layer aggregates the targets of the neighbors.
    dropout, feature_dropout : float, default=0.2, 0.1
        Dropout rates of hidden states and of input features.
    beta : float, default=0.5
        Exponent of the beta-NLL loss; 0 is the Gaussian negative log-likelihood.
    moran_weight : float, default=0.01
        Weight of the penalty on Moran's I of the residuals in a batch.
    weight_decay : float, default=0.1
        Weight decay of AdamW.

    Examples
    --------
    >>> from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
    >>> model = SpTGNNRegressor(network=NetworkConfig(hidden_size=32))
    >>> model.set_params(network__n_experts=0).network
    NetworkConfig(hidden_size=32, n_experts=0)
    """

    streams: Sequence[str] = STREAMS
    hidden_size: int = 64
    n_heads: int = 4
    n_layers: int = 1
    n_experts: int = 4
    top_k: int = 2
    messages: bool = True
    neighbor_targets: bool = True
    dropout: float = 0.2
    feature_dropout: float = 0.1
    beta: float = 0.5
    moran_weight: float = 0.01
    weight_decay: float = 0.1

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "streams": ["array-like"],
        "hidden_size": [Interval(Integral, 4, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_experts": [Interval(Integral, 0, None, closed="left")],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "messages": ["boolean"],
        "neighbor_targets": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "feature_dropout": [Interval(Real, 0, 1, closed="left")],
        "beta": [Interval(Real, 0, 1, closed="both")],
        "moran_weight": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
    }

    def validate(self) -> None:
        """Raise ValueError if a parameter is out of range or two do not fit each other."""
        self._validate_params()
        unknown = [name for name in self.streams if name not in STREAMS]
        if unknown:
            raise ValueError(f"streams has the unknown values {unknown}; choose from {STREAMS}.")
        if self.hidden_size % self.n_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of n_heads={self.n_heads}."
            )


@dataclass(frozen=True)
class NetworkShape:
    """Layer sizes and components of the network for one table.

    Parameters
    ----------
    streams : dict of str to int
        Name and number of features of each input stream.
    relations : tuple of str
        Edge types; an empty tuple switches the graph off.
    edge_features : tuple of str
        Names of the edge features.
    own_feature : tuple of int
        For each relation the index of the edge feature that is its distance, or -1.
    n_members : int
        Ensemble members.
    hidden_size, n_heads, n_layers, n_experts, top_k, messages, neighbor_targets, dropout, \
            feature_dropout
        As in `NetworkConfig`.
    neighbor_dropout : float
        Dropout rate of whole neighbors.
    image_dropout : float
        Rate at which all images of a row are hidden in training. It trains the state of rows
        without image, which may occur in queries only.
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

    @classmethod
    def from_config(cls, config: NetworkConfig, **table: Any) -> NetworkShape:
        """Combine a `NetworkConfig` with the fields that depend on the table."""
        names = {field.name for field in fields(cls)} & {field.name for field in fields(config)}
        names -= set(table)
        return cls(**{name: getattr(config, name) for name in names}, **table)


class SourceNodes(NamedTuple):
    """Encoded training rows, the source nodes of all edges; computed without gradient."""

    states: list[Tensor]  # one for each layer: (M, N, D)
    baseline: Tensor  # (M, N), prediction without neighbors
    targets: Tensor  # (N,), standardized


class Neighborhood(NamedTuple):
    """Neighbor indices and edge features of a batch of rows."""

    source_index: Tensor  # (M, R, B, K), indices of source nodes; -1 is no neighbor
    edges: Tensor  # (M, R, B, K, F), standardized log distances of `EdgeScale`


class EncodedNodes(NamedTuple):
    """States of rows before message passing, and the losses of the router."""

    state: Tensor  # (M, B, D)
    baseline: Tensor  # (M, B), prediction without neighbors
    balance: Tensor  # (M,), load-balance loss of the router
    z_loss: Tensor  # (M,), penalty on large router logits


class NodePredictions(NamedTuple):
    """Output of the network, in standardized units of the target."""

    mean: Tensor  # (M, B)
    log_variance: Tensor  # (M, B)
    baseline: Tensor  # (M, B), trained by its own loss and detached in the mean
    balance: Tensor  # (M,), load-balance loss of the router
    z_loss: Tensor  # (M,), penalty on large router logits


class ImageEncoders(Protocol):
    """Interface of the ensemble members' image encoders.

    `encoders.finetuning.MemberEncoders` implements it.
    """

    def __call__(self, groups: Sequence[Any], n_rows: int) -> Tensor:
        """Encode each member's own rows: (M, n_rows, D + 1)."""

    def encode_for_all(self, groups: Any, n_rows: int) -> Tensor:
        """Encode the same rows with the encoder of every member: (M, n_rows, D + 1)."""

    def resized(self, n_members: int) -> ImageEncoders:
        """Return encoders for another number of members."""
