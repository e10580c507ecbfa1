"""From a table to a fitted ensemble: each step of the method in the order in which it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from tqdm.auto import tqdm

from ..encoders.chip_cache import ChipCache
from ..encoders.embedder import ChipEmbedder
from ..encoders.finetuning import MemberEncoders
from ..graph.edge_features import EDGE_FEATURES
from ..graph.knn_graph import KNNGraph
from ..network.config import IMAGERY, Neighborhood, NetworkShape, SourceNodes
from ..network.inference import NodeTensors, build_context, build_neighborhood, predict_encoded
from ..network.sptgnn import SpTGNN
from ..spatial.blocks import location_ids
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable, TableSchema
from ..training.config import TrainingConfig
from ..training.dataset import FineTuningData, TrainingSet
from ..training.loop import TrainingResult, concatenate_members, train_members
from ..uncertainty.postprocessing import OutOfFoldPredictions, Postprocessor
from ..utils.batching import limit_torch_threads
from .base_regressor import fit_base, out_of_fold
from .fitted import Ensemble, TrainingRows, make_node_tensors, spatial_distance, to_moments
from .member_folds import MemberFolds, make_member_folds

_RELATION_DISTANCE = {
    "spatial": ("distance",),
    "spectral": ("image_distance", "covariate_distance"),  # the first that there is
}
_SPARE_CANDIDATES = (
    2  # candidates for each neighbour: some are hidden from a member that holds them out
)


@dataclass(frozen=True)
class FineTuning:
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
    columns: TableSchema,
    table: SampleTable,
    y: np.ndarray,
    weight: np.ndarray,
    *,
    network_settings: dict[str, Any],
    schedule: TrainingConfig,
    relations: Sequence[str],
    streams: Sequence[str],
    n_neighbors: int,
    base: Any,
    calibration: str | None,
    device: str,
    n_jobs: int | None,
    rng: np.random.RandomState,
    similarity: str | None = None,
    tuning: FineTuning | None = None,
) -> Ensemble:
    """Fit base, graph and members on distinct, canonically ordered rows.

    Parameters
    ----------
    columns, table : Columns, Table
    y, weight : ndarray of shape (n,)
        Standardised targets and positive weights.
    architecture : dict
        Settings of `network.NetworkShape` apart from what the table decides.
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
    similarity : {"embeddings", "indices", "covariates"} or None
        See `FeatureEncoder.learn`.
    tuning : Tuning or None
        None leaves the image encoder as it is.
    """
    features = FeatureEncoder.fit(columns, table, similarity)
    spaces = features.relation_spaces(table)
    rows = make_node_tensors(features, table, streams, spaces)
    place = location_ids(table.coordinates, table.site)
    n_members = network_settings["n_members"]
    positions = spaces["spatial"]
    parts = make_member_folds(positions, place, n_members, rng)
    relations = tuple(name for name in relations if name in spaces)
    # On a cluster joblib counts all of its cores; neighbours are searched in this process.
    jobs = min(effective_n_jobs(n_jobs), cpu_count())
    workers = torch.get_num_threads() if n_jobs is None else jobs
    knn_graph = KNNGraph({name: spaces[name] for name in relations}, workers)

    model = offset = None
    if base is not None:
        tabular = features.tree_features(table)
        offset = out_of_fold(base, tabular, y, weight, parts.member[0])
        model = fit_base(base, tabular, y, weight)

    data = _training_set(rows, y, weight, knn_graph, parts, n_members, n_neighbors)
    if tuning is not None:
        data = replace(data, fine_tuning=_fine_tuning_data(tuning, features, table, n_members))
    shape = _make_network_shape(rows, relations, network_settings)
    seeds = rng.randint(2**31 - 1, size=n_members)
    trained = _train(shape, data, schedule, seeds, device, n_jobs)

    node_features = np.hstack([values.numpy() for values in rows.streams.values()])
    if trained.imagery is not None:
        rows.streams[IMAGERY] = trained.imagery
    network, rows = trained.network.to(device), rows.to(device)
    neighbors = data.candidates[0][:, :, :n_neighbors].copy()
    context, inside = _encode_training_rows(network, rows, neighbors, y)
    held = OutOfFoldPredictions.from_members(
        trained.mean, np.exp(trained.log_variance), *inside, base=offset
    )
    distance = spatial_distance(spaces, knn_graph.spaces, data.held_source_index[0])
    postprocessor = Postprocessor.fit(
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
        knn_graph=knn_graph,
        context=context,
        edge_inputs=rows.edge_inputs,
        base=model,
        postprocessor=postprocessor,
        history=trained.history,
        n_neighbors=n_neighbors,
        device=device,
        workers=workers,
        imagery=None if tuning is None else tuning.embedder.imagery,
        training=TrainingRows(
            node_features, parts, neighbors, postprocessor.apply_held_out(held, distance)
        ),
    )
    for file in trained.checkpoints:
        file.unlink(missing_ok=True)
    return ensemble


def _encode_training_rows(
    network: SpTGNN, rows: NodeTensors, neighbors: np.ndarray, y: np.ndarray
) -> tuple[SourceNodes, tuple[np.ndarray, np.ndarray]]:
    """Encode the training rows, and predict them (M, n) from their neighbours (n, R, K)."""
    targets = torch.from_numpy(y.astype(np.float32)).to(network.edge_scale.floor.device)
    source_index = torch.from_numpy(neighbors).to(targets.device)

    def neighborhood(part: slice) -> Neighborhood:
        target_nodes = {name: values[part] for name, values in rows.edge_inputs.items()}
        return build_neighborhood(network, target_nodes, source_index[part], rows.edge_inputs)

    context = build_context(network, rows, neighborhood, targets)
    source_features = network.source_features(context, cached=True)
    everyone = torch.arange(len(y), device=targets.device)
    everyone = everyone.expand(network.shape.n_members, -1)
    return context, to_moments(
        *predict_encoded(network, context, source_features, everyone, neighborhood)
    )


def _fine_tuning_data(
    tuning: FineTuning, features: FeatureEncoder, table: SampleTable, n_members: int
) -> FineTuningData:
    """Decode the chips of the training rows, and make the encoders from which members start."""
    embedder = tuning.embedder
    if features.image_scale is None:
        raise ValueError("fine_tune needs images, and no training row has one.")
    return FineTuningData(
        chips=ChipCache(
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
    rows: NodeTensors,
    y: np.ndarray,
    weight: np.ndarray,
    knn_graph: KNNGraph,
    parts: MemberFolds,
    n_members: int,
    n_neighbors: int,
) -> TrainingSet:
    """Build the graph in its three forms: true, far folds hidden, member folds hidden."""
    variants = (parts.place, *parts.far_folds)
    lists = knn_graph.knn_many(
        [(_SPARE_CANDIDATES * n_neighbors, labels) for labels in variants]
        + [(n_neighbors, folds) for folds in parts.member]
    )
    return TrainingSet(
        rows=rows,
        targets=y,
        weight=weight,
        candidates=np.stack(lists[: len(variants)]),
        held_out=np.array([parts.held_out(member) for member in range(n_members)]),
        held_source_index=np.stack(lists[len(variants) :]),
        rounds=parts.fold_rounds(n_members),
        n_neighbors=n_neighbors,
    )


def _make_network_shape(
    rows: NodeTensors, relations: tuple[str, ...], settings: dict[str, Any]
) -> NetworkShape:
    edge_features = tuple(name for name in EDGE_FEATURES if name in rows.edge_inputs)
    return NetworkShape(
        streams={name: values.shape[1] for name, values in rows.streams.items()},
        relations=relations,
        edge_features=edge_features,
        own_feature=tuple(_own_feature(name, edge_features) for name in relations),
        **settings,
    )


def _own_feature(relation: str, edge_features: tuple[str, ...]) -> int:
    own = [name for name in _RELATION_DISTANCE.get(relation, ()) if name in edge_features]
    return edge_features.index(own[0]) if own else -1


def _train(
    shape: NetworkShape,
    data: TrainingSet,
    schedule: TrainingConfig,
    seeds: np.ndarray,
    device: str,
    n_jobs: int | None,
) -> TrainingResult:
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
    return concatenate_members(list(bar), shape)


def _train_group(threads: int, *arguments: Any) -> TrainingResult:
    """Train by so many threads: groups that each take all processors would wait for each other."""
    with limit_torch_threads(threads):
        return train_members(*arguments)
