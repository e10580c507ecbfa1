"""From a table to a fitted ensemble: each step of the method in the order in which it happens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs

from .base import fit_base, out_of_fold
from .blocks import location_labels
from .columns import Columns, Table
from .edges import NAMES, describe, differences
from .features import Features
from .graph import NOBODY, Searcher, to_hetero_data
from .holdout import Partitions, partition
from .images.archive import ChipArchive
from .images.embedder import ChipEmbedder
from .images.imagery import Imagery
from .images.members import MemberEncoders
from .inference import Rows, build_context, look, run, run_encoded, surroundings
from .judgement import HeldOut, Judgement, Predicted
from .network import IMAGERY, Architecture, Context, Neighbourhood, SpTGNN
from .training import Schedule, Trained, join, train_members
from .training_graph import TrainingSet, TunedImagery

_OWN_DISTANCE = {
    "spatial": ("distance",),
    "spectral": ("image_distance", "covariate_distance"),  # the first that there is
}
_SPARE = 2  # candidates for each neighbour: some are hidden from a member that holds them out
_QUERY_CHUNK = 20_000  # rows whose graph is built at a time
_CHIP_CHUNK = 64  # rows whose chips are read and encoded at a time


@dataclass(frozen=True)
class Tuning:
    """How image encoders are tuned with the network.

    Attributes
    ----------
    embedder : ChipEmbedder
        With the encoder from which all members start.
    stages : True or int
        All of it, or the last so many blocks.
    recompute : bool
        Whether to save memory by computing activations twice.
    """

    embedder: ChipEmbedder
    stages: bool | int
    recompute: bool = False


@dataclass(frozen=True)
class Looked:
    """What the network looks at when it predicts rows.

    Attributes
    ----------
    neighbours : ndarray of shape (n, R, K)
        Training rows by relation.
    attention : ndarray of shape (n, R, K)
        Their weights, mean of members and heads; what is missing to 1 is left to "nobody".
    gates : ndarray of shape (n, M, E)
        Shares of the experts of each member.
    """

    neighbours: np.ndarray
    attention: np.ndarray
    gates: np.ndarray


@dataclass
class Ensemble:
    """A fitted ensemble with the training rows that it predicts from.

    Attributes
    ----------
    features : Features
    network : SpTGNN
    relations : tuple of str
        Relations that are in use.
    streams : tuple of str
        Streams that are in use.
    searcher : Searcher
        Training rows in the space of each relation.
    context : Context
    description : dict of str to Tensor
        What edge features are taken from, training rows.
    node_features : ndarray of shape (n, f)
        All streams of the training rows side by side.
    base : fitted regressor or None
    judgement : Judgement
        How network and base are used, learnt on held-out rows.
    partitions : Partitions
    neighbours : ndarray of shape (n, R, K)
        Lists of the training rows.
    held_out : Predicted
        Predictions (1, n) of the training rows that used neither their target nor a member
        trained on it, where there is such a member; calibrated.
    history : list of dict
    n_neighbors : int
    device : str
    workers : int
    imagery : Imagery or None
        How chips are read for the network's own encoders; None where there are none.
    """

    features: Features
    network: SpTGNN
    relations: tuple[str, ...]
    streams: tuple[str, ...]
    searcher: Searcher
    context: Context
    description: dict[str, torch.Tensor]
    node_features: np.ndarray
    base: Any
    judgement: Judgement
    partitions: Partitions
    neighbours: np.ndarray
    held_out: Predicted
    history: list[dict]
    n_neighbors: int
    device: str
    workers: int = 1
    imagery: Imagery | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Read back where there may be no GPU.
        return vars(self.to("cpu"))

    def to(self, device: str) -> Ensemble:
        """Return the ensemble on a device."""
        if device == self.device:
            return self
        states, baseline, targets = self.context
        return replace(
            self,
            network=copy.deepcopy(self.network).to(device),
            context=Context(
                [state.to(device) for state in states], baseline.to(device), targets.to(device)
            ),
            description={name: values.to(device) for name, values in self.description.items()},
            device=device,
        )

    def predict(self, table: Table) -> Predicted:
        """Predict rows from the training rows and their own columns."""
        parts = [
            self._predict(table.take(np.arange(start, min(start + _QUERY_CHUNK, len(table)))))
            for start in range(0, len(table), _QUERY_CHUNK)
        ]
        return Predicted(
            np.concatenate([part.mean for part in parts], axis=1),
            np.concatenate([part.variance for part in parts], axis=1),
        )

    def to_hetero_data(self):
        """Return the training graph as torch_geometric.data.HeteroData."""
        senders = self.neighbours
        description = {name: values.cpu().numpy() for name, values in self.description.items()}
        edges = differences(
            {name: values[:, None, None, :] for name, values in description.items()},
            {name: values[senders] for name, values in description.items()},
        )
        return to_hetero_data(
            senders, self.relations, edges, self.node_features, self.context.targets.cpu().numpy()
        )

    def look(self, table: Table) -> Looked:
        """Return what the network looks at when it predicts the rows of a table."""
        spaces = self.features.spaces(table)
        neighbours = self._neighbours(spaces)
        senders = torch.from_numpy(neighbours).to(self.device)
        rows = self._rows(table, spaces)
        gates, weights = look(self.network, rows, senders, self.context, self.description)
        return Looked(
            neighbours=neighbours,
            attention=weights.mean(0).transpose(0, 1).cpu().numpy().astype(np.float64),
            gates=gates.transpose(0, 1).cpu().numpy().astype(np.float64),
        )

    def _neighbours(self, spaces: dict[str, np.ndarray]) -> np.ndarray:
        """Training rows (n, R, K) that send to rows in the space of each relation."""
        return self.searcher.extend(spaces, self.n_neighbors)

    def _predict(self, table: Table) -> Predicted:
        offset = None
        if self.base is not None:
            offset = self.base.predict(self.features.tabular(table)).astype(np.float64)
        spaces = self.features.spaces(table)
        neighbours = self._neighbours(spaces)
        distance = _spatial_distance(spaces, self.searcher.spaces, neighbours)
        # Rows with the same neighbours one after another read them from the processor's caches.
        order = self._route(neighbours)
        senders = torch.from_numpy(neighbours[order]).to(self.device)
        rows = self._rows(table, spaces).take(torch.from_numpy(order).to(self.device))
        found = _moments(*run(self.network, rows, senders, self.context, self.description))
        back = np.argsort(order)
        predicted = Predicted(*(values[:, back] for values in found))
        return self.judgement.apply(predicted, offset, distance)

    def _route(self, neighbours: np.ndarray) -> np.ndarray:
        """Order (n,) in which rows with near neighbours (n, R, K) follow one another."""
        if not self.relations:
            return np.arange(len(neighbours))
        rank = self.searcher.rank(self.relations[0])
        return np.argsort(rank[neighbours[:, 0, 0]], kind="stable")

    def _rows(self, table: Table, spaces: dict[str, np.ndarray]) -> Rows:
        """Tensors of a table."""
        rows = make_rows(self.features, table, self.streams, spaces).to(self.device)
        if self.imagery is not None and self.network.image_encoders is not None:
            encoders = self.network.image_encoders
            rows.streams[IMAGERY] = _encode(encoders, self.imagery, table, self.workers)
        return rows


@torch.no_grad()
def _encode(encoders: MemberEncoders, imagery: Imagery, table: Table, workers: int) -> torch.Tensor:
    """Image stream (M, n, d) of a table by the encoders of the members."""
    parts = []
    for start in range(0, len(table), _CHIP_CHUNK):
        part = np.arange(start, min(start + _CHIP_CHUNK, len(table)))
        groups = [
            (places, {name: torch.from_numpy(values) for name, values in chips.items()})
            for places, chips in imagery.chips(table.images, part, workers=workers)
        ]
        parts.append(encoders.encode_for_all(groups, len(part)))
    return torch.cat(parts, dim=1)


def make_rows(
    features: Features, table: Table, streams: Sequence[str], spaces: dict[str, np.ndarray]
) -> Rows:
    """Tensors of a table: the wanted streams that it has, and what edges are taken from."""
    values = {name: array for name, array in features.streams(table).items() if name in streams}
    if not values:
        raise ValueError(
            f"streams={tuple(streams)} leaves the network nothing to read: X has "
            f"{sorted(features.streams(table))}."
        )
    return Rows(
        {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in values.items()},
        {
            name: torch.from_numpy(array.astype(np.float32))
            for name, array in describe(features, table, spaces).items()
        },
    )


def fit_ensemble(
    columns: Columns,
    table: Table,
    y: np.ndarray,
    weight: np.ndarray,
    *,
    architecture: dict[str, Any],
    schedule: Schedule,
    relations: Sequence[str],
    streams: Sequence[str],
    n_neighbors: int,
    base: Any,
    calibration: str | None,
    device: str,
    n_jobs: int | None,
    rng: np.random.RandomState,
    neighbor_search: str = "auto",
    similarity: str | None = None,
    tuning: Tuning | None = None,
) -> Ensemble:
    """Fit base, graph and members on distinct, canonically ordered rows.

    Parameters
    ----------
    columns, table : Columns, Table
    y, weight : ndarray of shape (n,)
        Standardised targets and positive weights.
    architecture : dict
        Settings of `network.Architecture` apart from what the table decides.
    schedule : Schedule
    relations, streams : sequence of str
        Those wanted; those that the table cannot give are left out.
    n_neighbors : int
    base : unfitted regressor or None
    calibration : None, "scale" or "isotonic"
        See `calibration.Calibration.learn`.
    device : str
    n_jobs : int or None
    rng : RandomState
    neighbor_search : {"auto", "exact", "approximate"}
        See `search.choose_slack`.
    similarity : {"embeddings", "indices", "covariates"} or None
        See `Features.learn`.
    tuning : Tuning or None
        None leaves the image encoder as it is.
    """
    features = Features.learn(columns, table, similarity)
    spaces = features.spaces(table)
    rows = make_rows(features, table, streams, spaces)
    place = location_labels(table.coordinates, table.site)
    n_members = architecture["n_members"]
    positions = spaces["spatial"]
    parts = partition(positions, place, n_members, rng)
    relations = tuple(name for name in relations if name in spaces)
    workers = torch.get_num_threads() if n_jobs is None else effective_n_jobs(n_jobs)
    searcher = Searcher({name: spaces[name] for name in relations}, neighbor_search, workers)

    model = offset = None
    if base is not None:
        tabular = features.tabular(table)
        offset = out_of_fold(base, tabular, y, weight, parts.member[0])
        model = fit_base(base, tabular, y, weight)

    data = _training_set(rows, y, weight, searcher, parts, n_members, n_neighbors)
    if tuning is not None:
        data = replace(data, tuned=_tuned(tuning, features, table, n_members))
    shape = _shape(rows, relations, architecture)
    seeds = rng.randint(2**31 - 1, size=n_members)
    trained = _train(shape, data, schedule, seeds, device, n_jobs)

    node_features = np.hstack([values.numpy() for values in rows.streams.values()])
    if trained.imagery is not None:
        rows.streams[IMAGERY] = trained.imagery
    network, rows = trained.network.to(device), rows.to(device)
    neighbours = data.candidates[0][:, :, :n_neighbors].copy()
    senders = torch.from_numpy(neighbours).to(device)
    targets = torch.from_numpy(y.astype(np.float32)).to(device)

    def around(part: slice) -> Neighbourhood:
        receivers = {name: values[part] for name, values in rows.description.items()}
        return surroundings(network, receivers, senders[part], rows.description)

    context = build_context(network, rows, around, targets)
    everyone = torch.arange(len(y), device=device).expand(n_members, -1)
    inside = run_encoded(network, context, everyone, around)
    held = HeldOut.collect(
        trained.mean, np.exp(trained.log_variance), *_moments(*inside), base=offset
    )
    distance = _spatial_distance(spaces, searcher.spaces, data.held_senders[0])
    judgement = Judgement.learn(
        held,
        y,
        weight,
        positions,
        distance,
        n_members=n_members,
        calibration=calibration,
        rng=rng,
    )
    return Ensemble(
        features=features,
        network=network,
        relations=relations,
        streams=tuple(rows.streams),
        searcher=searcher,
        context=context,
        description=rows.description,
        node_features=node_features,
        base=model,
        judgement=judgement,
        partitions=parts,
        neighbours=neighbours,
        held_out=judgement.apply_held_out(held, distance),
        history=trained.history,
        n_neighbors=n_neighbors,
        device=device,
        workers=workers,
        imagery=None if tuning is None else tuning.embedder.imagery,
    )


def _tuned(tuning: Tuning, features: Features, table: Table, n_members: int) -> TunedImagery:
    """Decode the chips of the training rows, and make the encoders from which members start."""
    embedder = tuning.embedder
    if features.image_scale is None:
        raise ValueError("fine_tune needs images, and no training row has one.")
    return TunedImagery(
        chips=ChipArchive(
            embedder.imagery,
            table.images,
            embedder.directory,
            workers=embedder.workers,
            verbose=embedder.verbose,
        ),
        encoders=MemberEncoders(
            embedder.encoder.stages,
            n_members,
            tuning.stages,
            *features.image_scale,
            recompute=tuning.recompute,
        ),
    )


def _training_set(
    rows: Rows,
    y: np.ndarray,
    weight: np.ndarray,
    searcher: Searcher,
    parts: Partitions,
    n_members: int,
    n_neighbors: int,
) -> TrainingSet:
    """Build the graph in its three forms: true, far folds hidden, member folds hidden."""
    variants = (parts.place, *parts.far)
    lists = searcher.join_all(
        [(_SPARE * n_neighbors, labels) for labels in variants]
        + [(n_neighbors, folds) for folds in parts.member]
    )
    return TrainingSet(
        rows=rows,
        targets=y,
        weight=weight,
        candidates=np.stack(lists[: len(variants)]),
        held_out=np.array([parts.held_out(member) for member in range(n_members)]),
        held_senders=np.stack(lists[len(variants) :]),
        rounds=parts.rounds(n_members),
        n_neighbors=n_neighbors,
    )


def _shape(rows: Rows, relations: tuple[str, ...], settings: dict[str, Any]) -> Architecture:
    edge_features = tuple(name for name in NAMES if name in rows.description)
    return Architecture(
        streams={name: values.shape[1] for name, values in rows.streams.items()},
        relations=relations,
        edge_features=edge_features,
        own_feature=tuple(_own_feature(name, edge_features) for name in relations),
        **settings,
    )


def _own_feature(relation: str, edge_features: tuple[str, ...]) -> int:
    own = [name for name in _OWN_DISTANCE.get(relation, ()) if name in edge_features]
    return edge_features.index(own[0]) if own else -1


def _train(
    shape: Architecture,
    data: TrainingSet,
    schedule: Schedule,
    seeds: np.ndarray,
    device: str,
    n_jobs: int | None,
) -> Trained:
    """Train all members in one pass, or in `n_jobs` groups of processes."""
    n_groups = min(effective_n_jobs(n_jobs), len(seeds)) if n_jobs is not None else 1
    groups = np.array_split(np.arange(len(seeds)), n_groups)
    parts = Parallel(n_jobs=n_jobs if n_groups > 1 else 1)(
        delayed(train_members)(
            replace(shape, n_members=len(group)),
            data.for_members(group),
            schedule,
            [int(seed) for seed in seeds[group]],
            device,
        )
        for group in groups
    )
    return join(parts, shape)


def _moments(mean: torch.Tensor, log_variance: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance as arrays of double precision."""
    return (
        mean.cpu().numpy().astype(np.float64),
        np.exp(log_variance.cpu().numpy().astype(np.float64)),
    )


def _spatial_distance(
    spaces: dict[str, np.ndarray], training: dict[str, np.ndarray], senders: np.ndarray
) -> np.ndarray | None:
    """Mean distance (n,) to the senders (n, R, K) in space; None where no relation is spatial."""
    if "spatial" not in training:
        return None
    relation = list(training).index("spatial")
    return mean_distance(spaces["spatial"], training["spatial"], senders[:, relation])


def mean_distance(points: np.ndarray, training: np.ndarray, senders: np.ndarray) -> np.ndarray:
    """Mean distance (n,) of points (n, d) to their senders (n, K) among training rows (m, d).

    Infinite for points without any.
    """
    there = senders != NOBODY
    distance = np.linalg.norm(points[:, None] - training[senders], axis=-1)
    count = there.sum(1)
    total = np.where(there, distance, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)
