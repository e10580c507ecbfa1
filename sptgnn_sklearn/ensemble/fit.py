"""Fit the ensemble: features, cross-fitting folds, base model, graph, members, calibration."""

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
from ..encoders.terramind_images import TerraMindImages
from ..graph.edge_features import EDGE_FEATURES
from ..graph.knn_graph import KNNGraph
from ..network.config import IMAGERY, Neighborhood, NetworkConfig, NetworkShape, SourceNodes
from ..network.inference import NodeTensors, build_context, build_neighborhood, predict_encoded
from ..network.sptgnn import SpTGNN
from ..spatial.blocks import location_ids
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable, TableSchema
from ..training.config import TrainingConfig
from ..training.dataset import FineTuningData, TrainingSet
from ..training.loop import TrainingResult, concatenate_members, train_members
from ..uncertainty.held_out_gains import held_out_gains
from ..uncertainty.local_scale import CalibrationInputs
from ..uncertainty.postprocessing import OutOfFoldPredictions, Postprocessor
from ..utils.batching import limit_torch_threads
from .base_models import UnfittedBaseModels, base_inputs
from .fitted import Ensemble, TrainingRows, make_node_tensors, spatial_distance, to_moments
from .member_folds import MemberFolds, make_member_folds

__all__ = ["FineTuning", "fit_ensemble"]

# Edge features that are the distance of a relation itself; the first one that exists is used.
_RELATION_DISTANCE = {
    "spatial": ("distance",),
    "spectral": ("image_distance", "covariate_distance"),
}
# Candidates per neighbor: members do not use candidates that they hold out.
_SPARE_CANDIDATES = 2


@dataclass(frozen=True)
class FineTuning:
    """Settings of encoders that are trained with the network.

    Attributes
    ----------
    embedder : ChipEmbedder
        With the pretrained encoder that all members start from.
    stages : True or int
        All stages, or the number of last blocks.
    recompute : bool
        Whether activations are recomputed in the backward pass to save memory.
    """

    embedder: ChipEmbedder
    stages: bool | int
    recompute: bool = False

    @classmethod
    def from_images(
        cls, embedder: ChipEmbedder | None, images: TerraMindImages | None
    ) -> FineTuning | None:
        """Return the settings of TerraMindImages; None if no encoder is trained."""
        if embedder is None or images is None or not images.fine_tune:
            return None
        return cls(embedder, images.stages, images.gradient_checkpointing)


