"""Plain PyTorch Geometric implementation of the model, the baseline for speed.

Each attention layer is one HeteroConv of GATv2Conv over three relations; every step uses all rows,
and the ensemble members are trained one after another. Inputs and neighbors are the same as in
`SpTGNNRegressor`.

Neighbor targets enter the messages of the last layer only: in an earlier layer they would carry a
row's own target back to it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, RegressorMixin
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, HeteroConv

from sptgnn_sklearn.table.features import FeatureEncoder
from sptgnn_sklearn.table.schema import TableSchema

_CHUNK_ROWS = 10_000  # query rows predicted at once
_MIN_DISTANCE = 1e-6  # in units of the median neighbor distance of a relation

Edges = dict[tuple[str, str, str], Tensor]


class PlainNetwork(nn.Module):
    """Two layers of relational attention with residual connections, and a Gaussian head.

    Parameters
    ----------
    n_inputs : int
    relations : sequence of str
    hidden_size, n_heads : int
    dropout : float
    """

    def __init__(self, n_inputs, relations, hidden_size=64, n_heads=4, dropout=0.3):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(n_inputs, hidden_size),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
        )
        self.first_attention = _attention(relations, hidden_size, hidden_size, n_heads)
        self.last_attention = _attention(relations, hidden_size + 1, hidden_size, n_heads)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        n_target_means = 2 * len(relations)  # plain and distance-weighted means of neighbor targets
        self.head = nn.Sequential(
            nn.Linear(hidden_size + n_target_means, hidden_size),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, 2),
        )

    def encode(self, inputs: Tensor) -> Tensor:
        """Encode rows (n, n_inputs) as states (n, hidden_size)."""
        return self.norms[0](self.encoder(inputs))

    def attend(self, source: Tensor, target: Tensor, edges: Edges) -> Tensor:
        """Apply the first attention layer to the states of source and target nodes."""
        messages = self.first_attention({"row": (source, target)}, edges)["row"]
        return self.norms[1](target + self.dropout(torch.relu(messages)))

    def predict(
        self, source: Tensor, source_y: Tensor, target: Tensor, edges: Edges, target_means: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Apply the last layer, with targets in its messages: mean and log-variance (n,)."""
        source = torch.cat([source, source_y[:, None]], dim=1)
        messages = self.last_attention({"row": (source, target)}, edges)["row"]
        states = self.norms[2](target + self.dropout(messages))
        mean, log_variance = self.head(torch.cat([states, target_means], dim=1)).unbind(1)
        return mean, log_variance.clamp(-8.0, 4.0)


def _attention(relations, source_size, hidden_size, n_heads):
    """Return one GATv2 attention for each relation, whose messages are summed."""
    return HeteroConv(
        {
            ("row", name, "row"): GATv2Conv(
                (source_size, hidden_size),
                hidden_size // n_heads,
                heads=n_heads,
                add_self_loops=False,
            )
            for name in relations
        },
        aggr="sum",
    )


@dataclass(frozen=True)
class NeighborGraph:
    """Edges from the training rows to some rows.

    Attributes
    ----------
    edges : dict of edge type to Tensor of shape (2, n_edges)
        Source nodes among the training rows, and target nodes.
    target_means : Tensor of shape (n, 2 * n_relations)
        Plain and distance-weighted means of the neighbors' targets.
    """

    edges: Edges
    target_means: Tensor


@dataclass(frozen=True)
class EpochEnd:
    """State of a member after an epoch.

    Attributes
    ----------
    member, epoch : int
        Counted from 0.
    seconds : float
        Training time of this member, without that of callbacks.
    network : PlainNetwork
        Best network so far.
    """

    member: int
    epoch: int
    seconds: float
    network: PlainNetwork


