"""The model as torch-geometric's own layers give it: what a user would write in an afternoon.

One HeteroConv of GATv2Conv for each layer, three relations, all rows in every step, members one
after another. It reads the same inputs and joins the same neighbours as `SpTGNNRegressor`.

Targets of neighbours are messages of the last layer only. In an input or an earlier layer a
neighbour's message would carry the row's own target back to it.
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

_CHUNK = 10_000  # query rows at a time
_FLOOR = 1e-6  # of distances, in units of a relation's median distance to a neighbour

Edges = dict[tuple[str, str, str], Tensor]


class PlainNetwork(nn.Module):
    """Two layers of relational attention with skip connections, and a head for mean and variance.

    Parameters
    ----------
    n_inputs : int
    relations : sequence of str
    width, heads : int
    dropout : float
    """

    def __init__(self, n_inputs, relations, width=64, heads=4, dropout=0.3):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(n_inputs, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.first = _attention(relations, width, width, heads)
        self.last = _attention(relations, width + 1, width, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        n_closest = 2 * len(relations)  # mean and distance-weighted mean of neighbours' targets
        self.head = nn.Sequential(
            nn.Linear(width + n_closest, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, 2)
        )

    def encode(self, inputs: Tensor) -> Tensor:
        """Return states (n, width) of rows (n, n_inputs) before any message."""
        return self.norms[0](self.encoder(inputs))

    def listen(self, source_index: Tensor, target_nodes: Tensor, edges: Edges) -> Tensor:
        """First layer: states of receivers after messages of the senders' states."""
        received = self.first({"row": (source_index, target_nodes)}, edges)["row"]
        return self.norms[1](target_nodes + self.dropout(torch.relu(received)))

    def predict(
        self,
        source_index: Tensor,
        targets: Tensor,
        target_nodes: Tensor,
        edges: Edges,
        closest: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Last layer, whose messages carry targets too: mean and log-variance of receivers."""
        known = torch.cat([source_index, targets[:, None]], dim=1)
        received = self.last({"row": (known, target_nodes)}, edges)["row"]
        states = self.norms[2](target_nodes + self.dropout(received))
        mean, log_variance = self.head(torch.cat([states, closest], dim=1)).unbind(1)
        return mean, log_variance.clamp(-8.0, 4.0)


def _attention(relations, n_sent, width, heads):
    """One attention for each relation; states go in as pairs of senders' and receivers'."""
    return HeteroConv(
        {
            ("row", name, "row"): GATv2Conv(
                (n_sent, width), width // heads, heads=heads, add_self_loops=False
            )
            for name in relations
        },
        aggr="sum",
    )


@dataclass(frozen=True)
class Around:
    """Whom some rows receive from.

    Attributes
    ----------
    edges : dict of edge type to Tensor of shape (2, n_edges)
        Senders among the training rows, receivers.
    closest : Tensor of shape (n, 2 * n_relations)
        Mean and distance-weighted mean of the neighbours' targets.
    """

    edges: Edges
    closest: Tensor


@dataclass(frozen=True)
class Step:
    """A member after an epoch.

    Attributes
    ----------
    member, epoch : int
        From 0.
    seconds : float
        Training so far, of this member, without what watchers take.
    network : PlainNetwork
        As early stopping would return it now.
    """

    member: int
    epoch: int
    seconds: float
    network: PlainNetwork


class PlainHeteroGNN(RegressorMixin, BaseEstimator):
    """Ensemble of plain torch-geometric networks.

    Parameters
    ----------
    time, elevation : label, default=None
        Columns of these roles, as in `SpTGNNRegressor`.
    n_members : int, default=5
    n_neighbors : int, default=10
    width, heads : int, default=64, 4
    dropout : float, default=0.3
    learning_rate : float, default=0.005
        Of Adam; halved when the held-out error has not fallen for a third of `patience`.
    beta : float, default=0.5
        Exponent of the beta-NLL.
    max_epochs : int, default=400
    patience : int, default=30
        Epochs without a lower error on held-out rows after which a member is done.
    held_out : float, default=0.1
        Share of the rows that a member does not train on and is judged by.
    random_state : int, default=0
    watch : callable of a Step, default=None
        Called after each epoch.

    Attributes
    ----------
    networks_ : list of PlainNetwork
    errors_ : list of list of float
        Each member's squared error on its held-out rows after each epoch, standardised.
    setup_seconds_ : float
        For inputs and graph.
    train_seconds_, train_cpu_seconds_ : list of float
        For each member: wall time, and time of the processor.
    """

    def __init__(
        self,
        *,
        time=None,
        elevation=None,
        n_members=5,
        n_neighbors=10,
        hidden_size=64,
        heads=4,
        dropout=0.3,
        learning_rate=0.005,
        beta=0.5,
        max_epochs=400,
        patience=30,
        held_out=0.1,
        random_state=0,
        watch: Callable[[Step], None] | None = None,
    ):
        self.time = time
        self.elevation = elevation
        self.n_members = n_members
        self.n_neighbors = n_neighbors
        self.width = width
        self.heads = heads
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.beta = beta
        self.max_epochs = max_epochs
        self.patience = patience
        self.held_out = held_out
        self.random_state = random_state
        self.watch = watch

    def fit(self, X, y):
        """Build the graph and train the members."""
        start = time.perf_counter()
        self.columns_ = TableSchema.fit(X, time=self.time, elevation=self.elevation)
        table = self.columns_.transform(X)
        self.features_ = FeatureEncoder.fit(self.columns_, table)
        y = np.asarray(y, dtype=float)
        self.centre_, self.scale_ = y.mean(), y.std() or 1.0
        self.targets_ = torch.tensor((y - self.centre_) / self.scale_, dtype=torch.float32)
        inputs = self._inputs(table)
        self.input_scale_ = inputs.mean(0), inputs.std(0).clamp(min=1e-6)
        self.inputs_ = self._scaled(inputs)
        self.trees_ = {
            name: cKDTree(space) for name, space in self.features_.relation_spaces(table).items()
        }
        self.reach_: dict[str, float] = {}
        around = self._around({name: tree.data for name, tree in self.trees_.items()}, own=True)
        self.setup_seconds_ = time.perf_counter() - start
        seeds = np.random.RandomState(self.random_state).randint(2**31 - 1, size=self.n_members)
        self.networks_, self.errors_ = [], []
        self.train_seconds_, self.train_cpu_seconds_ = [], []
        for member, seed in enumerate(seeds):
            self.networks_.append(self._train(member, int(seed), around))
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.predict_with(self.networks_, X)

    @torch.no_grad()
    def predict_with(self, networks, X):
        """Predict the mean (n,) of some networks."""
        table = self.columns_.transform(X)
        inputs, spaces = self._scaled(self._inputs(table)), self.features_.relation_spaces(table)
        known = [self._known(network.eval()) for network in networks]
        found = np.empty(len(inputs))
        for start in range(0, len(inputs), _CHUNK):
            part = slice(start, start + _CHUNK)
            around = self._around({name: space[part] for name, space in spaces.items()})
            means = [
                self._predict(network, states, inputs[part], around)[0]
                for network, states in zip(networks, known, strict=True)
            ]
            found[part] = torch.stack(means).mean(0).numpy()
        return self.centre_ + self.scale_ * found

    def _train(self, member: int, seed: int, around: Around) -> PlainNetwork:
        torch.manual_seed(seed)
        network = PlainNetwork(
            self.inputs_.shape[1], list(self.trees_), self.width, self.heads, self.dropout
        )
        held = torch.rand(len(self.targets_)) < self.held_out
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=max(1, self.patience // 3)
        )
        best, kept, waited = np.inf, copy.deepcopy(network), 0
        errors: list[float] = []
        start, watched = _now(), np.zeros(2)
        for epoch in range(self.max_epochs):
            network.train()
            optimizer.zero_grad()
            mean, log_variance = self._forward(network, around)
            loss = beta_nll(mean, log_variance, self.targets_, self.beta)[~held].mean()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            network.eval()
            with torch.no_grad():
                mean, _ = self._forward(network, around)
                error = float((mean - self.targets_)[held].square().mean())
            errors.append(error)
            schedule.step(error)
            waited = 0 if error < best else waited + 1
            if error < best:
                best, kept = error, copy.deepcopy(network)
            if self.watch is not None:
                now = _now()
                self.watch(Step(member, epoch, (now - start - watched)[0], kept))
                watched += _now() - now
            if waited >= self.patience:
                break
        self.errors_.append(errors)
        wall, processor = _now() - start - watched
        self.train_seconds_.append(wall)
        self.train_cpu_seconds_.append(processor)
        return kept

    def _forward(self, network: PlainNetwork, around: Around) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of all training rows."""
        states = network.encode(self.inputs_)
        states = network.listen(states, states, around.edges)
        return network.predict(states, self.targets_, states, around.edges, around.closest)

    def _known(self, network: PlainNetwork) -> tuple[Tensor, Tensor]:
        """States of the training rows before and after the first layer."""
        states = network.encode(self.inputs_)
        return states, network.listen(states, states, self._training_edges)

    def _predict(self, network, known, inputs, around) -> tuple[Tensor, Tensor]:
        states = network.listen(known[0], network.encode(inputs), around.edges)
        return network.predict(known[1], self.targets_, states, around.edges, around.closest)

    def _inputs(self, table) -> Tensor:
        return torch.from_numpy(np.hstack(list(self.features_.node_features(table).values())))

    def _scaled(self, inputs: Tensor) -> Tensor:
        return (inputs - self.input_scale_[0]) / self.input_scale_[1]

    def _around(self, spaces: Mapping[str, np.ndarray], own: bool = False) -> Around:
        """Join rows to the nearest training rows; `own` if they are the training rows."""
        edges, closest = {}, []
        for name, points in spaces.items():
            tree = self.trees_[name]
            k = min(self.n_neighbors, tree.n - own)
            distance, source_index = tree.query(points, k=np.arange(1, k + own + 1))
            if own:
                distance, source_index = _without_self(distance, source_index)
                self.reach_[name] = float(np.median(distance)) or 1.0
            target_nodes = np.repeat(np.arange(len(points)), k)
            index = torch.from_numpy(np.stack([source_index.ravel(), target_nodes]))
            edges["row", name, "row"] = index
            weight = 1 / (distance / self.reach_[name] + _FLOOR)
            targets = self.targets_.numpy()[source_index]
            closest += [targets.mean(1), (weight * targets).sum(1) / weight.sum(1)]
        if own:
            self._training_edges = edges
        return Around(edges, torch.from_numpy(np.stack(closest, axis=1).astype(np.float32)))


def beta_nll(mean: Tensor, log_variance: Tensor, target: Tensor, beta: float) -> Tensor:
    """Gaussian likelihood, negative, times stop_gradient(variance)**beta (Seitzer et al. 2022)."""
    nll = 0.5 * (log_variance + (target - mean).square() * (-log_variance).exp())
    return nll * (beta * log_variance.detach()).exp()


def _now() -> np.ndarray:
    """Wall time and time of the processor, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def _without_self(distance: np.ndarray, source_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop each row from its own list (n, k + 1), or the last where equal rows pushed it out."""
    own = source_index == np.arange(len(source_index))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = len(source_index), source_index.shape[1] - 1
    return distance[~own].reshape(shape), source_index[~own].reshape(shape)