def fit_ensemble(
    schema: TableSchema,
    table: SampleTable,
    y: np.ndarray,
    weight: np.ndarray,
    *,
    n_members: int,
    network: NetworkConfig,
    training: TrainingConfig,
    relations: Sequence[str],
    streams: Sequence[str],
    n_neighbors: int,
    base: UnfittedBaseModels | None,
    calibration: str | None,
    device: str,
    n_groups: int,
    n_jobs: int | None,
    rng: np.random.RandomState,
    similarity: str | None = None,
    fine_tuning: FineTuning | None = None,
    noise: np.ndarray | None = None,
) -> Ensemble:
    """Fit base model, graph and ensemble members on distinct, canonically ordered rows.

    Parameters
    ----------
    schema : TableSchema
    table : SampleTable
        Training rows.
    y, weight : ndarray of shape (n,)
        Standardized targets and positive weights.
    n_members : int
    network : NetworkConfig
    training : TrainingConfig
    relations, streams : sequence of str
        Relations and streams that the table has no columns for are dropped.
    n_neighbors : int
    base : UnfittedBaseModels or None
    calibration : None, "scale", "quantile" or "local"
        See `Calibration.fit`.
    device : str
    n_groups : int
        Groups of members, each trained as one joblib task.
    n_jobs : int or None
    rng : RandomState
    similarity : {"embeddings", "indices", "covariates"} or None
        See `FeatureEncoder.fit`.
    fine_tuning : FineTuning or None
        None keeps the image encoder frozen.
    noise : ndarray of shape (n,), default=None
        Variances of measurement errors of the targets, in standardized units.
    """
    features = FeatureEncoder.fit(schema, table, similarity)
    spaces = features.relation_spaces(table)
    rows = make_node_tensors(features, table, streams, spaces)
    positions = spaces["spatial"]
    folds = make_member_folds(
        positions, location_ids(table.coordinates, table.site), n_members, rng
    )
    relations = tuple(name for name in relations if name in spaces)
    # On a cluster joblib counts all of its cores, but neighbors are searched in this process.
    workers = min(effective_n_jobs(n_jobs), cpu_count())
    knn_graph = KNNGraph({name: spaces[name] for name in relations}, workers)

    fitted_base = base_predictions = None
    inputs = base_inputs(features, table, spaces)
    if base is not None:
        fitted_base, base_predictions = base.fit(inputs, y, weight, folds.member[0], noise)

    data = _training_set(rows, y, weight, knn_graph, folds, n_members, n_neighbors)
    data = replace(data, noise=noise)
    if fine_tuning is not None:
        tuned = _fine_tuning_data(fine_tuning, features, table, n_members)
        data = replace(data, fine_tuning=tuned)
    shape = _make_network_shape(rows, relations, network, n_members)
    seeds = rng.randint(2**31 - 1, size=n_members)
    trained = _train(shape, data, training, seeds, device, n_groups, n_jobs)

    node_features = np.hstack([values.numpy() for values in rows.streams.values()])
    if trained.imagery is not None:
        rows.streams[IMAGERY] = trained.imagery
    trained_network, rows = trained.network.to(device), rows.to(device)
    neighbors = data.candidates[0][:, :, :n_neighbors].copy()
    context, predictions = _encode_training_rows(trained_network, rows, neighbors, y)
    held_out = OutOfFoldPredictions.from_members(
        trained.mean, np.exp(trained.log_variance), *predictions, base=base_predictions
    )
    calibration_inputs = CalibrationInputs(
        distance=spatial_distance(spaces, knn_graph.spaces, data.held_out_neighbors[0]),
        positions=positions,
        covariates=inputs.covariates,
    )
    postprocessor = Postprocessor.fit(
        held_out,
        y,
        weight,
        folds.location,
        calibration_inputs,
        table.time,
        n_members=n_members,
        calibration=calibration,
        rng=rng,
        noise=noise,
        campaign=table.campaign,
    )
    without_neighbors = None
    if relations:
        own = np.where(np.isnan(trained.mean), 0.0, context.baseline.cpu().numpy())
        without_neighbors = own.sum(axis=0) / np.maximum(held_out.count, 1)
    names = () if fitted_base is None else fitted_base.names
    ensemble = Ensemble(
        features=features,
        network=trained_network,
        knn_graph=knn_graph,
        context=context,
        edge_inputs=rows.edge_inputs,
        base=fitted_base,
        postprocessor=postprocessor,
        history=trained.history,
        n_neighbors=n_neighbors,
        device=device,
        chip_loader=None if fine_tuning is None else fine_tuning.embedder.chip_loader,
        training=TrainingRows(
            node_features,
            folds,
            neighbors,
            postprocessor.apply_held_out(held_out, calibration_inputs),
            base_predictions,
            held_out_gains(held_out, without_neighbors, names, y, data.score_weight),
            noise,
        ),
    )
    for file in trained.checkpoints:
        file.unlink(missing_ok=True)
    return ensemble


def _encode_training_rows(
    network: SpTGNN, rows: NodeTensors, neighbors: np.ndarray, y: np.ndarray
) -> tuple[SourceNodes, tuple[np.ndarray, np.ndarray]]:
    """Encode the training rows, and predict them (M, n) from their neighbors (n, R, K)."""
    targets = torch.from_numpy(y.astype(np.float32)).to(network.edge_scale.floor.device)
    source_index = torch.from_numpy(neighbors).to(targets.device)

    def neighborhood(part: slice) -> Neighborhood:
        target_nodes = {name: values[part] for name, values in rows.edge_inputs.items()}
        return build_neighborhood(network, target_nodes, source_index[part], rows.edge_inputs)

    context = build_context(network, rows, neighborhood, targets)
    source_features = network.source_features(context, cached=True)
    all_rows = torch.arange(len(y), device=targets.device).expand(network.shape.n_members, -1)
    found = predict_encoded(network, context, source_features, all_rows, neighborhood)
    return context, to_moments(*found)