class PlainHeteroGNN(RegressorMixin, BaseEstimator):
    """Ensemble of plain PyTorch Geometric networks.

    Parameters
    ----------
    time, elevation : label, default=None
        Columns with these roles, as in `SpTGNNRegressor`.
    n_estimators : int, default=5
    n_neighbors : int, default=10
    hidden_size, n_heads : int, default=64, 4
    dropout : float, default=0.3
    learning_rate : float, default=0.005
        Of Adam; halved when the validation error has not decreased for a third of
        `n_iter_no_change` epochs.
    beta : float, default=0.5
        Exponent of the beta-NLL.
    max_epochs : int, default=400
    n_iter_no_change : int, default=30
        Epochs without a lower validation error after which training stops.
    validation_fraction : float, default=0.1
        Share of the rows that each member holds out for early stopping.
    random_state : int, default=0
    on_epoch_end : callable, default=None
        Called with an `EpochEnd` after each epoch.

    Attributes
    ----------
    networks_ : list of PlainNetwork
    errors_ : list of list of float
        Mean squared validation error of each member by epoch, standardized.
    setup_seconds_ : float
        Time for inputs and graph.
    train_seconds_, train_cpu_seconds_ : list of float
        Wall and CPU time of each member.
    """

    def __init__(
        self,
        *,
        time=None,
        elevation=None,
        n_estimators=5,
        n_neighbors=10,
        hidden_size=64,
        n_heads=4,
        dropout=0.3,
        learning_rate=0.005,
        beta=0.5,
        max_epochs=400,
        n_iter_no_change=30,
        validation_fraction=0.1,
        random_state=0,
        on_epoch_end: Callable[[EpochEnd], None] | None = None,
    ):
        self.time = time
        self.elevation = elevation
        self.n_estimators = n_estimators
        self.n_neighbors = n_neighbors
        self.hidden_size = hidden_size
        self.n_heads = n_heads
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.beta = beta
        self.max_epochs = max_epochs
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.on_epoch_end = on_epoch_end

    def fit(self, X, y):
        """Build the graph and train the members."""
        start = time.perf_counter()
        self.schema_ = TableSchema.fit(X, time=self.time, elevation=self.elevation)
        table = self.schema_.transform(X)
        self.encoder_ = FeatureEncoder.fit(self.schema_, table)
        y = np.asarray(y, dtype=float)
        self.center_, self.scale_ = y.mean(), y.std() or 1.0
        self.targets_ = torch.tensor((y - self.center_) / self.scale_, dtype=torch.float32)
        inputs = self._inputs(table)
        self.input_scale_ = inputs.mean(0), inputs.std(0).clamp(min=1e-6)
        self.inputs_ = self._standardize(inputs)
        self.trees_ = {
            name: cKDTree(space) for name, space in self.encoder_.relation_spaces(table).items()
        }
        self.median_distance_: dict[str, float] = {}
        training_spaces = {name: tree.data for name, tree in self.trees_.items()}
        self.training_graph_ = self._neighbor_graph(training_spaces, exclude_self=True)
        self.setup_seconds_ = time.perf_counter() - start
        seeds = np.random.RandomState(self.random_state).randint(2**31 - 1, size=self.n_estimators)
        self.networks_, self.errors_ = [], []
        self.train_seconds_, self.train_cpu_seconds_ = [], []
        for member, seed in enumerate(seeds):
            self.networks_.append(self._train(member, int(seed)))
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.predict_with(self.networks_, X)

    @torch.no_grad()
    def predict_with(self, networks, X):
        """Predict the mean (n,) of some networks."""
        table = self.schema_.transform(X)
        inputs = self._standardize(self._inputs(table))
        spaces = self.encoder_.relation_spaces(table)
        sources = [self._source_states(network.eval()) for network in networks]
        predicted = np.empty(len(inputs))
        for start in range(0, len(inputs), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            graph = self._neighbor_graph({name: space[part] for name, space in spaces.items()})
            means = [
                self._predict_rows(network, states, inputs[part], graph)[0]
                for network, states in zip(networks, sources, strict=True)
            ]
            predicted[part] = torch.stack(means).mean(0).numpy()
        return self.center_ + self.scale_ * predicted

    def _train(self, member: int, seed: int) -> PlainNetwork:
        torch.manual_seed(seed)
        network = PlainNetwork(
            self.inputs_.shape[1],
            list(self.trees_),
            self.hidden_size,
            self.n_heads,
            self.dropout,
        )
        held_out = torch.rand(len(self.targets_)) < self.validation_fraction
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=max(1, self.n_iter_no_change // 3)
        )
        best_error, best_network, n_no_change = np.inf, copy.deepcopy(network), 0
        errors: list[float] = []
        start, callback_times = _wall_and_cpu_time(), np.zeros(2)
        for epoch in range(self.max_epochs):
            network.train()
            optimizer.zero_grad()
            mean, log_variance = self._predict_training_rows(network)
            loss = beta_nll(mean, log_variance, self.targets_, self.beta)[~held_out].mean()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            network.eval()
            with torch.no_grad():
                mean, _ = self._predict_training_rows(network)
                error = float((mean - self.targets_)[held_out].square().mean())
            errors.append(error)
            schedule.step(error)
            n_no_change = 0 if error < best_error else n_no_change + 1
            if error < best_error:
                best_error, best_network = error, copy.deepcopy(network)
            if self.on_epoch_end is not None:
                now = _wall_and_cpu_time()
                seconds = (now - start - callback_times)[0]
                self.on_epoch_end(EpochEnd(member, epoch, seconds, best_network))
                callback_times += _wall_and_cpu_time() - now
            if n_no_change >= self.n_iter_no_change:
                break
        self.errors_.append(errors)
        wall, cpu = _wall_and_cpu_time() - start - callback_times
        self.train_seconds_.append(wall)
        self.train_cpu_seconds_.append(cpu)
        return best_network

    def _predict_training_rows(self, network: PlainNetwork) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of all training rows."""
        states = network.encode(self.inputs_)
        graph = self.training_graph_
        states = network.attend(states, states, graph.edges)
        return network.predict(states, self.targets_, states, graph.edges, graph.target_means)

    def _source_states(self, network: PlainNetwork) -> tuple[Tensor, Tensor]:
        """Return the states of the training rows before and after the first attention layer."""
        states = network.encode(self.inputs_)
        return states, network.attend(states, states, self.training_graph_.edges)

    def _predict_rows(self, network, sources, inputs, graph) -> tuple[Tensor, Tensor]:
        states = network.attend(sources[0], network.encode(inputs), graph.edges)
        return network.predict(sources[1], self.targets_, states, graph.edges, graph.target_means)

    def _inputs(self, table) -> Tensor:
        return torch.from_numpy(np.hstack(list(self.encoder_.node_features(table).values())))

    def _standardize(self, inputs: Tensor) -> Tensor:
        return (inputs - self.input_scale_[0]) / self.input_scale_[1]

    def _neighbor_graph(
        self, spaces: Mapping[str, np.ndarray], exclude_self: bool = False
    ) -> NeighborGraph:
        """Connect rows to the nearest training rows; `exclude_self` for the training rows."""
        edges, target_means = {}, []
        for name, points in spaces.items():
            tree = self.trees_[name]
            k = min(self.n_neighbors, tree.n - exclude_self)
            distance, source = tree.query(points, k=np.arange(1, k + exclude_self + 1))
            if exclude_self:
                distance, source = _without_self(distance, source)
                self.median_distance_[name] = float(np.median(distance)) or 1.0
            target = np.repeat(np.arange(len(points)), k)
            edges["row", name, "row"] = torch.from_numpy(np.stack([source.ravel(), target]))
            weight = 1 / (distance / self.median_distance_[name] + _MIN_DISTANCE)
            y = self.targets_.numpy()[source]
            target_means += [y.mean(1), (weight * y).sum(1) / weight.sum(1)]
        means = np.stack(target_means, axis=1).astype(np.float32)
        return NeighborGraph(edges, torch.from_numpy(means))


def beta_nll(mean: Tensor, log_variance: Tensor, target: Tensor, beta: float) -> Tensor:
    """Return the Gaussian NLL times stop_gradient(variance)**beta (Seitzer et al. 2022)."""
    nll = 0.5 * (log_variance + (target - mean).square() * (-log_variance).exp())
    return nll * (beta * log_variance.detach()).exp()


def _wall_and_cpu_time() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _without_self(distance: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop each row from its own neighbors (n, k + 1), or the last one if it is not among them."""
    own = source == np.arange(len(source))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = len(source), source.shape[1] - 1
    return distance[~own].reshape(shape), source[~own].reshape(shape)
