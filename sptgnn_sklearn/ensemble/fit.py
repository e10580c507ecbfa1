"""From a table to a fitted ensemble: each step of the method in the order in which it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from tqdm.auto import tqdm

from ..encoders.chip_cache import ChipArchive
from ..encoders.embedder import ChipEmbedder
from ..encoders.finetuning import MemberEncoders
from ..graph.edge_features import NAMES
from ..graph.knn_graph import Searcher
from ..network.config import IMAGERY, Architecture, Context, Neighbourhood
from ..network.inference import Rows, build_context, run_encoded, surroundings
from ..network.sptgnn import SpTGNN
from ..spatial.blocks import location_labels
from ..table.features import Features
from ..table.schema import Columns, Table
from ..training.config import Schedule
from ..training.dataset import TrainingSet, TunedImagery
from ..training.loop import Trained, join, train_members
from ..uncertainty.postprocessing import HeldOut, Judgement
from ..utils.batching import at_most_threads
from .base_regressor import fit_base, out_of_fold
from .fitted import Ensemble, TrainingRows, make_rows, moments, spatial_distance
from .member_folds import Partitions, partition

_OWN_DISTANCE = {
    "spatial": ("distance",),
    "spectral": ("image_distance", "covariate_distance"),  # the first that there is
}
_SPARE = 2  # candidates for each neighbour: some are hidden from a member that holds them out


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
    # On a cluster joblib counts all of its cores; neighbours are searched in this process.
    jobs = min(effective_n_jobs(n_jobs), cpu_count())
    workers = torch.get_num_threads() if n_jobs is None else jobs
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
    context, inside = _settle(network, rows, neighbours, y)
    held = HeldOut.collect(trained.mean, np.exp(trained.log_variance), *inside, base=offset)
    distance = spatial_distance(spaces, searcher.spaces, data.held_senders[0])
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
    ensemble = Ensemble(
        features=features,
        network=network,
        relations=relations,
        streams=tuple(rows.streams),
        searcher=searcher,
        context=context,
        description=rows.description,
        base=model,
        judgement=judgement,
        history=trained.history,
        n_neighbors=n_neighbors,
        device=device,
        workers=workers,
        imagery=None if tuning is None else tuning.embedder.imagery,
        training=TrainingRows(
            node_features, parts, neighbours, judgement.apply_held_out(held, distance)
        ),
    )
    for file in trained.checkpoints:
        file.unlink(missing_ok=True)
    return ensemble


def _settle(
    network: SpTGNN, rows: Rows, neighbours: np.ndarray, y: np.ndarray
) -> tuple[Context, tuple[np.ndarray, np.ndarray]]:
    """Encode the training rows, and predict them (M, n) from their neighbours (n, R, K)."""
    targets = torch.from_numpy(y.astype(np.float32)).to(network.edge_scale.floor.device)
    senders = torch.from_numpy(neighbours).to(targets.device)

    def around(part: slice) -> Neighbourhood:
        receivers = {name: values[part] for name, values in rows.description.items()}
        return surroundings(network, receivers, senders[part], rows.description)

    context = build_context(network, rows, around, targets)
    sent = network.sent(context, settled=True)
    everyone = torch.arange(len(y), device=targets.device)
    everyone = everyone.expand(network.architecture.n_members, -1)
    return context, moments(*run_encoded(network, context, sent, everyone, around))


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
            source=embedder.encoder.source,
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
    # Bars of several processes would write over one another; one here counts the groups instead.
    one_bar = schedule.verbose == 1 and n_groups > 1
    if one_bar:
        schedule = replace(schedule, verbose=0)
    parts = Parallel(n_jobs=n_jobs if n_groups > 1 else 1, return_as="generator")(
        delayed(_train_group)(
            max(1, cpu_count() // n_groups),
            replace(shape, n_members=len(group)),
            data.for_members(group),
            schedule,
            [int(seed) for seed in seeds[group]],
            device,
        )
        for group in groups
    )
    bar = tqdm(parts, total=n_groups, desc="training", unit="group", disable=not one_bar)
    return join(list(bar), shape)


def _train_group(threads: int, *arguments: Any) -> Trained:
    """Train by so many threads: groups that each take all processors would wait for each other."""
    with at_most_threads(threads):
        return train_members(*arguments)