def _fine_tuning_data(
    fine_tuning: FineTuning, features: FeatureEncoder, table: SampleTable, n_members: int
) -> FineTuningData:
    """Decode the chips of the training rows and copy the encoder for each member."""
    embedder = fine_tuning.embedder
    if features.image_scale is None:
        raise ValueError("fine_tune needs images, but no training row has one.")
    return FineTuningData(
        chips=ChipCache(
            embedder.chip_loader,
            table.images,
            embedder.directory,
            workers=embedder.workers,
            verbose=embedder.verbose,
        ),
        encoders=MemberEncoders(
            embedder.encoder.stages,
            n_members,
            fine_tuning.stages,
            *features.image_scale,
            recompute=fine_tuning.recompute,
            source=embedder.encoder.source,
        ),
    )


def _training_set(
    rows: NodeTensors,
    y: np.ndarray,
    weight: np.ndarray,
    knn_graph: KNNGraph,
    folds: MemberFolds,
    n_members: int,
    n_neighbors: int,
) -> TrainingSet:
    """Build the k-NN graph three times: all neighbors, none of the far block, none of the fold."""
    variants = (folds.location, *folds.far_folds)
    lists = knn_graph.knn_many(
        [(_SPARE_CANDIDATES * n_neighbors, labels) for labels in variants]
        + [(n_neighbors, labels) for labels in folds.member]
    )
    return TrainingSet(
        rows=rows,
        targets=y,
        weight=weight,
        candidates=np.stack(lists[: len(variants)]),
        held_out=folds.masks(n_members),
        held_out_neighbors=np.stack(lists[len(variants) :]),
        rounds=folds.fold_rounds(n_members),
        n_neighbors=n_neighbors,
    )


def _make_network_shape(
    rows: NodeTensors, relations: tuple[str, ...], network: NetworkConfig, n_members: int
) -> NetworkShape:
    edge_features = tuple(name for name in EDGE_FEATURES if name in rows.edge_inputs)
    return NetworkShape.from_config(
        network,
        streams={name: values.shape[1] for name, values in rows.streams.items()},
        relations=relations,
        edge_features=edge_features,
        own_feature=tuple(_own_feature(name, edge_features) for name in relations),
        n_members=n_members,
    )


def _own_feature(relation: str, edge_features: tuple[str, ...]) -> int:
    """Index of the edge feature that is the distance of a relation, or -1."""
    own = [name for name in _RELATION_DISTANCE.get(relation, ()) if name in edge_features]
    return edge_features.index(own[0]) if own else -1


def _train(
    shape: NetworkShape,
    data: TrainingSet,
    training: TrainingConfig,
    seeds: np.ndarray,
    device: str,
    n_groups: int,
    n_jobs: int | None,
) -> TrainingResult:
    """Train all members in one batched pass, or groups of members as joblib tasks."""
    n_groups = min(n_groups, len(seeds))
    n_workers = min(n_groups, effective_n_jobs(n_jobs))
    groups = np.array_split(np.arange(len(seeds)), n_groups)
    # Progress bars of several processes would overwrite each other; one bar counts the groups.
    one_bar = training.verbose == 1 and n_groups > 1
    if one_bar:
        training = replace(training, verbose=0)
    parts = Parallel(n_jobs=n_jobs if n_groups > 1 else 1, return_as="generator")(
        delayed(_train_group)(
            max(1, cpu_count() // n_workers),
            replace(shape, n_members=len(group)),
            data.for_members(group),
            training,
            [int(seed) for seed in seeds[group]],
            device,
        )
        for group in groups
    )
    bar = tqdm(parts, total=n_groups, desc="training", unit="group", disable=not one_bar)
    return concatenate_members(list(bar), shape)


def _train_group(threads: int, *arguments: Any) -> TrainingResult:
    """Train with a limited number of threads, so that parallel groups do not oversubscribe."""
    with limit_torch_threads(threads):
        return train_members(*arguments)
